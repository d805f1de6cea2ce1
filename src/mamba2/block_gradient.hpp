/// \file block_gradient.hpp
/// \brief Gradients of a whole Mamba-2 block, and of a gated MLP. Explained in @chapter{backward}.
#pragma once

#include <mamba2/block.hpp>
#include <mamba2/gated_mlp.hpp>
#include <mamba2/mixer_input.hpp>
#include <mamba2/tensor.hpp>

namespace mamba2 {

/// \brief A forward pass of a block that was made, as the backward pass reads it. Nothing is owned.
template <class Real>
struct Mamba2Pass {
  const Mamba2Sizes& sizes;                   ///< options and sizes
  const Mamba2Parameters<Real>& parameters;   ///< with which the pass was made
  MixerInput<Real> input;                     ///< what it has read
  const Mamba2Activations<Real>& kept;        ///< the tensors in between
  const Mamba2Cache<Real>* before = nullptr;  ///< what came before its first token, as it was then; null: nothing
};

/// \brief Mamba2Mixer::forward() backwards.
/// \param pass       what was computed
/// \param dy         gradient of the outputs, (batch * seqlen, d_model)
/// \param dcache     gradient of both states: of those that the pass has left on entry, of those that it began with on return;
///                   null: nothing that comes later is taught, nothing that came before is
/// \param parameters gradients of the parameters, in the shapes of the parameters: added to
/// \param du         receives the gradient of the inputs, (batch * seqlen, d_model)
/// \throws ShapeError if the shapes disagree
template <class Real>
void block_gradient(const Mamba2Pass<Real>& pass, MatrixRef<const Real> dy, Mamba2Cache<Real>* dcache,
                    Mamba2Parameters<Real>& parameters, MatrixRef<Real> du);

/// \brief What block_gradient() gives back.
template <class Real>
struct Mamba2Gradient {
  Tensor<Real, 3> u;                  ///< of the inputs, (batch, seqlen, d_model)
  Mamba2Parameters<Real> parameters;  ///< of the parameters
  Mamba2Cache<Real> cache;            ///< of the states that the pass began with
};

/// \brief Gradients of a loss with respect to all that a block reads, from those with respect to what it gives.
/// \param block   the block
/// \param u       inputs, (batch, seqlen, d_model)
/// \param dy      gradient of the outputs, (batch, seqlen, d_model)
/// \param options as for Mamba2Block::forward(), which is run to begin with
/// \param dcache  gradient of the states that the block leaves; null for zeros
/// \return gradients of inputs, parameters and the states that the pass began with
/// \throws ShapeError naming the argument whose shape disagrees
template <class Real>
Mamba2Gradient<Real> block_gradient(const Mamba2Block<Real>& block, const Tensor<Real, 3>& u, const Tensor<Real, 3>& dy,
                                    const ForwardOptions<Real>& options = {},
                                    const Mamba2Cache<Real>* dcache = nullptr);

/// \brief GatedMlp::forward() backwards.
/// \param config     sizes
/// \param weights    with which the pass was made
/// \param u          what it has read, (tokens, d_model)
/// \param kept       the tensors in between
/// \param dy         gradient of the outputs, (tokens, d_model)
/// \param parameters gradients of the parameters: added to
/// \param du         receives the gradient of the inputs, (tokens, d_model)
/// \throws ShapeError if the shapes disagree
template <class Real>
void gated_mlp_gradient(const GatedMlpConfig& config, const GatedMlpParameters<Real>& weights, MatrixRef<const Real> u,
                        const GatedMlpActivations<Real>& kept, MatrixRef<const Real> dy,
                        GatedMlpParameters<Real>& parameters, MatrixRef<Real> du);

}  // namespace mamba2
