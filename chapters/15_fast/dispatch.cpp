// ### Picking a set {#fast_dispatch}
//
// Three sets are compiled: for any 64-bit processor, for those of about 2013 and later (eight
// floats at once, multiply and add in one), and for those with AVX-512. BLAS does the same within
// itself. So one program runs everywhere and at full speed almost everywhere.

#include <mamba2/error.hpp>
#include <mamba2/instruction_set.hpp>
#include <mamba2/kernels.hpp>

#include <algorithm>
#include <array>
#include <atomic>
#include <string>
#include <string_view>

namespace mamba2 {

#define MAMBA2_DECLARE(set)                \
  namespace set {                          \
  const Kernels<float>& float_kernels();   \
  const Kernels<double>& double_kernels(); \
  }
MAMBA2_DECLARE(baseline)
#ifdef __x86_64__
MAMBA2_DECLARE(x86_64_v3)
MAMBA2_DECLARE(x86_64_v4)
#endif

namespace {

bool runs(InstructionSet set) {
#ifdef __x86_64__
  if (set == InstructionSet::x86_64_v4)
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512cd") && __builtin_cpu_supports("avx512dq") &&
           __builtin_cpu_supports("avx512vl");
  if (set == InstructionSet::x86_64_v3)
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
           __builtin_cpu_supports("bmi") && __builtin_cpu_supports("bmi2");
#endif
  return set == InstructionSet::baseline;
}

constexpr std::array best_first{InstructionSet::x86_64_v4, InstructionSet::x86_64_v3,
                                InstructionSet::baseline};

std::atomic<InstructionSet>& chosen() {
  static std::atomic set = *std::find_if(best_first.begin(), best_first.end(), runs);
  return set;
}

}  // namespace

InstructionSet instruction_set() {
  return chosen();
}

const char* name_of(InstructionSet set) {
  if (set == InstructionSet::baseline) return "baseline";
  return set == InstructionSet::x86_64_v3 ? "x86_64_v3" : "x86_64_v4";
}

void use_instruction_set(std::string_view name) {
  const auto set = std::find_if(best_first.begin(), best_first.end(), [&](InstructionSet s) {
    return runs(s) && (name.empty() || name_of(s) == name);
  });
  require(set != best_first.end(), "instruction set", "one that this processor has", std::string(name));
  chosen() = *set;
}

template <>
const Kernels<float>& kernels<float>() {
#ifdef __x86_64__
  if (instruction_set() == InstructionSet::x86_64_v4) return x86_64_v4::float_kernels();
  if (instruction_set() == InstructionSet::x86_64_v3) return x86_64_v3::float_kernels();
#endif
  return baseline::float_kernels();
}
template <>
const Kernels<double>& kernels<double>() {
#ifdef __x86_64__
  if (instruction_set() == InstructionSet::x86_64_v4) return x86_64_v4::double_kernels();
  if (instruction_set() == InstructionSet::x86_64_v3) return x86_64_v3::double_kernels();
#endif
  return baseline::double_kernels();
}

}  // namespace mamba2
