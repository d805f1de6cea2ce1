// What tests of products share.
#pragma once

#include <mamba2/matrix.hpp>

#include <cmath>
#include <cstddef>

namespace testing {

// The product in double, number by number; weights and tokens as functions of their places.
template <class Real, class Weight>
double error_of_product(mamba2::MatrixRef<const Real> got, const Weight& weight, const auto& x, std::size_t columns) {
  double squares = 0, difference = 0;
  for (std::size_t v = 0; v < got.rows; ++v)
    for (std::size_t r = 0; r < got.columns; ++r) {
      double want = 0;
      for (std::size_t j = 0; j < columns; ++j) want += weight(r, j) * x(v, j);
      squares += want * want;
      difference += (got[v][r] - want) * (got[v][r] - want);
    }
  return std::sqrt(difference / squares);
}

}  // namespace testing
