/// \file selection.hpp
/// \brief How fast to forget, and how a model learns it: step sizes, rates, their initialisation. Explained in @chapter{selection}.
#pragma once

#include <mamba2/random.hpp>
#include <mamba2/tensor.hpp>

namespace mamba2 {

/// \brief The inverse of softplus(): the number \f$b\f$ with \f$\log(1 + e^b) = y\f$.
/// \param y a positive number
/// \return \f$y + \log(-\mathrm{expm1}(-y))\f$, which loses no digits for small \f$y\f$
template <class Real>
Real inverse_softplus(Real y);

/// \brief Rates from what is learnt: \f$A = -e^{A_{\log}}\f$, negative whatever the parameter.
/// \param A_log the parameter, of any number of heads, (nheads)
/// \return A, (nheads)
template <class Real>
Tensor<Real, 1> rates(const Tensor<Real, 1>& A_log);

/// \brief First value of dt_bias: step sizes are spread evenly on a logarithmic scale, and seen through the softplus.
/// \param dt_min the smallest step size
/// \param dt_max the largest
/// \param floor  step sizes below this are raised to it
/// \param random where the number comes from
/// \return dt_bias of a head: softplus(dt_bias) lies in [max(dt_min, floor), max(dt_max, floor)]
double initial_dt_bias(double dt_min, double dt_max, double floor, Random& random);

/// \brief First value of A_log: the logarithm of a rate drawn evenly from a range.
/// \param A_min  the smallest rate, positive
/// \param A_max  the largest rate
/// \param random where the number comes from
/// \return A_log of a head
double initial_A_log(double A_min, double A_max, Random& random);

}  // namespace mamba2
