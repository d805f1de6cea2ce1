// The safetensors reader: what it reads, and everything it refuses.
#include <mamba2/error.hpp>
#include <mamba2/json.hpp>
#include <mamba2/safetensors.hpp>
#include <support/files.hpp>
#include <support/testing.hpp>

#include <nlohmann/json.hpp>

#include <cmath>

using namespace mamba2;
using namespace testing;
using namespace std::string_literals;

namespace {

std::string safetensors(const std::string& header, const std::string& data) {
  return little_endian(std::uint64_t{header.size()}) + header + data;
}

std::vector<TensorEntry> read(const std::string& bytes) {
  return read_safetensors(InputFile("w.safetensors", std::as_bytes(std::span(bytes))));
}

// The refusal, which must begin with the file's name.
std::string refusal(const std::string& header, const std::string& data) {
  const std::string message = message_of<FileError>([&] { read(safetensors(header, data)); });
  CHECK(message.find("w.safetensors") == 0);
  return message;
}

const std::string eight_bytes(8, '\0');

bool contains(const std::string& text, const std::string& part) {
  INFO(text);
  CHECK(text.find(part) != std::string::npos);
  return true;
}

}  // namespace

TEST_CASE("a safetensors file is read as it was written", "[safetensors]") {
  const TemporaryDirectory directory;
  const std::vector<float> a = {1, -2, 3, 0.5f, 4, 100}, b = {7};
  const std::vector<NamedTensor<float>> tensors = {{"a", {2, 3}, a}, {"b", {}, b}, {"empty", {0, 4}, {}}};
  for (const auto type : {ElementType::float32, ElementType::float16, ElementType::bfloat16, ElementType::float64}) {
    write_safetensors(directory / "model.safetensors", tensors, type);
    const Checkpoint checkpoint = open_checkpoint(directory.path());
    REQUIRE(checkpoint.tensors().size() == 3);
    CHECK(checkpoint.find("c") == nullptr);
    CHECK(checkpoint.find("empty")->shape == std::vector<std::size_t>{0, 4});
    const TensorEntry* entry = checkpoint.find("a");
    REQUIRE(entry != nullptr);
    CHECK(entry->type == type);
    CHECK(entry->shape == std::vector<std::size_t>{2, 3});
    CHECK(entry->offset % 8 == 0);
    std::vector<float> again(6);
    checkpoint.read(*entry, std::span(again));
    CHECK(again == a);
    std::vector<double> one(1);
    checkpoint.read(*checkpoint.find("b"), std::span(one));
    CHECK(one[0] == 7);
    CHECK_THROWS_AS(checkpoint.read(*entry, std::span(one)), ShapeError);
  }
}

TEST_CASE("a header of any length is read, and remarks are passed over", "[safetensors]") {
  const auto entries = read(safetensors(
      R"({"__metadata__":{"by":"hand"},"x":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}  )", eight_bytes));
  REQUIRE(entries.size() == 1);
  CHECK(entries[0].name == "x");
  CHECK(read(safetensors("{}", "")).empty());
}

TEST_CASE("safetensors: lengths that lie are refused", "[safetensors][hostile]") {
  const std::string header = R"({"x":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}})";
  const std::string file = safetensors(header, eight_bytes);
  CHECK(read(file).size() == 1);
  for (std::size_t length = 0; length < file.size(); ++length) {  // truncated anywhere
    CAPTURE(length);
    CHECK_THROWS_AS(read(file.substr(0, length)), FileError);
  }
  contains(message_of<FileError>([&] { read(""); }), "w.safetensors: only 0 bytes");
  contains(message_of<FileError>([&] { read(little_endian(~std::uint64_t{0}) + header); }),
           "header claims 18446744073709551615 bytes, but only " + std::to_string(header.size()) + " follow");
  contains(message_of<FileError>([&] { read(file + "x"); }), "1 bytes after the last tensor, at byte ");
}

