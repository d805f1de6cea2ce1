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
