/// \file compact_products.hpp
/// \brief Products of many tokens with a weight in fewer bytes. Explained in @chapter{fewer_bytes}.
#pragma once

#include <mamba2/half.hpp>
#include <mamba2/products.hpp>

#include <cstdint>

namespace mamba2 {

/// \brief Whether products with weights of one or two bytes are computed by instructions that multiply bfloat16 numbers and
/// add in float. They are about twice as fast at best, and round the tokens to bfloat16 as well.
/// \return true where processor, library and the instruction set in use all have them
bool multiplies_bfloat16();

/// \brief \f$y = x W^\top\f$ with a weight in bfloat16, in the calling thread. Where multiplies_bfloat16(), x is rounded to
/// bfloat16; else the weight is widened, in memory of this thread's own that is kept: up to 16 MB.
/// \copydetails product(MatrixRef<const Real>,MatrixRef<const Real>,MatrixRef<Real>)
template <class Real>
void product(MatrixRef<const Real> x, MatrixRef<const bfloat16_bits> weight, MatrixRef<Real> y);

/// \brief The same with a weight of whole numbers of one byte.
/// \copydetails product(MatrixRef<const Real>,MatrixRef<const Real>,MatrixRef<Real>)
template <class Real>
void product(MatrixRef<const Real> x, MatrixRef<const std::int8_t> weight, MatrixRef<Real> y);

}  // namespace mamba2
