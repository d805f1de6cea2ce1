// The exercises: replace each throw by your code, then run ./book check s4
#include "exercises.hpp"

#include <exercises/not_implemented.hpp>

#include <cmath>
#include <complex>

namespace exercises {

using mamba2::zeros;

// 1. The rate A' for which the bilinear rule's factor is e^{dt A}.
//      std::exp and the four operations know complex numbers.
Complex in_tune(Complex A, double dt) {
  throw exercises::not_implemented(1);
}

// 2. K_k = 2 Re sum over n of C_n A_bar_n^k B_bar_n, with the bilinear rule.
Tensor<double, 1> bilinear_kernel(const Tensor<Complex, 1>& A, const Tensor<Complex, 1>& B,
                                  const Tensor<Complex, 1>& C, double dt, std::size_t seqlen) {
  throw exercises::not_implemented(2);
}

// 3. The outputs of the next piece.
//      What is known of earlier pieces is in `owed` and nowhere else.
std::vector<double> next_piece(std::vector<double>& owed, const std::vector<double>& piece,
                               const std::vector<double>& K) {
  throw exercises::not_implemented(3);
}

// 4. A and B of a memory in the polynomials p, c' = (A c + B x) / t.
//      The mean of z^j over [-1, 1] is 1 / (j + 1) for even j, and 0 for odd j.
Memory from_definition(const Tensor<double, 2>& p) {
  throw exercises::not_implemented(4);
}

// 5. A and B of a memory of the last theta units of time, c' = A c + B x.
Memory sliding_window(std::size_t d_state, double theta) {
  throw exercises::not_implemented(5);
}

}  // namespace exercises
