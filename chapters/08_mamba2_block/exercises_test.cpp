// The grader of this chapter.
#include "exercises.hpp"

#include <exercises/grader.hpp>
#include <mamba2/block.hpp>

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

GRADE(2, "cut the row") {
  for (const std::size_t d_ssm : {0, 8}) {  // 0: all channels go through the scan
    const Mamba2Config config{
        .d_model = 6, .d_state = 5, .expand = 2, .headdim = 2, .d_ssm = d_ssm, .ngroups = 2};
    const mamba2::Mamba2Sizes sizes = config;
    Tensor<double, 1> row = zeros<double>(sizes.d_in_proj);
    for (std::size_t i = 0; i < row.size(); ++i)
      row(i) = static_cast<double>(i);  // each number is its place
    const auto yours = exercises::cut_row(row, sizes);
    double next = 0;
    const auto expect = [&](const char* name, const Tensor<double, 1>& part, std::size_t size) {
      Tensor<double, 1> expected = zeros<double>(size);
      for (auto& value : expected) value = next++;
      grader::expect_close(part, expected,
                           std::string(name) + " of a row that holds 0, 1, 2, ..., with d_ssm = " +
                               std::to_string(sizes.d_ssm) + " of 12 channels");
    };
    expect("z0", yours.z0, sizes.d_mlp);
    expect("x0", yours.x0, sizes.d_mlp);
    expect("z", yours.z, sizes.d_ssm);
    expect("x", yours.x, sizes.d_ssm);
    expect("B", yours.B, 10);
    expect("C", yours.C, 10);
    expect("dt", yours.dt, sizes.nheads);
  }
}

GRADE(3, "the block, from its parts") {
  const Mamba2Config config{.d_model = 10,
                            .d_state = 7,
                            .d_conv = 3,
                            .expand = 2,
                            .headdim = 5,
                            .ngroups = 2,
                            .chunk_size = 8};
  mamba2::Mamba2Block<double> block(config, 4);
  mamba2::Random random(5);  // as if trained: no parameter at one
  block.update([&](auto& parameters) {
    const auto shake = [&](const auto&, auto values) {
      for (double& value : values) value += random.uniform(-0.4, 0.4);
    };
    walk(config, shake, parameters);
  });
  auto u = zeros<double>(1, 13, 10);
  for (auto& value : u) value = random.uniform(-2, 2);
  const Tensor<double, 2> row = xt::view(u, 0);
  const Tensor<double, 2> expected = xt::view(block.forward(u).y, 0);
  grader::expect_close(exercises::block_forward(config, block.parameters(), row), expected,
                       "outputs of the block");
}
