// The exercises: replace each throw by your code, then run ./book check one_token_at_a_time
#include "exercises.hpp"

#include <exercises/not_implemented.hpp>
#include <mamba2/activation.hpp>

#include <algorithm>
#include <cmath>

namespace exercises {

// 1. The new input takes the place of the oldest; `newest` then points at it. Return bias plus the
// weighted sum: the last tap for the newest input, the first for the oldest.
double ring_step(double x, const Tensor<double, 1>& taps, double bias, Ring& ring) {
  throw exercises::not_implemented(1);
}

// 2. Step size: bias, softplus, limits. State: fade, write. Output: read, plus D x.
//      The state is changed in place.
Tensor<double, 1> head_step(const Head& head, const Tensor<double, 1>& x, double raw_dt,
                            const Tensor<double, 1>& B, const Tensor<double, 1>& C,
                            Tensor<double, 2>& state) {
  throw exercises::not_implemented(2);
}

// 3. The least number of tokens whose keys and values are more numbers than conv_state and
// ssm_state. One sequence; per layer a key and a value of d_model numbers for each token.
std::size_t attention_needs_more(const mamba2::Mamba2Sizes& sizes) {
  throw exercises::not_implemented(3);
}

}  // namespace exercises
