// The reader of PyTorch's files: zip and pickle, what they may say and what is refused.
#include <mamba2/error.hpp>
#include <mamba2/pickle.hpp>
#include <mamba2/pytorch_file.hpp>
#include <mamba2/zip.hpp>
#include <support/files.hpp>
#include <support/testing.hpp>

#include <bit>
#include <cstdlib>
#include <functional>

using namespace mamba2;
using namespace testing;
using namespace std::string_literals;

namespace {

std::span<const std::byte> bytes_of(const std::string& text) {
  return std::as_bytes(std::span(text));
}

std::vector<PickledTensor> unpickle(const std::string& program) {
  return read_state_dict(bytes_of(program), "w.bin");
}

std::string refused_pickle(const std::string& program) {
  const std::string message = message_of<FileError>([&] { unpickle(program); });
  CHECK(message.find("w.bin: pickle") == 0);
  return message;
}

void contains(const std::string& text, const std::string& part) {
  INFO(text);
  CHECK(text.find(part) != std::string::npos);
}

std::string text(const std::string& value) {
  return "X"s + little_endian(static_cast<std::uint32_t>(value.size())) + value;
}

// A storage of `size` numbers and a tensor on it, as instructions.
std::string storage(const std::string& type, int size, const std::string& key = "0") {
  return "("s + text("storage") + "ctorch\n" + type + "\n"s + text(key) + text("cpu") + "J"s + little_endian(size) +
         "tQ";
}
std::string tensor(const std::string& offset_shape_strides, const std::string& source = storage("FloatStorage", 6)) {
  return "ctorch._utils\n_rebuild_tensor_v2\n(" + source + offset_shape_strides + "\x89" +
         "ccollections\nOrderedDict\n)RtR";
}
std::string dict(const std::string& items) {
  return std::string("\x80\x02}(") + items + "u.";
}

const std::string plain_view = "K\0(K\2K\3t(K\3K\1t"s;  // offset 0, shape (2, 3), strides (3, 1)

struct ZipFile {
  std::string name, data;
  int method = 0, flags = 0;
};

// An archive as other programs write them; `change` may spoil the central directory, one entry at a time.
std::string zip(const std::vector<ZipFile>& files, const std::function<void(std::size_t, std::string&)>& change = {}) {
  std::string archive, directory;
  for (std::size_t i = 0; i < files.size(); ++i) {
    const auto& [name, data, method, flags] = files[i];
    const auto u16 = [](int v) { return little_endian(static_cast<std::uint16_t>(v)); };
    const auto u32 = [](std::size_t v) { return little_endian(static_cast<std::uint32_t>(v)); };
    std::string entry = u32(0x02014b50) + u16(20) + u16(20) + u16(flags) + u16(method) + u32(0) +
                        u32(crc32(bytes_of(data))) + u32(data.size()) + u32(data.size()) + u16(int(name.size())) +
                        u16(0) + u16(0) + u16(0) + u16(0) + u32(0) + u32(archive.size()) + name;
    if (change) change(i, entry);
    directory += entry;
    archive += u32(0x04034b50) + u16(20) + u16(flags) + u16(method) + u32(0) + u32(crc32(bytes_of(data))) +
               u32(data.size()) + u32(data.size()) + u16(int(name.size())) + u16(0) + name + data;
  }
  const std::size_t begin = archive.size();
  return archive + directory + "PK\5\6"s + std::string(4, '\0') +
         little_endian(static_cast<std::uint16_t>(files.size())) +
         little_endian(static_cast<std::uint16_t>(files.size())) +
         little_endian(static_cast<std::uint32_t>(directory.size())) +
         little_endian(static_cast<std::uint32_t>(begin)) + std::string(2, '\0');
}

std::vector<ZipEntry> read_bytes(const std::string& archive) {
  return read_zip(InputFile("w.bin", bytes_of(archive)));
}

std::string refused_zip(const std::string& archive) {
  const std::string message = message_of<FileError>([&] { read_bytes(archive); });
  CHECK(message.find("w.bin: at byte") == 0);
  return message;
}

std::string refused_file(const std::string& archive) {
  const std::string message = message_of<FileError>([&] { read_pytorch_file(InputFile("w.bin", bytes_of(archive))); });
  CHECK(message.find("w.bin") == 0);
  return message;
}

const std::string six_floats(24, '\0');

}  // namespace

