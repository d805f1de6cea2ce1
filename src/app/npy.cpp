#include "npy.hpp"

#include <mamba2/error.hpp>
#include <mamba2/mapped_file.hpp>

#include <algorithm>
#include <charconv>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

namespace app {

namespace {

// A .npy file: "\x93NUMPY", two bytes of version, the length of a header, the header (a Python dict as text), the numbers.
class NpyFile {
 public:
  NpyFile(std::string_view bytes, const std::string& where) : where_(where) {
    if (bytes.size() < 12 || !bytes.starts_with("\x93NUMPY")) refuse("no .npy file");
    const bool old = bytes[6] == 1;
    std::uint32_t length = 0;
    std::memcpy(&length, bytes.data() + 8, old ? 2 : 4);
    const std::size_t begin = old ? 10 : 12;
    if (length > bytes.size() - begin) refuse("its header ends too early");
    header_ = bytes.substr(begin, length);
    data_ = bytes.substr(begin + length);
  }

  [[noreturn]] void refuse(const std::string& reason) const { throw mamba2::FileError(where_ + ": " + reason); }
  // What stands behind 'key': in the header.
  std::string_view value(const std::string& key) const {
    const std::size_t at = header_.find("'" + key + "':");
    if (at == std::string_view::npos) refuse("its header has no '" + key + "'");
    std::string_view rest = header_.substr(at + key.size() + 3);
    rest.remove_prefix(std::min(rest.find_first_not_of(' '), rest.size()));
    return rest;
  }
  std::vector<std::size_t> shape() const {
    const std::string_view rest = value("shape");
    const std::string_view list = rest.substr(0, rest.find(')'));
    if (!list.starts_with("(") || list.find_first_not_of("0123456789, ", 1) != std::string_view::npos)
      refuse("its shape is no list of sizes in parentheses");
    std::vector<std::size_t> sizes;
    for (std::size_t at = 1; (at = list.find_first_of("0123456789", at)) != std::string_view::npos;) {
      std::size_t size = 0;
      const auto [end, error] = std::from_chars(list.data() + at, list.data() + list.size(), size);
      sizes.push_back(size);
      if (error != std::errc() || sizes.size() > 2) refuse("expected a shape of one or two sizes");
      at = static_cast<std::size_t>(end - list.data());
    }
    return sizes;
  }
  std::string_view data() const { return data_; }

 private:
  const std::string& where_;
  std::string_view header_, data_;
};

template <class Stored>
void convert(std::string_view data, mamba2::Tensor<std::int64_t, 2>& ids) {
  for (std::size_t i = 0; i < ids.size(); ++i) {
    Stored stored;
    std::memcpy(&stored, data.data() + i * sizeof(Stored), sizeof(Stored));
    ids.data()[i] = static_cast<std::int64_t>(stored);
  }
}

}  // namespace

mamba2::Tensor<std::int64_t, 2> parse_ids(std::string_view bytes, const std::string& where) {
  const NpyFile file(bytes, where);
  const std::string_view quoted = file.value("descr");  // such as '<i8'
  const std::string_view type = quoted.size() < 5 ? quoted : quoted.substr(1, 3);
  if (!file.value("fortran_order").starts_with("False")) file.refuse("stored in Fortran's order");
  auto shape = file.shape();
  if (shape.empty() || shape.size() > 2) file.refuse("expected ids of shape (seqlen) or (batch, seqlen)");
  if (shape.size() == 1) shape.insert(shape.begin(), 1);
  const bool whole = type.size() == 3 && (type[1] == 'i' || type[1] == 'u') && type[0] != '>';
  const std::size_t width = whole ? static_cast<std::size_t>(type[2] - '0') : 0;
  if (width != 1 && width != 2 && width != 4 && width != 8)
    file.refuse("expected whole numbers, got type " + std::string(type));
  std::size_t count = 0;
  if (__builtin_mul_overflow(shape[0], shape[1], &count) || count > file.data().size() / width ||
      count * width != file.data().size())
    file.refuse("its shape " + mamba2::shape_text(shape) + " does not match its " + std::to_string(file.data().size()) +
                " bytes of numbers");
  if (count == 0) file.refuse("holds no ids, its shape is " + mamba2::shape_text(shape));
  auto ids = mamba2::Tensor<std::int64_t, 2>::from_shape({shape[0], shape[1]});
  const bool is_signed = type[1] == 'i';
  switch (width) {
    case 1:
      is_signed ? convert<std::int8_t>(file.data(), ids) : convert<std::uint8_t>(file.data(), ids);
      break;
    case 2:
      is_signed ? convert<std::int16_t>(file.data(), ids) : convert<std::uint16_t>(file.data(), ids);
      break;
    case 4:
      is_signed ? convert<std::int32_t>(file.data(), ids) : convert<std::uint32_t>(file.data(), ids);
      break;
    default:
      convert<std::int64_t>(file.data(), ids);
  }
  return ids;
}

mamba2::Tensor<std::int64_t, 2> read_ids(const std::filesystem::path& path) {
  return parse_ids(mamba2::read_text_file(path, std::size_t{1} << 30), path.string());
}

NewNpy::NewNpy(const std::filesystem::path& path, const std::vector<std::size_t>& shape) : file_(path) {
  std::string header = "{'descr': '<f4', 'fortran_order': False, 'shape': " + mamba2::shape_text(shape) + ", }";
  header.append(63 - (10 + header.size()) % 64, ' ') += '\n';  // the numbers begin at a multiple of 64
  file_.write(std::string("\x93NUMPY\x01\x00", 8));
  const auto length = static_cast<std::uint16_t>(header.size());
  file_.write(std::as_bytes(std::span(&length, 1)));
  file_.write(header);
}

}  // namespace app
