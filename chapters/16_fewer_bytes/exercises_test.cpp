// The grader of this chapter.
#include "exercises.hpp"

#include <exercises/grader.hpp>
#include <mamba2/half.hpp>
#include <mamba2/random.hpp>

#include <cmath>
#include <cstdio>
#include <string>

using mamba2::Tensor;
using mamba2::zeros;

namespace {

Tensor<double, 2> random_matrix(std::size_t rows, std::size_t columns, std::uint64_t seed) {
  mamba2::Random random(seed);
  auto m = zeros<double>(rows, columns);
  for (double& value : m) value = random.uniform(-1, 1);
  return m;
}

Tensor<double, 1> random_token(std::size_t size, std::uint64_t seed) {
  mamba2::Random random(seed);
  auto x = zeros<double>(size);
  for (double& value : x) value = random.uniform(-2, 2);
  return x;
}

// By the definition, number by number.
template <class Weight>
Tensor<double, 1> product(std::size_t rows, const Weight& weight, const Tensor<double, 1>& x) {
  auto y = zeros<double>(rows);
  for (std::size_t r = 0; r < rows; ++r)
    for (std::size_t j = 0; j < x.shape(0); ++j) y(r) += weight(r, j) * x(j);
  return y;
}

// Rows of very different size, one of zeros, one with a weight that sticks out.
Tensor<double, 2> rows_of_all_kinds(std::size_t columns) {
  Tensor<double, 2> W = random_matrix(4, columns, 7);
  for (std::size_t j = 0; j < columns; ++j) {
    W(1, j) *= 1e-6;
    W(2, j) = 0;
  }
  W(3, columns / 2) = -50;
  return W;
}

}  // namespace

GRADE(1, "whole numbers for a row") {
  const Tensor<double, 2> small{{0.5, -2, 1}, {0, 0, 0}, {3, 3, -1}};
  const auto yours = exercises::round_to_int8(small);
  grader::expect_close(yours.scale, Tensor<double, 1>{2.0 / 127, 0, 3.0 / 127},
                       "scales of {{0.5, -2, 1}, {0, 0, 0}, {3, 3, -1}}", 1e-12);
  grader::expect_close(
      yours.numbers, Tensor<std::int8_t, 2>{{32, -127, 64}, {0, 0, 0}, {127, 127, -42}}, "its numbers");
  const Tensor<double, 2> W = rows_of_all_kinds(67);
  const auto rounded = exercises::round_to_int8(W);
  for (std::size_t r = 0; r < 4; ++r)
    for (std::size_t j = 0; j < 67; ++j)
      grader::expect(
          std::abs(W(r, j) - rounded.scale(r) * rounded.numbers(r, j)) <= rounded.scale(r) * 0.500001,
          "each weight is at most half a scale away from its whole number; row " + std::to_string(r) +
              ", column " + std::to_string(j) + ": " + grader::detail::number_text(W(r, j)) +
              " became " + std::to_string(rounded.numbers(r, j)));
}

