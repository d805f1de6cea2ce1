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
#include <mamba2/tokenizer.hpp>

#include <algorithm>
#include <limits>
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
// fed any more, and costs nothing. And it makes *several texts of one prompt* cheap: the prompt is
// read once, and its row is taken as often as it is asked for.
//
// The loop is a small machine. It holds the texts that are still being written, a sampler for each,
// their cache and their scores. It reads the prompts, and then does three things in turn: choose a
// token for each text, leave out those that have ended, take one step with the others.

//: fold The writer and what it holds
namespace {

template <class Real>
class Writer {
 public:
  Writer(const Predictor<Real>& model, const GenerationOptions& options, const TokenListener& listener,
         std::vector<TextState<Real>>* states)
      : model_(model), options_(options), listener_(listener), states_(states) {
    const std::size_t vocab = model.config().vocab_size;
    choices_ = options.vocab_size == 0 ? vocab : options.vocab_size;
    require(choices_ <= vocab, "vocab_size", "at most the model's " + std::to_string(vocab),
            std::to_string(choices_));
    require(options.samples > 0, "samples", "at least 1", "0");
    check("stop_ids", options.stop_ids);
    check("never_ids", options.never_ids);
  }

  std::vector<Generated> write(const std::vector<std::vector<std::int64_t>>& prompts);

 private:
  struct Text {
    std::size_t number;  // among the results
    Sampler sampler;
    std::int64_t next = 0;  // the token that was chosen last
    bool unread = false;    // it is part of the text, and the model has not seen it
    bool ended = false;
  };

  void check(const char* option, const std::vector<std::int64_t>& ids) const;
  void read(const std::vector<std::vector<std::int64_t>>& prompts);
  TextState<Real> read_prompt(const std::vector<std::int64_t>& prompt, TextState<Real>* before) const;
  void choose(std::size_t i);
  void end(Text& text, Finish why);
  void leave_out();
  TextState<Real> state(std::size_t i) const;
  void step();

