// ## The program {#backward_program}
//
// It turns one step round, goes through the six tokens, holds all forms against each other and
// against differences of the forward pass, and counts. Then it does the same with the parts, the
// block and the model.

#include <demo/demo.hpp>
#include <demo/six_tokens.hpp>
#include <mamba2/adjoints.hpp>
#include <mamba2/block_gradient.hpp>
#include <mamba2/chunked_scan.hpp>
#include <mamba2/model_gradient.hpp>
#include <mamba2/scan_gradient.hpp>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <numeric>
#include <utility>
#include <vector>

using mamba2::Algorithm;
using mamba2::as_matrix;
using mamba2::as_span;
using mamba2::ScanInput;
using mamba2::ScanOptions;
using mamba2::Tensor;
using mamba2::zeros;

// **One step.** It is the second pour into bucket *a* of the six tokens: the 4 that stands there
// fades to a quarter, and 6 is poured in. What comes out is half of the level.

struct Step {
  double a, h, X, B, C;
};

static std::array<double, 2> forward(const Step& s) {
  const double after = std::exp(s.a) * s.h + s.X * s.B;
  return {after, s.C * after};
}

static Step adjoint(const Step& s, double dafter, double dy) {
  const double after = forward(s)[0];
  Step gradient{};
  gradient.C = after * dy;
  dafter += s.C * dy;
  gradient.h = std::exp(s.a) * dafter;
  gradient.X = s.B * dafter;
  gradient.B = s.X * dafter;
  gradient.a = std::exp(s.a) * s.h * dafter;
  return gradient;
}

// For $J v$ no derivative is needed, only two runs that lie close together.

static std::array<double, 2> along(const Step& s, const Step& v) {
  const double small = 1e-5;
  const auto moved = [&](double by) {
    return forward({s.a + by * v.a, s.h + by * v.h, s.X + by * v.X, s.B + by * v.B, s.C + by * v.C});
  };
  const auto above = moved(small), below = moved(-small);
  return {(above[0] - below[0]) / (2 * small), (above[1] - below[1]) / (2 * small)};
}

static void show_step() {
  const Step here{-2 * std::log(2.0), 4, 6, 1, 0.5};
  std::printf("[jacobian]\n%12s%8s%8s%8s%8s%8s\n", "", "a", "h", "X", "B", "C");
  for (const std::size_t output : {0u, 1u}) {
    const Step row = adjoint(here, output == 0, output == 1);
    std::printf("%-12s%8.3f%8.3f%8.3f%8.3f%8.3f\n", output == 0 ? "new state" : "output", row.a, row.h,
                row.X, row.B, row.C);
  }

  const Step v{0.3, -1, 0.5, 2, 1};
  const double w[] = {2, -3};
  const auto Jv = along(here, v);
  const Step Jw = adjoint(here, w[0], w[1]);
  const double forwards = Jv[0] * w[0] + Jv[1] * w[1];
  const double backwards = v.a * Jw.a + v.h * Jw.h + v.X * Jw.X + v.B * Jw.B + v.C * Jw.C;
  std::printf("[inner_products]\nJ v = (%.3f, %.3f), by two runs         <J v, w>   = %.3f\n", Jv[0],
              Jv[1], forwards);
  std::printf("J'w = (%.3f, %.3f, %.3f, %.3f, %.3f)   <v, J'w>   = %.3f\n", Jw.a, Jw.h, Jw.X, Jw.B,
              Jw.C, backwards);
  std::printf("they agree to 1e-8: %s\n", demo::yes(std::abs(forwards - backwards) < 1e-8));
}

// **The six tokens** as one chunk. The loss is the last output, so its gradient is 1 there and 0
// before.

