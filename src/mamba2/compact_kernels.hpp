/// \file compact_kernels.hpp
/// \brief The inner loops on weights in fewer bytes, compiled once for each level of instructions. Explained in @chapter{fewer_bytes}.
#pragma once

#include <mamba2/half.hpp>
#include <mamba2/instruction_set.hpp>

#include <cstddef>
#include <cstdint>

namespace mamba2 {

/// \brief The inner loops, as this machine runs them best. All pointers are to row-major data; nothing is allocated.
template <class Real>
struct CompactKernels {
  /// y_v,r = W_r · x_v for rows r of W, in bfloat16, and some vectors x_v: reads W once
  void (*rows_dot_bfloat16)(const bfloat16_bits* W, std::size_t stride, std::size_t rows, std::size_t columns,
                            const Real* x, std::size_t x_stride, std::size_t vectors, Real* y, std::size_t y_stride);
  /// x as whole numbers times a scale, which is returned: so large that a product with n weights of rows_dot_int8 does not
  /// overflow. If x holds an infinity or a NaN: all zero, and NaN is returned
  Real (*to_int16)(const Real* x, std::size_t n, std::int16_t* out);
  /// y_v,r = x_scale_v scale_r W_r · x_v with W and x in whole numbers: the sums are exact
  void (*rows_dot_int8)(const std::int8_t* W, std::size_t stride, const float* scale, std::size_t rows,
                        std::size_t columns, const std::int16_t* x, std::size_t x_stride, const Real* x_scale,
                        std::size_t vectors, Real* y, std::size_t y_stride);
  /// out = in, from bfloat16
  void (*widen_bfloat16)(const bfloat16_bits* in, Real* out, std::size_t n);
  /// out = in, from whole numbers of one byte
  void (*widen_int8)(const std::int8_t* in, Real* out, std::size_t n);
  /// out = in, exactly
  void (*int8_to_bfloat16)(const std::int8_t* in, bfloat16_bits* out, std::size_t n);
};

/// \brief The loops for the instruction_set() in use.
/// \return the table; it lives as long as the program
template <class Real>
const CompactKernels<Real>& compact_kernels();

}  // namespace mamba2
