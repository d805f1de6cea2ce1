#include <mamba2/mamba3.hpp>
#include <mamba2/mixer_kinds.hpp>

#include <array>

namespace mamba2 {

std::span<const MixerKind> mixer_kinds() {
  static const std::array kinds{mamba2_kind(), mamba1_kind(), mamba3_kind()};
  return kinds;
}

}  // namespace mamba2
