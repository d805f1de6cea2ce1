/// \file kernels.hpp
/// \brief The inner loops of the fast path, compiled once for each instruction set. Explained in @chapter{fast}.
#pragma once

#include <mamba2/half.hpp>

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace mamba2 {

/// \brief Below this a product of decays counts as zero: the slow denormal numbers never begin.
template <class Real>
inline constexpr Real vanished = Real(1e-30);

/// \brief A head whose log-decay is nearer to 0 than this is slow: its state is kept with a remainder. Where decays are
/// stronger, roundings fade before they add up to more than one part in a hundred thousand.
template <class Real>
inline constexpr Real slow_decay = Real(sizeof(Real) == 4 ? 0.004 : 1e-11);

/// \brief The inner loops, as this machine runs them best. All pointers are to row-major data; nothing is allocated.
template <class Real>
struct Kernels {
  const char* instruction_set;  ///< "x86_64_v4", "x86_64_v3" or "baseline"

  /// out_i = e^{in_i}; float: 1e-7 relative; x is held between −87 and 88
  void (*exponential)(const Real* in, Real* out, std::size_t n);
  /// M = scores ∘ L for one head, row after row: decay, of n numbers, holds dt times the mask, and grows by one entry a row.
  /// On return decay holds the last row of L times dt: what each token leaves behind at the end of the chunk.
  void (*masked_scores)(const Real* scores, std::size_t score_stride, const Real* a, const Real* dt, Real* decay,
                        Real* M, std::size_t m_stride, std::size_t n);
  /// out_ij = w_i in_ij
  void (*scale_rows)(const Real* in, std::size_t in_stride, const Real* w, Real* out, std::size_t out_stride,
                     std::size_t rows, std::size_t columns);
  /// x_i *= w
  void (*scale)(Real* x, Real w, std::size_t n);
  /// y_ij += D_j x_ij (D_stride 1) or D_0 x_ij (D_stride 0)
  void (*add_skip)(const Real* x, std::size_t x_stride, const Real* D, std::size_t D_stride, Real* y,
                   std::size_t y_stride, std::size_t rows, std::size_t columns);
  /// y_ij *= silu(z_ij)
  void (*gate)(const Real* z, std::size_t z_stride, Real* y, std::size_t y_stride, std::size_t rows,
               std::size_t columns);
  /// out_c = silu(bias_c + sum_k w_kc in_k,c): one token of a depthwise convolution. in: `width` rows, null for zeros;
  /// bias: null for none
  void (*convolve_row)(const Real* const* in, std::size_t width, const Real* weights, std::size_t weight_stride,
                       const Real* bias, Real* out, std::size_t channels);
  /// one token of the convolution on the cache: each channel's window moves on and is weighed; window: (channels, width)
  void (*convolve_step)(Real* window, std::size_t width, const Real* weights, const Real* bias, const Real* in,
                        Real* out, std::size_t channels);
  /// one row of RMSNorm: out = w x / sqrt(mean(x²) + eps)
  void (*rms_norm_row)(const Real* x, const Real* w, Real eps, Real* out, std::size_t n);
  /// the sum of n numbers, read as four streams: as fast as memory delivers them
  Real (*sum)(const Real* x, std::size_t n);
  /// y_v,r = W_r · x_v for rows r of W and some vectors x_v: reads W once
  void (*rows_dot)(const Real* W, std::size_t stride, std::size_t rows, std::size_t columns, const Real* x,
                   std::size_t x_stride, std::size_t vectors, Real* y, std::size_t y_stride);
  /// the same with W in bfloat16
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
  /// one token of the recurrence for one head: S_pn = a S_pn + dt x_p B_n; y_p = S_p · C
  void (*state_step)(Real* S, Real a, Real dt, const Real* x, const Real* B, const Real* C, Real* y,
                     std::size_t headdim, std::size_t d_state);
  /// the same where a = 1 + change is near 1; rest: what rounding takes from S, and has taken before
  void (*slow_state_step)(Real* S, Real* rest, Real change, Real dt, const Real* x, const Real* B, const Real* C,
                          Real* y, std::size_t headdim, std::size_t d_state);
  /// aside = S, then S = change S + rest: all that changes a state but its input, which is still to be added to S
  void (*set_aside)(Real* S, const Real* rest, Real change, Real* aside, std::size_t n);
  /// S = aside + S, and rest = what rounding takes from it
  void (*put_back)(Real* S, Real* rest, const Real* aside, std::size_t n);
};

/// \brief The loops for the processor that the program runs on.
/// \return the table; it lives as long as the program
template <class Real>
const Kernels<Real>& kernels();

/// \brief Choose which set kernels() gives from now on, to compare them.
/// \param name "baseline", "x86_64_v3" or "x86_64_v4"; empty for the best that the processor has
/// \throws ValueError for a set that is not compiled in, or that the processor lacks
void use_instruction_set(std::string_view name);

}  // namespace mamba2
