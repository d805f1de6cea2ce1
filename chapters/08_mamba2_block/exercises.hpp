/// \file exercises.hpp
/// \brief The exercises of this chapter.
#pragma once

#include <mamba2/block.hpp>

#include <cstddef>

namespace exercises {

using mamba2::Tensor;

/// \brief Exercise 1: how many parameters a block with the default options has.
/// \param d_model  width of the model
/// \param expand   d_inner = expand * d_model
/// \param headdim  channels of a head, a divisor of d_inner
/// \param ngroups  sets of B and C
/// \param d_state  state size
/// \param d_conv   taps of the convolution
/// \return the number
std::size_t count_parameters(std::size_t d_model, std::size_t expand, std::size_t headdim,
                             std::size_t ngroups, std::size_t d_state, std::size_t d_conv);

/// \brief What exercise 2 gives back: the parts of one row, each of its own length.
struct Parts {
  Tensor<double, 1> z0, x0;  ///< (d_inner - d_ssm), empty where all channels go through the scan
  Tensor<double, 1> z, x;    ///< (d_ssm)
  Tensor<double, 1> B, C;    ///< (ngroups * d_state)
  Tensor<double, 1> dt;      ///< (nheads)
};

/// \brief Exercise 2: one token's row of the input projection's output, cut into its parts.
/// \param row   (d_in_proj)
/// \param sizes of the block
/// \return the parts
Parts cut_row(const Tensor<double, 1>& row, const mamba2::Mamba2Sizes& sizes);

/// \brief Exercise 3: the forward pass of a block for one sequence, out of its parts.
/// \param sizes      of the block; its options are the defaults, and all channels go through the scan
/// \param parameters weights
/// \param u          inputs, (seqlen, d_model)
/// \return outputs, (seqlen, d_model)
Tensor<double, 2> block_forward(const mamba2::Mamba2Sizes& sizes,
                                const mamba2::Mamba2Parameters<double>& parameters,
                                const Tensor<double, 2>& u);

}  // namespace exercises
