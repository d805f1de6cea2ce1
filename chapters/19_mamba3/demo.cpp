// ## The program {#mamba3_program}
//
// The program scans once in chunks and once token by token, counts parameters, compares a gradient
// with differences, and lets the models of the laboratory read a long text.

#include <demo/demo.hpp>
#include <demo/state_tasks.hpp>
#include <mamba2/cross_entropy.hpp>
#include <mamba2/mamba3.hpp>
#include <mamba2/model_gradient.hpp>

#include <cmath>
#include <cstdio>
#include <string>
#include <vector>

namespace {

using mamba2::as_matrix;
using mamba2::LanguageModelConfig;
using mamba2::Mamba3Config;
using mamba2::Tensor;

// The trapezoid as it is written down: three terms, one token after the other.

Tensor<double, 2> recurrent(const mamba2::TrapezoidHead<double>& head) {
  auto state = mamba2::zeros<double>(head.V.columns, head.K.columns);
  auto Y = mamba2::zeros<double>(head.V.rows, head.V.columns);
  for (std::size_t t = 0; t < head.a.size(); ++t)
    for (std::size_t p = 0; p < head.V.columns; ++p)
      for (std::size_t n = 0; n < head.K.columns; ++n) {
        double h = std::exp(head.a[t]) * state(p, n) + head.now[t] * head.V(t, p) * head.K(t, n);
        if (t > 0) h += std::exp(head.a[t]) * head.next[t - 1] * head.V(t - 1, p) * head.K(t - 1, n);
        state(p, n) = h;
        Y(t, p) += h * head.Q(t, n);
      }
  return Y;
}

void trapezoid() {
  demo::Random random(19);
  const auto V = demo::random_tensor<double>({45, 3}, random),
             K = demo::random_tensor<double>({45, 4}, random),
             Q = demo::random_tensor<double>({45, 4}, random);
  std::vector<double> a(45), now(45), next(45, 0.0);
  for (std::size_t t = 0; t < 45; ++t) {
    const double dt = random(0.1, 1), lambda = random(0, 1);
    a[t] = -dt * random(0, 1);
    now[t] = lambda * dt;
    if (t > 0) next[t - 1] = (1 - lambda) * dt;
  }
  const mamba2::TrapezoidHead<double> head{1, as_matrix(V), as_matrix(K), as_matrix(Q), a, now, next};
  auto state = mamba2::zeros<double>(3, 4), Y = mamba2::zeros<double>(45, 3);
  mamba2::trapezoid_scan<double>(head, 16, as_matrix(state), as_matrix(Y));
  std::printf("chunks of altered inputs and the three terms agree to 1e-12: %s\n",
              demo::agree(Y, recurrent(head)));
}

void published() {
  for (const bool mimo : {false, true}) {
    const LanguageModelConfig config{.n_layer = 12,
                                     .vocab_size = 128256,
                                     .mixer = Mamba3Config{.d_model = 768, .is_mimo = mimo},
                                     .d_intermediate = mimo ? 1264u : 1536u};
    std::printf("%-8s %zu parameters, %zu numbers of state in each layer\n", mimo ? "mimo" : "siso",
                mamba2::parameter_count(config), config.mixer->remembered());
  }
}

void gradient() {
  const LanguageModelConfig config{
      .n_layer = 1, .vocab_size = 5, .mixer = Mamba3Config{.d_model = 8, .d_state = 4, .headdim = 4}};
  const mamba2::LanguageModel<double> model(config, 1);
  const Tensor<std::int64_t, 2> ids{{0, 3, 1, 4, 2, 2, 0}}, targets{{3, 1, 4, 2, 2, 0, 1}};
  auto d = mamba2::zero_parameters<double>(config);
  loss_and_gradients(model, ids, targets, d);
  const auto loss = [&](double by) {
    auto p = model.parameters();
    p.branches[0].mixer.as<mamba2::Mamba3Parameters<double>>().dt_bias(1) += by;
    return mamba2::cross_entropy(mamba2::LanguageModel<double>(config, p).forward(ids), targets).mean();
  };
  const double difference = (loss(1e-5) - loss(-1e-5)) / 2e-5;
  const double ours = d.branches[0].mixer.as<mamba2::Mamba3Parameters<double>>().dt_bias(1);
  std::printf("the gradient of a step size and its difference agree to 1e-8: %s\n",
              demo::yes(std::abs(difference - ours) < 1e-8));
}

void by_hand(const demo::StateTask& task, const mamba2::LanguageModel<double>& model) {
  demo::Random random(5);
  const std::size_t length = 20000;
  const demo::StateTexts text = random_texts(task, 1, length, random);
  const auto logits = model.forward(text.ids, {.chunk_size = 64});
  std::printf("%-10s %zu states, %zu layer%s: right at all of %zu places: %s\n", task.name.c_str(),
              task.states, model.config().n_layer, model.config().n_layer > 1 ? "s" : "", length,
              demo::yes(share_right(logits, text, task, 0, length) == 1));
}

}  // namespace

int main() {
  std::printf("[trapezoid]\n");
  trapezoid();
  std::printf("[published]\n");
  published();
  std::printf("[gradient]\n");
  gradient();
  std::printf("[hand]\n");
  for (const std::size_t count : {2u, 3u, 5u})
    by_hand(demo::counting(count), demo::counting_by_hand(count));
  by_hand(demo::triangle(), demo::triangle_by_hand());
}

// The gradient of a whole model, through trapezoid, angles, norms and biases, is what a difference
// says:
//
// @output gradient
//
// ## What has not changed {#mamba3_unchanged}
//
// The four steps of the scan are those of @chapter{chunked_scan}, and their gradients those of
// @chapter{backward}. Stream, norms, head, cache, sampling and training know of Mamba-3 by its
// name only. A state still has a fixed size, and everything that it is to remember has to find
// room there.
//
// ## Exercises {#mamba3_exercises}
//
// ::: exercise 1 The mask of the trapezoid
// Write down the matrix @eqref{eq:mamba3_mask} for scores that are all 1: what a token hears of
// each earlier one, and of itself.
// :::
//
// ::: exercise 2 Count by turning
// A text of zeros and ones. Start with the point $(1, 0)$ and let each 1 turn it by $2\pi / k$.
// Return the point after each token.
// :::
//
// ::: exercise 3 The gradient of an angle
// Points $x_t$ are turned by angles that add up as in @eqref{eq:mamba3_angle}. You are given what
// the loss asks of the turned points. What does it ask of the raw angles?
// :::
//
// ## Further reading {#mamba3_further}
//
// - Mamba-3 [@lahoti2026], for the derivation of the trapezoid and for measurements.
// - What linear recurrences can count, and what negative eigenvalues have to do with it
//   [@grazzi2024].
