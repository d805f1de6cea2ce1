// ## The simple format: safetensors {#language_model_safetensors}
//
// A safetensors file has three parts, one after the other:
//
// ::: figure safetensors_layout
// A safetensors file. Eight bytes say how long the header is, the header says what lies where, and
// the rest is numbers without a gap.
// :::
//
// 1. eight bytes: the length $n$ of the header, a little-endian integer;
// 2. $n$ bytes of JSON: an object with one entry per tensor, such as
//    `"backbone.norm_f.weight": {"dtype": "F32", "shape": [768], "data_offsets": [0, 3072]}`.
//    Offsets count from the end of the header, the second is one past the end. The key
//    `__metadata__` is free for remarks;
// 3. the numbers.
//
// That is all, and it is the whole point: nothing in the file can be executed, and a reader needs a
// page of code. But the header is still *claims*. Every one of them can be a lie, by malice or by a
// broken download, and a reader that believes them reads outside its memory. So each is checked,
// and each refusal says which file, which tensor, which number:
//
// - the header must fit into the file, and its first byte must be `{`;
// - the product of the shape times the size of an element must be the number of bytes, without
//   overflow;
// - every range must lie inside the file;
// - the ranges, sorted, must follow each other without overlap and without a hole, up to the last
//   byte. A hole could hide data; an overlap would make two tensors of one.
//
// This is the beginning of one, which the program of this chapter has written:
//
// @output header
//
// And this is what the reader says to three files that lie. Each would pass where sizes are
// multiplied without care, or ranges believed:
//
// @output lies
//
// What is *not* asked for is that a tensor begins at a multiple of its element's size. Three
// numbers of two bytes before a number of four are a valid file, and whoever wants aligned numbers
// has to copy them, as we do.

//: fold Names of kinds of numbers
#include <mamba2/error.hpp>
#include <mamba2/json.hpp>
#include <mamba2/safetensors.hpp>

#include <nlohmann/json.hpp>

#include <algorithm>
#include <bit>
#include <limits>

