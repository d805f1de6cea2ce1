// Our solutions.
#include "exercises.hpp"

#include <mamba2/chunked_scan.hpp>

#include <algorithm>
#include <cmath>

namespace exercises {

using mamba2::zeros;

//: 1
BlockFactors block_factors(const Tensor<double, 1>& dA, const Tensor<double, 2>& B,
                           const Tensor<double, 2>& C, std::size_t chunk_size, std::size_t later,
                           std::size_t earlier) {
  const std::size_t Q = chunk_size, N = B.shape(1);
  BlockFactors block{zeros<double>(Q, N), 0, zeros<double>(Q, N)};

  double sum = 0;
  for (std::size_t i = 0; i < Q; ++i) {
    sum += dA(later * Q + i);
    for (std::size_t n = 0; n < N; ++n) block.left(i, n) = std::exp(sum) * C(later * Q + i, n);
  }
  sum = 0;
  for (std::size_t t = (earlier + 1) * Q; t < later * Q; ++t) sum += dA(t);
  block.centre = std::exp(sum);
  sum = 0;
  for (std::size_t j = Q; j-- > 0; sum += dA(earlier * Q + j))
    for (std::size_t n = 0; n < N; ++n) block.right(j, n) = std::exp(sum) * B(earlier * Q + j, n);
  return block;
}
//: end

//: 2
Tensor<double, 3> pass_states(const Tensor<double, 3>& own, const Tensor<double, 1>& dA_sum,
                              const Tensor<double, 2>& initial) {
  const std::size_t chunks = own.shape(0), P = initial.shape(0), N = initial.shape(1);
  auto states = zeros<double>(chunks + 1, P, N);
  for (std::size_t p = 0; p < P; ++p)
    for (std::size_t n = 0; n < N; ++n) {
      states(0, p, n) = initial(p, n);
      for (std::size_t k = 0; k < chunks; ++k)
        states(k + 1, p, n) = std::exp(dA_sum(k)) * states(k, p, n) + own(k, p, n);
    }
  return states;
}
//: end

//: 3
ScanResult scan_from(const Tensor<double, 2>& X, const Tensor<double, 1>& dA,
                     const Tensor<double, 2>& B, const Tensor<double, 2>& C,
                     const Tensor<double, 2>& initial, std::size_t chunk_size) {
  using namespace mamba2;
  const std::size_t seqlen = X.shape(0);
  ScanResult result{zeros<double>(seqlen, X.shape(1)), initial};
  auto own = zeros<double>(initial.shape(0), initial.shape(1));
  for (std::size_t first = 0; first < seqlen; first += chunk_size) {
    const std::size_t length = std::min(chunk_size, seqlen - first);
    const auto chunk = [&](auto& tensor) { return row_block(as_matrix(tensor), first, length); };
    const auto dA_chunk = as_span(dA).subspan(first, length);
    diagonal_block<double>(chunk(X), dA_chunk, chunk(B), chunk(C), chunk(result.Y));
    state_to_output<double>(dA_chunk, chunk(C), as_matrix(result.state), chunk(result.Y));
    chunk_state<double>(chunk(X), dA_chunk, chunk(B), as_matrix(own));
    pass_state<double>(dA_chunk, as_matrix(own), as_matrix(result.state));
  }
  return result;
}
//: end

//: 4
std::size_t best_chunk_size(std::size_t d_state, std::size_t headdim, double overhead) {
  const double N = static_cast<double>(d_state), P = static_cast<double>(headdim);
  const auto cost = [&](double Q) { return Q * (N + P) + (N * P + overhead) / Q; };
  const double least =
      std::max(1.0, std::floor(std::sqrt((N * P + overhead) / (N + P))));  // where the slope is 0
  return static_cast<std::size_t>(cost(least) <= cost(least + 1) ? least : least + 1);
}
//: end

}  // namespace exercises
