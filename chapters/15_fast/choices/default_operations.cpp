// The table that a block starts with: the fast one.
#include <mamba2/fast.hpp>

namespace mamba2 {

template <>
const Operations<float>& default_operations() {
  return fast_operations<float>();
}
template <>
const Operations<double>& default_operations() {
  return fast_operations<double>();
}

}  // namespace mamba2
