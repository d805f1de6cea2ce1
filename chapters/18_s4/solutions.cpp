// Our solutions.
#include "exercises.hpp"

#include <algorithm>
#include <cmath>
#include <complex>

namespace exercises {

using mamba2::zeros;

//: 1
// Solve E = (1 + w) / (1 - w) for w = dt/2 A'.
Complex in_tune(Complex A, double dt) {
  const Complex E = std::exp(dt * A);
  return 2 / dt * (E - 1.0) / (E + 1.0);
}
//: end

//: 2
// The powers of each factor, one after the other.
Tensor<double, 1> bilinear_kernel(const Tensor<Complex, 1>& A, const Tensor<Complex, 1>& B,
                                  const Tensor<Complex, 1>& C, double dt, std::size_t seqlen) {
  auto K = zeros<double>(seqlen);
  for (std::size_t n = 0; n < A.size(); ++n) {
    const Complex left = 1.0 / (1.0 - dt / 2 * A(n));
    const Complex A_bar = left * (1.0 + dt / 2 * A(n));
    Complex term = C(n) * left * dt * B(n);
    for (std::size_t k = 0; k < seqlen; ++k) {
      K(k) += 2 * term.real();
      term *= A_bar;
    }
  }
  return K;
}
//: end

//: 3
// Each piece by itself gives outputs for its own steps and a tail for later ones. The tail is added
// to what is owed already, whose beginning has just been paid.
std::vector<double> next_piece(std::vector<double>& owed, const std::vector<double>& piece,
                               const std::vector<double>& K) {
  const std::size_t length = piece.size();
  owed.resize(std::max(owed.size(), length + K.size() - 1), 0.0);
  for (std::size_t t = 0; t < length; ++t)
    for (std::size_t k = 0; k < K.size(); ++k) owed[t + k] += K[k] * piece[t];
  const auto end = owed.begin() + static_cast<std::ptrdiff_t>(length);
  std::vector<double> y(owed.begin(), end);
  owed.erase(owed.begin(), end);
  return y;
}
//: end

//: 4
// The derivative of the polynomial times z + 1, in the basis: means of products. Then one more for
// the factor 1/t.
Memory from_definition(const Tensor<double, 2>& p) {
  const std::size_t N = p.shape(0);
  Memory memory{zeros<double>(N, N), zeros<double>(N)};
  for (std::size_t n = 0; n < N; ++n) {
    auto stretched = zeros<double>(N);  // (z + 1) p_n'
    for (std::size_t j = 1; j < N; ++j) {
      stretched(j) += double(j) * p(n, j);
      stretched(j - 1) += double(j) * p(n, j);
    }
    for (std::size_t k = 0; k < N; ++k) {
      double mean = 0;
      for (std::size_t i = 0; i < N; ++i)
        for (std::size_t j = i % 2; j < N; j += 2) mean += stretched(i) * p(k, j) / double(i + j + 1);
      memory.A(n, k) = -mean - (n == k ? 1 : 0);
    }
    for (std::size_t j = 0; j < N; ++j) memory.B(n) += p(n, j);  // p_n(1)
  }
  return memory;
}
//: end

//: 5
// c_n' = (x(t) p_n(1) - x(t - theta) p_n(-1) - 2 mean of x p_n') / theta. The input that leaves is
// the state's polynomial at its left end, sum of c_k p_k(-1). With p_n(1) = r_n and p_n(-1) = s_n,
// where s_n = (-1)^n r_n: the derivative p_n' has the coefficient r_n r_k for k = n - 1, n - 3, ...
Memory sliding_window(std::size_t d_state, double theta) {
  Memory memory{zeros<double>(d_state, d_state), zeros<double>(d_state)};
  const auto right = [](std::size_t n) { return std::sqrt(2 * double(n) + 1); };
  const auto left = [&](std::size_t n) { return n % 2 == 0 ? right(n) : -right(n); };
  for (std::size_t n = 0; n < d_state; ++n) {
    memory.B(n) = right(n) / theta;
    for (std::size_t k = 0; k < d_state; ++k) {
      const double derivative = k < n && (n - k) % 2 == 1 ? right(n) * right(k) : 0;
      memory.A(n, k) = (-2 * derivative - left(n) * left(k)) / theta;
    }
  }
  return memory;
}
//: end

}  // namespace exercises
