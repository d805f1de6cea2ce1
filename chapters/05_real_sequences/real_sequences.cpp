// # Real sequences {#ch_real_sequences}
// @summary Any length and any number of heads, a state to start from and one to go on with, several texts in one row.
//
// @Chapter{chunked_scan} ended with a function for one head. It starts from an empty state, it
// wants inputs that are already multiplied by their step sizes, and it gives back outputs and
// nothing else. A model calls for more. It holds a batch of sequences and dozens of heads, some of
// which share their matrices. Its step sizes come raw out of a linear layer. Its prompts have any
// length. It may have read the first half of a conversation a minute ago, and want to go on from
// there. And in training it is fed rows into which several short documents were packed, end to end,
// so that no room is wasted.
//
// This chapter builds the operator that takes all of this: ssd(). There is no new mathematics in
// it. Every piece is a few lines long, and every piece is a place where implementations have gone
// wrong, quietly: outputs that look fine, and a state that is not. So we define each piece exactly,
// and check it at once.
//
// ## What it builds on {#real_sequences_builds_on}
//
// - @Chapter{chunked_scan}: the four steps of the chunked scan, which do all the work here;
// - @Chapter{duality}: MatrixRef, a matrix that lies inside a larger tensor.
//
// In thought also on @chapter{state_space}: the recurrence, and why the step size $\Delta$ appears
// twice. The chapters on the model do not look inside again: a block calls ssd() for a sequence,
// and for a single token has a shorter way.
//
// ## Shapes {#real_sequences_shapes}
//
// ::: shapes
//
// | Name | Shape | What it is |
// |---|---|---|
// | `x` | (batch, seqlen, nheads, headdim) | inputs |
// | `dt` | (batch, seqlen, nheads) | raw step sizes |
// | `A` | (nheads) | rate of each head, negative |
// | `B`, `C` | (batch, seqlen, ngroups, d_state) | how an input enters the state, how the state is read |
// | `D` | (nheads, 1) or (nheads, headdim) | skip: $y \mathrel{+}= D x$ |
// | `z` | (batch, seqlen, nheads, headdim) | gate: $y \leftarrow y \cdot \silu(z)$ |
// | `dt_bias` | (nheads) | added to `dt` |
// | `initial_state`, `last_state` | (batch, nheads, headdim, d_state) | before the first token, after the last |
// | `seq_idx` | (batch, seqlen) | which of the packed sequences a token belongs to |
// | `y` | (batch, seqlen, nheads, headdim) | outputs |
//
// `D`, `z`, `dt_bias`, `initial_state` and `seq_idx` may be left out. A layer whose `D` has one
// number for each head holds it with one axis, (nheads), as checkpoints do.
// :::

#include <mamba2/activation.hpp>
#include <mamba2/chunked_scan.hpp>
#include <mamba2/error.hpp>
#include <mamba2/ssd.hpp>

#include <algorithm>
#include <cmath>
#include <numeric>

