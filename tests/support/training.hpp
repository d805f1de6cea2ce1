// What tests of training share: the golden run, and models small enough to be trained at once.
#pragma once

#include <mamba2/training.hpp>
#include <nlohmann/json.hpp>
#include <support/testing.hpp>

#include <cmath>
#include <fstream>
#include <set>
#include <string>

namespace testing {

inline nlohmann::json golden_training_json() {
  std::ifstream file(golden_path("train") / "config.json");
  return nlohmann::json::parse(file);
}

inline mamba2::LanguageModelConfig golden_training_config() {
  const auto json = golden_training_json();
  const auto size = [&](const char* name) { return json.at(name).get<std::size_t>(); };
  return {.n_layer = size("n_layer"),
          .vocab_size = size("vocab_size"),
          .pad_vocab_size_multiple = 1,
          .mixer = mamba2::Mamba2Config{.d_model = size("d_model"),
                                        .d_state = size("d_state"),
                                        .d_conv = size("d_conv"),
                                        .expand = size("expand"),
                                        .headdim = size("headdim"),
                                        .ngroups = size("ngroups"),
                                        .chunk_size = size("chunk_size")}};
}

inline mamba2::TrainingOptions golden_training_options() {
  const auto json = golden_training_json();
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
  return golden_training_json().at("decayed").get<std::set<std::string>>();
}

// golden_parameters<double>("train/init"): a set of parameters of the golden model.
template <class Real>
mamba2::LanguageModelParameters<Real> golden_parameters(const std::string& folder) {
  auto parameters = mamba2::zero_parameters<Real>(golden_training_config());
  mamba2::walk(
      golden_training_config(),
      [&](const mamba2::ParameterInfo& info, std::span<Real> values) {
        const auto array = read_npy<double>(golden_path(folder) / (info.name + ".npy"));
        REQUIRE(array.values.size() == values.size());
        for (std::size_t i = 0; i < values.size(); ++i) values[i] = static_cast<Real>(array.values[i]);
      },
      parameters);
  return parameters;
}

// The tokens of a golden step: all but the last as they are read, all but the first as they are asked for.
inline mamba2::Batch golden_batch(const mamba2::Tensor<std::int64_t, 3>& tokens, std::size_t step) {
  const std::size_t rows = tokens.shape(1), seqlen = tokens.shape(2) - 1;
  auto ids = mamba2::Tensor<std::int64_t, 2>::from_shape({rows, seqlen});
  mamba2::Batch batch{ids, ids, false};
  for (std::size_t r = 0; r < rows; ++r)
    for (std::size_t t = 0; t < seqlen; ++t) {
      batch.ids(r, t) = tokens(step, r, t);
      batch.targets(r, t) = tokens(step, r, t + 1);
    }
  return batch;
}

// The largest relative error of a parameter, ‖got − want‖ / ‖want‖.
template <class A, class B>
double parameter_distance(const mamba2::LanguageModelConfig& config, const mamba2::LanguageModelParameters<A>& got,
                          const mamba2::LanguageModelParameters<B>& want) {
  double largest = 0;
  mamba2::walk(
      config,
      [&](const mamba2::ParameterInfo&, std::span<const A> a, std::span<const B> b) {
        double difference = 0, size = 0;
        for (std::size_t i = 0; i < a.size(); ++i) {
          difference += std::pow(static_cast<double>(a[i]) - static_cast<double>(b[i]), 2);
          size += std::pow(static_cast<double>(b[i]), 2);
        }
        if (difference > 0) largest = std::max(largest, std::sqrt(difference / size));
        if (std::isnan(difference)) largest = std::numeric_limits<double>::infinity();
      },
      got, want);
  return largest;
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
