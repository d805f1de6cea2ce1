// A task with a long memory and a model of one channel that learns it, introduced in chapter `s4`.
#pragma once

#include <mamba2/fourier.hpp>
#include <mamba2/optimizer.hpp>
#include <mamba2/random.hpp>
#include <mamba2/s4d.hpp>

#include <cmath>
#include <cstdint>
#include <numbers>
#include <span>
#include <vector>

namespace demo {

//: delay
// A sequence of 512 steps, its input and what is wanted: the same, 250 steps later. The input is a
// sum of waves, each with a random height, beginning and pitch, the quickest 31 steps long.
struct Delay {
  static constexpr std::size_t seqlen = 512, lag = 250, waves = 12;
  mamba2::Tensor<double, 1> x = mamba2::zeros<double>(seqlen), wanted = x;

  explicit Delay(mamba2::Random& random) {
    for (std::size_t wave = 0; wave < waves; ++wave) {
      const double height = std::sqrt(2.0 / waves) * random.normal();
      const double phase = 2 * std::numbers::pi * random.uniform();
      const double turn = 2 * std::numbers::pi / 31 * random.uniform();  // in a step
      for (std::size_t t = 0; t < seqlen; ++t) x(t) += height * std::cos(turn * double(t) + phase);
    }
    for (std::size_t t = lag; t < seqlen; ++t) wanted(t) = x(t - lag);
  }
};
//: end

// A layer of S4D that learns it.
class DelayLearner {
 public:
  explicit DelayLearner(const mamba2::S4DConfig& config) : config_(config) {
    for (mamba2::S4DParameters* set : {&p_, &gradient_, &mean_, &square_}) set_zero(config_, *set);
    mamba2::Random random(1);
    walk(config_, [&](const mamba2::ParameterInfo& info, std::span<double> values) { draw(info, random, values); }, p_);
  }

  mamba2::Tensor<double, 1> kernel() const { return xt::row(mamba2::s4d_kernel(p_, Delay::seqlen), 0); }

  //: step
  // A step of training; returns the error, as a share of what silence gets.
  double step(const std::vector<Delay>& batch) {
    const mamba2::Tensor<double, 1> K = kernel();
    auto dK = mamba2::zeros<double>(1, Delay::seqlen);
    double error = 0, silence = 0;
    for (const Delay& sequence : batch) {
      const auto y = mamba2::fft_convolution(sequence.x, K);
      mamba2::Tensor<double, 1> dy = y - sequence.wanted;
      for (const double wrong : dy) error += wrong * wrong;
      for (const double wanted : sequence.wanted) silence += wanted * wanted;
      dy *= 2.0 / double(batch.size() * Delay::seqlen);
      dK += mamba2::fft_correlation(dy, sequence.x);
    }
    set_zero(config_, gradient_);
    mamba2::s4d_kernel_gradient(p_, dK, gradient_);
    ++steps_;
    const auto update = [&](const auto& info, auto values, auto gradient, auto mean, auto square) {
      mamba2::adamw_update<double>({values, gradient, mean, square}, steps_, 0.01, info.decays);
    };
    walk(config_, update, p_, gradient_, mean_, square_);
    return error / silence;
  }
  //: end

 private:
  mamba2::S4DConfig config_;
  mamba2::S4DParameters p_, gradient_, mean_, square_;
  std::uint64_t steps_ = 0;
};

// What is learnt from: a batch of four for each step.
inline std::vector<std::vector<Delay>> delays(std::size_t steps) {
  mamba2::Random random(7);
  std::vector<std::vector<Delay>> batches(steps);
  for (auto& batch : batches)
    for (int i = 0; i < 4; ++i) batch.emplace_back(random);
  return batches;
}

// The beginnings that are compared.
struct Beginning {
  const char* name;
  mamba2::S4DInitial initial;
  double dt;
};
inline const std::vector<Beginning>& beginnings() {
  static const std::vector<Beginning> all{{"LegS", mamba2::S4DInitial::legs, 0.004},
                                          {"Inv", mamba2::S4DInitial::inverse, 0.004},
                                          {"Lin", mamba2::S4DInitial::linear, 0.004},
                                          {"Real", mamba2::S4DInitial::real, 0.004},
                                          {"Lin", mamba2::S4DInitial::linear, 0.16}};
  return all;
}
inline mamba2::S4DConfig config_of(const Beginning& b) {
  return {.channels = 1, .d_state = 64, .initial = b.initial, .dt_min = b.dt, .dt_max = b.dt};
}

}  // namespace demo
