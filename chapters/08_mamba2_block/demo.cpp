// ## The program {#mamba2_block_program}

#include <demo/bfloat16.hpp>
#include <demo/demo.hpp>
#include <mamba2/block.hpp>
#include <mamba2/error.hpp>

#include <algorithm>
#include <cstdint>
#include <cstdio>

using mamba2::Algorithm;
using mamba2::Mamba2Block;
using mamba2::Mamba2Config;
using mamba2::Tensor;
using mamba2::zeros;

namespace {

using demo::relative_difference;
using demo::yes;

// Its inputs are noise; its blocks are small unless something is counted.

//: fold Inputs, a small block, a count
template <class Real>
Tensor<Real, 3> noise(std::size_t batch, std::size_t seqlen, std::size_t d_model) {
  mamba2::Random random(1);
  auto u = zeros<Real>(batch, seqlen, d_model);
  for (auto& value : u) value = static_cast<Real>(random.normal());
  return u;
}

Mamba2Config small() {
  return {.d_model = 32, .d_state = 16, .headdim = 8, .chunk_size = 16};
}

std::size_t count(const mamba2::Mamba2Parameters<double>& parameters) {
  std::size_t total = 0;
  for (const auto& values : parameter_spans(parameters)) total += values.size();
  return total;
}

// Three configurations that make no block.

void refused() {
  for (const auto& config :
       {Mamba2Config{.d_model = 768, .headdim = 80}, Mamba2Config{.d_model = 768, .ngroups = 5},
        Mamba2Config{.d_model = 768, .dt_limit_min = 0.1, .dt_limit_max = 0.01}}) {
    try {
      config.check();
    } catch (const mamba2::ValueError& error) {
      std::printf("%s\n", error.what());
    }
  }
}

// The parameters of one block of the 130M model, by name.

void count_by_name() {
  std::size_t total = 0;
  for (const auto& info : mamba2::parameter_list(Mamba2Config{.d_model = 768})) {
    std::printf("%-16s %8zu\n", info.name.c_str(), info.size());
    total += info.size();
  }
  std::printf("%-16s %8zu\n", "one block", total);
  std::printf("%-16s %8d\n", "6 d_model^2", 6 * 768 * 768);
}

// The same block with each form of the scan, and with odd chunks.

void equal() {
  const Mamba2Block<double> block(small(), 0);
  const auto u = noise<double>(2, 45, 32);
  const auto y = block.forward(u, {.algorithm = Algorithm::recurrent}).y;
  const double quadratic =
      relative_difference(block.forward(u, {.algorithm = Algorithm::quadratic}).y, y);
  std::printf("recurrent and quadratic agree to 1e-12: %s\n", yes(quadratic < 1e-12));
  double chunked = 0;
  for (const std::size_t chunk_size : {1, 7, 16, 45, 100}) {
    chunked = std::max(chunked, relative_difference(block.forward(u, {.chunk_size = chunk_size}).y, y));
  }
  std::printf("recurrent and chunked agree to 1e-12, chunks of 1, 7, 16, 45, 100: %s\n",
              yes(chunked < 1e-12));
}

// Three texts of 20, 2 and 23 tokens, packed into one row of 45, against the same three by
// themselves.

void packed() {
  const Mamba2Block<double> block(small(), 0);
  const auto u = noise<double>(1, 45, 32);
  Tensor<std::int64_t, 2> seq_idx({1, 45});
  for (std::size_t t = 0; t < 45; ++t) seq_idx(0, t) = t < 20 ? 0 : t < 22 ? 1 : 2;
  const auto y = block.forward(u, {.seq_idx = &seq_idx}).y;
  double largest = 0;
  for (const auto& [first, last] : {std::pair{0, 20}, std::pair{20, 22}, std::pair{22, 45}}) {
    const Tensor<double, 3> text = xt::view(u, xt::all(), xt::range(first, last));
    const Tensor<double, 3> row = xt::view(y, xt::all(), xt::range(first, last));
    largest = std::max(largest, relative_difference(row, block.forward(text).y));
  }
  std::printf("three texts in one row, and each alone, agree to 1e-12: %s\n", yes(largest < 1e-12));
}

// Every option in turn, against the block without it. Where an option changes no shape, the same
// seed gives the same weights. Where it does, what both have is copied: of each section of rows or
// columns as many as both have, and of the taps the last.

//: fold What both have, copied
void copy_common(const mamba2::ParameterInfo& a, std::span<const double> from,
                 const mamba2::ParameterInfo& b, std::span<double> to) {
  if (a.shape == b.shape) return void(std::copy(from.begin(), from.end(), to.begin()));
  const std::size_t outer = a.split.axis == 0 ? 1 : a.shape[0];
  const bool rows = a.split.axis == 0 && a.shape.size() > 1;
  const std::size_t wide = rows ? a.shape.back() : 1, narrow = rows ? b.shape.back() : 1;
  const std::size_t common = std::min(wide, narrow);
  auto source = from.begin();
  auto target = to.begin();
  for (std::size_t o = 0; o < outer; ++o) {
    for (std::size_t s = 0; s < a.split.sections.size(); ++s) {
      const auto length = [=](const mamba2::ParameterInfo& info) {
        return info.split.sections[s].units * info.split.sections[s].width;
      };
      for (std::size_t i = 0; i < std::min(length(a), length(b)); ++i)
        std::copy_n(source + long(i * wide + wide - common), common,
                    target + long(i * narrow + narrow - common));
      source += long(length(a) * wide);
      target += long(length(b) * narrow);
    }
  }
}

void take_common(const Mamba2Block<double>& from, Mamba2Block<double>& block) {
  const auto theirs = mamba2::parameter_list(from.sizes()), own = mamba2::parameter_list(block.sizes());
  const auto source = parameter_spans(from.parameters());
  block.update([&](auto& parameters) {
    const auto target = parameter_spans(parameters);
    for (std::size_t i = 0; i < own.size(); ++i)
      for (std::size_t j = 0; j < theirs.size(); ++j)
        if (own[i].name == theirs[j].name) copy_common(theirs[j], source[j], own[i], target[i]);
  });
}

// With that, an option by itself:

void option(const char* name, Mamba2Config config) {
  const auto u = noise<double>(1, 45, 32);
  const Mamba2Block<double> plain(small(), 0);
  Mamba2Block<double> with(config, 0);
  const std::size_t numbers = count(with.parameters());
  if (numbers != count(plain.parameters())) take_common(plain, with);
  const double difference = relative_difference(with.forward(u).y, plain.forward(u).y);
  std::printf("%-28s %10zu   %s\n", name, numbers, difference < 1e-12 ? "as without" : "changed");
}

// And all of them, one after the other:

//: fold All options in turn
void options() {
  std::printf("option                       parameters   output\n");
  const auto with = [](auto change) {
    auto config = small();
    change(config);
    return config;
  };
  using C = Mamba2Config;
  option("none", small());
  option("ngroups = 4", with([](C& c) { c.ngroups = 4; }));
  option("d_ssm = 32 (of 64)", with([](C& c) { c.d_ssm = 32; }));
  option("D_has_hdim", with([](C& c) { c.D_has_hdim = true; }));
  option("norm_before_gate", with([](C& c) { c.norm_before_gate = true; }));
  option("rmsnorm = false", with([](C& c) { c.rmsnorm = false; }));
  option("norm_over_all_channels", with([](C& c) { c.norm_over_all_channels = true; }));
  option("bias", with([](C& c) { c.bias = true; }));
  option("conv_bias = false", with([](C& c) { c.conv_bias = false; }));
  option("d_conv = 2", with([](C& c) { c.d_conv = 2; }));
  option("conv_init = 0.1", with([](C& c) { c.conv_init = 0.1; }));
  option("dt_limit = (0.01, 0.05)", with([](C& c) { c.dt_limit_min = 0.01, c.dt_limit_max = 0.05; }));
  option("chunk_size = 5", with([](C& c) { c.chunk_size = 5; }));
}

// Last, the sizes of differences. bfloat16 keeps the upper half of a float's bits, 8 significant
// ones. To round everything that flows through a block and not only its weights, we give it another
// table:
//
// @quote src/demo/bfloat16.hpp#rounding

//: fold The differences
void differ() {
  auto config = small();
  config.ngroups = 4;
  const Mamba2Block<double> block(config, 0);
  const auto y = block.forward(noise<double>(1, 45, 32)).y;

  const Mamba2Block<float> narrow(config, 0);
  double single = 0;
  for (const auto algorithm : {Algorithm::recurrent, Algorithm::quadratic, Algorithm::chunked}) {
    const auto got = narrow.forward(noise<float>(1, 45, 32), {.algorithm = algorithm}).y;
    single = std::max(single, relative_difference(got, y));
  }
  std::printf("innocent:\n  float32 instead of float64, any algorithm: below 1e-5: %s\n",
              yes(single > 0 && single < 1e-5));

  auto rounded = block;
  rounded.update([](auto& parameters) {
    for (const auto& values : parameter_spans(parameters)) demo::round_all(values);
  });
  auto all = rounded;
  all.use(demo::rounding_operations());
  const auto show = [&](const char* cause, const Mamba2Block<double>& other) {
    std::printf("  %-42s %.1g\n", cause,
                relative_difference(other.forward(noise<double>(1, 45, 32)).y, y));
  };
  show("weights rounded to bfloat16:", rounded);
  show("everything rounded to bfloat16:", all);

  std::printf("not innocent:\n");
  auto changed = config;
  changed.norm_eps = 1e-6;
  show("1e-6 for 1e-5 in the norm:", Mamba2Block<double>(changed, block.parameters()));
  changed = config;
  changed.norm_over_all_channels = true;
  show("one mean square for four groups:", Mamba2Block<double>(changed, block.parameters()));
  changed = config;
  changed.norm_before_gate = true;
  show("norm before gate:", Mamba2Block<double>(changed, block.parameters()));
  auto reversed = block;
  reversed.update([](auto& parameters) {
    auto& taps = parameters.conv1d_weight;
    for (std::size_t c = 0; c < taps.shape(0); ++c)
      std::reverse(&taps(c, 0, 0), &taps(c, 0, 0) + taps.shape(2));
  });
  show("taps reversed:", reversed);
  auto no_bias = block;
  no_bias.update([](auto& parameters) { parameters.dt_bias.fill(0); });
  show("dt_bias forgotten:", no_bias);
}

}  // namespace

