// Blocks and models on the fast operations: steps, what is counted, what is left allocated.
#include <mamba2/activation_gradient.hpp>
#include <mamba2/cache.hpp>
#include <mamba2/fast.hpp>
#include <mamba2/limits.hpp>
#include <support/models.hpp>
#include <support/small_model.hpp>
#include <support/testing.hpp>

#include <malloc.h>

#include <cmath>
#include <utility>

using namespace mamba2;
using namespace testing;

namespace {

template <class Real>
constexpr double rounding = std::is_same_v<Real, float> ? 2e-6 : 1e-13;

}  // namespace

TEST_CASE("models begin with the fast operations", "[fast]") {
  CHECK(&default_operations<float>() == &fast_operations<float>());
  CHECK(&default_operations<double>() == &fast_operations<double>());
}

TEMPLATE_TEST_CASE("a fast step equals the plain one", "[fast]", float, double) {
  const std::size_t batch = 2, channels = 23;
  for (const std::size_t width : {1, 2, 4, 5}) {
    const auto x = random_tensor<TestType, 2>({batch, channels + 3}, 1, -3, 3);
    const auto weight = random_tensor<TestType, 2>({channels, width}, 2);
    const auto bias = random_tensor<TestType, 1>({channels}, 3);
    auto state = random_tensor<TestType, 3>({batch, channels, width}, 4), want_state = state;
    auto got = zeros<TestType>(batch, channels), want = got;
    const MatrixRef<const TestType> token = column_block(as_matrix(x), 2, channels);
    fast_operations<TestType>().convolution_step(token, as_matrix(weight), as_span(bias), as_rows<1>(state),
                                                 as_matrix(got));
    convolution_step<TestType>(token, as_matrix(weight), as_span(bias), want_state, as_matrix(want));
    CHECK(relative_error(got, want) < rounding<TestType>);
    CHECK(relative_error(state, want_state) == 0);
  }
  for (const std::size_t skip : {0, 1, 5}) {  // no D, one for each head, one for each channel
    ScanInput<TestType> in;
    in.x = random_tensor<TestType, 4>({batch, 1, 6, 5}, 1);
    in.dt = random_tensor<TestType, 3>({batch, 1, 6}, 2, -3, 1);
    in.A = random_tensor<TestType, 1>({6}, 3, -8, -0.1);
    in.B = random_tensor<TestType, 4>({batch, 1, 3, 7}, 4);
    in.C = random_tensor<TestType, 4>({batch, 1, 3, 7}, 5);
    if (skip > 0) in.D = random_tensor<TestType, 2>({6, skip}, 6);
    in.dt_bias = random_tensor<TestType, 1>({6}, 8);
    auto state = random_tensor<TestType, 4>({batch, 6, 5, 7}, 9), want_state = state;
    const ScanOptions options{.dt_min = 0.05, .dt_max = 0.9};
    auto got = in.x;
    fast_operations<TestType>().scan_step(in, options, as_rows<1>(state), as_rows<2>(got));
    CHECK(relative_error(got, scan_step(in, options, want_state)) < rounding<TestType>);
    CHECK(relative_error(state, want_state) < rounding<TestType>);
  }
}

TEMPLATE_TEST_CASE("gates backwards, and convolutions without SiLU, equal the plain ones", "[fast]", float, double) {
  using Matrix = Tensor<TestType, 2>;
  const std::size_t rows = 38, columns = 21;
  const auto given = [&](std::uint64_t seed, double to) {
    return random_tensor<TestType, 2>({rows, columns}, seed, -to, to);
  };
  const Matrix y = given(1, 1), z = given(2, 12);
  Matrix got = given(3, 1), got_z = y, want = got, want_z = y;
  for (std::size_t i = 0; i < want.size(); ++i) {
    const double x = z.data()[i], sigma = 1 / (1 + std::exp(-x)), above = got.data()[i];
    want_z.data()[i] = static_cast<TestType>(above * y.data()[i] * sigma * (1 + x * (1 - sigma)));
    want.data()[i] = static_cast<TestType>(above * x * sigma);
  }
  Matrix slope = z, dy = got;
  const Operations<TestType>& fast = fast_operations<TestType>();
  fast.gate_gradient(as_matrix(y), as_matrix(z), as_matrix(std::as_const(got)), as_matrix(got), as_matrix(got_z));
  CHECK(relative_error(got, want) < rounding<TestType>);
  CHECK(relative_error(got_z, want_z) < rounding<TestType>);
  fast.silu_gradient(as_matrix(std::as_const(slope)), as_matrix(dy), as_matrix(slope));
  for (std::size_t i = 0; i < want.size(); ++i) want.data()[i] = dy.data()[i] * silu_derivative(z.data()[i]);
  CHECK(relative_error(slope, want) < rounding<TestType>);

  const auto weight = random_tensor<TestType, 2>({columns, 4}, 4);
  const ShortConvolution<TestType> in{.x = as_matrix(y), .batch = 2, .weight = as_matrix(weight), .silu = false};
  fast.short_convolution(in, as_matrix(got));
  plain_operations<TestType>().short_convolution(in, as_matrix(want));
  CHECK(relative_error(got, want) < rounding<TestType>);
}

