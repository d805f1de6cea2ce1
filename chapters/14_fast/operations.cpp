// ## The rest of the block {#fast_operations}
//
// What is left is the table that the block computes with. The linear layer first, since it is most of the model. With many tokens it is a product, and its columns are dealt out to the
// threads. With few tokens it is bound by reading the weights, and the row loop reads them once.

#include <mamba2/cache.hpp>
#include <mamba2/fast.hpp>
#include <mamba2/kernels.hpp>
#include <mamba2/parallel.hpp>

#include <algorithm>
#include <cmath>
#include <utility>
#include <vector>

namespace mamba2 {
namespace {

constexpr std::size_t few_tokens = 8;  // up to this many, a product is bound by reading the weights

// The rows of a weight, which are the columns of y, are dealt out to the threads. What to do with some rows and their part of y is told by `product`.
template <class Real, class Weight, class Product>
void deal_out_rows(MatrixRef<const Real> x, MatrixRef<const Weight> weight, std::span<const Real> bias,
                   MatrixRef<Real> y, std::size_t parts, const Product& product) {
  require_size("weight", weight, {y.columns, x.columns}, "(d_out, d_in)");
  require_size("y", y, {x.rows, weight.rows}, "(tokens, d_out)");
  if (!bias.empty()) require_length("bias", bias, weight.rows, "(d_out)");
  if (x.rows == 0) return;  // no tokens: there may be no memory
  parallel_for(parts, [&](std::size_t part) {
    const std::size_t first = weight.rows * part / parts,
                      count = weight.rows * (part + 1) / parts - first;
    const MatrixRef<Real> out = column_block(y, first, count);
    product(row_block(weight, first, count), out);
    for (std::size_t i = 0; !bias.empty() && i < out.rows; ++i)
      for (std::size_t j = 0; j < count; ++j) out[i][j] += bias[first + j];
  });
}

// Enough parts to keep all threads busy to the end, of about `rows` rows each.
std::size_t parts_of(std::size_t total, std::size_t rows) {
  return std::max<std::size_t>(1, total / rows);
}

template <class Real>
void fast_linear(MatrixRef<const Real> x, MatrixRef<const Real> weight, std::span<const Real> bias,
                 MatrixRef<Real> y) {
  if (x.rows <= few_tokens) {
    deal_out_rows<Real>(x, weight, bias, y, parts_of(weight.rows, 256),
                        [&](auto W, MatrixRef<Real> out) {
                          kernels<Real>().rows_dot(W.data, W.stride, W.rows, W.columns, x.data,
                                                   x.stride, x.rows, out.data, out.stride);
                        });
  } else {
    deal_out_rows<Real>(x, weight, bias, y, num_threads(),
                        [&](auto W, MatrixRef<Real> out) { multiply<Real>(x, transpose(W), 0, out); });
  }
}

// With weights in bfloat16, few tokens read half the bytes. Many tokens are bound by arithmetic, which is done in float: some rows of the weight
// at a time are widened into a corner of the cache, and multiplied from there.

template <class Real>
void fast_linear_bfloat16(MatrixRef<const Real> x, MatrixRef<const bfloat16_bits> weight,
                          std::span<const Real> bias, MatrixRef<Real> y) {
  if (x.rows <= few_tokens) {
    deal_out_rows<Real>(x, weight, bias, y, parts_of(weight.rows, 256),
                        [&](auto W, MatrixRef<Real> out) {
                          kernels<Real>().rows_dot_bf16(W.data, W.stride, W.rows, W.columns, x.data,
                                                        x.stride, x.rows, out.data, out.stride);
                        });
  } else {
    deal_out_rows<Real>(x, weight, bias, y, parts_of(weight.rows, 256),
                        [&](auto W, MatrixRef<Real> out) {
                          Tensor<Real, 2> wide = Tensor<Real, 2>::from_shape({W.rows, W.columns});
                          for (std::size_t r = 0; r < W.rows; ++r)
                            kernels<Real>().widen(W[r], &wide(r, 0), W.columns);
                          multiply<Real>(x, transpose(as_matrix(std::as_const(wide))), 0, out);
                        });
  }
}

// Everything else works on rows, one token each, and rows are independent.

template <class Rows>
void for_row_blocks(std::size_t rows, const Rows& task) {
  constexpr std::size_t block = 32;
  parallel_for((rows + block - 1) / block,
               [&](std::size_t i) { task(i * block, std::min(rows, (i + 1) * block)); });
}

// The convolution of chapter 7 runs along time for each channel; memory runs along channels for each time. So the loops change places: for each
// token and each tap, add a row of inputs times a row of taps.

template <class Real>
void fast_convolution(const ShortConvolution<Real>& in, std::span<const MatrixRef<Real>> y) {
  if (!in.silu || in.x.rows == 0) return short_convolution(in, y);
  check_short_convolution(in, y);
  const std::size_t channels = in.x.columns, width = in.weight.columns, seqlen = in.x.rows / in.batch;
  Tensor<Real, 2> taps = zeros<Real>(width, channels);  // turned round: channels run fastest
  for (std::size_t c = 0; c < channels; ++c)
    for (std::size_t k = 0; k < width; ++k) taps(k, c) = in.weight[c][k];
  Tensor<Real, 3> before =
      zeros<Real>(in.batch, width, channels);  // what came before the first token, likewise
  if (in.initial_state)
    for (std::size_t b = 0; b < in.batch; ++b)
      for (std::size_t c = 0; c < channels; ++c)
        for (std::size_t k = 0; k < width; ++k) before(b, k, c) = (*in.initial_state)(b, c, k);

  for_row_blocks(in.x.rows, [&](std::size_t begin, std::size_t end) {
    std::vector<const Real*> window(width), part(width);
    for (std::size_t row = begin; row < end; ++row) {
      const std::size_t b = row / seqlen, t = row % seqlen;
      bool same = true;  // whether the tap still lies in the token's own sequence
      for (std::size_t back = 0; back < width; ++back) {
        if (back > 0 && back <= t && in.seq_idx)
          same = same && (*in.seq_idx)(b, t - back) == (*in.seq_idx)(b, t - back + 1);
        const Real* from = back <= t ? in.x[row - back] : &before(b, width + t - back, 0);
        window[width - 1 - back] = same ? from : nullptr;
      }
      std::size_t first = 0;
      for (const MatrixRef<Real>& out : y) {
        for (std::size_t k = 0; k < width; ++k) part[k] = window[k] ? window[k] + first : nullptr;
        kernels<Real>().convolve_row(part.data(), width, &taps(0, first), channels,
                                     in.bias.empty() ? nullptr : in.bias.data() + first, out[row],
                                     out.columns);
        first += out.columns;
      }
    }
  });
}

// Norms and gates, row by row.

template <class Real>
void fast_rms_norm(MatrixRef<const Real> x, std::span<const Real> weight, double eps,
                   MatrixRef<Real> y) {
  require_size("y", y, {x.rows, x.columns}, "(tokens, features)");
  require_length("weight", weight, x.columns, "(features)");
  for_row_blocks(x.rows, [&](std::size_t begin, std::size_t end) {
    for (std::size_t i = begin; i < end; ++i)
      kernels<Real>().rms_norm_row(x[i], weight.data(), static_cast<Real>(eps), y[i], x.columns);
  });
}

template <class Real>
void fast_gated_norm(MatrixRef<const Real> y, MatrixRef<const Real> z, const GatedNorm<Real>& how,
                     MatrixRef<Real> out) {
  require_size("z", z, {y.rows, y.columns}, "(tokens, features)");
  require_size("out", out, {y.rows, y.columns}, "(tokens, features)");
  if (!how.weight.empty()) require_length("weight", how.weight, y.columns, "(features)");
  require(how.groups > 0 && y.columns % how.groups == 0, "groups",
          "a divisor of " + std::to_string(y.columns), std::to_string(how.groups));
  const Kernels<Real>& k = kernels<Real>();
  const std::size_t size = y.columns / how.groups;
  const auto gate = [&](std::size_t i) { k.gate(z[i], z.stride, out[i], out.stride, 1, out.columns); };
  for_row_blocks(y.rows, [&](std::size_t begin, std::size_t end) {
    for (std::size_t i = begin; i < end; ++i) {
      if (out[i] != y[i]) std::copy_n(y[i], y.columns, out[i]);
      if (!how.norm_before_gate) gate(i);
      for (std::size_t first = 0; !how.weight.empty() && first < y.columns; first += size)
        k.rms_norm_row(out[i] + first, how.weight.data() + first, static_cast<Real>(how.eps),
                       out[i] + first, size);
      if (how.norm_before_gate) gate(i);
    }
  });
}

// ## One token {#fast_one_token}
//
// A step is chapter 9's, with the kernels in place of its loops and the heads dealt out to the threads.

template <class Real>
void fast_convolution_step(MatrixRef<const Real> x, MatrixRef<const Real> weight,
                           std::span<const Real> bias, Tensor<Real, 3>& state,
                           std::span<const MatrixRef<Real>> y) {
  check_convolution_step(x, weight, bias, state, y);
  for (std::size_t b = 0; b < x.rows; ++b) {
    std::size_t first = 0;
    for (const MatrixRef<Real>& out : y) {
      kernels<Real>().convolve_step(&state(b, first, 0), weight.columns, weight[first],
                                    bias.empty() ? nullptr : bias.data() + first, x[b] + first, out[b],
                                    out.columns);
      first += out.columns;
    }
  }
}

template <class Real>
Tensor<Real, 4> fast_scan_step(const ScanInput<Real>& in, const ScanOptions& options,
                               Tensor<Real, 4>& state) {
  const ScanSizes s = scan_step_sizes(in, options, state);
  auto y = Tensor<Real, 4>::from_shape({s.batch, 1, s.nheads, s.headdim});
  const std::size_t parts = std::min(s.nheads, 4 * num_threads());
  parallel_for(s.batch * parts, [&](std::size_t i) {
    const std::size_t b = i / parts, part = i % parts, P = s.headdim;
    std::vector<Real> xdt(P);
    for (std::size_t h = s.nheads * part / parts; h < s.nheads * (part + 1) / parts; ++h) {
      const std::size_t g = group_of_head(h, s.nheads, s.ngroups);
      const Real dt = step_size(in.dt(b, 0, h) + (in.dt_bias ? (*in.dt_bias)(h) : Real(0)), options);
      const Real *x = &in.x(b, 0, h, 0), decay = std::exp(dt * in.A(h));
      for (std::size_t p = 0; p < P; ++p) xdt[p] = dt * x[p];
      kernels<Real>().state_step(&state(b, h, 0, 0), decay, xdt.data(), &in.B(b, 0, g, 0),
                                 &in.C(b, 0, g, 0), &y(b, 0, h, 0), P, s.d_state);
      if (in.D)
        kernels<Real>().add_skip(x, P, &(*in.D)(h, 0), in.D->shape(1) == 1 ? 0 : 1, &y(b, 0, h, 0), P,
                                 1, P);
    }
  });
  return y;
}

// Whoever asks for the recurrence or the quadratic form gets it, with everything around it fast.

template <class Real>
ScanOutput<Real> fast_scan(const ScanInput<Real>& input, const ScanOptions& options) {
  return options.algorithm == Algorithm::chunked ? fast_ssd(input, options) : ssd(input, options);
}

}  // namespace

template <class Real>
const Operations<Real>& fast_operations() {
  static const Operations<Real> table{.linear = fast_linear<Real>,
                                      .short_convolution = fast_convolution<Real>,
                                      .rms_norm = fast_rms_norm<Real>,
                                      .gated_norm = fast_gated_norm<Real>,
                                      .scan = fast_scan<Real>,
                                      .convolution_step = fast_convolution_step<Real>,
                                      .scan_step = fast_scan_step<Real>,
                                      .linear_bfloat16 = fast_linear_bfloat16<Real>,
                                      .chunk_size = 64};
  return table;
}

template const Operations<float>& fast_operations<float>();
template const Operations<double>& fast_operations<double>();

// Where this chapter is part of a program, its table is the one that blocks and models begin with (chapter 8).

extern "C" const Operations<float>* mamba2_fast_operations_float() {
  return &fast_operations<float>();
}
extern "C" const Operations<double>* mamba2_fast_operations_double() {
  return &fast_operations<double>();
}

}  // namespace mamba2
