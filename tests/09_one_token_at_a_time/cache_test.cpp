#include <mamba2/block.hpp>
#include <mamba2/cache.hpp>
#include <mamba2/error.hpp>
#include <mamba2/random.hpp>
#include <support/block_cases.hpp>
#include <support/testing.hpp>

#include <algorithm>
#include <limits>
#include <map>
#include <tuple>
#include <utility>

using namespace mamba2;
using testing::block_case;
using testing::golden_tolerance;
using testing::message_of;
using testing::random_tensor;
using testing::relative_error;

TEMPLATE_TEST_CASE("steps after a prefill give the golden outputs and states", "[cache]", float, double) {
  const auto name = GENERATE(from_range(testing::block_cases));
  CAPTURE(name);
  const auto golden = block_case<TestType>(name);
  const Mamba2Block<TestType> block(golden.config, golden.parameters);
  auto cache = block.forward(golden.u_prefill()).cache;

  const auto y_steps = golden.load3("y_steps");
  auto got = zeros<TestType>(y_steps.shape(0), y_steps.shape(1), y_steps.shape(2));
  for (std::size_t t = 0; t < 3; ++t) {
    const Tensor<TestType, 2> token = xt::view(golden.u, xt::all(), golden.prefill_length + t);
    xt::view(got, xt::all(), t) = block.step(token, cache);
  }
  CHECK(relative_error(got, y_steps) < golden_tolerance<TestType>);
  CHECK(relative_error(cache.conv_state, golden.load3("conv_state_after")) < golden_tolerance<TestType>);
  CHECK(relative_error(cache.ssm_state, golden.load4("ssm_state_after")) < golden_tolerance<TestType>);
}

namespace {

constexpr std::size_t d_model = 9, length = 21;

// With step sizes that run into both limits, D for each channel, channels that pass the scan by: all that the reference's step
// gets wrong or leaves out.
const Mamba2Block<double>& full_block(std::size_t d_conv = 4) {
  static std::map<std::size_t, Mamba2Block<double>> blocks;
  const auto found = blocks.find(d_conv);
  if (found != blocks.end()) return found->second;
  Mamba2Config config{.d_model = d_model,
                      .d_state = 7,
                      .d_conv = d_conv,
                      .expand = 4,
                      .headdim = 3,
                      .d_ssm = 24,
                      .ngroups = 4,
                      .chunk_size = 5,
                      .dt_limit_min = 0.04,
                      .dt_limit_max = 0.06,
                      .D_has_hdim = true,
                      .bias = true};
  Mamba2Block<double> block(config, 17);
  std::uint64_t seed = 500;
  block.update([&](auto& parameters) {
    for (const auto& values : parameter_spans(parameters)) {
      testing::Random random(seed++);
      for (double& value : values) value += random.uniform(-0.2, 0.2);
    }
  });
  return blocks.emplace(d_conv, block).first->second;
}

Tensor<double, 3> piece(const Tensor<double, 3>& u, std::size_t first, std::size_t last) {
  return xt::view(u, xt::all(), xt::range(first, last));
}

}  // namespace

TEST_CASE("prefill, steps, and prefill on a warm cache are one pass, wherever the cuts are", "[cache]") {
  const std::size_t d_conv = GENERATE(1, 2, 4, 6);
  const auto& block = full_block(d_conv);
  const auto u = random_tensor<double, 3>({2, length, d_model}, 8);
  const auto want = block.forward(u);
  for (const std::size_t first : {0, 1, 2, 3, 5, 8}) {
    for (const std::size_t second : {8, 9, 11, 16}) {  // [0, first) prefill, [first, second) steps, then prefill again
      auto y = zeros<double>(2, length, d_model);
      auto [y_prefill, cache] = block.forward(piece(u, 0, first));
      xt::view(y, xt::all(), xt::range(0, first)) = y_prefill;
      for (std::size_t t = first; t < second; ++t) {
        const Tensor<double, 2> token = xt::view(u, xt::all(), t);
        xt::view(y, xt::all(), t) = block.step(token, cache);
      }
      const auto rest = block.forward(piece(u, second, length), {.cache = &cache});
      xt::view(y, xt::all(), xt::range(second, length)) = rest.y;
      CAPTURE(d_conv, first, second);
      CHECK(relative_error(y, want.y) < 1e-13);
      CHECK(relative_error(rest.cache.conv_state, want.cache.conv_state) < 1e-13);
      CHECK(relative_error(rest.cache.ssm_state, want.cache.ssm_state) < 1e-13);
    }
  }
}

TEST_CASE("prefill on a warm cache works with each algorithm and in pieces shorter than the window", "[cache]") {
  const auto& block = full_block();
  const auto u = random_tensor<double, 3>({1, length, d_model}, 9);
  const auto want = block.forward(u);
  for (const auto algorithm : {Algorithm::recurrent, Algorithm::quadratic, Algorithm::chunked}) {
    for (const std::size_t size : {1, 2, 3, 4, 7}) {
      auto y = zeros<double>(1, length, d_model);
      auto cache = block.empty_cache(1);
      for (std::size_t t = 0; t < length; t += size) {
        const std::size_t end = std::min(t + size, length);
        auto out = block.forward(piece(u, t, end), {.cache = &cache, .algorithm = algorithm});
        xt::view(y, xt::all(), xt::range(t, end)) = out.y;
        cache = std::move(out.cache);
      }
      CHECK(relative_error(y, want.y) < 1e-13);
    }
  }
}