static void show_six() {
  const demo::SixTokens example;
  Tensor<double, 2> X = example.x, dX = zeros<double>(6, 1), dY = dX, dB = zeros<double>(6, 2), dC = dB;
  Tensor<double, 1> dA = example.dt;
  std::vector<double> ddA(6, 0.0);
  for (std::size_t t = 0; t < 6; ++t) {
    X(t, 0) *= example.dt(t);
    dA(t) *= example.A;
  }
  dY(5, 0) = 1;
  mamba2::diagonal_block_gradient<double>(
      {as_matrix(X), as_span(dA), as_matrix(example.B), as_matrix(example.C)}, as_matrix(dY),
      {as_matrix(dX), ddA, as_matrix(dB), as_matrix(dC)});
  std::printf("[six]\n%-10s%8s%8s%10s%10s\n", "", "X", "dY", "grad X", "grad a");
  for (std::size_t t = 0; t < 6; ++t)
    std::printf("%-10s%8.1f%8.1f%10.3f%10.3f\n", example.says[t], X(t, 0), dY(t, 0), dX(t, 0), ddA[t]);
}

// **Forms.** A small scan with everything in it, three sequences in its first row. The forms'
// results are compared with those of the recurrence. The differences know nothing of gradients: all
// inputs are moved a little along $v$, and $\langle J v, w \rangle$ is what becomes of the loss.

static ScanInput<double> everything() {
  demo::Random random(13);
  const std::size_t batch = 2, seqlen = 13, nheads = 4, headdim = 3, ngroups = 2, d_state = 5;
  ScanInput<double> in;
  in.x = demo::random_tensor<double>({batch, seqlen, nheads, headdim}, random);
  in.dt = demo::random_tensor<double>({batch, seqlen, nheads}, random, -3, 1);
  in.A = demo::random_tensor<double>({nheads}, random, -2, 0);
  in.B = demo::random_tensor<double>({batch, seqlen, ngroups, d_state}, random);
  in.C = demo::random_tensor<double>({batch, seqlen, ngroups, d_state}, random);
  in.D = demo::random_tensor<double>({nheads, headdim}, random);
  in.z = demo::random_tensor<double>({batch, seqlen, nheads, headdim}, random);
  in.dt_bias = demo::random_tensor<double>({nheads}, random);
  in.initial_state = demo::random_tensor<double>({batch, nheads, headdim, d_state}, random);
  in.seq_idx = Tensor<std::int64_t, 2>(std::array<std::size_t, 2>{batch, seqlen}, 0);
  for (std::size_t t = 4; t < seqlen; ++t) (*in.seq_idx)(0, t) = t < 9 ? 1 : 2;
  return in;
}

// All numbers of a ScanInput, one after the other.

static std::vector<double*> numbers(ScanInput<double>& in) {
  std::vector<double*> all;
  const auto append = [&](auto& tensor) {
    for (double& number : tensor) all.push_back(&number);
  };
  append(in.x), append(in.dt), append(in.A), append(in.B), append(in.C);
  append(*in.D), append(*in.z), append(*in.dt_bias), append(*in.initial_state);
  return all;
}

static Tensor<double, 1> values(ScanInput<double> in) {
  const std::vector<double*> all = numbers(in);
  auto result = zeros<double>(all.size());
  for (std::size_t i = 0; i < all.size(); ++i) result(i) = *all[i];
  return result;
}

