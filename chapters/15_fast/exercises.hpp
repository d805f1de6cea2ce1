/// \file exercises.hpp
/// \brief The exercises of this chapter.
#pragma once

#include <mamba2/tensor.hpp>

#include <cstddef>

namespace exercises {

using mamba2::Tensor;

/// \brief Exercise 1: the chunk length with the smallest cost.
/// \param d_state  state size N
/// \param headdim  channels of a head, P
/// \param heads    heads that share the scores, H
/// \param overhead what each chunk costs besides, in multiply-adds
/// \return a power of two from 1 to 1024; the smaller one where two cost the same
std::size_t best_chunk(double d_state, double headdim, double heads, double overhead);

/// \brief Exercise 2: scores times mask times step size, by running products.
/// \param scores G = C Bᵀ, (length, length)
/// \param a      factor on the state at each step, (length)
/// \param dt     step size of each step, (length)
/// \return M, (length, length), zero above the diagonal
Tensor<double, 2> masked_scores(const Tensor<double, 2>& scores, const Tensor<double, 1>& a,
                                const Tensor<double, 1>& dt);

/// \brief Exercise 3: the most tokens per second that a model can write.
/// \param parameters       number of weights
/// \param bytes_per_weight 4 for float, 2 for bfloat16, 1 for int8
/// \param state            numbers in the states of one sequence, all layers together; floats, read and written once a token
/// \param batch            sequences written at the same time
/// \param bandwidth        bytes per second
/// \return tokens per second, of all sequences together
double most_tokens_per_second(double parameters, double bytes_per_weight, double state, double batch,
                              double bandwidth);

}  // namespace exercises
