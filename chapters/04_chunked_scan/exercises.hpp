// The exercises of this chapter.
#pragma once

#include <mamba2/tensor.hpp>

#include <cstddef>
#include <functional>
#include <vector>

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

// 2. The whole chunk size Q >= 1 with the least cost per token, Q N + Q P + 2 N P + (N P + overhead) / Q; the smaller of
// two that cost the same. `overhead` is what starting a chunk costs, in multiply-adds.
std::size_t best_chunk_size(std::size_t d_state, std::size_t headdim, double overhead);

// What exercise 3 returns. There are as many chunks as it takes; the last one may be short.
struct ScanParts {
  Tensor<double, 2> diagonal;    // what step 1 gives to the outputs, (seqlen, headdim)
  Tensor<double, 2> from_state;  // what step 4 gives to them, (seqlen, headdim)
  Tensor<double, 3> own;         // what each chunk adds to the state, (chunks, headdim, d_state)
  Tensor<double, 3> states;  // before each chunk, and after the last, (chunks + 1, headdim, d_state)
};

// 3. The chunked scan of one head, of any length, from a given state, in its parts.
//   X: (seqlen, headdim), already multiplied by the step size; dA: (seqlen); B, C: (seqlen, d_state)
//   initial: the state before the first token, (headdim, d_state)
ScanParts scan_parts(const Tensor<double, 2>& X, const Tensor<double, 1>& dA,
                     const Tensor<double, 2>& B, const Tensor<double, 2>& C,
                     const Tensor<double, 2>& initial, std::size_t chunk_size);

// A way over one chunk or several: the state is multiplied by `decay`, then `added` is added.
struct Passage {
  double decay = 1;
  Tensor<double, 2> added;  // (headdim, d_state)
};

// 4. Two passages in a row as one: the first, then the second.
Passage join(const Passage& first, const Passage& second);

using Join = std::function<Passage(const Passage& first, const Passage& second)>;

// 4, second part. All passages up to each one, joined: entry k of the result leads over the chunks 0, ..., k.
//   chunks: one passage for each chunk, in order
//   join: what joins two neighbours; it remembers how many joins had to be done one after the other
std::vector<Passage> join_all(const std::vector<Passage>& chunks, const Join& join);

// What exercise 5 returns.
struct GlaResult {
  Tensor<double, 2> Y;       // outputs, (seqlen, headdim)
  Tensor<double, 3> states;  // before each chunk, and after the last, (chunks + 1, headdim, d_state)
};

// 5. The chunked scan of one head with a decay for each state, of any length, from a state of zeros.
//   X: (seqlen, headdim); B, C: (seqlen, d_state)
//   dA: log-decay of each step and state, (seqlen, d_state); may be very negative
GlaResult gla_chunked(const Tensor<double, 2>& X, const Tensor<double, 2>& dA,
                      const Tensor<double, 2>& B, const Tensor<double, 2>& C, std::size_t chunk_size);

}  // namespace exercises