TEST_CASE("the golden pytorch_model.bin has the tensors that it has", "[pytorch]") {
  const auto entries = read_pytorch_file(InputFile(golden_path("lm/tiny/pytorch_model.bin")));
  CHECK(entries.size() == 1 + 3 * 9 + 2);
  CHECK(entries.front().name == "backbone.embedding.weight");
  CHECK(entries.back().name == "lm_head.weight");
  CHECK(entries.front().offset == entries.back().offset);
  for (const auto& entry : entries) CHECK(entry.offset % 64 == 0);
}

TEST_CASE("a PyTorch file is read as it was written, shared numbers stored once", "[pytorch]") {
  const TemporaryDirectory directory;
  const std::vector<float> a = {1, -2, 3, 0.5f, 4, 100}, b = {7};
  const std::vector<NamedTensor<float>> tensors = {{"a", {2, 3}, a}, {"b", {1}, b}, {"a again", {3, 2}, a}};
  for (const auto type : {ElementType::float32, ElementType::float16, ElementType::bfloat16, ElementType::float64}) {
    write_pytorch_file(directory / "pytorch_model.bin", tensors, type);
    const Checkpoint checkpoint = open_checkpoint(directory.path());
    REQUIRE(checkpoint.tensors().size() == 3);
    CHECK(checkpoint.find("a")->offset == checkpoint.find("a again")->offset);
    CHECK(checkpoint.find("a")->type == type);
    CHECK(checkpoint.find("a again")->shape == std::vector<std::size_t>{3, 2});
    CHECK(checkpoint.find("a")->offset % 64 == 0);
    std::vector<double> again(6);
    checkpoint.read(*checkpoint.find("a"), std::span(again));
    CHECK(again == std::vector<double>(a.begin(), a.end()));
  }
}

TEST_CASE("Python reads what is written here as torch.load() would", "[pytorch]") {
  const TemporaryDirectory directory;
  const std::vector<float> a = {1, -2, 3, 0.5f, 4, 100}, big(70000, 0.25f);
  const std::vector<NamedTensor<float>> tensors = {{"a", {2, 3}, a}, {"big", {70000}, big}, {"tied", {2, 3}, a}};
  write_pytorch_file(directory / "pytorch_model.bin", tensors);
  const std::string script = std::string(TEST_SCRIPTS) + "/read_pytorch_file.py", out = (directory / "out").string();
  const std::string command =
      "python3 '" + script + "' '" + (directory / "pytorch_model.bin").string() + "' > '" + out + "' 2>&1";
  const int status = std::system(command.c_str());
  INFO(read_file(out));
  REQUIRE(status == 0);
  CHECK(read_file(out) ==
        "a storage 0 of 6 float, offset 0, shape (2, 3), strides (3, 1), sum 106.5\n"
        "big storage 1 of 70000 float, offset 0, shape (70000,), strides (1,), sum 17500.0\n"
        "tied storage 0 of 6 float, offset 0, shape (2, 3), strides (3, 1), sum 106.5\n");
}