  const Predictor<Real>& model_;
  const GenerationOptions& options_;
  const TokenListener& listener_;
  std::vector<TextState<Real>>* states_;
  std::size_t choices_ = 0;  // tokens that may be chosen: those below this number
  std::vector<Text> texts_;  // that are not finished; row i of logits and cache belongs to texts_[i]
  Tensor<Real, 2> logits_;
  LanguageModelCache<Real> cache_;
  std::vector<Generated> results_;
  std::vector<TextState<Real>> ends_;  // where somebody wants to know
  bool interrupted_ = false;
};

// This is the loop:

template <class Real>
std::vector<Generated> Writer<Real>::write(const std::vector<std::vector<std::int64_t>>& prompts) {
  read(prompts);
  leave_out();  // all of them, where no token is wanted
  while (!texts_.empty()) {
    for (std::size_t i = 0; i < texts_.size() && !interrupted_; ++i) choose(i);
    leave_out();
    if (!texts_.empty()) step();
  }
  if (states_) *states_ = std::move(ends_);
  return std::move(results_);
}

// The prompts first. Each is read by itself, with its state before it where it goes on with one,
// and as many rows are put below each other as texts are wanted.

template <class Real>
void Writer<Real>::read(const std::vector<std::vector<std::int64_t>>& prompts) {
  const std::size_t samples = options_.samples, count = prompts.size() * samples;
  const bool go_on = states_ && !states_->empty();
  if (go_on)
    require(states_->size() == prompts.size(), "states", "one for each prompt",
            std::to_string(states_->size()));
  logits_ = Tensor<Real, 2>::from_shape({count, model_.config().padded_vocab_size()});
  std::vector<TextState<Real>> read;
  std::vector<CacheRow<Real>> rows;
  for (std::size_t i = 0; i < prompts.size(); ++i)
    read.push_back(read_prompt(prompts[i], go_on ? &(*states_)[i] : nullptr));
  for (std::size_t number = 0; number < count; ++number) {
    const TextState<Real>& state = read[number / samples];
    require(state.scores.size() == logits_.shape(1), "states", "scores of all tokens",
            std::to_string(state.scores.size()));
    std::copy(state.scores.begin(), state.scores.end(), &logits_(number, 0));
    rows.push_back({&state.cache, 0});
    texts_.push_back({.number = number,
                      .sampler = Sampler(options_.sampling, options_.seed + number),
                      .ended = options_.max_new_tokens == 0});
    texts_.back().sampler.saw(state.seen);
  }
  cache_ = gather_cache<Real>(rows);
  results_.assign(count, {{}, options_.max_new_tokens == 0 ? Finish::length : Finish::interrupted});
  if (states_) ends_.resize(count);
}

// An empty prompt begins with the token that texts begin with, or goes on where it stood.

template <class Real>
TextState<Real> Writer<Real>::read_prompt(const std::vector<std::int64_t>& prompt,
                                          TextState<Real>* before) const {
  if (before && prompt.empty()) return std::move(*before);
  TextState<Real> state;
  if (before) state = std::move(*before);
  if (!before) state.cache = model_.empty_cache(1);
  const bool begins = prompt.empty() && options_.beginning;
  require(begins || !prompt.empty(), "prompt", "at least one token", "none");
  const std::span<const std::int64_t> tokens =
      begins ? std::span(&*options_.beginning, 1) : std::span(prompt);
  auto ids = Tensor<std::int64_t, 2>::from_shape({1, tokens.size()});
  std::copy(tokens.begin(), tokens.end(), ids.begin());
  const Tensor<Real, 2> scores = model_.prefill(ids, state.cache, options_.model);
  state.scores.assign(scores.begin(), scores.end());
  state.seen.insert(state.seen.end(), tokens.begin(), tokens.end());
  return state;
}

// Then a token for each text. What is never to be chosen gets a score of $-\infty$; the padding of
// the vocabulary stands behind the scores that are handed on. Whoever listens is asked whether the
// text goes on. Every text is taken to be interrupted until something else is known, so one that
// has ended stays as it was, whatever happens to the others in the same round.

template <class Real>
void Writer<Real>::choose(std::size_t i) {
  Text& text = texts_[i];
  Generated& result = results_[text.number];
  const std::span<Real> scores(&logits_(i, 0), logits_.shape(1));
  for (const std::int64_t id : options_.never_ids)
    scores[static_cast<std::size_t>(id)] = -std::numeric_limits<Real>::infinity();
  text.next = text.sampler.choose(std::span<const Real>(scores.first(choices_)));
  const auto& stops = options_.stop_ids;
  if (std::find(stops.begin(), stops.end(), text.next) != stops.end()) return end(text, Finish::stop);
  result.ids.push_back(text.next);
  text.unread = true;
  const GoOn answer = listener_ ? listener_(text.number, text.next) : GoOn::yes;
  interrupted_ = answer == GoOn::no;
  if (answer == GoOn::others) return end(text, Finish::stop);
  if (result.ids.size() == options_.max_new_tokens) end(text, Finish::length);
}

template <class Real>
void Writer<Real>::end(Text& text, Finish why) {
  results_[text.number].finish = why;  // it says `interrupted` of those that never get here
  text.ended = true;
}

// Texts that have ended leave the batch, and their rows leave the cache. Where somebody wants to go
// on with them later, a last step reads their last token.

template <class Real>
void Writer<Real>::leave_out() {
  std::vector<Text> going;
  std::vector<CacheRow<Real>> rows;
  for (std::size_t i = 0; i < texts_.size(); ++i) {
    if (texts_[i].ended || interrupted_) {
      if (states_) ends_[texts_[i].number] = state(i);
    } else {
      rows.push_back({&cache_, i});
      going.push_back(std::move(texts_[i]));
    }
  }
  const bool fewer = rows.size() < texts_.size();
  texts_ = std::move(going);
  if (fewer && !texts_.empty()) cache_ = gather_cache<Real>(rows);
}

template <class Real>
TextState<Real> Writer<Real>::state(std::size_t i) const {
  const Text& text = texts_[i];
  const CacheRow<Real> row{&cache_, i};
  TextState<Real> state{gather_cache<Real>(std::span(&row, 1)), {}, {}};
  state.scores.assign(&logits_(i, 0), &logits_(i, 0) + logits_.shape(1));
  state.seen.assign(text.sampler.seen().begin(), text.sampler.seen().end());
  std::sort(state.seen.begin(), state.seen.end());
  const std::size_t vocab = state.scores.size();
  if (text.unread) model_.step({&text.next, 1}, state.cache, {state.scores.data(), 1, vocab, vocab});
  return state;
}

template <class Real>
void Writer<Real>::check(const char* option, const std::vector<std::int64_t>& ids) const {
  const auto most = static_cast<std::int64_t>(model_.config().padded_vocab_size()) - 1;
  for (const std::int64_t id : ids)
    require(id >= 0 && id <= most, option, "0 to " + std::to_string(most), std::to_string(id));
}

template <class Real>
void Writer<Real>::step() {
  std::vector<std::int64_t> ids;
  for (Text& text : texts_) {
    ids.push_back(text.next);
    text.unread = false;
  }
  logits_.resize({texts_.size(), logits_.shape(1)});
  model_.step(ids, cache_, as_matrix(logits_));
}

}  // namespace

template <class Real>
std::vector<Generated> generate(const Predictor<Real>& model,
                                const std::vector<std::vector<std::int64_t>>& prompts,
                                const GenerationOptions& options, const TokenListener& listener,
                                std::vector<TextState<Real>>* states) {
  options.sampling.check();
  if (prompts.empty()) return {};
  return Writer<Real>(model, options, listener, states).write(prompts);
}

