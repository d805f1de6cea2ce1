// # Convolution and norm {#ch_convolution_and_norm}
// @summary A convolution of four tokens before the scan, a gate and a norm behind it, and the details that decide.
//
// Two small operations stand on either side of the scan. Before it, each channel is mixed with its
// own last three values: a convolution so short that one may wonder what it is for. After it, the
// numbers are gated and brought to a common size. Neither holds a great idea. Both hold details
// that decide whether a model loaded from a file writes sense or noise: which tap is the newest,
// what happens at the start, whether the gate comes before or after the norm, and over which
// channels the norm looks.
//
// ## What it builds on {#convolution_and_norm_builds_on}
//
// @Chapter{duality}'s MatrixRef, a matrix inside somebody else's memory; @chapter{real_sequences}'s
// silu() and its rule for packed sequences: a new sequence begins where `seq_idx` changes.
//
// ## Shapes {#convolution_and_norm_shapes}
//
// ::: shapes
// | name | shape | what it is |
// |---|---|---|
// | $x$ | (batch · seqlen, channels) | what goes in: one row for each token |
// | $w$ | (channels, d_conv) | taps; the last one is for the token itself |
// | conv state | (batch, channels, d_conv) | the last `d_conv` inputs of each channel, the newest last |
// | $y$, $z$ | (batch · seqlen, d_ssm) | what the scan gave, and its gate |
// | norm weight | (d_ssm) | one factor for each channel |
// :::
//
// ## What a neighbour is good for {#convolution_and_norm_purpose}
//
// The scan writes $x_t B_t^\top$ into the state: a value under a key. Both are made from *one*
// token. But what is worth remembering is mostly about two: *Mr.* and the name that follows, a cat
// and what it says. To store the sound under the animal, the model needs the key of step $t-1$
// beside the value of step $t$.
//
// So this chapter's program tells a head three pairs and then asks. Every word is a direction of
// its own, in $x$, in $B$ and in $C$, and the answer is the word that the output points to most.
// The weights are set by hand. First each word brings its own key:
//
// @output alone
//
// Of course: under the key *cat* the cat itself is stored, for that is the word that brought the
// key. Now $B$ alone is delayed by one token, so that each word is stored under the word before it:
//
// @output recall
//
// That is all the difference, and a scan cannot make it by itself: however its parameters are
// chosen, the key and the value that it writes at one step come from one token. The delay is the
// work of a convolution with four taps, of which three are zero.
//
// ::: figure shift
// A key channel with taps (0, 0, 1, 0): each token now carries the key of the token before it. One
// convolution turns "what is here" into "what was here just before", and the scan can pair the two.
// :::
//
// Four tokens are enough because that is all that is asked of it: the far past is the scan's
// business. Models of attention alone learn this shift with a whole layer, whose only work is to
// look one token back.[^induction] Models with a short convolution have it from the start.
//
// [^induction]: The pair, a layer that looks one token back and one that looks up what it has
//   found, is known as an *induction head*.
//
// ## A window of four tokens {#convolution_and_norm_window}
//
// Let $x$ be one channel over time and $w$ its $K$ taps. The output at step $t$ is a weighted sum
// of the last $K$ inputs:
//
// $$ y_t = b + \sum_{k=0}^{K-1} w_k \, x_{t - (K-1) + k}. $$ {#eq:short_convolution}
//
// The last tap, $w_{K-1}$, meets the token itself; $w_0$ the one three steps back, for $K = 4$.
// *Depthwise* means that each channel has its own taps and sees no other channel. Mixing channels
// is the work of the projections. In Mamba-2 the convolution runs over $x$, $B$ and $C$ together;
// $z$ and $\Delta$ go without.
//
// ::: figure window
// Four taps, one channel. The output at step $t$ (top) sees step $t$ and the three before it, never
// a later one. To the left of the first token stand zeros, or what an earlier piece of the text
// left behind.
// :::
//
// If nothing came before and there is only one text, that is a loop:
//
// @quote chapters/07_convolution_and_norm/demo.cpp#loop
//
// *Is it causal?* Yes, but only if written so. Deep learning libraries offer a convolution that
// pads on both sides; the usual recipe pads $K-1$ zeros on both, and then cuts off the last $K-1$
// outputs. Cut at the wrong end, or pad half as much on either side so that nothing is left to cut,
// and tokens see the future: training looks wonderful and generation fails. The program of this
// chapter checks it in the only way that counts: change one token, and see which outputs move.
//
// @output causal
//
// *Why the SiLU?* It is the smooth switch $\silu(u) = u\,\sigma(u)$: nearly $u$ for what is
// clearly positive, nearly zero for what is clearly negative. Without it the projection and the
// convolution would be one linear map of four tokens, and a sum cannot say *and*. With it a channel
// can wait for two things to come together, this word here and that one before it, and stay silent
// otherwise: weigh both, subtract a bias that one of them alone does not reach. (@Exercise{4} is
// about that.) For $B$ and $C$ it is also what linear attention calls a feature map
// [@katharopoulos2020]: scores $C_i^\top B_j$ are made of features that are hardly ever far below
// zero.
//
// ## Starts, ends and borders {#convolution_and_norm_borders}
//
// Most of the code is about which tokens a window may see. There are three cases.
//
// - The window reaches back over the start of the row, and nothing came before: those taps meet
//   zeros.
// - It reaches over the start, and something did come before: an earlier call left the last inputs
//   behind, in a `conv_state`. Those taps meet it.
// - It reaches over a border between two packed sequences: the taps beyond the border meet zeros,
//   because it is another text over there.
//
// The reference was not of one mind about the last case: its fused kernel is given `seq_idx` and
// stops at the borders, while the unfused path beside it handed `seq_idx` to the scan only (in
// `mamba2.py` until July 2024, in `mamba2_simple.py` still), so that the first three tokens of a
// text are stained by the text before. Ours always stops.
//
// So for a token we ask: how many tokens back does its own sequence reach within the window?

