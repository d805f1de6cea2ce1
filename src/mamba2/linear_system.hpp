/// \file linear_system.hpp
/// \brief A time-invariant state space model of one channel, whose A is a matrix: two discretisations, recurrence, kernel.
/// Explained in @chapter{s4}.
#pragma once

#include <mamba2/ssm.hpp>
#include <mamba2/tensor.hpp>

#include <complex>
#include <cstddef>

namespace mamba2 {

/// \brief Numbers with a real and an imaginary part. What this chapter's matrices become in the basis of their eigenvectors.
using Complex = std::complex<double>;

/// \brief A model of one channel whose parameters are the same at every step.
/// \tparam Value double or Complex
///
/// Before a discretisation \f$h' = A h + B x,\ y = C h\f$; after it \f$h_t = A h_{t-1} + B x_t,\ y_t = C h_t\f$ (the real part, for
/// complex ones). Which of the two it is, its name says or its function.
template <class Value>
struct LinearSystem {
  Tensor<Value, 2> A;  ///< what the state does by itself, (d_state, d_state)
  Tensor<Value, 1> B;  ///< how the input enters the state, (d_state)
  Tensor<Value, 1> C;  ///< how the state is read, (d_state)
};

/// \brief The exponential of a matrix, by scaling and squaring.
/// \param M a square matrix
/// \return \f$e^M\f$
/// \throws ShapeError if M is not square
/// \throws ValueError if an entry is infinite or no number
Tensor<double, 2> matrix_exponential(const Tensor<double, 2>& M);

/// \brief The discretisation that is exact for an input held over the step.
/// \param system continuous
/// \param dt     step size \f$\Delta\f$, positive
/// \return \f$\bar A = e^{\Delta A}\f$, \f$\bar B = \int_0^\Delta e^{sA} ds\, B\f$, the same C; A may be singular
/// \throws ShapeError if the shapes disagree
/// \throws ValueError for a step size that is not positive
LinearSystem<double> discretize_zero_order_hold(const LinearSystem<double>& system, double dt);

/// \brief The bilinear discretisation, or trapezoid rule: the mean of the rates at both ends of the step.
/// \param system continuous
/// \param dt     step size \f$\Delta\f$, positive
/// \return \f$\bar A = (1 - \tfrac\Delta2 A)^{-1} (1 + \tfrac\Delta2 A)\f$, \f$\bar B = (1 - \tfrac\Delta2 A)^{-1} \Delta B\f$, the same C
/// \throws ShapeError if the shapes disagree
/// \throws ValueError for a step size that is not positive
///
/// Equation 3 of the S4 paper, arXiv 2111.00396.
template <class Value>
LinearSystem<Value> discretize_bilinear(const LinearSystem<Value>& system, double dt);

/// \brief The zero-order hold for a single complex rate.
/// \param A  the rate
/// \param dt step size
/// \return both factors; without loss of digits where \f$\Delta A\f$ is small
Discretized<Complex> discretize_zero_order_hold(Complex A, double dt);

/// \brief The bilinear rule for a single complex rate.
/// \param A  the rate
/// \param dt step size
/// \return both factors
Discretized<Complex> discretize_bilinear(Complex A, double dt);

/// \brief The recurrence, one step after the other, from a state of zeros.
/// \param system discrete
/// \param x      inputs, (seqlen)
/// \return outputs, (seqlen)
/// \throws ShapeError if the shapes of the system disagree
template <class Value>
Tensor<double, 1> linear_recurrent(const LinearSystem<Value>& system, const Tensor<double, 1>& x);

/// \brief The kernel by its definition: \f$K_k = C A^k B\f$, a product of matrix and vector for each step.
/// \param system discrete
/// \param seqlen how many entries
/// \return K, (seqlen)
/// \throws ShapeError if the shapes of the system disagree
template <class Value>
Tensor<double, 1> linear_kernel(const LinearSystem<Value>& system, std::size_t seqlen);

}  // namespace mamba2
