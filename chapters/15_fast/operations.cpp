// ## The rest of the block {#fast_operations}
//
// What is left is the table that the block computes with. The linear layer first, since it is most
// of the model. With many tokens it is a product, and its columns are dealt out to the threads.
// With few tokens it is bound by reading the weights, and the row loop reads them once.

#include <mamba2/cache.hpp>
#include <mamba2/fast.hpp>
#include <mamba2/kernels.hpp>
#include <mamba2/parallel.hpp>
#include <mamba2/products.hpp>
#include <mamba2/row_shares.hpp>

#include <algorithm>
#include <cmath>
#include <utility>
#include <vector>

namespace mamba2 {
namespace {

// The rows of a weight, which are the columns of y, are dealt out to the threads, in fours, as the
// kernels take them. There are more parts than threads, so that all stay busy to the end. With few
// tokens none has much more than a thousand rows, so that the four streams of a part do not lie too
// far apart. What to do with some rows and their part of y is told by `task`.
//
// @quote src/mamba2/row_shares.hpp#deal_out_rows

template <class Real>
void fast_linear(MatrixRef<const Real> x, MatrixRef<const Real> weight, std::span<const Real> bias,
                 MatrixRef<Real> y) {
  deal_out_rows<Real>(x, weight, bias, y,
                      [&](std::size_t, MatrixRef<const Real> W, MatrixRef<Real> out) {
                        if (x.rows > few_tokens<Real>) return product(x, W, out);
                        kernels<Real>().rows_dot(W.data, W.stride, W.rows, W.columns, x.data, x.stride,
                                                 x.rows, out.data, out.stride);
                      });
}

// Everything else works on rows, one token each, and rows are independent.

template <class Rows>
void for_row_blocks(std::size_t rows, const Rows& task) {
  constexpr std::size_t block = 32;
  parallel_for((rows + block - 1) / block,
               [&](std::size_t i) { task(i * block, std::min(rows, (i + 1) * block)); });
}

// The convolution of @chapter{convolution_and_norm} runs along time for each channel; memory runs
// along channels for each time. So the loops change places: for each token and each tap, add a row
// of inputs times a row of taps.

template <class Real>
void fast_convolution(const ShortConvolution<Real>& in, MatrixRef<Real> y) {
  if (!in.silu || in.x.rows == 0) return unchecked::short_convolution(in, y);
  const std::size_t channels = in.x.columns, width = in.weight.columns, seqlen = in.x.rows / in.batch;
  Tensor<Real, 2> taps = zeros<Real>(width, channels);  // turned round: channels run fastest
  for (std::size_t c = 0; c < channels; ++c)
    for (std::size_t k = 0; k < width; ++k) taps(k, c) = in.weight[c][k];
  Tensor<Real, 3> before =
      zeros<Real>(in.batch, width, channels);  // what came before the first token, likewise
  for (std::size_t b = 0; in.initial_state.data && b < in.batch; ++b)
    for (std::size_t c = 0; c < channels; ++c)
      for (std::size_t k = 0; k < width; ++k) before(b, k, c) = in.initial_state[b][c * width + k];

  for_row_blocks(in.x.rows, [&](std::size_t begin, std::size_t end) {
    std::vector<const Real*> window(width);
    for (std::size_t row = begin; row < end; ++row) {
      const std::size_t b = row / seqlen, t = row % seqlen;
      bool same = true;  // whether the tap still lies in the token's own sequence
      for (std::size_t back = 0; back < width; ++back) {
        if (back > 0 && back <= t && !in.seq_idx.empty())
          same = same && in.seq_idx[row - back] == in.seq_idx[row - back + 1];
        const Real* from = back <= t ? in.x[row - back] : &before(b, width + t - back, 0);
        window[width - 1 - back] = same ? from : nullptr;
      }
      kernels<Real>().convolve_row(window.data(), width, taps.data(), channels,
                                   in.bias.empty() ? nullptr : in.bias.data(), y[row], channels);
    }
  });
}

// Norms and gates, row by row.

template <class Real>
void fast_rms_norm(MatrixRef<const Real> x, std::span<const Real> weight, double eps,
                   MatrixRef<Real> y) {
  for_row_blocks(x.rows, [&](std::size_t begin, std::size_t end) {
    for (std::size_t i = begin; i < end; ++i)
      kernels<Real>().rms_norm_row(x[i], weight.data(), static_cast<Real>(eps), y[i], x.columns);
  });
}

template <class Real>
void fast_gated_norm(MatrixRef<const Real> y, MatrixRef<const Real> z, const GatedNorm<Real>& how,
                     MatrixRef<Real> out) {
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
// A step is @chapter{one_token_at_a_time}'s, with the kernels in place of its loops and the heads
// dealt out to the threads.

template <class Real>
void fast_convolution_step(MatrixRef<const Real> x, MatrixRef<const Real> weight,
                           std::span<const Real> bias, MatrixRef<Real> state, MatrixRef<Real> y) {
  for (std::size_t b = 0; b < x.rows; ++b)
    kernels<Real>().convolve_step(state[b], weight.columns, weight.data,
                                  bias.empty() ? nullptr : bias.data(), x[b], y[b], x.columns);
}

template <class Real>
void fast_scan_step(const ScanRef<Real>& in, const ScanOptions& options, MatrixRef<Real> states,
                    MatrixRef<Real> y) {
  const std::size_t heads = in.sizes.nheads, headdim = in.sizes.headdim, d_state = in.sizes.d_state;
  const std::size_t parts = std::min(heads, 4 * num_threads()), D_size = in.D.size() / heads;
  parallel_for(in.sizes.batch * parts, [&](std::size_t i) {
    const std::size_t b = i / parts, part = i % parts;
    std::vector<Real> xdt(headdim);
    for (std::size_t h = heads * part / parts; h < heads * (part + 1) / parts; ++h) {
      const std::size_t g = group_of_head(h, heads, in.sizes.ngroups);
      const Real bias = in.dt_bias.empty() ? Real(0) : in.dt_bias[h];
      const Real dt = step_size(in.dt[b][h] + bias, options), decay = std::exp(dt * in.A[h]);
      const Real* x = in.x[b] + h * headdim;
      Real* const out = y[b] + h * headdim;
      for (std::size_t p = 0; p < headdim; ++p) xdt[p] = dt * x[p];
      kernels<Real>().state_step(states[b] + h * headdim * d_state, decay, xdt.data(),
                                 in.B[b] + g * d_state, in.C[b] + g * d_state, out, headdim, d_state);
      if (D_size > 0)
        kernels<Real>().add_skip(x, headdim, &in.D[h * D_size], D_size == 1 ? 0 : 1, out, headdim, 1,
                                 headdim);
    }
  });
}

// Whoever asks for the recurrence or the quadratic form gets it, with everything around it fast.

template <class Real>
void chosen_scan(const ScanRef<Real>& input, const ScanOptions& options, MatrixRef<Real> state,
                 MatrixRef<Real> y) {
  options.algorithm == Algorithm::chunked ? unchecked::fast_scan(input, options, state, y)
                                          : unchecked::scan(input, options, state, y);
}

}  // namespace

template <class Real>
const Operations<Real>& fast_operations() {
  static const Operations<Real> table{.linear = fast_linear<Real>,
                                      .short_convolution = fast_convolution<Real>,
                                      .rms_norm = fast_rms_norm<Real>,
                                      .gated_norm = fast_gated_norm<Real>,
                                      .scan = chosen_scan<Real>,
                                      .convolution_step = fast_convolution_step<Real>,
                                      .scan_step = fast_scan_step<Real>,
                                      .chunk_size = 64};
  return table;
}

template const Operations<float>& fast_operations<float>();
template const Operations<double>& fast_operations<double>();

// A program that holds this chapter starts with this table: the chapter has a file
// `choices/default_operations.cpp` of its own, which takes the place of the one of
// @chapter{mamba2_block}.

}  // namespace mamba2
