/// \file text_state.hpp
/// \brief All that is needed to go on with a text, and its way into a file and back. Explained in @chapter{text}.
#pragma once

#include <mamba2/language_model.hpp>
#include <mamba2/model_directory.hpp>

#include <cstdint>
#include <filesystem>
#include <vector>

namespace mamba2 {

/// \brief All that is needed to go on with a text, in a moment or tomorrow. It has the same size after every token.
template <class Real>
struct TextState {
  LanguageModelCache<Real> cache;  ///< what the model remembers, of a batch of one
  std::vector<Real>
      scores;  ///< of what comes next, (padded_vocab_size); those that are never chosen may be \f$-\infty\f$
  std::vector<std::int64_t> seen;  ///< tokens that the repetition penalty counts as seen, each once, ascending
};

/// \brief A number that tells models apart, whichever way their files are laid out: of the names and shapes of all parameters, and of
/// the numbers of those that are small. Every training changes it.
/// \param model its directory
/// \return 64 bits
/// \throws FileError as reading does
std::uint64_t fingerprint(const ModelDirectory& model);

/// \brief Put a state into a file, in the safetensors format. The file appears when it is complete.
/// \param path  where
/// \param state what to save
/// \param model the fingerprint() of its model
/// \throws FileError if it cannot be written
template <class Real>
void save_state(const std::filesystem::path& path, TextState<Real> state, std::uint64_t model);

/// \brief Read a state.
/// \param path  what save_state() wrote
/// \param model the model that shall go on
/// \param mark  its fingerprint()
/// \return the state
/// \throws FileError if this is no such file, or it belongs to another model, or is damaged
template <class Real>
TextState<Real> load_state(const std::filesystem::path& path, const Predictor<Real>& model, std::uint64_t mark);

}  // namespace mamba2
