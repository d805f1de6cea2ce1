// The exercises of this chapter.
#pragma once

#include <mamba2/tensor.hpp>

#include <cstddef>

namespace exercises {

using mamba2::Tensor;

// 1. The decay mask from the factors of the steps.
//   a: e^(dA) of each step, (seqlen); any of them may be 0
//   returns L, (seqlen, seqlen): what is left at step i of what was written at step j
Tensor<double, 2> mask_from_factors(const Tensor<double, 1>& a);

// What exercise 2 returns: keys and queries of a model without decay.
struct Undecayed {
  Tensor<double, 2> B, C;  // (seqlen, d_state)
};

// 2. Other keys and queries, of which the model without decay makes the same matrix.
//   dA: log-decay of each step, (seqlen), finite; B, C: (seqlen, d_state)
Undecayed undecayed(const Tensor<double, 1>& dA, const Tensor<double, 2>& B,
                    const Tensor<double, 2>& C);

// 2, second part. The number of tokens after which `float` cannot hold the factors any more.
//   log_decay: of every token, negative
//   returns the largest length for which the factor of the last token's key, e to the minus running sum, is finite
std::size_t longest_undecayed(double log_decay);

// 3. Linear attention with its denominator, one token at a time.
//   state: what the earlier tokens left, (headdim + 1, d_state), zeros before the first; brought up to date
//   query, key: of this token, (d_state), all entries positive; value: of this token, (headdim)
//   returns the output of this token, (headdim): sum_j (query . key_j) value_j / sum_j (query . key_j), j up to this token
Tensor<double, 1> attend_one(Tensor<double, 2>& state, const Tensor<double, 1>& query,
                             const Tensor<double, 1>& key, const Tensor<double, 1>& value);

// 4. The matrix of a model whose N state entries fade each at its own rate.
//   dA: log-decay of each step and state entry, (seqlen, d_state)
//   B, C: (seqlen, d_state)
//   returns M, (seqlen, seqlen): M_ij = sum over n of C_in exp(dA_{j+1,n} + ... + dA_{i,n}) B_jn, 0 above the diagonal
Tensor<double, 2> many_masks(const Tensor<double, 2>& dA, const Tensor<double, 2>& B,
                             const Tensor<double, 2>& C);

// 5. Features whose dot product is the exponential's series up to a power.
//   v: a key or a query, (d)
//   power: K, the last power that is kept
//   returns phi(v), with phi(q) . phi(k) = sum over m = 0, ..., K of (q . k)^m / m!
//   at most as many numbers as there are products of at most K factors out of d, whatever their order: (d + K choose K)
Tensor<double, 1> features(const Tensor<double, 1>& v, std::size_t power);

// 5, second part. Softmax attention as a recurrence, for the first K powers: what attend_one() does, with features for
// keys and queries.
//   state: (headdim + 1, number of features), zeros before the first token; brought up to date
Tensor<double, 1> softmax_one(Tensor<double, 2>& state, const Tensor<double, 1>& query,
                              const Tensor<double, 1>& key, const Tensor<double, 1>& value,
                              std::size_t power);

}  // namespace exercises
