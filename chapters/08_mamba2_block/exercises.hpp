/// \file exercises.hpp
/// \brief The exercises of this chapter.
#pragma once

#include <mamba2/block.hpp>

#include <array>
#include <cstddef>
#include <utility>
#include <vector>

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

/// \brief The shapes of five tensors of a checkpoint.
struct Shapes {
  std::array<std::size_t, 1> dt_bias;
  std::array<std::size_t, 2> in_proj_weight;
  std::array<std::size_t, 3> conv1d_weight;
  std::array<std::size_t, 1> norm_weight;
  std::array<std::size_t, 2> out_proj_weight;
};

/// \brief What exercise 2 reads off them.
struct Options {
  std::size_t d_model, expand, headdim, d_ssm, d_conv;
  /// every (ngroups, d_state) that the shapes allow, by rising ngroups
  std::vector<std::pair<std::size_t, std::size_t>> groups_and_states;
};

/// \brief Exercise 2: the options of a block, from the shapes of its tensors.
/// \param shapes of a block with a norm; d_ssm may be smaller than d_inner
/// \return options
Options options_of(const Shapes& shapes);

/// \brief Exercise 3: a block whose B and C are normed before the scan, for one sequence.
/// \param sizes      of the block; its options are the defaults, and all channels go through the scan
/// \param parameters weights
/// \param u          inputs, (seqlen, d_model)
/// \return outputs, (seqlen, d_model)
Tensor<double, 2> forward_with_normed_BC(const mamba2::Mamba2Sizes& sizes,
                                         const mamba2::Mamba2Parameters<double>& parameters,
                                         const Tensor<double, 2>& u);

/// \brief What may be wrong with a block.
enum class Bug {
  none,            ///< nothing: it computes in single precision, that is all
  exchanged,       ///< x is taken for z, and z for x
  ungrouped_norm,  ///< one mean square for all groups
  norm_first,      ///< norm(y) * silu(z) where norm(y * silu(z)) is meant
  limits_ignored,  ///< dt_limit_min and dt_limit_max have no effect
  padded_on_the_left  ///< zeros in front of the text, up to a multiple of chunk_size, cut off again from the outputs
};

/// \brief Exercise 4: what is wrong with somebody's block.
/// \param config     its options
/// \param parameters its weights
/// \param u          what it was given, (1, seqlen, d_model)
/// \param y          what it gave, (1, seqlen, d_model)
/// \return the one thing that explains y
Bug diagnose(const mamba2::Mamba2Config& config, const mamba2::Mamba2Parameters<double>& parameters,
             const Tensor<double, 3>& u, const Tensor<double, 3>& y);

}  // namespace exercises
