#include <mamba2/block_gradient.hpp>
#include <support/adjoints.hpp>
#include <support/block_cases.hpp>
#include <support/testing.hpp>

#include <string>
#include <vector>

using namespace mamba2;
using testing::block_case;
using testing::central_differences;
using testing::check_adjoint;
using testing::gradient_tolerance;
using testing::joined;
using testing::load_golden;
using testing::message_of;
using testing::numbers;
using testing::random_tensor;
using testing::relative_error;
using testing::values;

namespace {

using Gradients = std::vector<std::vector<double>>;

// The numbers of a set of parameters, each a vector.
Gradients all_values(const Mamba2Parameters<double>& parameters) {
  Gradients all;
  for (const auto& span : parameter_spans(parameters)) all.emplace_back(span.begin(), span.end());
  return all;
}

template <std::size_t N>
Tensor<double, N> piece(const Tensor<double, N>& u, std::size_t first, std::size_t last) {
  return xt::view(u, xt::all(), xt::range(first, last));
}

// A small block in which every size differs and every option that costs nothing is in use; no parameter is at a round number.
Mamba2Block<double> small_block(bool norm_before_gate = false, bool rmsnorm = true) {
  const Mamba2Config config{.d_model = 5,
                            .d_state = 3,
                            .d_conv = 3,
                            .expand = 2,
                            .headdim = 2,
                            .d_ssm = 8,
                            .ngroups = 2,
                            .chunk_size = 4,
                            .dt_limit_min = 0.02,
                            .dt_limit_max = 0.5,
                            .norm_eps = 1e-3,
                            .D_has_hdim = norm_before_gate,
                            .rmsnorm = rmsnorm,
                            .norm_before_gate = norm_before_gate,
                            .bias = true};
  Mamba2Block<double> block(config, 3);
  block.update([](auto& parameters) {
    std::uint64_t seed = 100;
    for (const auto& span : parameter_spans(parameters)) {
      testing::Random random(seed++);
      for (double& value : span) value += random.uniform(-0.3, 0.3);
    }
  });
  return block;
}

Mamba2Cache<double> random_cache(const Mamba2Sizes& s, std::size_t batch, std::uint64_t seed) {
  return {random_tensor<double, 3>({batch, s.conv_dim, s.d_conv}, seed),
          random_tensor<double, 4>({batch, s.nheads, s.headdim, s.d_state}, seed + 1)};
}

// All that a block reads against all that it gives.
void check_block(const Mamba2Block<double>& original, std::size_t batch, std::size_t seqlen,
                 const Tensor<std::int64_t, 2>* seq_idx = nullptr) {
  const Mamba2Sizes& s = original.sizes();
  auto parameters = original.parameters();
  auto u = random_tensor<double, 3>({batch, seqlen, s.d_model}, 1);
  auto before = random_cache(s, batch, 2);
  testing::Adjoint adjoint;
  adjoint.inputs = {numbers(u), numbers(before.conv_state), numbers(before.ssm_state)};
  for (const auto& span : parameter_spans(parameters)) adjoint.inputs.push_back(span);
  adjoint.forward = [&] {
    const Mamba2Block<double> block(s, parameters);
    const auto [y, cache] = block.forward(u, {.cache = &before, .seq_idx = seq_idx});
    return joined(joined(values(y), values(cache.conv_state)), values(cache.ssm_state));
  };
  adjoint.backward = [&](const std::vector<double>& w) {
    auto dy = u;
    auto dcache = before;
    const double* next = w.data();
    for (const auto& part : {numbers(dy), numbers(dcache.conv_state), numbers(dcache.ssm_state)}) {
      std::copy_n(next, part.size(), part.begin());
      next += part.size();
    }
    const Mamba2Block<double> block(s, parameters);
    const auto d = block_gradient(block, u, dy, {.cache = &before, .seq_idx = seq_idx}, &dcache);
    Gradients all{values(d.u), values(d.cache.conv_state), values(d.cache.ssm_state)};
    for (const auto& parameter : all_values(d.parameters)) all.push_back(parameter);
    return all;
  };
  check_adjoint(adjoint, 1e-7);
}

}  // namespace

TEMPLATE_TEST_CASE("gradients of a block are the golden ones", "[block_gradient]", float, double) {
  const auto name = GENERATE(from_range(testing::block_cases));
  const auto golden = block_case<TestType>(name);
  const Mamba2Block<TestType> block(golden.config, golden.parameters);
  const auto d = block_gradient(block, golden.u_prefill(), load_golden<TestType, 3>(golden.folder, "dy"));
  CAPTURE(name);
  CHECK(relative_error(d.u, golden.load3("grad_u")) < gradient_tolerance<TestType>);
  with_tensors(block.sizes(), d.parameters, [&](const ParameterInfo& info, const auto& tensor) {
    constexpr std::size_t axes = std::tuple_size_v<std::decay_t<decltype(tensor.shape())>>;
    if (!info.present()) return;
    CAPTURE(info.name);
    CHECK(relative_error(tensor, load_golden<double, axes>(golden.folder, "grad_" + info.name)) <
          gradient_tolerance<TestType>);
  });
}

TEST_CASE("gradients of a block are central differences, of its states too", "[block_gradient]") {
  check_block(small_block(), 2, 7);
  check_block(small_block(true), 1, 6);
  check_block(small_block(false, false), 2, 2);  // shorter than the window
}

