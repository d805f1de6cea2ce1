// Our solutions.
#include "exercises.hpp"

#include <mamba2/selection.hpp>

#include <algorithm>
#include <array>
#include <utility>

namespace exercises {

//: 1
std::size_t count_parameters(std::size_t d_model, std::size_t expand, std::size_t headdim,
                             std::size_t ngroups, std::size_t d_state, std::size_t d_conv) {
  const std::size_t d_inner = expand * d_model, nheads = d_inner / headdim, BC = 2 * ngroups * d_state;
  const std::size_t in_proj = (2 * d_inner + BC + nheads) * d_model;
  const std::size_t conv1d = (d_inner + BC) * (d_conv + 1);
  const std::size_t per_head = 3 * nheads;  // dt_bias, A_log, D
  const std::size_t norm = d_inner;
  const std::size_t out_proj = d_model * d_inner;
  return in_proj + conv1d + per_head + norm + out_proj;
}
//: end

//: 2
Parts cut_row(const Tensor<double, 1>& row, const mamba2::Mamba2Sizes& sizes) {
  std::size_t first = 0;
  const auto next = [&](std::size_t count) {
    const Tensor<double, 1> part = xt::view(row, xt::range(first, first + count));
    first += count;
    return part;
  };
  Parts parts;
  parts.z0 = next(sizes.d_mlp);
  parts.x0 = next(sizes.d_mlp);
  parts.z = next(sizes.d_ssm);
  parts.x = next(sizes.d_ssm);
  parts.B = next(sizes.d_bc);
  parts.C = next(sizes.d_bc);
  parts.dt = next(sizes.nheads);
  return parts;
}
//: end

//: 3
Tensor<double, 2> block_forward(const mamba2::Mamba2Sizes& s,
                                const mamba2::Mamba2Parameters<double>& parameters,
                                const Tensor<double, 2>& u) {
  using mamba2::as_matrix, mamba2::column_block, mamba2::MatrixRef, mamba2::zeros;
  const auto& p = parameters;
  const std::size_t seqlen = u.shape(0);

  auto zxbcdt = zeros<double>(seqlen, s.d_in_proj);
  mamba2::linear<double>(as_matrix(u), as_matrix(p.in_proj_weight), {}, as_matrix(zxbcdt));
  const MatrixRef<const double> all = as_matrix(std::as_const(zxbcdt));
  const auto z = column_block(all, 0, s.d_inner);
  const auto xBC = column_block(all, s.d_inner, s.conv_dim);
  const auto dt = column_block(all, s.d_inner + s.conv_dim, s.nheads);

  auto convolved = zeros<double>(seqlen, s.conv_dim);
  const MatrixRef<const double> taps{p.conv1d_weight.data(), s.conv_dim, s.d_conv, s.d_conv};
  mamba2::short_convolution<double>({.x = xBC, .batch = 1, .weight = taps, .bias = p.conv1d_bias},
                                    as_matrix(convolved));

  const Tensor<double, 1> A = mamba2::rates(p.A_log);
  mamba2::ScanRef<double> scan;
  scan.sizes = {1, seqlen, s.nheads, s.headdim, s.ngroups, s.d_state};
  scan.x = column_block(as_matrix(convolved), 0, s.d_inner);
  scan.B = column_block(as_matrix(convolved), s.d_inner, s.d_bc);
  scan.C = column_block(as_matrix(convolved), s.d_inner + s.d_bc, s.d_bc);
  scan.dt = dt;
  scan.dt_bias = p.dt_bias;
  scan.A = A;
  scan.D = p.D;
  auto state = zeros<double>(1, s.nheads * s.headdim * s.d_state);
  auto y = zeros<double>(seqlen, s.d_inner);
  mamba2::unchecked::scan<double>(scan, {}, as_matrix(state), as_matrix(y));

  auto normed = zeros<double>(seqlen, s.d_inner);
  mamba2::gated_norm<double>(as_matrix(y), z, {.weight = p.norm_weight, .groups = s.ngroups},
                             as_matrix(normed));
  auto out = zeros<double>(seqlen, s.d_model);
  mamba2::linear<double>(as_matrix(normed), as_matrix(p.out_proj_weight), {}, as_matrix(out));
  return out;
}
//: end

}  // namespace exercises
