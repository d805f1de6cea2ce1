/// \file conv.hpp
/// \brief The short causal convolution, each channel by itself. Explained in @chapter{convolution_and_norm}.
#pragma once

#include <mamba2/matrix.hpp>
#include <mamba2/tensor.hpp>

#include <cstdint>
#include <span>

namespace mamba2 {

/// \brief What the short convolution reads. Nothing is owned: all members refer to somebody else's memory.
template <class Real>
struct ShortConvolution {
  MatrixRef<const Real> x;          ///< inputs, one row for each token of each sequence, (batch * seqlen, channels)
  std::size_t batch;                ///< how many sequences lie one after the other in the rows of x
  MatrixRef<const Real> weight;     ///< taps, the last one for the token itself, (channels, d_conv)
  std::span<const Real> bias = {};  ///< (channels), or empty for none
  /// The d_conv inputs before the first token, the last one newest, (batch, channels, d_conv); null for zeros.
  const Tensor<Real, 3>* initial_state = nullptr;
  /// Which sequence a token is of, (batch, seqlen): no tap reaches over a change. Null where rows hold one sequence each.
  const Tensor<std::int64_t, 2>* seq_idx = nullptr;
  bool silu = true;  ///< whether the result goes through silu()
};

/// \brief Depthwise causal convolution: \f$y_{t,c} = b_c + \sum_{k < K} w_{c,k}\, x_{t-K+1+k,c}\f$, then SiLU.
/// \param input inputs, taps, and what came before
/// \param y     where the results go: matrices of batch * seqlen rows whose columns, side by side, are the channels. One
///              matrix takes all; three take x, B and C apart without a copy. They share no memory with the inputs
/// \throws ShapeError if rows, channels or taps disagree
template <class Real>
void short_convolution(const ShortConvolution<Real>& input, std::span<const MatrixRef<Real>> y);

/// \brief Refuse what short_convolution() cannot compute.
/// \param input as there
/// \param y     as there
/// \throws ShapeError if rows, channels or taps disagree
template <class Real>
void check_short_convolution(const ShortConvolution<Real>& input, std::span<const MatrixRef<Real>> y);

/// \brief What the convolution must remember to go on: the last d_conv inputs of each channel.
/// \param input as for short_convolution(); weight and bias are only asked for their sizes
/// \return (batch, channels, d_conv), the last one newest; zeros where the (last) sequence is shorter than that
template <class Real>
Tensor<Real, 3> convolution_state(const ShortConvolution<Real>& input);

}  // namespace mamba2