static void show_forms() {
  const ScanInput<double> in = everything();
  demo::Random random(14);
  const auto dy = demo::random_tensor<double>({2, 13, 4, 3}, random);
  const auto dlast = demo::random_tensor<double>({2, 4, 3, 5}, random);
  const auto gradient = [&](const ScanOptions& options) {
    return values(mamba2::ssd_gradient<double>(in, options, dy, dlast));
  };
  const auto want = gradient({.algorithm = Algorithm::recurrent});
  std::printf("[forms]\n%zu gradients: agree with the recurrence's to 1e-12\n", want.size());
  std::printf("one square        %s\n",
              demo::agree(gradient({.algorithm = Algorithm::quadratic}), want));
  for (const std::size_t Q : {1u, 2u, 5u, 8u, 100u})
    std::printf("chunks of %3zu     %s\n", Q, demo::agree(gradient({.chunk_size = Q}), want));

  const auto loss = [&](const ScanInput<double>& at) {
    const auto out = mamba2::ssd(at);
    return std::inner_product(dy.begin(), dy.end(), out.y.begin(), 0.0) +
           std::inner_product(dlast.begin(), dlast.end(), out.last_state.begin(), 0.0);
  };
  const auto v = demo::random_tensor<double>({want.size()}, random);
  const auto moved = [&](double by) {
    ScanInput<double> there = in;
    const std::vector<double*> all = numbers(there);
    for (std::size_t i = 0; i < all.size(); ++i) *all[i] += by * v(i);
    return loss(there);
  };
  const double small = 1e-5, forwards = (moved(small) - moved(-small)) / (2 * small);
  const double backwards = std::inner_product(v.begin(), v.end(), want.begin(), 0.0);
  std::printf("<J v, w> by two runs of ssd(), and <v, J'w>: agree to 1e-7: %s\n",
              demo::yes(std::abs(forwards - backwards) < 1e-7 * std::abs(backwards)));
}

// **The gradient of the decay in float**, of 256 tokens, every second of which all but empties the
// state: once as what crosses each step, once as the difference of two sums. What is right is
// computed in double.

template <class Real>
struct Decays {
  Tensor<double, 1> crossing, difference;
};

template <class Real>
static Decays<Real> decay_gradients(std::size_t T, std::size_t P, std::size_t N) {
  demo::Random random(4);
  const auto draw = [&](std::size_t columns) -> Tensor<Real, 2> {
    return demo::random_tensor<float>({T, columns}, random);  // the same numbers for both types
  };
  const Tensor<Real, 2> X = draw(P), B = draw(N), C = draw(N), dY = draw(P);
  auto dA = zeros<Real>(T);
  for (std::size_t t = 0; t < T; ++t) dA(t) = static_cast<float>(t % 2 == 0 ? -16 : random(-0.01, 0));
  auto dX = zeros<Real>(T, P), Y = dX, dB = zeros<Real>(T, N), dC = dB;
  std::vector<double> ddA(T, 0.0);
  mamba2::diagonal_block_gradient<Real>({as_matrix(X), as_span(dA), as_matrix(B), as_matrix(C)},
                                        as_matrix(dY),
                                        {as_matrix(dX), ddA, as_matrix(dB), as_matrix(dC)});
  mamba2::diagonal_block<Real>(as_matrix(X), as_span(dA), as_matrix(B), as_matrix(C), as_matrix(Y));

  Decays<Real> result{zeros<double>(T), zeros<double>(T)};
  std::copy(ddA.begin(), ddA.end(), result.crossing.begin());
  double later = 0;  // heard at or after t, less what was said at or after t
  for (std::size_t t = T; t-- > 0;) {
    for (std::size_t p = 0; p < P; ++p)
      later += static_cast<double>(dY(t, p)) * Y(t, p) - static_cast<double>(dX(t, p)) * X(t, p);
    result.difference(t) = later;
  }
  return result;
}

static void show_precision() {
  const auto got = decay_gradients<float>(256, 8, 16);
  const auto want = decay_gradients<double>(256, 8, 16);
  std::printf("[precision]\nin double both agree to 1e-10: %s\n",
              demo::agree(want.difference, want.crossing, 1e-10));
  // Of the steps that empty the state only: little crosses them, and that little should be right.
  double own = 0, differences = 0;
  for (std::size_t t = 2; t < 256; t += 2) {
    const double right = std::abs(want.crossing(t));
    own = std::max(own, std::abs(got.crossing(t) - want.crossing(t)) / right);
    differences = std::max(differences, std::abs(got.difference(t) - want.crossing(t)) / right);
  }
  const auto order = [](double error) {
    if (error > 0.1) return "above a tenth of the gradient";
    return error < 1e-3 ? "below a thousandth of it" : "between";
  };
  std::printf("where the state is emptied, the largest error in float is\n");
  std::printf("difference of two sums      %s\n", order(differences));
  std::printf("what crosses, added up      %s\n", order(own));
}

