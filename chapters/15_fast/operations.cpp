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
#include <functional>
#include <utility>
#include <vector>

namespace mamba2 {
namespace {

// The rows of a weight, which are the columns of y, are dealt out to the threads, in fours, as the
// kernels take them. With many tokens there is one part for each thread and no more: for each part
// the library copies all tokens into an order of its own, and twice as many parts would do that
// twice as often. With few tokens there are more parts than threads, so that all stay busy to the
// end, and none has much more than a thousand rows, so that the four streams of a part do not lie
// too far apart. What to do with some rows and their part of y is told by `task`.
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
  if (in.x.rows == 0) return unchecked::short_convolution(in, y);
  const std::size_t channels = in.x.columns, width = in.weight.columns, seqlen = in.x.rows / in.batch;
  // Turned round, so that channels run fastest: the taps, and what came before the first token.
  thread_local std::vector<Real> taps, before;
  taps.resize(width * channels);
  before.assign(in.batch * width * channels, Real(0));
  for (std::size_t c = 0; c < channels; ++c)
    for (std::size_t k = 0; k < width; ++k) taps[k * channels + c] = in.weight[c][k];
  for (std::size_t b = 0; in.initial_state.data && b < in.batch; ++b)
    for (std::size_t c = 0; c < channels; ++c)
      for (std::size_t k = 0; k < width; ++k)
        before[(b * width + k) * channels + c] = in.initial_state[b][c * width + k];

  const Real *const all_taps = taps.data(), *const all_before = before.data();  // for all threads
  for_row_blocks(in.x.rows, [&](std::size_t begin, std::size_t end) {
    thread_local std::vector<const Real*> window;
    window.resize(width);
    for (std::size_t row = begin; row < end; ++row) {
      const std::size_t b = row / seqlen, t = row % seqlen;
      bool same = true;  // whether the tap still lies in the token's own sequence
      for (std::size_t back = 0; back < width; ++back) {
        if (back > 0 && back <= t && !in.seq_idx.empty())
          same = same && in.seq_idx[row - back] == in.seq_idx[row - back + 1];
        const Real* from =
            back <= t ? in.x[row - back] : all_before + (b * width + width + t - back) * channels;
        window[width - 1 - back] = same ? from : nullptr;
      }
      kernels<Real>().convolve_row(window.data(), width, all_taps, channels,
                                   in.bias.empty() ? nullptr : in.bias.data(), in.silu, y[row],
                                   channels);
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

// The gate backwards, and the SiLU behind the convolution.

template <class Real>
void fast_silu_gradient(MatrixRef<const Real> x, MatrixRef<const Real> dy, MatrixRef<Real> dx) {
  for_row_blocks(x.rows, [&](std::size_t begin, std::size_t end) {
    for (std::size_t i = begin; i < end; ++i)
      kernels<Real>().silu_gradient(x[i], dy[i], dx[i], x.columns);
  });
}

template <class Real>
void fast_gate_gradient(MatrixRef<const Real> y, MatrixRef<const Real> z, MatrixRef<const Real> dv,
                        MatrixRef<Real> dy, MatrixRef<Real> dz) {
  for_row_blocks(y.rows, [&](std::size_t begin, std::size_t end) {
    for (std::size_t i = begin; i < end; ++i)
      kernels<Real>().gate_gradient(y[i], z[i], dv[i], dy[i], dz[i], y.columns);
  });
}

// And one token through the convolution.

template <class Real>
void fast_convolution_step(MatrixRef<const Real> x, MatrixRef<const Real> weight,
                           std::span<const Real> bias, MatrixRef<Real> state, MatrixRef<Real> y) {
  for (std::size_t b = 0; b < x.rows; ++b)
    kernels<Real>().convolve_step(state[b], weight.columns, weight.data,
                                  bias.empty() ? nullptr : bias.data(), x[b], y[b], x.columns);
}

// Whoever asks for the recurrence or the quadratic form gets it, with everything around it fast.

template <class Real>
void chosen_scan(const ScanRef<Real>& input, const ScanOptions& options, ScanState<Real> state,
                 MatrixRef<Real> y) {
  options.algorithm == Algorithm::chunked ? unchecked::fast_scan(input, options, state, y)
                                          : unchecked::scan(input, options, state, y);
}

// Those who have work of their own to deal out, such as the rows of a batch in @chapter{backward},
// find the threads in the table, too. Operations inside such a task run in its thread alone.

void run_all(std::size_t count, const std::function<void(std::size_t)>& task) {
  parallel_for(count, task);
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
                                      .scan_step = unchecked::fast_scan_step<Real>,
                                      .silu_gradient = fast_silu_gradient<Real>,
                                      .gate_gradient = fast_gate_gradient<Real>,
                                      .run_all = run_all,
                                      .chunk_size = 64};
  return table;
}

template const Operations<float>& fast_operations<float>();
template const Operations<double>& fast_operations<double>();

// A program that holds this chapter starts with this table: the chapter has a file
// `choices/default_operations.cpp` of its own, which takes the place of the one of
// @chapter{mamba2_block}.

}  // namespace mamba2
