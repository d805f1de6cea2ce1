// What tests of training share: how the golden run was trained, and models small enough to be trained at once.
#pragma once

#include <mamba2/training.hpp>
#include <support/training_run.hpp>

#include <set>
#include <string>
#include <vector>

namespace testing {

inline mamba2::TrainingOptions golden_training_options() {
  const auto json = training_options();
  mamba2::TrainingOptions options;
  options.adamw = {.beta1 = json.at("betas")[0],
                   .beta2 = json.at("betas")[1],
                   .eps = json.at("eps"),
                   .weight_decay = json.at("weight_decay")};
  options.schedule = {.peak = json.at("lr"), .last = 1, .warmup = 0};
  options.clip_norm = json.at("clip_norm");
  return options;
}

inline std::set<std::string> golden_training_decayed() {
  return training_options().at("decayed").get<std::set<std::string>>();
}

// What a golden step reads, as a batch.
inline mamba2::Batch golden_batch(std::size_t step) {
  const auto [ids, targets] = training_batch(step);
  return {ids, targets, false};
}

// A model with unequal sizes that a test can train.
inline mamba2::LanguageModelConfig small_training_config() {
  return {.n_layer = 2,
          .vocab_size = 11,
          .pad_vocab_size_multiple = 4,
          .mixer = mamba2::Mamba2Config{.d_model = 6, .d_state = 5, .headdim = 3, .ngroups = 2, .chunk_size = 7}};
}

// Tokens that are easy to foretell: each is the one before plus 1 or 3, in turn.
inline std::vector<std::int64_t> small_text(std::size_t length) {
  std::vector<std::int64_t> tokens;
  for (std::size_t i = 0; i < length; ++i) tokens.push_back(static_cast<std::int64_t>((i * 2 + i % 2) % 11));
  return tokens;
}

}  // namespace testing