// **Counting**: products, and numbers that are kept.

static void show_cost() {
  const double N = 128, P = 64;
  std::printf("[cost]\nmultiply-adds for each token of one head, N = 128, P = 64\n");
  std::printf("   Q   forward   backward   ratio   without states again\n");
  for (const double Q : {32.0, 64.0, 128.0, 256.0}) {
    const double forwards = mamba2::cost_chunked(1, N, P, Q).multiply_adds;
    const double backwards = mamba2::cost_chunked_gradient(1, N, P, Q).multiply_adds;
    std::printf("%4.0f   %7.0f   %8.0f   %5.2f   %20.2f\n", Q, forwards, backwards,
                backwards / forwards, (backwards - N * P) / forwards);
  }
}

static void show_memory() {
  const double T = 2048, N = 128, P = 64, H = 24, Q = 64;
  const auto line = [](const char* what, double count, double bytes) {
    std::printf("%-52s%9.1f MB\n", what, count * bytes / 1e6);
  };
  std::printf("[memory]\n");
  line("what the scan reads: x, dt, B, C", T * (H * P + H + 2 * N), sizeof(float));
  line("every state", T * N * P * H, sizeof(float));
  line("the matrix M of every head", T * T * H, sizeof(float));
  line("the states at the borders of the chunks", T / Q * N * P * H, sizeof(float));
  line("the same of one head at a time, in double", mamba2::cost_chunked_gradient(T, N, P, Q).memory,
       sizeof(double));
}

// **The small parts**: to which inputs one output of a convolution speaks, and three scores.

static void show_parts() {
  const auto x = zeros<double>(8, 1);
  const Tensor<double, 2> taps{{1, 2, 3, 4}};
  auto dy = x, dx = x, dtaps = zeros<double>(1, 4);
  dy(5, 0) = 1;
  mamba2::short_convolution_gradient<double>(
      {.x = mamba2::as_matrix(x), .batch = 1, .weight = mamba2::as_matrix(taps), .silu = false},
      mamba2::as_matrix(std::as_const(dy)), {},
      {.x = mamba2::as_matrix(dx), .weight = mamba2::as_matrix(dtaps)});
  std::printf("[convolution]\ninput             0  1  2  3  4  5  6  7\nhears of output 5");
  for (const double value : dx) std::printf("%3.0f", value);
  std::printf("\n");

  Tensor<double, 2> scores{{2, 1, 0}};
  const std::vector<std::int64_t> came{1};
  std::printf("[scores]\nscores    %5.2f %5.2f %5.2f, and the second token came\n", scores(0, 0),
              scores(0, 1), scores(0, 2));
  mamba2::cross_entropy_gradient<double>(mamba2::as_matrix(std::as_const(scores)), came, 1,
                                         mamba2::as_matrix(scores));
  std::printf("gradient  %5.2f %5.2f %5.2f\n", scores(0, 0), scores(0, 1), scores(0, 2));
}

// **The block**: every gradient at once against the slope of the loss along a random direction, and
// two pieces against the whole.

