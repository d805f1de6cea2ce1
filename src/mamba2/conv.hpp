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
  /// The d_conv inputs of each channel before the first token, the last one newest, (batch, channels * d_conv); null for zeros.
  MatrixRef<const Real> initial_state = {};
  /// Which sequence a token is of, (batch * seqlen): no tap reaches over a change. Empty where there is one to each batch entry.
  std::span<const std::int64_t> seq_idx = {};
  bool silu = true;  ///< whether the result goes through silu()
};

/// \brief Depthwise causal convolution: \f$y_{t,c} = b_c + \sum_{k < K} w_{c,k}\, x_{t-K+1+k,c}\f$, then SiLU.
/// \param input inputs, taps, and what came before
/// \param y     receives the results, (batch * seqlen, channels); shares no memory with the inputs
/// \throws ShapeError if rows, channels or taps disagree
template <class Real>
void short_convolution(const ShortConvolution<Real>& input, MatrixRef<Real> y);

/// \brief What the convolution must remember to go on: the last d_conv inputs of each channel.
/// \param input as for short_convolution(); weight and bias are only asked for their sizes
/// \return (batch, channels, d_conv), the last one newest; zeros where the (last) sequence is shorter than that
/// \throws ShapeError as short_convolution()
template <class Real>
Tensor<Real, 3> convolution_state(const ShortConvolution<Real>& input);

namespace unchecked {

/// \brief mamba2::short_convolution() of valid input.
/// \param input as there
/// \param y     as there
template <class Real>
void short_convolution(const ShortConvolution<Real>& input, MatrixRef<Real> y);

/// \brief mamba2::convolution_state() of valid input.
/// \param input as there
/// \param state receives it, (batch, channels * d_conv); may be the memory of input.initial_state
template <class Real>
void convolution_state(const ShortConvolution<Real>& input, MatrixRef<Real> state);

}  // namespace unchecked
}  // namespace mamba2
