/// \file checkpoint_format.hpp
/// \brief The kinds of files that weights are stored in: values in a list. Explained in @chapter{language_model}.
#pragma once

#include <mamba2/checkpoint.hpp>

#include <filesystem>
#include <span>
#include <tuple>
#include <vector>

namespace mamba2 {

/// \brief A function that writes tensors to a file, all at once.
template <class Real>
using TensorWriter = void (*)(const std::filesystem::path& path, const std::vector<NamedTensor<Real>>& tensors,
                              ElementType type);

//: format
/// \brief A kind of file that weights are stored in.
struct CheckpointFormat {
  const char* file;                                             ///< its name in a model's directory
  std::vector<TensorEntry> (*read)(const InputFile&);           ///< its table of contents; throws FileError
  std::tuple<TensorWriter<float>, TensorWriter<double>> write;  ///< for numbers of either type
};
//: end

/// \brief The kinds that are known, a choice that chapters make anew. \return in the order in which they are looked for
std::span<const CheckpointFormat> checkpoint_formats();

}  // namespace mamba2
