// # Selection {#ch_selection}
// @summary Step sizes and projections computed from the token, what a head starts from, and what Mamba-2 gives up against Mamba-1.
//
// Read this sentence and then say what its third word was. To do so you had to let some words pass
// and hold on to one, and you decided that by looking at the words themselves. The model of
// @chapter{state_space} cannot decide anything: its numbers $\bar A$, $\bar B$ and $C$ are fixed
// before the first token comes, so each token is written into the state with the same strength, and
// fades at the same pace, whatever it says.
//
// *Selection* is the cure, and it is a small one: compute the numbers from the token.
// @Chapters{state_space to real_sequences} were written for it all along. They gave every token its
// own step size $\Delta_t$, its own $B_t$, its own $C_t$. What they left open is where these come
// from, in which form they are learnt, and what they are before anything has been learnt. That is
// this chapter. It also looks back at Mamba-1 [@gu2023], which had selection first and in a richer
// form, to see what Mamba-2 gave up, and what for.
//
// ## What it builds on {#selection_builds_on}
//
// @Chapter{state_space} for the recurrence, its discretisation and the convolution that a constant
// model is; @chapter{duality} for the matrix product; @chapter{real_sequences} for the operator
// mamba2::ssd, for softplus() and for silu().
//
// ## Shapes {#selection_shapes}
//
// ::: shapes
// | name | shape | what it is |
// |---|---|---|
// | `dt_bias`, `A_log` | (nheads) | what Mamba-2 learns about pace: one number each for each head |
// | $\Delta$ (`dt`) | (batch, seqlen, nheads) | step size: one for each token and head |
// | $A$ | (nheads) | rate of fading, negative |
// | Mamba-1: $\Delta$ | (batch, seqlen, d_inner) | one for each token and *channel* |
// | Mamba-1: $A$ | (d_inner, d_state) | one for each channel and *state* |
// | Mamba-1: $B$, $C$ | (batch, seqlen, d_state) | shared by all channels |
// :::
//
// ## A task that asks for a decision {#selection_task}
//
// Take the smallest there is. Each token is a pair: a value $v_t$, which is $+1$ or $-1$, and a
// mark $m_t$, which is 1 for one token in four and 0 for the rest. At each step, say the value of
// the latest marked token. (It is a small relative of the selective copying task, with which the
// Mamba-1 paper opens its case.)
//
// ::: figure latch
// Forty tokens. Dots are the values, filled where the token is marked. The target holds the value
// of the latest mark. The selective model is on top of it; the best constant model hovers around
// zero, because it must average over what it cannot tell apart.
// :::
//
// Four models try it, each the best of its kind:
//
// @output task
//
// The first row is no model at all. What do the others do?
//
// **Nothing is selected.** With constant parameters the model is a convolution
// (@chapter{state_space}): given values and marks, its output is a fixed mixture of both,
//
// $$ \hat y_t = \sum_{k \ge 0} K_k v_{t-k} + \sum_{k \ge 0} J_k m_{t-k}. $$ {#eq:constant_model}
//
// Let the values be drawn by tossing a fair coin, and let a token be marked with probability $p$.
// The target is the value $v_{t-k}$ itself if the latest mark lies $k$ steps back, which happens
// with probability $p(1-p)^k$; else it is another toss. So $p(1-p)^k$ is the *correlation* of the
// two. With the marks, which know nothing of the values, the target has nothing in common. The
// least squares answer can be read off: $J_k = 0$ and
//
// $$ K_k = p (1-p)^k, \qquad \mathbb{E}\,(y_t - \hat y_t)^2 = 1 - \sum_k K_k^2 = 1 - \frac{p}{2 - p}. $$ {#eq:best_constant}
//
// Look at this kernel: it is $C\bar A^k \bar B$ with $\bar A = 1 - p$ and $\bar B = p$. The best
// constant model of *any* state size is one with a single number of state, and for $p = 1/4$ its
// squared error is 6/7. More states would not help by a hair. What is missing is not memory but the
// right to look at the mark before writing.
//
// **Writing is selected.** So let it look: $\bar B_t = m_t$, and only marked values enter. The
// model is a constant one of the products $u_t = m_t v_t$. These have the mean square $p$ and the
// same correlation with the target, so the best weight of each is $(1-p)^k$, and the error is
//
// $$ 1 - \sum_k \frac{\bigl(p(1-p)^k\bigr)^2}{p} = 1 - \frac{1}{2-p} = \frac{1-p}{2-p}, $$ {#eq:selective_writing}
//
// for $p = 1/4$ half of what it was, 3/7. What is wrong now is that old marks never leave at the
// right time. They fade at a pace of their own, and not when the next mark comes.
//
// **Forgetting is selected as well.** Let a mark also clear what was there: $\bar A_t = 1 - m_t$.
// Then nothing is wrong. It still has one number of state.[^sign]
//
// [^sign]: All of this is about what is linear in the state, with the state itself as the answer.
//   Who may look at the state with a nonlinear eye needs less: $h \leftarrow 0.49\,h + m_t v_t$
//   with constant forgetting, read by its sign, is never wrong, because all old marks together are
//   outweighed by the latest. A network has such eyes. It pays for each with a layer.
//
// Writing is what $B_t$ decides, forgetting what $\Delta_t$ decides. That is the division of labour
// in every head of Mamba-2, and the rows of the table are what each of them is worth. Where the
// models stand that select less or more, from linear attention, which never forgets, to Mamba-1,
// which forgets each number by itself, is shown by the family table of @chapter{semiseparable}.
//
// ## One number that opens and closes {#selection_step_size}
//
// Recall what the step size does. In one step the state is multiplied by $e^{\Delta A}$, and the
// input enters with weight $\Delta$ (@chapter{state_space} says why one of them is exact and the
// other Euler's rule, and why $\Delta$ appears twice).
//
// - $\Delta$ near 0: nothing fades and nothing enters. The token is passed over.
// - $\Delta$ large: all that was known fades, and the token takes its place.
//
// So a step size alone is both gates that the task asks for: make it large on a mark and tiny
// elsewhere. By hand, with $A = -1$: let the raw step size be $36\, m_t - 24$ before the softplus,
// which gives $\Delta = 12$ on a mark and $4 \cdot 10^{-11}$ otherwise. With $B = 1/12$ the marked
// value enters with weight one, and what was there before is multiplied by $e^{-12}$.
//
// Why a softplus, of all functions that are positive? Because of what comes out at the other end.
// With $A = -1$,
//
// $$ e^{-\softplus(z)} = \frac{1}{1 + e^z} = 1 - \sigma(z), $$ {#eq:gate}
//
// where $\sigma$ is the logistic function: a softplus followed by an exponential *is* the gate of
// an LSTM or a GRU. With the zero-order hold the input's weight is $1 - e^{\Delta A} = \sigma(z)$,
// and the recurrence becomes $h_t = (1 - \sigma(z_t))\, h_{t-1} + \sigma(z_t)\, x_t$: the update of
// a gated recurrent unit. (Theorem 1 of the Mamba-1 paper.) With one difference, and that is the
// point. A GRU computes its gates, and its $x_t$, from the state $h_{t-1}$ as well. Here they see
// the input alone. So the recurrence is linear in the state, all its factors are known before the
// first step is taken, and it may be computed in any order: as a scan, in chunks, as a matrix. A
// GRU has to go from step to step. A head with another rate raises the gate to a power:
// $e^{\Delta A} = (1-\sigma(z))^{|A|}$.
//
// ::: figure gate
// Left to right, from closed to open: the factor on the old state for three rates, and the weight
// of the new input, by the zero-order hold for $A=-1$ and by Euler's rule. They part company only
// as the gate opens.
// :::
//
// @output gate
//
// In the model the raw step size is a linear function of the token plus a bias that belongs to the
// head: $\Delta_t = \softplus(w^\top u_t + b)$, with $b$ called `dt_bias`. $B_t$ and $C_t$ are
// linear functions of the token too. They select as well, but finer: $B_t$ says *where in the
// state* a token is written, $C_t$ where to read, and the step size says how much all of it fades
// meanwhile.
//
// ::: keyidea Three selections
// $B_t$ chooses where a token is written, $C_t$ where to read, and $\Delta_t$ how much is forgotten
// and how strongly is written. All three are computed from the token; the rate $A$ alone is a fixed
// parameter, and even it acts only through $\Delta_t A$, which is not fixed.
// :::
//
// ## Why minus the exponential of a logarithm {#selection_parameters}
//
// The rate $A$ must be negative. At $A > 0$ the state would grow by a factor at each step and
// overflow within a few thousand tokens. But $A$ is learnt, and a step of gradient descent knows
// nothing of signs. So what is learnt is another number, `A_log`, and the rate is made from it:
//
// $$ A = -e^{A_{\log}}. $$
//
// Whatever number the optimiser writes there, the rate is negative. There is a second reason, just
// as good. Rates live on a scale of *ratios*: from 1 to 2 is as big a change as from 8 to 16. A
// gradient step adds to the logarithm, and so multiplies the rate.

