// ## The program {#real_sequences_program}
//
// The program shows each piece by itself, in the order of the chapter. Its inputs are made up, but
// they are the same everywhere.

#include <demo/demo.hpp>
#include <demo/six_tokens.hpp>
#include <mamba2/activation.hpp>
#include <mamba2/ssd.hpp>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <limits>

using mamba2::Algorithm;
using mamba2::ScanInput;
using mamba2::ScanOutput;
using mamba2::Tensor;
using mamba2::zeros;

namespace {

constexpr double inf = std::numeric_limits<double>::infinity();

// All sizes are different, so that a confusion of two axes cannot go unseen.

ScanInput<double> make_input(std::size_t batch, std::size_t seqlen) {
  const std::size_t nheads = 6, headdim = 4, ngroups = 3, d_state = 5;
  static demo::Random draw(5);
  ScanInput<double> in;
  in.x = demo::random_tensor<double>({batch, seqlen, nheads, headdim}, draw);
  in.dt = demo::random_tensor<double>({batch, seqlen, nheads}, draw, -3, 1);
  in.A = demo::random_tensor<double>({nheads}, draw, -2, -0.1);
  in.B = demo::random_tensor<double>({batch, seqlen, ngroups, d_state}, draw);
  in.C = demo::random_tensor<double>({batch, seqlen, ngroups, d_state}, draw);
  in.D = demo::random_tensor<double>({nheads, headdim}, draw);
  in.z = demo::random_tensor<double>({batch, seqlen, nheads, headdim}, draw, -2, 2);
  in.dt_bias = demo::random_tensor<double>({nheads}, draw);
  in.initial_state = demo::random_tensor<double>({batch, nheads, headdim, d_state}, draw);
  return in;
}

// Tokens `begin` to `end` − 1 of an input. The state before them is for the caller to set.

ScanInput<double> tokens(const ScanInput<double>& in, std::size_t begin, std::size_t end) {
  const auto cut = [=](const auto& t) -> std::decay_t<decltype(t)> {
    return xt::view(t, xt::all(), xt::range(begin, end));
  };
  ScanInput<double> part = in;
  part.x = cut(in.x);
  part.dt = cut(in.dt);
  part.B = cut(in.B);
  part.C = cut(in.C);
  if (in.z) part.z = cut(*in.z);
  part.initial_state.reset();
  return part;
}

template <class A, class B>
void print_agreement(const char* what, const A& a, const B& b) {
  std::printf("%-38s agree to 1e-12: %s\n", what, demo::agree(a, b));
}

// The step size, without limits and within limits:

void step() {
  std::printf("[step]\n%8s %12s %20s\n", "raw", "softplus", "held in [0.5, 2]");
  for (const double raw : {30.0, 3.0, 0.0, -3.0, -30.0, -inf})
    std::printf("%8g %12.4g %20.4g\n", raw, mamba2::step_size(raw, {}),
                mamba2::step_size(raw, {.dt_min = 0.5, .dt_max = 2}));
}

// A cut in two, and a cut at every token. The state goes from part to part by hand:

void split() {
  std::printf("[split]\n");
  const ScanInput<double> in = make_input(2, 45);
  const ScanOutput<double> whole = ssd(in);

  ScanInput<double> first = tokens(in, 0, 13), second = tokens(in, 13, 45);
  first.initial_state = in.initial_state;
  const ScanOutput<double> before = ssd(first);
  second.initial_state = before.last_state;
  const ScanOutput<double> after = ssd(second);
  const Tensor<double, 4> joined = xt::concatenate(xt::xtuple(before.y, after.y), 1);
  print_agreement("cut at 13, y", joined, whole.y);
  print_agreement("cut at 13, last state", after.last_state, whole.last_state);

  ScanOutput<double> running{Tensor<double, 4>(whole.y.shape(), 0.0), *in.initial_state};
  for (std::size_t t = 0; t < 45; ++t) {
    ScanInput<double> token = tokens(in, t, t + 1);
    token.initial_state = running.last_state;
    const ScanOutput<double> out = ssd(token);
    xt::view(running.y, xt::all(), t) = xt::view(out.y, xt::all(), 0);
    running.last_state = out.last_state;
  }
  print_agreement("token by token, y", running.y, whole.y);
  print_agreement("token by token, last state", running.last_state, whole.last_state);
}

// A state of 1, no input, and 65536 steps that each take a tiny part away. How much is left at the
// end?

void slow() {
  std::printf("[slow]\n");
  const std::size_t seqlen = 65536;
  ScanInput<float> in;
  in.x = zeros<float>(1, seqlen, 1, 1);
  in.dt = Tensor<float, 3>({1, seqlen, 1}, 2.5e-8f);
  in.A = Tensor<float, 1>{-1};
  in.B = in.C = zeros<float>(1, seqlen, 1, 1);
  in.initial_state = Tensor<float, 4>({1, 1, 1, 1}, 1);
  float naive = 1;
  for (std::size_t t = 0; t < seqlen; ++t) naive *= std::exp(in.dt(0, t, 0) * in.A(0));
  const auto chunked = ssd(in, {.dt_softplus = false});
  const auto recurrent = ssd(in, {.dt_softplus = false, .algorithm = Algorithm::recurrent});
  std::printf("exact                          %.3f\n", std::exp(-2.5e-8 * 65536));
  std::printf("step by step, all in float     %.3f\n", naive);
  std::printf("chunked, in float              %.3f\n", chunked.last_state(0, 0, 0, 0));
  std::printf("recurrent, inside in double    %.3f\n", recurrent.last_state(0, 0, 0, 0));
}

// Padding on the right, up to a length of 16. The outputs that count are the first 10.

void padding() {
  std::printf("[padding]\n");
  const ScanInput<double> in = make_input(2, 16);
  const ScanOutput<double> want = ssd(tokens(in, 0, 10));
  for (const double raw : {0.0, -inf}) {
    ScanInput<double> padded = in;
    padded.initial_state.reset();
    xt::view(padded.x, xt::all(), xt::range(10, 16)) = 0;
    xt::view(padded.dt, xt::all(), xt::range(10, 16)) = raw;
    const ScanOutput<double> got = ssd(padded, {.chunk_size = 8});
    const Tensor<double, 4> y = xt::view(got.y, xt::all(), xt::range(0, 10));
    std::printf("padded with raw dt = %4g: outputs differ by %.2f, the last state by %.2f\n", raw,
                demo::difference(y, want.y), demo::difference(got.last_state, want.last_state));
  }
}

// Three documents in one row, the second a single token long, against each by itself:

void packed() {
  std::printf("[packed]\n");
  ScanInput<double> in = make_input(1, 45);
  in.initial_state.reset();
  in.seq_idx = Tensor<std::int64_t, 2>({1, 45}, 0);
  const std::vector<std::size_t> bounds{0, 17, 18, 45};
  for (std::size_t t = bounds[1]; t < bounds[2]; ++t) (*in.seq_idx)(0, t) = 7;
  const ScanOutput<double> together = ssd(in, {.chunk_size = 8});
  for (std::size_t i = 0; i < 3; ++i) {
    ScanInput<double> document = tokens(in, bounds[i], bounds[i + 1]);
    document.seq_idx.reset();
    const ScanOutput<double> alone = ssd(document, {.chunk_size = 8});
    std::printf("document %zu, tokens %zu to %zu\n", i, bounds[i], bounds[i + 1] - 1);
    const Tensor<double, 4> y = xt::view(together.y, xt::all(), xt::range(bounds[i], bounds[i + 1]));
    print_agreement("  packed and alone, y", y, alone.y);
    if (i < 2) continue;
    print_agreement("  packed and alone, last state", together.last_state, alone.last_state);
  }
}

// Everything at once, with each algorithm. The second batch entry holds two sequences.

void agree() {
  std::printf("[agree]\n");
  ScanInput<double> in = make_input(2, 45);
  in.seq_idx = Tensor<std::int64_t, 2>({2, 45}, 0);
  for (std::size_t t = 20; t < 45; ++t) (*in.seq_idx)(1, t) = 1;
  const ScanOutput<double> want = ssd(in, {.dt_max = 1, .algorithm = Algorithm::recurrent});
  for (const std::size_t Q : {1, 7, 64}) {
    const ScanOutput<double> got = ssd(in, {.dt_max = 1, .chunk_size = Q});
    std::printf("chunk size %zu\n", Q);
    print_agreement("  chunked and recurrent, y", got.y, want.y);
    print_agreement("  chunked and recurrent, last state", got.last_state, want.last_state);
  }
  const ScanOutput<double> square = ssd(in, {.dt_max = 1, .algorithm = Algorithm::quadratic});
  print_agreement("quadratic and recurrent, y", square.y, want.y);
  print_agreement("quadratic and recurrent, last state", square.last_state, want.last_state);
}

// The six tokens of Part I: at once in chunks of two, and cut after the third.

void six() {
  std::printf("[six]\n");
  const demo::SixTokens example;
  ScanInput<double> in;
  in.x = zeros<double>(1, 6, 1, 1);
  in.dt = zeros<double>(1, 6, 1);
  in.A = Tensor<double, 1>{example.A};
  in.B = in.C = zeros<double>(1, 6, 1, 2);
  std::copy(example.x.begin(), example.x.end(), in.x.begin());
  std::copy(example.dt.begin(), example.dt.end(), in.dt.begin());
  std::copy(example.B.begin(), example.B.end(), in.B.begin());
  std::copy(example.C.begin(), example.C.end(), in.C.begin());
  const mamba2::ScanOptions options{.dt_softplus = false, .chunk_size = 2};
  const ScanOutput<double> whole = ssd(in, options);
  ScanInput<double> second = tokens(in, 3, 6);
  const ScanOutput<double> before = ssd(tokens(in, 0, 3), options);
  second.initial_state = before.last_state;
  const ScanOutput<double> after = ssd(second, options);
  std::printf("token      x  dt    y at once   y in two parts\n");
  for (std::size_t t = 0; t < 6; ++t)
    std::printf("%s  %3.0f  %2.0f  %11.2f  %15.2f\n", example.says[t], example.x(t, 0), example.dt(t),
                whole.y(0, t, 0, 0), t < 3 ? before.y(0, t, 0, 0) : after.y(0, t - 3, 0, 0));
  std::printf("levels at the cut %.2f and %.2f, at the end %.2f and %.2f\n",
              before.last_state(0, 0, 0, 0), before.last_state(0, 0, 0, 1),
              after.last_state(0, 0, 0, 0), after.last_state(0, 0, 0, 1));
}

}  // namespace

