// Models that learn the tasks of state_tasks.hpp, from short texts to longer ones.
#pragma once

#include <demo/state_tasks.hpp>

#include <mamba2/training.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>

namespace demo {

//: training
struct StateTraining {
  StateTask task;
  mamba2::MixerConfig mixer;
  std::size_t layers;
  std::uint64_t seed;
  std::uint64_t steps = 1000;
  std::size_t shortest = 8, longest = 64;  // texts grow for six tenths of the steps
  double wrong = 0.1;                      // so many of the answers that it is taught are drawn anew
};
//: end

class StateLearner {
 public:
  explicit StateLearner(const StateTraining& how)
      : how_(how),
        random_(1000 + how.seed),
        state_(mamba2::LanguageModel<double>(state_model(how.task, how.mixer, how.layers), how.seed)) {
    options_.adamw.weight_decay = 0;
    options_.schedule = {.peak = 0.02, .last = 0.003, .warmup = 20};
  }

  double step() {  // the loss before it
    const double done = static_cast<double>(state_.moments.steps) / static_cast<double>(how_.steps);
    const double grown = std::min(1.0, done / 0.6),
                 ratio = static_cast<double>(how_.longest) / static_cast<double>(how_.shortest);
    const auto length = static_cast<std::size_t>(static_cast<double>(how_.shortest) * std::pow(ratio, grown));
    const StateTexts texts = random_texts(how_.task, std::max<std::size_t>(4, 1024 / length), length, random_);
    mamba2::Batch batch{texts.ids, texts.states};
    for (auto& target : batch.targets)
      if (random_(0, 1) < how_.wrong)
        target = static_cast<std::int64_t>(random_(0, static_cast<double>(how_.task.states)));
    return mamba2::training_step<double>(state_, std::span(&batch, 1), done, options_).loss;
  }

  const mamba2::LanguageModel<double>& model() const { return state_.model; }

 private:
  StateTraining how_;
  Random random_;
  mamba2::TrainingState<double> state_;
  mamba2::TrainingOptions options_;
};

}  // namespace demo