static void show_block() {
  const mamba2::Mamba2Block<double> block({.d_model = 12, .d_state = 6, .headdim = 4, .chunk_size = 8},
                                          0);
  demo::Random random;
  const auto u = demo::random_tensor<double>({2, 21, 12}, random);
  const auto dy = demo::random_tensor<double>({2, 21, 12}, random);
  const auto d = mamba2::block_gradient(block, u, dy);
  auto direction = mamba2::zero_parameters<double>(block.sizes());
  for (const auto& span : mamba2::parameter_spans(direction))
    for (double& value : span) value = random();
  const auto loss = [&](double step) {
    auto moved = block;
    moved.update([&](auto& parameters) {
      mamba2::walk(
          block.sizes(),
          [&](const auto&, auto numbers, auto v) {
            for (std::size_t i = 0; i < v.size(); ++i) numbers[i] += step * v[i];
          },
          parameters, direction);
    });
    return xt::sum(moved.forward(u).y * dy)();
  };
  double slope = 0;
  mamba2::walk(
      block.sizes(),
      [&](const auto&, auto gradient, auto v) {
        for (std::size_t i = 0; i < v.size(); ++i) slope += gradient[i] * v[i];
      },
      d.parameters, direction);
  const double measured = (loss(1e-5) - loss(-1e-5)) / 2e-5;
  std::printf("[block]\nslope along a direction and difference quotient agree to 1e-7: %s\n",
              demo::yes(std::abs(measured / slope - 1) < 1e-7));

  const auto piece = [](const Tensor<double, 3>& of, std::size_t first, std::size_t last) {
    return Tensor<double, 3>(xt::view(of, xt::all(), xt::range(first, last)));
  };
  const auto first = block.forward(piece(u, 0, 9));
  const auto second =
      mamba2::block_gradient(block, piece(u, 9, 21), piece(dy, 9, 21), {.cache = &first.cache});
  const auto rest = mamba2::block_gradient(block, piece(u, 0, 9), piece(dy, 0, 9), {}, &second.cache);
  std::printf("in one piece and in two agree to 1e-12: %s\n",
              demo::yes(demo::relative_difference(rest.u, piece(d.u, 0, 9)) < 1e-12 &&
                        demo::relative_difference(second.u, piece(d.u, 9, 21)) < 1e-12));
}

// **What is kept** by a forward pass of the 130M model.

static void show_kept() {
  const mamba2::Mamba2Sizes sizes(mamba2::Mamba2Config{.d_model = 768});
  mamba2::Mamba2Activations<float> mixer;
  mixer.make_room(sizes, 1);
  const std::size_t layers = 24, streams = (layers + 1) * sizes.d_model,
                    one = mixer.zxbcdt.size() + mixer.xBC.size() + mixer.y.size() + mixer.merged.size();
  std::printf("[kept]\n%-20s %17s %25s\n", "24 layers of 768", "numbers a token",
              "MB for 2048 in float32");
  for (const auto& [what, numbers] : {std::pair{"the stream", streams}, std::pair{"one mixer", one},
                                      std::pair{"keep all of it", streams + layers * one},
                                      std::pair{"keep the stream", streams + one}})
    std::printf("%-20s %17zu %25.0f\n", what, numbers, static_cast<double>(numbers) * 2048 * 4 / 1e6);
}

// **The model**: gradients with all tensors kept and with most computed again, and a text in two
// pieces.

