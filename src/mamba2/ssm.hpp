/// \file ssm.hpp
/// \brief The state space model of one head: discretisation, recurrence, matrix, convolution. Explained in @chapter{state_space}.
#pragma once

#include <mamba2/tensor.hpp>

namespace mamba2 {

/// \brief The numbers that one step of a discretised state space model multiplies by.
template <class Real>
struct Discretized {
  Real A_bar;  ///< factor on the old state, \f$\bar A\f$
  Real B_bar;  ///< factor on the input, for \f$B = 1\f$: \f$\bar B = \texttt{B\_bar} \cdot B\f$
};

/// \brief Exact discretisation for an input that is held constant over the step.
/// \param A  rate of the continuous model, negative for a state that fades
/// \param dt step size \f$\Delta\f$
/// \return \f$\bar A = e^{\Delta A}\f$ and \f$\bar B = (e^{\Delta A} - 1) / A\f$ (\f$\Delta\f$ where \f$A = 0\f$)
template <class Real>
Discretized<Real> discretize_zero_order_hold(Real A, Real dt);

/// \brief The mixture that Mamba-2 uses: the zero-order hold for \f$A\f$, Euler's rule for \f$B\f$.
/// \param A  rate of the continuous model
/// \param dt step size \f$\Delta\f$
/// \return \f$\bar A = e^{\Delta A}\f$ and \f$\bar B = \Delta\f$
template <class Real>
Discretized<Real> discretize_mamba2(Real A, Real dt);

/// \brief The recurrence, one step after the other: \f$h_t = \bar A_t h_{t-1} + x_t \bar B_t^\top\f$, \f$y_t = h_t C_t\f$.
/// \param x     inputs, (seqlen, headdim)
/// \param A_bar factor on the state at each step, (seqlen)
/// \param B_bar how an input enters the state, (seqlen, d_state)
/// \param C     how the state is read, (seqlen, d_state)
/// \return outputs, (seqlen, headdim)
/// \throws ShapeError if the shapes disagree
///
/// Equation 2 of the Mamba-2 paper for a scalar \f$A_t\f$, from a state of zeros.
template <class Real>
Tensor<Real, 2> ssm_recurrent(const Tensor<Real, 2>& x, const Tensor<Real, 1>& A_bar, const Tensor<Real, 2>& B_bar,
                              const Tensor<Real, 2>& C);

/// \brief The matrix of the model, entry by entry: \f$M_{ij} = C_i^\top \bar A_i \cdots \bar A_{j+1} \bar B_j\f$ for \f$j \le i\f$.
/// \param A_bar factor on the state at each step, (seqlen)
/// \param B_bar how an input enters the state, (seqlen, d_state)
/// \param C     how the state is read, (seqlen, d_state)
/// \return M, (seqlen, seqlen), zero above the diagonal
/// \throws ShapeError if the shapes disagree
///
/// Equation 3 of the Mamba-2 paper.
template <class Real>
Tensor<Real, 2> ssm_matrix(const Tensor<Real, 1>& A_bar, const Tensor<Real, 2>& B_bar, const Tensor<Real, 2>& C);

/// \brief The naive quadratic form: write the matrix down, then multiply, \f$y = M x\f$.
/// \param x     inputs, (seqlen, headdim)
/// \param A_bar factor on the state at each step, (seqlen)
/// \param B_bar how an input enters the state, (seqlen, d_state)
/// \param C     how the state is read, (seqlen, d_state)
/// \return outputs, (seqlen, headdim)
/// \throws ShapeError if the shapes disagree
template <class Real>
Tensor<Real, 2> ssm_quadratic(const Tensor<Real, 2>& x, const Tensor<Real, 1>& A_bar, const Tensor<Real, 2>& B_bar,
                              const Tensor<Real, 2>& C);

/// \brief The convolution kernel of a model whose parameters do not change: \f$K_k = C^\top \bar A^k \bar B\f$.
/// \param A_bar  factor on the state
/// \param B_bar  how an input enters the state, (d_state)
/// \param C      how the state is read, (d_state)
/// \param seqlen length of the kernel
/// \return K, (seqlen)
/// \throws ShapeError if B_bar and C differ in length
template <class Real>
Tensor<Real, 1> ssm_kernel(Real A_bar, const Tensor<Real, 1>& B_bar, const Tensor<Real, 1>& C, std::size_t seqlen);

/// \brief Causal convolution by the direct sum: \f$y_t = \sum_{k \le t} K_k x_{t-k}\f$, each channel alike.
/// \param x inputs, (seqlen, headdim)
/// \param K kernel, (seqlen)
/// \return outputs, (seqlen, headdim)
/// \throws ShapeError if K is not as long as x
template <class Real>
Tensor<Real, 2> causal_convolution(const Tensor<Real, 2>& x, const Tensor<Real, 1>& K);

}  // namespace mamba2
