// The grader of this chapter.
#include "exercises.hpp"

#include <exercises/grader.hpp>
#include <mamba2/selection.hpp>

#include <array>
#include <cmath>
#include <string>
#include <vector>

using mamba2::Mamba2Config;
using mamba2::Tensor;
using mamba2::zeros;

GRADE(1, "count before you allocate") {
  for (const auto& config :
       {Mamba2Config{.d_model = 768},
        Mamba2Config{
            .d_model = 10, .d_state = 7, .d_conv = 3, .expand = 3, .headdim = 5, .ngroups = 2}}) {
    std::size_t expected = 0;
    for (const auto& info : mamba2::parameter_list(config)) expected += info.size();
    const std::size_t yours = exercises::count_parameters(
        config.d_model, config.expand, config.headdim, config.ngroups, config.d_state, config.d_conv);
    grader::expect_close(yours, expected,
                         "parameters of a block with d_model = " + std::to_string(config.d_model));
  }
}

GRADE(2, "what the shapes tell") {
  for (const auto& config :
       {Mamba2Config{.d_model = 768}, Mamba2Config{.d_model = 768, .ngroups = 8},
        Mamba2Config{.d_model = 12,
                     .d_state = 10,
                     .d_conv = 3,
                     .expand = 3,
                     .headdim = 2,
                     .d_ssm = 24,
                     .ngroups = 3},
        Mamba2Config{.d_model = 8, .d_state = 5, .d_conv = 2, .expand = 1, .headdim = 4}}) {
    const mamba2::Mamba2Sizes s = config;
    const auto yours = exercises::options_of({.dt_bias = {s.nheads},
                                              .in_proj_weight = {s.d_in_proj, s.d_model},
                                              .conv1d_weight = {s.conv_dim, 1, s.d_conv},
                                              .norm_weight = {s.d_ssm},
                                              .out_proj_weight = {s.d_model, s.d_inner}});
    const std::string of = ", in_proj.weight being " +
                           mamba2::shape_text(std::array{s.d_in_proj, s.d_model}) + ", conv1d.weight " +
                           mamba2::shape_text(std::array{s.conv_dim, std::size_t{1}, s.d_conv}) +
                           ", dt_bias " + mamba2::shape_text(std::array{s.nheads}) + ", norm.weight " +
                           mamba2::shape_text(std::array{s.d_ssm}) + ", out_proj.weight " +
                           mamba2::shape_text(std::array{s.d_model, s.d_inner});
    grader::expect_close(yours.d_model, s.d_model, "d_model" + of);
    grader::expect_close(yours.expand, config.expand, "expand" + of);
    grader::expect_close(yours.headdim, s.headdim, "headdim" + of);
    grader::expect_close(yours.d_ssm, s.d_ssm, "d_ssm" + of);
    grader::expect_close(yours.d_conv, s.d_conv, "d_conv" + of);
    std::vector<std::size_t> groups, states, expected_groups, expected_states;
    for (const auto& [ngroups, d_state] : yours.groups_and_states) {
      groups.push_back(ngroups);
      states.push_back(d_state);
    }
    for (std::size_t ngroups = 1; ngroups <= s.nheads; ++ngroups) {
      if (s.nheads % ngroups != 0 || s.d_bc % ngroups != 0) continue;
      expected_groups.push_back(ngroups);
      expected_states.push_back(s.d_bc / ngroups);
    }
    grader::expect_close(groups, expected_groups, "the numbers of groups that fit" + of);
    grader::expect_close(states, expected_states, "the state sizes that go with them" + of);
  }
}

namespace {

// Weights as if trained: no parameter at a round number.
mamba2::Mamba2Block<double> shaken(const Mamba2Config& config, std::uint64_t seed, double most) {
  mamba2::Mamba2Block<double> block(config, seed);
  mamba2::Random random(seed + 1);
  block.update([&](auto& parameters) {
    const auto shake = [&](const auto&, auto values) {
      for (double& value : values) value += random.uniform(-most, most);
    };
    walk(config, shake, parameters);
  });
  return block;
}

Tensor<double, 3> noise(std::size_t seqlen, std::size_t d_model, std::uint64_t seed) {
  mamba2::Random random(seed);
  auto u = zeros<double>(1, seqlen, d_model);
  for (auto& value : u) value = random.uniform(-2, 2);
  return u;
}

// Plain operations, but for a scan that norms B and C before it goes to work. The scan of the table
// sees them as columns of what the convolution gave.
mamba2::Operations<double> norming() {
  auto table = mamba2::plain_operations<double>();
  table.scan = [](const mamba2::ScanRef<double>& in, const mamba2::ScanOptions& options,
                  mamba2::ScanState<double> state, mamba2::MatrixRef<double> y) {
    const auto normed = [&](mamba2::MatrixRef<const double> m) {
      auto out = zeros<double>(m.rows, m.columns);
      for (std::size_t t = 0; t < m.rows; ++t)
        for (std::size_t g = 0; g < m.columns; g += in.sizes.d_state) {
          double sum = 0;
          for (std::size_t n = 0; n < in.sizes.d_state; ++n) sum += m[t][g + n] * m[t][g + n];
          for (std::size_t n = 0; n < in.sizes.d_state; ++n)
            out(t, g + n) = m[t][g + n] / std::sqrt(sum / double(in.sizes.d_state) + 1e-5);
        }
      return out;
    };
    const Tensor<double, 2> B = normed(in.B), C = normed(in.C);
    auto changed = in;
    changed.B = mamba2::as_matrix(B);
    changed.C = mamba2::as_matrix(C);
    mamba2::unchecked::scan<double>(changed, options, state, y);
  };
  return table;
}

}  // namespace

