/// \file activation_gradient.hpp
/// \brief The slopes of the scalar functions of the model. Explained in @chapter{backward}.
#pragma once

#include <mamba2/ssd.hpp>

namespace mamba2 {

/// \brief The slope of softplus().
/// \param x any number
/// \return \f$1 / (1 + e^{-x})\f$; 1 above 20, where softplus() is the identity
template <class Real>
Real softplus_derivative(Real x);

/// \brief The slope of silu().
/// \param x any number
/// \return \f$\sigma (1 + x (1 - \sigma))\f$ with \f$\sigma = 1 / (1 + e^{-x})\f$
template <class Real>
Real silu_derivative(Real x);

/// \brief The slope of step_size().
/// \param raw     dt + dt_bias
/// \param options dt_softplus, dt_min and dt_max
/// \return softplus_derivative() (1 without softplus); 0 where a limit has cut the step
template <class Real>
Real step_size_derivative(Real raw, const ScanOptions& options);

}  // namespace mamba2
