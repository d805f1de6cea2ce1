/// \file exercises.hpp
/// \brief The exercises of this chapter.
#pragma once

#include <mamba2/tensor.hpp>

#include <complex>
#include <cstddef>
#include <vector>

namespace exercises {

using mamba2::Tensor;
using Complex = std::complex<double>;

/// \brief Exercise 1: the rate that makes the bilinear rule do what the zero-order hold does.
/// \param A  a rate, its real part negative, \f$|\mathrm{Im}\, \Delta A| < \pi\f$
/// \param dt step size, positive
/// \return the rate A' with \f$(1 + \tfrac\Delta2 A') / (1 - \tfrac\Delta2 A') = e^{\Delta A}\f$
Complex in_tune(Complex A, double dt);

/// \brief Exercise 2: the kernel of a diagonal model by the bilinear rule.
/// \param A      rates, one of each pair of conjugates, (pairs)
/// \param B      how the input enters, (pairs)
/// \param C      how the state is read, (pairs)
/// \param dt     step size
/// \param seqlen length of the kernel
/// \return \f$K_k = 2\,\mathrm{Re} \sum_n C_n \bar A_n^k \bar B_n\f$, (seqlen)
Tensor<double, 1> bilinear_kernel(const Tensor<Complex, 1>& A, const Tensor<Complex, 1>& B,
                                  const Tensor<Complex, 1>& C, double dt, std::size_t seqlen);

/// \brief Exercise 3: the next piece of a convolution.
/// \param owed  what the pieces before add to steps that are still to come, empty at first; brought up to date
/// \param piece inputs that follow on those before, (any length)
/// \param K     kernel, (at least 1), the same at each call
/// \return outputs for the piece: \f$y_t = \sum_k K_k x_{t-k}\f$ with all inputs so far
std::vector<double> next_piece(std::vector<double>& owed, const std::vector<double>& piece,
                               const std::vector<double>& K);

/// \brief A memory: \f$c' = \tfrac1t (A c + B x)\f$ in exercise 4, \f$c' = A c + B x\f$ in exercise 5.
struct Memory {
  Tensor<double, 2> A;  ///< (d_state, d_state)
  Tensor<double, 1> B;  ///< (d_state)
};

/// \brief Exercise 4: HiPPO's matrix for any basis of polynomials.
/// \param p a polynomial in each row, \f$p_n(z) = \sum_j p_{nj} z^j\f$, of degree below d_state; the mean of \f$p_n p_k\f$ over
///        \f$[-1, 1]\f$ is 1 for n = k and 0 otherwise, (d_state, d_state)
/// \return the memory that keeps \f$c_n(t) = \tfrac1t \int_0^t x(s)\,p_n(2s/t - 1)\,ds\f$
Memory from_definition(const Tensor<double, 2>& p);

/// \brief Exercise 5: a memory of the last theta units of time.
/// \param d_state how many coefficients
/// \param theta   length of the window
/// \return the memory that keeps \f$c_n(t) = \tfrac1\theta \int_{t-\theta}^t x(s)\,p_n(2(s-t)/\theta + 1)\,ds\f$ with
///         mamba2::legendre()'s \f$p_n\f$
Memory sliding_window(std::size_t d_state, double theta);

}  // namespace exercises
