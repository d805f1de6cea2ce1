// # One token at a time {#ch_one_token_at_a_time}
// @summary What a model has to keep to go on, the step from one token to the next, and why it costs the same after a million of them.
//
// A language model reads a prompt in one go, but it writes word by word: each new token depends on
// the one before it, which has only just been chosen. So after the prompt, the model is called with
// a single token, again and again.
//
// Attention pays for this. Each new token must look at all earlier ones, so their keys and values
// are kept, and both the memory and the time for a token grow with the text. A state space model
// has nothing to look back at. All it knows of the past is a state of fixed size. The recurrence,
// which @chapters{duality and chunked_scan} worked so hard to avoid because it is slow over long
// texts, is just what is wanted now.
//
// There is one condition: it must be *the same model*. The prompt goes through chunks and matrix
// products, the following tokens through a recurrence, and where one hands over to the other not a
// digit may be lost. A model that reads well and then writes nonsense has usually failed here.
//
// ## What it builds on {#one_token_at_a_time_builds_on}
//
// @Chapter{duality}'s MatrixRef; @chapter{real_sequences}'s rule for step sizes and groups,
// step_size() and group_of_head(); @chapter{selection}'s rates(); @chapter{mamba2_block}'s block,
// of which the ends are used again.
//
// In thought also on @chapter{convolution_and_norm}: the convolution, and what it must remember.
//
// ## Shapes {#one_token_at_a_time_shapes}
//
// ::: shapes
// | name | shape | what it is |
// |---|---|---|
// | $u$, $y$ | (batch, d_model) | one token of each sequence, in and out |
// | conv_state | (batch, conv_dim, d_conv) | the last inputs of the convolution, the newest last |
// | ssm_state | (batch, nheads, headdim, d_state) | the state of the scan |
// :::
//
// ## What has to be remembered {#one_token_at_a_time_cache}
//
// Go through the block and ask of each part: does it look at an earlier token? The projections do
// not. The gate and the norm do not. The convolution looks three tokens back. The scan looks back
// through its state. That is all. Two tensors hold everything the block knows of the past, and
// Mamba2Cache is the pair of them.
//
// For the 130M model, in 32-bit floats, beside attention layers of the same width:
//
// @output size
//
// Why two numbers of layers? A block of Mamba-2 does without the MLP that an attention layer has
// beside it, so a transformer of this size has half as many layers (@chapter{mamba2_block}).
// Whichever one compares with, after a few hundred tokens attention needs more.
//
// ::: figure memory_against_length
// Memory for the past of one text, in 32-bit floats, all layers of width 768. The keys and values
// of attention grow with the text, the cache of Mamba-2 does not.
// :::
//
// Constant memory is not magic. The past is *compressed* into these numbers, and what does not fit
// is lost. Attention forgets nothing and pays for it.
//
// And what does a token *cost*? For each one, every weight of the model is read once, and the state
// is read and written. For the 130M model:
//
// @output token
//
// The state is a small part of the traffic. What a token takes is the time to bring the weights
// from memory, for one text; with several texts in a batch the weights are shared, and the states
// are not.
//
// ## Moving the window {#one_token_at_a_time_window}
//
// The convolution keeps the last `d_conv` inputs of each channel. With a new token the oldest
// leaves on the left, the new one enters on the right, and the output is the taps' weighted sum of
// what is then in the window. Note the order: the token enters first. Its own tap is the last.
//
// ::: figure window_step
// One step of the convolution for one channel. The window moves on by one, and then is weighed.
// :::

#include <mamba2/activation.hpp>
#include <mamba2/block.hpp>
#include <mamba2/cache.hpp>
#include <mamba2/error.hpp>

#include <algorithm>
#include <array>
#include <cmath>

