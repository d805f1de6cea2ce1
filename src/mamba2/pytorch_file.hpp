/// \file pytorch_file.hpp
/// \brief PyTorch's `pytorch_model.bin`: a zip archive of one pickle and the numbers it speaks of. Explained in @chapter{checkpoints}.
#pragma once

#include <mamba2/checkpoint_format.hpp>

namespace mamba2 {

/// \brief Read the table of contents of a file that torch.save() wrote, executing nothing.
/// \param file where it lies
/// \return its tensors; two may share their numbers
/// \throws FileError naming file, entry or offset, and the reason
std::vector<TensorEntry> read_pytorch_file(const InputFile& file);

/// \brief Write a file that torch.load() reads.
/// \param path    where it shall appear, all at once
/// \param tensors what it shall hold; tensors that share their memory are stored once
/// \param type    how numbers are stored
/// \throws FileError if it cannot be written
template <class Real>
void write_pytorch_file(const std::filesystem::path& path, const std::vector<NamedTensor<Real>>& tensors,
                        ElementType type = ElementType::float32);

/// \brief PyTorch's file as one of the kinds that weights are stored in. \return `pytorch_model.bin` and its functions
CheckpointFormat pytorch_format();

}  // namespace mamba2