#include <mamba2/activation.hpp>
#include <mamba2/conv.hpp>
#include <mamba2/error.hpp>
#include <mamba2/norm.hpp>

#include <algorithm>
#include <array>
#include <cmath>
#include <string>
#include <vector>

namespace mamba2 {

namespace {

/// How many tokens before the token in a row are of its own sequence, at most `most`, of the `t` there are.
std::size_t reach(std::span<const std::int64_t> seq_idx, std::size_t row, std::size_t t,
                  std::size_t most) {
  std::size_t back = 0;
  while (back < std::min(t, most) && (seq_idx.empty() || seq_idx[row - back - 1] == seq_idx[row]))
    ++back;
  return back;
}

/// Whether the sequence of token t goes back to the first, and so to what came before it.
bool from_start(std::span<const std::int64_t> seq_idx, std::size_t row, std::size_t t) {
  return reach(seq_idx, row, t, t) == t;
}

// The test compares neighbours, so it finds a *change*. Two texts that bear the same number with a
// third between them stay apart, as they do in @chapter{real_sequences}'s scan.
//
// Next, one token. Tap by tap, and within a tap along the channels, because that is how the numbers
// lie in memory:

/// The weighted sums of token t of batch entry b.
template <class Real>
void convolve_token(const ShortConvolution<Real>& in, std::size_t b, std::size_t t, std::span<Real> y) {
  const std::size_t width = in.weight.columns, row = b * (in.x.rows / in.batch) + t;
  const std::size_t back = reach(in.seq_idx, row, t, width - 1);
  const bool start = in.initial_state.data && t < width && from_start(in.seq_idx, row, t);
  for (std::size_t c = 0; c < y.size(); ++c) y[c] = in.bias.empty() ? Real(0) : in.bias[c];
  for (std::size_t k = 0; k < width; ++k) {  // k tokens back
    const std::size_t tap = width - 1 - k;
    if (k <= back) {
      const Real* x = in.x[row - k];
      for (std::size_t c = 0; c < y.size(); ++c) y[c] += in.weight[c][tap] * x[c];
    } else if (start && k > t) {
      const Real* before =
          in.initial_state[b];  // of each channel, the last is one token before the row
      for (std::size_t c = 0; c < y.size(); ++c)
        y[c] += in.weight[c][tap] * before[c * width + width + t - k];
    }
  }
}

}  // namespace

namespace unchecked {

template <class Real>
void short_convolution(const ShortConvolution<Real>& in, MatrixRef<Real> y) {
  for (std::size_t row = 0; row < y.rows; ++row) {
    const std::size_t seqlen = in.x.rows / in.batch;
    const std::span<Real> out(y[row], y.columns);
    convolve_token(in, row / seqlen, row % seqlen, out);
    for (Real& value : out) value = in.silu ? silu(value) : value;
  }
}

}  // namespace unchecked

// The front door sees to it that all sizes agree.

//: fold The checks
template <class Real>
static void check(const ShortConvolution<Real>& in) {
  const std::size_t batch = in.batch, channels = in.x.columns, width = in.weight.columns;
  const std::size_t seqlen = batch == 0 ? 0 : in.x.rows / batch;
  if (batch * seqlen != in.x.rows) {
    throw ShapeError("x: expected batch * seqlen rows with batch = " + std::to_string(batch) +
                     ", got " + std::to_string(in.x.rows));
  }
  if (in.weight.rows != channels || width == 0) {
    throw ShapeError("conv1d.weight: expected shape (channels, d_conv) = (" + std::to_string(channels) +
                     ", at least 1), got " + shape_text(std::array{in.weight.rows, width}));
  }
  if (!in.bias.empty()) require_length("conv1d.bias", in.bias, channels, "(channels)");
  if (in.initial_state.data) {
    require_size("conv_state", in.initial_state, {batch, channels * width},
                 "(batch, channels * d_conv)");
  }
  if (!in.seq_idx.empty()) require_length("seq_idx", in.seq_idx, in.x.rows, "(batch * seqlen)");
}

template <class Real>
void short_convolution(const ShortConvolution<Real>& in, MatrixRef<Real> y) {
  check(in);
  require_size("y", y, {in.x.rows, in.x.columns}, "(batch * seqlen, channels)");
  unchecked::short_convolution(in, y);
}

// Give all channels the same taps, leave out bias and SiLU, and this is @chapter{state_space}'s
// causal convolution with a kernel of four numbers and then zeros:
//
// @output same
//
// ## What must be remembered {#convolution_and_norm_state}
//
// To go on after the last token, the convolution needs the last three inputs. The reference keeps
// four, `d_conv`, the newest included; to exchange states with it we do the same. They are
// *inputs*, from before the convolution and its SiLU. Storing outputs is the classic mistake.
//
// A text shorter than the window leaves its few inputs at the right-hand end, after what the state
// held before, or after zeros. With packed sequences only the last one counts.

namespace unchecked {

template <class Real>
void convolution_state(const ShortConvolution<Real>& in, MatrixRef<Real> state) {
  const std::size_t width = in.weight.columns, seqlen = in.batch == 0 ? 0 : in.x.rows / in.batch;
  for (std::size_t b = 0; b < in.batch; ++b) {
    const std::size_t t = seqlen - 1, row = b * seqlen + t;  // the last token, if there is one
    const std::size_t inputs = seqlen == 0 ? 0 : reach(in.seq_idx, row, t, width - 1) + 1;
    const bool goes_on = in.initial_state.data && inputs == seqlen;  // back to the first token
    for (std::size_t c = 0; c < in.x.columns; ++c) {
      Real* const window = state[b] + c * width;
      const Real* const before = goes_on ? in.initial_state[b] + c * width : nullptr;
      for (std::size_t k = 0; k < width - inputs; ++k)
        window[k] = before ? before[k + inputs] : Real(0);
      for (std::size_t k = 0; k < inputs; ++k) window[width - 1 - k] = in.x[row - k][c];
    }
  }
}

}  // namespace unchecked

template <class Real>
Tensor<Real, 3> convolution_state(const ShortConvolution<Real>& in) {
  check(in);
  auto state = zeros<Real>(in.batch, in.x.columns, in.weight.columns);
  unchecked::convolution_state<Real>(in, as_rows<1>(state));
  return state;
}

// Look at the order in which a window is filled, from the left. What was there before moves to the
// left, the text's own inputs follow; so the new window may be written over the old one.
//
// That the two fit together is seen by cutting a sequence in two, at any place, and handing the
// state over:
//
// @output cut
//
// ## Root mean square {#convolution_and_norm_rms}
//
// A norm brings a row of numbers to a standard size, so that what comes next can count on it. The
// RMS norm divides by the root of the mean square, and then gives each channel a learnt weight:
//
// $$ \mathrm{norm}(x)_i = w_i \, \frac{x_i}{\sqrt{\frac{1}{d} \sum_j x_j^2 + \epsilon}}. $$ {#eq:rms_norm}
//
// Why is one needed here? A scan adds up. How large its output gets depends on how long a head
// remembers and on how much the tokens have in common, and nothing bounds it from outside. The
// authors found that larger models without a norm before the output projection tended to become
// unstable in training ([@dao2024], section 7.1; its Table 4 has the comparison in a small model).
//
// Unlike the older layer norm it subtracts no mean. The $\epsilon$ keeps a row of zeros from
// dividing by zero. It matters only for rows whose mean square is no larger than it: for those the
// output shrinks instead of blowing up the noise.

namespace {

/// One over the root of the mean square.
template <class Real>
Real inverse_rms(std::span<const Real> x, double eps) {
  Real sum = 0;
  for (const Real value : x) sum += value * value;
  return 1 / std::sqrt(sum / static_cast<Real>(x.size()) + static_cast<Real>(eps));
}

}  // namespace

namespace unchecked {

template <class Real>
void rms_norm(MatrixRef<const Real> x, std::span<const Real> weight, double eps, MatrixRef<Real> y) {
  for (std::size_t t = 0; t < x.rows; ++t) {
    const Real scale = inverse_rms(std::span(x[t], x.columns), eps);
    for (std::size_t i = 0; i < x.columns; ++i) y[t][i] = x[t][i] * scale * weight[i];
  }
}

}  // namespace unchecked

template <class Real>
void rms_norm(MatrixRef<const Real> x, std::span<const Real> weight, double eps, MatrixRef<Real> y) {
  require_length("norm.weight", weight, x.columns, "(features)");
  require_size("y", y, {x.rows, x.columns}, "(tokens, features)");
  unchecked::rms_norm(x, weight, eps, y);
}

// ## The gate, and who comes first {#convolution_and_norm_gate}
//
// The block computes a second set of channels, $z$, which never sees another token. Its SiLU
// multiplies what the scan gives: a channel of the output can be turned down, or off, by the token
// at hand. There are two orders, and a model trained in one is broken in the other:
//
// $$ \mathrm{norm}(y \circ \silu(z)) \qquad\text{or}\qquad \mathrm{norm}(y) \circ \silu(z). $$ {#eq:gate_order}
//
// The first is the reference's default and that of the models published with the paper
// (`norm_before_gate = false`). In it a token can no longer turn *all* its channels down: the norm
// brings the rest back up to size. In the second it can.
//
// ::: figure gate_order
// One row of eight channels, all gates turned down together from left to right. Normed after the
// gate, the row keeps its size until the $\epsilon$ takes over; normed before, its size follows the
// gate.
// :::
//
// @output gate
//
// With `ngroups` greater than one, the norm is split as well: each group of
// $d_{ssm}/\texttt{ngroups}$ channels gets its own mean square. The reason is not a statistical
// one. A layer that is split over several processors by groups must not wait for the others to add
// up a sum.
//
// Here lies a known disagreement. Hugging Face's model [@huggingface] takes the mean over all
// channels, whatever the groups, when it reads a prompt and when it writes, with fast kernels or
// without; only the fused kernel that it trains with goes by groups, as the reference does. With
// several groups it trains one function and serves another. For one group, and so for all models
// published with the paper, both are the same. We follow the reference, and have the other as an
// option (@chapter{mamba2_block}).
//
// ::: figure groups
// The mean squares of one row under one group and under four. Channels of a weak group come out
// stronger when their group is normed by itself.
// :::

// In the code a group is a stretch of neighbouring channels. An empty weight means no norm at all,
// and the gate alone is left; the block has two uses for that.

namespace unchecked {

template <class Real>
void gated_norm(MatrixRef<const Real> y, MatrixRef<const Real> z, const GatedNorm<Real>& how,
                MatrixRef<Real> out) {
  const std::size_t features = y.columns, width = features / how.groups;
  const bool norm = !how.weight.empty(), norm_first = norm && how.norm_before_gate;
  std::vector<Real> gate(features);
  for (std::size_t t = 0; t < y.rows; ++t) {
    for (std::size_t i = 0; i < features; ++i) gate[i] = silu(z[t][i]);
    for (std::size_t i = 0; i < features; ++i) out[t][i] = norm_first ? y[t][i] : y[t][i] * gate[i];
    for (std::size_t first = 0; norm && first < features; first += width) {
      const Real scale = inverse_rms(std::span<const Real>(out[t] + first, width), how.eps);
      for (std::size_t i = first; i < first + width; ++i) out[t][i] *= scale * how.weight[i];
    }
    for (std::size_t i = 0; norm_first && i < features; ++i) out[t][i] *= gate[i];
  }
}

}  // namespace unchecked

// With its sizes checked:

//: fold The front door
template <class Real>
void gated_norm(MatrixRef<const Real> y, MatrixRef<const Real> z, const GatedNorm<Real>& how,
                MatrixRef<Real> out) {
  const std::size_t features = y.columns;
  require_size("z", z, {y.rows, features}, "(tokens, features)");
  require_size("out", out, {y.rows, features}, "(tokens, features)");
  if (!how.weight.empty()) require_length("norm.weight", how.weight, features, "(features)");
  require(how.groups > 0 && features % how.groups == 0, "groups",
          "a divisor of the " + std::to_string(features) + " features", std::to_string(how.groups));
  unchecked::gated_norm(y, z, how, out);
}

// And for both kinds of numbers:

#define MAMBA2_INSTANTIATE(Real)                                                                 \
  template void short_convolution(const ShortConvolution<Real>&, MatrixRef<Real>);               \
  template void unchecked::short_convolution(const ShortConvolution<Real>&, MatrixRef<Real>);    \
  template Tensor<Real, 3> convolution_state(const ShortConvolution<Real>&);                     \
  template void unchecked::convolution_state(const ShortConvolution<Real>&, MatrixRef<Real>);    \
  template void rms_norm(MatrixRef<const Real>, std::span<const Real>, double, MatrixRef<Real>); \
  template void unchecked::rms_norm(MatrixRef<const Real>, std::span<const Real>, double,        \
                                    MatrixRef<Real>);                                            \
  template void gated_norm(MatrixRef<const Real>, MatrixRef<const Real>, const GatedNorm<Real>&, \
                           MatrixRef<Real>);                                                     \
  template void unchecked::gated_norm(MatrixRef<const Real>, MatrixRef<const Real>,              \
                                      const GatedNorm<Real>&, MatrixRef<Real>);
MAMBA2_INSTANTIATE(float)
MAMBA2_INSTANTIATE(double)
#undef MAMBA2_INSTANTIATE

}  // namespace mamba2