namespace mamba2 {

// ## The step size {#real_sequences_step}
//
// A linear layer puts out any real number. A step size must not be negative: with $A < 0$ and
// $\Delta < 0$ the factor $e^{\Delta A}$ is larger than 1, and the state would grow without end.
// The map from one to the other is
//
// $$ \softplus(x) = \log(1 + e^x). $$ {#eq:real_sequences_softplus}
//
// For large $x$ it is nearly $x$ itself, for very negative $x$ it is nearly $e^x$: always positive,
// smooth, and nowhere flat, so that learning can move it from any place to any other.

template <class Real>
Real softplus(Real x) {
  return x > 20 ? x : std::log1p(std::exp(x));
}

// Two details keep it exact. Where $e^x$ is tiny, $1 + e^x$ rounds to 1 and its logarithm to 0;
// `log1p` takes $e^x$ without the 1 and keeps it. Where $x$ is large, $e^x$ overflows; above 20 the
// function is replaced by the identity, as in the reference.[^identity]
//
// [^identity]: At 20 the two differ by $e^{-20} \approx 2 \cdot 10^{-9}$. A float near 20 cannot
// show it: its neighbours lie $2 \cdot 10^{-6}$ away.
//
// Before the softplus a bias is added, one number per head. @Chapter{selection} shows what it is
// for. After the softplus come the limits: a model may hold $\Delta$ between two values. The order
// is part of the model: **bias, softplus, limits**. The limits bound the step that is taken, not
// the raw number, and so they have the last word.

template <class Real>
Real step_size(Real raw, const ScanOptions& options) {
  const Real dt = options.dt_softplus ? softplus(raw) : raw;
  return std::clamp(dt, static_cast<Real>(options.dt_min), static_cast<Real>(options.dt_max));
}

// The default limits are 0 and infinity. They still do something where the softplus is switched
// off: a negative step becomes a step of 0.

template <class Real>
Tensor<Real, 3> step_sizes(const ScanInput<Real>& input, const ScanOptions& options) {
  Tensor<Real, 3> dt = input.dt;  // (batch, seqlen, nheads)
  const std::size_t nheads = dt.shape(2);
  for (std::size_t i = 0; i < dt.size(); ++i) {
    const Real bias = input.dt_bias ? (*input.dt_bias)(i % nheads) : Real(0);
    dt.data()[i] = step_size(dt.data()[i] + bias, options);
  }
  return dt;
}

// @output step
//
// ::: figure step_size
// The step size against the raw number. Softplus bends the line $\Delta = x$ (dotted) so that it
// stays above 0; the limits, here 0.5 and 2, cut what comes out of it.
// :::
//
// Look at the last line of the table. The softplus of $-\infty$ is exactly 0. A step of length 0
// multiplies the state by $e^{0 \cdot A} = 1$ and its input by $\Delta = 0$: the token passes
// without a trace. We shall need such a token soon.
//
// ## From one head to many {#real_sequences_heads}
//
// Heads do not talk to each other inside the operator. Each has its own inputs, its own step sizes,
// its own rate and its own state; the operator runs them one by one. Only $B$ and $C$ are
// different: heads come in **groups**, and all heads of a group use the same $B$ and the same $C$.
//
// Why share just these two? Count numbers per token. The model mamba2-130m has 24 heads of 64
// channels and a state of 128: its inputs are $24 \cdot 64 = 1536$ numbers. With a $B$ and a $C$
// for each head there would be $24 \cdot 2 \cdot 128 = 6144$ more, four times the inputs
// themselves, all to be computed by the projection in front. With one group there are 256.
//
// @Chapter{duality} gave the three their names in attention: $C$ is the query, $B$ the key, $X$ the
// value. So the heads share queries and keys, and each has values of its own. You may know the
// other way round from attention: in grouped-query attention, heads share keys and values, and each
// has queries of its own. The knob is the same. One group for all heads is one end, a group for
// each head the other.
//
// ::: figure head_groups
// Six heads in one group, in three groups, and each in a group of its own. A line leads from a head
// to the $B$ and $C$ that it uses.
// :::
//
// ::: paper Head patterns
// Section 7.2 of the paper [@dao2024] lists who may own what, for $H$ heads:
//
// | Pattern | $X$ | $B$ | $C$ | Equation |
// |---|---|---|---|---|
// | multi-head | $H$ | $H$ | $H$ | 17 |
// | multi-query, or multi-contract | 1 | 1 | $H$ | 18 |
// | multi-key, or multi-expand | 1 | $H$ | 1 | 19 |
// | multi-value, or multi-input | $H$ | 1 | 1 | 20 |
//
// Mamba-1 has the multi-value pattern with one channel per head (Proposition 7.2). Mamba-2 keeps
// the pattern and makes heads wider. The published models have one group; more groups help to split
// a model over several machines.
// :::
//
// Heads lie in the order of their groups. With 6 heads and 3 groups, heads 0 and 1 use group 0,
// heads 2 and 3 group 1, heads 4 and 5 group 2.

std::size_t group_of_head(std::size_t head, std::size_t nheads, std::size_t ngroups) {
  return head / (nheads / ngroups);
}

// ## A scan is a reference {#real_sequences_views}
//
// Nothing is copied for this. Write all tokens of a batch one under the other, a row for each. Then
// $x$ is a matrix of nheads · headdim columns, and the channels of one head are headdim
// neighbouring columns of it: a MatrixRef (@chapter{duality}). $B$ has d_state columns for each
// group, and all heads of a group refer to the same ones. So what the operator reads is described
// by a handful of references:
//
// @quote src/mamba2/ssd.hpp#scan_ref
//
// The numbers may lie in tensors of their own, one for each argument, as in ScanInput, which is the
// convenient form. They need not. In a model $x$, $B$ and $C$ come out of one convolution, side by
// side, and stay where they are.

template <class Real>
ScanInput<Real>::operator ScanRef<Real>() const {
  const auto& [batch, seqlen, nheads, headdim] = x.shape();
  ScanRef<Real> ref{.sizes = {batch, seqlen, nheads, headdim, B.shape(2), B.shape(3)},
                    .x = as_rows<2>(x),
                    .dt = as_rows<2>(dt),
                    .A = as_span(A),
                    .B = as_rows<2>(B),
                    .C = as_rows<2>(C)};
  if (D) ref.D = {D->data(), D->size()};
  if (z) ref.z = as_rows<2>(*z);
  if (dt_bias) ref.dt_bias = as_span(*dt_bias);
  if (seq_idx) ref.seq_idx = {seq_idx->data(), seq_idx->size()};
  return ref;
}

// And a part of a scan is a scan. Fewer heads are fewer columns. They bring their own $A$, $D$ and
// bias, and the columns of $B$ and $C$ of their groups:

template <class Real>
ScanRef<Real> some_heads(const ScanRef<Real>& scan, std::size_t first, std::size_t count) {
  const ScanSizes& s = scan.sizes;
  const std::size_t per_group = s.nheads / s.ngroups;
  const std::size_t first_group = first / per_group, groups = (count + per_group - 1) / per_group;
  const auto channels = [&](MatrixRef<const Real> m) {
    return column_block(m, first * s.headdim, count * s.headdim);
  };
  const auto states = [&](MatrixRef<const Real> m) {
    return column_block(m, first_group * s.d_state, groups * s.d_state);
  };
  const std::size_t D_size = scan.D.size() / s.nheads;  // of each head: 0, 1 or headdim

  ScanRef<Real> part = scan;
  part.sizes.nheads = count;
  part.sizes.ngroups = groups;
  part.x = channels(scan.x);
  part.dt = column_block(scan.dt, first, count);
  part.A = scan.A.subspan(first, count);
  part.B = states(scan.B);
  part.C = states(scan.C);
  part.D = scan.D.subspan(first * D_size, count * D_size);
  if (scan.z.data) part.z = channels(scan.z);
  if (!scan.dt_bias.empty()) part.dt_bias = scan.dt_bias.subspan(first, count);
  return part;
}

// A sequence of the batch, and a stretch of time within a sequence, are fewer rows:

template <class Real>
static ScanRef<Real> some_rows(const ScanRef<Real>& scan, std::size_t first, std::size_t count) {
  const auto rows = [=](MatrixRef<const Real> m) { return row_block(m, first, count); };
  ScanRef<Real> part = scan;
  part.sizes.batch = 1;
  part.sizes.seqlen = count;
  part.x = rows(scan.x);
  part.dt = rows(scan.dt);
  part.B = rows(scan.B);
  part.C = rows(scan.C);
  if (scan.z.data) part.z = rows(scan.z);
  if (!scan.seq_idx.empty()) part.seq_idx = scan.seq_idx.subspan(first, count);
  return part;
}

template <class Real>
ScanRef<Real> one_sequence(const ScanRef<Real>& scan, std::size_t entry) {
  return some_rows(scan, entry * scan.sizes.seqlen, scan.sizes.seqlen);
}

template <class Real>
ScanRef<Real> some_tokens(const ScanRef<Real>& scan, std::size_t first, std::size_t count) {
  return some_rows(scan, first, count);
}

// With these the operator can be taken apart along any axis without moving a number: here into
// heads, in @chapter{fast} into groups of heads for several threads.
//
// What the three algorithms want is a little more finished: the inputs of one head times their step
// sizes, and its log-decays. Those two are computed; the rest refers.

namespace {

template <class Real>
struct Stretch {
  MatrixRef<const Real> X;   // (length, headdim): x times its step size
  std::span<const Real> dA;  // (length): the log-decay, step size times A
  MatrixRef<const Real> B;   // (length, d_state)
  MatrixRef<const Real> C;   // (length, d_state)
  MatrixRef<Real> Y;         // (length, headdim)
  MatrixRef<double> state;   // (headdim, d_state): before the stretch, then after it

