// ## Loops that the compiler can widen {#fast_kernels}
//
// Between the products there are loops over rows: scale, mask, gate, norm. A processor has instructions that do eight or sixteen such steps
// at once, and a compiler uses them by itself if the loop lets it: no function calls it cannot see into, no branches, no doubt about
// whether two pointers overlap. All inner loops of the fast path are collected here, in plain terms, so that they can be compiled several times, once for
// each generation of processors. The program picks the right set when it starts.[^set]
//
// [^set]: This is why the file includes nothing but arithmetic: a function that two sets share must not be compiled for the newer processor only.

#include <mamba2/kernels.hpp>

#include <bit>
#include <cmath>

#ifndef MAMBA2_INSTRUCTION_SET
#define MAMBA2_INSTRUCTION_SET baseline
#endif
#define MAMBA2_TEXT(x) #x
#define MAMBA2_NAME(x) MAMBA2_TEXT(x)

namespace mamba2::MAMBA2_INSTRUCTION_SET {
namespace {

// ### An exponential {#fast_exponential}
//
// The gates need $e^x$ for every channel of every token. The library's `std::exp` is a call, and a call ends all widening. Ours is arithmetic:
// write $x = k \ln 2 + r$ with a whole number $k$ and $|r| \le \tfrac12 \ln 2$; then $e^x = 2^k e^r$. For so small an $r$ a polynomial of degree six is
// exact to the last bits of a float, and $2^k$ is a float whose exponent bits spell $k$. To round to a whole number, add a number so large that
// a float has no room for a fraction beside it; its low bits then hold $k$.

float exponential(float x) {
  x = x < -87.0f ? -87.0f : (x > 88.0f ? 88.0f : x);
  const float shift = 12582912.0f;  // 1.5 · 2²³: adding it rounds to the nearest integer
  const float shifted = x * 1.44269504f + shift;
  const float k = shifted - shift;                            // x = k ln 2 + r
  const float r = x - k * 0.693359375f + k * 2.12194440e-4f;  // ln 2 in two parts
  const float e =
      1.0f + r * (1.0f + r * (0.5f + r * (0.166666667f + r * (0.0416666418f + r * (0.00833345f + r * 0.00139f)))));
  const auto power = static_cast<std::uint32_t>((std::bit_cast<std::int32_t>(shifted) + 127) << 23);  // 2^k
  return e * std::bit_cast<float>(power);
}

// In double there is nothing to hurry: it serves tests.

double exponential(double x) {
  return std::exp(x);
}

template <class Real>
void exponential_array(const Real* in, Real* out, std::size_t n) {
#pragma omp simd
  for (std::size_t i = 0; i < n; ++i) out[i] = exponential(in[i]);
}

template <class Real>
Real silu(Real x) {
  return x / (Real(1) + exponential(-x));
}

// ### A mask without exponentials {#fast_mask}
//
// Chapter 4 writes the mask of a chunk entry by entry, $L_{ij} = e^{S_{ij}}$ with $S$ the segment sums: $Q^2/2$ exponentials for each head and chunk.
// Look at two rows of $L$, one under the other:
//
// $$ L_{ij} = e^{dA_i} \, L_{i-1,\,j} \qquad (j < i), \qquad L_{ii} = 1. $$ {#eq:mask_row}
//
// A row is the row above times *one* number, with a 1 appended. So a chunk takes $Q$ exponentials and not $Q^2/2$, and the mask costs a multiplication an entry. Is that
// exact? The segment sum went wrong by subtracting large numbers (chapter 2). Here nothing is subtracted. Each entry is a product of at most $Q$ positive factors, and
// each factor brings a relative error of one rounding or two.
//
// Two more things come for free. Start each column with the step size $\Delta_j$ in place of 1, and the row holds $L_{ij} \Delta_j$, so that $x$ need not be multiplied by it
// beforehand. And the *last* row, $\Delta_j L_{Q-1,\,j}$, is just what step 2 of chapter 4 needs: how much of each token is left when the chunk ends.
//
// One trap is left. A product of many factors below 1 does not jump to zero: from $10^{-38}$ down it passes through numbers so small that a processor
// handles them a hundred times slower. An entry below $10^{-30}$ is set to zero instead.

template <class Real>
void masked_scores(const Real* __restrict scores, std::size_t score_stride, const Real* __restrict a,
                   const Real* __restrict dt, Real* __restrict decay, Real* __restrict M, std::size_t m_stride,
                   std::size_t n) {
  for (std::size_t i = 0; i < n; ++i) {
    const Real* g = scores + i * score_stride;
    Real* m = M + i * m_stride;
    const Real a_i = a[i];
#pragma omp simd
    for (std::size_t j = 0; j < i; ++j) {
      const Real left = decay[j] * a_i;
      decay[j] = left < vanished<Real> ? Real(0) : left;
      m[j] = g[j] * decay[j];
    }
    decay[i] = dt[i];
    m[i] = g[i] * dt[i];
    for (std::size_t j = i + 1; j < n; ++j) m[j] = Real(0);
  }
}

// ### Rows {#fast_rows}
//
// The rest is what it looks like: rows scaled, added, gated, normed.

template <class Real>
void scale_rows(const Real* __restrict in, std::size_t in_stride, const Real* __restrict w, Real* out,
                std::size_t out_stride, std::size_t rows, std::size_t columns) {
  for (std::size_t i = 0; i < rows; ++i) {
    const Real w_i = w[i];
    const Real* from = in + i * in_stride;
    Real* to = out + i * out_stride;
#pragma omp simd
    for (std::size_t j = 0; j < columns; ++j) to[j] = w_i * from[j];
  }
}

template <class Real>
void scale(Real* x, Real w, std::size_t n) {
#pragma omp simd
  for (std::size_t i = 0; i < n; ++i) x[i] *= w;
}

template <class Real>
void add_skip(const Real* __restrict x, std::size_t x_stride, const Real* __restrict D, std::size_t D_stride,
              Real* __restrict y, std::size_t y_stride, std::size_t rows, std::size_t columns) {
  for (std::size_t i = 0; i < rows; ++i) {
    const Real* from = x + i * x_stride;
    Real* to = y + i * y_stride;
    if (D_stride == 0) {
      const Real d = D[0];
#pragma omp simd
      for (std::size_t j = 0; j < columns; ++j) to[j] += d * from[j];
    } else {
#pragma omp simd
      for (std::size_t j = 0; j < columns; ++j) to[j] += D[j] * from[j];
    }
  }
}

template <class Real>
void gate(const Real* __restrict z, std::size_t z_stride, Real* __restrict y, std::size_t y_stride, std::size_t rows,
          std::size_t columns) {
  for (std::size_t i = 0; i < rows; ++i) {
    const Real* from = z + i * z_stride;
    Real* to = y + i * y_stride;
#pragma omp simd
    for (std::size_t j = 0; j < columns; ++j) to[j] *= silu(from[j]);
  }
}

template <class Real>
void convolve_row(const Real* const* in, std::size_t width, const Real* __restrict weights, std::size_t weight_stride,
                  const Real* __restrict bias, Real* __restrict out, std::size_t channels) {
  for (std::size_t c = 0; c < channels; ++c) out[c] = bias ? bias[c] : Real(0);
  for (std::size_t k = 0; k < width; ++k) {  // weights: (width, channels), turned round so that channels run fastest
    const Real* __restrict from = in[k];
    const Real* __restrict w = weights + k * weight_stride;
    if (!from) continue;  // before the first token
#pragma omp simd
    for (std::size_t c = 0; c < channels; ++c) out[c] += w[c] * from[c];
  }
#pragma omp simd
  for (std::size_t c = 0; c < channels; ++c) out[c] = silu(out[c]);
}

template <class Real>
void rms_norm_row(const Real* x, const Real* w, Real eps, Real* out, std::size_t n) {
  Real sum = 0;
#pragma omp simd reduction(+ : sum)
  for (std::size_t i = 0; i < n; ++i) sum += x[i] * x[i];
  const Real factor = Real(1) / std::sqrt(sum / static_cast<Real>(n) + eps);
#pragma omp simd
  for (std::size_t i = 0; i < n; ++i) out[i] = x[i] * factor * w[i];
}

// ### Reading weights once {#fast_rows_dot}
//
// For one token a projection is $y = Wx$: for each row of $W$ a sum of products. Each weight is read from memory, used once, and not needed again until
// the next token. The sum itself is a chain: an addition must wait for the one before it, some four cycles. One row at a time, the processor would
// mostly wait. Four rows at a time make four chains, and the wait is hidden.
//
// With several sequences in a batch, each row of $W$ meets several vectors while it is close by. That is why a batch writes more text per second than one
// sequence: the bytes are the same.
//
// Weights may also be stored in bfloat16, the upper half of a float. Half the bytes, half the time; widening them again is a shift.

template <class Real>
Real widen(Real w) {
  return w;
}
template <class Real>
Real widen(bfloat16_bits w) {
  return static_cast<Real>(std::bit_cast<float>(static_cast<std::uint32_t>(w) << 16));
}

// Four rows of W against one or two vectors: enough sums at once to hide the latency of an addition.
template <class Real, class Weight>
void four_rows(const Weight* __restrict w, std::size_t stride, std::size_t n, const Real* __restrict x, Real* y) {
  const Weight *w0 = w, *w1 = w + stride, *w2 = w + 2 * stride, *w3 = w + 3 * stride;
  Real s0 = 0, s1 = 0, s2 = 0, s3 = 0;
#pragma omp simd reduction(+ : s0, s1, s2, s3)
  for (std::size_t j = 0; j < n; ++j) {
    s0 += widen<Real>(w0[j]) * x[j];
    s1 += widen<Real>(w1[j]) * x[j];
    s2 += widen<Real>(w2[j]) * x[j];
    s3 += widen<Real>(w3[j]) * x[j];
  }
  y[0] = s0, y[1] = s1, y[2] = s2, y[3] = s3;
}

template <class Real, class Weight>
void four_rows_two_vectors(const Weight* __restrict w, std::size_t stride, std::size_t n, const Real* __restrict x,
                           const Real* __restrict u, Real* y, Real* v) {
  const Weight *w0 = w, *w1 = w + stride, *w2 = w + 2 * stride, *w3 = w + 3 * stride;
  Real s0 = 0, s1 = 0, s2 = 0, s3 = 0, t0 = 0, t1 = 0, t2 = 0, t3 = 0;
#pragma omp simd reduction(+ : s0, s1, s2, s3, t0, t1, t2, t3)
  for (std::size_t j = 0; j < n; ++j) {
    const Real a = widen<Real>(w0[j]), b = widen<Real>(w1[j]), c = widen<Real>(w2[j]), d = widen<Real>(w3[j]);
    s0 += a * x[j], t0 += a * u[j];
    s1 += b * x[j], t1 += b * u[j];
    s2 += c * x[j], t2 += c * u[j];
    s3 += d * x[j], t3 += d * u[j];
  }
  y[0] = s0, y[1] = s1, y[2] = s2, y[3] = s3;
  v[0] = t0, v[1] = t1, v[2] = t2, v[3] = t3;
}

template <class Real, class Weight>
void rows_dot(const Weight* W, std::size_t stride, std::size_t rows, std::size_t columns, const Real* x,
              std::size_t x_stride, std::size_t vectors, Real* y, std::size_t y_stride) {
  std::size_t r = 0;
  for (; r + 4 <= rows; r += 4) {
    const Weight* w = W + r * stride;
    std::size_t v = 0;
    for (; v + 2 <= vectors; v += 2)
      four_rows_two_vectors(w, stride, columns, x + v * x_stride, x + (v + 1) * x_stride, y + v * y_stride + r,
                            y + (v + 1) * y_stride + r);
    if (v < vectors) four_rows(w, stride, columns, x + v * x_stride, y + v * y_stride + r);
  }
  for (; r < rows; ++r)
    for (std::size_t v = 0; v < vectors; ++v) {
      const Weight* w = W + r * stride;
      const Real* xv = x + v * x_stride;
      Real sum = 0;
#pragma omp simd reduction(+ : sum)
      for (std::size_t j = 0; j < columns; ++j) sum += widen<Real>(w[j]) * xv[j];
      y[v * y_stride + r] = sum;
    }
}

// ### One step of the recurrence {#fast_state_step}
//
// Generation, and chunks of a few tokens, update the state directly: one pass over it, reading, fading, adding, and summing the output on the way.

template <class Real>
void state_step(Real* __restrict S, Real a, const Real* __restrict xdt, const Real* __restrict B,
                const Real* __restrict C, Real* __restrict y, std::size_t headdim, std::size_t d_state) {
  for (std::size_t p = 0; p < headdim; ++p) {
    Real* s = S + p * d_state;
    const Real x_p = xdt[p];
    Real sum = 0;
#pragma omp simd reduction(+ : sum)
    for (std::size_t n = 0; n < d_state; ++n) {
      s[n] = a * s[n] + x_p * B[n];
      sum += s[n] * C[n];
    }
    y[p] = sum;
  }
}

template <class Real>
constexpr Kernels<Real> table{MAMBA2_NAME(MAMBA2_INSTRUCTION_SET),
                              exponential_array<Real>,
                              masked_scores<Real>,
                              scale_rows<Real>,
                              scale<Real>,
                              add_skip<Real>,
                              gate<Real>,
                              convolve_row<Real>,
                              rms_norm_row<Real>,
                              rows_dot<Real, Real>,
                              rows_dot<Real, bfloat16_bits>,
                              state_step<Real>};

}  // namespace

const Kernels<float>& float_kernels() {
  return table<float>;
}
const Kernels<double>& double_kernels() {
  return table<double>;
}

}  // namespace mamba2::MAMBA2_INSTRUCTION_SET
