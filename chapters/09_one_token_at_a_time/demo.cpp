// ## The program {#one_token_at_a_time_program}

#include <demo/bfloat16.hpp>
#include <demo/demo.hpp>
#include <mamba2/block.hpp>
#include <mamba2/cache.hpp>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <limits>

using mamba2::Mamba2Block;
using mamba2::Mamba2Cache;
using mamba2::Mamba2Config;
using mamba2::Tensor;
using mamba2::zeros;

namespace {

using demo::relative_difference;
using demo::yes;

// To go through a text:

//: fold Noise, pieces of it, and steps through a piece
Tensor<double, 3> noise(std::size_t batch, std::size_t seqlen, std::size_t d_model) {
  mamba2::Random random(9);
  auto u = zeros<double>(batch, seqlen, d_model);
  for (auto& value : u) value = random.normal();
  return u;
}

Tensor<double, 3> piece(const Tensor<double, 3>& u, std::size_t first, std::size_t last) {
  return xt::view(u, xt::all(), xt::range(first, last));
}

// Feed tokens first ... last - 1 one at a time; their outputs go to the same places of y.
void steps(const Mamba2Block<double>& block, const Tensor<double, 3>& u, std::size_t first,
           std::size_t last, Mamba2Cache<double>& cache, Tensor<double, 3>& y) {
  for (std::size_t t = first; t < last; ++t) {
    const Tensor<double, 2> token = xt::view(u, xt::all(), t);  // (batch, d_model)
    xt::view(y, xt::all(), t) = block.step(token, cache);
  }
}

// The size of the past, for the 130M model, and how soon attention needs more.

void size() {
  const Mamba2Config config{.d_model = 768};
  const std::size_t layers = 24, bytes = sizeof(float);
  const auto cache = mamba2::empty_cache<float>(config, 1);
  const std::size_t conv = layers * bytes * cache.conv_state.size(),
                    ssm = layers * bytes * cache.ssm_state.size();
  std::printf("conv_state, all layers        %9zu bytes\n", conv);
  std::printf("ssm_state, all layers         %9zu bytes\n", ssm);
  for (const std::size_t attention_layers : {layers, layers / 2}) {
    const std::size_t each = attention_layers * bytes * 2 * config.d_model;  // a key and a value
    std::printf("attention, %zu layers          %9zu bytes a token; more from token %zu on\n",
                attention_layers, each, (conv + ssm) / each + 1);
  }
}

// What is read and written for one token. The embedding counts once: as the last matrix of the
// model, which makes a score for each of 50288 words.

void token() {
  const Mamba2Config config{.d_model = 768};
  std::size_t block = 0;
  for (const auto& info : mamba2::parameter_list(config)) block += info.size();
  const double MB = 1e6 / sizeof(float);
  const double state = 24 * double(mamba2::state_size(config)) / MB;
  std::printf("weights of 24 blocks         %5.0f MB read\n", 24 * double(block) / MB);
  std::printf("embedding                    %5.0f MB read\n", 50288 * 768 / MB);
  std::printf("states                       %5.0f MB read, %.0f MB written\n", state, state);
}

// A state that should fade to $e^{-1}$ of itself, stored after each step in few bits, in 32 and in
// 64.

void frozen() {
  double few = demo::bfloat16(1.3), exact = few;
  float single = static_cast<float>(few);
  for (int t = 0; t < 1000; ++t) {
    few = demo::bfloat16(std::exp(-0.001) * few);
    single *= std::exp(-0.001f);
    exact *= std::exp(-0.001);
  }
  std::printf("1.3 times e^-0.001, a thousand times:\n");
  std::printf("bfloat16 %.3f   float32 %.3f   float64 %.3f\n", few, single, exact);
}

// Forward and back again. Where the head comes out is compared with where it began, at 1.

void back() {
  std::printf("steps forward and back    off by\n");
  for (const int steps : {5, 10, 15, 20}) {
    const double decay = 0.1;
    double h = 1;
    for (int t = 0; t < steps; ++t) h = decay * h + std::sin(t);
    for (int t = steps; t-- > 0;) h = (h - std::sin(t)) / decay;
    std::printf("%22d    %6.0e\n", steps, std::abs(h - 1));
  }
}

// One text, cut into three pieces in every way there is.

Mamba2Config small() {
  return {.d_model = 12, .d_state = 6, .headdim = 4, .ngroups = 2, .chunk_size = 5};
}

void same() {
  const std::size_t length = 17;
  const Mamba2Block<double> block(small(), 0);
  const auto u = noise(2, length, 12);
  const auto whole = block.forward(u);
  double outputs = 0, states = 0;
  std::size_t ways = 0;
  for (std::size_t first = 0; first <= length; ++first) {
    for (std::size_t second = first; second <= length; ++second, ++ways) {
      auto y = zeros<double>(2, length, 12);
      auto [y_prompt, cache] = block.forward(piece(u, 0, first));
      xt::view(y, xt::all(), xt::range(0, first)) = y_prompt;
      steps(block, u, first, second, cache, y);
      const auto rest = block.forward(piece(u, second, length), {.cache = &cache});
      xt::view(y, xt::all(), xt::range(second, length)) = rest.y;
      outputs = std::max(outputs, relative_difference(y, whole.y));
      states = std::max({states, relative_difference(rest.cache.ssm_state, whole.cache.ssm_state),
                         relative_difference(rest.cache.conv_state, whole.cache.conv_state)});
    }
  }
  std::printf("%zu ways to cut: outputs agree to 1e-12: %s, states agree to 1e-12: %s\n", ways,
              yes(outputs < 1e-12), yes(states < 1e-12));
}

// A block whose step sizes are limited, continued with the limits, and without them as the
// reference's step does.

void limits() {
  auto config = small();
  config.dt_limit_min = 0.1;
  config.dt_limit_max = 0.2;
  config.D_has_hdim = true;
  const Mamba2Block<double> block(config, 0);
  config.dt_limit_min = 0;
  config.dt_limit_max = std::numeric_limits<double>::infinity();
  const Mamba2Block<double> forgetful(config, block.parameters());

  const auto u = noise(1, 40, 12);
  const auto whole = block.forward(u).y;
  auto kept = block.forward(piece(u, 0, 20)).cache, lost = kept;
  auto with = whole, without = whole;
  steps(block, u, 20, 40, kept, with);
  steps(forgetful, u, 20, 40, lost, without);
  std::printf("20 steps with the limits agree with the pass to 1e-12: %s\n",
              yes(relative_difference(with, whole) < 1e-12));
  std::printf("20 steps without them are off by %.0f %%\n",
              100 * relative_difference(piece(without, 20, 40), piece(whole, 20, 40)));
}

// A hundred thousand tokens, at once and one at a time.

void long_text() {
  const std::size_t length = 100000;
  const Mamba2Block<double> block({.d_model = 8, .d_state = 8, .headdim = 8, .chunk_size = 64}, 0);
  const auto u = noise(1, length, 8);
  const auto whole = block.forward(u);
  auto cache = block.empty_cache(1);
  const std::size_t before = cache.conv_state.size() + cache.ssm_state.size();
  auto y = zeros<double>(1, length, 8);
  steps(block, u, 0, length, cache, y);
  std::printf("numbers in the cache before and after %zu tokens: %zu and %zu\n", length, before,
              cache.conv_state.size() + cache.ssm_state.size());
  std::printf("outputs agree with one pass to 1e-12: %s\n",
              yes(relative_difference(y, whole.y) < 1e-12));
  std::printf("the last thousand alone agree to 1e-12: %s\n",
              yes(relative_difference(piece(y, length - 1000, length),
                                      piece(whole.y, length - 1000, length)) < 1e-12));
}

}  // namespace

