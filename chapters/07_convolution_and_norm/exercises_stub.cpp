// The exercises: replace each throw by your code, then run ./book check convolution_and_norm
#include "exercises.hpp"

#include <exercises/not_implemented.hpp>
#include <mamba2/activation.hpp>

#include <cmath>

namespace exercises {

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

// 3. norm(y * silu(z)), or norm(y) * silu(z), each group with its own mean square.
//      norm(v)_i = weight_i v_i / sqrt(mean of v^2 over the group + eps).
Tensor<double, 1> gate_and_norm(const Tensor<double, 1>& y, const Tensor<double, 1>& z,
                                const Tensor<double, 1>& weight, std::size_t groups,
                                bool norm_before_gate, double eps) {
  throw exercises::not_implemented(3);
}

// 4. Four taps for the key channels, four for the value channels.
//      At each odd step: the key of the step before, and the value of the step itself.
Taps taps_of_a_memory() {
  throw exercises::not_implemented(4);
}

}  // namespace exercises
