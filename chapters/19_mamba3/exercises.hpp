// The exercises of this chapter.
#pragma once

#include <mamba2/tensor.hpp>

#include <cstddef>
#include <vector>

namespace exercises {

// 1. The mask of the trapezoid, (T, T): row i holds what token i hears of each token. a, now, next: (T), as in the chapter.
mamba2::Tensor<double, 2> trapezoid_mask(const std::vector<double>& a, const std::vector<double>& now,
                                         const std::vector<double>& next);

// 2. The point after each token, (T, 2).
mamba2::Tensor<double, 2> count_by_turning(const std::vector<int>& tokens, std::size_t k);

// 3. The gradient of the raw angles, (T). x: points, (T, 2); phi: raw angles; dt: step sizes; dy: gradient of the turned points.
std::vector<double> angle_gradient(const mamba2::Tensor<double, 2>& x, const std::vector<double>& phi,
                                   const std::vector<double>& dt, const mamba2::Tensor<double, 2>& dy);

}  // namespace exercises