namespace mamba2 {

static_assert(std::endian::native == std::endian::little,
              "checkpoints are little-endian, and are read as they are");

namespace {

constexpr std::size_t longest_header = std::size_t{32} << 20;

bool parse_dtype(const std::string& name, ElementType& type) {
  if (name == "F32")
    type = ElementType::float32;
  else if (name == "F16")
    type = ElementType::float16;
  else if (name == "BF16")
    type = ElementType::bfloat16;
  else if (name == "F64")
    type = ElementType::float64;
  else
    return false;
  return true;
}

const char* dtype_name(ElementType type) {
  switch (type) {
    case ElementType::float16:
      return "F16";
    case ElementType::bfloat16:
      return "BF16";
    case ElementType::float64:
      return "F64";
    case ElementType::float32:
      break;
  }
  return "F32";
}

// The entry of one tensor has three keys, each with a value of its kind.

std::vector<std::size_t> sizes(const JsonEntry& list) {
  std::vector<std::size_t> result;
  for (std::size_t i = 0; i < list.array().size(); ++i)
    result.push_back(list.element(i).whole(std::numeric_limits<std::size_t>::max()));
  return result;
}

TensorEntry parse_entry(const std::string& name, const JsonEntry& json, std::size_t data,
                        std::size_t data_size) {
  TensorEntry entry{
      .name = name, .type = {}, .shape = sizes(json.require("shape")), .strides = {}, .offset = 0};
  const auto range = sizes(json.require("data_offsets"));
  const JsonEntry dtype = json.require("dtype");
  if (!parse_dtype(dtype.text(), entry.type)) dtype.expected("one of F32, F16, BF16, F64");
  if (range.size() != 2 || range[0] > range[1] || range[1] > data_size)
    json.refuse("data_offsets " + shape_text(range) + " do not lie within the " +
                std::to_string(data_size) + " bytes of data");
  const std::size_t width = element_size(entry.type);
  std::size_t count = 0, bytes = 0;
  if (!element_count(entry.shape, count) || __builtin_mul_overflow(count, width, &bytes) ||
      bytes != range[1] - range[0])
    json.refuse("shape " + shape_text(entry.shape) + " of " + element_name(entry.type) +
                " does not fill data_offsets " + shape_text(range));
  entry.strides = contiguous_strides(entry.shape);
  entry.offset = data + range[0];
  return entry;
}

// Nothing lies twice, and nothing lies between. In the order of their places each tensor has to
// begin where the one before ends.

//: fold No overlap, no hole
void require_no_gaps(const std::vector<TensorEntry>& entries, std::size_t data, std::size_t file_size,
                     const std::string& file) {
  std::vector<const TensorEntry*> in_order;
  for (const auto& entry : entries) in_order.push_back(&entry);
  const auto end_of = [](const TensorEntry& entry) {
    std::size_t count = 0;
    element_count(entry.shape, count);
    return entry.offset + count * element_size(entry.type);
  };
  std::sort(in_order.begin(), in_order.end(), [&](const TensorEntry* a, const TensorEntry* b) {
    return std::pair(a->offset, end_of(*a)) < std::pair(b->offset, end_of(*b));
  });
  std::size_t end = data;
  for (const TensorEntry* entry : in_order) {
    if (entry->offset != end)
      throw FileError(file + ": tensor '" + entry->name + "' begins at byte " +
                      std::to_string(entry->offset) +
                      (entry->offset < end ? ", overlapping the one before, which ends at byte "
                                           : ", leaving a hole after byte ") +
                      std::to_string(end));
    end = end_of(*entry);
  }
  if (end != file_size)
    throw FileError(file + ": " + std::to_string(file_size - end) +
                    " bytes after the last tensor, at byte " + std::to_string(end));
}

}  // namespace

// The reader goes through the claims in the order in which the file makes them.

std::vector<TensorEntry> read_safetensors(const InputFile& file) {
  const std::string where = file.path().string();
  const auto refuse = [&](const std::string& reason) { throw FileError(where + ": " + reason); };
  refuse_stand_in(file.text(0, std::min<std::size_t>(file.size(), 200)), where);
  if (file.size() < 8)
    refuse("only " + std::to_string(file.size()) + " bytes, too short for a safetensors file");
  std::uint64_t header = 0;
  file.read(0, std::as_writable_bytes(std::span(&header, 1)));
  if (header > file.size() - 8)
    refuse("header claims " + std::to_string(header) + " bytes, but only " +
           std::to_string(file.size() - 8) + " follow; truncated, or no safetensors file");
  if (header > longest_header)
    refuse("header of " + std::to_string(header) + " bytes, more than the " +
           std::to_string(longest_header) + " that are read");
  const std::string text = file.text(8, static_cast<std::size_t>(header));
  if (!text.starts_with('{')) refuse("header does not begin with '{' at byte 8");
  const auto json = parse_json(text, where + " (header)", {.bytes = longest_header, .depth = 4});
  const std::size_t data = 8 + text.size();
  std::vector<TensorEntry> entries;
  for (const auto& [name, value] : json.items())
    if (name != "__metadata__")
      entries.push_back(parse_entry(name, JsonEntry(value, where + ": tensor '" + name + "': "), data,
                                    file.size() - data));
  require_no_gaps(entries, data, file.size(), where);
  return entries;
}

// Writing is shorter. The header is padded with spaces so that the numbers begin at a multiple of
// eight: whoever maps the file may then use them where they lie.

template <class Real>
void write_safetensors(const std::filesystem::path& path, const std::vector<NamedTensor<Real>>& tensors,
                       ElementType type) {
  nlohmann::ordered_json header;
  header["__metadata__"]["format"] = "pt";
  std::size_t end = 0;
  for (const auto& tensor : tensors) {
    const std::size_t begin = end;
    end += tensor.data.size() * element_size(type);
    header[tensor.name] = {
        {"dtype", dtype_name(type)}, {"shape", tensor.shape}, {"data_offsets", {begin, end}}};
  }
  std::string text = header.dump();
  text.resize((text.size() + 7) / 8 * 8, ' ');
  const std::uint64_t length = text.size();
  NewFile file(path);
  file.write(std::as_bytes(std::span(&length, 1)));
  file.write(text);
  const std::size_t piece = std::size_t{1} << 20;
  for (const auto& tensor : tensors)
    for (std::size_t i = 0; i < tensor.data.size(); i += piece)
      file.write(encode(tensor.data.subspan(i, std::min(piece, tensor.data.size() - i)), type));
  file.commit();
}

// ### Kinds of files {#language_model_kinds}
//
// There are other files that weights come in. What is to be said of a kind is its name, and how it
// is read and written:
//
// @quote src/mamba2/checkpoint_format.hpp#format
//

CheckpointFormat safetensors_format() {
  return {"model.safetensors", read_safetensors, {write_safetensors<float>, write_safetensors<double>}};
}

// The kinds that are known stand in a list, which so far has one entry. It is a file of its own
// (`choices/checkpoint_formats.cpp`): @chapter{checkpoints}, which reads another kind, makes the
// choice anew, and what follows here need not know.

template void write_safetensors(const std::filesystem::path&, const std::vector<NamedTensor<float>>&,
                                ElementType);
template void write_safetensors(const std::filesystem::path&, const std::vector<NamedTensor<double>>&,
                                ElementType);

}  // namespace mamba2