TEST_CASE("a step of the scan refuses what it cannot do", "[fast][cache]") {
  ScanInput<float> in;
  in.x = zeros<float>(1, 1, 2, 3);
  in.dt = zeros<float>(1, 1, 2);
  in.A = zeros<float>(2);
  in.B = zeros<float>(1, 1, 1, 4);
  in.C = in.B;
  auto state = zeros<float>(1, 2, 3, 4), wrong = zeros<float>(1, 2, 3, 5);
  CHECK_THROWS_AS(scan_step(in, {}, wrong), ShapeError);
  in.z = in.x;
  CHECK_THROWS_AS(scan_step(in, {}, state), ValueError);
  in.z.reset();
  CHECK_NOTHROW(scan_step(in, {}, state));
}

TEST_CASE("what is counted agrees with the model's own parameters", "[fast]") {
  const LanguageModelConfig config = small_config();
  const LanguageModel<float> model(config, 1);
  double products = 0, all = 0;
  for (const auto& info : parameter_list(config)) {
    const auto size = static_cast<double>(info.size());
    all += size;
    for (const char* used : {"in_proj.weight", "out_proj.weight", "conv1d.weight"})
      if (info.name.ends_with(used)) products += size;
  }
  const std::size_t Q = 16;
  const Mamba2Config& c = block_of(config);
  const Mamba2Sizes sizes = c;
  const double scans = static_cast<double>(config.n_layer) * scan_flops(c, Q);
  CHECK(layer_flops(config, Q) == 2 * products + scans);
  CHECK(scan_flops(c, Q) == 2.0 * (3 * 16 * 9 + 12 * (16 * 7 + 2 * 9 * 7)));
  CHECK(head_flops(config) == 2.0 * 63 * 42);
  CHECK(projection_flops(config) == 2.0 * static_cast<double>(2 * (sizes.d_in_proj + sizes.d_inner) * 42));
  auto cache = model.empty_cache(5);
  double state = 0;
  for (std::size_t i = 0; i < cache.size(); ++i)
    for (const auto& tensor : cache[i].states()) state += static_cast<double>(tensor.values.size());
  CHECK(step_bytes(config, 4, 5) == 4 * all + 2 * 4 * state);
  CHECK(step_bytes(small_config(false), 2, 0) == 2 * all);  // an embedding of its own is hardly read
}

TEST_CASE("repeated calls leave nothing allocated", "[fast]") {
  const LanguageModel<float> model(small_config(), 1);
  auto cache = model.empty_cache(2);
  const auto work = [&] {
    model.prefill(small_ids(2, 40), cache);
    for (int i = 0; i < 5; ++i) model.step({1, 2}, cache);
  };
  for (int i = 0; i < 20; ++i) work();  // the allocator keeps a few small pieces for each thread at first
  // What is lost is lost in every round; a thread that had little to do until now fills its pieces in one.
  std::size_t least = std::numeric_limits<std::size_t>::max();
  for (int round = 0; round < 6; ++round) {
    const std::size_t before = mallinfo2().uordblks;
    for (int i = 0; i < 20; ++i) work();
    const std::size_t after = mallinfo2().uordblks;
    least = std::min(least, after > before ? after - before : 0);
  }
  CHECK(least <= 4096);
}
