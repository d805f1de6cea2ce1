// Our solutions.
#include "exercises.hpp"

#include <mamba2/chunked_scan.hpp>

#include <algorithm>
#include <cmath>

namespace exercises {

using namespace mamba2;

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
  for (std::size_t j = Q; j-- > 0;) {
    for (std::size_t n = 0; n < N; ++n) block.right(j, n) = std::exp(sum) * B(earlier * Q + j, n);
    sum += dA(earlier * Q + j);
  }
  return block;
}
//: end

//: 2
std::size_t best_chunk_size(std::size_t d_state, std::size_t headdim, double overhead) {
  const double N = static_cast<double>(d_state), P = static_cast<double>(headdim);
  const auto cost = [&](double Q) { return Q * (N + P) + (N * P + overhead) / Q; };
  const double least =
      std::max(1.0, std::floor(std::sqrt((N * P + overhead) / (N + P))));  // where the slope is 0
  return static_cast<std::size_t>(cost(least) <= cost(least + 1) ? least : least + 1);
}
//: end

//: 3
ScanParts scan_parts(const Tensor<double, 2>& X, const Tensor<double, 1>& dA,
                     const Tensor<double, 2>& B, const Tensor<double, 2>& C,
                     const Tensor<double, 2>& initial, std::size_t chunk_size) {
  const std::size_t T = X.shape(0), P = X.shape(1), N = B.shape(1);
  const std::size_t chunks = (T + chunk_size - 1) / chunk_size;
  ScanParts parts{zeros<double>(T, P), zeros<double>(T, P), zeros<double>(chunks, P, N),
                  zeros<double>(chunks + 1, P, N)};
  Tensor<double, 2> state = initial;
  std::copy(state.begin(), state.end(), parts.states.begin());
  for (std::size_t k = 0; k < chunks; ++k) {
    const std::size_t first = k * chunk_size, length = std::min(chunk_size, T - first);
    const auto chunk = [&](auto& tensor) { return row_block(as_matrix(tensor), first, length); };
    const auto dA_chunk = as_span(dA).subspan(first, length);
    const MatrixRef<double> own{&parts.own(k, 0, 0), P, N, N};
    diagonal_block<double>(chunk(X), dA_chunk, chunk(B), chunk(C), chunk(parts.diagonal));
    state_to_output<double>(dA_chunk, chunk(C), as_matrix(state), chunk(parts.from_state));
    chunk_state<double>(chunk(X), dA_chunk, chunk(B), own);
    pass_state<double>(dA_chunk, own, as_matrix(state));
    std::copy(state.begin(), state.end(), &parts.states(k + 1, 0, 0));
  }
  return parts;
}
//: end

//: 4
Passage join(const Passage& first, const Passage& second) {
  Passage both{first.decay * second.decay, second.added};
  for (std::size_t k = 0; k < both.added.size(); ++k)
    both.added.data()[k] += second.decay * first.added.data()[k];
  return both;
}

// In level after level every entry takes in the one that lies 1, 2, 4, ... places before it. After
// each level an entry leads over twice as many chunks, its own the last of them.
std::vector<Passage> join_all(const std::vector<Passage>& chunks, const Join& join) {
  std::vector<Passage> joined = chunks;
  for (std::size_t reach = 1; reach < chunks.size(); reach *= 2) {
    const std::vector<Passage> before = joined;
    for (std::size_t k = reach; k < chunks.size(); ++k) joined[k] = join(before[k - reach], before[k]);
  }
  return joined;
}
//: end

//: 5
// The matrix of the tokens of one chunk. Every sum is over steps that lie between its two tokens.
static Tensor<double, 2> diagonal_matrix(ReadMatrix<double> dA, ReadMatrix<double> B,
                                         ReadMatrix<double> C) {
  auto M = zeros<double>(dA.rows, dA.rows);
  std::vector<double> segment(dA.columns);
  for (std::size_t j = 0; j < dA.rows; ++j) {
    std::fill(segment.begin(), segment.end(), 0.0);
    for (std::size_t i = j; i < dA.rows; ++i)
      for (std::size_t n = 0; n < dA.columns; ++n) {
        if (i > j) segment[n] += dA[i][n];
        M(i, j) += C[i][n] * std::exp(segment[n]) * B[j][n];
      }
  }
  return M;
}

// Left and right factor: column n fades by the decay of state n.
static Tensor<double, 2> faded_from_start(ReadMatrix<double> dA, ReadMatrix<double> C) {
  auto left = zeros<double>(C.rows, C.columns);
  for (std::size_t n = 0; n < C.columns; ++n) {
    double sum = 0;
    for (std::size_t i = 0; i < C.rows; ++i) {
      sum += dA[i][n];
      left(i, n) = std::exp(sum) * C[i][n];
    }
  }
  return left;
}

static Tensor<double, 2> faded_to_end(ReadMatrix<double> dA, ReadMatrix<double> B) {
  auto right = zeros<double>(B.rows, B.columns);
  for (std::size_t n = 0; n < B.columns; ++n) {
    double sum = 0;
    for (std::size_t j = B.rows; j-- > 0;) {
      right(j, n) = std::exp(sum) * B[j][n];
      sum += dA[j][n];
    }
  }
  return right;
}

GlaResult gla_chunked(const Tensor<double, 2>& X, const Tensor<double, 2>& dA,
                      const Tensor<double, 2>& B, const Tensor<double, 2>& C, std::size_t chunk_size) {
  const std::size_t T = X.shape(0), P = X.shape(1), N = B.shape(1);
  const std::size_t chunks = (T + chunk_size - 1) / chunk_size;
  GlaResult result{zeros<double>(T, P), zeros<double>(chunks + 1, P, N)};
  auto state = zeros<double>(P, N), own = state;
  for (std::size_t k = 0; k < chunks; ++k) {
    const std::size_t first = k * chunk_size, length = std::min(chunk_size, T - first);
    const auto chunk = [&](auto& tensor) { return row_block(as_matrix(tensor), first, length); };
    const auto M = diagonal_matrix(chunk(dA), chunk(B), chunk(C));
    const auto left = faded_from_start(chunk(dA), chunk(C)), right = faded_to_end(chunk(dA), chunk(B));
    multiply<double>(as_matrix(M), chunk(X), 0, chunk(result.Y));
    multiply<double>(as_matrix(left), transpose(as_matrix(state)), 1, chunk(result.Y));
    multiply<double>(transpose(chunk(X)), as_matrix(right), 0, as_matrix(own));
    for (std::size_t n = 0; n < N; ++n) {
      double sum = 0;
      for (std::size_t i = 0; i < length; ++i) sum += dA(first + i, n);
      for (std::size_t p = 0; p < P; ++p) state(p, n) = std::exp(sum) * state(p, n) + own(p, n);
    }
    std::copy(state.begin(), state.end(), &result.states(k + 1, 0, 0));
  }
  return result;
}
//: end

}  // namespace exercises