#include <mamba2/activation.hpp>
#include <mamba2/error.hpp>
#include <mamba2/mamba1.hpp>
#include <mamba2/matrix.hpp>
#include <mamba2/selection.hpp>

#include <algorithm>
#include <cmath>
#include <numbers>

namespace mamba2 {

template <class Real>
Tensor<Real, 1> rates(const Tensor<Real, 1>& A_log) {
  auto A = zeros<Real>(A_log.size());
  for (std::size_t h = 0; h < A.size(); ++h) A(h) = -std::exp(A_log(h));
  return A;
}

// The step size must be positive, and the softplus sees to that in the same spirit. One often wants
// to go the other way: *this* step size, please; which bias gives it? Solve $y = \log(1 + e^b)$ for
// $b$:
//
// $$ b = \log(e^y - 1) = y + \log(1 - e^{-y}). $$
//
// The two forms are equal, and only the second is fit for use. A step size of 0.001 turns the first
// into the logarithm of the difference of two numbers that agree in three digits; at $y = 1000$ it
// overflows. The standard library has `expm1`, which computes $e^x - 1$ without the subtraction:

template <class Real>
Real inverse_softplus(Real y) {
  return y + std::log(-std::expm1(-y));
}

// Because both are parameters of pace rather than weights, no weight decay should pull them toward
// zero: `A_log = 0` is no neutral value, it is the rate $-1$. The reference leaves `A_log`,
// `dt_bias` and `D` out of the decay.
//
// ## What they start from {#selection_initialisation}
//
// An untrained head should already remember over *some* useful stretch of text, and different heads
// over different stretches. After how many tokens has a head forgotten? The state is multiplied by
// $e^{\Delta A}$ at each, so it falls to $1/e$ after
//
// $$ \tau = \frac{1}{\Delta\,|A|} \text{ tokens}. $$ {#eq:memory}
//
// Mamba-2 draws $\Delta$ between 0.001 and 0.1, *log-uniformly*: as many between 0.001 and 0.01 as
// between 0.01 and 0.1. Drawn evenly, nine heads in ten would have a step size above 0.01, and
// hardly any a long memory. The rate $|A|$ is drawn evenly between 1 and 16. (In Mamba-1 the
// sixteen states of a channel start with the rates 1, 2, …, 16. Mamba-2 has one rate for a head,
// and draws it from the same range.)
//
// At the ends of both ranges stand memories of 1000 tokens and of less than one. But the long end
// needs a small step *and* a small rate at once, and a rate drawn evenly is about 8. So most heads
// of a fresh layer forget within a hundred tokens, and the longest memory that comes up is far from
// 1000:
//
// @output start
//
// Longer ones have to be learnt, or asked for by other ranges.
//
// ::: figure memory
// What 24 fresh heads remember of one token, as the program draws them. Each line is
// $e^{k \Delta A}$ for one head. The scale of tokens is logarithmic: the heads share out the
// distances.
// :::
//
// For drawing we need random numbers, and the same ones on every machine, so that what this book
// prints is what you will see. The standard library's generators are portable; its distributions
// are not. A generator that is fits in five lines (it is known as SplitMix64):

std::uint64_t Random::bits() {
  std::uint64_t z = state_ += 0x9e3779b97f4a7c15;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
  z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
  return z ^ (z >> 31);
}

// A double has 53 bits of mantissa, so 53 random bits make a number in $[0, 1)$. The normal
// distribution, which @chapter{language_model} needs, comes from two of those by the method of Box
// and Muller.

double Random::uniform() {
  return static_cast<double>(bits() >> 11) * 0x1p-53;
}

double Random::uniform(double low, double high) {
  return low + (high - low) * uniform();
}

double Random::normal() {
  const double radius = std::sqrt(-2 * std::log(1 - uniform()));
  return radius * std::cos(2 * std::numbers::pi * uniform());
}

// And the two initialisations. The floor is the reference's: a step size that comes out too small
// is raised to it. With the usual range it does nothing, but who lowers `dt_min` below the floor
// will be glad of it. (Zero itself has no logarithm, and is refused.)

double initial_dt_bias(double dt_min, double dt_max, double floor, Random& random) {
  const double dt = std::exp(random.uniform(std::log(dt_min), std::log(dt_max)));
  return inverse_softplus(std::max(dt, floor));
}

double initial_A_log(double A_min, double A_max, Random& random) {
  return std::log(random.uniform(A_min, A_max));
}

// ## Mamba-1, a rate for each channel and state {#selection_mamba1}
//
// In Mamba-1 each channel $d$ has a state of $N = 16$ numbers, and each of these numbers fades at a
// rate of its own:
//
// $$ h_{t,d,n} = e^{\Delta_{t,d} A_{d,n}}\, h_{t-1,d,n} + \Delta_{t,d}\, B_{t,n}\, x_{t,d}, \qquad y_{t,d} = \sum_n C_{t,n}\, h_{t,d,n} + D_d\, x_{t,d}. $$ {#eq:selective_scan}
//
// Compare it with @chapter{real_sequences}. There one decay serves a whole head, $P \times N$
// numbers; here each of the $d_{inner} \times N$ numbers has its own. And each *channel* has its
// own step size. That is all the difference between the two operators.

namespace unchecked {

template <class Real>
void selective_scan(const SelectiveScanRef<Real>& in, MatrixRef<Real> states, MatrixRef<Real> y) {
  const std::size_t seqlen = in.batch == 0 ? 0 : in.x.rows / in.batch;
  const std::size_t d_inner = in.A.rows, d_state = in.A.columns;
  for (std::size_t row = 0; row < in.x.rows; ++row) {  // a token
    Real* const state = states[row / seqlen];
    if (!in.seq_idx.empty() && row % seqlen > 0 && in.seq_idx[row] != in.seq_idx[row - 1])
      std::fill_n(state, d_inner * d_state, Real(0));
    const Real *B = in.B[row], *C = in.C[row];
    for (std::size_t d = 0; d < d_inner; ++d) {
      const Real x = in.x[row][d], dt = in.dt[row][d], *A = in.A[d];
      Real* const h = state + d * d_state;
      Real sum = in.D[d] * x;
      for (std::size_t n = 0; n < d_state; ++n) {
        h[n] = std::exp(dt * A[n]) * h[n] + dt * B[n] * x;
        sum += C[n] * h[n];
      }
      y[row][d] = sum;
    }
  }
}

}  // namespace unchecked

// Like the operator of @chapter{real_sequences} it works on rows of somebody else's memory, and
// goes on from any state. For tensors, from a state of zeros:

template <class Real>
SelectiveScanOutput<Real> selective_scan(const SelectiveScanInput<Real>& input) {
  const auto [batch, seqlen, d_inner] = input.x.shape();
  const std::size_t d_state = input.A.shape(1);
  require_shape("dt", input.dt, {batch, seqlen, d_inner}, "(batch, seqlen, d_inner)");
  require_shape("A", input.A, {d_inner, d_state}, "(d_inner, d_state)");
  require_shape("B", input.B, {batch, seqlen, d_state}, "(batch, seqlen, d_state)");
  require_shape("C", input.C, {batch, seqlen, d_state}, "(batch, seqlen, d_state)");
  require_shape("D", input.D, {d_inner}, "(d_inner)");

  SelectiveScanOutput<Real> output{zeros<Real>(batch, seqlen, d_inner),
                                   zeros<Real>(batch, d_inner, d_state)};
  unchecked::selective_scan<Real>({.batch = batch,
                                   .x = as_rows(input.x),
                                   .dt = as_rows(input.dt),
                                   .A = as_matrix(input.A),
                                   .B = as_rows(input.B),
                                   .C = as_rows(input.C),
                                   .D = as_span(input.D)},
                                  as_rows<1>(output.last_state), as_rows(output.y));
  return output;
}

// If the rates of a head's channels and states are all the same number, and its channels share
// their step size, this must be the operator of @chapter{real_sequences}, and it is:
//
// @output same
//
// The scan sits in a block. Ours follows the reference line by line, because a block is worth
// little unless it gives the same numbers, and the tests hold it to the reference's output.
//
// ::: figure mamba1_block
// The Mamba-1 block. $\Delta$, $B$ and $C$ are made *from the convolved $x$*, so the input of the
// scan must be finished before its parameters can be begun.
// :::
//
// One detail deserves a word. A step size for each of $d_{inner}$ channels, computed from all
// $d_{inner}$ channels, would take $d_{inner}^2$ weights. Mamba-1 goes through a bottleneck of
// `dt_rank` numbers (a sixteenth of the model's width) and spreads them out again. With one step
// size for each head, Mamba-2 needs no such thing.
//
// First two helpers, for the product with a weight matrix (checkpoints store it as (out, in), hence
// the transpose) and for cutting columns:

namespace {

/// Each row of x times the transpose of W, plus a bias if there is one.
template <class Real>
Tensor<Real, 3> project(const Tensor<Real, 3>& x, const Tensor<Real, 2>& W,
                        const Tensor<Real, 1>& bias = {}) {
  auto y = zeros<Real>(x.shape(0), x.shape(1), W.shape(0));
  if (bias.size() > 0)
    for (std::size_t i = 0; i < y.size(); ++i) y.data()[i] = bias(i % bias.size());
  multiply<Real>(as_rows(x), transpose(as_matrix(W)), /* beta = */ 1, as_rows(y));
  return y;
}

/// Columns first ... first + count of the last axis.
template <class Real>
Tensor<Real, 3> cut(const Tensor<Real, 3>& x, std::size_t first, std::size_t count) {
  if (x.size() == 0) return zeros<Real>(x.shape(0), x.shape(1), count);  // no memory to look into
  return xt::view(x, xt::all(), xt::all(), xt::range(first, first + count));
}

// Then the short convolution, a loop over taps. @Chapter{convolution_and_norm} asks what it is for.
// Checkpoints store the taps with the newest token's last.

/// Each channel with its own few taps, then SiLU.
template <class Real>
Tensor<Real, 3> convolve(const Mamba1Parameters<Real>& p, const Tensor<Real, 3>& x) {
  const auto [batch, seqlen, channels] = x.shape();
  const std::size_t width = p.conv1d_weight.shape(2);
  auto y = zeros<Real>(batch, seqlen, channels);
  for (std::size_t b = 0; b < batch; ++b)
    for (std::size_t t = 0; t < seqlen; ++t)
      for (std::size_t c = 0; c < channels; ++c) {
        Real sum = p.conv1d_bias.size() > 0 ? p.conv1d_bias(c) : Real(0);
        for (std::size_t k = 0; k < std::min(t + 1, width); ++k)  // k tokens back
          sum += p.conv1d_weight(c, 0, width - 1 - k) * x(b, t - k, c);
        y(b, t, c) = silu(sum);
      }
  return y;
}

// The sizes are read off the weights, and have to agree.

//: fold The checks
template <class Real>
void check_shapes(const Mamba1Parameters<Real>& p, const Tensor<Real, 3>& u) {
  const std::size_t d_model = p.out_proj_weight.shape(0), d_inner = p.out_proj_weight.shape(1);
  const std::size_t d_state = p.A_log.shape(1), dt_rank = p.dt_proj_weight.shape(1),
                    d_conv = p.conv1d_weight.shape(2);
  require_shape("u", u, {u.shape(0), u.shape(1), d_model}, "(batch, seqlen, d_model)");
  require_shape("in_proj.weight", p.in_proj_weight, {2 * d_inner, d_model}, "(2 d_inner, d_model)");
  require_shape("conv1d.weight", p.conv1d_weight, {d_inner, 1, d_conv}, "(d_inner, 1, d_conv)");
  if (p.conv1d_bias.size() > 0) require_shape("conv1d.bias", p.conv1d_bias, {d_inner}, "(d_inner)");
  if (p.in_proj_bias.size() > 0)
    require_shape("in_proj.bias", p.in_proj_bias, {2 * d_inner}, "(2 d_inner)");
  if (p.out_proj_bias.size() > 0)
    require_shape("out_proj.bias", p.out_proj_bias, {d_model}, "(d_model)");
  require_shape("x_proj.weight", p.x_proj_weight, {dt_rank + 2 * d_state, d_inner},
                "(dt_rank + 2 d_state, d_inner)");
  require_shape("dt_proj.weight", p.dt_proj_weight, {d_inner, dt_rank}, "(d_inner, dt_rank)");
  require_shape("dt_proj.bias", p.dt_proj_bias, {d_inner}, "(d_inner)");
  require_shape("A_log", p.A_log, {d_inner, d_state}, "(d_inner, d_state)");
  require_shape("D", p.D, {d_inner}, "(d_inner)");
}

}  // namespace

// And the block, top to bottom as in the figure:

template <class Real>
Mamba1Output<Real> mamba1_block(const Mamba1Parameters<Real>& p, const Tensor<Real, 3>& u) {
  check_shapes(p, u);
  const std::size_t d_inner = p.A_log.shape(0), d_state = p.A_log.shape(1),
                    dt_rank = p.dt_proj_weight.shape(1);

  const auto xz = project(u, p.in_proj_weight, p.in_proj_bias);  // (batch, seqlen, 2 d_inner)
  const auto x = convolve(p, cut(xz, 0, d_inner));               // (batch, seqlen, d_inner)
  const auto dtBC = project(x, p.x_proj_weight);                 // (batch, seqlen, dt_rank + 2 d_state)
  auto dt = project(cut(dtBC, 0, dt_rank), p.dt_proj_weight, p.dt_proj_bias);
  for (Real& step : dt) step = softplus(step);  // (batch, seqlen, d_inner)
  const Tensor<Real, 2> A = -xt::exp(p.A_log);  // (d_inner, d_state)
  const auto B = cut(dtBC, dt_rank, d_state);
  const auto C = cut(dtBC, dt_rank + d_state, d_state);

  auto [y, state] = selective_scan<Real>({x, dt, A, B, C, p.D});
  const auto z = cut(xz, d_inner, d_inner);
  for (std::size_t i = 0; i < y.size(); ++i) y.flat(i) *= silu(z.flat(i));
  return {project(y, p.out_proj_weight, p.out_proj_bias), state};
}

// ## What the scalar gives up, and what it buys {#selection_scalar}
//
// Mamba-2's operator is Mamba-1's with rates tied together. A restriction is never free. What is
// lost shows best in a model with constant parameters, whose kernel is
// $K_k = \sum_n C_n B_n e^{k \Delta A_n}$. With a rate for each state that is a sum of $N$
// different exponentials, and sums of exponentials can take many shapes: a hump that rises before
// it falls, a tail that falls like $1/k$. With one rate for all of them it is
// $(C^\top B)\, e^{k\Delta A}$, a single exponential, whatever the size of the state.
//
// ::: figure kernels
// Kernels of one channel with constant parameters. With a rate for each state, two states make the
// hump and sixteen the long tail. With one rate for all of them there is nothing but the plain
// exponential.
// :::
//
// Two things make up for it. A layer has many heads, each with its own rate, and the block mixes
// their channels. And for tokens that do differ, $B_t$ and $C_t$ do most of the work: what matters
// then is how many things can be told apart in a state, which is a matter of size.
//
// Size is what the restriction buys. With one scalar for the whole step, the matrix behind the
// model is $L \circ (C B^\top)$, a mask on a matrix product (@chapter{duality}), and
// @chapter{chunked_scan} turned all of the work into such products. Here the decay differs from
// channel to channel, too. Each channel has a matrix of its own, which meets a single column of
// inputs, and there is nothing to share: equation @eqref{eq:selective_scan} must be run as it
// stands. (A rate for each state alone would lose less; @chapter{duality} says what.) Here is the
// bill for one token in one layer of the width of the 130M models ($d_{model} = 768$):
//
// @output count
//
// The exponentials have all but vanished: Mamba-2 spends no more of them on the whole layer than
// Mamba-1 on one channel and a half. The multiplications have become more, for a state eight times
// as large. That is the bill of the recurrence. In the chunked form, which is how a text is read,
// Mamba-2 takes about $Q/2$ exponentials for each head where the recurrence takes one (with
// $Q = 64$ still 30 times fewer), and nearly all its multiplications are in matrix products, which
// are what processors do best. Mamba-1's can only be done as they stand. Measured on the machine
// that made this book:
//
// ::: figure cost
// Time per token for one layer of 256 channels, against the state size, as this chapter's figure
// program measured it. The selective scan computes an exponential for each number of the state, and
// its time grows with $N$. The chunked scan pays for a chunk first, and then little for more state.
// :::
//
// The paper's Figure 10 shows a picture of this shape for a GPU. Mamba-1 kept
// $N = 16$ because more was too slow; the published Mamba-2 models have $N = 128$, and the paper's
// experiments on associative recall (its Figure 8) show what that is good for: with the state grows
// the number of things that can be looked up.
//
// ::: aside So what is SSD, and what is Mamba-2?
// SSD, state space duality, is the operator: @chapters{duality to real_sequences}, any code that
// has an $x$, a $\Delta$, a $B$ and a $C$ can use it. Mamba-2 is one block built around it: the
// projections, the short convolution, the gate, the norm. That block also moves things about:
// $\Delta$, $B$ and $C$ come straight from the input in one projection, side by side with $x$, and
// not from $x$ after the convolution as in Mamba-1. The paper finds that this saves parameters and,
// if anything, helps; and it makes the layer easy to split over several machines.
// @Chapters{convolution_and_norm and mamba2_block} build it.
// :::

template float inverse_softplus(float);
template double inverse_softplus(double);
template Tensor<float, 1> rates(const Tensor<float, 1>&);
template Tensor<double, 1> rates(const Tensor<double, 1>&);
template SelectiveScanOutput<float> selective_scan(const SelectiveScanInput<float>&);
template SelectiveScanOutput<double> selective_scan(const SelectiveScanInput<double>&);
template void unchecked::selective_scan(const SelectiveScanRef<float>&, MatrixRef<float>,
                                        MatrixRef<float>);
template void unchecked::selective_scan(const SelectiveScanRef<double>&, MatrixRef<double>,
                                        MatrixRef<double>);
template Mamba1Output<float> mamba1_block(const Mamba1Parameters<float>&, const Tensor<float, 3>&);
template Mamba1Output<double> mamba1_block(const Mamba1Parameters<double>&, const Tensor<double, 3>&);

}  // namespace mamba2