GRADE(3, "a norm for keys and queries") {
  const Mamba2Config config{.d_model = 10,
                            .d_state = 7,
                            .d_conv = 3,
                            .expand = 2,
                            .headdim = 5,
                            .ngroups = 2,
                            .chunk_size = 8};
  auto block = shaken(config, 4, 0.4);
  const auto u = noise(13, 10, 5);
  const Tensor<double, 2> row = xt::view(u, 0), plain = xt::view(block.forward(u).y, 0);
  const auto yours = exercises::forward_with_normed_BC(config, block.parameters(), row);
  static const auto table = norming();
  block.use(table);
  const Tensor<double, 2> expected = xt::view(block.forward(u).y, 0);
  grader::expect(yours.shape() != plain.shape() || xt::amax(xt::abs(yours - plain))() > 1e-9,
                 "these are the outputs of the block as it is: B and C have not been normed");
  grader::expect_close(yours, expected, "outputs of the block with normed B and C");
}

namespace {

using exercises::Bug;
constexpr const char* told[] = {"nothing but single precision",        "x and z exchanged",
                                "one mean square for all groups",      "the norm before the gate",
                                "the limits of the step size ignored", "padding on the left"};

// What a block with that bug gives: computed with the library's own block, or, where there is no
// way to ask for the bug, with its weights in other places.
Tensor<double, 3> broken(Bug bug, const mamba2::Mamba2Block<double>& block,
                         const Tensor<double, 3>& u) {
  Mamba2Config config = block.config();
  auto parameters = block.parameters();
  const std::size_t seqlen = u.shape(1), d_model = u.shape(2), d_ssm = block.sizes().d_ssm;
  Tensor<double, 3> input = u;
  if (bug == Bug::ungrouped_norm) config.norm_over_all_channels = true;
  if (bug == Bug::norm_first) config.norm_before_gate = true;
  if (bug == Bug::limits_ignored) config.dt_limit_min = 0, config.dt_limit_max = 1e300;
  if (bug == Bug::exchanged)
    std::swap_ranges(parameters.in_proj_weight.data(),
                     parameters.in_proj_weight.data() + d_ssm * d_model,
                     parameters.in_proj_weight.data() + d_ssm * d_model);
  if (bug == Bug::padded_on_the_left) {
    const std::size_t zeros_in_front = config.chunk_size - seqlen % config.chunk_size;
    input = zeros<double>(1, zeros_in_front + seqlen, d_model);
    std::copy(u.begin(), u.end(), input.data() + zeros_in_front * d_model);
  }
  const auto y = mamba2::Mamba2Block<double>(config, parameters).forward(input).y;
  Tensor<double, 3> last = xt::view(y, xt::all(), xt::range(y.shape(1) - seqlen, y.shape(1)));
  for (double& value : last) value = static_cast<float>(value);
  return last;
}

}  // namespace

GRADE(4, "five broken blocks") {
  std::string text;
  for (std::uint64_t i = 0; i < 12; ++i) {
    const Bug bug = static_cast<Bug>((5 * i + 3) % 6);
    const Mamba2Config config{.d_model = 8 + 4 * (i % 3),
                              .d_state = 5,
                              .d_conv = 3,
                              .headdim = 4,
                              .ngroups = 2,
                              .chunk_size = 6,
                              .dt_limit_min = 0.02,
                              .dt_limit_max = 0.06};
    const auto block = shaken(config, 20 + i, 0.15);
    const auto u = noise(9 + i % 2, config.d_model, 40 + i);
    const Bug yours = exercises::diagnose(config, block.parameters(), u, broken(bug, block, u));
    const std::string name = "block " + std::to_string(i + 1) + " of 12";
    grader::expect(static_cast<std::size_t>(yours) < 6, name + ": your answer is none of the six");
    grader::expect(yours == bug, "compared:   what is wrong with " + name +
                                     "\nexpected:   " + told[static_cast<int>(bug)] +
                                     "\nyours:      " + told[static_cast<int>(yours)]);
    text += "    block " + std::to_string(i + 1) + ": " + told[static_cast<int>(bug)] + "\n";
  }
  grader::show("twelve blocks, twelve diagnoses:\n" + text);
}