namespace mamba2 {

namespace unchecked {

template <class Real>
void convolution_step(MatrixRef<const Real> x, MatrixRef<const Real> weight, std::span<const Real> bias,
                      MatrixRef<Real> state, MatrixRef<Real> y) {
  const std::size_t width = weight.columns;
  for (std::size_t b = 0; b < x.rows; ++b) {
    for (std::size_t c = 0; c < x.columns; ++c) {
      Real* const window = state[b] + c * width;
      std::copy(window + 1, window + width, window);  // the oldest input leaves,
      window[width - 1] = x[b][c];                    // the newest enters
      Real sum = bias.empty() ? Real(0) : bias[c];
      for (std::size_t k = 0; k < width; ++k) sum += weight[c][k] * window[k];
      y[b][c] = silu(sum);
    }
  }
}

}  // namespace unchecked

// The same for whoever has tensors:

//: fold The front door
template <class Real>
void convolution_step(MatrixRef<const Real> x, MatrixRef<const Real> weight, std::span<const Real> bias,
                      Tensor<Real, 3>& state, MatrixRef<Real> y) {
  const std::size_t channels = x.columns;
  require_size("weight", weight, {channels, weight.columns}, "(channels, d_conv)");
  if (!bias.empty()) require_length("bias", bias, channels, "(channels)");
  require_shape("conv_state", state, {x.rows, channels, weight.columns}, "(batch, channels, d_conv)");
  require_size("y", y, {x.rows, channels}, "(batch, channels)");
  unchecked::convolution_step<Real>(x, weight, bias, as_rows<1>(state), y);
}

// This moves `d_conv - 1` numbers for each channel at each step. A ring that is overwritten in
// place would move none; @exercise{1} builds it. With four taps it hardly matters.
//
// ## One step of the scan {#one_token_at_a_time_scan}
//
// One token, one head: fade, write, read. Nothing here is new: it is the recurrence of
// @chapter{state_space},
//
// $$ h \leftarrow e^{\Delta A} h + (\Delta\, x)\, B^\top, \qquad y = h\, C + D\, x, $$ {#eq:one_step}
//
// with the state held as (headdim, d_state), so that the inner loop runs along memory. Each number
// of the state is read once and written once for a token.
//
// One thing must not be forgotten. The state is stored after *every* token here, and rounded each
// time: the case that @chapter{real_sequences} warned of. What that does in sixteen bits, a program
// shows quickly. A state that starts at 1.3 loses a thousandth at each of a thousand steps:
//
// @output frozen
//
// In bfloat16 it does not fade at all. Numbers between 1 and 2 lie 1/128 apart there, a thousandth
// of the state is less than half of that, and each step is rounded back to where it came from. The
// state is *frozen*. With 32 bits the same happens to heads that forget a few parts in a hundred
// million. So caches belong in float32 even where everything else has sixteen bits, and here we do
// one thing more: the arithmetic is in double, and what rounding takes is kept in a remainder
// beside the state.

//: fold Where the remainder lives
namespace {

/// A remainder of so many numbers: zeros where there was none.
template <class Real>
Real* made_for(std::vector<Real>& remainder, std::size_t size) {
  if (remainder.size() != size) remainder.assign(size, Real(0));
  return remainder.data();
}

}  // namespace

// For each sequence and head, with all that it needs at hand:

namespace unchecked {

template <class Real>
void scan_step(const ScanRef<Real>& in, const ScanOptions& options, ScanState<Real> states,
               MatrixRef<Real> y) {
  const auto [batch, seqlen, nheads, headdim, ngroups, d_state] = in.sizes;
  const std::size_t D_size = in.D.size() / nheads;  // of each head: 0, 1 or headdim
  for (std::size_t b = 0; b < batch; ++b) {
    for (std::size_t h = 0; h < nheads; ++h) {
      const std::size_t g = group_of_head(h, nheads, ngroups);
      const Real bias = in.dt_bias.empty() ? Real(0) : in.dt_bias[h];
      const Real dt = step_size(in.dt[b][h] + bias, options);
      const double decay = std::exp(static_cast<double>(dt * in.A[h]));
      const Real *B = in.B[b] + g * d_state, *C = in.C[b] + g * d_state, *x = in.x[b] + h * headdim;
      Real* S = states.state[b] + h * headdim * d_state;
      Real* rest =
          states.remainder.data ? made_for(states.remainder(b, h), headdim * d_state) : nullptr;
      for (std::size_t p = 0; p < headdim; ++p) {
        const Real input = dt * x[p];
        Real sum = D_size == 0 ? Real(0) : in.D[h * D_size + p % D_size] * x[p];
        for (std::size_t n = 0; n < d_state; ++n, ++S) {
          const double before = *S + static_cast<double>(rest ? own_remainder(*S, *rest) : Real(0));
          const double after = decay * before + input * B[n];
          *S = static_cast<Real>(after);
          if (rest) *rest++ = static_cast<Real>(after - *S);
          sum += *S * C[n];
        }
        y[b][h * headdim + p] = sum;
      }
    }
  }
}

}  // namespace unchecked

// And with tensors, whose sizes are checked:

//: fold The front door
template <class Real>
Tensor<Real, 4> scan_step(const ScanInput<Real>& input, const ScanOptions& options,
                          Tensor<Real, 4>& state, std::vector<std::vector<Real>>* remainder) {
  const ScanSizes s = scan_sizes(input, options);
  require_shape("x", input.x, {s.batch, 1, s.nheads, s.headdim}, "(batch, 1, nheads, headdim)");
  require_shape("state", state, {s.batch, s.nheads, s.headdim, s.d_state},
                "(batch, nheads, headdim, d_state)");
  if (input.z || input.initial_state || input.seq_idx)
    throw ValueError("scan_step: expected no z, no initial_state and no seq_idx");
  ScanState<Real> states = as_rows<1>(state);
  if (remainder) {
    remainder->resize(s.batch * s.nheads);
    states.remainder = {remainder->data(), s.batch, s.nheads, s.nheads};
  }
  auto y = Tensor<Real, 4>::from_shape(input.x.shape());
  unchecked::scan_step<Real>(input, options, states, as_rows<2>(y));
  return y;
}

// The remainders are made with the first step and stay, so that later steps ask for no memory.
// @Chapter{fast} keeps them only for heads that forget so slowly that it matters.
//
// ## The step {#one_token_at_a_time_step}
//
// And the step of the block is the block's own first function, the two above, and the block's own
// last two (@chapter{mamba2_block}). That the ends are *shared* with the pass over whole texts, and
// not written a second time, is half of what makes the two agree.
//
// What the step computes on its way needs room. A model writes one token after the other, through
// some dozens of blocks, and would ask for that room again each time. So the cache brings it along,
// as `room`: it is made at the first step, and used again by all others.

template <class Real>
void Mamba2Mixer<Real>::step(MatrixRef<const Real> u, Cache& cache, const Operations<Real>& operations,
                             MatrixRef<Real> y) const {
  check_cache(cache, u.rows);
  Activations& a = cache.room;
  project_in(u, operations, a);
  const auto move_window =
      operations.convolution_step ? operations.convolution_step : unchecked::convolution_step<Real>;
  const auto scan_token = operations.scan_step ? operations.scan_step : unchecked::scan_step<Real>;
  const ShortConvolution<Real> window = convolution_ref(sizes_, *parameters_, u.rows, a);
  move_window(window.x, window.weight, window.bias, as_rows<1>(cache.conv_state), as_matrix(a.xBC));
  scan_token(scan_ref(sizes_, *parameters_, A_, u.rows, a),
             scan_options(sizes_.config, operations, Algorithm::recurrent, 0), cache.scan_state(),
             as_matrix(a.y));
  gate_and_norm(operations, a);
  project_out(operations, a, y);
}

template <class Real>
Tensor<Real, 2> Mamba2Block<Real>::step(const Tensor<Real, 2>& u, Mamba2Cache<Real>& cache) const {
  const std::size_t batch = u.shape(0);
  require_shape("u", u, {batch, sizes_.d_model}, "(batch, d_model)");
  auto y = Tensor<Real, 2>::from_shape({batch, sizes_.d_model});
  mixer_->step(as_matrix(u), cache, *operations_, as_matrix(y));
  return y;
}

#define MAMBA2_INSTANTIATE(Real)                                                                      \
  template void convolution_step(MatrixRef<const Real>, MatrixRef<const Real>, std::span<const Real>, \
                                 Tensor<Real, 3>&, MatrixRef<Real>);                                  \
  template void unchecked::convolution_step(MatrixRef<const Real>, MatrixRef<const Real>,             \
                                            std::span<const Real>, MatrixRef<Real>, MatrixRef<Real>); \
  template Tensor<Real, 4> scan_step(const ScanInput<Real>&, const ScanOptions&, Tensor<Real, 4>&,    \
                                     std::vector<std::vector<Real>>*);                                \
  template void unchecked::scan_step(const ScanRef<Real>&, const ScanOptions&, ScanState<Real>,       \
                                     MatrixRef<Real>);                                                \
  template void Mamba2Mixer<Real>::step(MatrixRef<const Real>, Mamba2Cache<Real>&,                    \
                                        const Operations<Real>&, MatrixRef<Real>) const;              \
  template Tensor<Real, 2> Mamba2Block<Real>::step(const Tensor<Real, 2>&, Mamba2Cache<Real>&) const;
MAMBA2_INSTANTIATE(float)
MAMBA2_INSTANTIATE(double)
#undef MAMBA2_INSTANTIATE

}  // namespace mamba2

