// # Backward {#ch_backward}
// @summary The gradient of everything: what an adjoint is, the scan run backwards, step by step and in four colours.
//
// A model that has learnt nothing writes nonsense. To teach it, we need to know of each of its
// numbers which way to move it, and that is a derivative.
//
// ## What it builds on {#backward_builds_on}
//
// From @chapter{real_sequences} the operator and its options, from @chapter{chunked_scan} the four
// steps, from @chapter{duality} the product and the mask.
//
// ## Shapes {#backward_shapes}
//
// ::: shapes
// | Name | Shape | What it is |
// |---|---|---|
// | `dY` | (length, headdim) | gradient of the outputs |
// :::
//
// ## Slopes {#backward_slopes}

#include <mamba2/activation.hpp>
#include <mamba2/activation_gradient.hpp>
#include <mamba2/chunked_scan.hpp>
#include <mamba2/error.hpp>
#include <mamba2/scan_gradient.hpp>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <vector>

namespace mamba2 {

template <class Real>
Real softplus_derivative(Real x) {
  return x > 20 ? Real(1) : 1 / (1 + std::exp(-x));
}

template <class Real>
Real silu_derivative(Real x) {
  const Real gate = 1 / (1 + std::exp(-x));
  return gate * (1 + x * (1 - gate));
}

template <class Real>
Real step_size_derivative(Real raw, const ScanOptions& options) {
  const Real dt = options.dt_softplus ? softplus(raw) : raw;
  if (dt < static_cast<Real>(options.dt_min) || dt > static_cast<Real>(options.dt_max)) return 0;
  return options.dt_softplus ? softplus_derivative(raw) : Real(1);
}

// ## The scan, backwards {#backward_recurrent}

template <class Real>
static void recurrent_gradient(const ScanChunk<Real>& s, MatrixRef<const Real> dY,
                               MatrixRef<const double> before, MatrixRef<double> dstate,
                               const ScanChunkGradient<Real>& gradient) {
  const std::size_t length = s.dA.size(), d_state = s.B.columns;
  auto h = zeros<double>(length + 1, d_state);  // before each token, and after the last
  for (std::size_t p = 0; p < s.X.columns; ++p) {
    std::copy_n(before[p], d_state, &h(0, 0));
    for (std::size_t t = 0; t < length; ++t)
      for (std::size_t n = 0; n < d_state; ++n)
        h(t + 1, n) = std::exp(static_cast<double>(s.dA[t])) * h(t, n) + s.X(t, p) * s.B(t, n);

    double* const dh = dstate[p];
    for (std::size_t t = length; t-- > 0;) {
      const double decay = std::exp(static_cast<double>(s.dA[t]));
      double dx = 0, ddecay = 0;
      for (std::size_t n = 0; n < d_state; ++n) {
        gradient.C(t, n) += static_cast<Real>(dY(t, p) * h(t + 1, n));
        dh[n] += dY(t, p) * s.C(t, n);
        gradient.B(t, n) += static_cast<Real>(dh[n] * s.X(t, p));
        dx += dh[n] * s.B(t, n);
        ddecay += dh[n] * h(t, n);
        dh[n] *= decay;
      }
      gradient.X(t, p) += static_cast<Real>(dx);
      gradient.dA[t] += decay * ddecay;
    }
  }
}

// ## In chunks {#backward_chunks}

template <class Real>
static double dot(const Real* a, const Real* b, std::size_t size) {
  return std::inner_product(a, a + size, b, 0.0);
}

template <class Real>
static void add(const Tensor<Real, 2>& what, MatrixRef<Real> to) {
  for (std::size_t i = 0; i < to.rows; ++i)
    for (std::size_t k = 0; k < to.columns; ++k) to[i][k] += what(i, k);
}

// ### Step 4, blue

template <class Real>
void state_to_output_gradient(const ScanChunk<Real>& chunk, ReadMatrix<Real> before,
                              ReadMatrix<Real> dY, const ScanChunkGradient<Real>& gradient,
                              MatrixRef<Real> own) {
  const Tensor<Real, 2> dY_faded = scale_rows<Real>(decay_from_start(chunk.dA), dY);
  auto dC = zeros<Real>(chunk.C.rows, chunk.C.columns);
  multiply<Real>(as_matrix(dY_faded), before, /* beta = */ 0, as_matrix(dC));
  multiply<Real>(transpose(as_matrix(dY_faded)), chunk.C, /* beta = */ 0, own);
  add(dC, gradient.C);

  double read = 0;  // by tokens t, ..., last
  for (std::size_t t = chunk.dA.size(); t-- > 0;) {
    read += dot(chunk.C[t], &dC(t, 0), chunk.C.columns);
    gradient.dA[t] += read;
  }
}

// ### Step 3, purple

template <class Real>
void pass_state_gradient(std::span<const Real> dA, MatrixRef<const double> before, ReadMatrix<Real> own,
                         MatrixRef<double> dstate, std::span<double> ddA) {
  const double decay = std::exp(std::accumulate(dA.begin(), dA.end(), 0.0));
  double passed = 0;
  for (std::size_t p = 0; p < dstate.rows; ++p) {
    passed += decay * dot<double>(dstate[p], before[p], dstate.columns);
    for (std::size_t n = 0; n < dstate.columns; ++n) dstate[p][n] = decay * dstate[p][n] + own[p][n];
  }
  for (double& gradient : ddA) gradient += passed;
}

// ### Step 2, green

template <class Real>
void chunk_state_gradient(const ScanChunk<Real>& chunk, ReadMatrix<Real> down,
                          const ScanChunkGradient<Real>& gradient) {
  const Tensor<Real, 1> decay = decay_to_end(chunk.dA);
  const Tensor<Real, 2> X_left = scale_rows<Real>(decay, chunk.X);
  multiply<Real>(as_matrix(X_left), down, /* beta = */ 1, gradient.B);
  auto dX = zeros<Real>(chunk.X.rows, chunk.X.columns);
  multiply<Real>(chunk.B, transpose(down), /* beta = */ 0, as_matrix(dX));
  dX = scale_rows<Real>(decay, as_matrix(dX));
  add(dX, gradient.X);

  double written = 0;  // by tokens 0, ..., t - 1
  for (std::size_t t = 0; t < chunk.dA.size(); ++t) {
    gradient.dA[t] += written;
    written += dot(chunk.X[t], &dX(t, 0), chunk.X.columns);
  }
}

// ### Step 1, amber

template <class Real>
void diagonal_block_gradient(const ScanChunk<Real>& chunk, ReadMatrix<Real> dY,
                             const ScanChunkGradient<Real>& gradient) {
  const std::size_t length = chunk.dA.size();
  auto M = zeros<Real>(length, length), dM = M;
  multiply<Real>(chunk.C, transpose(chunk.B), /* beta = */ 0, as_matrix(M));
  mask_scores<Real>(chunk.dA, as_matrix(M));
  multiply<Real>(dY, transpose(chunk.X), /* beta = */ 0, as_matrix(dM));
  multiply<Real>(transpose(as_matrix(M)), dY, /* beta = */ 1, gradient.X);

  for (std::size_t i = 0; i < length; ++i) {
    double said = 0;  // to token i, by tokens 0, ..., t - 1
    for (std::size_t t = 1; t <= i; ++t) {
      said += static_cast<double>(M(i, t - 1)) * dM(i, t - 1);
      gradient.dA[t] += said;
    }
  }

  mask_scores<Real>(chunk.dA, as_matrix(dM));
  multiply<Real>(as_matrix(dM), chunk.B, /* beta = */ 1, gradient.C);
  multiply<Real>(transpose(as_matrix(dM)), chunk.C, /* beta = */ 1, gradient.B);
}

// ### All together

template <class Real>
static ScanChunk<Real> part(const ScanChunk<Real>& s, std::size_t first, std::size_t count) {
  const auto rows = [=](auto m) { return row_block(m, first, count); };
  return {rows(s.X), s.dA.subspan(first, count), rows(s.B), rows(s.C)};
}

template <class Real>
static ScanChunkGradient<Real> part(const ScanChunkGradient<Real>& s, std::size_t first,
                                    std::size_t count) {
  const auto rows = [=](auto m) { return row_block(m, first, count); };
  return {rows(s.X), s.dA.subspan(first, count), rows(s.B), rows(s.C)};
}

template <class Real>
static std::vector<Tensor<double, 2>> states_between(const ScanChunk<Real>& s, std::size_t chunk_size,
                                                     MatrixRef<const double> before) {
  auto state = zeros<double>(before.rows, before.columns);
  auto own = zeros<Real>(before.rows, before.columns);
  std::copy_n(before.data, state.size(), state.data());
  std::vector<Tensor<double, 2>> states{state};
  for (std::size_t first = 0; first + chunk_size < s.dA.size(); first += chunk_size) {
    const ScanChunk<Real> chunk = part(s, first, chunk_size);
    chunk_state<Real>(chunk.X, chunk.dA, chunk.B, as_matrix(own));
    state = std::exp(std::accumulate(chunk.dA.begin(), chunk.dA.end(), 0.0)) * state + own;
    states.push_back(state);
  }
  return states;
}

template <class Real>
static void chunked_gradient(const ScanChunk<Real>& s, MatrixRef<const Real> dY, std::size_t chunk_size,
                             MatrixRef<const double> before, MatrixRef<double> dstate,
                             const ScanChunkGradient<Real>& gradient) {
  const std::vector<Tensor<double, 2>> states = states_between(s, chunk_size, before);
  auto own = zeros<Real>(before.rows, before.columns), state = own, down = own;
  for (std::size_t k = states.size(); k-- > 0;) {
    const std::size_t first = k * chunk_size, length = std::min(chunk_size, s.dA.size() - first);
    const ScanChunk<Real> chunk = part(s, first, length);
    const ScanChunkGradient<Real> to = part(gradient, first, length);
    const MatrixRef<const Real> dY_chunk = row_block(dY, first, length);
    state = xt::cast<Real>(states[k]);
    std::copy_n(dstate.data, down.size(), down.data());
    diagonal_block_gradient<Real>(chunk, dY_chunk, to);
    chunk_state_gradient<Real>(chunk, as_matrix(down), to);
    state_to_output_gradient<Real>(chunk, as_matrix(state), dY_chunk, to, as_matrix(own));
    pass_state_gradient<Real>(chunk.dA, as_matrix(states[k]), as_matrix(own), dstate, to.dA);
  }
}

Cost cost_chunked_gradient(double seqlen, double d_state, double headdim, double chunk_size) {
  const double T = seqlen, N = d_state, P = headdim, Q = chunk_size;
  return {T * (3 * Q * N + 2 * Q * P + 5 * N * P), std::ceil(T / Q) * N * P};
}

// ## Packed sequences {#backward_packed}

template <class Real>
static void packed_gradient(const ScanChunk<Real>& s, MatrixRef<const Real> dY,
                            std::span<const std::size_t> bounds, const ScanOptions& options,
                            Tensor<double, 2> before, MatrixRef<double> dstate,
                            const ScanChunkGradient<Real>& gradient) {
  const Tensor<double, 2> nothing = zeros<double>(dstate.rows, dstate.columns);
  for (std::size_t i = bounds.size() - 1; i-- > 0;) {
    const std::size_t first = bounds[i], length = bounds[i + 1] - first;
    const MatrixRef<const double> start = as_matrix(i == 0 ? before : nothing);
    const MatrixRef<const Real> dY_part = row_block(dY, first, length);
    const ScanChunk<Real> sequence = part(s, first, length);
    const ScanChunkGradient<Real> to = part(gradient, first, length);
    if (options.algorithm == Algorithm::recurrent) {
      recurrent_gradient(sequence, dY_part, start, dstate, to);
    } else {
      const bool whole = options.algorithm == Algorithm::quadratic;
      chunked_gradient(sequence, dY_part, whole ? length : options.chunk_size, start, dstate, to);
    }
    if (i > 0) std::fill_n(dstate.data, nothing.size(), 0.0);
  }
}

// ## The operator {#backward_operator}

namespace {

template <class Real>
ScanGradientRef<Real> one_head(const ScanGradientRef<Real>& g, const ScanSizes& s, std::size_t b,
                               std::size_t h) {
  const std::size_t group = group_of_head(h, s.nheads, s.ngroups), D_size = g.D.size() / s.nheads;
  const auto cut = [&](MatrixRef<Real> m, std::size_t which, std::size_t width) {
    if (!m.data) return m;
    return column_block(row_block(m, b * s.seqlen, s.seqlen), which * width, width);
  };
  return {.x = cut(g.x, h, s.headdim),
          .dt = cut(g.dt, h, 1),
          .A = g.A.subspan(h, 1),
          .B = cut(g.B, group, s.d_state),
          .C = cut(g.C, group, s.d_state),
          .D = g.D.subspan(h * D_size, D_size),
          .z = cut(g.z, h, s.headdim),
          .dt_bias = g.dt_bias.empty() ? g.dt_bias : g.dt_bias.subspan(h, 1)};
}

}  // namespace

// The gate and the skip

template <class Real>
static Tensor<Real, 2> ungated_output(ScanRef<Real> head, const ScanOptions& options,
                                      const Tensor<double, 2>& before) {
  auto y = zeros<Real>(head.x.rows, head.x.columns);
  Tensor<Real, 2> state = xt::cast<Real>(before);
  head.z = {};
  const MatrixRef<Real> one_row{state.data(), 1, state.size(), state.size()};
  unchecked::scan<Real>(head, options, one_row, as_matrix(y));
  return y;
}

template <class Real>
static Tensor<Real, 2> gate_gradient(const ScanRef<Real>& head, const Tensor<Real, 2>& y,
                                     MatrixRef<const Real> dy, MatrixRef<Real> dz) {
  auto dY = y;
  for (std::size_t t = 0; t < dy.rows; ++t) {
    for (std::size_t p = 0; p < dy.columns; ++p) {
      dz(t, p) = dy(t, p) * y(t, p) * silu_derivative(head.z(t, p));
      dY(t, p) = dy(t, p) * silu(head.z(t, p));
    }
  }
  return dY;
}

template <class Real>
static void skip_gradient(const ScanRef<Real>& head, MatrixRef<const Real> dY,
                          const ScanGradientRef<Real>& gradient) {
  for (std::size_t p = 0; p < dY.columns; ++p) {
    const std::size_t which = p % head.D.size();
    double dD = 0;
    for (std::size_t t = 0; t < dY.rows; ++t) {
      gradient.x(t, p) += head.D[which] * dY(t, p);
      dD += static_cast<double>(head.x(t, p)) * dY(t, p);
    }
    gradient.D[which] += static_cast<Real>(dD);
  }
}

template <class Real>
static void head_gradient(const ScanRef<Real>& head, const ScanOptions& options,
                          const Tensor<double, 2>& before, MatrixRef<const Real> dY,
                          MatrixRef<double> dstate, const ScanGradientRef<Real>& gradient) {
  const std::size_t seqlen = head.sizes.seqlen, headdim = head.sizes.headdim;
  const Real bias = head.dt_bias.empty() ? Real(0) : head.dt_bias[0];
  auto X = zeros<Real>(seqlen, headdim), dX = X;
  std::vector<Real> dt(seqlen), dA(seqlen);
  std::vector<double> ddA(seqlen, 0.0);
  for (std::size_t t = 0; t < seqlen; ++t) {
    dt[t] = step_size(head.dt(t, 0) + bias, options);
    dA[t] = dt[t] * head.A[0];
    for (std::size_t p = 0; p < headdim; ++p) X(t, p) = dt[t] * head.x(t, p);
  }
  std::vector<std::size_t> bounds{0, seqlen};
  if (!head.seq_idx.empty()) bounds = sequence_bounds(head.seq_idx);
  packed_gradient<Real>({as_matrix(X), dA, head.B, head.C}, dY, bounds, options, before, dstate,
                        {as_matrix(dX), ddA, gradient.B, gradient.C});

  double dA_sum = 0, dbias = 0;
  for (std::size_t t = 0; t < seqlen; ++t) {
    const double dstep = head.A[0] * ddA[t] + dot(head.x[t], &dX(t, 0), headdim);
    const double draw = dstep * step_size_derivative(head.dt(t, 0) + bias, options);
    gradient.dt(t, 0) = static_cast<Real>(draw);
    dbias += draw;
    dA_sum += dt[t] * ddA[t];
    for (std::size_t p = 0; p < headdim; ++p) gradient.x(t, p) = dt[t] * dX(t, p);
  }
  gradient.A[0] += static_cast<Real>(dA_sum);
  if (!gradient.dt_bias.empty()) gradient.dt_bias[0] += static_cast<Real>(dbias);
}

namespace unchecked {

template <class Real>
void scan_gradient(const ScanRef<Real>& in, const ScanOptions& options,
                   MatrixRef<const Real> initial_state, MatrixRef<const Real> dy,
                   MatrixRef<Real> dstate, const ScanGradientRef<Real>& gradient) {
  const auto& [batch, seqlen, nheads, headdim, ngroups, d_state] = in.sizes;
  if (seqlen == 0) return;
  for (MatrixRef<Real> shared : {gradient.B, gradient.C})
    for (std::size_t t = 0; t < shared.rows; ++t) std::fill_n(shared[t], shared.columns, Real(0));
  auto before = zeros<double>(headdim, d_state), dwide = before;
  for (std::size_t b = 0; b < batch; ++b) {
    for (std::size_t h = 0; h < nheads; ++h) {
      const ScanRef<Real> head = some_heads(one_sequence(in, b), h, 1);
      const ScanGradientRef<Real> to = one_head(gradient, in.sizes, b, h);
      const std::size_t where = h * headdim * d_state;
      if (initial_state.data) std::copy_n(initial_state[b] + where, before.size(), before.data());
      std::copy_n(dstate[b] + where, dwide.size(), dwide.data());
      MatrixRef<const Real> dY = column_block(row_block(dy, b * seqlen, seqlen), h * headdim, headdim);
      Tensor<Real, 2> dY_ungated;
      if (head.z.data) {
        dY_ungated = gate_gradient(head, ungated_output(head, options, before), dY, to.z);
        dY = as_matrix(dY_ungated);
      }
      head_gradient<Real>(head, options, before, dY, as_matrix(dwide), to);
      if (!head.D.empty()) skip_gradient(head, dY, to);
      for (std::size_t i = 0; i < dwide.size(); ++i)
        dstate[b][where + i] = static_cast<Real>(dwide.data()[i]);
    }
  }
}

}  // namespace unchecked

template <class Real>
static ScanInput<Real> zeros_like(const ScanInput<Real>& in) {
  ScanInput<Real> same = in;
  const auto clear = [](auto& tensor) { tensor.fill(Real(0)); };
  clear(same.x), clear(same.dt), clear(same.A), clear(same.B), clear(same.C);
  if (same.D) clear(*same.D);
  if (same.z) clear(*same.z);
  if (same.dt_bias) clear(*same.dt_bias);
  same.seq_idx.reset();
  return same;
}

template <class Real>
ScanInput<Real> ssd_gradient(const ScanInput<Real>& in, const ScanOptions& options,
                             const Tensor<Real, 4>& dy,
                             const std::optional<Tensor<Real, 4>>& dlast_state) {
  const ScanSizes s = scan_sizes(in, options);
  const std::array<std::size_t, 4> states{s.batch, s.nheads, s.headdim, s.d_state};
  require_shape("dy", dy, {s.batch, s.seqlen, s.nheads, s.headdim}, "(batch, seqlen, nheads, headdim)");
  if (dlast_state)
    require_shape("dlast_state", *dlast_state, states, "(batch, nheads, headdim, d_state)");

  ScanInput<Real> gradient = zeros_like(in);
  ScanGradientRef<Real> to{.x = as_rows<2>(gradient.x),
                           .dt = as_rows<2>(gradient.dt),
                           .A = {gradient.A.data(), s.nheads},
                           .B = as_rows<2>(gradient.B),
                           .C = as_rows<2>(gradient.C)};
  if (in.D) to.D = {gradient.D->data(), gradient.D->size()};
  if (in.z) to.z = as_rows<2>(*gradient.z);
  if (in.dt_bias) to.dt_bias = {gradient.dt_bias->data(), s.nheads};
  Tensor<Real, 4> dstate = dlast_state ? *dlast_state : Tensor<Real, 4>(states, Real(0));
  MatrixRef<const Real> initial_state;
  if (in.initial_state) initial_state = as_rows<1>(*in.initial_state);
  unchecked::scan_gradient<Real>(in, options, initial_state, as_rows<2>(dy), as_rows<1>(dstate), to);
  if (in.initial_state) gradient.initial_state = dstate;
  return gradient;
}

#define MAMBA2_INSTANTIATE(Real)                                                                      \
  template Real softplus_derivative(Real);                                                            \
  template Real silu_derivative(Real);                                                                \
  template Real step_size_derivative(Real, const ScanOptions&);                                       \
  template void diagonal_block_gradient(const ScanChunk<Real>&, ReadMatrix<Real>,                     \
                                        const ScanChunkGradient<Real>&);                              \
  template void chunk_state_gradient(const ScanChunk<Real>&, ReadMatrix<Real>,                        \
                                     const ScanChunkGradient<Real>&);                                 \
  template void pass_state_gradient(std::span<const Real>, MatrixRef<const double>, ReadMatrix<Real>, \
                                    MatrixRef<double>, std::span<double>);                            \
  template void state_to_output_gradient(const ScanChunk<Real>&, ReadMatrix<Real>, ReadMatrix<Real>,  \
                                         const ScanChunkGradient<Real>&, MatrixRef<Real>);            \
  template void unchecked::scan_gradient(const ScanRef<Real>&, const ScanOptions&,                    \
                                         MatrixRef<const Real>, MatrixRef<const Real>,                \
                                         MatrixRef<Real>, const ScanGradientRef<Real>&);              \
  template ScanInput<Real> ssd_gradient(const ScanInput<Real>&, const ScanOptions&,                   \
                                        const Tensor<Real, 4>&,                                       \
                                        const std::optional<Tensor<Real, 4>>&);
MAMBA2_INSTANTIATE(float)
MAMBA2_INSTANTIATE(double)
#undef MAMBA2_INSTANTIATE

}  // namespace mamba2
