// Our solutions.
#include "exercises.hpp"

#include <cmath>
#include <limits>

namespace exercises {

//: 1
// After k steps e^{k dt A} is left. Set it to 1/2 and solve for k.
double half_life(double A, double dt) {
  if (A == 0) return std::numeric_limits<double>::infinity();
  return -std::log(2.0) / (dt * A);
}
//: end

//: 2
// The factors on the state are those of the steps after j, up to and including i.
double matrix_entry(const Tensor<double, 1>& A_bar, const Tensor<double, 2>& B_bar,
                    const Tensor<double, 2>& C, std::size_t i, std::size_t j) {
  if (j > i) return 0;
  double entry = 0;
  for (std::size_t n = 0; n < B_bar.shape(1); ++n) entry += C(i, n) * B_bar(j, n);
  for (std::size_t k = j + 1; k <= i; ++k) entry *= A_bar(k);
  return entry;
}
//: end

//: 3
// The chapter's loop with another beginning: even the first step shrinks the state it is given.
Continued continue_from(const Tensor<double, 2>& initial_state, const Tensor<double, 2>& x,
                        const Tensor<double, 1>& A_bar, const Tensor<double, 2>& B_bar,
                        const Tensor<double, 2>& C) {
  Tensor<double, 2> h = initial_state;                     // (headdim, d_state)
  auto y = mamba2::zeros<double>(x.shape(0), x.shape(1));  // (seqlen, headdim)
  for (std::size_t t = 0; t < x.shape(0); ++t)
    for (std::size_t p = 0; p < h.shape(0); ++p)
      for (std::size_t n = 0; n < h.shape(1); ++n) {
        h(p, n) = A_bar(t) * h(p, n) + x(t, p) * B_bar(t, n);
        y(t, p) += h(p, n) * C(t, n);
      }
  return {y, h};
}
//: end

//: 4
// Two numbers are carried, one for each half-life. Each is a model of its own with one state: two
// heads, in Mamba-2's terms.
Tensor<double, 1> two_half_lives(const Tensor<double, 1>& x, double a, double alpha, double b,
                                 double beta) {
  auto y = mamba2::zeros<double>(x.shape(0));  // (seqlen)
  double h_a = 0, h_b = 0;
  for (std::size_t t = 0; t < x.shape(0); ++t) {
    h_a = a * h_a + x(t);
    h_b = b * h_b + x(t);
    y(t) = alpha * h_a + beta * h_b;
  }
  return y;
}
//: end

}  // namespace exercises
