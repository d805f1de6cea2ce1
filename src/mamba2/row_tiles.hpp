/// \file row_tiles.hpp
/// \brief Rows of a weight against a few tokens, in registers, for files of inner loops. Explained in @chapter{fast}.
#pragma once

#include <mamba2/instruction_set.hpp>

#include <cstddef>
#include <cstring>
#include <utility>

namespace mamba2::MAMBA2_INSTRUCTION_SET {
namespace {  // of each file its own: what two levels shared would be compiled for one of them

//: registers
#if defined(__AVX512F__)
constexpr std::size_t register_bytes = 64;
#elif defined(__AVX__)
constexpr std::size_t register_bytes = 32;
#else
constexpr std::size_t register_bytes = 16;
#endif

template <class Real>
constexpr std::size_t lanes = register_bytes / sizeof(Real);
template <class T, std::size_t n>
using Lanes [[gnu::vector_size(n * sizeof(T))]] = T;

template <class Real>
using Register = Lanes<Real, lanes<Real>>;

template <class Real>
Register<Real> load(const Real* from) {
  Register<Real> r;
  std::memcpy(&r, from, sizeof r);
  return r;
}
//: end

//: reading
// How weights are read: here as they are. A chapter that stores them otherwise says how by a specialisation.
template <class Real, class Weight>
struct Reading {
  static Register<Real> some(const Weight* from) { return load<Real>(from); }
  static Real one(Weight weight) { return weight; }
};
//: end

//: total
// The sum of all lanes, by halves: one lane after the other would be a chain as long as the
// register.
template <class T, std::size_t n, std::size_t... i>
T sum_of_lanes(Lanes<T, n> r, std::index_sequence<i...>) {
  const auto half = __builtin_shufflevector(r, r, i...) + __builtin_shufflevector(r, r, (n / 2 + i)...);
  if constexpr (n == 4)
    return half[0] + half[1];
  else
    return sum_of_lanes<T, n / 2>(half, std::make_index_sequence<n / 4>());
}

template <class Real>
Real total(Register<Real> r) {
  if constexpr (lanes<Real> == 2)
    return r[0] + r[1];
  else
    return sum_of_lanes<Real, lanes<Real>>(r, std::make_index_sequence<lanes<Real> / 2>());
}
//: end

//: tile
// Some rows of W, `gap` apart, against some vectors: every pair has a sum of its own, all of them
// in registers. With `ahead`, memory is meanwhile asked for what comes next, `soon_step` weights
// for each step.
template <std::size_t rows, std::size_t vectors, bool ahead, class Real, class Weight>
void tile(const Weight* __restrict w, std::size_t gap, std::size_t n, const Real* __restrict x, std::size_t x_stride,
          Real* __restrict y, std::size_t y_gap, std::size_t y_stride, const Weight* soon, std::size_t soon_step) {
  Register<Real> sums[rows][vectors];
  for (auto& row : sums)
    for (auto& sum : row) sum = Register<Real>{};
  std::size_t j = 0;
  for (; j + lanes<Real> <= n; j += lanes<Real>, soon += soon_step) {
    Register<Real> w_r[rows];
    for (std::size_t r = 0; r < rows; ++r) {
      if constexpr (ahead) __builtin_prefetch(soon + r * gap, 0, 2);
      w_r[r] = Reading<Real, Weight>::some(w + r * gap + j);
    }
    for (std::size_t v = 0; v < vectors; ++v) {
      const Register<Real> x_v = load<Real>(x + v * x_stride + j);
      for (std::size_t r = 0; r < rows; ++r) sums[r][v] += w_r[r] * x_v;
    }
  }
  for (std::size_t v = 0; v < vectors; ++v)
    for (std::size_t r = 0; r < rows; ++r) {
      Real sum = total<Real>(sums[r][v]);
      for (std::size_t rest = j; rest < n; ++rest)
        sum += Reading<Real, Weight>::one(w[r * gap + rest]) * x[v * x_stride + rest];
      y[v * y_stride + r * y_gap] = sum;
    }
}
//: end

//: some_rows
// The same against any number of vectors, four at a time. One or two leave the processor enough
// time to follow the streams by itself; with more, each pass over the rows asks for its share of
// the next ones.
template <std::size_t rows, bool ahead, class Real, class Weight>
void some_rows(const Weight* w, std::size_t gap, std::size_t stride, std::size_t n, const Real* x, std::size_t x_stride,
               std::size_t vectors, Real* y, std::size_t y_gap, std::size_t y_stride) {
  const std::size_t passes = (vectors + 3) / 4;
  const Weight* soon = w + stride;
  for (std::size_t left = vectors; left > 0; left -= left < 4 ? left : 4) {
    const auto pass = left >= 4   ? tile<rows, 4, ahead, Real, Weight>
                      : left == 3 ? tile<rows, 3, ahead, Real, Weight>
                      : left == 2 ? tile<rows, 2, ahead, Real, Weight>
                                  : tile<rows, 1, ahead, Real, Weight>;
    pass(w, gap, n, x, x_stride, y, y_gap, y_stride, soon, lanes<Real> / passes);
    soon += n / passes, x += 4 * x_stride, y += 4 * y_stride;
  }
}
//: end

//: rows_dot
template <class Real, class Weight>
void rows_dot(const Weight* W, std::size_t stride, std::size_t rows, std::size_t columns, const Real* x,
              std::size_t x_stride, std::size_t vectors, Real* y, std::size_t y_stride) {
  const std::size_t quarter = rows / 4;
  const auto four_rows = vectors > 2 ? some_rows<4, true, Real, Weight> : some_rows<4, false, Real, Weight>;
  for (std::size_t r = 0; r < quarter; ++r)
    four_rows(W + r * stride, quarter * stride, stride, columns, x, x_stride, vectors, y + r, quarter, y_stride);
  for (std::size_t r = 4 * quarter; r < rows; ++r)
    some_rows<1, false>(W + r * stride, 0, stride, columns, x, x_stride, vectors, y + r, 0, y_stride);
}
//: end

}  // namespace
}  // namespace mamba2::MAMBA2_INSTRUCTION_SET