TEST_CASE("strides and offsets of stored views are honoured", "[pytorch]") {
  const TemporaryDirectory directory;
  std::string numbers;
  for (int i = 0; i < 6; ++i) numbers += little_endian(std::bit_cast<std::uint32_t>(static_cast<float>(i)));
  const std::string pickle = dict(text("t") + tensor("K\0(K\3K\2t(K\1K\3t"s) +  // the transpose of (2, 3)
                                  text("column") + tensor("K\1(K\2t(K\3t"s) +   // its second column
                                  text("block") + tensor("K\2(K\1K\2K\2t(K\7K\1K\2t"s));
  write_file(directory / "pytorch_model.bin", zip({{"m/data.pkl", pickle}, {"m/data/0", numbers}}));
  const Checkpoint checkpoint = open_checkpoint(directory.path());
  std::vector<float> t(6), column(2), block(4);
  checkpoint.read(*checkpoint.find("t"), std::span(t));
  CHECK(t == std::vector<float>{0, 3, 1, 4, 2, 5});
  checkpoint.read(*checkpoint.find("column"), std::span(column));
  CHECK(column == std::vector<float>{1, 4});
  checkpoint.read(*checkpoint.find("block"), std::span(block));
  CHECK(block == std::vector<float>{2, 4, 3, 5});
}

TEST_CASE("pickle: a state dict with parameters, metadata and long integers is read", "[pickle]") {
  const std::string as_parameter =
      "ctorch._utils\n_rebuild_parameter\n("s + tensor(plain_view) + "\x88" + "ccollections\nOrderedDict\n)RtR";
  const std::string long_six = "\x8a\1\6"s;
  const std::string by_long = tensor(
      plain_view, "("s + text("storage") + "ctorch\nBFloat16Storage\n"s + text("7") + text("cuda:0") + long_six + "tQ");
  const std::string program =
      "\x80\x02"
      "ccollections\nOrderedDict\n)R("s +
      text("p") + as_parameter + text("q") + by_long + "u}" + text("_metadata") + "ccollections\nOrderedDict\n)R("s +
      text("") + "}"s + text("version") + "K\1su" + "sb.";
  const auto tensors = unpickle(program);
  REQUIRE(tensors.size() == 2);
  CHECK(tensors[0].name == "p");
  CHECK(tensors[0].shape == std::vector<std::size_t>{2, 3});
  CHECK(tensors[1].storage == "7");
  CHECK(tensors[1].storage_size == 6);
  CHECK(tensors[1].type == ElementType::bfloat16);
}

TEST_CASE("pickle: nothing is ever executed", "[pickle][hostile]") {
  contains(refused_pickle("cos\nsystem\n(S'echo gotcha'\ntR."), "at byte 0: asks for 'os.system'");
  contains(refused_pickle("\x80\x02"
                          "c__builtin__\neval\n"),
           "at byte 2: asks for '__builtin__.eval'");
  contains(refused_pickle("ctorch\nload\n"), "asks for 'torch.load'");
  contains(refused_pickle("ctorch._utils _rebuild_tensor_v2\n\n"), "asks for");
  contains(refused_pickle("c"s + std::string(100000, 'a') + "\nb\n"), "asks for 'aaa");
  // Everything else that could call, import or make an object.
  const std::string others("ioSILFpgPldTUVBC0123\x81\x82\x83\x84\x8b\x8e\x8f\x90\x91\x92\x96\x97\x98\xff");
  for (const char opcode : others) {
    CAPTURE(opcode);
    contains(refused_pickle(opcode + std::string(100, '\n')), "is not executed");
  }
  contains(refused_pickle("\x80\x04" + text("os") + text("system") + "\x93."), "asks for 'os.system'");
  contains(refused_pickle("\x80\x01."), "protocol 1; PyTorch writes 2 to 5");
  contains(refused_pickle("\x80\x06."), "protocol 6; PyTorch writes 2 to 5");
  contains(refused_pickle("ctorch\nFloatStorage\n)R."), "calls what is no function");
  contains(refused_pickle("ctorch\nTensor\n)R."), "calls what is no function");
  contains(refused_pickle("ccollections\nOrderedDict\n(K\1tR."), "an OrderedDict without arguments");
  contains(refused_pickle("}}"s + text("__class__") + "K\1sb."), "sets the attribute '__class__'");
}

