// What tests of whole models share.
#pragma once

#include <mamba2/checkpoint_format.hpp>
#include <mamba2/language_model.hpp>

#include <string>
#include <string_view>
#include <vector>

namespace testing {

// The options of a model's Mamba-2 blocks.
inline const mamba2::Mamba2Config& block_of(const mamba2::LanguageModelConfig& config) {
  return config.mixer.as<mamba2::Mamba2Config>();
}

// The same, to be changed.
inline mamba2::Mamba2Config& edit_block(mamba2::LanguageModelConfig& config) {
  return config.mixer.edit<mamba2::Mamba2Config>();
}

// The layouts of models' directories whose weights the chapters so far can read: of those up to language_model, Hugging Face's alone.
inline std::vector<mamba2::CheckpointLayout> layouts() {
  std::vector<mamba2::CheckpointLayout> all{mamba2::CheckpointLayout::hugging_face};
  for (const mamba2::CheckpointFormat& format : mamba2::checkpoint_formats())
    if (format.file == std::string_view("pytorch_model.bin")) all.push_back(mamba2::CheckpointLayout::reference);
  return all;
}

// The directories of a golden model that they can read.
inline std::vector<std::string> golden_directories(const std::string& name) {
  std::vector<std::string> all{name + "-hf"};
  if (layouts().size() > 1) all.push_back(name);
  return all;
}

// The parameters of the block in a layer of a model without MLPs.
template <class Real>
const mamba2::Mamba2Parameters<Real>& block_parameters(const mamba2::LanguageModelParameters<Real>& parameters,
                                                       std::size_t layer) {
  return parameters.branches[layer].mixer.template as<mamba2::Mamba2Parameters<Real>>();
}
template <class Real>
mamba2::Mamba2Parameters<Real>& block_parameters(mamba2::LanguageModelParameters<Real>& parameters, std::size_t layer) {
  return parameters.branches[layer].mixer.template as<mamba2::Mamba2Parameters<Real>>();
}

}  // namespace testing
