/// \file safetensors.hpp
/// \brief The safetensors format: a length, a JSON header, the numbers. Explained in @chapter{language_model}.
#pragma once

#include <mamba2/checkpoint_format.hpp>

namespace mamba2 {

/// \brief Read the header of a safetensors file and check every claim it makes.
/// \param file where it lies
/// \return its tensors
/// \throws FileError naming file, tensor or offset, and the reason
std::vector<TensorEntry> read_safetensors(const InputFile& file);

/// \brief Write a safetensors file.
/// \param path    where it shall appear, all at once
/// \param tensors what it shall hold
/// \param type    how numbers are stored
/// \throws FileError if it cannot be written
template <class Real>
void write_safetensors(const std::filesystem::path& path, const std::vector<NamedTensor<Real>>& tensors,
                       ElementType type = ElementType::float32);

/// \brief Safetensors as one of the kinds of files that weights are stored in. \return `model.safetensors` and its functions
CheckpointFormat safetensors_format();

}  // namespace mamba2
