// ## Loops over fewer bytes {#fewer_bytes_kernels}
//
// The loop of @chapter{fast} reads a weight once and multiplies it by a few tokens, in registers,
// and does not ask what the weight is stored in: it leaves that to a small type, `Reading`. For
// weights of two bytes, widening them is a shift.

#include <mamba2/compact_kernels.hpp>
#include <mamba2/kernels.hpp>
#include <mamba2/row_tiles.hpp>

#include <bit>
#include <cstdint>
#include <cstring>

namespace mamba2::MAMBA2_INSTRUCTION_SET {
namespace {

template <class Real>
struct Reading<Real, bfloat16_bits> {
  static Register<Real> some(const bfloat16_bits* from) {
    Lanes<bfloat16_bits, lanes<Real>> narrow;
    std::memcpy(&narrow, from, sizeof narrow);
    const auto bits = __builtin_convertvector(narrow, Lanes<std::uint32_t, lanes<Real>>) << 16;
    return __builtin_convertvector(std::bit_cast<Lanes<float, lanes<Real>>>(bits), Register<Real>);
  }
  static Real one(bfloat16_bits weight) {
    return static_cast<Real>(std::bit_cast<float>(static_cast<std::uint32_t>(weight) << 16));
  }
};

template <class Real>
struct Reading<Real, std::int8_t> {
  static Real one(std::int8_t weight) { return static_cast<Real>(weight); }
};

template <class Real, class Weight>
void widen(const Weight* __restrict in, Real* __restrict out, std::size_t n) {
#pragma omp simd
  for (std::size_t i = 0; i < n; ++i) out[i] = Reading<Real, Weight>::one(in[i]);
}

// Whole numbers up to 127 have seven bits and bfloat16 has eight, so nothing is lost between them:
// the lower half of the float is empty.

void int8_to_bfloat16(const std::int8_t* __restrict in, bfloat16_bits* __restrict out, std::size_t n) {
#pragma omp simd
  for (std::size_t i = 0; i < n; ++i)
    out[i] = static_cast<bfloat16_bits>(std::bit_cast<std::uint32_t>(static_cast<float>(in[i])) >> 16);
}

// ### Whole numbers {#fewer_bytes_int8}
//
// Widening bytes to floats takes several instructions for every register of them. Whole numbers are
// quicker: there is an instruction that multiplies pairs of 16-bit numbers and adds them up in 32
// bits, and a compiler finds it in a plain loop. So the token becomes a row of whole numbers as
// well, of 16 bits and with a scale of its own. They are chosen as large as they may be for the sum
// not to overflow. With $n$ weights of up to 127 each, that is $2^{31} / (127 n)$, and never beyond
// what 16 bits hold: still finer than the weights' own rounding, by a factor of dozens for the
// widths of real models. The sum itself is exact.

template <class Real>
Real to_int16(const Real* __restrict x, std::size_t n, std::int16_t* __restrict out) {
  Real largest = 0, unusual = 0;  // infinity or NaN times 0 is NaN, and stays in the sum
#pragma omp simd reduction(max : largest) reduction(+ : unusual)
  for (std::size_t i = 0; i < n; ++i) {
    const Real size = x[i] < 0 ? -x[i] : x[i];
    largest = largest < size ? size : largest;
    unusual += x[i] * 0;
  }
  const std::size_t allowed = n > 516 ? 16909320 / n : 32767;  // below 2³¹ / (127 n), within 16 bits
  const Real most = static_cast<Real>(allowed), factor = most / largest;
  if (unusual != 0 || !(largest > vanished<Real>)) {
    for (std::size_t i = 0; i < n; ++i) out[i] = 0;
    return unusual;
  }
#pragma omp simd
  for (std::size_t i = 0; i < n; ++i) {
    const Real scaled = x[i] * factor;
    out[i] = static_cast<std::int16_t>(scaled < 0 ? scaled - Real(0.5) : scaled + Real(0.5));
  }
  return largest / most;
}

// Then four rows at a time, one from each quarter, as in @chapter{fast} and for the same reason.

void four_dots(const std::int8_t* __restrict w, std::size_t gap, std::size_t n,
               const std::int16_t* __restrict x, std::int32_t* __restrict sums) {
  std::int32_t a = 0, b = 0, c = 0, d = 0;
  for (std::size_t j = 0; j < n; ++j) {
    const std::int32_t x_j = x[j];
    a += w[j] * x_j;
    b += w[gap + j] * x_j;
    c += w[2 * gap + j] * x_j;
    d += w[3 * gap + j] * x_j;
  }
  sums[0] = a;
  sums[1] = b;
  sums[2] = c;
  sums[3] = d;
}

template <class Real>
void rows_dot_int8(const std::int8_t* W, std::size_t stride, const float* scale, std::size_t rows,
                   std::size_t columns, const std::int16_t* x, std::size_t x_stride,
                   const Real* x_scale, std::size_t vectors, Real* y, std::size_t y_stride) {
  const std::size_t quarter = rows / 4;
  std::int32_t sums[4];
  const auto keep = [&](std::size_t v, std::size_t r, std::int32_t sum) {
    y[v * y_stride + r] = x_scale[v] * static_cast<Real>(scale[r]) * static_cast<Real>(sum);
  };
  for (std::size_t r = 0; r < quarter; ++r)
    for (std::size_t v = 0; v < vectors; ++v) {
      four_dots(W + r * stride, quarter * stride, columns, x + v * x_stride, sums);
      for (std::size_t k = 0; k < 4; ++k) keep(v, r + k * quarter, sums[k]);
    }
  for (std::size_t r = 4 * quarter; r < rows; ++r)
    for (std::size_t v = 0; v < vectors; ++v) {
      four_dots(W + r * stride, 0, columns, x + v * x_stride, sums);
      keep(v, r, sums[0]);
    }
}

template <class Real>
constexpr CompactKernels<Real> table{.rows_dot_bfloat16 = rows_dot<Real, bfloat16_bits>,
                                     .to_int16 = to_int16<Real>,
                                     .rows_dot_int8 = rows_dot_int8<Real>,
                                     .widen_bfloat16 = widen<Real, bfloat16_bits>,
                                     .widen_int8 = widen<Real, std::int8_t>,
                                     .int8_to_bfloat16 = int8_to_bfloat16};

}  // namespace

const CompactKernels<float>& compact_float_kernels() {
  return table<float>;
}
const CompactKernels<double>& compact_double_kernels() {
  return table<double>;
}

}  // namespace mamba2::MAMBA2_INSTRUCTION_SET