TEST_CASE("pickle: programs that go wrong are refused", "[pickle][hostile]") {
  const std::string whole = dict(text("a") + tensor(plain_view));
  CHECK(unpickle(whole).size() == 1);
  for (std::size_t length = 0; length < whole.size(); ++length) {
    CAPTURE(length);
    CHECK_THROWS_AS(unpickle(whole.substr(0, length)), FileError);
  }
  contains(refused_pickle("."), "takes a value from an empty stack");
  contains(refused_pickle("K\1(."), "takes a value from an empty stack");  // below the mark
  contains(refused_pickle("t."), "a mark that was never set");
  contains(refused_pickle("h\5."), "recalls memo 5, which was never kept");
  contains(refused_pickle("}(K\1u."), "a key without a value");
  contains(refused_pickle("K\1K\1K\1s."), "expected a dict to put items into");
  contains(refused_pickle("K\1."), "expected a dict of tensors, got a whole number");
  contains(refused_pickle(dict("K\1"s + tensor(plain_view))), "expected a tensor's name");
  contains(refused_pickle(dict(text("a") + "K\1")), "expected a tensor under the key 'a', got a whole number");
  contains(refused_pickle(dict(text("a") + tensor(plain_view) + text("a") + tensor(plain_view))),
           "tensor 'a' comes twice");
  contains(refused_pickle("\x8a\x09"s + std::string(9, 'x')), "an integer of 9 bytes");
  contains(refused_pickle("X\xff\xff\xff\xff"
                          "abc"),
           "the program ends too early");
  contains(refused_pickle("("s + text("stored") + "K\1K\1K\1K\1tQ"), "expected ('storage', type, key, device, size)");
  contains(refused_pickle("("s + text("storage") + "ctorch\nFloatStorage\n"s + text(std::string(65, '0')) +
                          text("cpu") + "K\1tQ"),
           "is 65 bytes long");
  contains(refused_pickle("("s + text("storage") + "ccollections\nOrderedDict\n"s + text("0") + text("cpu") + "K\1tQ"),
           "a storage's type");
  contains(refused_pickle(storage("FloatStorage", -1)), "expected a storage's size, got -1");
  contains(refused_pickle(storage("QUInt8Storage", 1)), "asks for 'torch.QUInt8Storage'");
  contains(refused_pickle(dict(text("a") + tensor(plain_view, storage("LongStorage", 6)))),
           "tensor 'a' holds whole numbers, no weights");
  contains(refused_pickle("\x95" + std::string(8, '\x7f')), "a frame ends behind the program");
  contains(refused_pickle("K\1K\1a."), "expected a list to put items into, got a whole number");
  contains(refused_pickle("K\1K\2\x93"), "expected a module's name, got a whole number");
  contains(refused_pickle("\x8d" + std::string(8, '\xff') + "abc"), "the program ends too early");
}

TEST_CASE("whatever PyTorch writes is read: all protocols, all ways to make a tensor", "[pytorch][pickle]") {
  const TemporaryDirectory directory;
  const std::string command =
      "python3 '" + std::string(TEST_SCRIPTS) + "/torch_save.py' '" + directory.path().string() + "'";
  REQUIRE(std::system(command.c_str()) == 0);
  std::size_t ways = 0;
  for (const auto& file : std::filesystem::directory_iterator(directory.path())) {
    CAPTURE(file.path().filename());
    ++ways;
    std::vector<std::unique_ptr<InputFile>> files;
    files.push_back(std::make_unique<InputFile>(file.path()));
    auto entries = read_pytorch_file(*files[0]);
    const Checkpoint checkpoint(std::move(files), std::move(entries));
    REQUIRE(checkpoint.tensors().size() == 2);
    std::vector<float> a(6), b(4);
    checkpoint.read(*checkpoint.find("a"), std::span(a));
    checkpoint.read(*checkpoint.find("b"), std::span(b));
    CHECK(checkpoint.find("a")->shape == std::vector<std::size_t>{2, 3});
    CHECK(a == std::vector<float>{0, 1, 2, 3, 4, 5});
    CHECK(b == std::vector<float>{2, 3, 4, 5});
  }
  CHECK(ways == 15);
}

