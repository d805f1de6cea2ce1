// Our solutions.
#include "exercises.hpp"

#include <mamba2/activation.hpp>

#include <algorithm>
#include <cmath>

namespace exercises {

//: 1
double ring_step(double x, const Tensor<double, 1>& taps, double bias, Ring& ring) {
  const std::size_t width = taps.size();
  ring.newest = (ring.newest + 1) % width;  // right of the newest lies the oldest
  ring.inputs(ring.newest) = x;
  double sum = bias;
  for (std::size_t k = 0; k < width; ++k) {  // k steps back
    sum += taps(width - 1 - k) * ring.inputs((ring.newest + width - k) % width);
  }
  return sum;
}
//: end

//: 2
Tensor<double, 1> head_step(const Head& head, const Tensor<double, 1>& x, double raw_dt,
                            const Tensor<double, 1>& B, const Tensor<double, 1>& C,
                            Tensor<double, 2>& state) {
  const double dt = std::clamp(mamba2::softplus(raw_dt + head.dt_bias), head.dt_min, head.dt_max);
  const double decay = std::exp(dt * head.A);
  Tensor<double, 1> y = mamba2::zeros<double>(x.size());
  for (std::size_t p = 0; p < x.size(); ++p) {
    y(p) = head.D * x(p);
    for (std::size_t n = 0; n < B.size(); ++n) {
      state(p, n) = decay * state(p, n) + dt * x(p) * B(n);
      y(p) += state(p, n) * C(n);
    }
  }
  return y;
}
//: end

//: 3
std::size_t attention_needs_more(const mamba2::Mamba2Sizes& sizes) {
  const std::size_t conv = sizes.conv_dim * sizes.d_conv;
  const std::size_t ssm = sizes.nheads * sizes.headdim * sizes.d_state;
  const std::size_t per_token = 2 * sizes.d_model;  // a key and a value
  return (conv + ssm) / per_token + 1;              // layers cancel
}
//: end

}  // namespace exercises
