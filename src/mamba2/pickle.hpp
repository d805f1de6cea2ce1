/// \file pickle.hpp
/// \brief A machine for the few pickle instructions that a table of tensors needs, and for no others. Explained in @chapter{checkpoints}.
#pragma once

#include <mamba2/checkpoint.hpp>

#include <cstddef>
#include <span>
#include <string>
#include <vector>

namespace mamba2 {

/// \brief A tensor as PyTorch's pickle describes it: a view of a storage that lies elsewhere.
struct PickledTensor {
  std::string name;                  ///< its key in the state dict
  std::string storage;               ///< the storage's key: the file `data/KEY` of the archive
  ElementType type;                  ///< how the storage's numbers are stored
  std::size_t storage_size;          ///< how many numbers the storage claims to have
  std::size_t offset;                ///< the tensor's first number within the storage
  std::vector<std::size_t> shape;    ///< sizes, outermost first
  std::vector<std::size_t> strides;  ///< distance between neighbours along each axis, in numbers
};

/// \brief The longest pickle that is read, in bytes.
inline constexpr std::size_t longest_pickle = std::size_t{16} << 20;

/// \brief Read a pickled state dict without executing anything: a dict of tensors, or a dict that holds one under the key
/// `state_dict`, `model_state_dict`, `model_state`, `model` or `module`. Protocols 2 to 5.
/// \param pickle the whole of `data.pkl`
/// \param where  the file's name, for messages
/// \return the tensors, in the order of the dict; each lies inside the storage it claims
/// \throws FileError naming file, offset and reason: an instruction or a global that is not on the list, a value of the wrong kind, a limit passed
std::vector<PickledTensor> read_state_dict(std::span<const std::byte> pickle, const std::string& where);

/// \brief The pickle of a state dict, as torch.save() would write it.
/// \param tensors what it shall describe
/// \return the bytes of `data.pkl`
std::string write_state_dict(const std::vector<PickledTensor>& tensors);

}  // namespace mamba2