TEST_CASE("pickle: what cannot be taken for one table of tensors is refused by its key", "[pickle][hostile]") {
  const std::string table = "}" + text("w") + tensor(plain_view) + "s";
  CHECK(unpickle(dict(text("epoch") + "K\3" + text("model") + table)).size() == 1);
  contains(refused_pickle(dict(text("model") + table + text("state_dict") + table)),
           "holds two models, under 'model' and under 'state_dict'");
  contains(refused_pickle(dict(text("net") + table + text("epoch") + "K\3")),
           "expected a tensor under the key 'net', got a dict");
  contains(refused_pickle(dict(text("epoch") + "K\3" + text("model") + "N")),
           "expected a tensor under the key 'epoch', got a whole number");
  contains(refused_pickle(dict(text("model") + ("}" + text("w") + tensor(plain_view) + "s" + text("step") + "K\1s"))),
           "expected a tensor under the key 'step', got a whole number");
  const auto chosen = unpickle(dict(text("random") + tensor(plain_view) + text("model") + table));
  REQUIRE(chosen.size() == 1);
  CHECK(chosen[0].name == "w");
}

TEST_CASE("pickle: newer ways to make a tensor are checked like the old one", "[pickle][hostile]") {
  const std::string hooks = "\x89}", v2 = "ctorch._utils\n_rebuild_tensor_v2\n(",
                    v3 = "ctorch._utils\n_rebuild_tensor_v3\n(";
  const auto untyped = [](int bytes) {
    return "("s + text("storage") + "ctorch.storage\nUntypedStorage\n"s + text("0") + text("cpu") + "J"s +
           little_endian(bytes) + "tQ";
  };
  const auto typed = [&](int bytes, const std::string& type) {
    return dict(text("a") + v3 + untyped(bytes) + plain_view + hooks + type + "tR");
  };
  CHECK(unpickle(typed(24, "ctorch\nfloat32\n"))[0].storage_size == 6);
  CHECK(unpickle(typed(24, "ctorch\nbfloat16\n"))[0].storage_size == 12);
  contains(refused_pickle(typed(20, "ctorch\nfloat32\n")), "does not fit into its storage of 5");
  contains(refused_pickle(typed(25, "ctorch\nfloat32\n")), "a storage of 25 bytes for numbers of 4");
  contains(refused_pickle(typed(24, "ctorch\nFloatStorage\n")),
           "expected a type of numbers, got the name of something");
  contains(refused_pickle(typed(24, "")), "this tensor needs a type of numbers");
  contains(refused_pickle(typed(24, "ctorch\nfloat8_e4m3fn\n")), "asks for 'torch.float8_e4m3fn'");
  contains(
      refused_pickle(dict(text("a") + v3 + storage("FloatStorage", 6) + plain_view + hooks + "ctorch\nfloat32\ntR")),
      "a type of numbers said twice");
  contains(refused_pickle(dict(text("a") + v2 + untyped(24) + plain_view + hooks + "tR")),
           "a storage of bytes, and no type of numbers");
  const auto with_metadata = [&](const std::string& metadata) {
    return dict(text("a") + v2 + storage("FloatStorage", 6) + plain_view + hooks + metadata + "tR");
  };
  CHECK(unpickle(with_metadata("N")).size() == 1);
  CHECK(unpickle(with_metadata("}" + text("neg") + "\x89s")).size() == 1);
  contains(refused_pickle(with_metadata("}" + text("neg") + "\x88s")), "a tensor with 'neg', which is not known here");
  contains(refused_pickle(with_metadata("K\1")), "expected a tensor's metadata, got a whole number");
  const std::string wrap = "ctorch._tensor\n_rebuild_from_type_v2\n";
  contains(refused_pickle(wrap + "(" + wrap + "NNNtR"), "wraps what is wrapped already");
  contains(refused_pickle(wrap + "(ctorch\nFloatStorage\nN)NtR"), "calls what is no function");
  contains(refused_pickle(wrap + ")R"), "expected a function, a type, arguments and attributes");
}

