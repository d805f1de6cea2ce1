/// \file chunked_scan.hpp
/// \brief The chunked scan: the four steps of the paper's section 6, each a function. Explained in @chapter{chunked_scan}.
#pragma once

#include <mamba2/duality.hpp>
#include <mamba2/matrix.hpp>
#include <mamba2/tensor.hpp>

namespace mamba2 {

/// \brief How much of each token of a chunk is left at the end of it: \f$e^{dA_{j+1} + \dots + dA_{last}}\f$.
/// \param dA log-decay of each step of the chunk, (length)
/// \return (length); 1 for the last
template <class Real>
Tensor<Real, 1> decay_to_end(std::span<const Real> dA);

/// \brief How much of the state before a chunk is left at each of its tokens: \f$e^{dA_1 + \dots + dA_i}\f$.
/// \param dA log-decay of each step of the chunk, (length)
/// \return (length)
template <class Real>
Tensor<Real, 1> decay_from_start(std::span<const Real> dA);

/// \brief Each row of a matrix times a number of its own.
/// \param factor (rows)
/// \param m      (rows, columns)
/// \return (rows, columns)
template <class Real>
Tensor<Real, 2> scale_rows(const Tensor<Real, 1>& factor, ReadMatrix<Real> m);

/// \brief Step 1, the diagonal block: what the tokens of a chunk say to each other, \f$Y = (L \circ C B^\top) X\f$.
/// \param X  inputs, already multiplied by their step size, (length, headdim)
/// \param dA log-decay of each step of the chunk, (length); \f$-\infty\f$ forgets everything before its step
/// \param B  how an input enters the state, (length, d_state)
/// \param C  how the state is read, (length, d_state)
/// \param Y  receives the result, (length, headdim)
/// \throws ShapeError if the sizes disagree
template <class Real>
void diagonal_block(ReadMatrix<Real> X, ReadSpan<Real> dA, ReadMatrix<Real> B, ReadMatrix<Real> C, MatrixRef<Real> Y);

/// \brief Step 2, the right factor: the state a chunk would leave behind, were it the first, \f$\sum_j L_{last,j}\, X_j B_j^\top\f$.
/// \param X   inputs, already multiplied by their step size, (length, headdim)
/// \param dA  log-decay of each step of the chunk, (length)
/// \param B   how an input enters the state, (length, d_state)
/// \param own receives the chunk's own state, (headdim, d_state)
/// \throws ShapeError if the sizes disagree
template <class Real>
void chunk_state(ReadMatrix<Real> X, ReadSpan<Real> dA, ReadMatrix<Real> B, MatrixRef<Real> own);

/// \brief Step 3, the centre: carry the running state over one chunk, \f$h \leftarrow e^{dA_1 + \dots + dA_{last}} h + \hat h\f$.
/// \param dA    log-decay of each step of the chunk, (length)
/// \param own   what the chunk adds, (headdim, d_state)
/// \param state the running state: before the chunk on entry, after it on return, (headdim, d_state)
/// \throws ShapeError if the sizes disagree
template <class Real>
void pass_state(ReadSpan<Real> dA, ReadMatrix<Real> own, MatrixRef<Real> state);

/// \brief Step 4, the left factor: what the state before the chunk adds to its outputs, \f$Y_i \mathrel{+}= e^{dA_1 + \dots + dA_i} h C_i\f$.
/// \param dA    log-decay of each step of the chunk, (length)
/// \param C     how the state is read, (length, d_state)
/// \param state the state before the chunk, (headdim, d_state)
/// \param Y     receives the sum, (length, headdim)
/// \throws ShapeError if the sizes disagree
template <class Real>
void state_to_output(ReadSpan<Real> dA, ReadMatrix<Real> C, ReadMatrix<Real> state, MatrixRef<Real> Y);

/// \brief The chunked scan of one head, from a state of zeros.
/// \param X          inputs, already multiplied by their step size, (seqlen, headdim)
/// \param dA         log-decay of each step, \f$\Delta_t A\f$, (seqlen)
/// \param B          how an input enters the state, (seqlen, d_state)
/// \param C          how the state is read, (seqlen, d_state)
/// \param chunk_size chunk length Q; the last chunk takes what is left
/// \return Y, (seqlen, headdim)
/// \throws ShapeError if the shapes disagree
/// \throws ValueError if chunk_size is 0
template <class Real>
Tensor<Real, 2> chunked_scan(const Tensor<Real, 2>& X, const Tensor<Real, 1>& dA, const Tensor<Real, 2>& B,
                             const Tensor<Real, 2>& C, std::size_t chunk_size);

/// \brief The cost of chunked_scan() (section 6.3 of the paper).
/// \param seqlen     length T
/// \param d_state    state size N
/// \param headdim    channels P
/// \param chunk_size chunk length Q
/// \return \f$T (QN + QP + 2NP)\f$ multiply-adds, \f$2NP + Q \max(Q, N, P)\f$ numbers
Cost cost_chunked(double seqlen, double d_state, double headdim, double chunk_size);

}  // namespace mamba2
