#include <mamba2/error.hpp>
#include <mamba2/mamba1.hpp>
#include <support/testing.hpp>

using namespace mamba2;
using testing::golden_tolerance;
using testing::load_golden;
using testing::message_of;
using testing::random_tensor;
using testing::relative_error;

namespace {

template <class Real>
Mamba1Parameters<Real> golden_parameters() {
  const std::string folder = "mamba1";
  return {.in_proj_weight = load_golden<Real, 2>(folder, "in_proj.weight"),
          .conv1d_weight = load_golden<Real, 3>(folder, "conv1d.weight"),
          .conv1d_bias = load_golden<Real, 1>(folder, "conv1d.bias"),
          .x_proj_weight = load_golden<Real, 2>(folder, "x_proj.weight"),
          .dt_proj_weight = load_golden<Real, 2>(folder, "dt_proj.weight"),
          .dt_proj_bias = load_golden<Real, 1>(folder, "dt_proj.bias"),
          .A_log = load_golden<Real, 2>(folder, "A_log"),
          .D = load_golden<Real, 1>(folder, "D"),
          .out_proj_weight = load_golden<Real, 2>(folder, "out_proj.weight")};
}

}  // namespace

TEMPLATE_TEST_CASE("the Mamba-1 block gives the golden outputs and state", "[mamba1]", float, double) {
  const auto [y, state] = mamba1_block(golden_parameters<TestType>(), load_golden<TestType, 3>("mamba1", "u"));
  CHECK(relative_error(y, load_golden<double, 3>("mamba1", "y")) < golden_tolerance<TestType>);
  CHECK(relative_error(state, load_golden<double, 3>("mamba1", "ssm_state")) < golden_tolerance<TestType>);
}

TEST_CASE("the Mamba-1 block is causal", "[mamba1]") {
  const auto p = golden_parameters<double>();
  auto u = load_golden<double, 3>("mamba1", "u");
  const auto before = mamba1_block(p, u).y;
  u(0, 7, 3) += 1;
  const auto after = mamba1_block(p, u).y;
  for (std::size_t t = 0; t < u.shape(1); ++t) {
    const double change = xt::sum(xt::abs(xt::view(after, 0, t) - xt::view(before, 0, t)))();
    if (t < 7) CHECK(change < 1e-13);
    if (t >= 7) CHECK(change > 1e-9);
  }
}

TEST_CASE("a Mamba-1 block shorter than its window, and an empty one", "[mamba1]") {
  const auto p = golden_parameters<double>();
  const auto u = load_golden<double, 3>("mamba1", "u");
  const Tensor<double, 3> two = xt::view(u, xt::all(), xt::range(0, 2));
  const Tensor<double, 3> want = xt::view(load_golden<double, 3>("mamba1", "y"), xt::all(), xt::range(0, 2));
  CHECK(relative_error(mamba1_block(p, two).y, want) < 1e-12);
  CHECK(mamba1_block(p, zeros<double>(2, 0, 16)).y.shape() == std::array<std::size_t, 3>{2, 0, 16});
}

TEST_CASE("the selective scan refuses what does not fit, by name", "[mamba1]") {
  const SelectiveScanInput<double> good{zeros<double>(2, 5, 3), zeros<double>(2, 5, 3), zeros<double>(3, 4),
                                        zeros<double>(2, 5, 4), zeros<double>(2, 5, 4), zeros<double>(3)};
  CHECK_NOTHROW(selective_scan(good));
  const auto refusal = [&](auto change) {
    auto input = good;
    change(input);
    return message_of<ShapeError>([&] { selective_scan(input); });
  };
  using Input = SelectiveScanInput<double>;
  CHECK(refusal([](Input& i) { i.dt = zeros<double>(2, 5, 1); }) ==
        "dt: expected shape (batch, seqlen, d_inner) = (2, 5, 3), got (2, 5, 1)");
  CHECK(refusal([](Input& i) { i.A = zeros<double>(4, 4); }) ==
        "A: expected shape (d_inner, d_state) = (3, 4), got (4, 4)");
  CHECK(refusal([](Input& i) { i.B = zeros<double>(2, 5, 3); }) ==
        "B: expected shape (batch, seqlen, d_state) = (2, 5, 4), got (2, 5, 3)");
  CHECK(refusal([](Input& i) { i.C = zeros<double>(1, 5, 4); }) ==
        "C: expected shape (batch, seqlen, d_state) = (2, 5, 4), got (1, 5, 4)");
  CHECK(refusal([](Input& i) { i.D = zeros<double>(4); }) == "D: expected shape (d_inner) = (3), got (4)");
}

TEST_CASE("the Mamba-1 block refuses what does not fit, by name", "[mamba1]") {
  const auto refusal = [](auto change) {
    auto p = golden_parameters<double>();
    change(p);
    return message_of<ShapeError>([&] { mamba1_block(p, zeros<double>(1, 4, 16)); });
  };
  using P = Mamba1Parameters<double>;
  CHECK(message_of<ShapeError>([] { mamba1_block(golden_parameters<double>(), zeros<double>(1, 4, 15)); }) ==
        "u: expected shape (batch, seqlen, d_model) = (1, 4, 16), got (1, 4, 15)");
  CHECK(refusal([](P& p) { p.in_proj_weight = zeros<double>(32, 16); }) ==
        "in_proj.weight: expected shape (2 d_inner, d_model) = (64, 16), got (32, 16)");
  CHECK(refusal([](P& p) { p.conv1d_weight = zeros<double>(32, 4, 1); }) ==
        "conv1d.weight: expected shape (d_inner, 1, d_conv) = (32, 1, 1), got (32, 4, 1)");
  CHECK(refusal([](P& p) { p.conv1d_bias = zeros<double>(1); }) ==
        "conv1d.bias: expected shape (d_inner) = (32), got (1)");
  CHECK(refusal([](P& p) { p.x_proj_weight = zeros<double>(16, 32); }) ==
        "x_proj.weight: expected shape (dt_rank + 2 d_state, d_inner) = (17, 32), got (16, 32)");
  CHECK(refusal([](P& p) { p.dt_proj_weight = zeros<double>(16, 1); }) ==
        "dt_proj.weight: expected shape (d_inner, dt_rank) = (32, 1), got (16, 1)");
  CHECK(refusal([](P& p) { p.dt_proj_bias = zeros<double>(2); }) ==
        "dt_proj.bias: expected shape (d_inner) = (32), got (2)");
  CHECK(refusal([](P& p) { p.A_log = zeros<double>(31, 8); }) ==
        "A_log: expected shape (d_inner, d_state) = (32, 8), got (31, 8)");
  CHECK(refusal([](P& p) { p.D = zeros<double>(8); }) == "D: expected shape (d_inner) = (32), got (8)");
}
