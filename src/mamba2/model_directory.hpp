/// \file model_directory.hpp
/// \brief A model as a directory of files: loading and saving. Explained in @chapter{language_model}.
#pragma once

#include <mamba2/checkpoint.hpp>
#include <mamba2/language_model.hpp>

#include <cstddef>
#include <filesystem>
#include <functional>
#include <span>

namespace mamba2 {

/// \brief Called while a model is loaded or saved: how many numbers are done, and of how many.
using Progress = std::function<void(std::size_t done, std::size_t total)>;

/// \brief A directory's configuration together with the table of its weights, nothing of which has been read.
struct ModelDirectory {
  LanguageModelConfig config;  ///< what `config.json` says
  Checkpoint checkpoint;       ///< what the weights' files hold
};

/// \brief Open a model's directory: read the configuration, check every tensor's name and shape against it.
/// \param directory holds `config.json` and the weights, in either layout; see open_checkpoint()
/// \return configuration and table
/// \throws FileError naming file, key or offset, and reason; for weights that do not fit, all that are missing, surplus or misshapen
ModelDirectory open_model(const std::filesystem::path& directory);

/// \brief Find a parameter in a checkpoint, under the reference's name or Hugging Face's.
/// \param checkpoint where to look
/// \param name       the reference's name
/// \return its entry, or nullptr
const TensorEntry* find_parameter(const Checkpoint& checkpoint, const std::string& name);

/// \brief What writes the numbers of a parameter where they belong: `info` says which parameter, `values` receives its numbers.
template <class Real>
using ParameterSource = std::function<void(const ParameterInfo& info, std::span<Real> values)>;

/// \brief The parameters of a model in a directory, each read when it is asked for: whoever keeps them in another form need not have
/// all of them in memory.
/// \tparam Real float or double
/// \param source   the directory; it outlives what is returned
/// \param progress called after each parameter; may be empty
/// \return what reads a parameter; it throws FileError where the file has become shorter, or the head of a model with tied weights is
///         stored with other numbers than the embedding's
template <class Real>
ParameterSource<Real> parameter_source(const ModelDirectory& source, const Progress& progress = {});

/// \brief Load a model.
/// \tparam Real float or double
/// \param directory holds `config.json` and the weights, in either layout; see open_checkpoint()
/// \param progress  called now and then; may be empty
/// \return the model
/// \throws FileError as open_model() does, and if a tied head is stored with other numbers than the embedding's
template <class Real>
LanguageModel<Real> load_language_model(const std::filesystem::path& directory, const Progress& progress = {});

/// \brief Save a model. Each file appears at once, the weights first.
/// \param model     what to save
/// \param directory made if it is not there
/// \param layout    which files
/// \param type      how the numbers are stored
/// \throws FileError if something cannot be written
/// \throws ValueError if the layout cannot express an option of the model, or its weights are of no kind in checkpoint_formats()
template <class Real>
void save_language_model(const LanguageModel<Real>& model, const std::filesystem::path& directory,
                         CheckpointLayout layout = CheckpointLayout::reference,
                         ElementType type = ElementType::float32);

}  // namespace mamba2
