// The exercises: replace each throw by your code, then run ./book check chunked_scan
#include "exercises.hpp"

#include <exercises/not_implemented.hpp>
#include <mamba2/chunked_scan.hpp>

#include <algorithm>
#include <cmath>

namespace exercises {

using namespace mamba2;  // zeros(), as_matrix(), as_span(), row_block() and the four steps

// 1. The left factor, the centre and the right factor of one block below the diagonal.
// Three sums of log-decays, each over its own stretch of the steps between the two tokens.
BlockFactors block_factors(const Tensor<double, 1>& dA, const Tensor<double, 2>& B,
                           const Tensor<double, 2>& C, std::size_t chunk_size, std::size_t later,
                           std::size_t earlier) {
  throw not_implemented(1);
}

// 2. Pass the state from chunk to chunk: the state before each chunk, and after the last.
// The first of the chunks + 1 states is the initial one.
Tensor<double, 3> pass_states(const Tensor<double, 3>& own, const Tensor<double, 1>& dA_sum,
                              const Tensor<double, 2>& initial) {
  throw not_implemented(2);
}

// 3. The whole chunked scan, for any length, from a given state; the last state comes with the
// outputs. diagonal_block(), chunk_state(), pass_state() and state_to_output() are yours to use.
ScanResult scan_from(const Tensor<double, 2>& X, const Tensor<double, 1>& dA,
                     const Tensor<double, 2>& B, const Tensor<double, 2>& C,
                     const Tensor<double, 2>& initial, std::size_t chunk_size) {
  throw not_implemented(3);
}

// 4. The whole Q that makes Q N + Q P + 2 N P + (N P + overhead) / Q least.
// Of two that cost the same, the smaller.
std::size_t best_chunk_size(std::size_t d_state, std::size_t headdim, double overhead) {
  throw not_implemented(4);
}

}  // namespace exercises
