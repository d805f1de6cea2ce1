// The grader of this chapter.
#include "exercises.hpp"

#include <exercises/grader.hpp>
#include <mamba2/error.hpp>
#include <mamba2/pickle.hpp>
#include <mamba2/zip.hpp>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <functional>
#include <span>
#include <string>
#include <vector>

using Sizes = std::vector<std::size_t>;

namespace {

std::span<const std::byte> bytes_of(const std::string& text) {
  return std::as_bytes(std::span(text));
}

template <class Call>
bool refused(Call&& call) {
  try {
    call();
  } catch (const mamba2::FileError&) {
    return true;
  }
  return false;
}

}  // namespace

// Exercise 1.

namespace {

// The same by the library, which refuses such a tensor in a pickle; and by a sum in numbers that do
// not overflow.
std::size_t plain_reach(const Sizes& shape, const Sizes& strides, std::size_t offset,
                        std::size_t size) {
  mamba2::read_state_dict(bytes_of(mamba2::write_state_dict({{"w", "0", mamba2::ElementType::float32,
                                                              size, offset, shape, strides}})),
                          "pickle");
  auto last = static_cast<long double>(offset);
  for (std::size_t axis = 0; axis < shape.size(); ++axis) {
    if (shape[axis] == 0) return 0;
    last += static_cast<long double>(shape[axis] - 1) * static_cast<long double>(strides[axis]);
  }
  return static_cast<std::size_t>(last) + 1;
}

std::string view_text(const Sizes& shape, const Sizes& strides, std::size_t offset, std::size_t size) {
  return "shape " + mamba2::shape_text(shape) + ", strides " + mamba2::shape_text(strides) +
         ", offset " + std::to_string(offset) + ", in a storage of " + std::to_string(size);
}

}  // namespace

GRADE(1, "does it fit: tensors that do") {
  const auto fits = [](const Sizes& shape, const Sizes& strides, std::size_t offset, std::size_t size) {
    const std::string what = view_text(shape, strides, offset, size);
    std::size_t yours = 0;
    grader::expect(!refused([&] { yours = exercises::reach(shape, strides, offset, size); }),
                   "should not be refused: " + what);
    grader::expect_close(yours, plain_reach(shape, strides, offset, size),
                         "how far it reaches: " + what);
  };
  fits({2, 3}, {3, 1}, 0, 6);
  fits({3, 2}, {1, 3}, 0, 6);  // the transpose
  fits({2, 3}, {3, 1}, 5, 11);
  fits({2, 2}, {5, 2}, 1, 40);  // with holes
  fits({4}, {0}, 2, 4);         // one number four times, but no more than there are
  fits({1, 3}, {1000, 1}, 0, 3);
  fits({}, {}, 6, 7);  // a single number
  fits({0, 3}, {3, 1}, 7, 7);
}

GRADE(1, "does it fit: tensors that do not") {
  const std::size_t huge = std::size_t{1} << 62;
  const auto refuses = [](const Sizes& shape, const Sizes& strides, std::size_t offset,
                          std::size_t size) {
    grader::expect(refused([&] { plain_reach(shape, strides, offset, size); }), "the grader is wrong");
    grader::expect_throws<mamba2::FileError>(
        [&] { exercises::reach(shape, strides, offset, size); },
        "should be refused: " + view_text(shape, strides, offset, size));
  };
  refuses({2, 3}, {3, 1}, 1, 6);
  refuses({2, 3}, {4, 1}, 0, 6);
  refuses({}, {}, 7, 7);
  refuses({0}, {1}, 8, 7);
  refuses({2, 3}, {3}, 0, 6);
  refuses({5}, {0}, 0, 4);               // five numbers out of four
  refuses({2}, {huge}, 0, 10);           //
  refuses({5}, {huge}, 0, 10);           // 4 times 2^62 is 0 in 64 bits
  refuses({3, 3}, {huge, huge}, 0, 10);  // and so is the sum of these
  refuses({huge, 4}, {0, 0}, 0, 10);     // 2^64 entries
  refuses({2}, {huge}, huge, huge + 5);  // the offset counts, too
  refuses({huge, huge}, {1, 1}, 0, huge);
}

// Exercise 2.