int main() {
  step();
  split();
  slow();
  padding();
  packed();
  agree();
  six();
}

// The pieces of its output stand where they belong, above.
//
// ## What has not changed {#real_sequences_same}
//
// The model is that of @chapter{state_space}: a state that fades, takes in, and is read. The four
// steps are those of @chapter{chunked_scan}, untouched; we only decided which rows to hand them.
// Heads, groups, batch entries and packed sequences are different ways to have *many* small scans.
// Bias, softplus and limits happen before the scan, skip and gate after it. And the state is still
// all that the past can tell the future, which is why cutting, continuing and packing came at the
// price of a line each.
//
// ## Exercises {#real_sequences_exercises}
//
// ::: exercise 1 The step that is taken
// Write `step_sizes(dt, dt_bias, dt_min, dt_max)`: from raw step sizes (batch, seqlen, nheads) and
// a bias per head to the step sizes that the recurrence uses, with softplus. Mind the order, and
// mind large numbers.
// :::
//
// ::: exercise 2 Go on from there
// Write `ssd_in_two(input, cut)`: what ssd() gives for the whole input, from two calls of it, one
// for the tokens before `cut`, one for the rest, and with it the state at the cut. Either part may
// be empty. The input may have an initial state, and has no `seq_idx`.
// :::
//
// ::: exercise 3 Padding that leaves no trace
// Write `pad_to_multiple(input, chunk_size)`: the same input with tokens added at the end, as few
// as are needed to make the length a multiple of `chunk_size`. The outputs of the old tokens and
// the last state must stay what they are, with the default options of ssd(). The input may have any
// of the optional tensors, `seq_idx` among them.
// :::
//
// ::: exercise 4 Forget on purpose
// There is another way to pack sequences: no cutting, one scan over the whole row, with other
// numbers. Return the log-decays with which chunked_scan() lets no sequence see another. What would
// a log-decay have to be, and of which token, for everything before it to be forgotten?
// :::
//
// ::: exercise 5 A memory of nine
// For an evening. A head with three states holds three facts (@chapter{duality}), so three heads
// ought to hold nine. But they are in one group: all share the same $B$ and $C$, which can only say
// *which of three places*. Set `x`, `dt`, `A`, `B` and `C` for ssd() by hand, so that nine animals
// are remembered through thousands of tokens of noise. The grader asks them all, and prints what
// your heads have answered.
// :::
//
// ## Further reading {#real_sequences_further}
//
// - Dao and Gu [@dao2024], section 7.2 for the head patterns, section 8 for sequences of different
//   lengths and for several machines.
// - The authors' post [@blog], part III, for the chunked algorithm in its shortest form, the one
//   that asks for a multiple of the chunk.
// - @Chapter{fast} makes all of this fast.