// All that is printed stands in the chapter.

//: fold The order
int main() {
  std::printf("[size]\n");
  size();
  std::printf("[token]\n");
  token();
  std::printf("[frozen]\n");
  frozen();
  std::printf("[back]\n");
  back();
  std::printf("[same]\n");
  same();
  std::printf("[limits]\n");
  limits();
  std::printf("[long]\n");
  long_text();
}

// ## What has not changed {#one_token_at_a_time_unchanged}
//
// The model. A step computes what the pass computes, from the same weights with the same options;
// only the order of the work is another. That is the duality of @chapter{duality} in daily use: the
// quadratic and the chunked form to read, the recurrent one to write.
//
// ## Exercises {#one_token_at_a_time_exercises}
//
// ::: exercise 1 A window that does not move
// Do one step of the convolution for one channel with a ring: the new input takes the place of the
// oldest, and an index says where the newest is. No number is moved. Return the weighted sum,
// without SiLU.
// :::
//
// ::: exercise 2 When a state freezes
// Numbers are kept with $p$ significant bits. A state starts at 1 and is multiplied by $e^{-r}$ at
// each step, and rounded. Return the value at which it stays for ever. (Write the rounding first:
// to the nearest number with $p$ bits, to the even one of two that are as near.)
// :::
//
// ::: exercise 3 A ragged batch
// Texts of different lengths are to go through convolution and scan in one batch. Padding stands on
// the *left*, so that all texts end together and can be continued together. You are given what the
// input projection made of each text; make the batch. The outputs of the real tokens and both
// states must be what each text gives by itself.
// :::
//
// ::: exercise 4 Take it back
// For an evening. Write a history of a block that can take back its last tokens, up to 64 of them,
// with no more than six copies of the cache, and no more than sixteen tokens read again for each
// way back. The grader types and erases for a while, and shows what it cost.
// :::
//
// ## Further reading {#one_token_at_a_time_further}
//
// - The Mamba-2 paper [@dao2024], Equation 8 and section 6.3, for the recurrent mode and what
//   inference costs. (Its Theorem 6.1 says $O(TN)$ where its table says $N^2$ for a token: the
//   table is right.)
// - Mamba-1 [@gu2023], section 4.5, on throughput when writing: with no growing cache, larger
//   batches fit.
