/// \file activation.hpp
/// \brief The two scalar functions of the model. Explained in @chapter{real_sequences}.
#pragma once

namespace mamba2 {

/// \brief \f$\log(1 + e^x)\f$, the identity above 20 (as in the reference).
/// \param x any number
/// \return a positive number
template <class Real>
Real softplus(Real x);

/// \brief \f$x / (1 + e^{-x})\f$, also called swish.
/// \param x any number
/// \return the gate's value
template <class Real>
Real silu(Real x);

}  // namespace mamba2
