// These loops are compiled for three levels of instructions, as those of @chapter{fast}.

#include <mamba2/compact_kernels.hpp>

namespace mamba2 {

#define MAMBA2_DECLARE(set)                               \
  namespace set {                                         \
  const CompactKernels<float>& compact_float_kernels();   \
  const CompactKernels<double>& compact_double_kernels(); \
  }
MAMBA2_DECLARE(baseline)
#ifdef __x86_64__
MAMBA2_DECLARE(x86_64_v3)
MAMBA2_DECLARE(x86_64_v4)
#endif

template <>
const CompactKernels<float>& compact_kernels<float>() {
#ifdef __x86_64__
  if (instruction_set() == InstructionSet::x86_64_v4) return x86_64_v4::compact_float_kernels();
  if (instruction_set() == InstructionSet::x86_64_v3) return x86_64_v3::compact_float_kernels();
#endif
  return baseline::compact_float_kernels();
}
template <>
const CompactKernels<double>& compact_kernels<double>() {
#ifdef __x86_64__
  if (instruction_set() == InstructionSet::x86_64_v4) return x86_64_v4::compact_double_kernels();
  if (instruction_set() == InstructionSet::x86_64_v3) return x86_64_v3::compact_double_kernels();
#endif
  return baseline::compact_double_kernels();
}

}  // namespace mamba2