TEST_CASE("gradients of a block do not cross the borders of packed sequences", "[block_gradient]") {
  const Tensor<std::int64_t, 2> seq_idx{{0, 0, 0, 1, 1, 1, 0}, {7, 1, 1, 1, 1, 1, 1}};
  check_block(small_block(), 2, 7, &seq_idx);
}

TEST_CASE("gradients of a block do not depend on the form of the scan or its chunks", "[block_gradient]") {
  const auto block = small_block();
  const auto u = random_tensor<double, 3>({2, 23, 5}, 1), dy = random_tensor<double, 3>({2, 23, 5}, 2);
  const auto before = random_cache(block.sizes(), 2, 3), dlast = random_cache(block.sizes(), 2, 5);
  const auto want = block_gradient(block, u, dy, {.cache = &before, .algorithm = Algorithm::recurrent}, &dlast);
  for (const auto algorithm : {Algorithm::quadratic, Algorithm::chunked}) {
    for (const std::size_t chunk_size : {1u, 4u, 5u, 64u}) {
      const auto got =
          block_gradient(block, u, dy, {.cache = &before, .algorithm = algorithm, .chunk_size = chunk_size}, &dlast);
      CHECK(relative_error(got.u, want.u) < 1e-12);
      CHECK(relative_error(got.cache.conv_state, want.cache.conv_state) < 1e-12);
      CHECK(relative_error(got.cache.ssm_state, want.cache.ssm_state) < 1e-12);
      const auto all = all_values(got.parameters), wanted = all_values(want.parameters);
      for (std::size_t i = 0; i < all.size(); ++i) CHECK(testing::relative_difference(all[i], wanted[i]) < 1e-12);
    }
  }
}

TEST_CASE("a text in pieces, the last one first, has the gradients of the whole", "[block_gradient]") {
  const auto block = small_block();
  const auto u = random_tensor<double, 3>({2, 11, 5}, 1), dy = random_tensor<double, 3>({2, 11, 5}, 2);
  const auto dlast = random_cache(block.sizes(), 2, 3);
  const auto whole = block_gradient(block, u, dy, {}, &dlast);
  for (const std::size_t cut : {1u, 2u, 6u, 10u}) {
    const auto first = block.forward(piece(u, 0, cut));
    const auto d2 = block_gradient(block, piece(u, cut, 11), piece(dy, cut, 11), {.cache = &first.cache}, &dlast);
    const auto d1 = block_gradient(block, piece(u, 0, cut), piece(dy, 0, cut), {}, &d2.cache);
    CHECK(relative_error(d1.u, piece(whole.u, 0, cut)) < 1e-12);
    CHECK(relative_error(d2.u, piece(whole.u, cut, 11)) < 1e-12);
    auto a = all_values(d1.parameters);
    const auto b = all_values(d2.parameters), want = all_values(whole.parameters);
    for (std::size_t i = 0; i < a.size(); ++i) {
      for (std::size_t k = 0; k < a[i].size(); ++k) a[i][k] += b[i][k];
      CHECK(testing::relative_difference(a[i], want[i]) < 1e-12);
    }
  }
}

TEST_CASE("gradients of a gated MLP are central differences", "[block_gradient]") {
  const GatedMlpConfig config{.d_model = 3, .d_intermediate = 5, .multiple_of = 4};
  GatedMlpParameters<double> parameters;
  set_zero(config, parameters);
  parameters.fc1_weight = random_tensor<double, 2>({16, 3}, 1);
  parameters.fc2_weight = random_tensor<double, 2>({3, 8}, 2);
  auto u = random_tensor<double, 2>({4, 3}, 3);
  GatedMlpActivations<double> kept;
  const auto forward = [&] {
    auto y = Tensor<double, 2>::from_shape({4, 3});
    GatedMlp<double>(config, parameters)
        .forward({.u = as_matrix(std::as_const(u)), .batch = 1}, nullptr, default_operations<double>(), kept,
                 as_matrix(y));
    return values(y);
  };
  check_adjoint({.inputs = {numbers(u), numbers(parameters.fc1_weight), numbers(parameters.fc2_weight)},
                 .forward = forward,
                 .backward = [&](const std::vector<double>& w) {
                   forward();
                   const MatrixRef<const double> dy{w.data(), 4, 3, 3};
                   auto du = zeros<double>(4, 3);
                   GatedMlpParameters<double> d;
                   set_zero(config, d);
                   gated_mlp_gradient<double>(config, parameters, as_matrix(std::as_const(u)), kept, dy, d,
                                              as_matrix(du));
                   return Gradients{values(du), values(d.fc1_weight), values(d.fc2_weight)};
                 }});
}

TEST_CASE("gradients of a block refuse what does not fit", "[block_gradient]") {
  const auto block = small_block();
  const auto u = random_tensor<double, 3>({2, 4, 5}, 1);
  CHECK_THROWS_AS(block_gradient(block, u, piece(u, 0, 3)), ShapeError);
  const auto other = random_cache(block.sizes(), 1, 3);
  CHECK(message_of<ShapeError>([&] { block_gradient(block, u, u, {}, &other); }).find("conv_state") == 0);
}
