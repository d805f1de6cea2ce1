/// \file model_gradient.hpp
/// \brief Loss of a language model and gradients of all its parameters. Explained in @chapter{backward}.
#pragma once

#include <mamba2/cross_entropy.hpp>
#include <mamba2/language_model.hpp>
#include <mamba2/mixer.hpp>
#include <mamba2/mixer_config.hpp>
#include <mamba2/tensor.hpp>

#include <any>
#include <cstddef>
#include <cstdint>
#include <span>

namespace mamba2 {

/// \brief A forward pass of a mixer of whatever kind, as its backward pass reads it. Nothing is owned.
template <class Real>
struct MixerPass {
  const MixerConfig& config;                ///< sizes and options
  const MixerParameters<Real>& parameters;  ///< with which the pass was made
  MixerInput<Real> input;                   ///< what it has read
  const std::any& kept;                     ///< the tensors in between, of the mixer's own kind
  MixerCache<Real>* before = nullptr;       ///< what came before its first token, as it was then; null: nothing
};

//: mixer_gradient
/// \brief How one kind of mixer is run backwards.
template <class Real>
struct MixerGradient {
  const char* name;  ///< of the mixer, as MixerTraits::name
  /// \brief Mixer::forward() backwards. \param pass what was computed \param dy gradient of the outputs, (batch * seqlen, d_model)
  /// \param parameters gradients, added to \param du receives the gradient of the inputs, (batch * seqlen, d_model)
  void (*backward)(const MixerPass<Real>& pass, MatrixRef<const Real> dy, MixerParameters<Real>& parameters,
                   MatrixRef<Real> du);
};
//: end

/// \brief The mixers that can be run backwards.
/// \return a table that lives as long as the program; the last chapter that adds a kind defines it
template <class Real>
std::span<const MixerGradient<Real>> mixer_gradients();

/// \brief Blocks of Mamba-2. \return how they are run backwards
template <class Real>
MixerGradient<Real> mamba2_backward();
/// \brief Gated MLPs. \return how they are run backwards
template <class Real>
MixerGradient<Real> gated_mlp_backward();

/// \brief How to compute gradients of a model; changes memory and speed, not results.
struct GradientOptions {
  std::size_t chunk_size = 0;  ///< Q of the chunked scan, both ways; 0 for the one that suits the operations in use
  /// Keep the residual stream alone, and let each mixer compute its own tensors once more on the way back: a third more work,
  /// and the memory of one branch instead of all.
  bool recompute = false;
  /// What one place counts in the loss whose gradients are computed; 0 for one over the number of those that are asked
  /// for, the mean. To share a step among several calls, give all of them one over the number of all such places.
  double weight = 0;
};

/// \brief How well a model predicts, and in which direction each of its parameters should change.
/// \param model     the model
/// \param ids       tokens, (batch, seqlen), at least one
/// \param targets   the token that came after each, (batch, seqlen), or not_asked
/// \param gradients of the loss \f$\mathit{weight} \cdot \sum -\ln p\f$, in the shapes of the parameters: added to
/// \param options   memory, weight
/// \param cache     what came before on entry, the tokens included on return; null: nothing did, and nothing will. Gradients do
///                  not go back over its border (truncated backpropagation)
/// \return the sum of \f$-\ln p\f$ and the number of places that are asked for, not weighted
/// \throws ValueError for an id or a target outside the vocabulary, for no tokens, and for a mixer that cannot be run backwards
/// \throws ShapeError for targets or gradients of other shapes, and for a cache of another batch or model
template <class Real>
CrossEntropy loss_and_gradients(const LanguageModel<Real>& model, const Tensor<std::int64_t, 2>& ids,
                                const Tensor<std::int64_t, 2>& targets, LanguageModelParameters<Real>& gradients,
                                const GradientOptions& options = {}, LanguageModelCache<Real>* cache = nullptr);

}  // namespace mamba2
