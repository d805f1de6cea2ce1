// The grader of this chapter.
#include "exercises.hpp"

#include <exercises/grader.hpp>
#include <mamba2/conv.hpp>
#include <mamba2/norm.hpp>
#include <mamba2/random.hpp>

#include <array>

using mamba2::MatrixRef;
using mamba2::Tensor;
using mamba2::zeros;

namespace {

Tensor<double, 1> noise(std::size_t size, std::uint64_t seed) {
  mamba2::Random random(seed);
  Tensor<double, 1> tensor = zeros<double>(size);
  for (auto& value : tensor) value = random.uniform(-1, 1);
  return tensor;
}

MatrixRef<const double> column(const Tensor<double, 1>& x) {
  return {x.data(), x.size(), 1, 1};
}

MatrixRef<const double> row(const Tensor<double, 1>& x) {
  return {x.data(), 1, x.size(), x.size()};
}

// One channel through the library's convolution.
Tensor<double, 1> convolve(const Tensor<double, 1>& x, const Tensor<double, 1>& taps, double bias,
                           const Tensor<double, 1>& state) {
  auto y = zeros<double>(x.size());
  mamba2::short_convolution<double>({.x = column(x),
                                     .batch = 1,
                                     .weight = row(taps),
                                     .bias = std::span(&bias, 1),
                                     .initial_state = row(state),
                                     .silu = false},
                                    {y.data(), y.size(), 1, 1});
  return y;
}

}  // namespace

GRADE(1, "one channel") {
  const auto taps = noise(4, 1), state = noise(4, 2);
  const Tensor<double, 1> nothing = zeros<double>(4);
  for (const std::size_t seqlen : {9, 2}) {
    const auto x = noise(seqlen, 3);
    const std::string length = " of " + std::to_string(seqlen) + " tokens";
    grader::expect_close(exercises::convolve_channel(x, taps, 0, nothing),
                         convolve(x, taps, 0, nothing), "outputs" + length + ", nothing before them");
    grader::expect_close(exercises::convolve_channel(x, taps, 0.5, state),
                         convolve(x, taps, 0.5, state),
                         "outputs" + length + " with a bias, from a state");
  }
}

GRADE(1, "a window of another width") {
  const auto taps = noise(3, 4), state = noise(3, 5), x = noise(7, 6);
  grader::expect_close(exercises::convolve_channel(x, taps, 0, state), convolve(x, taps, 0, state),
                       "outputs, three taps");
}

GRADE(2, "the state that is left") {
  const auto taps = noise(4, 1), state = noise(4, 2);
  for (const std::size_t seqlen : {6, 4, 1, 3, 0}) {
    const auto x = noise(seqlen, 3);
    const auto after = mamba2::convolution_state<double>(
        {.x = column(x), .batch = 1, .weight = row(taps), .initial_state = row(state)});
    Tensor<double, 1> expected = zeros<double>(4);
    std::copy(after.begin(), after.end(), expected.begin());
    grader::expect_close(exercises::state_after(x, state), expected,
                         "the state after " + std::to_string(seqlen) + " tokens");
  }
}

GRADE(3, "the gated norm by groups") {
  const std::size_t features = 12;
  const auto y = noise(features, 7), z = noise(features, 8), weight = noise(features, 9);
  for (const bool norm_before_gate : {false, true}) {
    for (const std::size_t groups : {1, 3}) {
      Tensor<double, 1> expected = zeros<double>(features);
      mamba2::gated_norm<double>(
          row(y), row(z),
          {.weight = weight, .groups = groups, .norm_before_gate = norm_before_gate, .eps = 0.01},
          {expected.data(), 1, features, features});
      grader::expect_close(exercises::gate_and_norm(y, z, weight, groups, norm_before_gate, 0.01),
                           expected,
                           std::string(norm_before_gate ? "norm before gate" : "gate before norm")
                               .append(", groups = ")
                               .append(std::to_string(groups)));
    }
  }
}

GRADE(4, "the key of the token before") {
  const auto [key, value] = exercises::taps_of_a_memory();
  grader::expect(key.size() == 4 && value.size() == 4,
                 "four taps are needed for either kind of channel");
  const auto keys = noise(10, 10), values = noise(10, 11);
  const auto k = convolve(keys, key, 0, zeros<double>(4)),
             v = convolve(values, value, 0, zeros<double>(4));
  for (std::size_t t = 1; t < 10; t += 2) {
    grader::expect_close(k(t), keys(t - 1), "the key channel at step " + std::to_string(t));
    grader::expect_close(v(t), values(t), "the value channel at step " + std::to_string(t));
  }
}
