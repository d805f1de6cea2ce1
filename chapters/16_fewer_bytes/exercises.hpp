/// \file exercises.hpp
/// \brief The exercises of this chapter.
#pragma once

#include <mamba2/tensor.hpp>

#include <cstddef>
#include <cstdint>
#include <vector>

namespace exercises {

using mamba2::Tensor;

/// \brief A weight in whole numbers of one byte.
struct Int8Weight {
  Tensor<std::int8_t, 2> numbers;  ///< (d_out, d_in), from −127 to 127
  Tensor<double, 1> scale;  ///< (d_out): a row of the weight is about this times the row of numbers
};

/// \brief Exercise 1: a weight in whole numbers, with a scale for each row.
/// \param W (d_out, d_in)
/// \return numbers and scales, as in equation int8; for a row of zeros, zeros and the scale 0
Int8Weight round_to_int8(const Tensor<double, 2>& W);

/// \brief Exercise 2: a product of whole numbers.
/// \param W the weight
/// \param x one token, (d_in), of finite numbers
/// \return y, (d_out): the token is rounded to whole numbers of 16 bits, as large as they may be for no sum of products to leave 32
///         bits; the sums are exact
Tensor<double, 1> whole_product(const Int8Weight& W, const Tensor<double, 1>& x);

/// \brief The number of weights that share a scale in exercise 3.
inline constexpr std::size_t group = 32;

/// \brief A weight in half a byte, from −7 to 7, with a scale for each group of a row.
struct Int4Weight {
  std::size_t rows = 0;     ///< d_out
  std::size_t columns = 0;  ///< d_in; the last group of a row may be shorter
  std::vector<std::uint8_t>
      bytes;  ///< two numbers in each: (rows, (columns + 1) / 2), the first of two in the lower half, plus 8
  std::vector<double> scale;  ///< (rows, (columns + group − 1) / group)
};

/// \brief Exercise 3: a weight in half a byte.
/// \param W (d_out, d_in)
/// \return numbers to the nearest, two in a byte, each 8 larger than it is; where d_in is odd, the last half byte of a row is 8
Int4Weight round_to_int4(const Tensor<double, 2>& W);

/// \brief Exercise 3: its product with a token, straight from the half bytes.
/// \param W the weight
/// \param x one token, (d_in)
/// \return y, (d_out)
Tensor<double, 1> multiply(const Int4Weight& W, const Tensor<double, 1>& x);

/// \brief Exercise 3: how far multiply() can be from the product with the weight that was rounded.
/// \param W the weight after rounding; the other one is not at hand
/// \param x one token, (d_in)
/// \return for each output the smallest number that the error cannot exceed, (d_out)
Tensor<double, 1> error_bound(const Int4Weight& W, const Tensor<double, 1>& x);

}  // namespace exercises
