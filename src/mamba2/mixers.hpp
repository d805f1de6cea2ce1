/// \file mixers.hpp
/// \brief The mixers that a language model may have in its layers. Explained in @chapter{language_model}.
#pragma once

#include <mamba2/block.hpp>
#include <mamba2/gated_mlp.hpp>
#include <mamba2/mamba1_mixer.hpp>
#include <mamba2/mixer_config.hpp>

namespace mamba2 {

//: traits
/// \brief Mamba-2 as a mixer.
template <>
struct MixerTraits<Mamba2Config> {
  static constexpr const char* name = "Mamba2";  ///< in messages
  template <class Real>
  using Parameters = Mamba2Parameters<Real>;  ///< what it learns
  template <class Real>
  using Computes = Mamba2Mixer<Real>;  ///< how it computes
};
//: end
extern template class OneMixerConfig<Mamba2Config>;

/// \brief Mamba-1 as a mixer.
template <>
struct MixerTraits<Mamba1Config> {
  static constexpr const char* name = "Mamba1";  ///< in messages
  template <class Real>
  using Parameters = Mamba1Parameters<Real>;  ///< what it learns
  template <class Real>
  using Computes = Mamba1Mixer<Real>;  ///< how it computes
};
extern template class OneMixerConfig<Mamba1Config>;

/// \brief A gated MLP as a mixer: of channels, not of tokens.
template <>
struct MixerTraits<GatedMlpConfig> {
  static constexpr const char* name = "a gated MLP";  ///< in messages
  template <class Real>
  using Parameters = GatedMlpParameters<Real>;  ///< what it learns
  template <class Real>
  using Computes = GatedMlp<Real>;  ///< how it computes
};
extern template class OneMixerConfig<GatedMlpConfig>;

}  // namespace mamba2
