/// \file sampling.hpp
/// \brief From the scores of all tokens to one of them: penalty, temperature, filters, chance. Explained in @chapter{text}.
#pragma once

#include <mamba2/random.hpp>

#include <cstddef>
#include <cstdint>
#include <span>
#include <unordered_set>
#include <vector>

namespace mamba2 {

/// \brief How the next token is chosen. As they come, the options choose by the model's own probabilities.
struct SamplingOptions {
  double temperature = 1;         ///< scores are divided by it; 0 takes the token with the highest score, always
  std::size_t top_k = 0;          ///< only the k likeliest tokens; 0: all
  double top_p = 1;               ///< only the likeliest tokens that together reach this probability; 1: all
  double min_p = 0;               ///< only tokens at least this many times as likely as the likeliest; 0: all
  double repetition_penalty = 1;  ///< above 1: tokens that were seen before become less likely; 1: they do not

  /// \brief Refuse options that make no sense.
  /// \throws ValueError naming the option, what it may be and what it is
  void check() const;
};

/// \brief A token that could come next.
struct Candidate {
  std::int64_t id;  ///< its number
  double score;     ///< its logit, or what has become of it; higher is likelier
};

/// \brief All tokens as candidates.
/// \param logits a score for each token that may come next
/// \return candidates in the order of their numbers; without those whose score is \f$-\infty\f$
/// \throws ValueError for NaN and \f$+\infty\f$, with the token, and if no candidate is left
template <class Real>
std::vector<Candidate> candidates(std::span<const Real> logits);

/// \brief Make tokens that were seen less likely: positive scores are divided by the penalty, negative ones multiplied.
/// \param tokens  candidates, changed in place
/// \param seen    numbers of tokens
/// \param penalty positive; 1 changes nothing
void penalize_repetition(std::vector<Candidate>& tokens, const std::unordered_set<std::int64_t>& seen, double penalty);

/// \brief Divide the scores, measured from the highest, by the temperature.
/// \param tokens      candidates, changed in place: the highest score becomes 0
/// \param temperature positive
void apply_temperature(std::vector<Candidate>& tokens, double temperature);

/// \brief Keep the k likeliest tokens; of equally likely ones those with lower numbers.
/// \param tokens candidates, changed in place
/// \param k      how many; 0 keeps all
void keep_top_k(std::vector<Candidate>& tokens, std::size_t k);

/// \brief Keep the smallest number of likeliest tokens whose probabilities sum to at least p.
/// \param tokens candidates, changed in place; at least one is kept
/// \param p      above 0; 1 keeps all
void keep_top_p(std::vector<Candidate>& tokens, double p);

/// \brief Keep the tokens whose probability is at least p times that of the likeliest.
/// \param tokens candidates, changed in place; the likeliest is kept
/// \param p      0 to 1; 0 keeps all
void keep_min_p(std::vector<Candidate>& tokens, double p);

/// \brief The probabilities of candidates: the softmax of their scores.
/// \param tokens candidates, at least one
/// \return for each its probability; they sum to 1
std::vector<double> probabilities(const std::vector<Candidate>& tokens);

/// \brief The candidate with the highest score; of equal ones that with the lowest number.
/// \param tokens candidates, at least one
/// \return its number
std::int64_t likeliest(const std::vector<Candidate>& tokens);

/// \brief Choose one candidate by chance.
/// \param tokens candidates, at least one
/// \param random where chance comes from; one number is drawn
/// \return its number
std::int64_t draw(const std::vector<Candidate>& tokens, Random& random);

/// \brief Chooses token after token for one text.
class Sampler {
 public:
  /// \brief A sampler.
  /// \param options how to choose
  /// \param seed    the same seed chooses the same tokens
  /// \throws ValueError as SamplingOptions::check()
  Sampler(const SamplingOptions& options, std::uint64_t seed);
  /// \brief Tokens that stand in the text already, for the repetition penalty. \param ids their numbers
  void saw(std::span<const std::int64_t> ids);
  /// \brief Choose the next token, in this order: penalty, temperature, top-k, top-p, min-p, chance.
  /// \param logits a score for each token that may come next; padding of the vocabulary left out
  /// \return its number; it counts as seen from now on
  /// \throws ValueError as candidates()
  template <class Real>
  std::int64_t choose(std::span<const Real> logits);
  /// \brief The tokens that were seen or chosen so far. \return their numbers
  const std::unordered_set<std::int64_t>& seen() const { return seen_; }

 private:
  SamplingOptions options_;
  Random random_;
  std::unordered_set<std::int64_t> seen_;
};

}  // namespace mamba2
