// The exercises: replace each throw by your code, then run ./book check mamba2_block
#include "exercises.hpp"

#include <exercises/not_implemented.hpp>
#include <mamba2/selection.hpp>

#include <algorithm>
#include <array>
#include <utility>

namespace exercises {

// 1. All numbers in dt_bias, A_log, D, in_proj, conv1d (with its bias), norm and out_proj.
//      The projections have no biases.
std::size_t count_parameters(std::size_t d_model, std::size_t expand, std::size_t headdim,
                             std::size_t ngroups, std::size_t d_state, std::size_t d_conv) {
  throw exercises::not_implemented(1);
}

// 2. z0, x0, z, x, B, C, dt: the parts of a row, in this order.
//      z0 and x0 are empty if all channels go through the scan.
Parts cut_row(const Tensor<double, 1>& row, const mamba2::Mamba2Sizes& sizes) {
  throw exercises::not_implemented(2);
}

// 3. Input projection, convolution with SiLU, scan, gated norm, output projection.
//      Mamba2Block is not allowed; all that it is made of is.
Tensor<double, 2> block_forward(const mamba2::Mamba2Sizes& sizes,
                                const mamba2::Mamba2Parameters<double>& parameters,
                                const Tensor<double, 2>& u) {
  throw exercises::not_implemented(3);
}

}  // namespace exercises
