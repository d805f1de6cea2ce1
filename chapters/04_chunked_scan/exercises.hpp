// The exercises of this chapter.
#pragma once

#include <mamba2/tensor.hpp>

#include <cstddef>

namespace exercises {

using mamba2::Tensor;

// A block of the model's matrix, left * centre * right^T.
struct BlockFactors {
  Tensor<double, 2> left;   // (chunk_size, d_state)
  double centre = 0;        // the decay of the chunks between
  Tensor<double, 2> right;  // (chunk_size, d_state)
};

// 1. The factors of the block in which chunk `later` looks back at chunk `earlier` < `later`.
//   dA: log-decay of each step, (seqlen), a multiple of chunk_size; B, C: (seqlen, d_state)
//   left:   row i is C at the chunk's token i, faded by the decays from the chunk's first token to that token, its own included
//   centre: decay of all chunks strictly between the two
//   right:  row j is B at the chunk's token j, faded by the decays of the tokens after it, up to the chunk's last
BlockFactors block_factors(const Tensor<double, 1>& dA, const Tensor<double, 2>& B,
                           const Tensor<double, 2>& C, std::size_t chunk_size, std::size_t later,
                           std::size_t earlier);

// 2. The states at the boundaries of the chunks.
//   own:     what each chunk adds to the state, (chunks, headdim, d_state)
//   dA_sum:  sum of the log-decays of each chunk, (chunks)
//   initial: the state before the first chunk, (headdim, d_state)
//   returns (chunks + 1, headdim, d_state): the state before each chunk, and after the last
Tensor<double, 3> pass_states(const Tensor<double, 3>& own, const Tensor<double, 1>& dA_sum,
                              const Tensor<double, 2>& initial);

struct ScanResult {
  Tensor<double, 2> Y;      // outputs, (seqlen, headdim)
  Tensor<double, 2> state;  // after the last token, (headdim, d_state)
};

// 3. The chunked scan of one head, of any length, from a given state.
//   X: (seqlen, headdim), already multiplied by the step size; dA: (seqlen); B, C: (seqlen, d_state)
//   initial: the state before the first token, (headdim, d_state)
ScanResult scan_from(const Tensor<double, 2>& X, const Tensor<double, 1>& dA,
                     const Tensor<double, 2>& B, const Tensor<double, 2>& C,
                     const Tensor<double, 2>& initial, std::size_t chunk_size);

// 4. The whole chunk size Q >= 1 with the least cost per token, Q N + Q P + 2 N P + (N P + overhead) / Q; the smaller of
// two that cost the same. `overhead` is what starting a chunk costs, in multiply-adds.
std::size_t best_chunk_size(std::size_t d_state, std::size_t headdim, double overhead);

}  // namespace exercises
