// ## The small parts, one by one {#backward_parts}
//
// Everything around the scan is small. Each part gets a few lines of calculus and a function of
// about as many lines of code. All keep to two rules. The gradient of an *input* is written. The
// gradient of a *parameter* is added to, because a parameter is used for every token, and its
// gradient is the sum over all the places where it was used.

#include <mamba2/activation_gradient.hpp>
#include <mamba2/adjoints.hpp>
#include <mamba2/cross_entropy.hpp>
#include <mamba2/error.hpp>
#include <mamba2/operations.hpp>
#include <mamba2/ssd.hpp>

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

namespace mamba2 {

// ### The linear layer {#backward_linear}
//
// One token, one output: $y = \sum_i w_i x_i + b$. So $\nabla x_i = w_i\, \nabla y$,
// $\nabla w_i = x_i\, \nabla y$ and $\nabla b = \nabla y$. With several outputs, $\nabla x_i$
// collects from all of them; with several tokens, $\nabla w$ and $\nabla b$ do. Those sums are
// matrix products. For $Y = X W^\top + b$:
//
// $$ \nabla X = \nabla Y\, W, \qquad \nabla W = \nabla Y^\top X, \qquad \nabla b = \sum_t \nabla Y_t. $$ {#eq:linear_gradient}
//
// No formula need be remembered: shapes tell. $\nabla X$ is (tokens, d_in), and from $\nabla Y$
// (tokens, d_out) and $W$ (d_out, d_in) there is one product of that shape. Each of the two costs
// what the forward product costs. This is where the rule of thumb comes from that a backward pass
// is two forward passes.

template <class Real>
void linear_gradient(MatrixRef<const Real> x, MatrixRef<const Real> weight, MatrixRef<const Real> dy,
                     MatrixRef<Real> dx, MatrixRef<Real> dweight, std::span<Real> dbias) {
  require_size("weight", weight, {dy.columns, x.columns}, "(d_out, d_in)");
  require_size("dy", dy, {x.rows, weight.rows}, "(tokens, d_out)");
  require_size("dx", dx, {x.rows, x.columns}, "(tokens, d_in)");
  require_size("dweight", dweight, {weight.rows, weight.columns}, "(d_out, d_in)");
  if (!dbias.empty()) require_length<Real>("dbias", dbias, weight.rows, "(d_out)");
  multiply<Real>(dy, weight, /* beta = */ 0, dx);
  multiply<Real>(transpose(dy), x, /* beta = */ 1, dweight);
  for (std::size_t t = 0; t < dy.rows; ++t)
    for (std::size_t i = 0; i < dbias.size(); ++i) dbias[i] += dy[t][i];
}

// ### The short convolution {#backward_convolution}
//
// Read @eqref{eq:short_convolution} as a list of uses. Input $x_s$ is used by the outputs at $s$,
// $s+1$, …, $s+K-1$, with the last tap, the one before it, and so on. So what comes back to it is
// again a convolution, with the taps in reverse, looking *ahead*:
//
// $$ \nabla x_s = \sum_{k=0}^{K-1} w_{K-1-k}\, \nabla y_{s+k}, \qquad \nabla w_{K-1-k} = \sum_t \nabla y_t\, x_{t-k}, \qquad \nabla b = \sum_t \nabla y_t. $$ {#eq:convolution_gradient}
//
// @output convolution
//
// A causal operator has an anticausal adjoint. What says nothing about the future when it runs
// forwards hears only from the future when it runs backwards.
//
// In code, take one output of one sequence and one tap, $k$ tokens back. The input that they met
// lies $k$ rows higher, unless the sequence began later. Rows run along the channels, so taps are
// turned to do so, too.

namespace {

template <class Real>
struct Taps {  // each row a tap of all channels, (d_conv, channels)
  Tensor<Real, 2> value, gradient;
};

/// What outputs first, ..., last - 1, all of one sequence, say to their inputs and to the taps.
template <class Real>
void to_inputs(MatrixRef<const Real> x, MatrixRef<const Real> dy, std::size_t first, std::size_t last,
               Taps<Real>& taps, MatrixRef<Real> dx) {
  const std::size_t width = taps.value.shape(0), channels = x.columns;
  for (std::size_t t = first; t < last; ++t) {
    const Real* const heard = dy[t];
    for (std::size_t k = 0; k < std::min(width, t - first + 1); ++k) {
      const Real *const w = &taps.value(width - 1 - k, 0), *const said = x[t - k];
      Real* const dw = &taps.gradient(width - 1 - k, 0);
      Real* const back = dx[t - k];
#pragma omp simd
      for (std::size_t c = 0; c < channels; ++c) {
        dw[c] += heard[c] * said[c];
        back[c] += heard[c] * w[c];
      }
    }
  }
}

// Where an earlier piece of the text left its last inputs behind, the first outputs met those:
// output $t$ with tap $k > t$ met the input $k - t$ tokens before the first. If the earlier piece
// is to be taught as well, those inputs need their gradients, too.

/// What the first outputs say to the inputs before the first token, a window of d_conv for each channel.
template <class Real>
void to_earlier_inputs(const Real* before, MatrixRef<const Real> dy, Taps<Real>& taps, Real* dbefore) {
  const std::size_t width = taps.value.shape(0), channels = dy.columns;
  for (std::size_t t = 0; t < std::min(width - 1, dy.rows); ++t) {
    for (std::size_t k = t + 1; k < width; ++k) {
      const std::size_t tap = width - 1 - k, place = width + t - k;
      for (std::size_t c = 0; c < channels; ++c) {
        taps.gradient(tap, c) += dy[t][c] * before[c * width + place];
        if (dbefore) dbefore[c * width + place] += dy[t][c] * taps.value(tap, c);
      }
    }
  }
}

// And the last inputs of this piece were left behind for the next one. convolution_state() is a
// copy, and the adjoint of a copy is an addition. If the text is shorter than the window, part of
// the old window was moved along; its gradient moves back.

/// What the window after a sequence of so many tokens says to those it was copied from.
template <class Real>
void from_last_state(const Real* dlast, std::size_t width, MatrixRef<Real> dx, Real* dbefore) {
  const std::size_t inputs = std::min(dx.rows, width);
  for (std::size_t c = 0; c < dx.columns; ++c) {
    const Real* const window = dlast + c * width;
    for (std::size_t k = 0; k < inputs; ++k) dx[dx.rows - 1 - k][c] += window[width - 1 - k];
    for (std::size_t k = 0; dbefore && k < width - inputs; ++k)
      dbefore[c * width + k + inputs] += window[k];
  }
}

// A batch entry is one sequence, or several that are packed. Only the first has a state before it,
// only the last leaves one.

/// One batch entry: rows of its own, the state before it and that after it.
template <class Real>
void convolution_entry_gradient(const ShortConvolution<Real>& in, std::size_t b,
                                MatrixRef<const Real> dy, MatrixRef<const Real> last_state,
                                Taps<Real>& taps, const ShortConvolutionGradient<Real>& out) {
  const std::size_t seqlen = in.x.rows / in.batch, start = b * seqlen;
  const MatrixRef<const Real> x = row_block(in.x, start, seqlen), g = row_block(dy, start, seqlen);
  const MatrixRef<Real> dx = row_block(out.x, start, seqlen);
  std::vector<std::size_t> bounds{0, seqlen};
  if (!in.seq_idx.empty()) bounds = sequence_bounds(in.seq_idx.subspan(start, seqlen));
  for (std::size_t i = 0; i + 1 < bounds.size(); ++i) {
    const std::size_t first = bounds[i], last = bounds[i + 1];
    Real* const dbefore = first == 0 && out.initial_state.data ? out.initial_state[b] : nullptr;
    to_inputs(x, g, first, last, taps, dx);
    if (first == 0 && in.initial_state.data)
      to_earlier_inputs(in.initial_state[b], row_block(g, 0, last), taps, dbefore);
    if (last == seqlen && last_state.data)
      from_last_state(last_state[b], in.weight.columns, row_block(dx, first, last - first), dbefore);
  }
}

// The front door looks whether all of it fits.

template <class Real>
void check(const ShortConvolution<Real>& in, MatrixRef<const Real> dy, MatrixRef<const Real> last_state,
           const ShortConvolutionGradient<Real>& out) {
  const std::size_t channels = in.x.columns, width = in.weight.columns;
  require_size("weight", in.weight, {channels, width}, "(channels, d_conv)");
  require_size("dy", dy, {in.x.rows, channels}, "(batch * seqlen, channels)");
  require_size("dx", out.x, {in.x.rows, channels}, "(batch * seqlen, channels)");
  require_size("dweight", out.weight, {channels, width}, "(channels, d_conv)");
  require_length<Real>("dbias", out.bias, in.bias.size(), "(channels)");
  for (const MatrixRef<const Real> state :
       {in.initial_state, last_state, MatrixRef<const Real>(out.initial_state)})
    if (state.data)
      require_size("conv_state", state, {in.batch, channels * width}, "(batch, channels * d_conv)");
}

// Behind the convolution comes a SiLU, whose slope depends on the weighted sums. Those were not
// kept. To compute them again costs four multiplications for each number; to keep them would cost
// another matrix of the size of $x$, $B$ and $C$. So they are computed again.

/// dy times the slope of the SiLU behind the convolution.
template <class Real>
Tensor<Real, 2> before_silu(const ShortConvolution<Real>& in, MatrixRef<const Real> dy) {
  auto g = Tensor<Real, 2>::from_shape({dy.rows, dy.columns});
  ShortConvolution<Real> sums = in;
  sums.silu = false;
  const MatrixRef<Real> to = as_matrix(g);
  if (!in.silu) {
    for (std::size_t t = 0; t < dy.rows; ++t) std::copy_n(dy[t], dy.columns, to[t]);
    return g;
  }
  default_operations<Real>().short_convolution(sums, to);
  if (const auto fast = default_operations<Real>().silu_gradient)
    fast(to, dy, to);
  else
    for (std::size_t t = 0; t < dy.rows; ++t)
      for (std::size_t c = 0; c < dy.columns; ++c) to(t, c) = dy(t, c) * silu_derivative(to(t, c));
  return g;
}

}  // namespace

template <class Real>
void short_convolution_gradient(const ShortConvolution<Real>& in, MatrixRef<const Real> dy,
                                MatrixRef<const Real> last_state,
                                const ShortConvolutionGradient<Real>& out) {
  check(in, dy, last_state, out);
  const std::size_t channels = in.x.columns, width = in.weight.columns;
  const auto clear = [](MatrixRef<Real> m) {
    for (std::size_t i = 0; i < m.rows; ++i) std::fill_n(m[i], m.columns, Real(0));
  };
  clear(out.x);
  clear(out.initial_state);
  const Tensor<Real, 2> g = before_silu(in, dy);
  for (std::size_t t = 0; t < dy.rows; ++t)
    for (std::size_t c = 0; c < out.bias.size(); ++c) out.bias[c] += g(t, c);

  Taps<Real> taps{zeros<Real>(width, channels), zeros<Real>(width, channels)};
  for (std::size_t c = 0; c < channels; ++c)
    for (std::size_t k = 0; k < width; ++k) taps.value(k, c) = in.weight[c][k];
  for (std::size_t b = 0; b < in.batch; ++b)
    convolution_entry_gradient(in, b, as_matrix(g), last_state, taps, out);
  for (std::size_t c = 0; c < channels; ++c)
    for (std::size_t k = 0; k < width; ++k) out.weight[c][k] += taps.gradient(k, c);
}

// ### The norm {#backward_norm}
//
// Take two channels without weights and without $\epsilon$, and the norm only asks for the
// direction of $x$: $y = x / r$ with $r$ the root mean square. Make $x$ longer and nothing happens.
// So whatever $\nabla y$ says along $x$ itself must be lost on the way back. That is what the
// formula does. With weights, and $r = \sqrt{\mathrm{mean}(x^2) + \epsilon}$:
//
// $$
// \begin{aligned}
// \nabla x &= \frac{1}{r} \Bigl( w \odot \nabla y - \frac{x}{r^2}\, \mathrm{mean}(x \odot w \odot \nabla y) \Bigr)
// \\ \nabla w &= \sum_t \frac{x_t}{r_t} \odot \nabla y_t .
// \end{aligned}
// $$ {#eq:norm_gradient}
//
// The first term treats $r$ as a constant. The second is the way through $r$: with
// $\partial r / \partial x_i = x_i / (d\, r)$, each $x_i$ turns all outputs a little.

namespace {

/// The norm of one row.
template <class Real>
void norm_row_gradient(std::span<const Real> x, const Real* weight, double eps, const Real* dy,
                       Real* dx, Real* dweight) {
  Real square = 0, along = 0;  // of x with itself, and with w dy
#pragma omp simd reduction(+ : square, along)
  for (std::size_t i = 0; i < x.size(); ++i) {
    square += x[i] * x[i];
    along += x[i] * weight[i] * dy[i];
  }
  const Real features = static_cast<Real>(x.size());
  const Real scale = 1 / std::sqrt(square / features + static_cast<Real>(eps));  // 1 / r
  const Real pull = scale * scale * along / features;
  for (std::size_t i = 0; i < x.size(); ++i) {
    dweight[i] += x[i] * scale * dy[i];
    dx[i] = scale * (weight[i] * dy[i] - pull * x[i]);
  }
}

}  // namespace

template <class Real>
void rms_norm_gradient(MatrixRef<const Real> x, std::span<const Real> weight, double eps,
                       MatrixRef<const Real> dy, MatrixRef<Real> dx, std::span<Real> dweight) {
  require_length("weight", weight, x.columns, "(features)");
  require_length<Real>("dweight", dweight, x.columns, "(features)");
  require_size("dy", dy, {x.rows, x.columns}, "(tokens, features)");
  require_size("dx", dx, {x.rows, x.columns}, "(tokens, features)");
  for (std::size_t t = 0; t < x.rows; ++t)
    norm_row_gradient(std::span(x[t], x.columns), weight.data(), eps, dy[t], dx[t], dweight.data());
}

// ### The gate, and norm and gate in either order {#backward_norm_gate}
//
// The gate alone is $v = y \odot \silu(z)$, a product, so each factor gets the other one:
// $\nabla y = \nabla v \odot \silu(z)$ and $\nabla z = \nabla v \odot y \odot \silu'(z)$. Gate
// and slope need the same exponential, $\silu'(z) = \sigma + \silu(z) (1 - \sigma)$, so it is
// computed once. For this loop over exponentials, and for the slope behind the convolution, the
// table of operations may hold something faster.

namespace {

template <class Real>
void gate_gradient(MatrixRef<const Real> y, MatrixRef<const Real> z, MatrixRef<const Real> dv,
                   MatrixRef<Real> dy, MatrixRef<Real> dz) {
  if (const auto fast = default_operations<Real>().gate_gradient) return fast(y, z, dv, dy, dz);
  for (std::size_t t = 0; t < y.rows; ++t) {
    for (std::size_t i = 0; i < y.columns; ++i) {
      const Real from_above = dv[t][i];  // dy may be the memory of dv
      const Real sigma = 1 / (1 + std::exp(-z[t][i])), gate = z[t][i] * sigma;
      dz[t][i] = from_above * y[t][i] * (sigma + gate * (1 - sigma));
      dy[t][i] = from_above * gate;
    }
  }
}

/// f(columns of a group, their weights), for each group.
template <class Real, class Function>
void for_each_group(const GatedNorm<Real>& how, std::size_t features, const Function& f) {
  const std::size_t width = features / how.groups;
  for (std::size_t first = 0; first < features; first += width)
    f([=](auto m) { return column_block(m, first, width); },
      [=](auto v) { return v.subspan(first, width); });
}

}  // namespace

// In the block the gate has company: a norm behind it, or before it, or none. A chain of two is run
// backwards link by link, the last link first. What lay between the two links was not kept and is
// computed again, by the operations that computed it (@chapter{mamba2_block}). Groups of the norm
// are columns of a matrix.

template <class Real>
void gated_norm_gradient(MatrixRef<const Real> y, MatrixRef<const Real> z, const GatedNorm<Real>& how,
                         MatrixRef<const Real> dout, MatrixRef<Real> dy, MatrixRef<Real> dz,
                         std::span<Real> dweight) {
  const std::size_t features = y.columns;
  for (const MatrixRef<const Real> m : {z, dout, MatrixRef<const Real>(dy), MatrixRef<const Real>(dz)})
    require_size("z, dout, dy, dz", m, {y.rows, features}, "(tokens, features)");
  require_length<Real>("dweight", dweight, how.weight.size(), "(features)");
  if (how.weight.empty()) return gate_gradient(y, z, dout, dy, dz);
  require_length("weight", how.weight, features, "(features)");
  require(how.groups > 0 && features % how.groups == 0, "groups",
          "a divisor of the " + std::to_string(features) + " features", std::to_string(how.groups));

  auto between = Tensor<Real, 2>::from_shape({y.rows, features});
  const MatrixRef<Real> v = as_matrix(between);
  if (how.norm_before_gate) {
    for_each_group(how, features, [&](const auto& columns, const auto& part) {
      default_operations<Real>().rms_norm(columns(y), part(how.weight), how.eps, columns(v));
    });
    gate_gradient<Real>(v, z, dout, dy, dz);
  } else {
    default_operations<Real>().gated_norm(y, z, {}, v);
  }
  const MatrixRef<const Real> normed = how.norm_before_gate ? y : v;
  const MatrixRef<const Real> above = how.norm_before_gate ? dy : dout;
  for_each_group(how, features, [&](const auto& columns, const auto& part) {
    rms_norm_gradient<Real>(columns(normed), part(how.weight), how.eps, columns(above), columns(dy),
                            part(dweight));
  });
  if (!how.norm_before_gate) gate_gradient<Real>(y, z, dy, dy, dz);
}

// ### The embedding {#backward_embedding}
//
// To embed is to copy a row of the table. Backwards, what comes back for a token is added to the
// row that it was copied from. A token that stands in the text ten times has ten additions to its
// row; one that is absent has none, and its row stays at zero. Deep learning libraries call this a
// *scatter-add*.

template <class Real>
void embedding_gradient(std::span<const std::int64_t> ids, MatrixRef<const Real> dx,
                        MatrixRef<Real> dtable) {
  require_length("ids", ids, dx.rows, "(tokens)");
  require_size("dtable", dtable, {dtable.rows, dx.columns}, "(vocabulary, d_model)");
  for (std::size_t t = 0; t < ids.size(); ++t) {
    require(ids[t] >= 0 && static_cast<std::size_t>(ids[t]) < dtable.rows, "ids",
            "0 to " + std::to_string(dtable.rows - 1), std::to_string(ids[t]));
    Real* const row = dtable[static_cast<std::size_t>(ids[t])];
    for (std::size_t i = 0; i < dx.columns; ++i) row[i] += dx[t][i];
  }
}

// ### The loss {#backward_loss}
//
// All of this has to begin somewhere. At the end of a language model stand scores $\ell$, and the
// loss of one place is the negative logarithm of the probability that the token $c$ was given which
// did come:
//
// $$
// \begin{aligned}
// -\log \frac{e^{\ell_c}}{\sum_j e^{\ell_j}} &= \log \sum_j e^{\ell_j} - \ell_c, \qquad\text{so}
// \\ \nabla \ell &= \mathrm{softmax}(\ell) - e_c,
// \end{aligned}
// $$ {#eq:loss_gradient}
//
// where $e_c$ is 1 at $c$ and 0 elsewhere. That is all: *what was predicted, minus what came*. Each
// row sums to zero. A model that was sure and right sends back nothing; one that was sure and wrong
// sends back as much as there can be, two entries of size one.
//
// @output scores
//
// The largest score is taken off all of them first. It changes no ratio, and no exponential can
// overflow. A place that nobody asks about has no part in the loss, and sends back zeros.

template <class Real>
void cross_entropy_gradient(MatrixRef<const Real> logits, std::span<const std::int64_t> targets,
                            double weight, MatrixRef<Real> dlogits) {
  const std::size_t vocab = logits.columns;
  require_length("targets", targets, logits.rows, "(tokens)");
  require_size("dlogits", dlogits, {logits.rows, vocab}, "(tokens, vocab)");
  for (std::size_t t = 0; t < logits.rows; ++t) {
    if (targets[t] == not_asked) {
      std::fill_n(dlogits[t], vocab, Real(0));
      continue;
    }
    require(targets[t] >= 0 && static_cast<std::size_t>(targets[t]) < vocab, "targets",
            "0 to " + std::to_string(vocab - 1) + " or -1", std::to_string(targets[t]));
    const Real largest = *std::max_element(logits[t], logits[t] + vocab);
    double sum = 0;
    for (std::size_t i = 0; i < vocab; ++i) {
      dlogits[t][i] = std::exp(logits[t][i] - largest);
      sum += dlogits[t][i];
    }
    const Real scale = static_cast<Real>(weight / sum);
    for (std::size_t i = 0; i < vocab; ++i) dlogits[t][i] *= scale;
    dlogits[t][targets[t]] -= static_cast<Real>(weight);
  }
}

#define MAMBA2_INSTANTIATE(Real)                                                                     \
  template void linear_gradient(MatrixRef<const Real>, MatrixRef<const Real>, MatrixRef<const Real>, \
                                MatrixRef<Real>, MatrixRef<Real>, std::span<Real>);                  \
  template void short_convolution_gradient(const ShortConvolution<Real>&, MatrixRef<const Real>,     \
                                           MatrixRef<const Real>,                                    \
                                           const ShortConvolutionGradient<Real>&);                   \
  template void rms_norm_gradient(MatrixRef<const Real>, std::span<const Real>, double,              \
                                  MatrixRef<const Real>, MatrixRef<Real>, std::span<Real>);          \
  template void gated_norm_gradient(MatrixRef<const Real>, MatrixRef<const Real>,                    \
                                    const GatedNorm<Real>&, MatrixRef<const Real>, MatrixRef<Real>,  \
                                    MatrixRef<Real>, std::span<Real>);                               \
  template void embedding_gradient(std::span<const std::int64_t>, MatrixRef<const Real>,             \
                                   MatrixRef<Real>);                                                 \
  template void cross_entropy_gradient(MatrixRef<const Real>, std::span<const std::int64_t>, double, \
                                       MatrixRef<Real>);
MAMBA2_INSTANTIATE(float)
MAMBA2_INSTANTIATE(double)
#undef MAMBA2_INSTANTIATE

}  // namespace mamba2
