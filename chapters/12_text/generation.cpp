// ## The loop that writes {#text_loop}
//
// All the pieces are there. The prompt goes through the model at once and leaves a cache and the
// scores of what comes next. A token is chosen; if it is the end, we stop; if not, the model takes
// one step with it.
//
// With several prompts there is a difficulty. They have different lengths, and a batch is a
// rectangle. The usual way is to fill the shorter ones up with a token that means nothing, and to
// see to it that it does mean nothing. For attention a mask does that. In a recurrence every token
// changes the state, the meaningless ones too, and the convolution sees them as well. It can be
// helped, with a step size of zero and some care, and it has gone wrong in more than one
// implementation.
//
// But a recurrence has something better. Whatever its length, a prompt leaves a cache of the *same
// size*. So each prompt is read by itself, exactly as if it were alone, and then the caches are put
// one below the other: from there on all texts go on together, a token of each at every step.
// Together they cost hardly more than one, since each weight is fetched from memory once for all of
// them.

#include <mamba2/error.hpp>
#include <mamba2/generation.hpp>

#include <algorithm>
#include <string>

namespace mamba2 {

template <class Real>
LanguageModelCache<Real> gather_cache(std::span<const CacheRow<Real>> rows) {
  require(!rows.empty(), "rows", "at least one", "none");
  LanguageModelCache<Real> result = rows[0].cache->like(rows.size());
  for (std::size_t i = 0; i < rows.size(); ++i) result.take(i, *rows[i].cache, rows[i].row);
  return result;
}

// The same function leaves out texts that are finished. A finished text stays finished: it is not
// fed any more, and costs nothing.
//
// The loop is a small machine. It holds the texts that are still being written, a sampler for each,
// their cache and their scores, and does two things in turn: choose() and step().

namespace {

template <class Real>
class Writer {
 public:
  Writer(const Predictor<Real>& model, const GenerationOptions& options, const TokenListener& listener)
      : model_(model), options_(options), listener_(listener) {
    const std::size_t vocab = model.config().vocab_size;
    choices_ = options.vocab_size == 0 ? vocab : options.vocab_size;
    require(choices_ <= vocab, "vocab_size", "at most the model's " + std::to_string(vocab),
            std::to_string(choices_));
  }

  void read(const std::vector<std::vector<std::int64_t>>& prompts) {
    std::vector<LanguageModelCache<Real>> caches;
    std::vector<CacheRow<Real>> rows;
    logits_ = Tensor<Real, 2>::from_shape({prompts.size(), model_.config().padded_vocab_size()});
    for (std::size_t i = 0; i < prompts.size(); ++i) {
      require(!prompts[i].empty(), "prompt", "at least one token", "none");
      auto ids = Tensor<std::int64_t, 2>::from_shape({1, prompts[i].size()});
      std::copy(prompts[i].begin(), prompts[i].end(), ids.begin());
      caches.push_back(model_.empty_cache(1));
      const Tensor<Real, 2> scores = model_.prefill(ids, caches.back(), options_.model);
      std::copy(scores.begin(), scores.end(), &logits_(i, 0));
      texts_.push_back({i, Sampler(options_.sampling, options_.seed + i), 0});
      texts_.back().sampler.saw(prompts[i]);
    }
    for (const auto& cache : caches) rows.push_back({&cache, 0});
    cache_ = gather_cache<Real>(rows);
    results_.assign(prompts.size(), {{}, Finish::length});
  }

  std::vector<Generated> write() {
    while (!texts_.empty()) {
      choose();
      if (!texts_.empty()) step();
    }
    return std::move(results_);
  }

 private:
  struct Text {
    std::size_t number;  // which of the prompts
    Sampler sampler;
    std::int64_t next;  // the token that was chosen last
  };

  // A token for each text; those that end with it are left out from now on.
  void choose() {
    std::vector<Text> going;
    std::vector<CacheRow<Real>> rows;
    for (std::size_t i = 0; i < texts_.size(); ++i) {
      Text& text = texts_[i];
      const Real* scores = logits_.data() + i * logits_.shape(1);
      text.next = text.sampler.choose(
          std::span<const Real>(scores, choices_));  // never the padding behind them
      if (!goes_on(text)) continue;
      rows.push_back({&cache_, i});
      going.push_back(std::move(text));
    }
    const bool fewer = going.size() < texts_.size();
    texts_ = interrupted_ ? std::vector<Text>() : std::move(going);
    if (fewer && !texts_.empty()) cache_ = gather_cache<Real>(rows);
  }

  bool goes_on(const Text& text) {
    Generated& result = results_[text.number];
    if (interrupted_) {
      result.finish = Finish::interrupted;
      return false;
    }
    if (std::find(options_.stop_ids.begin(), options_.stop_ids.end(), text.next) !=
        options_.stop_ids.end()) {
      result.finish = Finish::stop;
      return false;
    }
    result.ids.push_back(text.next);
    if (listener_ && !listener_(text.number, text.next)) {
      for (const Text& other : texts_) results_[other.number].finish = Finish::interrupted;
      interrupted_ = true;
    }
    return !interrupted_ && result.ids.size() < options_.max_new_tokens;
  }

  void step() {
    std::vector<std::int64_t> ids;
    for (const Text& text : texts_) ids.push_back(text.next);
    logits_.resize({texts_.size(), logits_.shape(1)});
    model_.step(ids, cache_, as_matrix(logits_));
  }

  const Predictor<Real>& model_;
  const GenerationOptions& options_;
  const TokenListener& listener_;
  std::size_t choices_ = 0;  // tokens that may be chosen: those below this number
  std::vector<Text> texts_;  // that are not finished; row i of logits and cache belongs to texts_[i]
  Tensor<Real, 2> logits_;
  LanguageModelCache<Real> cache_;
  std::vector<Generated> results_;
  bool interrupted_ = false;
};

}  // namespace

template <class Real>
std::vector<Generated> generate(const Predictor<Real>& model,
                                const std::vector<std::vector<std::int64_t>>& prompts,
                                const GenerationOptions& options, const TokenListener& listener) {
  options.sampling.check();
  if (prompts.empty()) return {};
  if (options.max_new_tokens == 0) return std::vector<Generated>(prompts.size(), {{}, Finish::length});
  Writer<Real> writer(model, options, listener);
  writer.read(prompts);
  return writer.write();
}

// Each text has a sampler of its own, with a seed of its own. So what is written after a prompt
// does not depend on the prompts beside it, nor on their number, nor on who of them finishes first.

template LanguageModelCache<float> gather_cache(std::span<const CacheRow<float>>);
template LanguageModelCache<double> gather_cache(std::span<const CacheRow<double>>);
template std::vector<Generated> generate(const Predictor<float>&,
                                         const std::vector<std::vector<std::int64_t>>&,
                                         const GenerationOptions&, const TokenListener&);
template std::vector<Generated> generate(const Predictor<double>&,
                                         const std::vector<std::vector<std::int64_t>>&,
                                         const GenerationOptions&, const TokenListener&);

}  // namespace mamba2
