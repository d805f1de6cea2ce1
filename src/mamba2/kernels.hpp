/// \file kernels.hpp
/// \brief The inner loops of the fast path, compiled once for each level of instructions. Explained in @chapter{fast}.
#pragma once

#include <mamba2/instruction_set.hpp>

#include <cstddef>

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
  /// dx_i = dy_i silu'(x_i); dx may be x
  void (*silu_gradient)(const Real* x, const Real* dy, Real* dx, std::size_t n);
  /// dz_i = dv_i y_i silu'(z_i) and dy_i = dv_i silu(z_i); dy may be dv
  void (*gate_gradient)(const Real* y, const Real* z, const Real* dv, Real* dy, Real* dz, std::size_t n);
  /// out_c = bias_c + sum_k w_kc in_k,c, or silu() of that: one token of a depthwise convolution. in: `width` rows, null for
  /// zeros; bias: null for none
  void (*convolve_row)(const Real* const* in, std::size_t width, const Real* weights, std::size_t weight_stride,
                       const Real* bias, bool with_silu, Real* out, std::size_t channels);
  /// one token of the convolution on the cache: each channel's window moves on and is weighed; window: (channels, width)
  void (*convolve_step)(Real* window, std::size_t width, const Real* weights, const Real* bias, const Real* in,
                        Real* out, std::size_t channels);
  /// one row of RMSNorm: out = w x / sqrt(mean(x²) + eps)
  void (*rms_norm_row)(const Real* x, const Real* w, Real eps, Real* out, std::size_t n);
  /// the sum of n numbers, read as four streams: as fast as memory delivers them
  Real (*sum)(const Real* x, std::size_t n);
  /// so many times a multiply-add of every lane of sixteen registers, which never touches memory: how fast the processor
  /// can be at best. Returns the operations, two for each multiply-add; `result` keeps the compiler from leaving them out
  double (*multiply_adds)(std::size_t times, Real& result);
  /// y_v,r = W_r · x_v for rows r of W and some vectors x_v: reads W once
  void (*rows_dot)(const Real* W, std::size_t stride, std::size_t rows, std::size_t columns, const Real* x,
                   std::size_t x_stride, std::size_t vectors, Real* y, std::size_t y_stride);
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

/// \brief The loops for the instruction_set() in use.
/// \return the table; it lives as long as the program
template <class Real>
const Kernels<Real>& kernels();

}  // namespace mamba2
