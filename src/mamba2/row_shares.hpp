/// \file row_shares.hpp
/// \brief The rows of a weight, dealt out to the threads. Explained in @chapter{fast}.
#pragma once

#include <mamba2/matrix.hpp>
#include <mamba2/parallel.hpp>

#include <algorithm>
#include <span>

namespace mamba2 {

/// \brief Up to so many tokens, reading the weights takes longer than multiplying them. Where weights have fewer bytes, products
/// are faster as well, and pay sooner.
/// \tparam Number how a weight is stored
template <class Number>
inline constexpr std::size_t few_tokens = sizeof(Number) < sizeof(float) ? 8 : 16;

//: deal_out_rows
/// \brief Deal out the rows of a weight, which are the columns of y, to the threads; then add the bias.
/// \param x      tokens; only their number is looked at
/// \param weight (d_out, d_in), stored in any way
/// \param bias   (d_out), or empty for none
/// \param y      (tokens, d_out)
/// \param task   called as task(first, rows, out) with some rows of the weight, the first of which has that number, and their
///               part of y
template <class Real, class Number, class Task>
void deal_out_rows(MatrixRef<const Real> x, MatrixRef<const Number> weight, std::span<const Real> bias,
                   MatrixRef<Real> y, const Task& task) {
  if (x.rows == 0) return;  // no tokens: there may be no memory
  const std::size_t fours = (weight.rows + 3) / 4, threads = num_threads();
  const std::size_t wanted = x.rows > few_tokens<Number> || threads == 1 ? threads : 2 * threads;
  const std::size_t parts = std::min(fours, x.rows > few_tokens<Number> ? wanted : std::max(wanted, fours / 256));
  parallel_for(parts, [&](std::size_t part) {
    const std::size_t first = 4 * (fours * part / parts);
    const std::size_t count = std::min(4 * (fours * (part + 1) / parts), weight.rows) - first;
    const MatrixRef<Real> out = column_block(y, first, count);
    task(first, row_block(weight, first, count), out);
    for (std::size_t i = 0; !bias.empty() && i < out.rows; ++i)
      for (std::size_t j = 0; j < count; ++j) out[i][j] += bias[first + j];
  });
}
//: end

}  // namespace mamba2
