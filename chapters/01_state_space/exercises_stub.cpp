// The exercises: replace each throw by your code, then run ./book check state_space
#include "exercises.hpp"

#include <exercises/not_implemented.hpp>

#include <cmath>
#include <limits>

namespace exercises {

// 1. How many steps until half of a token's trace is gone?
//      Infinity (std::numeric_limits<double>::infinity()) for A = 0.
double half_life(double A, double dt) {
  throw exercises::not_implemented(1);
}

// 2. The entry M(i, j) = C_i . B_bar_j times A_bar_i ... A_bar_{j+1}, without the rest of the
// matrix. 0 above the diagonal.
double matrix_entry(const Tensor<double, 1>& A_bar, const Tensor<double, 2>& B_bar,
                    const Tensor<double, 2>& C, std::size_t i, std::size_t j) {
  throw exercises::not_implemented(2);
}

// 3. The recurrence from a given state of shape (headdim, d_state), not from zeros.
//      Return {outputs, last state}.
Continued continue_from(const Tensor<double, 2>& initial_state, const Tensor<double, 2>& x,
                        const Tensor<double, 1>& A_bar, const Tensor<double, 2>& B_bar,
                        const Tensor<double, 2>& C) {
  throw exercises::not_implemented(3);
}

// 4. y_t = sum over k of (alpha a^k + beta b^k) x_{t-k}, in one pass over x.
//      No kernel, no inner loop over k.
Tensor<double, 1> two_half_lives(const Tensor<double, 1>& x, double a, double alpha, double b,
                                 double beta) {
  throw exercises::not_implemented(4);
}

}  // namespace exercises
