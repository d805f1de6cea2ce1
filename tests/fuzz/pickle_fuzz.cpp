// The pickle inside PyTorch's files. Whatever is accepted describes tensors that lie within their storages.
#include "tables.hpp"

#include <mamba2/pickle.hpp>

FUZZ_TARGET(pickle) {
  for (const auto& tensor : mamba2::read_state_dict(fuzz::as_bytes(bytes), fuzz::file)) {
    fuzz::promise(tensor.shape.size() == tensor.strides.size(), "a shape and strides of different lengths");
    fuzz::promise(tensor.offset <= tensor.storage_size, "a tensor that begins beyond its storage");
    if (fuzz::empty(tensor.shape)) continue;
    fuzz::promise(tensor.offset + fuzz::reach(tensor.shape, tensor.strides) < tensor.storage_size,
                  "a tensor that ends beyond its storage");
  }
}
