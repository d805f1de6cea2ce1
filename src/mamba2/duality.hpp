/// \file duality.hpp
/// \brief One contraction, two orders: attention with a decay mask, and the recurrence. Explained in @chapter{duality}.
#pragma once

#include <mamba2/matrix.hpp>
#include <mamba2/tensor.hpp>

namespace mamba2 {

/// \brief Put the decay mask on a square of scores: \f$G \leftarrow L \circ G\f$ with \f$L_{ij} = \exp\big(\sum_{k=j+1}^{i} dA_k\big)\f$.
/// \param dA     log-decay of each step, \f$\Delta_t A\f$, (length); \f$-\infty\f$ forgets everything before its step
/// \param scores G, (length, length); zero above the diagonal on return
/// \throws ShapeError if the scores are not a square of that length
///
/// The mask is never stored. Its row i follows from row i − 1 by adding \f$dA_i\f$ to each segment sum, so every sum is as
/// exact as in segsum().
template <class Real>
void mask_scores(ReadSpan<Real> dA, MatrixRef<Real> scores);

/// \brief The quadratic mode of one head: \f$Y = (L \circ C B^\top) X\f$ (Equation 16 of the paper).
/// \param X  inputs, already multiplied by their step size, (seqlen, headdim)
/// \param dA log-decay of each step, \f$\Delta_t A\f$, (seqlen)
/// \param B  how an input enters the state (attention: the keys), (seqlen, d_state)
/// \param C  how the state is read (attention: the queries), (seqlen, d_state)
/// \return Y, (seqlen, headdim)
/// \throws ShapeError if the shapes disagree
template <class Real>
Tensor<Real, 2> dual_quadratic(const Tensor<Real, 2>& X, const Tensor<Real, 1>& dA, const Tensor<Real, 2>& B,
                               const Tensor<Real, 2>& C);

/// \brief The quadratic mode on matrices that lie inside larger tensors.
/// \param X  inputs, already multiplied by their step size, (seqlen, headdim)
/// \param dA log-decay of each step, \f$\Delta_t A\f$, (seqlen)
/// \param B  how an input enters the state, (seqlen, d_state)
/// \param C  how the state is read, (seqlen, d_state)
/// \param Y  receives the result, (seqlen, headdim)
/// \throws ShapeError if the sizes disagree
template <class Real>
void dual_quadratic(ReadMatrix<Real> X, ReadSpan<Real> dA, ReadMatrix<Real> B, ReadMatrix<Real> C, MatrixRef<Real> Y);

/// \brief The linear mode of one head: the same contraction, summed over time first (Equations 8 and 15 of the paper).
/// \param X  inputs, already multiplied by their step size, (seqlen, headdim)
/// \param dA log-decay of each step, \f$\Delta_t A\f$, (seqlen)
/// \param B  how an input enters the state, (seqlen, d_state)
/// \param C  how the state is read, (seqlen, d_state)
/// \return Y, (seqlen, headdim)
/// \throws ShapeError if the shapes disagree
template <class Real>
Tensor<Real, 2> dual_linear(const Tensor<Real, 2>& X, const Tensor<Real, 1>& dA, const Tensor<Real, 2>& B,
                            const Tensor<Real, 2>& C);

/// \brief What an algorithm does for one head: work and the numbers it keeps.
struct Cost {
  double multiply_adds;  ///< multiplications, each with its addition
  double memory;         ///< numbers held at once beyond inputs and outputs
};

/// \brief The cost of dual_quadratic().
/// \param seqlen  length T
/// \param d_state state size N
/// \param headdim channels P
/// \return \f$T^2 (N + P)\f$ multiply-adds, \f$T^2\f$ numbers
Cost cost_quadratic(double seqlen, double d_state, double headdim);

/// \brief The cost of dual_linear().
/// \param seqlen  length T
/// \param d_state state size N
/// \param headdim channels P
/// \return \f$3 T N P\f$ multiply-adds (decay, update, read), \f$N P\f$ numbers
Cost cost_linear(double seqlen, double d_state, double headdim);

}  // namespace mamba2
