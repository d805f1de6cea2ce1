#include <mamba2/mamba3_gradient.hpp>
#include <mamba2/model_gradient.hpp>

#include <array>

namespace mamba2 {
namespace {

template <class Real>
std::span<const MixerGradient<Real>> known() {
  static const std::array gradients{mamba2_backward<Real>(), gated_mlp_backward<Real>(),
                                    mamba3_backward<Real>()};
  return gradients;
}

}  // namespace

template <>
std::span<const MixerGradient<float>> mixer_gradients() {
  return known<float>();
}
template <>
std::span<const MixerGradient<double>> mixer_gradients() {
  return known<double>();
}

}  // namespace mamba2
