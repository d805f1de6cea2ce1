// Arrays in files of NumPy's format: ids in, scores out.
#pragma once

#include <mamba2/mapped_file.hpp>
#include <mamba2/tensor.hpp>

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace app {

// Whole numbers of one axis (a text) or two (batch, seqlen), stored with 1, 2, 4 or 8 bytes, signed or not.
// Throws mamba2::FileError for anything else.
mamba2::Tensor<std::int64_t, 2> read_ids(const std::filesystem::path& path);
// The same from the bytes of such a file; `where` is its name, for messages.
mamba2::Tensor<std::int64_t, 2> parse_ids(std::string_view bytes, const std::string& where);

// An array of float32 that is written row by row. The file appears when it is complete.
class NewNpy {
 public:
  NewNpy(const std::filesystem::path& path, const std::vector<std::size_t>& shape);
  // More numbers, the last axis fastest.
  void write(std::span<const float> numbers) { file_.write(std::as_bytes(numbers)); }
  void commit() { file_.commit(); }

 private:
  mamba2::NewFile file_;
};

}  // namespace app
