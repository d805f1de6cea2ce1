// Our solutions.
#include "exercises.hpp"

#include <mamba2/selection.hpp>

#include <algorithm>
#include <cmath>
#include <utility>

namespace exercises {

using mamba2::as_matrix, mamba2::column_block, mamba2::MatrixRef, mamba2::zeros;

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
Options options_of(const Shapes& shapes) {
  const std::size_t nheads = shapes.dt_bias[0], rows = shapes.in_proj_weight[0];
  const std::size_t d_model = shapes.out_proj_weight[0], d_inner = shapes.out_proj_weight[1];
  const std::size_t d_ssm = shapes.norm_weight[0];
  // z0, x0, z and x are 2 d_inner rows, whatever d_ssm is; dt has nheads; the rest are B and C.
  const std::size_t d_bc = (rows - 2 * d_inner - nheads) / 2;
  Options options{d_model, d_inner / d_model, d_ssm / nheads, d_ssm, shapes.conv1d_weight[2], {}};
  for (std::size_t ngroups = 1; ngroups <= nheads; ++ngroups)
    if (nheads % ngroups == 0 && d_bc % ngroups == 0)
      options.groups_and_states.push_back({ngroups, d_bc / ngroups});
  return options;
}
//: end

//: 3
// The scan of one sequence: x, B and C are columns of xBC.
Tensor<double, 2> scanned(const mamba2::Mamba2Sizes& s, const mamba2::Mamba2Parameters<double>& p,
                          MatrixRef<const double> xBC, MatrixRef<const double> dt) {
  const Tensor<double, 1> A = mamba2::rates(p.A_log);
  mamba2::ScanRef<double> in;
  in.sizes = {1, xBC.rows, s.nheads, s.headdim, s.ngroups, s.d_state};
  in.x = column_block(xBC, 0, s.d_inner);
  in.B = column_block(xBC, s.d_inner, s.d_bc);
  in.C = column_block(xBC, s.d_inner + s.d_bc, s.d_bc);
  in.dt = dt;
  in.dt_bias = p.dt_bias;
  in.A = A;
  in.D = p.D;
  auto state = zeros<double>(1, s.nheads * s.headdim * s.d_state);
  auto y = zeros<double>(xBC.rows, s.d_inner);
  mamba2::unchecked::scan<double>(in, {}, as_matrix(state), as_matrix(y));
  return y;
}

Tensor<double, 2> forward_with_normed_BC(const mamba2::Mamba2Sizes& sizes,
                                         const mamba2::Mamba2Parameters<double>& parameters,
                                         const Tensor<double, 2>& u) {
  const auto& s = sizes;
  const auto& p = parameters;
  const std::size_t seqlen = u.shape(0);
  auto zxbcdt = zeros<double>(seqlen, s.d_in_proj);
  mamba2::linear<double>(as_matrix(u), as_matrix(p.in_proj_weight), {}, as_matrix(zxbcdt));
  const auto in = mamba2::split_columns<const double>(s, as_matrix(std::as_const(zxbcdt)));

  auto xBC = zeros<double>(seqlen, s.conv_dim);
  const MatrixRef<const double> taps{p.conv1d_weight.data(), s.conv_dim, s.d_conv, s.d_conv};
  mamba2::short_convolution<double>({.x = in.xBC, .batch = 1, .weight = taps, .bias = p.conv1d_bias},
                                    as_matrix(xBC));

  const Tensor<double, 1> ones({s.d_state}, 1.0);
  for (std::size_t g = 0; g < 2 * s.ngroups; ++g) {  // the groups of B, then those of C
    const auto part = column_block(as_matrix(xBC), s.d_inner + g * s.d_state, s.d_state);
    mamba2::rms_norm<double>(part, ones, 1e-5, part);
  }

  const Tensor<double, 2> y = scanned(s, p, as_matrix(xBC), in.dt);
  auto normed = zeros<double>(seqlen, s.d_inner), out = zeros<double>(seqlen, s.d_model);
  mamba2::gated_norm<double>(as_matrix(y), in.z, {.weight = p.norm_weight, .groups = s.ngroups},
                             as_matrix(normed));
  mamba2::linear<double>(as_matrix(normed), as_matrix(p.out_proj_weight), {}, as_matrix(out));
  return out;
}
//: end

//: 4
// Relative to the size of y.
double off(const Tensor<double, 3>& a, const Tensor<double, 3>& y) {
  const Tensor<double, 3> d = a - y;
  return std::sqrt(xt::sum(d * d)() / xt::sum(y * y)());
}

Tensor<double, 3> output_with(Bug bug, mamba2::Mamba2Config config,
                              mamba2::Mamba2Parameters<double> parameters, Tensor<double, 3> u) {
  const mamba2::Mamba2Sizes s = config;
  const std::size_t seqlen = u.shape(1), length = (seqlen + s.config.chunk_size - 1) /
                                                  s.config.chunk_size * s.config.chunk_size;
  if (bug == Bug::exchanged) {  // as if the rows of z and x had changed places
    auto& W = parameters.in_proj_weight;
    const Tensor<double, 2> old = W;
    for (std::size_t i = 0; i < s.d_ssm; ++i) {
      xt::view(W, i) = xt::view(old, s.d_ssm + i);
      xt::view(W, s.d_ssm + i) = xt::view(old, i);
    }
  }
  config.norm_over_all_channels = bug == Bug::ungrouped_norm;
  config.norm_before_gate = bug == Bug::norm_first;
  if (bug == Bug::limits_ignored) {
    config.dt_limit_min = 0;
    config.dt_limit_max = INFINITY;
  }
  if (bug == Bug::padded_on_the_left) {
    auto padded = zeros<double>(1, length, s.d_model);
    xt::view(padded, xt::all(), xt::range(length - seqlen, length)) = u;
    u = padded;
  }
  const auto y = mamba2::Mamba2Block<double>(config, parameters).forward(u).y;
  return xt::view(y, xt::all(), xt::range(y.shape(1) - seqlen, y.shape(1)));
}

Bug diagnose(const mamba2::Mamba2Config& config, const mamba2::Mamba2Parameters<double>& parameters,
             const Tensor<double, 3>& u, const Tensor<double, 3>& y) {
  Bug best = Bug::none;
  double least = INFINITY;
  for (const Bug bug : {Bug::none, Bug::exchanged, Bug::ungrouped_norm, Bug::norm_first,
                        Bug::limits_ignored, Bug::padded_on_the_left}) {
    const double distance = off(output_with(bug, config, parameters, u), y);
    if (distance < least) {
      least = distance;
      best = bug;
    }
  }
  return best;
}
//: end

}  // namespace exercises