// The sums below come within a thousandth of what 32 bits hold, or far beyond it where the token is
// made too large.
GRADE(2, "a product of whole numbers") {
  for (const std::size_t columns :
       {std::size_t{3}, std::size_t{516}, std::size_t{517}, std::size_t{3000}, std::size_t{70000}}) {
    exercises::Int8Weight W{Tensor<std::int8_t, 2>({3, columns}, 127),
                            Tensor<double, 1>{0.01, 2, 1e-5}};
    for (std::size_t j = 0; j < columns; ++j) {
      W.numbers(1, j) = static_cast<std::int8_t>(j % 255) - 127;
      W.numbers(2, j) = -127;
    }
    Tensor<double, 1> x = random_token(columns, 3);
    for (double& x_j : x) x_j = 1 + std::abs(x_j) / 1000;  // nearly all as large as the largest
    const auto exact =
        product(3, [&](std::size_t r, std::size_t j) { return W.scale(r) * W.numbers(r, j); }, x);
    const auto yours = exercises::whole_product(W, x);
    grader::expect(yours.shape() == exact.shape(), "one number for each row of the weight");
    // Each number of the token is off by half its scale at most.
    const double most =
        std::min(32767.0, std::floor(2147483647.0 / (127.0 * static_cast<double>(columns))));
    for (std::size_t r = 0; r < 3; ++r) {
      const double allowed = 0.5 * 1.002 / most * W.scale(r) * 127 * static_cast<double>(columns);
      grader::expect(std::abs(yours(r) - exact(r)) <= 1.01 * allowed,
                     "with " + std::to_string(columns) +
                         " columns the rounding of the token moves row " + std::to_string(r) + " by " +
                         grader::detail::number_text(allowed) + " at most, from " +
                         grader::detail::number_text(exact(r)) + ", not to " +
                         grader::detail::number_text(yours(r)));
    }
  }
  const exercises::Int8Weight W{Tensor<std::int8_t, 2>{{1, 2}}, Tensor<double, 1>{3}};
  grader::expect_close(exercises::whole_product(W, Tensor<double, 1>{0, 0}), Tensor<double, 1>{0},
                       "a token of zeros");
  grader::expect_close(exercises::whole_product(W, Tensor<double, 1>{-3, 1}), Tensor<double, 1>{-3},
                       "a token whose largest number is negative", 1e-3);
  grader::expect_close(exercises::whole_product(W, Tensor<double, 1>{32767, -1}),
                       Tensor<double, 1>{3 * 32765.0},
                       "a token of whole numbers, the largest as 16 bits hold", 1e-12);
}

GRADE(3, "half a byte: numbers and scales") {
  const Tensor<double, 2> small{{7, -7, 3.4, 0.6, -2}};
  const auto yours = exercises::round_to_int4(small);
  grader::expect_close(yours.rows, std::size_t{1}, "rows");
  grader::expect_close(yours.columns, std::size_t{5}, "columns");
  grader::expect_close(yours.scale, std::vector<double>{1}, "the scale of {7, -7, 3.4, 0.6, -2}");
  grader::expect_close(yours.bytes, std::vector<std::uint8_t>{0x1f, 0x9b, 0x86}, "its bytes");
  for (const std::size_t columns : {std::size_t{64}, std::size_t{67}}) {
    const Tensor<double, 2> W = rows_of_all_kinds(columns);
    const auto rounded = exercises::round_to_int4(W);
    const std::size_t groups = (columns + 31) / 32, pairs = (columns + 1) / 2;
    grader::expect_close(rounded.bytes.size(), 4 * pairs,
                         "bytes of 4 rows of " + std::to_string(columns));
    grader::expect_close(rounded.scale.size(), 4 * groups,
                         "scales of 4 rows of " + std::to_string(columns));
    for (std::size_t r = 0; r < 4; ++r)
      for (std::size_t j = 0; j < columns; ++j) {
        double largest = 0;
        for (std::size_t k = j / 32 * 32; k < std::min(columns, j / 32 * 32 + 32); ++k)
          largest = std::max(largest, std::abs(W(r, k)));
        const std::string at = " in row " + std::to_string(r) + ", column " + std::to_string(j);
        const double scale = rounded.scale[r * groups + j / 32];
        grader::expect_close(scale, largest / 7, "the scale" + at, 1e-12 * std::min(1.0, largest));
        const int byte = rounded.bytes[r * pairs + j / 2],
                  number = (j % 2 == 0 ? byte & 15 : byte >> 4) - 8;
        grader::expect(std::abs(W(r, j) - scale * number) <= 0.500001 * scale,
                       "a weight is at most half a scale away from its number;" + at + ": " +
                           grader::detail::number_text(W(r, j)) + " became " + std::to_string(number));
      }
  }
}

