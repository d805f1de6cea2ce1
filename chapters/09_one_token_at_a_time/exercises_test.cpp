// The grader of this chapter.
#include "exercises.hpp"

#include <exercises/grader.hpp>
#include <mamba2/cache.hpp>
#include <mamba2/conv.hpp>

#include <array>

using mamba2::MatrixRef;
using mamba2::Tensor;
using mamba2::zeros;

namespace {

template <std::size_t N>
Tensor<double, N> noise(const std::array<std::size_t, N>& shape, std::uint64_t seed) {
  mamba2::Random random(seed);
  Tensor<double, N> tensor(shape);
  for (auto& value : tensor) value = random.uniform(-1, 1);
  return tensor;
}

}  // namespace

GRADE(1, "a window that does not move") {
  for (const std::size_t width : {4, 3}) {
    const std::size_t seqlen = 11;
    const auto x = noise<1>({seqlen}, 1), taps = noise<1>({width}, 2), before = noise<1>({width}, 3);
    const double bias = 0.25;
    auto expected = zeros<double>(seqlen), yours = zeros<double>(seqlen);
    mamba2::short_convolution<double>({.x = {x.data(), seqlen, 1, 1},
                                       .batch = 1,
                                       .weight = {taps.data(), 1, width, width},
                                       .bias = std::span(&bias, 1),
                                       .initial_state = {before.data(), 1, width, width},
                                       .silu = false},
                                      {expected.data(), seqlen, 1, 1});
    exercises::Ring ring{zeros<double>(width),
                         1};  // the newest lies at place 1, so the oldest at place 2
    for (std::size_t i = 0; i < width; ++i) ring.inputs((i + 2) % width) = before(i);
    for (std::size_t t = 0; t < seqlen; ++t) yours(t) = exercises::ring_step(x(t), taps, bias, ring);
    grader::expect_close(yours, expected, "outputs of 11 steps, window of " + std::to_string(width));
    grader::expect(ring.newest < width, "after the steps `newest` must still be a place in the ring");
    grader::expect_close(ring.inputs(ring.newest), x(seqlen - 1), "the newest input in the ring");
  }
}

GRADE(2, "one head, one token") {
  const std::size_t headdim = 3, d_state = 5;
  for (const double limit :
       {100.0, 0.6}) {  // wide open, and so that all three cases of the limits come up
    const exercises::Head head{
        .A = -0.7, .dt_bias = -0.4, .dt_min = limit > 1 ? 0 : 0.35, .dt_max = limit, .D = 0.8};
    auto state = noise<2>({headdim, d_state}, 4);
    auto expected_state = zeros<double>(1, 1, headdim, d_state);
    std::copy(state.begin(), state.end(), expected_state.begin());
    for (std::uint64_t t = 0; t < 6; ++t) {
      const auto x = noise<1>({headdim}, 10 + t), B = noise<1>({d_state}, 20 + t),
                 C = noise<1>({d_state}, 30 + t);
      mamba2::ScanInput<double> token;
      token.x = zeros<double>(1, 1, 1, headdim);
      std::copy(x.begin(), x.end(), token.x.begin());
      token.B = zeros<double>(1, 1, 1, d_state);
      std::copy(B.begin(), B.end(), token.B.begin());
      token.C = zeros<double>(1, 1, 1, d_state);
      std::copy(C.begin(), C.end(), token.C.begin());
      const double raw_dt = -1.5 + 0.6 * static_cast<double>(t);
      token.dt = Tensor<double, 3>({1, 1, 1}, raw_dt);
      token.A = Tensor<double, 1>({1}, head.A);
      token.dt_bias = Tensor<double, 1>({1}, head.dt_bias);
      token.D = Tensor<double, 2>({1, 1}, head.D);
      const auto y =
          mamba2::scan_step(token, {.dt_min = head.dt_min, .dt_max = head.dt_max}, expected_state);

      const auto yours = exercises::head_step(head, x, raw_dt, B, C, state);
      const std::string where = " of token " + std::to_string(t) + (limit > 1 ? "" : ", with limits");
      grader::expect_close(yours, Tensor<double, 1>(xt::view(y, 0, 0, 0)), "outputs" + where);
      grader::expect_close(state, Tensor<double, 2>(xt::view(expected_state, 0, 0)),
                           "the state" + where);
    }
  }
}

GRADE(3, "when does attention need more?") {
  using mamba2::Mamba2Config;
  for (const auto& config :
       {Mamba2Config{.d_model = 768}, Mamba2Config{.d_model = 2560},
        Mamba2Config{.d_model = 8, .d_state = 9, .d_conv = 3, .headdim = 4, .d_ssm = 12, .ngroups = 3},
        Mamba2Config{.d_model = 4, .d_state = 5, .d_conv = 2, .headdim = 4}}) {
    const auto cache = mamba2::empty_cache<double>(config, 1);
    const std::size_t ours = cache.conv_state.size() + cache.ssm_state.size();
    std::size_t expected = 0;
    while (expected * 2 * config.d_model <= ours) ++expected;
    grader::expect_close(exercises::attention_needs_more(config), expected,
                         "tokens, for d_model = " + std::to_string(config.d_model));
  }
}