namespace {

//: scanner
// Whether a pickle looks harmless: no instruction GLOBAL for a function that could do harm.
bool looks_harmless(const std::string& pickle) {
  for (const char* function : {"os\nsystem", "posix\nsystem", "os\npopen", "subprocess\nPopen",
                               "subprocess\ncall", "builtins\neval", "builtins\nexec"})
    if (pickle.find(function) != std::string::npos) return false;
  return true;
}
//: end

// What a reader that runs all it finds would do. It calls nothing, and writes down what it would
// have called.
class GullibleMachine {
 public:
  explicit GullibleMachine(const std::string& program) : program_(program) {}
  std::vector<std::string> calls() {
    while (at_ < program_.size())
      if (!execute()) return calls_;
    throw mamba2::FileError("the program ends without STOP");
  }

 private:
  std::string take(std::size_t length) {
    if (length > program_.size() - at_) throw mamba2::FileError("the program ends too early");
    at_ += length;
    return program_.substr(at_ - length, length);
  }
  std::string line() {
    const std::size_t end = std::min(program_.find('\n', at_), program_.size());
    const std::string text = take(end - at_);
    take(1);
    return text;
  }
  void push(const std::string& value) { stack_.push_back(value); }
  std::string pop() {
    if (stack_.empty()) throw mamba2::FileError("takes a value from an empty stack");
    const std::string value = stack_.back();
    stack_.pop_back();
    return value;
  }
  std::string tuple(std::size_t length) {
    std::string items;
    for (std::size_t i = 0; i < length; ++i) items = (items.empty() ? pop() : pop() + ", " + items);
    return "(" + items + ")";
  }
  bool execute() {
    switch (static_cast<unsigned char>(take(1)[0])) {
      case 0x80:
        take(1);
        return true;
      case 'c': {
        const std::string module = line();
        push("function " + module + "." + line());
        return true;
      }
      case 0x93: {
        const std::string name = pop(), module = pop();
        if (name.front() != '"' || module.front() != '"')
          throw mamba2::FileError("a name that is no text");
        push("function " + module.substr(1, module.size() - 2) + "." + name.substr(1, name.size() - 2));
        return true;
      }
      case 'X': {
        std::uint32_t length = 0;
        std::memcpy(&length, take(4).data(), 4);
        push('"' + take(length) + '"');
        return true;
      }
      case 0x8c:
        push('"' + take(static_cast<unsigned char>(take(1)[0])) + '"');
        return true;
      case 'K':
        push(std::to_string(static_cast<unsigned char>(take(1)[0])));
        return true;
      case '(':
        marks_.push_back(stack_.size());
        return true;
      case 't': {
        if (marks_.empty() || marks_.back() > stack_.size()) throw mamba2::FileError("no mark");
        push(tuple(stack_.size() - marks_.back()));
        marks_.pop_back();
        return true;
      }
      case 0x85:
        push(tuple(1));
        return true;
      case ')':
        push("()");
        return true;
      case 'R': {
        const std::string arguments = pop(), function = pop();
        if (function.rfind("function ", 0) != 0 || arguments.front() != '(')
          throw mamba2::FileError("REDUCE needs a function and, above it, a tuple");
        calls_.push_back(function.substr(9) + arguments);
        push("result");
        return true;
      }
      case '0':
        pop();
        return true;
      case '.':
        pop();
        return false;
      default:
        throw mamba2::FileError("an instruction that this machine does not know, at byte " +
                                std::to_string(at_ - 1));
    }
  }

  const std::string program_;
  std::size_t at_ = 0;
  std::vector<std::string> stack_, calls_;
  std::vector<std::size_t> marks_;
};

}  // namespace

