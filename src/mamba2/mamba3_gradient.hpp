/// \file mamba3_gradient.hpp
/// \brief Gradients of a Mamba-3 block. Explained in @chapter{mamba3}.
#pragma once

#include <mamba2/mamba3.hpp>
#include <mamba2/mixer_input.hpp>
#include <mamba2/model_gradient.hpp>
#include <mamba2/tensor.hpp>

#include <cstddef>
#include <span>

namespace mamba2 {

/// \brief Where trapezoid_gradient() adds: of each part of a TrapezoidHead, in its shape.
template <class Real>
struct TrapezoidGradient {
  MatrixRef<Real> V;       ///< (seqlen * R, headdim)
  MatrixRef<Real> K;       ///< (seqlen * R, d_state)
  MatrixRef<Real> Q;       ///< (seqlen * R, d_state)
  std::span<double> a;     ///< (seqlen)
  std::span<double> now;   ///< (seqlen)
  std::span<double> next;  ///< (seqlen)
};

/// \brief The trapezoidal scan of one head backwards, by chunked_gradient() and what is put right within each token.
/// \param head       what it has read; the sizes agree
/// \param dY         gradient of what each slot reads, (seqlen * R, headdim)
/// \param chunk_size tokens of a chunk, at least 1
/// \param before     the state before the first token, what that token adds of the one before it included, (headdim, d_state)
/// \param dstate     gradient of the last state on entry, of `before` on return, (headdim, d_state)
/// \param gradient   added to
template <class Real>
void trapezoid_gradient(const TrapezoidHead<Real>& head, ReadMatrix<Real> dY, std::size_t chunk_size,
                        MatrixRef<const double> before, MatrixRef<double> dstate,
                        const TrapezoidGradient<Real>& gradient);

/// \brief A forward pass of a Mamba-3 block that was made, as the backward pass reads it. Nothing is owned.
template <class Real>
struct Mamba3Pass {
  const Mamba3Sizes& sizes;                   ///< options and sizes
  const Mamba3Parameters<Real>& parameters;   ///< with which the pass was made
  MixerInput<Real> input;                     ///< what it has read
  const Mamba3Activations<Real>& kept;        ///< the tensors in between
  const Mamba3Cache<Real>* before = nullptr;  ///< what came before its first token, as it was then; null: nothing
};

/// \brief Mamba3Mixer::forward() backwards. Nothing that comes later is taught, nor what came before.
/// \param pass       what was computed
/// \param dy         gradient of the outputs, (batch * seqlen, d_model)
/// \param parameters gradients of the parameters, in the shapes of the parameters: added to
/// \param du         receives the gradient of the inputs, (batch * seqlen, d_model)
/// \throws ShapeError if the shapes disagree
template <class Real>
void mamba3_gradient(const Mamba3Pass<Real>& pass, MatrixRef<const Real> dy, Mamba3Parameters<Real>& parameters,
                     MatrixRef<Real> du);

/// \brief Blocks of Mamba-3. \return how they are run backwards
template <class Real>
MixerGradient<Real> mamba3_backward();

}  // namespace mamba2
