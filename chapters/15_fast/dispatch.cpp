// ### Picking a set {#fast_dispatch}
//
// Three sets are compiled: for any 64-bit processor, for those of about 2013 and later (eight
// floats at once, multiply and add in one), and for those with AVX-512. BLAS does the same within
// itself. So one program runs everywhere and at full speed almost everywhere.

#include <mamba2/error.hpp>
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

struct Set {
  std::string_view name;
  bool runs;  // on this processor
  const Kernels<float>& (*single)();
  const Kernels<double>& (*both)();
};

// The best first.
const std::array sets{
#ifdef __x86_64__
    Set{"x86_64_v4",
        __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
            __builtin_cpu_supports("avx512cd") && __builtin_cpu_supports("avx512dq") &&
            __builtin_cpu_supports("avx512vl"),
        x86_64_v4::float_kernels, x86_64_v4::double_kernels},
    Set{"x86_64_v3",
        __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
            __builtin_cpu_supports("bmi") && __builtin_cpu_supports("bmi2"),
        x86_64_v3::float_kernels, x86_64_v3::double_kernels},
#endif
    Set{"baseline", true, baseline::float_kernels, baseline::double_kernels}};

std::atomic<const Set*>& chosen() {
  static std::atomic<const Set*> set =
      std::find_if(sets.begin(), sets.end(), [](const Set& s) { return s.runs; });
  return set;
}

}  // namespace

void use_instruction_set(std::string_view name) {
  const auto set = std::find_if(sets.begin(), sets.end(), [&](const Set& s) {
    return s.runs && (name.empty() || s.name == name);
  });
  require(set != sets.end(), "instruction set", "one that this processor has", std::string(name));
  chosen() = &*set;
}

template <>
const Kernels<float>& kernels<float>() {
  return chosen().load()->single();
}
template <>
const Kernels<double>& kernels<double>() {
  return chosen().load()->both();
}

}  // namespace mamba2
