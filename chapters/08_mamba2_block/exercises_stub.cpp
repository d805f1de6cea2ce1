// The exercises: replace each throw by your code, then run ./book check mamba2_block
#include "exercises.hpp"

#include <exercises/not_implemented.hpp>
#include <mamba2/selection.hpp>

#include <algorithm>
#include <cmath>
#include <utility>

namespace exercises {

using mamba2::as_matrix, mamba2::column_block, mamba2::MatrixRef, mamba2::zeros;

// 1. All numbers in dt_bias, A_log, D, in_proj, conv1d (with its bias), norm and out_proj.
//      The projections have no biases.
std::size_t count_parameters(std::size_t d_model, std::size_t expand, std::size_t headdim,
                             std::size_t ngroups, std::size_t d_state, std::size_t d_conv) {
  throw exercises::not_implemented(1);
}

// 2. The options, from shapes alone; for ngroups and d_state all pairs that fit.
//      ngroups divides the number of heads.
Options options_of(const Shapes& shapes) {
  throw exercises::not_implemented(2);
}

// 3. Projection, convolution with SiLU, an RMS norm of the B and of the C of each group (no
// weights, eps = 1e-5), scan, gated norm, projection. Take the library's parts.
Tensor<double, 2> forward_with_normed_BC(const mamba2::Mamba2Sizes& sizes,
                                         const mamba2::Mamba2Parameters<double>& parameters,
                                         const Tensor<double, 2>& u) {
  throw exercises::not_implemented(3);
}

// 4. For each bug, make the block that would have it, and see whether it gives y.
//      A right block in single precision gives nearly y: how near is near enough?
Bug diagnose(const mamba2::Mamba2Config& config, const mamba2::Mamba2Parameters<double>& parameters,
             const Tensor<double, 3>& u, const Tensor<double, 3>& y) {
  throw exercises::not_implemented(4);
}

}  // namespace exercises