TEST_CASE("pickle: tensors that do not fit into their storage are refused", "[pickle][hostile]") {
  const auto view = [](const std::string& offset_shape_strides) {
    return refused_pickle(dict(text("a") + tensor(offset_shape_strides)));
  };
  contains(view("K\0(K\3K\3t(K\3K\1t"s), "does not fit into its storage of 6");
  contains(view("K\1(K\2K\3t(K\3K\1t"s), "offset 1 does not fit");
  contains(view("K\0(K\2K\3t(K\4K\1t"s), "does not fit");
  contains(view("K\0(M\0\1M\0\1t(K\0K\0t"s), "does not fit");  // strides of zero: 65536 numbers out of one
  contains(view("K\0(K\2t(K\3K\1t"s), "a shape and strides of different lengths");
  contains(view("K\0(J\xff\xff\xff\xfft(K\1t"s), "expected a shape, got -1");
  contains(view("K\0(K\2t(\x8a\x08\xff\xff\xff\xff\xff\xff\xff\x7ft"s), "does not fit");  // offset wraps
  const std::string huge("\x8a\x08\xff\xff\xff\xff\xff\xff\xff\x7f", 10);
  contains(view("K\0("s + huge + huge + "t(K\1K\1t"), "does not fit");
  contains(view(huge + "(K\0t(K\1t"), "expected");
}