GRADE(2, "the other side") {
  const std::string pickle = exercises::harmless_pickle();
  grader::expect(looks_harmless(pickle), "the scanner sees through it: it has found one of its names");
  std::vector<std::string> calls;
  try {
    calls = GullibleMachine(pickle).calls();
  } catch (const mamba2::FileError& error) {
    grader::expect(false, std::string("the machine cannot run it: ") + error.what());
  }
  std::string all;
  for (const std::string& call : calls) all += "\n  " + call;
  const bool called = std::any_of(calls.begin(), calls.end(), [](const std::string& call) {
    return call == "os.system(\"echo gotcha\")" || call == "posix.system(\"echo gotcha\")";
  });
  grader::expect(called, "it does not call os.system(\"echo gotcha\"). What it calls:" +
                             (all.empty() ? " nothing" : all));
  grader::expect(refused([&] { mamba2::read_state_dict(bytes_of(pickle), "pickle"); }),
                 "the library was fooled");
  grader::show(
      "The scanner found nothing. A machine that runs what it finds would have called" + all +
      "\nThe reader of this chapter refuses it: a list of what is allowed needs no imagination.");
}

// Exercise 3.

namespace {

struct File {
  std::string name, bytes;
  std::string told = {};  // what the central directory calls it, if it is something else
  std::size_t size = 0;   // and how large it says it is
};

template <class Integer>
std::string little_endian(std::size_t value) {
  const auto field = static_cast<Integer>(value);
  return {reinterpret_cast<const char*>(&field), sizeof(field)};
}
const auto two = little_endian<std::uint16_t>;
const auto four = little_endian<std::uint32_t>;

std::string zip(const std::vector<File>& files, const std::string& comment = "") {
  std::string bytes, directory;
  for (const File& file : files) {
    const std::string told = file.told.empty() ? file.name : file.told,
                      extra(file.name.size() % 3 * 4, '\0');
    const std::size_t size = file.size == 0 ? file.bytes.size() : file.size;
    const std::string crc = four(mamba2::crc32(bytes_of(file.bytes)));
    directory += "PK\1\2" + two(20) + two(20) + two(0) + two(0) + four(0) + crc + four(size) +
                 four(size) + two(told.size()) + two(0) + two(told.size() % 2) + two(0) + two(0) +
                 four(0) + four(bytes.size()) + told + std::string(told.size() % 2, '!');
    bytes += "PK\3\4" + two(20) + two(0) + two(0) + four(0) + crc + four(file.bytes.size()) +
             four(file.bytes.size()) + two(file.name.size()) + two(extra.size()) + file.name + extra +
             file.bytes;
  }
  return bytes + directory + "PK\5\6" + two(0) + two(0) + two(files.size()) + two(files.size()) +
         four(directory.size()) + four(bytes.size()) + two(comment.size()) + comment;
}

std::string text_of(const std::vector<exercises::Listed>& files) {
  std::string text;
  for (const auto& file : files)
    text += (text.empty() ? "" : "; ") + file.name + ", " + std::to_string(file.size);
  return text;
}

// A list as text; a refusal of what should be read is told as one.
template <class List>
std::string listed(List list, const std::string& archive) {
  try {
    return text_of(list(archive));
  } catch (const mamba2::FileError& error) {
    return std::string("refused: ") + error.what();
  }
}

const std::vector<File> honest = {
    {"m/data.pkl", "a program"}, {"m/data/10", std::string(40, 'x')}, {"m/version", "3"}};

}  // namespace

GRADE(3, "two stories: where both are true") {
  for (const std::string& comment :
       {std::string(), std::string("a remark"), "PK\5\6" + std::string(30, '\0')}) {
    const std::string archive = zip(honest, comment);
    std::string want;
    for (const auto& entry : mamba2::read_zip({"zip", bytes_of(archive)}))
      want += (want.empty() ? "" : "; ") + entry.name + ", " + std::to_string(entry.size);
    const std::string with = comment.empty() ? "" : ", with a comment";
    grader::expect_equal(listed(exercises::by_directory, archive), want,
                         "files by the directory" + with);
    grader::expect_equal(listed(exercises::by_headers, archive), want, "files by their headers" + with);
  }
  const std::string empty = zip({});
  grader::expect(exercises::by_directory(empty).empty() && exercises::by_headers(empty).empty(),
                 "an archive without files has none");
}