// What is printed stands in its place in the chapter.

//: fold The order in which it prints
int main() {
  std::printf("[refused]\n");
  refused();
  std::printf("[count]\n");
  count_by_name();
  std::printf("[equal]\n");
  equal();
  std::printf("[packed]\n");
  packed();
  std::printf("[options]\n");
  options();
  std::printf("[differ]\n");
  differ();
}

// ## What has not changed {#mamba2_block_unchanged}
//
// The operator in the middle is @chapter{real_sequences}'s, untouched. All that the block adds
// works on one token at a time, or on four; only the scan carries anything further. The cost is
// still linear in the length, and most of it goes into the two products with weights. The scan has
// the next largest part, and a larger one the longer its chunks are, for what is quadratic within a
// chunk grows with it.
//
// ## Exercises {#mamba2_block_exercises}
//
// ::: exercise 1 Count before you allocate
// From the sizes alone, return how many parameters a block has, with the default options:
// convolution bias yes, projection biases no, norm yes, $D$ per head, all channels through the
// scan.
// :::
//
// ::: exercise 2 What the shapes tell
// A checkpoint came without its configuration. Read the options off the shapes of five tensors:
// `d_model`, `expand`, `headdim`, `d_ssm`, `d_conv`. Two options stay open, since the shapes only
// hold their product: list all that `ngroups` and `d_state` may be. (What else do no shapes tell?)
// :::
//
// ::: exercise 3 A norm for keys and queries
// Some attention models norm their queries and keys before these meet. Do it to a block: write the
// forward pass of one sequence for the default options in which, between convolution and scan, the
// $B$ and the $C$ of each group are brought to a mean square of one (an RMS norm without weights,
// $\epsilon = 10^{-5}$). Mamba2Block has no such option; all that it is made of is yours to use.
// :::
//
// ::: exercise 4 Five broken blocks
// For an evening. You get the weights of a block, an input, and the output of somebody's
// implementation. One has x and z exchanged, one takes a single mean square for all groups, one
// norms before the gate, one ignores the limits of the step size, one has padded the text on the
// left to a multiple of the chunk and cut the padding off again. One is right, in single precision.
// Say which is which, from the outputs alone.
// :::
//
// ## Further reading {#mamba2_block_further}
//
// - The Mamba-2 paper [@dao2024], section 7.1 and its Figure 6, on the block's architecture and why
//   the projections are parallel.
// - The reference's `modules/mamba2.py` [@reference], which this chapter follows option by option.
// - The first part of the authors' blog series [@blog], for the block beside Mamba-1's.
