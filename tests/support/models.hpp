// What tests of whole models share.
#pragma once

#include <mamba2/language_model.hpp>

namespace testing {

// The options of a model's Mamba-2 blocks.
inline const mamba2::Mamba2Config& block_of(const mamba2::LanguageModelConfig& config) {
  return config.mixer.as<mamba2::Mamba2Config>();
}

// The same, to be changed.
inline mamba2::Mamba2Config& edit_block(mamba2::LanguageModelConfig& config) {
  return config.mixer.edit<mamba2::Mamba2Config>();
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