// Each text has a sampler of its own, with a seed of its own. So what is written after a prompt
// does not depend on the prompts beside it, nor on their number, nor on who of them finishes first.
// That is true of the mathematics. In floating point there is a reservation: the product of a large
// batch adds up in another order than that of a single text, so scores may differ in their last
// digits, and where two tokens are as good as equal, another one is chosen.
//
// ### Where to begin, and where to end {#text_ends}
//
// A model has seen texts one after the other, with `<|endoftext|>` between them. So this token is
// both: where it is chosen, the text ends; and after it, any text may begin. Who wants to see what
// a model writes *of itself* gives it nothing but this token, and that is what an empty prompt is.
//
// Which token it is, the configuration says, in one of two files and sometimes as a list of
// several; where it says nothing, the tokenizer has a token of that name. And there are numbers
// that no token has: a vocabulary is padded, and some tokenizers leave gaps. A model gives scores
// to these as well, and whoever draws one has nothing to show.

void fit_to_model(GenerationOptions& options, const LanguageModelConfig& config,
                  const Tokenizer* tokenizer) {
  std::vector<std::int64_t> ends = config.eos_token_ids;
  options.vocab_size = config.vocab_size;
  options.beginning.reset();
  options.never_ids.clear();
  if (tokenizer) {
    options.vocab_size = std::min(config.vocab_size, tokenizer->vocab_size());
    options.beginning = tokenizer->find_added("<|endoftext|>");
    if (options.beginning && ends.empty()) ends = {*options.beginning};
    for (const std::int64_t id : tokenizer->gaps())
      if (static_cast<std::size_t>(id) < options.vocab_size) options.never_ids.push_back(id);
  }
  if (!options.beginning && !ends.empty()) options.beginning = ends.front();
  options.stop_ids.insert(options.stop_ids.end(), ends.begin(), ends.end());
}

// And if a text never ends? A model was trained on pieces of some length, 2048 tokens for the
// published ones. At token 2049 nothing breaks: the state has the same size, and no table of
// positions runs out. But nobody has taught the model what to do there. Heads that forget slowly
// have now summed up more than they ever had in training, and whether the text stays as good is a
// question for measurement: `mamba2 score` on one long text, and on the same text in pieces, tells.
//
// Often the end is no token but a *text*: an empty line, `Question:`, a closing bracket. Then
// tokens are the wrong place to look. The text `\n\n` may be one token, or two, or the end of one
// and the beginning of another; and the token that completes it may go on behind it. So the end is
// looked for in the text, byte by byte.
//
// Who shows a text while it is written has one more worry. After `Quest` nobody knows whether
// `ion:` follows. If it is shown, it cannot be taken back. So the longest end of the text that is a
// beginning of a stop text is held back, until it has become one or can no longer become one.
//
// How long is that end, after one more byte? It is one byte longer if the byte is the one that
// follows in the stop text. If not, the next shorter end comes into question that is a beginning
// too. Which one that is depends on the stop text alone and is worked out once: this is the method
// of Knuth, Morris and Pratt, and no byte of the text is looked at twice.

StopTexts::StopTexts(const std::vector<std::string>& texts) {
  for (const std::string& text : texts) {
    require(!text.empty(), "stop text", "at least one character", "none");
    require(mended_utf8(text) == text, "stop text", "UTF-8", "broken characters");
    Pattern pattern{text, {0, 0}};
    for (std::size_t n = 1; n < text.size(); ++n) {
      pattern.advance(text[n]);
      pattern.border.push_back(pattern.matched);
    }
    pattern.matched = 0;
    patterns_.push_back(std::move(pattern));
  }
}

void StopTexts::Pattern::advance(char byte) {
  while (matched > 0 && text[matched] != byte) matched = border[matched];
  if (text[matched] == byte) ++matched;
}

std::string StopTexts::push(std::string_view text) {
  std::string ready;
  for (std::size_t i = 0; i < text.size() && !found_; ++i) {
    std::size_t begun = 0, complete = 0;
    for (Pattern& pattern : patterns_) {
      pattern.advance(text[i]);
      begun = std::max(begun, pattern.matched);
      if (pattern.matched == pattern.text.size()) complete = std::max(complete, pattern.matched);
    }
    held_ += text[i];
    found_ = complete > 0;
    const std::size_t certain = held_.size() - (found_ ? complete : begun);
    ready.append(held_, 0, certain);
    held_.erase(0, certain);
  }
  if (found_) held_.clear();
  return ready;
}

// What it gives does not depend on how the text was cut into pieces. Where several stop texts end
// at the same byte, the longest is left out.

template LanguageModelCache<float> gather_cache(std::span<const CacheRow<float>>);
template LanguageModelCache<double> gather_cache(std::span<const CacheRow<double>>);
template std::vector<Generated> generate(const Predictor<float>&,
                                         const std::vector<std::vector<std::int64_t>>&,
                                         const GenerationOptions&, const TokenListener&,
                                         std::vector<TextState<float>>*);
template std::vector<Generated> generate(const Predictor<double>&,
                                         const std::vector<std::vector<std::int64_t>>&,
                                         const GenerationOptions&, const TokenListener&,
                                         std::vector<TextState<double>>*);

}  // namespace mamba2
