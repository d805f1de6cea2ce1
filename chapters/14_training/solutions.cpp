// Our solutions.
#include "exercises.hpp"

#include <mamba2/training.hpp>

#include <algorithm>
#include <cmath>

namespace exercises {

//: 1
double trapezoid(std::size_t step, std::size_t steps, std::size_t warmup, std::size_t decay,
                 double peak) {
  const auto share = [](std::size_t part, std::size_t whole) {
    return whole == 0 ? 1.0 : std::min(1.0, static_cast<double>(part) / static_cast<double>(whole));
  };
  return peak * share(step + 1, warmup) * share(steps - step, decay);
}
//: end

//: 2
void adamw(std::vector<Parameter>& parameters, std::size_t step, const Options& o) {
  double squares = 0;
  for (const Parameter& p : parameters)
    for (const double g : p.gradient) squares += g * g;
  const double clip = std::min(1.0, o.clip_norm / std::sqrt(squares));
  const auto t = static_cast<double>(step);
  const double share1 = 1 - std::pow(o.beta1, t), share2 = 1 - std::pow(o.beta2, t);
  for (Parameter& p : parameters) {
    const double keep = p.decays ? 1 - o.rate * o.weight_decay : 1;
    for (std::size_t i = 0; i < p.value.size(); ++i) {
      const double g = clip * p.gradient(i);
      p.mean(i) = o.beta1 * p.mean(i) + (1 - o.beta1) * g;
      p.square(i) = o.beta2 * p.square(i) + (1 - o.beta2) * g * g;
      const double unit = std::sqrt(p.square(i) / share2) + o.eps;
      p.value(i) = keep * p.value(i) - o.rate * (p.mean(i) / share1) / unit;
    }
  }
}
//: end

//: 3
Tensor<double, 1> accumulate(const std::vector<Part>& parts) {
  Tensor<double, 1> sum(parts.front().gradient.shape(), 0.0);
  double places = 0;
  for (const Part& part : parts) {
    for (std::size_t i = 0; i < sum.size(); ++i)
      sum(i) += static_cast<double>(part.places) * part.gradient(i);
    places += static_cast<double>(part.places);
  }
  for (double& value : sum) value /= places;
  return sum;
}
//: end

//: 4
// Echo: a token that can be any, then the same again, and so on.
Sequence draw(mamba2::Random& random) {
  Sequence sequence;
  for (std::size_t i = 0; i < 8; ++i) {
    const auto token = static_cast<std::int64_t>(random.uniform(0, 8));
    sequence.tokens.insert(sequence.tokens.end(), {token, token});
    sequence.known.insert(sequence.known.end(), {false, true});
  }
  return sequence;
}

mamba2::LanguageModel<float> teach() {
  const mamba2::LanguageModelConfig config{
      .n_layer = 1,
      .vocab_size = 8,
      .mixer = mamba2::Mamba2Config{.d_model = 16, .d_state = 8, .headdim = 8}};
  mamba2::TrainingOptions options;
  options.schedule = {.peak = 0.02, .last = 0.1, .warmup = 10};
  mamba2::TrainingState<float> state(mamba2::LanguageModel<float>(config, 1));
  mamba2::Random random(2);
  const std::size_t steps = 100, rows = 8;
  for (std::size_t step = 0; step < steps; ++step) {
    mamba2::Batch batch{mamba2::zeros<std::int64_t>(rows, 15), mamba2::zeros<std::int64_t>(rows, 15)};
    for (std::size_t row = 0; row < rows; ++row) {
      const Sequence sequence = draw(random);
      std::copy_n(sequence.tokens.begin(), 15, &batch.ids(row, 0));
      std::copy_n(sequence.tokens.begin() + 1, 15, &batch.targets(row, 0));
    }
    const double done = static_cast<double>(step) / static_cast<double>(steps);
    mamba2::training_step<float>(state, std::span(&batch, 1), done, options);
  }
  return state.model;
}
//: end

}  // namespace exercises
