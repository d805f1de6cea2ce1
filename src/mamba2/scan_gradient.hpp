/// \file scan_gradient.hpp
/// \brief The scan run backwards: gradients of all that it reads, step by step or in chunks. Explained in @chapter{backward}.
#pragma once

#include <mamba2/duality.hpp>
#include <mamba2/matrix.hpp>
#include <mamba2/ssd.hpp>
#include <mamba2/tensor.hpp>

#include <optional>
#include <span>

namespace mamba2 {

/// \brief What the four steps read of a chunk of one head.
template <class Real>
struct ScanChunk {
  MatrixRef<const Real> X;   ///< inputs times their step size, (length, headdim)
  std::span<const Real> dA;  ///< log-decay of each step, (length)
  MatrixRef<const Real> B;   ///< how an input enters the state, (length, d_state)
  MatrixRef<const Real> C;   ///< how the state is read, (length, d_state)
};

/// \brief Where the four steps, run backwards, add their gradients: of each part of a ScanChunk, in its shape.
template <class Real>
struct ScanChunkGradient {
  MatrixRef<Real> X;     ///< (length, headdim)
  std::span<double> dA;  ///< gradients of the log-decays, in double because they are sums of many terms, (length)
  MatrixRef<Real> B;     ///< (length, d_state)
  MatrixRef<Real> C;     ///< (length, d_state)
};

/// \brief Step 1, diagonal_block(), backwards.
/// \param chunk    what the step has read; its sizes agree
/// \param dY       gradient of the outputs, (length, headdim)
/// \param gradient added to: X, dA, B and C
template <class Real>
void diagonal_block_gradient(const ScanChunk<Real>& chunk, ReadMatrix<Real> dY,
                             const ScanChunkGradient<Real>& gradient);

/// \brief Step 2, chunk_state(), backwards.
/// \param chunk    what the step has read; its sizes agree
/// \param down     gradient of the chunk's own state, which is that of the state after the chunk, (headdim, d_state)
/// \param gradient added to: X, dA and B
template <class Real>
void chunk_state_gradient(const ScanChunk<Real>& chunk, ReadMatrix<Real> down, const ScanChunkGradient<Real>& gradient);

/// \brief Step 3, pass_state(), backwards: the gradient of a state carried over a chunk, from its end to its start.
/// \param dA     log-decay of each step of the chunk, (length)
/// \param before the state before the chunk, (headdim, d_state)
/// \param own    what the chunk adds to the gradient, by state_to_output_gradient(), (headdim, d_state)
/// \param dstate gradient of the state after the chunk on entry, of the state before it on return, (headdim, d_state)
/// \param ddA    gradients of the log-decays, added to, (length)
template <class Real>
void pass_state_gradient(std::span<const Real> dA, MatrixRef<const double> before, ReadMatrix<Real> own,
                         MatrixRef<double> dstate, std::span<double> ddA);

/// \brief Step 4, state_to_output(), backwards.
/// \param chunk    what the step has read; its sizes agree
/// \param before   the state before the chunk, (headdim, d_state)
/// \param dY       gradient of the outputs, (length, headdim)
/// \param gradient added to: dA and C
/// \param own      receives what the chunk's outputs ask of the state before it, (headdim, d_state)
template <class Real>
void state_to_output_gradient(const ScanChunk<Real>& chunk, ReadMatrix<Real> before, ReadMatrix<Real> dY,
                              const ScanChunkGradient<Real>& gradient, MatrixRef<Real> own);

/// \brief The chunked scan of one head backwards: the four steps, from the last chunk to the first.
/// \param s          what the scan has read; its sizes agree
/// \param dY         gradient of the outputs, (seqlen, headdim)
/// \param chunk_size chunk length Q, at least 1; the last chunk takes what is left
/// \param before     the state before the first token, (headdim, d_state)
/// \param dstate     gradient of the last state on entry, of that before the first token on return, (headdim, d_state)
/// \param gradient   added to: X, dA, B and C
template <class Real>
void chunked_gradient(const ScanChunk<Real>& s, ReadMatrix<Real> dY, std::size_t chunk_size,
                      MatrixRef<const double> before, MatrixRef<double> dstate,
                      const ScanChunkGradient<Real>& gradient);

/// \brief The cost of the chunked scan run backwards, of one head: its matrix products, and what it keeps.
/// \param seqlen     length T
/// \param d_state    state size N
/// \param headdim    channels P
/// \param chunk_size chunk length Q
/// \return \f$T (3QN + 2QP + 5NP)\f$ multiply-adds, one \f$NP\f$ of them to compute the states again; \f$\lceil T/Q \rceil NP\f$ numbers
Cost cost_chunked_gradient(double seqlen, double d_state, double headdim, double chunk_size);

/// \brief Where the gradients of a scan go: of each part of a ScanRef, in its shape. Nothing is owned.
///
/// x, dt, B, C and z are written. A, D and dt_bias are parameters, which other sequences and other steps may have used, too, and
/// are added to. D, z and dt_bias are null or empty exactly where they are so in the scan.
template <class Real>
struct ScanGradientRef {
  MatrixRef<Real> x;       ///< written, (batch * seqlen, nheads * headdim)
  MatrixRef<Real> dt;      ///< written: of the step sizes before bias, softplus and limits, (batch * seqlen, nheads)
  std::span<Real> A;       ///< added to, (nheads)
  MatrixRef<Real> B;       ///< written, (batch * seqlen, ngroups * d_state)
  MatrixRef<Real> C;       ///< written, (batch * seqlen, ngroups * d_state)
  std::span<Real> D = {};  ///< added to, (nheads) or (nheads * headdim)
  MatrixRef<Real> z = {};  ///< written, (batch * seqlen, nheads * headdim)
  std::span<Real> dt_bias = {};  ///< added to, (nheads)
};

/// \brief ssd() backwards: gradients of a loss with respect to all that it reads, from those with respect to what it returns.
/// \param input       what ssd() was given
/// \param options     as they were for ssd()
/// \param dy          gradient of the outputs, (batch, seqlen, nheads, headdim)
/// \param dlast_state gradient of the last state, (batch, nheads, headdim, d_state); none: zeros
/// \return for each tensor of the input its gradient, in the same shape; none for seq_idx, and none where the input has none
/// \throws ShapeError naming the argument whose shape disagrees, or if ngroups does not divide nheads
/// \throws ValueError for a chunk size of 0, limits in the wrong order, below 0 or not a number
///
/// Nothing that the forward pass computed is needed: the states at the borders of the chunks are computed again, for one head at
/// a time. `options.algorithm` chooses among equal forms, as in ssd(): step by step; or in chunks of chunk_size; or in one chunk.
template <class Real>
ScanInput<Real> ssd_gradient(const ScanInput<Real>& input, const ScanOptions& options, const Tensor<Real, 4>& dy,
                             const std::optional<Tensor<Real, 4>>& dlast_state = {});

namespace unchecked {

/// \brief ssd_gradient() on references.
/// \param input         references whose sizes agree
/// \param options       as for ssd()
/// \param initial_state the state before the first token, (batch, nheads * headdim * d_state); null for zeros
/// \param dy            gradient of the outputs, (batch * seqlen, nheads * headdim)
/// \param dstate        gradient of the last state on entry, of the initial state on return, (batch, nheads * headdim * d_state)
/// \param gradient      where the others go; no memory of theirs is read here
template <class Real>
void scan_gradient(const ScanRef<Real>& input, const ScanOptions& options, MatrixRef<const Real> initial_state,
                   MatrixRef<const Real> dy, MatrixRef<Real> dstate, const ScanGradientRef<Real>& gradient);

}  // namespace unchecked

}  // namespace mamba2
