// Our solutions.
#include "exercises.hpp"

#include <algorithm>
#include <cmath>

namespace exercises {

//: 1
// The largest weight of a row is 127 scales. Others become the nearest whole number of them.
Int8Weight round_to_int8(const Tensor<double, 2>& W) {
  const std::size_t rows = W.shape(0), columns = W.shape(1);
  Int8Weight out{Tensor<std::int8_t, 2>({rows, columns}, 0), mamba2::zeros<double>(rows)};
  for (std::size_t r = 0; r < rows; ++r) {
    double largest = 0;
    for (std::size_t j = 0; j < columns; ++j) largest = std::max(largest, std::abs(W(r, j)));
    out.scale(r) = largest / 127;
    if (largest == 0) continue;
    for (std::size_t j = 0; j < columns; ++j)
      out.numbers(r, j) = static_cast<std::int8_t>(std::lround(W(r, j) / out.scale(r)));
  }
  return out;
}
//: end

//: 2
// n products of at most 127 and `most` stay below 2^31 if most is below 2^31 / (127 n).
Tensor<double, 1> whole_product(const Int8Weight& W, const Tensor<double, 1>& x) {
  const std::size_t rows = W.scale.shape(0), columns = x.shape(0);
  const double most =
      std::min(32767.0, std::floor(2147483647.0 / (127.0 * static_cast<double>(columns))));
  double largest = 0;
  for (const double x_j : x) largest = std::max(largest, std::abs(x_j));
  const double scale = largest > 0 ? largest / most : 1;
  std::vector<std::int16_t> whole(columns);
  for (std::size_t j = 0; j < columns; ++j)
    whole[j] = static_cast<std::int16_t>(std::lround(x(j) / scale));
  auto y = mamba2::zeros<double>(rows);
  for (std::size_t r = 0; r < rows; ++r) {
    std::int32_t sum = 0;
    for (std::size_t j = 0; j < columns; ++j) sum += W.numbers(r, j) * whole[j];
    y(r) = scale * W.scale(r) * sum;
  }
  return y;
}
//: end

//: 3
// Each group has a scale of its own; the largest weight of the group is 7 of them.
Int4Weight round_to_int4(const Tensor<double, 2>& W) {
  const std::size_t rows = W.shape(0), columns = W.shape(1);
  const std::size_t groups = (columns + group - 1) / group, pairs = (columns + 1) / 2;
  Int4Weight out{rows, columns, std::vector<std::uint8_t>(rows * pairs, 0x88),
                 std::vector<double>(rows * groups)};
  for (std::size_t r = 0; r < rows; ++r)
    for (std::size_t g = 0; g < groups; ++g) {
      const std::size_t begin = g * group, end = std::min(columns, begin + group);
      double largest = 0;
      for (std::size_t j = begin; j < end; ++j) largest = std::max(largest, std::abs(W(r, j)));
      const double scale = out.scale[r * groups + g] = largest / 7;
      for (std::size_t j = begin; scale > 0 && j < end; ++j) {
        const auto number = static_cast<unsigned>(std::lround(W(r, j) / scale) + 8);
        std::uint8_t& byte = out.bytes[r * pairs + j / 2];
        byte = static_cast<std::uint8_t>(j % 2 == 0 ? (byte & 0xf0U) | number
                                                    : (byte & 0x0fU) | number << 4);
      }
    }
  return out;
}

// Within a group the numbers are added up first: one multiplication by the scale for all of them.
Tensor<double, 1> multiply(const Int4Weight& W, const Tensor<double, 1>& x) {
  const std::size_t groups = (W.columns + group - 1) / group, pairs = (W.columns + 1) / 2;
  auto y = mamba2::zeros<double>(W.rows);
  for (std::size_t r = 0; r < W.rows; ++r)
    for (std::size_t g = 0; g < groups; ++g) {
      double sum = 0;
      for (std::size_t j = g * group; j < std::min(W.columns, (g + 1) * group); ++j) {
        const int byte = W.bytes[r * pairs + j / 2];
        const int number = (j % 2 == 0 ? byte & 15 : byte >> 4) - 8;
        sum += number * x(j);
      }
      y(r) += W.scale[r * groups + g] * sum;
    }
  return y;
}

// Each weight is off by half a scale at most, in either direction; the worst is that all errors
// have the signs of the token's numbers.
Tensor<double, 1> error_bound(const Int4Weight& W, const Tensor<double, 1>& x) {
  const std::size_t groups = (W.columns + group - 1) / group;
  auto bound = mamba2::zeros<double>(W.rows);
  for (std::size_t r = 0; r < W.rows; ++r)
    for (std::size_t j = 0; j < W.columns; ++j)
      bound(r) += W.scale[r * groups + j / group] / 2 * std::abs(x(j));
  return bound;
}
//: end

}  // namespace exercises
