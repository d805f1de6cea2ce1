// The exercises of this chapter.
#pragma once

#include <mamba2/ssd.hpp>

namespace exercises {

// 1. The step sizes that the recurrence uses: bias, softplus, limits.
// dt: raw, (batch, seqlen, nheads); dt_bias: (nheads). Returns (batch, seqlen, nheads).
mamba2::Tensor<double, 3> step_sizes(const mamba2::Tensor<double, 3>& dt,
                                     const mamba2::Tensor<double, 1>& dt_bias, double dt_min,
                                     double dt_max);

// 2. What ssd(input) gives, from two calls of ssd: for the tokens before `cut`, and for those from `cut` on.
// The input may have D, z, dt_bias and an initial state; it has no seq_idx.
mamba2::ScanOutput<double> ssd_in_two(const mamba2::ScanInput<double>& input, std::size_t cut);

// 3. The input with as few tokens added at the end as make its length a multiple of chunk_size. The outputs of its own
// tokens and the last state stay what they are. The input may have every optional tensor.
mamba2::ScanInput<double> pad_to_multiple(const mamba2::ScanInput<double>& input,
                                          std::size_t chunk_size);

// 4. The outputs of one head for packed sequences, by one call of mamba2::chunked_scan.
// X: (seqlen, headdim); dA: (seqlen); B, C: (seqlen, d_state); seq_idx: (seqlen), a new sequence where it changes.
mamba2::Tensor<double, 2> packed_scan(const mamba2::Tensor<double, 2>& X,
                                      const mamba2::Tensor<double, 1>& dA,
                                      const mamba2::Tensor<double, 2>& B,
                                      const mamba2::Tensor<double, 2>& C,
                                      const mamba2::Tensor<std::int64_t, 1>& seq_idx,
                                      std::size_t chunk_size);

}  // namespace exercises