GRADE(3, "two stories: where they differ") {
  auto files = honest;
  files[1].told = "m/data/7";
  files[2].size = 900;
  const std::string archive = zip(files);
  grader::expect_equal(listed(exercises::by_directory, archive),
                       "m/data.pkl, 9; m/data/7, 40; m/version, 900",
                       "files by the directory, which lies");
  grader::expect_equal(listed(exercises::by_headers, archive),
                       "m/data.pkl, 9; m/data/10, 40; m/version, 1", "files by their headers");
  grader::expect(refused([&] { mamba2::read_zip({"zip", bytes_of(archive)}); }),
                 "the library was fooled");
  std::string longer = zip(honest);
  const std::size_t place = longer.find("PK\3\4", 1) + 22;  // of the second file's size
  longer.replace(place, 4, four(0xfffffff0));
  grader::expect_throws<mamba2::FileError>([&] { exercises::by_headers(longer); },
                                           "a file that reaches beyond the archive should be refused");
  grader::expect_throws<mamba2::FileError>(
      [&] {
        exercises::by_headers(std::string("PK\3\4", 4) + std::string(22, '\0') + "\xff\xff" +
                              std::string(4, '\0'));
      },
      "a name that reaches beyond the archive should be refused");
}

GRADE(3, "two stories: cut short") {
  const std::string archive = zip(honest);
  for (std::size_t length = 0; length < archive.size(); ++length)
    grader::expect_throws<mamba2::FileError>(
        [&] { exercises::by_directory(archive.substr(0, length)); },
        "cut off after " + std::to_string(length) + " bytes: no directory");
  const std::size_t end = archive.size() - 22;
  for (const std::size_t place :
       {std::size_t{8}, std::size_t{16}}) {  // a number of files, a place of the directory
    std::string lie = archive;
    lie.replace(end + place, 4, "\xff\xff\xff\x7f");
    grader::expect_throws<mamba2::FileError>([&] { exercises::by_directory(lie); },
                                             "an end record that lies should be refused");
  }
}

// Exercise 4.

namespace {

std::string text(const std::string& letters) {
  return "X" + four(letters.size()) + letters;
}
std::string number(std::size_t value) {
  return "K" + std::string(1, static_cast<char>(value));
}
std::string numbers(const Sizes& values) {
  std::string all = "(";
  for (const std::size_t value : values) all += number(value);
  return all + "t";
}
std::string storage(const std::string& key, std::size_t size) {
  return "(" + text("storage") + "ctorch\nFloatStorage\n" + text(key) + text("cpu") + number(size) +
         "tQ";
}
std::string tensor(const exercises::Described& d) {
  return text(d.name) + "ctorch._utils\n_rebuild_tensor_v2\n(" + storage(d.storage, d.storage_size) +
         number(d.offset) + numbers(d.shape) + numbers(d.strides) + "tR";
}
std::string table(const std::vector<exercises::Described>& tensors) {
  std::string all = "}(";
  for (const auto& d : tensors) all += tensor(d);
  return all + "u.";
}

const std::vector<exercises::Described> good = {{"embedding", "0", 60, 0, {4, 15}, {15, 1}},
                                                {"norm.weight", "17", 255, 250, {5}, {1}},
                                                {"turned", "0", 60, 2, {3, 7, 2}, {1, 8, 3}},
                                                {"", "x", 1, 0, {}, {}}};

std::string describe(const std::vector<exercises::Described>& tensors) {
  std::string all;
  for (const auto& d : tensors)
    all += "'" + d.name + "': storage '" + d.storage + "' of " + std::to_string(d.storage_size) +
           ", offset " + std::to_string(d.offset) + ", shape " + mamba2::shape_text(d.shape) +
           ", strides " + mamba2::shape_text(d.strides) + "\n";
  return all;
}

// What the library's machine makes of a program, which knows these instructions and others.
std::string by_library(const std::string& program) {
  std::vector<exercises::Described> tensors;
  for (const auto& t : mamba2::read_state_dict(bytes_of(program), "pickle"))
    tensors.push_back({t.name, t.storage, t.storage_size, t.offset, t.shape, t.strides});
  return describe(tensors);
}

void refuses(const std::string& program, const std::string& what) {
  grader::expect_throws<mamba2::FileError>([&] { exercises::read_table(program); },
                                           "should be refused: " + what);
}

}  // namespace

