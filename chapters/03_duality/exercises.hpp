// The exercises of this chapter.
#pragma once

#include <mamba2/tensor.hpp>

#include <cstddef>

namespace exercises {

using mamba2::Tensor;

// 1. The decay mask from the factors of the steps.
//   a: e^(dA) of each step, (seqlen); any of them may be 0
//   returns L, (seqlen, seqlen): a_i ... a_{j+1} for j <= i, 0 above the diagonal
Tensor<double, 2> mask_from_factors(const Tensor<double, 1>& a);

// 2. Causal attention without softmax and without decay, one token at a time.
//   state: what the earlier tokens left, (headdim, d_state), zeros before the first; updated
//   query, key: of this token, (d_state); value: of this token, (headdim)
//   returns the output of this token, (headdim)
Tensor<double, 1> attend_one(Tensor<double, 2>& state, const Tensor<double, 1>& query,
                             const Tensor<double, 1>& key, const Tensor<double, 1>& value);

// 3. The least length at which the linear mode does fewer multiply-adds than a quadratic mode that computes only the
// scores and products on and below the diagonal.
std::size_t first_linear_length(std::size_t d_state, std::size_t headdim);

// 4. The quadratic form of a model whose N state entries decay each at its own rate.
//   X:  (seqlen, headdim), already multiplied by the step size
//   dA: log-decay of each step and state entry, (seqlen, d_state)
//   B:  (seqlen, d_state); C: (seqlen, d_state)
//   returns Y, (seqlen, headdim): Y_ip = sum over j <= i and n of C_in exp(dA_{j+1,n} + ... + dA_{i,n}) B_jn X_jp
Tensor<double, 2> many_masks(const Tensor<double, 2>& X, const Tensor<double, 2>& dA,
                             const Tensor<double, 2>& B, const Tensor<double, 2>& C);

}  // namespace exercises
