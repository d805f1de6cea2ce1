/// \file cross_entropy.hpp
/// \brief How good a model is: cross-entropy, perplexity, bits per byte. Explained in @chapter{language_model}.
#pragma once

#include <mamba2/language_model.hpp>
#include <mamba2/tensor.hpp>

#include <cstddef>
#include <cstdint>

namespace mamba2 {

/// \brief A target that says: what comes here is not asked for. Such a place costs nothing, and gives no gradient.
inline constexpr std::int64_t not_asked = -1;

/// \brief How many places are asked for. \param targets of a batch \return those that are not not_asked
std::size_t places_asked(const Tensor<std::int64_t, 2>& targets);

/// \brief How well tokens were predicted. What belongs to several pieces of a text is added up.
struct CrossEntropy {
  double nats = 0;         ///< the sum over the tokens of \f$-\ln p\f$, p the probability that each was given
  std::size_t tokens = 0;  ///< how many tokens were predicted

  /// \brief Add what was found in another piece of the text. \param other its sum and its tokens \return this
  CrossEntropy& operator+=(const CrossEntropy& other) {
    nats += other.nats;
    tokens += other.tokens;
    return *this;
  }
  /// \brief The cross-entropy. \return nats per token \throws ValueError if there are no tokens
  double mean() const;
  /// \brief How many equally likely tokens would be as hard to guess among. \return e to the power of mean()
  /// \throws ValueError if there are no tokens
  double perplexity() const;
  /// \brief What does not depend on how a text is cut into tokens.
  /// \param bytes of the text that the predicted tokens stand for
  /// \return bits that a compressor with these predictions would need for each byte
  /// \throws ValueError if there are no bytes
  double bits_per_byte(std::size_t bytes) const;
};

/// \brief How well scores predict the tokens that came.
/// \param logits  a score for every token that could come, (batch, seqlen, vocab); rows of a padded vocabulary count
/// \param targets the token that did come at each place, (batch, seqlen), each 0 to vocab − 1, or not_asked
/// \return the sum over all places that are asked for, computed in double
/// \throws ShapeError if logits and targets are not of the same places
/// \throws ValueError for a target that is no token, with its place, and for scores that are NaN, \f$+\infty\f$ or all \f$-\infty\f$
///         where they are asked for
template <class Real>
CrossEntropy cross_entropy(const Tensor<Real, 3>& logits, const Tensor<std::int64_t, 2>& targets);

/// \brief How well a model predicts texts of any length: each token but the first, from those before it.
/// \param model   the model
/// \param ids     tokens, (batch, seqlen)
/// \param options the algorithm; texts are read in pieces of options.piece tokens, so that memory does not grow with them
/// \return the sum over all batch × (seqlen − 1) places
/// \throws ValueError for an id outside the vocabulary
template <class Real>
CrossEntropy cross_entropy(const Predictor<Real>& model, const Tensor<std::int64_t, 2>& ids,
                           const LanguageModelOptions& options = {});

}  // namespace mamba2