TEST_CASE("pickle: bombs stay small", "[pickle][hostile]") {
  contains(refused_pickle(std::string(3'000'000, 'N')), "more than 500000 values");
  std::string nested = ")";
  for (int i = 0; i < 400'000; ++i) nested += "\x85";  // a tuple in a tuple in a tuple
  contains(refused_pickle(nested + "."), "expected a dict of tensors");
  std::string doubling = "Nq"s + std::string(1, '\0');  // each tuple holds the last one twice
  for (int i = 0; i < 100'000; ++i) doubling += "h\0h\0\x86q\0"s;
  contains(refused_pickle(doubling + "."), "expected a dict of tensors");
  const std::string many =
      "("s + std::string(400'000, 'N') + "tq"s + std::string(1, '\1');  // one huge tuple, used again and again
  std::string calls = "ccollections\nOrderedDict\nq"s + std::string(1, '\2') + many;
  contains(refused_pickle(calls + "h\2h\1R"), "an OrderedDict without arguments");
  contains(refused_pickle(dict(text("a") + tensor("K\0"s + "("s + std::string(17 * 2, 'K') + "t(K\1t"))),
           "a shape of 17 axes");
  contains(message_of<FileError>([&] { unpickle(std::string((16u << 20) + 1, 'N')); }),
           "more than the 16777216 that are read");
}

TEST_CASE("zip: archives that lie are refused", "[zip][hostile]") {
  const std::string good = zip({{"m/data.pkl", "abc"}, {"m/data/0", "defg"}});
  const auto entries = read_bytes(good);
  REQUIRE(entries.size() == 2);
  CHECK(good.substr(entries[1].offset, entries[1].size) == "defg");
  for (std::size_t length = 0; length < good.size(); ++length) {
    CAPTURE(length);
    CHECK_THROWS_AS(read_bytes(good.substr(0, length)), FileError);
  }
  contains(refused_zip(std::string(100, 'x')), "it has no end record");
  contains(refused_zip(zip({{"a", "abc", 8}})), "file 'a' is compressed (method 8)");
  contains(refused_zip(zip({{"a", "abc", 0, 1}})), "file 'a' is encrypted");
  contains(refused_zip(zip({{"a", "abc"}, {"a", "def"}})), "file 'a' comes twice");
  const auto spoilt = [](std::size_t at, const std::string& bytes) {
    return refused_zip(zip({{"a", "abc"}, {"b", "defg"}}, [&](std::size_t i, std::string& entry) {
      if (i == 1) entry.replace(at, bytes.size(), bytes);
    }));
  };
  contains(spoilt(0, "QQ"), "no entry of the central directory");
  contains(spoilt(20, "\x01"), "claims 4 bytes and stores 1");
  contains(spoilt(20, "\xff\xff\xff\x7f\xff\xff\xff\x7f"s), "reaches into the central directory");
  contains(spoilt(42, std::string(4, '\0')), "the local header names another file");
  contains(spoilt(42, "\1\0\0\0"s), "has no local header here");
  contains(spoilt(42, "\xff\xff\xff\xff"), "has no local header here");
  contains(spoilt(28, "\xff\xff"), "ends too early");
  // Two files on the same bytes: the second entry points to the first file and calls itself by its name.
  contains(refused_zip(zip({{"a", "abc"}, {"b", "abc"}},
                           [](std::size_t i, std::string& entry) {
                             if (i == 1) entry.replace(42, 4, std::string(4, '\0')).replace(46, 1, "a");
                           })),
           "comes twice");
  // A local header inside another file's bytes.
  std::string inner = zip({{"b", "xyz"}});
  inner.resize(30 + 1 + 3);
  contains(refused_zip(zip({{"a", inner}, {"b", "xyz"}},
                           [](std::size_t i, std::string& entry) {
                             if (i == 1) entry.replace(42, 4, little_endian(std::uint32_t{31}));
                           })),
           "files 'a' and 'b' overlap");
}

TEST_CASE("zip: a local header says the same as the central directory, in every field", "[zip][hostile]") {
  const auto spoilt = [](std::size_t at, const std::string& bytes) {
    std::string archive = zip({{"a", "abc"}, {"b", "defg"}});
    const std::size_t local = 30 + 1 + 3;  // of the second file
    archive.replace(local + at, bytes.size(), bytes);
    return refused_zip(archive);
  };
  contains(spoilt(6, "\2"), "the local header gives flags 2 for file 'b', the central directory 0");
  contains(spoilt(8, "\x08"), "the local header gives method 8 for file 'b', the central directory 0");
  contains(spoilt(14, "\1\2\3\4"), "the local header gives check sum 67305985 for file 'b'");
  contains(spoilt(18, "\3"), "the local header gives stored size 3 for file 'b', the central directory 4");
  contains(spoilt(22, "\5"), "the local header gives size 5 for file 'b', the central directory 4");
  contains(spoilt(22, std::string(4, '\0')), "the local header gives size 0 for file 'b'");
  contains(spoilt(26, "\2"), "the local header names another file");
  contains(spoilt(30, "c"), "the local header names another file");
}

TEST_CASE("zip: sizes that stand behind a file are read there, and have to be right", "[zip][hostile]") {
  const auto behind = [](const std::string& numbers, const std::string& sum) {  // of "defg"
    std::string archive = zip({{"a", "abc"}, {"b", "defg", 0, 8}});
    const std::size_t local = 30 + 1 + 3, end = local + 30 + 1 + 4;
    archive.replace(local + 14, 12, std::string(12, '\0'));
    const std::string descriptor = "PK\7\x08" + sum + numbers;
    archive.insert(end, descriptor);
    const std::size_t place = archive.size() - 6;
    return archive.replace(place, 4, little_endian(static_cast<std::uint32_t>(end + descriptor.size())));
  };
  const std::string sum = little_endian(crc32(bytes_of("defg"))), four32 = little_endian(std::uint32_t{4}),
                    four64 = little_endian(std::uint64_t{4}), five32 = little_endian(std::uint32_t{5});
  CHECK(read_bytes(behind(four32 + four32, sum)).size() == 2);
  CHECK(read_bytes(behind(four64 + four64, sum)).size() == 2);
  const std::string complaint = "what stands behind file 'b' is not its check sum and size";
  contains(refused_zip(behind(four32 + five32, sum)), complaint);
  contains(refused_zip(behind(five32 + four32, sum)), complaint);
  contains(refused_zip(behind(four32 + four32, "1234")), complaint);
  contains(refused_zip(behind("", sum)), complaint);
  contains(refused_zip(behind(four32, sum)), complaint);
}

TEST_CASE("zip: end records that lie are refused", "[zip][hostile]") {
  const std::string good = zip({{"a", "abc"}});
  const std::size_t end = good.size() - 22;
  const auto with = [&](std::size_t at, const std::string& bytes) {
    std::string archive = good;
    archive.replace(end + at, bytes.size(), bytes);
    return refused_zip(archive);
  };
  contains(with(10, "\xff\x7f"), "the central directory is too short for 32767 files");
  contains(with(12, "\xff\xff\xff\x7f"s), "does not lie within the archive");
  contains(with(16, "\xff\xff\xff\x7f"s), "does not lie within the archive");
  contains(with(20, "\x01"), "no end record");
  // A zip64 locator that points nowhere.
  std::string archive = good;
  archive.insert(end, "PK\6\7"s + std::string(4, '\0') + little_endian(~std::uint64_t{0}) + std::string(4, '\0'));
  contains(refused_zip(archive), "the zip64 end record is not where it should be");
  CHECK(read_bytes(zip({})).empty());
}

TEST_CASE("zip64 fields are read, plain archives and comments too", "[zip]") {
  // The second file's sizes and place come from a zip64 field.
  std::string archive = zip({{"a", "abc"}, {"b", "defg"}}, [](std::size_t i, std::string& entry) {
    if (i != 1) return;
    const std::string header = entry.substr(42, 4);
    entry.replace(20, 8, std::string(8, '\xff')).replace(42, 4, std::string(4, '\xff'));
    const std::string field = little_endian(std::uint16_t{0x4246}) + "\1\0x"s + little_endian(std::uint16_t{1}) +
                              little_endian(std::uint16_t{24}) + little_endian(std::uint64_t{4}) +
                              little_endian(std::uint64_t{4}) + header + std::string(4, '\0');
    entry.replace(30, 2, little_endian(static_cast<std::uint16_t>(field.size())));
    entry += field;
  });
  const auto entries = read_bytes(archive);
  REQUIRE(entries.size() == 2);
  CHECK(archive.substr(entries[1].offset, entries[1].size) == "defg");
  archive[archive.size() - 2] = 5;  // a comment of five bytes
  CHECK(read_bytes(archive + "hello").size() == 2);
}

TEST_CASE("PyTorch files that lie are refused", "[pytorch][hostile]") {
  const std::string pickle = dict(text("a") + tensor(plain_view));
  const std::string good = zip({{"m/data.pkl", pickle}, {"m/data/0", six_floats}});
  CHECK(read_pytorch_file(InputFile("w.bin", bytes_of(good))).size() == 1);
  contains(refused_file(zip({{"m/data.pkl", pickle}})), "tensor 'a': storage '0' is not in the archive");
  contains(refused_file(zip({{"m/data.pkl", pickle}, {"m/data/0", "abcd"}})),
           "claims 6 numbers of type float32, its file has 4 bytes");
  contains(refused_file(zip({{"m/data.pkl", pickle}, {"n/data/0", six_floats}})), "is not in the archive");
  contains(refused_file(zip({{"m/data.pkl", pickle}, {"n/data.pkl", pickle}})), "holds two pickles");
  contains(refused_file(zip({{"model.txt", "hello"}})), "holds no data.pkl");
  contains(refused_file(zip({{"m/data.pkl", pickle}, {"m/data/0", six_floats}, {"m/byteorder", "big"}})),
           "not little-endian");
  contains(refused_file("\x80\2\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19."s), "before version 1.6");
  const std::string escape = dict(text("a") + tensor(plain_view, storage("FloatStorage", 6, "../../etc/passwd")));
  contains(refused_file(zip({{"m/data.pkl", escape}, {"m/data/0", six_floats}})),
           "storage '../../etc/passwd' is not in the archive");
}

TEST_CASE("check sums are those of zip", "[zip]") {
  CHECK(crc32(bytes_of("123456789")) == 0xcbf43926u);
  CHECK(crc32(bytes_of("56789"), crc32(bytes_of("1234"))) == 0xcbf43926u);
}
