// What must hold of any table of tensors that a reader returns.
#pragma once

#include "target.hpp"

#include <mamba2/checkpoint.hpp>

#include <set>

namespace fuzz {

__extension__ using Wide = unsigned __int128;  // in which no product of two sizes overflows

// The last number that a view reaches, counted from its first, in numbers; no size is zero.
inline Wide reach(const std::vector<std::size_t>& shape, const std::vector<std::size_t>& strides) {
  Wide last = 0;
  for (std::size_t axis = 0; axis < shape.size(); ++axis) last += static_cast<Wide>(shape[axis] - 1) * strides[axis];
  return last;
}

inline bool empty(const std::vector<std::size_t>& shape) {
  for (const std::size_t extent : shape)
    if (extent == 0) return true;
  return false;
}

// Every tensor lies within the file; no name comes twice.
inline void check_table(const std::vector<mamba2::TensorEntry>& tensors, std::size_t file_size) {
  std::set<std::string> names;
  for (const auto& tensor : tensors) {
    promise(names.insert(tensor.name).second, "a name that comes twice");
    promise(tensor.shape.size() == tensor.strides.size(), "a shape and strides of different lengths");
    promise(tensor.offset <= file_size, "a tensor that begins beyond the file");
    if (empty(tensor.shape)) continue;
    const auto bytes = (reach(tensor.shape, tensor.strides) + 1) * mamba2::element_size(tensor.type);
    promise(bytes <= file_size - tensor.offset, "a tensor that ends beyond the file");
  }
}

}  // namespace fuzz
