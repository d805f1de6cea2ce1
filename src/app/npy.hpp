// Arrays in files of NumPy's format: ids in, scores out.
#pragma once

#include <mamba2/tensor.hpp>

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>

namespace app {

// Whole numbers of one axis (a text) or two (batch, seqlen), stored with 1, 2, 4 or 8 bytes, signed or not.
// Throws mamba2::FileError for anything else.
mamba2::Tensor<std::int64_t, 2> read_ids(const std::filesystem::path& path);
// The same from the bytes of such a file; `where` is its name, for messages.
mamba2::Tensor<std::int64_t, 2> parse_ids(std::string_view bytes, const std::string& where);

// (batch, seqlen, vocab) float32; the file appears when it is complete.
void write_npy(const std::filesystem::path& path, const mamba2::Tensor<float, 3>& values);

}  // namespace app
