// The table that a block starts with: the clear forms, until a later chapter chooses another.
#include <mamba2/operations.hpp>

namespace mamba2 {

template <>
const Operations<float>& default_operations() {
  return plain_operations<float>();
}
template <>
const Operations<double>& default_operations() {
  return plain_operations<double>();
}

}  // namespace mamba2
