// The golden training run.
#pragma once

#include <mamba2/language_model.hpp>
#include <support/testing.hpp>

#include <nlohmann/json.hpp>

#include <algorithm>
#include <array>
#include <cmath>
#include <fstream>
#include <limits>
#include <span>
#include <string>

namespace testing {

// The run's config.json: the model, and how it was trained.
inline nlohmann::json training_options() {
  std::ifstream file(golden_path("train") / "config.json");
  return nlohmann::json::parse(file);
}

inline mamba2::LanguageModelConfig training_config() {
  const auto json = training_options();
  return {.n_layer = json.at("n_layer"),
          .vocab_size = json.at("vocab_size"),
          .mixer = mamba2::Mamba2Config{.d_model = json.at("d_model"),
                                        .d_state = json.at("d_state"),
                                        .d_conv = json.at("d_conv"),
                                        .expand = json.at("expand"),
                                        .headdim = json.at("headdim"),
                                        .ngroups = json.at("ngroups"),
                                        .chunk_size = json.at("chunk_size")}};
}

// A set of parameters of the run: "init", "first_gradient" or "final".
template <class Real>
mamba2::LanguageModelParameters<Real> training_parameters(const std::string& folder) {
  const auto config = training_config();
  auto parameters = mamba2::zero_parameters<Real>(config);
  mamba2::walk(
      config,
      [&](const mamba2::ParameterInfo& info, std::span<Real> values) {
        const auto array = read_npy<double>(golden_path("train/" + folder) / (info.name + ".npy"));
        REQUIRE(array.values.size() == values.size());
        std::transform(array.values.begin(), array.values.end(), values.begin(),
                       [](double value) { return static_cast<Real>(value); });
      },
      parameters);
  return parameters;
}

// What step `i` reads, and what it should have predicted, (batch, seqlen) each.
inline std::array<mamba2::Tensor<std::int64_t, 2>, 2> training_batch(std::size_t i) {
  static const auto tokens = load_golden<std::int64_t, 3>("train", "tokens");
  const std::size_t last = tokens.shape(2) - 1;
  return {xt::view(tokens, i, xt::all(), xt::range(0, last)), xt::view(tokens, i, xt::all(), xt::range(1, last + 1))};
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

}  // namespace testing