GRADE(3, "half a byte: the product") {
  for (const std::size_t columns : {std::size_t{2}, std::size_t{33}, std::size_t{95}}) {
    exercises::Int4Weight W{3, columns, {}, {}};
    const std::size_t groups = (columns + 31) / 32, pairs = (columns + 1) / 2;
    for (std::size_t i = 0; i < 3 * pairs; ++i)
      W.bytes.push_back(static_cast<std::uint8_t>(0x11 + 37 * i % 238));
    for (std::size_t i = 0; i < 3 * groups; ++i) W.scale.push_back(0.25 + static_cast<double>(i * i));
    const auto weight = [&](std::size_t r, std::size_t j) {
      const int byte = W.bytes[r * pairs + j / 2];
      return W.scale[r * groups + j / 32] * ((j % 2 == 0 ? byte % 16 : byte / 16) - 8);
    };
    const Tensor<double, 1> x = random_token(columns, columns);
    grader::expect_close(exercises::multiply(W, x), product(3, weight, x),
                         "the product with " + std::to_string(columns) + " columns");
  }
}

GRADE(3, "half a byte: the bound, and something to show") {
  const std::size_t columns = 67;
  const Tensor<double, 2> W = rows_of_all_kinds(columns);
  const auto rounded = exercises::round_to_int4(W);
  const auto exact = [&](std::size_t r, std::size_t j) { return W(r, j); };
  for (std::uint64_t seed = 0; seed < 20; ++seed) {
    Tensor<double, 1> x = random_token(columns, seed);
    auto largest = zeros<double>(4);  // by the definition: half a scale for each weight
    for (std::size_t r = 0; r < 4; ++r)
      for (std::size_t j = 0; j < columns; ++j)
        largest(r) += rounded.scale[r * 3 + j / 32] / 2 * std::abs(x(j));
    const auto bound = exercises::error_bound(rounded, x), y = exercises::multiply(rounded, x),
               want = product(4, exact, x);
    grader::expect(bound.shape() == want.shape(), "a bound for each row");
    for (std::size_t r = 0; r < 4; ++r) {
      grader::expect(std::abs(y(r) - want(r)) <= bound(r) + 1e-12,
                     "the error stays within the bound; in row " + std::to_string(r) + " it is " +
                         grader::detail::number_text(std::abs(y(r) - want(r))) + ", the bound " +
                         grader::detail::number_text(bound(r)));
      grader::expect(std::abs(bound(r) - largest(r)) <= 1e-9 * largest(r),
                     "the smallest bound that holds whatever the weight was: in row " +
                         std::to_string(r) + " " + grader::detail::number_text(largest(r)) + ", not " +
                         grader::detail::number_text(bound(r)));
    }
  }
  // Something to show: a row with a weight that sticks out, in each format; the mean over many tokens.
  std::string table =
      "error of products with 1024 weights, one of them k times as large, beside the sum of the "
      "others\n     k   bfloat16       int8   yours: int4 in groups\n";
  const std::size_t many = 1024, tokens = 40;
  for (const double k : {1.0, 10.0, 100.0}) {
    Tensor<double, 2> row = random_matrix(1, many, 6), others = row, half = row, whole = row;
    row(0, 100) = k;
    others(0, 100) = 0;
    for (std::size_t j = 0; j < many; ++j) {
      const auto w = static_cast<float>(row(0, j));
      half(0, j) = static_cast<double>(mamba2::bfloat16_to_float(mamba2::float_to_bfloat16(w)));
      whole(0, j) = std::round(row(0, j) / k * 127) * k / 127;
    }
    const auto yours = exercises::round_to_int4(row);
    double size = 0, of_half = 0, of_whole = 0, of_yours = 0;
    for (std::uint64_t seed = 0; seed < tokens; ++seed) {
      const Tensor<double, 1> x = random_token(many, seed);
      const double want = product(1, row, x)(0);
      size += std::pow(product(1, others, x)(0), 2);
      of_half += std::pow(product(1, half, x)(0) - want, 2);
      of_whole += std::pow(product(1, whole, x)(0) - want, 2);
      of_yours += std::pow(exercises::multiply(yours, x)(0) - want, 2);
    }
    const auto per_cent = [&](double squares) { return 100 * std::sqrt(squares / size); };
    char line[100];
    std::snprintf(line, sizeof line, "%6.0f %9.2f %% %8.2f %% %9.2f %%\n", k, per_cent(of_half),
                  per_cent(of_whole), per_cent(of_yours));
    table += line;
  }
  grader::show(table);
}
