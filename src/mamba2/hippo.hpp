/// \file hippo.hpp
/// \brief What a state should remember: HiPPO's answer with Legendre polynomials, LegS. Explained in @chapter{s4}.
#pragma once

#include <mamba2/linear_system.hpp>
#include <mamba2/tensor.hpp>

#include <cstddef>

namespace mamba2 {

/// \brief The first Legendre polynomials at a point, scaled so that each has a mean square of 1 over the interval.
/// \param d_state how many, N
/// \param z       a point of \f$[-1, 1]\f$
/// \return \f$p_n(z) = \sqrt{2n+1}\,P_n(z)\f$, (d_state)
Tensor<double, 1> legendre(std::size_t d_state, double z);

/// \brief HiPPO's matrix for LegS.
/// \param d_state N
/// \return \f$A_{nk} = -\sqrt{(2n+1)(2k+1)}\f$ below the diagonal, \f$-(n+1)\f$ on it, 0 above it, (d_state, d_state)
///
/// Theorem 2 of the HiPPO paper, arXiv 2008.07669, with the sign in the matrix as in the S4 paper.
Tensor<double, 2> legs_matrix(std::size_t d_state);

/// \brief How the input enters LegS's state.
/// \param d_state N
/// \return \f$B_n = \sqrt{2n+1}\f$, (d_state)
Tensor<double, 1> legs_input(std::size_t d_state);

/// \brief The memory of all that came: \f$c' = \tfrac1t (A c + B x)\f$, by the bilinear rule, one step for each input.
/// \param x       inputs, (seqlen)
/// \param d_state N
/// \return the states, a row after each input, (seqlen, d_state): coefficients of all inputs so far in the polynomials of legendre()
Tensor<double, 2> legs_memory(const Tensor<double, 1>& x, std::size_t d_state);

/// \brief What a state of LegS says about the past.
/// \param c     coefficients, (d_state)
/// \param count at how many places
/// \return \f$\sum_n c_n\,p_n(z)\f$ in the middles of as many equal pieces of \f$[-1, 1]\f$, oldest first, (count)
Tensor<double, 1> recall(const Tensor<double, 1>& c, std::size_t count);

}  // namespace mamba2
