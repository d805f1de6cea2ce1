/// \file linear.hpp
/// \brief The linear layer. Explained in @chapter{mamba2_block}.
#pragma once

#include <mamba2/matrix.hpp>

#include <span>

namespace mamba2 {

/// \brief \f$Y = X W^\top + b\f$, each row of X by itself.
/// \param x      inputs, (tokens, d_in)
/// \param weight as checkpoints store it, (d_out, d_in)
/// \param bias   (d_out), or empty for none
/// \param y      receives the result, (tokens, d_out); shares no memory with x
/// \throws ShapeError if the shapes disagree
template <class Real>
void linear(MatrixRef<const Real> x, MatrixRef<const Real> weight, std::span<const Real> bias, MatrixRef<Real> y);

}  // namespace mamba2