  std::size_t length() const { return dA.size(); }

  Stretch part(std::size_t begin, std::size_t count) const {
    const auto rows = [=](auto m) { return row_block(m, begin, count); };
    return {rows(X), dA.subspan(begin, count), rows(B), rows(C), rows(Y), state};
  }
};

}  // namespace

// ## State in, state out {#real_sequences_states}
//
// Here is @chapter{chunked_scan}'s loop again, over the chunks of a stretch. Two things have
// changed. It does not make the state: it finds a state, and leaves another in the same place. And
// it holds that state in `double`, whatever `Real` is; a little further down we shall see why. Only
// step 4, a matrix product, reads it rounded.

template <class Real>
static void run_chunked(const Stretch<Real>& s, std::size_t chunk_size) {
  const std::size_t headdim = s.X.columns, d_state = s.B.columns;
  Tensor<Real, 2> own = zeros<Real>(headdim, d_state);  // what a chunk adds to the state
  Tensor<Real, 2> rounded = own;                        // the state before the chunk
  for (std::size_t begin = 0; begin < s.length(); begin += chunk_size) {
    const Stretch<Real> chunk = s.part(begin, std::min(chunk_size, s.length() - begin));
    for (std::size_t p = 0; p < headdim; ++p)
      for (std::size_t n = 0; n < d_state; ++n) rounded(p, n) = static_cast<Real>(s.state[p][n]);
    diagonal_block<Real>(chunk.X, chunk.dA, chunk.B, chunk.C, chunk.Y);
    state_to_output<Real>(chunk.dA, chunk.C, as_matrix(rounded), chunk.Y);
    chunk_state<Real>(chunk.X, chunk.dA, chunk.B, as_matrix(own));

    const double decay = std::exp(std::accumulate(chunk.dA.begin(), chunk.dA.end(), 0.0));
    for (std::size_t p = 0; p < headdim; ++p)
      for (std::size_t n = 0; n < d_state; ++n) s.state[p][n] = decay * s.state[p][n] + own(p, n);
  }
}

// That is enough to use the operator as what it is, a recurrent network.
//
// ::: keyidea
// The state holds everything that the past can do to the future. Cut a sequence anywhere, give the
// state at the cut to the second part as its initial state, and the outputs are the same as without
// the cut.
// :::
//
// Nothing limits where to cut. Feed a prompt at once, then single tokens; feed an hour of audio
// minute by minute; stop, write the state to a file, go on tomorrow. For each head the state has
// headdim × d_state numbers, however long the past was. The program cuts a sequence in two, and
// then into single tokens:
//
// @output split
//
// Two other algorithms are now easy to have. The **quadratic form** of @chapter{duality} is the
// chunked scan with one chunk, as long as the sequence: the first of the four steps does all the
// work, and the others take care of the states at both ends. The **recurrence** is the other
// extreme, a chunk of one token. We could get it from the same loop too. But we want one form that
// shares nothing with the others, to check them against. So it is @chapter{state_space}'s loop once
// more, one channel after the other:

template <class Real>
static void run_recurrent(const Stretch<Real>& s) {
  for (std::size_t p = 0; p < s.X.columns; ++p) {
    double* const h = s.state[p];  // the state of one channel, (d_state)
    for (std::size_t t = 0; t < s.length(); ++t) {
      const double decay = std::exp(static_cast<double>(s.dA[t])), x = s.X(t, p);
      double y = 0;
      for (std::size_t n = 0; n < s.B.columns; ++n) {
        h[n] = decay * h[n] + x * s.B(t, n);
        y += h[n] * s.C(t, n);
      }
      s.Y(t, p) = static_cast<Real>(y);
    }
  }
}

// ## Heads that hardly forget {#real_sequences_slow}
//
// Why is the state in double? Think of a head that forgets very slowly, with a log-decay of
// $-2.5 \cdot 10^{-8}$ a token. Step by step, all in `float`, two things go wrong. The factor
// $e^{-2.5 \cdot 10^{-8}}$ lies between 1 and the next smaller float, nearer to 1: in float it *is*
// 1. And if the factor were exact, the product would not be. A number and the same number less a
// forty-millionth of it are rounded to the same float. So each step is rounded in the same
// direction, and after some hundred thousand steps the head has forgotten nothing, or too much.
//
// Chunks soften both. They add the log-decays of many steps first, take one exponential of the sum,
// and round the state once for a chunk. But that only moves the trouble, by a factor of $Q$: with a
// log-decay of $-4 \cdot 10^{-10}$ and chunks of 64 the factor of a whole chunk is 1 again. So
// there are two rules, and all three algorithms keep to them. **Exponents are added in double,
// before an exponential is taken**: a few additions for a chunk. **The state is held in double
// while an algorithm works on it**: it is touched once for a chunk, so that costs next to nothing.
// Here is a state of 1, faded over 65,536 tokens by $2.5 \cdot 10^{-8}$ each:
//
// @output slow
//
// What remains is the way from one call to the next, where the state is stored as `Real`. One
// rounding does no harm. Two hundred thousand do, when a text is read or written token by token. So
// a caller may keep what rounding takes, the **remainder**, and hand it back with the state. The
// state is then the sum of both: some fifteen digits, in two floats.

template <class Real>
static Tensor<double, 2> widen(MatrixRef<const Real> state, const std::vector<Real>* remainder) {
  auto wide = zeros<double>(state.rows, state.columns);
  const bool has_rest = remainder && remainder->size() == wide.size();
  for (std::size_t i = 0; i < wide.size(); ++i) {
    const Real value = state.data[i], rest = has_rest ? (*remainder)[i] : Real(0);
    wide.data()[i] = static_cast<double>(value) + own_remainder(value, rest);
  }
  return wide;
}

template <class Real>
static void narrow(const Tensor<double, 2>& wide, MatrixRef<Real> state, std::vector<Real>* remainder) {
  if (remainder) remainder->resize(wide.size());
  for (std::size_t i = 0; i < wide.size(); ++i) {
    state.data[i] = static_cast<Real>(wide.data()[i]);
    if (remainder) (*remainder)[i] = static_cast<Real>(wide.data()[i] - state.data[i]);
  }
}

// A remainder is at most half of the last digit of its state. One that is larger belongs to a state
// that somebody has meanwhile replaced, and counts as zero: own_remainder(), in ssd.hpp, asks just
// that. So nobody can do harm by changing a state and forgetting its remainder.
//
// ## Any length {#real_sequences_length}
//
// Look at `std::min` in run_chunked(): the last chunk takes what is left. The four steps work for
// any number of rows, and so no length needs special care. Why, then, do so many implementations
// ask for a length that is a multiple of the chunk? Because they work on whole tensors. They
// reshape (seqlen) into (seqlen / Q, Q), and no tensor has a ragged axis. Whoever calls them must
// pad.
//
// Padding is harmless for the outputs. Outputs before the padding cannot see it, for the model is
// causal. But the *state* comes after the padding.
//
// ::: warning The padding trap
// Zeros are the natural filling. A raw step size of 0, though, is no step of 0: softplus(0) is
// $\log 2 \approx 0.69$, and a bias may be added to it. With $x = 0$ the padding adds nothing to
// the state, but the state goes on fading, step by step. What is left behind is the state of some
// later time. The outputs are right, and the first token generated from that state is wrong.
// Padding must have $\Delta = 0$ **after** the softplus; then it passes without a trace.
// :::
//
// The program pads a sequence of 10 tokens to 16, once with raw zeros and once with $-\infty$:
//
// @output padding
//
// A lower limit on the step size above 0 would raise the padding's step, too. With such a model the
// only safe padding is none.
//
// ::: tryit
// In demo.cpp, the function padding() calls ssd() twice. Give both calls the option
// `.dt_min = 0.01` (options are named in the order in which they are declared, so it goes before
// `.chunk_size`) and type `./book run 5`. What does the line for $-\infty$ say now?
// :::
//
// ## Packed sequences {#real_sequences_packed}
//
// Training wants rows of one length, documents have all lengths. Filling up the short ones wastes
// work. Packing puts several documents into one row, end to end, and tells with `seq_idx` which
// token is of which. The rule is then: no document may see another. For attention that is a mask.
// For us it is a state that starts again from zero.
//
// The exact definition: a new sequence begins at every token whose number differs from that of the
// token before it. The numbers themselves mean nothing. They may fall, be negative, or come again
// later.

std::vector<std::size_t> sequence_bounds(std::span<const std::int64_t> seq_idx) {
  std::vector<std::size_t> bounds{0};
  for (std::size_t t = 1; t < seq_idx.size(); ++t)
    if (seq_idx[t] != seq_idx[t - 1]) bounds.push_back(t);
  bounds.push_back(seq_idx.size());
  return bounds;
}

// ::: warning Not the reference's definition
// The reference's kernels [@reference] compare numbers for equality, and only some of them. Inside
// a chunk a token sees every earlier token *of the same number*, also across another sequence in
// between. Between chunks it is the number of a chunk's last token that counts. An initial state is
// carried on only to tokens with the number 0. And a negative number marks padding, which current
// versions leave out of the state. As long as a row's numbers are 0, 1, 2, ..., each in one piece,
// which is how rows are packed, both definitions agree. Ours needs no such promise, and does not
// depend on where chunks end.
// :::
//
// What of the states at both ends? The initial state is the state before the first token, so it
// belongs to the first sequence alone; all others start from zero. The last state is the state
// after the last token, so it is that of the last sequence. The states of the sequences in between
// are not kept. (The convolution of @chapter{convolution_and_norm} keeps to the same bounds.)
//
// With that, packed sequences are no case of their own. They are stretches, run one after the other
// in place. A chunk ends where a sequence ends; the two square forms, quadratic and diagonal block,
// need no further mask.

template <class Real>
static void run(const Stretch<Real>& s, const ScanOptions& options) {
  switch (options.algorithm) {
    case Algorithm::recurrent:
      return run_recurrent(s);
    case Algorithm::quadratic:
      return run_chunked(s, /* chunk_size = */ s.length());
    case Algorithm::chunked:
      return run_chunked(s, options.chunk_size);
  }
}

template <class Real>
static void run_packed(const Stretch<Real>& s, std::span<const std::size_t> bounds,
                       const ScanOptions& options) {
  for (std::size_t i = 0; i + 1 < bounds.size(); ++i) {
    if (i > 0) std::fill_n(s.state.data, s.state.rows * s.state.columns, 0.0);
    run(s.part(bounds[i], bounds[i + 1] - bounds[i]), options);
  }
}

// ::: figure packed
// Twenty tokens, a chunk size of 4. Above: as one sequence, five chunks that pass a state on.
// Below: three sequences of 6, 9 and 5 tokens. The last chunk of each is shorter, and no arrow
// crosses from one sequence to the next.
// :::
//
// The program packs three documents and compares with running each by itself:
//
// @output packed
//
// ## Skip and gate {#real_sequences_gate}
//
// Two things happen to the outputs, and they happen token by token: no state takes part. The
// **skip** adds a multiple of the input, $y \mathrel{+}= D x$. It is the plain $x$, not $x \Delta$:
// the skip goes round the state space model, and the step size is a matter of the model. $D$ is a
// number for each head or, in some models, for each channel.
//
// The **gate** multiplies the output, skip included, by
//
// $$ \silu(z) = \frac{z}{1 + e^{-z}}, $$ {#eq:real_sequences_silu}
//
// where $z$ comes from the same projection as $x$. A gate near 0 closes a channel for a token.

template <class Real>
Real silu(Real x) {
  return x / (1 + std::exp(-x));
}

template <class Real>
static void skip_and_gate(const ScanRef<Real>& in, MatrixRef<Real> y) {
  const std::size_t per_head = in.D.size() / in.sizes.nheads;  // 0, 1 or headdim
  for (std::size_t t = 0; t < y.rows; ++t) {
    for (std::size_t c = 0; c < y.columns; ++c) {
      const std::size_t h = c / in.sizes.headdim, p = c % in.sizes.headdim;
      if (per_head > 0) y[t][c] += in.D[h * per_head + p % per_head] * in.x[t][c];
      if (in.z.data) y[t][c] *= silu(in.z[t][c]);
    }
  }
}

// Most models gate elsewhere, together with a norm; they leave `z` out here.
// @Chapters{convolution_and_norm and mamba2_block} come back to it.
//
// ## The operator {#real_sequences_operator}
//
// What is left is to put the pieces in order. For each sequence of the batch find where the packed
// ones begin. For each head multiply the inputs and the rate by the step size, the two places where
// $\Delta$ appears; run. The states are moved on in place: where the caller has put the states
// before, he finds those after.

namespace unchecked {

template <class Real>
void scan(const ScanRef<Real>& in, const ScanOptions& options, ScanState<Real> states,
          MatrixRef<Real> y) {
  const std::size_t seqlen = in.sizes.seqlen, headdim = in.sizes.headdim, d_state = in.sizes.d_state;
  if (seqlen == 0) return;
  Tensor<Real, 2> X = zeros<Real>(seqlen, headdim);  // x times its step size, of one head
  std::vector<Real> dA(seqlen);                      // its log-decay
  for (std::size_t b = 0; b < in.sizes.batch; ++b) {
    const ScanRef<Real> sequence = one_sequence(in, b);
    std::vector<std::size_t> bounds{0, seqlen};
    if (!in.seq_idx.empty()) bounds = sequence_bounds(sequence.seq_idx);
    for (std::size_t h = 0; h < in.sizes.nheads; ++h) {
      const ScanRef<Real> head = some_heads(sequence, h, 1);
      for (std::size_t t = 0; t < seqlen; ++t) {
        const Real bias = head.dt_bias.empty() ? Real(0) : head.dt_bias[0];
        const Real dt = step_size(head.dt[t][0] + bias, options);
        dA[t] = dt * head.A[0];
        for (std::size_t p = 0; p < headdim; ++p) X(t, p) = dt * head.x[t][p];
      }
      const MatrixRef<Real> Y = column_block(row_block(y, b * seqlen, seqlen), h * headdim, headdim);
      const MatrixRef<Real> state{states.state[b] + h * headdim * d_state, headdim, d_state, d_state};
      std::vector<Real>* const remainder = states.remainder.data ? &states.remainder(b, h) : nullptr;
      Tensor<double, 2> wide = widen<Real>(state, remainder);
      run_packed<Real>({as_matrix(X), dA, head.B, head.C, Y, as_matrix(wide)}, bounds, options);
      narrow(wide, state, remainder);
    }
  }
  skip_and_gate(in, y);
}

}  // namespace unchecked

// That function trusts its caller, since the sizes of references cannot be wrong by accident where
// a model has laid out the memory itself. The front door checks, and makes room for the results.

template <class Real>
ScanOutput<Real> ssd(const ScanInput<Real>& in, const ScanOptions& options) {
  const ScanSizes s = scan_sizes(in, options);
  ScanOutput<Real> out{zeros<Real>(s.batch, s.seqlen, s.nheads, s.headdim),
                       zeros<Real>(s.batch, s.nheads, s.headdim, s.d_state)};
  if (in.initial_state) out.last_state = *in.initial_state;
  unchecked::scan<Real>(in, options, as_rows<1>(out.last_state), as_rows<2>(out.y));
  return out;
}

// With every option in use, and a sequence that begins in the middle of a chunk, the three forms
// agree:
//
// @output agree
//
// The head's own inputs $X$ are the one copy that is made; everything else is read where it lies.
// Each head computes $C B^\top$ anew, although the heads of a group share it. @Chapter{fast} saves
// that work.
//
// ## The six tokens, as they come {#real_sequences_six}
//
// @Chapter{state_space} began with two buckets and six tokens, and made their steps ready by hand.
// ssd() takes them raw: `x` as the taps were opened, `dt` as the time it took, `A` as the leak.
// Nothing is cut to size, and yet the program cuts: once after the third token, with the levels
// handed on.
//
// @output six
//
// The numbers are those of the first chapter's table. In four chapters the same six outputs have
// come out of a loop, a matrix, a mask on scores, and chunks, and now out of the operator that a
// model calls.
//
// All that can be chosen when it is called:
//
// @quote src/mamba2/ssd.hpp#options
//
// The chunk size changes the time and not the result; @chapter{chunked_scan} has measured it.
//
// ## What is refused {#real_sequences_refused}
//
// An operator with ten tensors is easy to call wrongly, and a wrong shape that happens to fit in
// memory gives numbers, only not the right ones. So nothing is computed before all sizes agree. `x`
// sets batch, seqlen, nheads and headdim, `B` sets ngroups and d_state, and every other tensor has
// to match. An empty batch and a length of 0 are fine. A model without heads, channels, groups or
// state is not.

static void at_least_one(std::size_t size, const char* argument, const char* axis,
                         const std::array<std::size_t, 4>& shape) {
  const std::string expected = std::string(argument) + ": expected " + axis + " of at least 1";
  if (size == 0) throw ShapeError(expected + ", got shape " + shape_text(shape));
}

static void check(const ScanOptions& options) {
  const double low = options.dt_min, high = options.dt_max;
  const std::string low_text = std::to_string(low), high_text = std::to_string(high);
  require(options.chunk_size > 0, "chunk_size", "at least 1", "0");
  require(low >= 0 && std::isfinite(low), "dt_min", "a finite number of at least 0", low_text);
  require(high >= low, "dt_max", "at least dt_min = " + low_text, high_text);
  const int form = static_cast<int>(options.algorithm);
  require(0 <= form && form <= 2, "algorithm", "recurrent, quadratic or chunked", std::to_string(form));
}

// The comparisons are written so that a limit that is not a number fails them.

template <class Real>
ScanSizes scan_sizes(const ScanInput<Real>& in, const ScanOptions& options) {
  check(options);
  const auto& x = in.x.shape();
  const auto& B = in.B.shape();
  const ScanSizes s{x[0], x[1], x[2], x[3], B[2], B[3]};
  at_least_one(s.nheads, "x", "nheads", x);
  at_least_one(s.headdim, "x", "headdim", x);
  at_least_one(s.ngroups, "B", "ngroups", B);
  at_least_one(s.d_state, "B", "d_state", B);
  if (s.nheads % s.ngroups != 0)
    throw ShapeError("B: expected ngroups to divide nheads = " + std::to_string(s.nheads) +
                     ", got ngroups = " + std::to_string(s.ngroups));

  const std::size_t D_columns = in.D && in.D->shape(1) == 1 ? 1 : s.headdim;
  const std::array<std::size_t, 4> inputs = x, groups{s.batch, s.seqlen, s.ngroups, s.d_state};
  const std::array<std::size_t, 4> states{s.batch, s.nheads, s.headdim, s.d_state};
  const char* const state_axes = "(batch, nheads, headdim, d_state)";
  require_shape("dt", in.dt, {s.batch, s.seqlen, s.nheads}, "(batch, seqlen, nheads)");
  require_shape("A", in.A, {s.nheads}, "(nheads)");
  require_shape("B", in.B, groups, "(batch, seqlen, ngroups, d_state)");
  require_shape("C", in.C, groups, "(batch, seqlen, ngroups, d_state)");
  if (in.D) require_shape("D", *in.D, {s.nheads, D_columns}, "(nheads, 1 or headdim)");
  if (in.z) require_shape("z", *in.z, inputs, "(batch, seqlen, nheads, headdim)");
  if (in.dt_bias) require_shape("dt_bias", *in.dt_bias, {s.nheads}, "(nheads)");
  if (in.initial_state) require_shape("initial_state", *in.initial_state, states, state_axes);
  if (in.seq_idx) require_shape("seq_idx", *in.seq_idx, {s.batch, s.seqlen}, "(batch, seqlen)");
  return s;
}

// Last, the usual list of what to compile.

#define MAMBA2_INSTANTIATE(Real)                                                           \
  template Real softplus(Real);                                                            \
  template Real silu(Real);                                                                \
  template Real step_size(Real, const ScanOptions&);                                       \
  template Tensor<Real, 3> step_sizes(const ScanInput<Real>&, const ScanOptions&);         \
  template ScanInput<Real>::operator ScanRef<Real>() const;                                \
  template ScanRef<Real> some_heads(const ScanRef<Real>&, std::size_t, std::size_t);       \
  template ScanRef<Real> one_sequence(const ScanRef<Real>&, std::size_t);                  \
  template ScanRef<Real> some_tokens(const ScanRef<Real>&, std::size_t, std::size_t);      \
  template ScanSizes scan_sizes(const ScanInput<Real>&, const ScanOptions&);               \
  template void unchecked::scan(const ScanRef<Real>&, const ScanOptions&, ScanState<Real>, \
                                MatrixRef<Real>);                                          \
  template ScanOutput<Real> ssd(const ScanInput<Real>&, const ScanOptions&);
MAMBA2_INSTANTIATE(float)
MAMBA2_INSTANTIATE(double)
#undef MAMBA2_INSTANTIATE

}  // namespace mamba2
