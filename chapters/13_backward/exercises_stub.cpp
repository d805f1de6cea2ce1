// The exercises: replace each throw by your code, then run ./book check backward
#include "exercises.hpp"

#include <exercises/not_implemented.hpp>
#include <mamba2/activation.hpp>
#include <mamba2/chunked_scan.hpp>

#include <algorithm>
#include <cmath>
#include <vector>

namespace exercises {

using namespace mamba2;  // silu(), zeros(), as_matrix(), as_span(), row_block(), multiply(), decay_from_start()

// 1. The adjoint of A_bar = e^(dt A), B_bar = (e^(dt A) - 1) / A.
// A and dt are each used in both: two terms.
HoldGradient hold_gradient(double A, double dt, double dA_bar, double dB_bar) {
  throw not_implemented(1);
}

// 2. Back through u = y silu(z) and out = weight u / r, the last link first.
// All features of a group have a part in its r.
NormGradient norm_gradient(const Tensor<double, 1>& y, const Tensor<double, 1>& z,
                           const Tensor<double, 1>& weight, std::size_t groups, double eps,
                           const Tensor<double, 1>& dout) {
  throw not_implemented(2);
}

// 3. Back through X = dt x and a = dt A.
// The step size is used twice, the rate by every token.
HeadGradient head_gradient(const Tensor<double, 2>& x, const Tensor<double, 1>& dt, double A,
                           const Tensor<double, 2>& dX, const Tensor<double, 1>& da) {
  throw not_implemented(3);
}

// 4. The gradient of each log-decay, as what is heard from its step on, less what is said.
// One pass over the tokens.
Tensor<double, 1> decay_gradient(const Tensor<double, 2>& X, const Tensor<double, 2>& dX,
                                 const Tensor<double, 2>& Y, const Tensor<double, 2>& dY,
                                 const Tensor<double, 2>& state, const Tensor<double, 2>& dstate) {
  throw not_implemented(4);
}

// 5. What the loss asks of the state at each border of the chunks.
// A state of (chunks + 1, headdim, d_state) as a matrix:
// MatrixRef<double>{&states(k, 0, 0), headdim, d_state, d_state}.
Tensor<double, 3> state_gradients(const Tensor<double, 1>& dA, const Tensor<double, 2>& C,
                                  const Tensor<double, 2>& dY, const Tensor<double, 2>& dlast,
                                  std::size_t chunk_size) {
  throw not_implemented(5);
}

// 6. A recurrence of your own.
Tensor<double, 1> own_scan(const OwnInput& in) {
  throw not_implemented(6);
}

// 6, second part. Its gradient.
OwnInput own_scan_gradient(const OwnInput& in, const Tensor<double, 1>& dy) {
  throw not_implemented(6);
}

}  // namespace exercises
