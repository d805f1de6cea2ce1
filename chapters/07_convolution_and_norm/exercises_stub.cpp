// The exercises: replace each throw by your code, then run ./book check convolution_and_norm
#include "exercises.hpp"

#include <exercises/not_implemented.hpp>
#include <mamba2/activation.hpp>

#include <cmath>

namespace exercises {

using mamba2::zeros;

// 1. y_t = bias + sum over k of taps_k x_{t - (d_conv - 1) + k}; inputs from before the first
// token are in `state`. The newest of them is the state's last number. No SiLU.
Tensor<double, 1> convolve_channel(const Tensor<double, 1>& x, const Tensor<double, 1>& taps,
                                   double bias, const Tensor<double, 1>& state) {
  throw exercises::not_implemented(1);
}

// 2. The last d_conv inputs after the last token, the newest last.
//      x may be shorter than the window, or empty.
Tensor<double, 1> state_after(const Tensor<double, 1>& x, const Tensor<double, 1>& state) {
  throw exercises::not_implemented(2);
}

// 3. tell() is added up over all machines; finish() is given the sum.
//      norm(v)_i = weight_i v_i / sqrt(mean of v^2 over all features + eps).
double tell(const Tensor<double, 1>& y, const Tensor<double, 1>& z, bool norm_before_gate) {
  throw exercises::not_implemented(3);
}

Tensor<double, 1> finish(const Tensor<double, 1>& y, const Tensor<double, 1>& z,
                         const Tensor<double, 1>& weight, bool norm_before_gate, double total,
                         std::size_t features, double eps) {
  throw exercises::not_implemented(3);
}

// 4. What each word brings to x, B, C and dt; and taps and biases, so that a sound is stored under
// the animal two words before it, if "says" stands between the two.
Layer what_the_cat_says(const std::vector<Word>& words) {
  throw exercises::not_implemented(4);
}

}  // namespace exercises
