// A task that asks for memory, and small models that learn it. Chapter `training` records what comes of it.
#pragma once

#include <mamba2/block.hpp>
#include <mamba2/cross_entropy.hpp>
#include <mamba2/language_model.hpp>
#include <mamba2/random.hpp>
#include <mamba2/training.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <numeric>
#include <span>
#include <utility>
#include <vector>

namespace demo {

using Token = std::int64_t;

// The tokens are 0 (here begins a list), 1 (a pause), the keys and the values.
struct Recall {
  std::size_t keys, values;  // how many there are
  std::size_t pairs;         // in a list
  std::size_t lists = 1;     // of which the last one counts
  std::size_t pause = 0;     // tokens between the last list and the questions
  std::size_t vocabulary() const { return 2 + keys + values; }
  std::size_t seqlen() const { return lists * (1 + 2 * pairs) + pause + pairs; }
  // The same with shorter lists, as they are when so much of the training is done.
  Recall after(double done) const {
    Recall task = *this;
    const double share = std::min(1.0, 0.25 + 2 * done);
    task.pairs = std::max<std::size_t>(2, static_cast<std::size_t>(share * static_cast<double>(pairs)));
    task.pause = static_cast<std::size_t>(share * static_cast<double>(pause));
    return task;
  }
};

inline std::size_t below(std::size_t count, mamba2::Random& random) {
  return static_cast<std::size_t>(random.uniform(0, static_cast<double>(count)));
}

inline std::vector<std::size_t> permutation(std::size_t count, mamba2::Random& random) {
  std::vector<std::size_t> order(count);
  std::iota(order.begin(), order.end(), std::size_t{0});
  for (std::size_t i = count; i > 1; --i) std::swap(order[i - 1], order[below(i, random)]);
  return order;
}

//: sequence
// A row: lists of pairs, each a key and its value, then each key of the last list once more.
inline void recall_sequence(const Recall& task, mamba2::Random& random, Token* id, Token* target) {
  const auto key_token = [](std::size_t key) { return static_cast<Token>(2 + key); };
  std::vector<Token> value(task.keys);
  std::vector<std::size_t> keys;
  for (std::size_t list = 0; list < task.lists; ++list) {
    *id++ = 0;
    keys = permutation(task.keys, random);
    for (std::size_t i = 0; i < task.pairs; ++i) {
      value[keys[i]] = static_cast<Token>(2 + task.keys + below(task.values, random));
      *id++ = key_token(keys[i]);
      *id++ = value[keys[i]];
    }
  }
  for (std::size_t i = 0; i < task.pause; ++i) *id++ = 1;
  target += task.seqlen() - task.pairs;  // all before are not asked about
  for (const std::size_t i : permutation(task.pairs, random)) {
    *id++ = key_token(keys[i]);
    *target++ = value[keys[i]];
  }
}
//: end

inline mamba2::Batch recall_batch(const Recall& task, std::size_t rows, mamba2::Random& random) {
  mamba2::Batch batch{mamba2::zeros<std::int64_t>(rows, task.seqlen()),
                      mamba2::zeros<std::int64_t>(rows, task.seqlen())};
  batch.targets.fill(mamba2::not_asked);
  for (std::size_t row = 0; row < rows; ++row)
    recall_sequence(task, random, &batch.ids(row, 0), &batch.targets(row, 0));
  return batch;
}

// The share of the questions to which a model's likeliest token is the answer.
inline double recalled(const mamba2::LanguageModel<double>& model, const mamba2::Batch& batch) {
  const auto logits = model.forward(batch.ids);
  std::size_t right = 0;
  for (std::size_t b = 0; b < batch.ids.shape(0); ++b)
    for (std::size_t t = 0; t < batch.ids.shape(1); ++t) {
      const double* const row = &logits(b, t, 0);
      right += batch.targets(b, t) != mamba2::not_asked &&
               std::max_element(row, row + model.config().vocab_size) - row == batch.targets(b, t);
    }
  return static_cast<double>(right) / static_cast<double>(mamba2::places_asked(batch.targets));
}

// Changes the parameters of each block: change(Mamba2Parameters&).
template <class Change>
void change_blocks(mamba2::LanguageModel<double>& model, const Change& change) {
  model.update([&](mamba2::LanguageModelParameters<double>& parameters) {
    for (auto& branch : parameters.branches) change(branch.mixer.template as<mamba2::Mamba2Parameters<double>>());
  });
}

//: fixed
// Step sizes that no token can change: the last rows of the input projection, which make dt, are
// zero. What is left of dt is softplus(dt_bias), a number for each head.
inline void fix_decay(mamba2::LanguageModel<double>& model) {
  change_blocks(model, [](mamba2::Mamba2Parameters<double>& p) {
    const std::size_t rows = p.in_proj_weight.shape(0), heads = p.dt_bias.size();
    xt::view(p.in_proj_weight, xt::range(rows - heads, rows), xt::all()) = 0.0;
  });
}
//: end

//: forgetful
// A beginning without care: each step size near softplus(1) = 1.3, rates 1, 2, 3 and so on.
inline void begin_forgetful(mamba2::LanguageModel<double>& model) {
  change_blocks(model, [](mamba2::Mamba2Parameters<double>& p) {
    for (std::size_t h = 0; h < p.dt_bias.size(); ++h) {
      p.dt_bias(h) = 1;
      p.A_log(h) = std::log(static_cast<double>(h + 1));
    }
  });
}
//: end

struct RecallTraining {
  Recall task;
  mamba2::Mamba2Config block;  // one layer of it
  std::uint64_t steps;
  double rate;
  std::uint64_t seed;
  bool fixed_decay = false, forgetful = false;
};

// A training step by step.
class RecallLearner {
 public:
  explicit RecallLearner(const RecallTraining& how)
      : how_(how),
        random_(1000 + how.seed),
        state_(mamba2::LanguageModel<double>({.n_layer = 1, .vocab_size = how.task.vocabulary(), .mixer = how.block},
                                             how.seed)) {
    options_.adamw.weight_decay = 0;
    options_.schedule = {.peak = how.rate, .last = 0.1, .warmup = 20};
    if (how.forgetful) begin_forgetful(state_.model);
    if (how.fixed_decay) fix_decay(state_.model);
  }

  double step() {  // the loss before it
    const double done = static_cast<double>(state_.moments.steps) / static_cast<double>(how_.steps);
    const mamba2::Batch batch = recall_batch(how_.task.after(done), 16, random_);
    const double loss = mamba2::training_step<double>(state_, std::span(&batch, 1), done, options_).loss;
    if (how_.fixed_decay) fix_decay(state_.model);
    return loss;
  }
  void steps(std::uint64_t count) {
    for (std::uint64_t i = 0; i < count; ++i) step();
  }
  // In percent, of sequences that were not learnt from.
  double accuracy() const {
    mamba2::Random random(7);
    return 100 * recalled(state_.model, recall_batch(how_.task, 200, random));
  }

 private:
  RecallTraining how_;
  mamba2::Random random_;
  mamba2::TrainingOptions options_;
  mamba2::TrainingState<double> state_;
};

}  // namespace demo