GRADE(4, "a machine without power: tables") {
  const std::string program = table(good);
  grader::expect_equal(describe(exercises::read_table(program)), by_library(program),
                       "a table of four tensors");
  grader::expect(exercises::read_table("}.").empty(), "an empty dict is an empty table");
  grader::expect_equal(
      describe(exercises::read_table("}(" + tensor(good[0]) + "u(" + tensor(good[1]) + "u.")),
      describe({good[0], good[1]}), "a dict that is filled twice");
}

GRADE(4, "a machine without power: programs that go wrong") {
  refuses("cos\nsystem\n(" + text("echo gotcha") + "tR.", "a program that calls os.system");
  refuses("}(" + text("w") + "cbuiltins\neval\n(" + text("1") + "tRu.", "a program that calls eval");
  refuses("}(" + text("w") + number(3) + "u.", "a table with a number in it");
  refuses(number(3) + ".", "a number for a table");
  refuses(".", "nothing for a table");
  refuses("}(" + text("w") + "u.", "a key without a value");
  refuses("}(" + tensor(good[0]) + tensor(good[0]) + "u.", "a name that comes twice");
  refuses("}(" + number(1) + tensor(good[0]).substr(text(good[0].name).size()) + "u.",
          "a number for a name");
  refuses("}t.", "a tuple without a mark");
  refuses("}(t.", "a tuple for a table");
  refuses("}(Q.", "a value taken from below a mark");
  refuses("X\xff\xff\xff\xff.", "a text that is longer than the program");
  refuses("ctorch\nFloatStorage", "a line that does not end");
  refuses("ctorch\nFloatStorage\n(tR.", "a call of what is no function");
  refuses("}(" + text("w") + "ctorch\nFloatStorage\n(" + storage("0", 4) + number(0) + numbers({4}) +
              numbers({1}) + "tRu.",
          "FloatStorage called as if it were _rebuild_tensor_v2");
  refuses("ctorch._utils\n_rebuild_tensor_v2\n(" + storage("0", 4) + number(0) + "tR.",
          "a call with too few arguments");
  refuses(storage("0", 4) + ".", "a storage for a table");
  refuses("\x80\x02}.", "an instruction that is none of the ten");
  for (const exercises::Described& lie : {exercises::Described{"w", "0", 6, 0, {2, 4}, {4, 1}},
                                          exercises::Described{"w", "0", 6, 1, {2, 3}, {3, 1}},
                                          exercises::Described{"w", "0", 6, 0, {2, 3}, {3}},
                                          exercises::Described{"w", "0", 6, 0, {200, 200}, {0, 0}}})
    refuses(table({lie}), "a tensor that does not fit: " + describe({lie}));
}

GRADE(4, "a machine without power: bombs") {
  const std::size_t deep = 100'000;
  refuses(std::string(deep, '(') + std::string(deep, 't') + ".", "a tuple in a tuple, 100 000 deep");
  refuses(std::string(deep, '('), "100 000 marks and no end");
  refuses(std::string(deep, '}'), "100 000 dicts and no end");
}

GRADE(4, "a machine without power: cut off and changed at every byte") {
  const std::string program = table(good);
  for (std::size_t length = 0; length < program.size(); ++length)
    refuses(program.substr(0, length), "a table cut off after " + std::to_string(length) + " bytes");
  std::size_t same = 0, both = 0;
  for (std::size_t at = 0; at < program.size(); ++at)
    for (const int with : {0, 1, 4, 9, 40, 41, 46, 75, 81, 82, 88, 99, 116, 117, 125, 127, 128, 255}) {
      std::string changed = program;
      changed[at] = static_cast<char>(with);
      std::string yours, library;
      const bool you = refused([&] { yours = describe(exercises::read_table(changed)); });
      const bool others = refused([&] { library = by_library(changed); });
      const std::string what = "byte " + std::to_string(at) + " changed to " + std::to_string(with);
      grader::expect(you || !others,
                     what + ": the library refuses this program, yours reads\n" + yours);
      if (you) continue;
      ++both;
      same += yours == library ? 1 : 0;
      grader::expect_equal(yours, library, what);
    }
  grader::show("Your machine and the library's read the same in " + std::to_string(same) + " of the " +
               std::to_string(both) + " changed programs that yours accepts, of " +
               std::to_string(program.size() * 18) + " tried, and neither did anything else.");
}
