// The safetensors reader: what it reads, and everything it refuses.
#include <mamba2/error.hpp>
#include <mamba2/json.hpp>
#include <mamba2/safetensors.hpp>
#include <support/files.hpp>
#include <support/testing.hpp>

#include <nlohmann/json.hpp>

#include <cstring>

using namespace mamba2;
using namespace testing;
using namespace std::string_literals;

namespace {

std::string safetensors(const std::string& header, const std::string& data) {
  return little_endian(std::uint64_t{header.size()}) + header + data;
}

std::vector<TensorEntry> read(const std::string& bytes) {
  return read_safetensors(std::as_bytes(std::span(bytes)), "w.safetensors");
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
  contains(
      refusal(
          R"({"x":{"dtype":"F16","shape":[1],"data_offsets":[0,2]},"y":{"dtype":"F32","shape":[1],"data_offsets":[2,6]},"z":{"dtype":"F16","shape":[1],"data_offsets":[6,8]}})",
          eight_bytes),
      "tensor 'y': begins at byte 2 of the data, misaligned");
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
  contains(with_shape("[-2]"), "shape holds -2, no size");
  contains(with_shape("[2.0]"), "shape holds 2.0, no size");
  contains(with_shape("[1e300]"), "no size");
  contains(with_shape("[\"2\"]"), "no size");
  contains(with_shape("2"), "shape is missing or no list");
  contains(with_shape("[[2]]"), "no size");
}

TEST_CASE("safetensors: headers of another make are refused", "[safetensors][hostile]") {
  contains(refusal("[]", ""), "header is no JSON object");
  contains(refusal("{", ""), "not valid JSON near byte");
  contains(refusal("{\"x\":1}", ""), "tensor 'x': shape is missing");
  contains(refusal(R"({"x":{"shape":[2],"data_offsets":[0,8]}})", eight_bytes), "tensor 'x': dtype is missing");
  contains(refusal(R"({"x":{"dtype":"I64","shape":[1],"data_offsets":[0,8]}})", eight_bytes), "dtype I64 is none of");
  contains(refusal(R"({"x":{"dtype":3,"shape":[1],"data_offsets":[0,8]}})", eight_bytes),
           "dtype is missing or no text");
  contains(refusal(R"({"x":{"dtype":"F32","shape":[2]}})", eight_bytes), "data_offsets is missing");
  contains(refusal(R"({"x":{"dtype":"F32","shape":[2],"data_offsets":[0,8,9]}})", eight_bytes),
           "data_offsets (0, 8, 9)");
  contains(
      refusal(
          R"({"x":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"x":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}})",
          eight_bytes),
      "key 'x' comes twice");
  contains(refusal("{\"\xff\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}}", eight_bytes),
           "not valid JSON");
  contains(refusal(std::string(100000, '['), ""), "nested more than 4 deep");
  contains(refusal("{\"x\":"s + std::string(5000, '{'), ""), "not valid JSON near byte");
}

TEST_CASE("safetensors: names that would control the terminal or fill it are cut to size", "[safetensors][hostile]") {
  contains(refusal("{\"\\u001b[2J\":1}", ""), "tensor '?[2J': shape is missing");
  std::string header = "{\"";
  const std::string message = refusal(header.append(1'000'000, 'n').append("\":1}"), "");
  contains(message, "nnn ... nnn");
  contains(message, "shape is missing or no list");
  CHECK(message.size() < 10'000);
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