TEST_CASE("safetensors: ranges that lie are refused", "[safetensors][hostile]") {
  contains(refusal(R"({"x":{"dtype":"F32","shape":[4],"data_offsets":[0,16]}})", eight_bytes),
           "tensor 'x': data_offsets (0, 16) do not lie within the 8 bytes of data");
  contains(refusal(R"({"x":{"dtype":"F32","shape":[2],"data_offsets":[8,0]}})", eight_bytes), "data_offsets (8, 0)");
  contains(refusal(R"({"x":{"dtype":"F32","shape":[2],"data_offsets":[18446744073709551608,0]}})", eight_bytes),
           "data_offsets (18446744073709551608, 0)");
  contains(
      refusal(
          R"({"x":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"y":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}})",
          eight_bytes),
      "tensor 'y' begins at byte");
  contains(
      refusal(
          R"({"x":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"y":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}})",
          eight_bytes),
      "overlapping the one before");
  contains(refusal(R"({"x":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}})", eight_bytes),
           "leaving a hole after byte");
}

TEST_CASE("safetensors: the format knows no alignment", "[safetensors]") {
  const TemporaryDirectory directory;
  const std::string three_halves = "\x00\x3c\x00\xc0\x00\x38"s, one_float = "\x00\x00\x40\x40"s;  // 1, -2, 0.5; 3
  write_file(directory / "model.safetensors",
             safetensors(R"({"halves":{"dtype":"F16","shape":[3],"data_offsets":[0,6]},)"
                         R"("float":{"dtype":"F32","shape":[1],"data_offsets":[6,10]},)"
                         R"("double":{"dtype":"F64","shape":[1],"data_offsets":[10,18]}})",
                         three_halves + one_float + std::string(6, '\0') + "\xf0\x3f"s));
  const Checkpoint checkpoint = open_checkpoint(directory.path());
  std::vector<float> halves(3);
  std::vector<double> one(1);
  checkpoint.read(*checkpoint.find("halves"), std::span(halves));
  CHECK(halves == std::vector<float>{1, -2, 0.5f});
  checkpoint.read(*checkpoint.find("float"), std::span(one));
  CHECK(one[0] == 3);
  checkpoint.read(*checkpoint.find("double"), std::span(one));
  CHECK(one[0] == 1);
}

TEST_CASE("safetensors: shapes that lie are refused", "[safetensors][hostile]") {
  const auto with_shape = [](const std::string& shape) {
    return refusal(R"({"x":{"dtype":"F32","shape":)" + shape + R"(,"data_offsets":[0,8]}})", eight_bytes);
  };
  contains(with_shape("[3]"), "tensor 'x': shape (3) of float32 does not fill data_offsets (0, 8)");
  contains(with_shape("[1000000000000,1000000000000]"), "does not fill");
  contains(with_shape("[4294967296,4294967296,2]"), "does not fill");  // the product is 2 to the 65
  contains(with_shape("[4611686018427387906]"), "does not fill");      // times 4 bytes it wraps to 8
  contains(with_shape("[9223372036854775809,2]"), "does not fill");    // wraps to 2
  contains(with_shape("[-2]"), "shape[0]: expected a whole number from 0 to 18446744073709551615, got -2");
  contains(with_shape("[2.0]"), "shape[0]: expected a whole number from 0 to 18446744073709551615, got 2.0");
  contains(with_shape("[1e300]"), "shape[0]: expected a whole number");
  contains(with_shape("[\"2\"]"), "got \"2\"");
  contains(with_shape("2"), "tensor 'x': shape: expected a list, got 2");
  contains(with_shape("[[2]]"), "got [2]");
}

