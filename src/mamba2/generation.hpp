/// \file generation.hpp
/// \brief The loop that writes: ask the model, choose a token, put it at the end, ask again. Explained in @chapter{text}.
#pragma once

#include <mamba2/language_model.hpp>
#include <mamba2/sampling.hpp>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <vector>

namespace mamba2 {

/// \brief What to write, and when to stop.
struct GenerationOptions {
  std::size_t max_new_tokens = 100;         ///< stop after so many
  std::vector<std::int64_t> stop_ids = {};  ///< stop where one of these is chosen, such as the end of the text
  std::size_t vocab_size = 0;               ///< only tokens below this are chosen; 0: the model's, without its padding
  SamplingOptions sampling = {};            ///< how to choose
  std::uint64_t seed = 0;                   ///< of the first text; the next one has the next
  LanguageModelOptions model = {};          ///< how the prompt is computed
};

/// \brief Why a text ended.
enum class Finish {
  stop,        ///< one of the stop_ids was chosen
  length,      ///< max_new_tokens were written
  interrupted  ///< who listened wanted no more
};

/// \brief What was written after one prompt.
struct Generated {
  std::vector<std::int64_t> ids;  ///< the new tokens, without the one that ended the text
  Finish finish;                  ///< why it ended
};

/// \brief Called with each token as soon as it is chosen: the number of the text and the token. False ends all texts.
using TokenListener = std::function<bool(std::size_t text, std::int64_t id)>;

/// \brief Go on with some texts.
/// \param model    the model
/// \param prompts  the tokens of each text so far, at least one; lengths may differ
/// \param options  what to choose, when to stop
/// \param listener hears of each new token, but for those that end a text; may be empty
/// \return for each prompt what comes after it: the same as if it were alone and had its seed
/// \throws ValueError naming an option, a prompt without tokens, a token outside the vocabulary, or scores that are no numbers
template <class Real>
std::vector<Generated> generate(const Predictor<Real>& model, const std::vector<std::vector<std::int64_t>>& prompts,
                                const GenerationOptions& options = {}, const TokenListener& listener = {});

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