// The cache is changed in place, and belongs to the caller.
//
// ## No way back {#one_token_at_a_time_back}
//
// Attention can forget its last tokens: their keys and values are cut off, and nobody has seen
// them. A state cannot. The token has been *added* to it, and what was there before has faded. In
// theory a step can be undone, $h_{t-1} = e^{-\Delta A}\,(h_t - \Delta\, x B^\top)$. In numbers it
// cannot, for the factor is larger than 1, and it blows up the rounding of $h_t$. The program goes
// forward and then back again, in double precision, with a head that keeps a tenth of its state at
// each step:
//
// @output back
//
// After as many steps as there are digits, nothing is left to go back to. What a head has forgotten
// is gone.
//
// Yet going back is wanted often: to try another continuation, to take back what the user has
// edited, to let a small model guess some tokens and keep those that the large one agrees with
// (*speculative decoding*). There are two ways. **Copy**: keep the cache from before, which costs
// as much memory as a text of its own. **Replay**: read the tokens again from the last copy on,
// which costs a prefill. Guess eight tokens from a copy, and if three of them are right, go back to
// the copy and read three. @Exercise{4} does better than a copy for each token.
//
// Two continuations of one prompt are two copies of a cache:
//
// ```cpp
// auto [y, cache] = block.forward(prompt);
// auto other = cache;        // a copy: the two share nothing from here on
// block.step(yes, cache);
// block.step(no, other);
// ```
//
// ## Prefill, steps, and more prefill {#one_token_at_a_time_prefill}
//
// A conversation is not one prompt and one answer. It goes: a text at once, then single tokens,
// then, when the reader has typed something, another text at once, *on top of* what is there
// already. The last of these is a pass with a warm cache, `forward(u, {.cache = &cache})`. The
// convolution's first windows reach back into `conv_state`, the scan starts from `ssm_state`.
//
// (Not every implementation has that pass. The reference's block, once it has a cache, takes its
// step for whatever comes, and its step takes one token: the second text must be fed token by
// token. Current versions of Hugging Face's model can.)
//
// The program cuts one text at every pair of places, into prefill, steps and prefill, and compares
// with the uncut pass:
//
// @output same
//
// If your own implementation fails this test, here is where to look, in the order of what people
// actually get wrong.
//
// 1. The convolution's *outputs* are stored instead of its inputs.
// 2. Fewer tokens than `d_conv` came in, and the window was cut from the wrong end, or the old one
//    was thrown away.
// 3. The second prefill starts the scan or the convolution from zeros.
// 4. The prompt was padded, to a multiple of the chunk or to the longest of a batch, and the
//    padding changed the state. A padded token does no harm only if its $\Delta$ is 0 *after* the
//    softplus, for then $e^{\Delta A} = 1$ and $\Delta x = 0$. Setting the input to zero is not
//    enough: the softplus of the bias is not zero, and the state fades.
// 5. Something differs between the two code paths: the limits of the step size, the norm's groups,
//    the precision of the state.
//
// ::: figure timeline
// One text in three pieces. What goes from piece to piece is the pair (conv_state, ssm_state),
// wherever the cuts are.
// :::
//
// One thing that does *not* work is to keep less than both: the outputs at the last token, say.
// Every later token will ask the state, and the state needs all tokens of the prompt. What may be
// left out of a prefill is only what comes after the last block: the scores of all tokens but the
// last.
//
// Prompts of different lengths in one batch deserve no tricks (@exercise{3} has one). Prefill each
// by itself, at its own length, and put the caches together along the batch axis: from then on all
// of them take one token at a time.
//
// ## Where the reference's step differs from its own pass {#one_token_at_a_time_reference}
//
// The fifth point is not hypothetical. The reference's `step` [@reference] ignores `dt_limit`: text
// read with limits is continued without them. And it repeats $D$ over the channels of each head,
// which fails when there is one $D$ for each channel already (`D_has_hdim`). Published models use
// neither option, so nobody meets it there. Our step takes both from the same place as the pass.
// What the limits do when they are forgotten:
//
// @output limits
//
// ## A hundred thousand tokens {#one_token_at_a_time_constant}
//
// The claim was: time and memory per token do not depend on how many came before. Claims about time
// want measuring.
//
// ::: figure constant_time
// Time for one more token, against the length of the text so far, as this chapter's figure program
// measured it for a small block. Dots: one step, the median of each thousand. Squares: what it
// takes without a cache, which is to run the whole text again.
// :::
//
// ::: figure constant_memory
// Memory of the process during the same hundred thousand steps, as the system reports it, above
// what it was before the first. For comparison, what the keys and values of an attention layer of
// the same width would take.
// :::
//
// And the numbers are still right at the far end. A hundred thousand steps, each resting on the one
// before, might have drifted from the one pass that computes in chunks. They have not, because the
// state forgets: an error made at one token fades with the token.
//
// @output long
