/// \file products.hpp
/// \brief Products of many tokens with a weight, by the fastest library that the build found. Explained in @chapter{fast}.
#pragma once

#include <mamba2/half.hpp>
#include <mamba2/matrix.hpp>

#include <cstdint>

namespace mamba2 {

/// \brief Whether products with weights of one or two bytes are computed by instructions that multiply bfloat16 numbers and
/// add in float. They are about twice as fast at best, and round the tokens to bfloat16 as well.
/// \return true where processor, library and the instruction set in use all have them
bool multiplies_bfloat16();

/// \brief \f$y = x W^\top\f$, in the calling thread.
/// \param x      (tokens, d_in)
/// \param weight (d_out, d_in)
/// \param y      (tokens, d_out), sharing no memory with x
/// \throws ShapeError if the sizes disagree
template <class Real>
void product(MatrixRef<const Real> x, MatrixRef<const Real> weight, MatrixRef<Real> y);

/// \brief The same with a weight in bfloat16. Where multiplies_bfloat16(), x is rounded to bfloat16; else the weight is widened.
/// \copydetails product(MatrixRef<const Real>,MatrixRef<const Real>,MatrixRef<Real>)
template <class Real>
void product(MatrixRef<const Real> x, MatrixRef<const bfloat16_bits> weight, MatrixRef<Real> y);

/// \brief The same with a weight of whole numbers of one byte.
/// \copydetails product(MatrixRef<const Real>,MatrixRef<const bfloat16_bits>,MatrixRef<Real>)
template <class Real>
void product(MatrixRef<const Real> x, MatrixRef<const std::int8_t> weight, MatrixRef<Real> y);

}  // namespace mamba2
