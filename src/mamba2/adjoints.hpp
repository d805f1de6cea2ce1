/// \file adjoints.hpp
/// \brief The small parts of the model run backwards: from gradients of what each gives to those of what it reads. Explained in @chapter{backward}.
#pragma once

#include <mamba2/conv.hpp>
#include <mamba2/matrix.hpp>
#include <mamba2/norm.hpp>

#include <cstdint>
#include <span>

namespace mamba2 {

// In all of these the gradient of an input is written, and that of a parameter is added to: a parameter is used for every token,
// often in several places, and in several texts before it is changed.

/// \brief linear() backwards: \f$dX = dY\,W\f$, \f$dW \mathrel{+}= dY^\top X\f$, \f$db \mathrel{+}= \sum_t dY_t\f$.
/// \param x       inputs, (tokens, d_in)
/// \param weight  (d_out, d_in)
/// \param dy      gradient of the outputs, (tokens, d_out)
/// \param dx      receives that of the inputs, (tokens, d_in); shares no memory with dy
/// \param dweight is added to, (d_out, d_in)
/// \param dbias   is added to, (d_out); empty where there is no bias
/// \throws ShapeError if the shapes disagree
template <class Real>
void linear_gradient(MatrixRef<const Real> x, MatrixRef<const Real> weight, MatrixRef<const Real> dy,
                     MatrixRef<Real> dx, MatrixRef<Real> dweight, std::span<Real> dbias);

/// \brief Where short_convolution_gradient() writes. Nothing is owned.
template <class Real>
struct ShortConvolutionGradient {
  MatrixRef<Real> x;                   ///< receives that of the inputs, (batch * seqlen, channels)
  MatrixRef<Real> weight;              ///< is added to, (channels, d_conv)
  std::span<Real> bias = {};           ///< is added to, (channels); empty where there is no bias
  MatrixRef<Real> initial_state = {};  ///< receives that of the state before, (batch, channels * d_conv); null for none
};

/// \brief short_convolution() and convolution_state() backwards.
/// \param input      what the forward pass has read
/// \param dy         gradient of the outputs, (batch * seqlen, channels)
/// \param last_state gradient of the state that is left, (batch, channels * d_conv); null for zeros
/// \param gradient   where the results go; they share no memory with dy and last_state
/// \throws ShapeError if the shapes disagree
template <class Real>
void short_convolution_gradient(const ShortConvolution<Real>& input, MatrixRef<const Real> dy,
                                MatrixRef<const Real> last_state, const ShortConvolutionGradient<Real>& gradient);

/// \brief rms_norm() backwards.
/// \param x       inputs, (tokens, features)
/// \param weight  (features)
/// \param eps     added to the mean square
/// \param dy      gradient of the outputs, (tokens, features)
/// \param dx      receives that of the inputs, (tokens, features); may be dy itself
/// \param dweight is added to, (features)
/// \throws ShapeError if the shapes disagree
template <class Real>
void rms_norm_gradient(MatrixRef<const Real> x, std::span<const Real> weight, double eps, MatrixRef<const Real> dy,
                       MatrixRef<Real> dx, std::span<Real> dweight);

/// \brief gated_norm() backwards, in both orders and without a norm.
/// \param y       what was normed, (tokens, features)
/// \param z       the gate, (tokens, features)
/// \param how     weight, groups, order
/// \param dout    gradient of the outputs, (tokens, features)
/// \param dy      receives that of y, (tokens, features); may be dout itself
/// \param dz      receives that of z, (tokens, features)
/// \param dweight is added to, (features); empty where the weight is
/// \throws ShapeError if the shapes disagree
/// \throws ValueError if groups does not divide the features
template <class Real>
void gated_norm_gradient(MatrixRef<const Real> y, MatrixRef<const Real> z, const GatedNorm<Real>& how,
                         MatrixRef<const Real> dout, MatrixRef<Real> dy, MatrixRef<Real> dz, std::span<Real> dweight);

/// \brief The look-up of rows backwards: each token's gradient is added to the row that it came from.
/// \param ids    tokens
/// \param dx     gradient of the rows that were looked up, (tokens, d_model)
/// \param dtable is added to, (vocabulary, d_model)
/// \throws ShapeError if the shapes disagree
/// \throws ValueError for an id outside the vocabulary
template <class Real>
void embedding_gradient(std::span<const std::int64_t> ids, MatrixRef<const Real> dx, MatrixRef<Real> dtable);

/// \brief The cross-entropy of scores backwards: \f$d\mathrm{logits} = \mathit{weight}\,(\mathrm{softmax}(\mathrm{logits}) - e_{target})\f$.
/// \param logits  scores, (tokens, vocab)
/// \param targets the token that did come at each place, (tokens), each 0 to vocab − 1, or not_asked
/// \param weight  what one place counts: 1 for the sum over all, one over their number for the mean
/// \param dlogits receives the gradient, (tokens, vocab), zero where nothing is asked; may be logits itself
/// \throws ShapeError if the shapes disagree
/// \throws ValueError for a target that is no token
template <class Real>
void cross_entropy_gradient(MatrixRef<const Real> logits, std::span<const std::int64_t> targets, double weight,
                            MatrixRef<Real> dlogits);

}  // namespace mamba2