static void show_model() {
  const mamba2::LanguageModelConfig config{
      .n_layer = 2,
      .vocab_size = 11,
      .mixer = mamba2::Mamba2Config{.d_model = 12, .d_state = 6, .headdim = 4, .chunk_size = 8}};
  const mamba2::LanguageModel<double> model(config, 0);
  demo::Random random;
  Tensor<std::int64_t, 2> ids({2, 24}), targets = ids;
  for (auto* const all : {&ids, &targets})
    for (auto& id : *all) id = static_cast<std::int64_t>(random(0, 11));

  auto gradients = mamba2::zero_parameters<double>(config), again = gradients, pieces = gradients;
  const auto loss = mamba2::loss_and_gradients(model, ids, targets, gradients);
  mamba2::loss_and_gradients(model, ids, targets, again, {.recompute = true});
  auto cache = model.empty_cache(2);
  mamba2::CrossEntropy in_pieces;
  for (const std::size_t first : {0u, 12u}) {
    const Tensor<std::int64_t, 2> some = xt::view(ids, xt::all(), xt::range(first, first + 12)),
                                  came = xt::view(targets, xt::all(), xt::range(first, first + 12));
    in_pieces += mamba2::loss_and_gradients(model, some, came, pieces, {.weight = 1.0 / 48}, &cache);
  }
  double difference = 0, size = 0;
  bool equal = true;
  mamba2::walk(
      config,
      [&](const auto&, auto whole, auto computed_again, auto cut) {
        for (std::size_t i = 0; i < whole.size(); ++i) {
          equal = equal && whole[i] == computed_again[i];
          difference += (cut[i] - whole[i]) * (cut[i] - whole[i]);
          size += whole[i] * whole[i];
        }
      },
      gradients, again, pieces);
  std::printf("[again]\nkept and computed again are equal: %s\n", demo::yes(equal));
  std::printf("[pieces]\nloss in one piece and in two agree to 1e-12: %s\n",
              demo::yes(std::abs(in_pieces.mean() - loss.mean()) < 1e-12));
  std::printf("the gradient is off by %.0f %%\n", 100 * std::sqrt(difference / size));
}

int main() {
  show_step();
  show_six();
  show_forms();
  show_precision();
  show_cost();
  show_memory();
  show_parts();
  show_block();
  show_kept();
  show_model();
}

// ::: tryit
// In pass_state_gradient() leave out the line that adds `passed`, and type `./book run 13`. Which
// forms still agree with the recurrence, and why those?
// :::
//
// @measured ratio
//
// ## What has not changed {#backward_unchanged}
//
// The forward pass. Nothing that it computes is different because somebody will ask for gradients,
// and it keeps nothing for them. A model that is only read pays nothing for being trainable.
//
// The shape of the work did not change either. Backward is four steps over chunks, products inside,
// one state between, in time that grows with the length and not with its square. The chunk size is
// still no parameter of the model: it changes no gradient.
//
// ## Exercises {#backward_exercises}
//
// ::: exercise 1 The zero-order hold, turned round
// @Chapter{state_space} discretised a continuous model exactly: from a rate $A$ and a step $\Delta$
// to $e^{\Delta A}$ and $(e^{\Delta A} - 1) / A$. Write the adjoint: from what the loss asks of
// these two, what it asks of $A$ and $\Delta$.
// :::
//
// ::: exercise 2 The gated norm
// What a block does last before its output projection: the gate, then the norm, by groups of
// channels. Write the adjoint for one token, with plain loops.
// :::
//
// ::: exercise 3 One head's decay
// The gradients with respect to $X = \Delta x$ and $a = \Delta A$ are given. Return those with
// respect to $x$, the step sizes and the rate.
// :::
//
// ::: exercise 4 Heard less said
// Given the inputs and the outputs of a head, and both their gradients, return the gradient of
// every log-decay, without a look at $B$, $C$ or any pair of tokens. The head began in an empty
// state; the loss may also depend on its last state.
// :::
//
// ::: exercise 5 From chunk to chunk
// Return what the loss asks of the state at every border of the chunks, from the end of the
// sequence to its start.
// :::
//
// ::: exercise 6 A step of your own
// For an evening. Make up a recurrence that is not this book's: another discretisation, a decay for
// each bucket, an input that waits a step, a state that saturates. Write it, and write its
// gradient. The grader knows neither. It holds the one against differences of the other, and checks
// that yours is causal, uses all that it is given, and is not the recurrence that we have already.
// :::
//
// ## Further reading {#backward_further}
//
// - [@dao2024], section 6, for the forward steps; the backward pass is only in the authors' code
//   [@reference], in `ssd_combined.py` and the files that it calls.
// - [@yang2024], section 4 and its appendix: the chunked form backwards, with a decay for each
//   entry of the state, and the gradient of the decay as a sum of differences.
// - [@dao2022]: attention backwards without its matrix, computed again block by block.