TEST_CASE("the limits of the step size hold in the step as in the pass", "[cache]") {
  // That the limits bite at all: without them the outputs are others.
  auto config = full_block().config();
  config.dt_limit_min = 0;
  config.dt_limit_max = std::numeric_limits<double>::infinity();
  const Mamba2Block<double> unlimited(config, full_block().parameters());
  const auto u = random_tensor<double, 2>({2, d_model}, 10);
  auto a = full_block().empty_cache(2), b = full_block().empty_cache(2);
  CHECK(relative_error(unlimited.step(u, a), full_block().step(u, b)) > 1e-4);
}

TEST_CASE("two caches do not share their memory", "[cache]") {
  const auto& block = full_block();
  const auto u = random_tensor<double, 3>({1, 6, d_model}, 11);
  auto out = block.forward(u);
  const auto before = out.cache;
  auto branch = out.cache;
  const Tensor<double, 2> token = xt::view(u, xt::all(), 2);
  block.step(token, branch);
  CHECK(relative_error(out.cache.ssm_state, before.ssm_state) == 0);
  CHECK(relative_error(out.cache.conv_state, before.conv_state) == 0);
  CHECK(relative_error(branch.ssm_state, before.ssm_state) > 1e-3);
}

TEST_CASE("a step refuses other shapes, by name", "[cache]") {
  const auto& block = full_block();
  auto cache = block.empty_cache(2);
  CHECK(message_of<ShapeError>([&] { block.step(zeros<double>(2, 8), cache); }) ==
        "u: expected shape (batch, d_model) = (2, 9), got (2, 8)");
  CHECK(message_of<ShapeError>([&] { block.step(zeros<double>(3, 9), cache); }) ==
        "conv_state: expected shape (batch, conv_dim, d_conv) = (3, 80, 4), got (2, 80, 4)");
  cache.ssm_state = zeros<double>(2, 8, 3, 6);
  CHECK(message_of<ShapeError>([&] { block.step(zeros<double>(2, 9), cache); }) ==
        "ssm_state: expected shape (batch, nheads, headdim, d_state) = (2, 8, 3, 7), got (2, 8, 3, 6)");
}

// A large state that fades by ten millionths at each token: what it loses lies in the digits that a float has no room for.
TEST_CASE("a block forgets as slowly in float as in double, read or written, by turns", "[cache][slow]") {
  const Mamba2Config config{.d_model = 4, .d_state = 5, .headdim = 4};
  mamba2::Random random(3);
  auto narrow = initial_parameters<float>(config, random);
  narrow.A_log.fill(-9.2F);  // A = -1e-4, and step sizes about 1e-3
  narrow.dt_bias.fill(-6.9F);
  narrow.in_proj_weight *= 0.01F;
  auto same = zero_parameters<double>(config);
  const auto copy = [](const auto& from, auto& to) { std::copy(from.begin(), from.end(), to.begin()); };
  std::apply([&](auto&... to) { std::apply([&](auto&... from) { (copy(from, to), ...); }, narrow.tensors(narrow)); },
             same.tensors(same));
  const Mamba2Block<float> block(config, narrow);
  const Mamba2Block<double> wide(config, same);

  constexpr std::size_t tokens = 20000;
  const auto u = random_tensor<float, 3>({1, tokens, 4}, 5);
  auto cache_wide = wide.empty_cache(1);
  cache_wide.ssm_state.fill(1000);
  const Tensor<double, 4> want =
      wide.forward(Tensor<double, 3>(xt::cast<double>(u)), {.cache = &cache_wide}).cache.ssm_state;
  CHECK(std::abs(want(0, 0, 0, 0) - 1000) > 0.5);
  const auto state_after = [&](std::size_t piece_length, bool keep) {
    auto cache = block.empty_cache(1);
    cache.ssm_state.fill(1000);
    for (std::size_t t = 0; t < tokens; t += piece_length) {
      if (!keep) cache.ssm_remainder.clear();
      if (piece_length == 1) {
        block.step(Tensor<float, 2>(xt::view(u, xt::all(), t)), cache);
      } else {
        const Tensor<float, 3> part = xt::view(u, xt::all(), xt::range(t, std::min(t + piece_length, tokens)));
        cache = block.forward(part, {.cache = &cache}).cache;
      }
    }
    return cache.ssm_state;
  };
  for (const std::size_t piece_length : {1, 7, 500}) {  // 1: by steps
    CAPTURE(piece_length);
    CHECK(relative_error(state_after(piece_length, true), want) < 1e-6);
  }
  CHECK(relative_error(state_after(1, false), want) > 1e-5);  // what the remainder is for
}
