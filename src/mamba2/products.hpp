/// \file products.hpp
/// \brief Products of many tokens with a weight, by the fastest library that the build found. Explained in @chapter{fast}.
#pragma once

#include <mamba2/matrix.hpp>

#include <algorithm>

namespace mamba2 {

/// \brief Whether there is anything to multiply: the sizes are checked, and a sum over nothing is 0.
/// \param x      (tokens, d_in)
/// \param weight (d_out, d_in), stored in any way
/// \param y      (tokens, d_out); set to zero if d_in is 0
/// \return whether none of the sizes is 0
/// \throws ShapeError if the sizes disagree
template <class Real, class Number>
bool has_work(MatrixRef<const Real> x, MatrixRef<const Number> weight, MatrixRef<Real> y) {
  require_size("weight", weight, {y.columns, x.columns}, "(d_out, d_in)");
  require_size("y", y, {x.rows, weight.rows}, "(tokens, d_out)");
  if (x.columns == 0)
    for (std::size_t i = 0; i < y.rows; ++i) std::fill_n(y[i], y.columns, Real(0));
  return x.rows > 0 && x.columns > 0 && weight.rows > 0;
}

/// \brief \f$y = x W^\top\f$, in the calling thread.
/// \param x      (tokens, d_in)
/// \param weight (d_out, d_in)
/// \param y      (tokens, d_out), sharing no memory with x
/// \throws ShapeError if the sizes disagree
template <class Real>
void product(MatrixRef<const Real> x, MatrixRef<const Real> weight, MatrixRef<Real> y);

}  // namespace mamba2