TEST_CASE("safetensors: headers of another make are refused", "[safetensors][hostile]") {
  contains(refusal("[]", ""), "header does not begin with '{' at byte 8");
  contains(refusal(" {}", ""), "header does not begin with '{' at byte 8");
  contains(refusal("", eight_bytes), "header does not begin with '{' at byte 8");
  contains(refusal("{", ""), "not valid JSON near byte");
  contains(refusal("{\"x\":1}", ""), "tensor 'x': expected an object, got 1");
  contains(refusal(R"({"x":{"shape":[2],"data_offsets":[0,8]}})", eight_bytes), "tensor 'x': dtype: missing");
  contains(refusal(R"({"x":{"dtype":"I64","shape":[1],"data_offsets":[0,8]}})", eight_bytes),
           "dtype: expected one of F32, F16, BF16, F64, got \"I64\"");
  contains(refusal(R"({"x":{"dtype":3,"shape":[1],"data_offsets":[0,8]}})", eight_bytes),
           "dtype: expected a text, got 3");
  contains(refusal(R"({"x":{"dtype":"F32","shape":[2]}})", eight_bytes), "data_offsets: missing");
  contains(refusal(R"({"x":{"dtype":"F32","shape":[2],"data_offsets":[0,8,9]}})", eight_bytes),
           "data_offsets (0, 8, 9)");
  contains(
      refusal(
          R"({"x":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"x":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}})",
          eight_bytes),
      "key 'x' comes twice");
  contains(refusal("{\"\xff\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}}", eight_bytes),
           "not valid JSON");
  contains(refusal("{\"x\":"s.append(100000, '['), ""), "nested more than 4 deep");
  contains(refusal("{\"x\":"s + std::string(5000, '{'), ""), "not valid JSON near byte");
}

