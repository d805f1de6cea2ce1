// The exercises: replace each throw by your code, then run ./book check state_space
#include "exercises.hpp"

#include <exercises/not_implemented.hpp>

#include <cmath>
#include <limits>

namespace exercises {

using mamba2::zeros;

// 1. How many steps until half of a token's trace is gone?
//      Infinity (std::numeric_limits<double>::infinity()) for A = 0.
double half_life(double A, double dt) {
  throw exercises::not_implemented(1);
}

// 2. A single entry M(i, j) of the model's matrix, without the rest of the matrix.
double matrix_entry(const Tensor<double, 1>& A_bar, const Tensor<double, 2>& B_bar,
                    const Tensor<double, 2>& C, std::size_t i, std::size_t j) {
  throw exercises::not_implemented(2);
}

// 3. A step size, a place to write and a place to read for each token, so that questions are
// answered.
//      zeros<double>(tokens.size()) and zeros<double>(tokens.size(), 3) make room.
Settings remember(const std::vector<Token>& tokens, double A) {
  throw exercises::not_implemented(3);
}

// 4. One step of y_t = sum over k of (alpha a^k + beta b^k) x_{t-k}.
//      All that it knows of earlier inputs is in `carried`: two numbers, which it brings up to
//      date.
double two_half_lives(std::array<double, 2>& carried, double x, double a, double alpha, double b,
                      double beta) {
  throw exercises::not_implemented(4);
}

// 5. The Fourier transform of n numbers, n a power of two, in n log n steps; and back.
std::vector<std::complex<double>> fourier(std::vector<std::complex<double>> values, bool inverse) {
  throw exercises::not_implemented(5);
}

// 5, second part. The causal convolution of any length by way of fourier().
Tensor<double, 1> convolve(const Tensor<double, 1>& x, const Tensor<double, 1>& K) {
  throw exercises::not_implemented(5);
}

}  // namespace exercises
