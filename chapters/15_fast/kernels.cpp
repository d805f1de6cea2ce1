// ## Loops that the compiler can widen {#fast_kernels}
//
// Between the products there are loops over rows: scale, mask, gate, norm. A processor has
// instructions that do eight or sixteen such steps at once, and a compiler uses them by itself if
// the loop lets it: no function calls it cannot see into, no branches, no doubt about whether two
// pointers overlap. All inner loops of the fast path are collected here, in plain terms, so that
// they can be compiled several times, once for each generation of processors. The program picks the
// right set when it starts.[^set]
//
// [^set]: This is why the file includes nothing but arithmetic: a function that two sets share must
// not be compiled for the newer processor only.

#include <mamba2/instruction_set.hpp>
#include <mamba2/kernels.hpp>
#include <mamba2/row_tiles.hpp>

#include <bit>
#include <cmath>
#include <cstdint>
#include <cstring>

namespace mamba2::MAMBA2_INSTRUCTION_SET {
namespace {

// To warm up, the plainest loop there is, a sum of products, with everything in the nearest cache:
//
// @measured warmup
//
// Nothing is saved: each line does the same multiplications and additions. The first one waits.
// Each addition needs the result of the one before, and the compiler may not change the order of a
// sum.
//
// ### An exponential {#fast_exponential}
//
// The gates need $e^x$ for every channel of every token. The library's `std::exp` is a call, and a
// call ends all widening. Ours is arithmetic: write $x = k \ln 2 + r$ with a whole number $k$ and
// $|r| \le \tfrac12 \ln 2$; then $e^x = 2^k e^r$. For so small an $r$ a polynomial of degree seven
// is exact to the last bit or two of a float, and $2^k$ is a float whose exponent bits spell $k$.
// To round to a whole number, add a number so large that a float has no room for a fraction beside
// it; its low bits then hold $k$.[^polynomial]
//
// [^polynomial]: The coefficients are those of $1/n!$ but for the last digits, moved a little so
// that the largest error in the interval becomes smallest. They have been in use since Moshier's
// library of functions, Cephes, of the 1980s.

float exponential(float x) {
  x = x < -87.0f ? -87.0f : (x > 88.0f ? 88.0f : x);
  const float shift = 12582912.0f;  // 1.5 · 2²³: adding it rounds to the nearest integer
  const float shifted = x * 1.44269504f + shift;
  const float k = shifted - shift;                            // x = k ln 2 + r
  const float r = x - k * 0.693359375f + k * 2.12194440e-4f;  // ln 2 in two parts
  float tail = 1.9875691e-4f;                                 // e^r = 1 + r + r² tail
  for (const float c : {1.3981999e-3f, 8.3334520e-3f, 4.1665796e-2f, 0.16666665f, 0.5f})
    tail = tail * r + c;
  const float e = 1.0f + (r + r * r * tail);
  const auto power =
      static_cast<std::uint32_t>((std::bit_cast<std::int32_t>(shifted) + 127) << 23);  // 2^k
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
// @Chapter{chunked_scan} writes the mask of a chunk entry by entry, $L_{ij} = e^{S_{ij}}$ with $S$
// the segment sums: $Q^2/2$ exponentials for each head and chunk. Look at two rows of $L$, one
// under the other:
//
// $$ L_{ij} = e^{dA_i} \, L_{i-1,\,j} \qquad (j < i), \qquad L_{ii} = 1. $$ {#eq:mask_row}
//
// A row is the row above times *one* number, with a 1 appended. So a chunk takes $Q$ exponentials
// and not $Q^2/2$, and the mask costs a multiplication an entry. Is that exact? The segment sum
// went wrong by subtracting large numbers (@chapter{semiseparable}). Here nothing is subtracted.
// Each entry is a product of at most $Q$ positive factors. A factor brings two relative errors: the
// rounding of the product, one part in $2^{24}$ at most, and the exponential's own, one or two of
// the same. They add up, at worst to $3Q$ such parts: a hundred-thousandth for $Q = 64$. The
// program looks at every entry.
//
// What is it worth? Here are three ways to come by the mask of 64 rows. The second line is only the
// exponentials, with the segment sums given; the third also multiplies by the scores.
//
// @measured mask
//
// The large step is from the first line to the second: no lazy expressions, no matrix of segment
// sums, a loop that widens. By then an exponential costs hardly more than a multiplication. The
// third does all of the work in about the time of the second, and it needs no approximation of
// $e^x$ that has to be trusted $Q^2/2$ times.
//
// Two more things come for free. Start each column with the step size $\Delta_j$ in place of 1, and
// the row holds $L_{ij} \Delta_j$, so that $x$ need not be multiplied by it beforehand. And the
// *last* row, $\Delta_j L_{Q-1,\,j}$, is just what step 2 of @chapter{chunked_scan} needs: how much
// of each token is left when the chunk ends.
//
// One trap is left. A product of many factors below 1 does not jump to zero: from $10^{-38}$ down
// it passes through *subnormal* numbers, so small that many processors handle them a hundred times
// slower. An entry below $10^{-30}$ is set to zero instead.

template <class Real>
void masked_scores(const Real* __restrict scores, std::size_t score_stride, const Real* __restrict a,
                   const Real* __restrict dt, Real* __restrict decay, Real* __restrict M,
                   std::size_t m_stride, std::size_t n) {
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
void add_skip(const Real* __restrict x, std::size_t x_stride, const Real* __restrict D,
              std::size_t D_stride, Real* __restrict y, std::size_t y_stride, std::size_t rows,
              std::size_t columns) {
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
void gate(const Real* __restrict z, std::size_t z_stride, Real* __restrict y, std::size_t y_stride,
          std::size_t rows, std::size_t columns) {
  for (std::size_t i = 0; i < rows; ++i) {
    const Real* from = z + i * z_stride;
    Real* to = y + i * y_stride;
#pragma omp simd
    for (std::size_t j = 0; j < columns; ++j) to[j] *= silu(from[j]);
  }
}

// Backwards (@chapter{backward}) the same exponential gives the gate and its slope.

template <class Real>
void silu_gradient(const Real* x, const Real* dy, Real* dx, std::size_t n) {
#pragma omp simd
  for (std::size_t i = 0; i < n; ++i) {
    const Real sigma = Real(1) / (Real(1) + exponential(-x[i]));
    dx[i] = dy[i] * (sigma * (Real(1) + x[i] * (Real(1) - sigma)));
  }
}

template <class Real>
void gate_gradient(const Real* y, const Real* z, const Real* dv, Real* dy, Real* dz, std::size_t n) {
#pragma omp simd
  for (std::size_t i = 0; i < n; ++i) {
    const Real from_above = dv[i], sigma = Real(1) / (Real(1) + exponential(-z[i]));
    const Real gated = z[i] * sigma;
    dz[i] = from_above * y[i] * (sigma + gated * (Real(1) - sigma));
    dy[i] = from_above * gated;
  }
}

// The convolution goes through the taps, and for each through all channels, which lie side by side:

template <class Real>
void convolve_row(const Real* const* in, std::size_t width, const Real* __restrict weights,
                  std::size_t weight_stride, const Real* __restrict bias, bool with_silu,
                  Real* __restrict out, std::size_t channels) {
  for (std::size_t c = 0; c < channels; ++c) out[c] = bias ? bias[c] : Real(0);
  for (std::size_t k = 0; k < width;
       ++k) {  // weights: (width, channels), turned round so that channels run fastest
    const Real* __restrict from = in[k];
    const Real* __restrict w = weights + k * weight_stride;
    if (!from) continue;  // before the first token
#pragma omp simd
    for (std::size_t c = 0; c < channels; ++c) out[c] += w[c] * from[c];
  }
  if (!with_silu) return;
#pragma omp simd
  for (std::size_t c = 0; c < channels; ++c) out[c] = silu(out[c]);
}

template <class Real>
void convolve_step(Real* __restrict window, std::size_t width, const Real* __restrict weights,
                   const Real* __restrict bias, const Real* __restrict in, Real* __restrict out,
                   std::size_t channels) {
  for (std::size_t c = 0; c < channels; ++c) {
    Real *w = window + c * width, sum = bias ? bias[c] : Real(0);
    for (std::size_t k = 0; k + 1 < width; ++k) {
      w[k] = w[k + 1];
      sum += weights[c * width + k] * w[k];
    }
    w[width - 1] = in[c];
    out[c] = sum + weights[c * width + width - 1] * in[c];
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
// For one token a projection is $y = Wx$: for each row of $W$ a sum of products. Each weight is
// read from memory, used once, and not needed again until the next token. So the loop has to ask
// for memory as fast as it comes. Two things keep it from that.
//
// The sum is a chain: an addition must wait for the one before it, some four cycles. One row at a
// time, the processor would mostly wait. Four rows at a time make four chains, and the wait is
// hidden.
//
// *Which* four rows matters more. Memory answers late, after a few hundred cycles, so the processor
// guesses what will be read next: it follows streams, addresses that go on and on. Four
// neighbouring rows are four short streams. Each ends after a row and then jumps over the three
// others, and the guess has to be learned anew. So the four rows come from four places, one from
// each *quarter* of the rows at hand: row after row, every quarter is a single long stream. *What
// writing costs* shows what the choice is worth.
//
// With several sequences in a batch there is more to do. Each row of $W$ meets several vectors
// while it is close by. That is why a batch writes more text per second than one sequence: the
// bytes are the same. But now the arithmetic takes a good part of the time of the reading, and both
// should go on at once; here the processor does not guess far enough ahead. So the loop asks for
// memory itself: while it works on four rows, it has the next four brought into the cache. And a
// compiler left alone would load each row again for each vector; so the tile of four rows by four
// vectors is spelled out, in vectors of the width of a register.[^vector]
//
// [^vector]: `vector_size` is an extension that GCC and Clang share: arithmetic on such a type is
// done lane by lane, in as many instructions as the processor needs.
//
// @quote src/mamba2/row_tiles.hpp#registers
//
// @quote src/mamba2/row_tiles.hpp#total
//
// The limit itself is a loop of this kind: four streams that are only added up.

template <class Real>
Real sum_of(const Real* x, std::size_t n) {
  const std::size_t quarter = n / 4 / lanes<Real> * lanes<Real>;
  Register<Real> sums[4]{};
  for (std::size_t j = 0; j < quarter; j += lanes<Real>)
    for (std::size_t stream = 0; stream < 4; ++stream)
      sums[stream] += load<Real>(x + stream * quarter + j);
  Real sum = total<Real>((sums[0] + sums[1]) + (sums[2] + sums[3]));
  for (std::size_t rest = 4 * quarter; rest < n; ++rest) sum += x[rest];
  return sum;
}

// And the limit of arithmetic from within: numbers that are in registers already, multiplied by one
// register and added to another. Each must wait for the one before it, so sixteen do it side by
// side.

template <class Real>
double multiply_adds(std::size_t times, Real& result) {
  constexpr std::size_t chains = 16;
  const Register<Real> factor = Register<Real>{} + Real(0.999),
                       summand = Register<Real>{} + Real(0.001);
  Register<Real> values[chains];
  for (std::size_t c = 0; c < chains; ++c)  // all different, or a compiler sees that one is enough
    values[c] = Register<Real>{} + static_cast<Real>(c);
  for (std::size_t i = 0; i < times; ++i)
    for (auto& value : values) value = value * factor + summand;
  Register<Real> sum{};
  for (const auto& value : values) sum += value;
  result = total<Real>(sum);
  return 2.0 * static_cast<double>(times * chains * lanes<Real>);
}

// Then the tile. With more than four vectors it takes four at a time.
//
// @quote src/mamba2/row_tiles.hpp#tile
//
// @quote src/mamba2/row_tiles.hpp#some_rows
//
// And all rows, a quarter beside the other:
//
// @quote src/mamba2/row_tiles.hpp#rows_dot

// ### One step of the recurrence {#fast_state_step}
//
// Generation, and chunks of a few tokens, update the state directly: one pass over it, reading,
// fading, adding, and summing the output on the way. A sum over a row of the state is short, so
// what counts is how it ends: by halves, as above, and not lane after lane.

template <class Real>
void state_step(Real* __restrict S, Real a, Real dt, const Real* __restrict x, const Real* __restrict B,
                const Real* __restrict C, Real* __restrict y, std::size_t headdim,
                std::size_t d_state) {
  for (std::size_t p = 0; p < headdim; ++p) {
    Real* s = S + p * d_state;
    const Real x_p = dt * x[p];
    Register<Real> sums{};
    std::size_t n = 0;
    for (; n + lanes<Real> <= d_state; n += lanes<Real>) {
      const Register<Real> s_n = a * load<Real>(s + n) + x_p * load<Real>(B + n);
      std::memcpy(s + n, &s_n, sizeof s_n);
      sums += s_n * load<Real>(C + n);
    }
    y[p] = total<Real>(sums);
    for (; n < d_state; ++n) {
      s[n] = a * s[n] + x_p * B[n];
      y[p] += s[n] * C[n];
    }
  }
}

// ### Heads that hardly forget {#fast_slow}
//
// @chapter{real_sequences} holds the state in double, because a head that forgets a millionth at
// each step forgets it in the digits that a float has no room for. In double the loop above would
// move twice the bytes, for all heads; and most heads forget quickly, and need no such care. For
// those that do, three things are different. The factor is near 1, so it is not used: what changes
// the state is $(e^{\Delta A} - 1)\, S$, which `expm1` gives with all its digits, and the new
// input. The small change is added to the large state in such a way that what the addition rounds
// away is known, and that is kept as the state's remainder: for any two floats $a$ and $b$, with $s
// = a + b$ rounded and $b' = s - a$,
//
// $$ (a - (s - b')) + (b - b') $$ {#eq:two_sum}
//
// is *exactly* what is missing from $s$. And the next change begins with what was left over.

// sum + rest = old + change, exactly.
template <class Value>
Value add_exactly(Value old, Value change, Value& rest) {
  const Value sum = old + change, added = sum - old;
  rest = (old - (sum - added)) + (change - added);
  return sum;
}

template <class Real>
void slow_state_step(Real* __restrict S, Real* __restrict rest, Real change, Real dt,
                     const Real* __restrict x, const Real* __restrict B, const Real* __restrict C,
                     Real* __restrict y, std::size_t headdim, std::size_t d_state) {
  for (std::size_t p = 0; p < headdim; ++p, S += d_state, rest += d_state) {
    const Real x_p = dt * x[p];
    Real sum = 0;
#pragma omp simd reduction(+ : sum)
    for (std::size_t n = 0; n < d_state; ++n) {
      const Real own = S[n] + rest[n] == S[n] ? rest[n] : Real(0);  // see own_remainder()
      S[n] = add_exactly(S[n], change * S[n] + (own + x_p * B[n]), rest[n]);
      sum += S[n] * C[n];
    }
    y[p] = sum;
  }
}

// In a chunk the change comes out of a matrix product. So the state is set aside, its place takes
// the change (the product adds to it), and then the two are added.

template <class Real>
void set_aside(Real* __restrict S, const Real* __restrict rest, Real change, Real* __restrict aside,
               std::size_t n) {
#pragma omp simd
  for (std::size_t i = 0; i < n; ++i) {
    aside[i] = S[i];
    S[i] = change * S[i] + (S[i] + rest[i] == S[i] ? rest[i] : Real(0));
  }
}

template <class Real>
void put_back(Real* __restrict S, Real* __restrict rest, const Real* __restrict aside, std::size_t n) {
#pragma omp simd
  for (std::size_t i = 0; i < n; ++i) S[i] = add_exactly(aside[i], S[i], rest[i]);
}

template <class Real>
constexpr Kernels<Real> table{.exponential = exponential_array<Real>,
                              .masked_scores = masked_scores<Real>,
                              .scale_rows = scale_rows<Real>,
                              .scale = scale<Real>,
                              .add_skip = add_skip<Real>,
                              .gate = gate<Real>,
                              .silu_gradient = silu_gradient<Real>,
                              .gate_gradient = gate_gradient<Real>,
                              .convolve_row = convolve_row<Real>,
                              .convolve_step = convolve_step<Real>,
                              .rms_norm_row = rms_norm_row<Real>,
                              .sum = sum_of<Real>,
                              .multiply_adds = multiply_adds<Real>,
                              .rows_dot = rows_dot<Real, Real>,
                              .state_step = state_step<Real>,
                              .slow_state_step = slow_state_step<Real>,
                              .set_aside = set_aside<Real>,
                              .put_back = put_back<Real>};

}  // namespace

const Kernels<float>& float_kernels() {
  return table<float>;
}
const Kernels<double>& double_kernels() {
  return table<double>;
}

}  // namespace mamba2::MAMBA2_INSTRUCTION_SET
