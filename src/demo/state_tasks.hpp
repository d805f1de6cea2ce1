// Tasks that ask for nothing but a state, and models that do them: the laboratory of chapter `mamba3`.
#pragma once

#include <demo/demo.hpp>

#include <mamba2/language_model.hpp>
#include <mamba2/mamba3.hpp>
#include <mamba2/tensor.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <limits>
#include <string>
#include <vector>

namespace demo {

//: task
// A machine with a few states. A text is a token that starts it, then tokens that move it; after each token a model is asked for the state.
struct StateTask {
  std::string name;
  std::size_t tokens, states;  // the token that starts it has the number `tokens`
  std::function<std::size_t(std::size_t state, std::size_t token)> next;
};

// Tokens 0 and 1: how many ones have there been, modulo `count`? With 2 it is their parity.
inline StateTask counting(std::size_t count) {
  return {count == 2 ? "parity" : "modulo " + std::to_string(count), 2, count,
          [count](std::size_t state, std::size_t token) { return (state + token) % count; }};
}

// A triangle that lies on the table, in six ways. Token 0 leaves it, 1 turns it by a third to its own left, 2 turns it over.
inline StateTask triangle() {
  return {"triangle", 3, 6, [](std::size_t state, std::size_t token) {
            const std::size_t third = state % 3, over = state / 3;
            if (token == 1) return (third + (over == 0 ? 1 : 2)) % 3 + 3 * over;
            return token == 2 ? third + 3 * (1 - over) : state;
          }};
}
//: end

struct StateTexts {
  mamba2::Tensor<std::int64_t, 2> ids, states;  // (texts, length): what is read, and the state after it
};

// Texts whose tokens `draw()` gives, those that move the machine with equal chances.
template <class Draw>
StateTexts texts_of(const StateTask& task, std::size_t texts, std::size_t length, Draw&& draw) {
  StateTexts all{mamba2::Tensor<std::int64_t, 2>::from_shape({texts, length}),
                 mamba2::Tensor<std::int64_t, 2>::from_shape({texts, length})};
  for (std::size_t i = 0; i < texts; ++i) {
    std::size_t state = 0;
    for (std::size_t t = 0; t < length; ++t) {
      const std::size_t token = t == 0 ? task.tokens : draw();
      if (t > 0) state = task.next(state, token);
      all.ids(i, t) = static_cast<std::int64_t>(token);
      all.states(i, t) = static_cast<std::int64_t>(state);
    }
  }
  return all;
}
inline StateTexts random_texts(const StateTask& task, std::size_t texts, std::size_t length, Random& random) {
  return texts_of(task, texts, length,
                  [&] { return static_cast<std::size_t>(random(0, static_cast<double>(task.tokens))); });
}

// The state that a model takes for the likeliest.
template <class Real>
std::size_t guess(const Real* logits, const StateTask& task) {
  return static_cast<std::size_t>(std::max_element(logits, logits + task.states) - logits);
}

// The share of right answers at the places first, ..., last − 1 of texts.
template <class Real>
double share_right(const mamba2::Tensor<Real, 3>& logits, const StateTexts& texts, const StateTask& task,
                   std::size_t first, std::size_t last) {
  std::size_t right = 0;
  for (std::size_t i = 0; i < texts.ids.shape(0); ++i)
    for (std::size_t t = first; t < last; ++t)
      right += guess(&logits(i, t, 0), task) == static_cast<std::size_t>(texts.states(i, t));
  return static_cast<double>(right) / static_cast<double>(texts.ids.shape(0) * (last - first));
}

// A model that can read a task's tokens and name its states.
inline mamba2::LanguageModelConfig state_model(const StateTask& task, const mamba2::MixerConfig& mixer,
                                               std::size_t layers) {
  return {.n_layer = layers,
          .vocab_size = std::max(task.tokens + 1, task.states),
          .pad_vocab_size_multiple = 1,
          .tie_embeddings = false,
          .mixer = mixer};
}

//: hand
// Weights set by hand. A token is a 1 in the first coordinate and a 1 in one of its own; the last three are for what the layers find out.
// Each layer writes a number when the text starts, and never again. All that follows is turning.
inline constexpr std::size_t width = 8, found = 5;

struct Turning {
  std::vector<double> by;     // how far each token turns the state, in half turns, at most 1
  std::size_t direction = 0;  // the coordinate whose sign says which way
};

inline void set_layer(const Turning& turning, std::size_t start, double squares,
                      mamba2::BranchParameters<double>& branch) {
  auto& p = branch.mixer.as<mamba2::Mamba3Parameters<double>>();
  branch.norm_weight.fill(std::sqrt(squares / width + 1e-5));  // undoes the norm
  const double sure = 40, never = -50, one = std::log(std::expm1(1.0));
  for (const std::size_t head : {0u, 1u}) {
    p.in_proj_weight(4 * head, 0) = 1.2784645427610738;  // z: silu of it is 1
    p.in_proj_weight(width + 4 * head, 1 + start) = 1;   // x: only the token that starts the text
    p.in_proj_weight(2 * width + 6 + head, 0) = -1e30;   // A: nothing decays
    p.in_proj_weight(2 * width + 8 + head, 0) = 1000;    // lambda = 1: nothing comes late
    p.dt_bias(head) = never;                             // a step takes no time ...
    p.in_proj_weight(2 * width + 4 + head, 1 + start) = one - never;
    for (std::size_t token = 0; token < start; ++token)  // ... unless the token turns the state
      if (turning.by[token] > 0)
        p.in_proj_weight(2 * width + 4 + head, 1 + token) = std::log(std::expm1(turning.by[token])) - never;
    p.B_bias(head, 0, 0) = 1;
    p.C_bias(head, 0, head) = 1;  // the first head reads the cosine, the second minus the sine
  }
  p.in_proj_weight(2 * width + 10, turning.direction) = sure;  // tanh of it is 1
}
//: end

// A model whose weights are all zero but for these.
inline mamba2::LanguageModel<double> counting_by_hand(std::size_t count) {
  const StateTask task = counting(count);
  const auto config = state_model(
      task,
      mamba2::Mamba3Config{.d_model = width, .d_state = 2, .expand = 1, .headdim = 4, .rope_fraction = 1, .A_floor = 0},
      1);
  auto p = mamba2::zero_parameters<double>(config);
  for (std::size_t token = 0; token <= task.tokens; ++token)
    p.embedding_weight(token, 0) = p.embedding_weight(token, 1 + token) = 1;
  set_layer({{0, 2.0 / static_cast<double>(count)}}, task.tokens, 2, p.branches[0]);
  auto& out = p.branches[0].mixer.as<mamba2::Mamba3Parameters<double>>().out_proj_weight;
  out(found + 1, 0) = out(found + 2, 4) = 1;
  p.norm_f_weight.fill(1);
  for (std::size_t state = 0; state < count; ++state) {
    const double angle = 2 * std::acos(-1.0) * static_cast<double>(state) / static_cast<double>(count);
    p.lm_head_weight(state, found + 1) = std::cos(angle);
    p.lm_head_weight(state, found + 2) = -std::sin(angle);
  }
  return {config, std::move(p)};
}

// Two layers: the first knows which side lies up, and the second turns by thirds, the way that the first one says.
inline mamba2::LanguageModel<double> triangle_by_hand() {
  const StateTask task = triangle();
  const auto config = state_model(
      task,
      mamba2::Mamba3Config{.d_model = width, .d_state = 2, .expand = 1, .headdim = 4, .rope_fraction = 1, .A_floor = 0},
      2);
  auto p = mamba2::zero_parameters<double>(config);
  for (std::size_t token = 0; token <= task.tokens; ++token)
    p.embedding_weight(token, 0) = p.embedding_weight(token, 1 + token) = 1;
  set_layer({{0, 0, 1}}, task.tokens, 2, p.branches[0]);
  p.branches[0].mixer.as<mamba2::Mamba3Parameters<double>>().out_proj_weight(found, 0) = 1;
  set_layer({{0, 2.0 / 3, 0}, found}, task.tokens, 3, p.branches[1]);
  auto& out = p.branches[1].mixer.as<mamba2::Mamba3Parameters<double>>().out_proj_weight;
  out(found + 1, 0) = out(found + 2, 4) = 1;
  p.norm_f_weight.fill(1);
  for (std::size_t state = 0; state < 6; ++state) {
    const double angle = 2 * std::acos(-1.0) * static_cast<double>(state % 3) / 3;
    p.lm_head_weight(state, found) = state < 3 ? 1 : -1;
    p.lm_head_weight(state, found + 1) = std::cos(angle);
    p.lm_head_weight(state, found + 2) = -std::sin(angle);
  }
  return {config, std::move(p)};
}

}  // namespace demo
