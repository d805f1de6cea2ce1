// ## How good a model is {#language_model_good}
//
// A model that computes can be asked how well it predicts. Give it a text that it has not seen. At
// each place it says how likely every token is to come next; look up the probability $p$ that it
// gave to the token that *did* come. Each place costs $-\ln p$: nothing where the model was certain
// and right, much where it was certain and wrong. The mean over the text is the **cross-entropy**,
// in nats per token, and it is what training makes small. Its exponential is the **perplexity**. A
// model that wavers between $k$ equally likely tokens pays $\ln k$ and has perplexity $k$; so
// perplexity says among how many tokens the model is, in effect, still choosing.
//
// The probability is the softmax of the logits, so $-\ln p = \ln \sum_j e^{l_j} - l_i$ for the
// token $i$. Written like this it fails: $e^{l}$ overflows in float beyond $l = 88$, in double
// beyond 709. Adding the same number to all logits changes no probability. So the largest is
// subtracted first: then no exponential is above one, one of them *is* one, and the logarithm is
// taken of a number that is at least one. Sums are in double, whatever the logits are: the terms
// are many, and so are the tokens of a text.

#include <mamba2/cross_entropy.hpp>
#include <mamba2/error.hpp>

#include <algorithm>
#include <cmath>
#include <numbers>

namespace mamba2 {

namespace {

// -ln of the probability that the softmax of some scores gives to one of them.
template <class Real>
double nats(std::span<const Real> scores, std::size_t target) {
  const double largest = static_cast<double>(*std::max_element(scores.begin(), scores.end()));
  double sum = 0;
  for (const Real score : scores) sum += std::exp(static_cast<double>(score) - largest);
  return std::log(sum) + (largest - static_cast<double>(scores[target]));
}

}  // namespace

// Some places are not worth a question. In *the capital of France is* a guess after *the* says
// little of what a model knows of France. A target of −1, `not_asked`, leaves its place out, and
// the mean is over the others.

std::size_t places_asked(const Tensor<std::int64_t, 2>& targets) {
  return targets.size() -
         static_cast<std::size_t>(std::count(targets.begin(), targets.end(), not_asked));
}

// Targets come from outside, as tokens do, and are checked as they are. A NaN among the scores, or
// an infinity, makes the result a NaN. In a long sum nobody could say later where it came from.

template <class Real>
CrossEntropy cross_entropy(const Tensor<Real, 3>& logits, const Tensor<std::int64_t, 2>& targets) {
  const std::size_t seqlen = logits.shape(1), vocab = logits.shape(2);
  require_shape("targets", targets, {logits.shape(0), seqlen}, "(batch, seqlen)");
  require(vocab > 0, "vocab", "at least 1", "0");
  CrossEntropy sum{.tokens = places_asked(targets)};
  for (std::size_t i = 0; i < targets.size(); ++i) {
    const auto place = [&] { return " at " + shape_text(std::array{i / seqlen, i % seqlen}); };
    const std::int64_t target = targets.data()[i];
    if (target == not_asked) continue;
    if (target < 0 || static_cast<std::size_t>(target) >= vocab)
      throw ValueError("targets: expected 0 to " + std::to_string(vocab - 1) + " or -1, got " +
                       std::to_string(target) + place());
    const double one = nats<Real>({logits.data() + i * vocab, vocab}, static_cast<std::size_t>(target));
    if (std::isnan(one))
      throw ValueError("logits: expected finite scores, got NaN or infinity" + place());
    sum.nats += one;
  }
  return sum;
}

// A model predicts a long text in pieces, with its cache between them. The last token of all
// predicts nothing that could be compared, so it is a target and is not read.

template <class Real>
CrossEntropy cross_entropy(const Predictor<Real>& model, const Tensor<std::int64_t, 2>& ids,
                           const LanguageModelOptions& options) {
  require(options.piece > 0, "piece", "at least 1", "0");
  using Ids = Tensor<std::int64_t, 2>;
  auto cache = model.empty_cache(ids.shape(0));
  CrossEntropy sum;
  for (std::size_t first = 0; first + 1 < ids.shape(1); first += options.piece) {
    const std::size_t end = std::min(first + options.piece, ids.shape(1) - 1);
    const Ids piece = xt::view(ids, xt::all(), xt::range(first, end));
    const Ids next = xt::view(ids, xt::all(), xt::range(first + 1, end + 1));
    sum += cross_entropy(model.forward(piece, cache, options), next);
  }
  return sum;
}

double CrossEntropy::mean() const {
  require(tokens > 0, "tokens", "at least 1", "0");
  return nats / static_cast<double>(tokens);
}

double CrossEntropy::perplexity() const {
  return std::exp(mean());
}

// Perplexities of two models can be compared only where both cut texts in the same way. One that
// cuts into words has fewer tokens to guess, each among many more. What both have in common is the
// text itself, and the probability that all guesses together give to it. So the whole sum is
// divided by something that no tokenizer changes, the number of bytes, and counted in bits: **bits
// per byte**. A bit is $\ln 2$ nats. The number has a plain meaning besides. A compressor that
// spends $-\log_2 p$ bits on each token, as arithmetic coding does up to a few bits for the whole
// file, would need just so many; an uncompressed text has 8.

double CrossEntropy::bits_per_byte(std::size_t bytes) const {
  require(bytes > 0, "bytes", "at least 1", "0");
  return nats / std::numbers::ln2 / static_cast<double>(bytes);
}

// The program shows the difference with two models that are mere counts. Each knows how often every
// token occurs in a text of four lines, and nothing of what stands before it; one counts
// characters, the other words with the space before them. Their guesses are compared with no
// knowledge at all, where every token of the text is equally likely:
//
// @output good
//
// By perplexity the words look worse. By bits per byte they are far better, as they should be: who
// guesses a word guesses its letters with it. (No model may be judged by a text that it has counted
// itself: rare words are known here because they stand in this very text. Test texts are kept
// apart.) The line of 60 tokens is a model of this chapter with fresh random weights. It knows
// nothing, and it shows: its perplexity is nearly the number of its tokens, the padding included.
//
// The last line is the book's own model, a small one that has read this book and no such verse. Its
// tokens are pieces of words, of which it has hundreds, and it guesses with what stands before. It
// needs fewer bits than the letters that were counted, though it has never seen these lines. The
// words that were counted need fewer still, for their counts were taken from the answer.

template CrossEntropy cross_entropy(const Tensor<float, 3>&, const Tensor<std::int64_t, 2>&);
template CrossEntropy cross_entropy(const Tensor<double, 3>&, const Tensor<std::int64_t, 2>&);
template CrossEntropy cross_entropy(const Predictor<float>&, const Tensor<std::int64_t, 2>&,
                                    const LanguageModelOptions&);
template CrossEntropy cross_entropy(const Predictor<double>&, const Tensor<std::int64_t, 2>&,
                                    const LanguageModelOptions&);

}  // namespace mamba2
