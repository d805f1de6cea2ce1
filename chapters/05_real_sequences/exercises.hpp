// The exercises of this chapter.
#pragma once

#include <mamba2/ssd.hpp>

#include <array>
#include <cstdint>
#include <vector>

namespace exercises {

// 1. The step sizes that the recurrence uses: bias, softplus, limits.
// dt: raw, (batch, seqlen, nheads); dt_bias: (nheads). Returns (batch, seqlen, nheads).
mamba2::Tensor<double, 3> step_sizes(const mamba2::Tensor<double, 3>& dt,
                                     const mamba2::Tensor<double, 1>& dt_bias, double dt_min,
                                     double dt_max);

// What exercise 2 returns.
struct InTwo {
  mamba2::ScanOutput<double> whole;  // what ssd(input) gives
  mamba2::Tensor<double, 4>
      at_the_cut;  // the state between the two parts, (batch, nheads, headdim, d_state)
};

// 2. What ssd(input) gives, from two calls of ssd: for the tokens before `cut`, and for those from `cut` on.
// The input may have D, z, dt_bias and an initial state; it has no seq_idx.
InTwo ssd_in_two(const mamba2::ScanInput<double>& input, std::size_t cut);

// 3. The input with as few tokens added at the end as make its length a multiple of chunk_size. The outputs of its own
// tokens and the last state stay what they are. The input may have every optional tensor.
mamba2::ScanInput<double> pad_to_multiple(const mamba2::ScanInput<double>& input,
                                          std::size_t chunk_size);

// 4. Log-decays with which one scan over the whole row keeps packed sequences apart.
// dA: log-decay of each step, (seqlen); seq_idx: (seqlen), a new sequence where it changes. Returns (seqlen).
mamba2::Tensor<double, 1> packed_decays(const mamba2::Tensor<double, 1>& dA,
                                        const mamba2::Tensor<std::int64_t, 1>& seq_idx);

// A token of exercise 5: it stores four numbers under a name, asks for a name, or is noise.
enum class Wants { store, ask, nothing };
struct Token {
  Wants wants;
  std::size_t name;             // less than 3 * nheads; means nothing for noise
  std::array<double, 4> value;  // what the token has to say, questions and noise included
};

// 5. An input of ssd() with which heads of one group remember: batch 1, headdim 4, d_state 3, ngroups 1, A = -1 for every
// head. Every head is given the token's value as its x. The answer to a question for a name is what head name / 3 puts out.
// Raw step sizes: ssd() puts them through the softplus, as a model would have it.
mamba2::ScanInput<double> memory(const std::vector<Token>& tokens, std::size_t nheads);

}  // namespace exercises
