/// \file semiseparable.hpp
/// \brief The matrix behind the model: segment sums, the decay mask, low rank off the diagonal. Explained in @chapter{semiseparable}.
#pragma once

#include <mamba2/tensor.hpp>

namespace mamba2 {

/// \brief Segment sums as differences of one running sum: short, and inexact where the sums grow.
/// \param dA log-decay of each step, \f$\Delta_t A\f$, (seqlen)
/// \return S, (seqlen, seqlen): \f$S_{ij} = \sum_{k=j+1}^{i} dA_k\f$ for \f$j \le i\f$, \f$-\infty\f$ above the diagonal
///
/// What Listing 1 of the paper prints. It subtracts two large numbers to get a small one: @chapter{semiseparable} shows the damage in
/// float. Use segsum().
template <class Real>
Tensor<Real, 2> segsum_naive(const Tensor<Real, 1>& dA);

/// \brief Segment sums, each summed by itself: exact to rounding.
/// \param dA log-decay of each step, \f$\Delta_t A\f$, (seqlen)
/// \return S, (seqlen, seqlen): \f$S_{ij} = \sum_{k=j+1}^{i} dA_k\f$ for \f$j \le i\f$, \f$-\infty\f$ above the diagonal
///
/// A log-decay of \f$-\infty\f$ is allowed: it forgets everything before its step.
template <class Real>
Tensor<Real, 2> segsum(const Tensor<Real, 1>& dA);

/// \brief The 1-semiseparable mask \f$L = \exp(\mathrm{segsum}(dA))\f$ (Equation 6 of the paper).
/// \param dA log-decay of each step, \f$\Delta_t A\f$, (seqlen)
/// \return L, (seqlen, seqlen): how much of step j is left at step i; zero above the diagonal
template <class Real>
Tensor<Real, 2> decay_mask(const Tensor<Real, 1>& dA);

/// \brief Singular values, the largest first.
/// \param M any matrix, (rows, columns)
/// \return min(rows, columns) values
/// \throws ValueError if an entry is infinite or no number
template <class Real>
Tensor<Real, 1> singular_values(const Tensor<Real, 2>& M);

}  // namespace mamba2
