/// \file generation.hpp
/// \brief The loop that writes: ask the model, choose a token, put it at the end, ask again. Explained in @chapter{text}.
#pragma once

#include <mamba2/language_model.hpp>
#include <mamba2/sampling.hpp>
#include <mamba2/text_state.hpp>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace mamba2 {

class Tokenizer;

/// \brief What to write, and when to stop.
struct GenerationOptions {
  std::size_t max_new_tokens = 100;          ///< stop after so many
  std::size_t samples = 1;                   ///< how many texts each prompt becomes; it is read once
  std::vector<std::int64_t> stop_ids = {};   ///< stop where one of these is chosen, such as the end of the text
  std::vector<std::int64_t> never_ids = {};  ///< are never chosen, such as numbers that no token has
  std::size_t vocab_size = 0;                ///< only tokens below this are chosen; 0: the model's, without its padding
  std::optional<std::int64_t> beginning = {};  ///< what an empty prompt begins with; nothing: it is refused
  SamplingOptions sampling = {};               ///< how to choose
  std::uint64_t seed = 0;                      ///< of the first text; the next one has the next
  LanguageModelOptions model = {};             ///< how the prompt is computed
};

/// \brief Add to options what a model and its tokenizer say: where texts end, what an empty one begins with, which numbers are no
/// tokens.
///
/// Texts end with the ids that the configuration names, or where it names none, with the tokenizer's `<|endoftext|>`. With that
/// token, or else the first end, an empty text begins.
/// \param options   stop_ids are added; vocab_size, never_ids and beginning are set
/// \param config    the model's
/// \param tokenizer the model's, or null
void fit_to_model(GenerationOptions& options, const LanguageModelConfig& config, const Tokenizer* tokenizer = nullptr);

/// \brief Why a text ended.
enum class Finish {
  stop,        ///< one of the stop_ids was chosen, or who listened had enough of this text
  length,      ///< max_new_tokens were written
  interrupted  ///< who listened wanted no more of any
};

/// \brief What was written after one prompt.
struct Generated {
  std::vector<std::int64_t> ids;  ///< the new tokens, without the one of stop_ids that ended the text
  Finish finish;                  ///< why it ended
};

/// \brief What who listens to a text wants next.
enum class GoOn {
  yes,     ///< the next token
  others,  ///< this text ends here, the others go on
  no       ///< all texts end here
};

/// \brief Called with each token as soon as it is chosen: the number of the text and the token.
using TokenListener = std::function<GoOn(std::size_t text, std::int64_t id)>;

/// \brief Go on with some texts.
/// \param model    the model
/// \param prompts  the tokens of each text so far, or with states, the tokens to be put at its end; lengths may differ
/// \param options  what to choose, when to stop
/// \param listener hears of each new token, but for those of stop_ids; may be empty
/// \param states   on entry where each text begins, one for each prompt, or none: from nothing; on return the state of each text.
///                 Null: nobody wants to know
/// \return samples texts for the first prompt, then as many for the next: what comes after it. Each is the same as if it were
///         alone and had its seed, up to rounding: a product of a large batch adds up in another order than one of a small
/// \throws ValueError naming an option, a prompt without tokens, a token outside the vocabulary, or scores that are no numbers
/// \throws ShapeError for a state of another model
template <class Real>
std::vector<Generated> generate(const Predictor<Real>& model, const std::vector<std::vector<std::int64_t>>& prompts,
                                const GenerationOptions& options = {}, const TokenListener& listener = {},
                                std::vector<TextState<Real>>* states = nullptr);

/// \brief A text as it comes, up to the first of some stop texts. What may still become one is held back.
///
/// The end of a text is looked for, not its tokens: a stop text may begin and end in the middle of a token.
class StopTexts {
 public:
  /// \brief Look for some texts.
  /// \param texts UTF-8, none of them empty; may be none at all
  /// \throws ValueError for an empty text, or one that is not UTF-8
  explicit StopTexts(const std::vector<std::string>& texts = {});
  /// \brief More of the text. \param text the next bytes of it
  /// \return what is certain to stand before the first stop text, and was not given yet
  std::string push(std::string_view text);
  /// \brief Whether a stop text has come. \return true if so; what comes after it is left out
  bool found() const { return found_; }
  /// \brief The end of the text. \return what was held back and became no stop text
  std::string finish() { return std::exchange(held_, {}); }

 private:
  struct Pattern {
    std::string text;
    std::vector<std::size_t> border;  // of its first n bytes: the longest end that is a beginning, but not all of them
    std::size_t matched = 0;          // how many of its bytes the text so far ends with
    void advance(char byte);
  };
  std::vector<Pattern> patterns_;
  std::string held_;
  bool found_ = false;
};

/// \brief Some rows of caches, one below the other: texts that were read apart go on together, or finished ones are left out.
/// \tparam Real float or double
template <class Real>
struct CacheRow {
  const LanguageModelCache<Real>* cache;  ///< of some texts
  std::size_t row;                        ///< which of them
};

/// \brief Put together a cache from rows of others.
/// \param rows at least one, all of the same model
/// \return a cache of a batch of rows.size() texts
/// \throws ValueError for no rows, or a row that a cache does not have
template <class Real>
LanguageModelCache<Real> gather_cache(std::span<const CacheRow<Real>> rows);

}  // namespace mamba2