TEST_CASE("safetensors: names that would control the terminal or fill it are cut to size", "[safetensors][hostile]") {
  contains(refusal("{\"\\u001b[2J\":1}", ""), "tensor '?[2J': expected an object, got 1");
  const std::string message = refusal("{\""s.append(1'000'000, 'n') + "\":1}", "");
  contains(message, "nnn ... nnn");
  contains(message, "expected an object, got 1");
  CHECK(message.size() < 10'000);
}

TEST_CASE("what lies in place of weights is called by its name", "[safetensors][json][hostile]") {
  const std::string pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:4665\nsize 516\n";
  const auto weights = [](const std::string& bytes) { return message_of<FileError>([&] { read(bytes); }); };
  const auto json = [](const std::string& text) {
    return message_of<FileError>([&] { parse_json(text, "tokenizer.json"); });
  };
  contains(weights(pointer), "w.safetensors: is a pointer of Git LFS, not the file");
  contains(json(pointer), "tokenizer.json: is a pointer of Git LFS, not the file");
  for (const char* page : {"<!DOCTYPE html>\n<html>", "\xef\xbb\xbf  <!doctype HTML>", "\n\n<HTML lang=en>",
                           "<?xml version=\"1.0\"?><Error><Code>AccessDenied</Code></Error>"}) {
    contains(weights(page), "w.safetensors: is a web page, not the file");
    contains(json(page), "tokenizer.json: is a web page, not the file");
  }
  contains(json("<"), "not valid JSON");
  contains(json("version"), "not valid JSON");
}

TEST_CASE("JSON: an entry knows its place and what nobody has asked for", "[json]") {
  const auto json =
      parse_json(R"({"a":{"b":[1,-2,"x"],"c":null,"on":true},"d":1.5,"e":{"__float__":"-Infinity"}})", "f");
  const JsonEntry file(json, "f.json: ");
  const JsonEntry a = file.at("a"), b = a.at("b");
  CHECK(b.element(0).whole(1) == 1);
  CHECK(b.element(2).text() == "x");
  CHECK(a.at("on").flag());
  CHECK(file.at("d").real() == 1.5);
  CHECK(std::isinf(file.at("e").real()));
  CHECK(a.at("c").null());
  CHECK(a.at("none").null());
  CHECK(a.unasked().empty());
  CHECK(file.unasked().empty());
  CHECK(JsonEntry(json, "f.json: ").unasked() == std::vector<std::string>{"a", "d", "e"});
  const auto message = [](auto&& ask) { return message_of<FileError>(ask); };
  CHECK(message([&] { (void)b.element(1).whole(9); }) == "f.json: a.b[1]: expected a whole number from 0 to 9, got -2");
  CHECK(message([&] { (void)b.element(0).whole(0); }) == "f.json: a.b[0]: expected a whole number from 0 to 0, got 1");
  CHECK(message([&] { (void)b.element(2).real(); }) == "f.json: a.b[2]: expected a number, got \"x\"");
  CHECK(message([&] { (void)b.at("k"); }) == "f.json: a.b: expected an object, got [1,-2,\"x\"]");
  CHECK(message([&] { (void)a.array(); }).starts_with("f.json: a: expected a list, got {"));
  CHECK(message([&] { (void)a.require("c"); }) == "f.json: a.c: missing");
  CHECK(message([&] { (void)file.at("d").flag(); }) == "f.json: d: expected true or false, got 1.5");
  CHECK(message([&] { (void)file.at("d").text(); }) == "f.json: d: expected a text, got 1.5");
  CHECK(message([&] { file.refuse("no"); }) == "f.json: no");
  const auto long_one = parse_json("[\""s.append(1000, 'x') + "\"]", "f");
  CHECK(message([&] { (void)JsonEntry(long_one, "f: ").object(); }).size() < 120);
}

TEST_CASE("a file is read where it is asked for, and an end that comes too early is an error", "[files]") {
  const TemporaryDirectory directory;
  write_file(directory / "f", "0123456789");
  const std::string bytes = "0123456789";
  const InputFile on_disk(directory / "f"), in_memory("f", std::as_bytes(std::span(bytes)));
  for (const InputFile* file : {&on_disk, &in_memory}) {
    CHECK(file->size() == 10);
    CHECK(file->text(0, 10) == bytes);
    CHECK(file->text(3, 4) == "3456");
    CHECK(file->text(10, 0).empty());
    contains(message_of<FileError>([&] { (void)file->text(8, 3); }), "f: ends too early");
    contains(message_of<FileError>([&] { (void)file->text(11, 0); }), "f: ends too early");
    contains(message_of<FileError>([&] { (void)file->text(~std::size_t{0}, 2); }), "f: ends too early");
  }
  std::filesystem::resize_file(directory / "f", 5);
  CHECK(on_disk.text(0, 5) == "01234");
  contains(message_of<FileError>([&] { (void)on_disk.text(3, 4); }),
           "f: has become shorter while it was read: it ends before byte 5, and had 10");
}

TEST_CASE("JSON: limits, doubled keys, Python's words", "[json][hostile]") {
  const auto message = [](const std::string& text, const JsonLimits& limits = {}) {
    return message_of<FileError>([&] { parse_json(text, "f.json", limits); });
  };
  contains(message(std::string(1'000'000, '[')), "f.json: nested more than 64 deep");
  contains(message("[1,2,3,4,5,6]", {.values = 5}), "more than 5 values");
  contains(message("[1]", {.bytes = 2}), "f.json: 3 bytes of JSON, more than the 2");
  contains(message(R"({"a":{"b":1,"c":2,"b":3}})"), "key 'b' comes twice");
  contains(message("[1e999]"), "f.json: not valid JSON");
  contains(message("{\"a\":\"\xc3\x28\"}"), "not valid JSON near byte");
  contains(message(""), "not valid JSON");
  contains(message("[1] [2]"), "not valid JSON near byte 5");
  contains(message("[1]\0[2]"s), "f.json: not valid JSON: a zero byte, byte 3");
  CHECK(parse_json(R"({"a":{"b":1},"c":{"b":1}})", "f").size() == 2);  // the same key in two objects is none twice
  CHECK(parse_json("[0.0, Infinity, -Infinity, NaN]", "f") ==
        nlohmann::json::parse(R"([0.0, "Infinity", "-Infinity", "NaN"])"));
  CHECK(parse_json(R"({"NaN": "a \" Infinity \\"})", "f")["NaN"] == "a \" Infinity \\");
}
