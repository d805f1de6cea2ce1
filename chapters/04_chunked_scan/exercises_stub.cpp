// The exercises: replace each throw by your code, then run ./book check chunked_scan
#include "exercises.hpp"

#include <exercises/not_implemented.hpp>
#include <mamba2/chunked_scan.hpp>

#include <algorithm>
#include <cmath>

namespace exercises {

using namespace mamba2;  // zeros(), as_matrix(), as_span(), row_block(), multiply() and the four steps

// 1. The left factor, the centre and the right factor of one block below the diagonal.
// Three sums of log-decays, each over its own stretch of the steps between the two tokens.
BlockFactors block_factors(const Tensor<double, 1>& dA, const Tensor<double, 2>& B,
                           const Tensor<double, 2>& C, std::size_t chunk_size, std::size_t later,
                           std::size_t earlier) {
  throw not_implemented(1);
}

// 2. The whole Q that makes Q N + Q P + 2 N P + (N P + overhead) / Q least.
// Of two that cost the same, the smaller.
std::size_t best_chunk_size(std::size_t d_state, std::size_t headdim, double overhead) {
  throw not_implemented(2);
}

// 3. The whole chunked scan, for any length, from a given state, in its parts.
// diagonal_block(), chunk_state(), pass_state() and state_to_output() are yours to use. A state of
// (chunks, headdim, d_state) as a matrix: MatrixRef<double>{&states(k, 0, 0), headdim, d_state,
// d_state}.
ScanParts scan_parts(const Tensor<double, 2>& X, const Tensor<double, 1>& dA,
                     const Tensor<double, 2>& B, const Tensor<double, 2>& C,
                     const Tensor<double, 2>& initial, std::size_t chunk_size) {
  throw not_implemented(3);
}

// 4. Two passages in a row, made into one.
Passage join(const Passage& first, const Passage& second) {
  throw not_implemented(4);
}

// 4, second part. All passages up to each one, joined by `join`, in few levels.
std::vector<Passage> join_all(const std::vector<Passage>& chunks, const Join& join) {
  throw not_implemented(4);
}

// 5. The chunked scan with a decay for each state: left and right factors between the chunks, sums
// of their own for each pair and state inside.
GlaResult gla_chunked(const Tensor<double, 2>& X, const Tensor<double, 2>& dA,
                      const Tensor<double, 2>& B, const Tensor<double, 2>& C, std::size_t chunk_size) {
  throw not_implemented(5);
}

}  // namespace exercises
