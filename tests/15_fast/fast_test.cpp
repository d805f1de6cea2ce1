// The fast operations against the plain ones: the same numbers up to rounding, whatever sizes, options and threads.
#include <mamba2/block.hpp>
#include <mamba2/fast.hpp>
#include <mamba2/kernels.hpp>
#include <mamba2/parallel.hpp>
#include <mamba2/products.hpp>
#include <support/catch.hpp>
#include <support/products.hpp>
#include <support/ssd_cases.hpp>
#include <support/testing.hpp>

#include <atomic>
#include <cmath>
#include <limits>
#include <stdexcept>
#include <vector>

using namespace mamba2;
using testing::error_of_product;
using testing::random_tensor;
using testing::relative_error;

namespace {

template <class Real>
constexpr double rounding = std::is_same_v<Real, float> ? 2e-6 : 1e-13;

// Restores the number of threads when a test ends.
struct Threads {
  std::size_t before = num_threads();
  explicit Threads(std::size_t count) { set_num_threads(count); }
  ~Threads() { set_num_threads(before); }
  Threads(const Threads&) = delete;
  Threads& operator=(const Threads&) = delete;
};

// Batch 2, 6 heads of 5 channels in 2 groups, 7 states; every option is there.
template <class Real>
ScanInput<Real> scan_input(std::size_t seqlen) {
  ScanInput<Real> in;
  in.x = random_tensor<Real, 4>({2, seqlen, 6, 5}, 1);
  in.dt = random_tensor<Real, 3>({2, seqlen, 6}, 2, -3, 1);
  in.A = random_tensor<Real, 1>({6}, 3, -8, -0.1);
  in.B = random_tensor<Real, 4>({2, seqlen, 2, 7}, 4);
  in.C = random_tensor<Real, 4>({2, seqlen, 2, 7}, 5);
  in.D = random_tensor<Real, 2>({6, 5}, 6);
  in.z = random_tensor<Real, 4>({2, seqlen, 6, 5}, 7, -4, 4);
  in.dt_bias = random_tensor<Real, 1>({6}, 8);
  in.initial_state = random_tensor<Real, 4>({2, 6, 5, 7}, 9);
  return in;
}

template <class Real>
void check_scan(const ScanInput<Real>& in, ScanOptions options) {
  const ScanOutput<Real> got = fast_ssd(in, options);
  options.algorithm = Algorithm::recurrent;
  const ScanOutput<Real> want = ssd(in, options);
  CHECK(relative_error(got.y, want.y) < rounding<Real>);
  CHECK(relative_error(got.last_state, want.last_state) < rounding<Real>);
}

}  // namespace

TEMPLATE_TEST_CASE("the fast scan equals the recurrence", "[fast]", float, double) {
  for (const std::size_t seqlen : {1, 2, 8, 9, 31, 64, 131}) {
    ScanInput<TestType> in = scan_input<TestType>(seqlen);
    for (const std::size_t chunk_size : {1, 3, 9, 32, 500}) {
      INFO("seqlen " << seqlen << ", chunk_size " << chunk_size);
      check_scan(in, {.dt_min = 0.05, .dt_max = 0.9, .chunk_size = chunk_size});
    }
    in.seq_idx = Tensor<std::int64_t, 2>::from_shape({2, seqlen});
    for (std::size_t t = 0; t < seqlen; ++t)
      (*in.seq_idx)(0, t) = t < 1 ? 7 : 3, (*in.seq_idx)(1, t) = static_cast<std::int64_t>(t / 23);
    in.D = random_tensor<TestType, 2>({6, 1}, 10);
    in.z.reset();
    check_scan(in, {.chunk_size = 16});
  }
}

TEMPLATE_TEST_CASE("the fast scan equals the golden data", "[fast][golden]", float, double) {
  for (const std::string& name : testing::ssd_case_names()) {
    const auto golden = testing::ssd_case<TestType>(name);
    for (const std::size_t chunk_size : {4, 16, 64}) {
      ScanOptions options = golden.options;
      options.chunk_size = chunk_size;
      INFO(name << ", chunk_size " << chunk_size);
      const auto got = fast_ssd(golden.input, options);
      CHECK(relative_error(got.y, golden.y) < testing::golden_tolerance<TestType>);
      CHECK(relative_error(got.last_state, golden.last_state) < testing::golden_tolerance<TestType>);
    }
  }
}

// The chunks are of 16: token 37 lies in the third, which begins at 32.
TEMPLATE_TEST_CASE("a NaN reaches earlier outputs of its chunk, and no other", "[fast]", float, double) {
  ScanInput<TestType> in = scan_input<TestType>(83);
  in.x(1, 37, 4, 2) = std::numeric_limits<TestType>::quiet_NaN();
  const ScanOptions chunks{.chunk_size = 16};
  const auto fast = fast_ssd(in, chunks), plain = ssd(in, chunks);
  const auto exact = ssd(in, {.algorithm = Algorithm::recurrent});
  for (std::size_t t = 0; t < 83; ++t) {
    CAPTURE(t);
    CHECK(std::isnan(exact.y(1, t, 4, 2)) == (t >= 37));
    CHECK(std::isnan(fast.y(1, t, 4, 2)) == (t >= 32));
    CHECK(std::isnan(plain.y(1, t, 4, 2)) == (t >= 32));
    for (const auto* y : {&exact.y, &fast.y, &plain.y}) {
      CHECK(std::isfinite((*y)(1, t, 4, 1)));  // other channels, heads, sequences
      CHECK(std::isfinite((*y)(1, t, 5, 2)));
      CHECK(std::isfinite((*y)(0, t, 4, 2)));
    }
  }
}

TEST_CASE("the fast scan of nothing, and of wrong shapes", "[fast]") {
  CHECK(testing::same(fast_ssd(scan_input<float>(0)).last_state, *scan_input<float>(0).initial_state));
  ScanInput<float> in = scan_input<float>(4);
  in.C = zeros<float>(2, 4, 2, 8);
  CHECK_THROWS_AS(fast_ssd(in), ShapeError);
  CHECK_THROWS_AS(fast_ssd(scan_input<float>(4), {.chunk_size = 0}), ValueError);
}

TEST_CASE("strong and vanishing decay over 64k tokens", "[fast]") {
  ScanInput<float> in;
  const std::size_t seqlen = 65536;
  in.x = random_tensor<float, 4>({1, seqlen, 3, 4}, 1);
  in.dt = random_tensor<float, 3>({1, seqlen, 3}, 2, 0, 1);
  in.A = Tensor<float, 1>{-1e-6F, -1, -3000};
  in.B = random_tensor<float, 4>({1, seqlen, 1, 2}, 4);
  in.C = random_tensor<float, 4>({1, seqlen, 1, 2}, 5);
  const ScanOutput<float> got = fast_ssd(in, {.dt_softplus = false});
  ScanInput<double> exact{.x = in.x,
                          .dt = in.dt,
                          .A = in.A,
                          .B = in.B,
                          .C = in.C,
                          .D = {},
                          .z = {},
                          .dt_bias = {},
                          .initial_state = {},
                          .seq_idx = {}};
  const ScanOutput<double> want = ssd(exact, {.dt_softplus = false, .algorithm = Algorithm::recurrent});
  CHECK(relative_error(got.y, want.y) < 2e-5);
  CHECK(relative_error(got.last_state, want.last_state) < 2e-5);
}

TEMPLATE_TEST_CASE("the result does not depend on the number of threads", "[fast]", float, double) {
  const ScanInput<TestType> in = scan_input<TestType>(77);
  const auto x = random_tensor<TestType, 2>({33, 17}, 1), W = random_tensor<TestType, 2>({130, 17}, 2);
  ScanOutput<TestType> alone;
  Tensor<TestType, 2> y_alone;
  for (const std::size_t count : {1, 2, 3, 8}) {
    const Threads threads(count);
    const auto got = fast_ssd(in);
    Tensor<TestType, 2> y = zeros<TestType>(33, 130);
    fast_operations<TestType>().linear(as_matrix(x), as_matrix(W), {}, as_matrix(y));
    if (count == 1) alone = got, y_alone = y;
    CHECK(relative_error(got.y, alone.y) < rounding<TestType>);
    CHECK(relative_error(got.last_state, alone.last_state) < rounding<TestType>);
    CHECK(relative_error(y, y_alone) < rounding<TestType>);
  }
}

TEMPLATE_TEST_CASE("the fast linear layer equals the plain one", "[fast]", float, double) {
  for (const std::size_t tokens : {0, 1, 2, 3, 7, 8, 9, 40})
    for (const std::size_t d_out : {1, 3, 64, 131}) {
      INFO(tokens << " tokens, " << d_out << " outputs");
      const auto x = random_tensor<TestType, 2>({tokens, 29}, 1);
      const auto W = random_tensor<TestType, 2>({d_out, 19}, 2);
      const auto bias = random_tensor<TestType, 1>({d_out}, 3);
      auto got = zeros<TestType>(tokens, d_out + 2), want = got;  // the results lie inside wider rows
      const auto part = column_block(as_matrix(x), 5, 19);
      plain_operations<TestType>().linear(part, as_matrix(W), as_span(bias), column_block(as_matrix(want), 1, d_out));
      fast_operations<TestType>().linear(part, as_matrix(W), as_span(bias), column_block(as_matrix(got), 1, d_out));
      CHECK(relative_error(got, want) < rounding<TestType>);
    }
}

TEMPLATE_TEST_CASE("the fast convolution equals the plain one", "[fast]", float, double) {
  const std::size_t batch = 2, seqlen = 41, width = 4;
  const auto x = random_tensor<TestType, 2>({batch * seqlen, 13}, 1, -3, 3);
  const auto W = random_tensor<TestType, 2>({11, width}, 2);
  const auto bias = random_tensor<TestType, 1>({11}, 3);
  const auto before = random_tensor<TestType, 3>({batch, 11, width}, 4);
  auto seq_idx = Tensor<std::int64_t, 2>::from_shape({batch, seqlen});
  for (std::size_t t = 0; t < seqlen; ++t) seq_idx(0, t) = t > 1, seq_idx(1, t) = static_cast<std::int64_t>(t / 9);
  for (const bool packed : {false, true})
    for (const bool state : {false, true})
      for (const bool silu : {false, true}) {
        const ShortConvolution<TestType> in{.x = column_block(as_matrix(x), 2, 11),
                                            .batch = batch,
                                            .weight = as_matrix(W),
                                            .bias = as_span(bias),
                                            .initial_state = state ? as_rows<1>(before) : MatrixRef<const TestType>{},
                                            .seq_idx = std::span(seq_idx.data(), packed ? seq_idx.size() : 0),
                                            .silu = silu};
        auto got = zeros<TestType>(batch * seqlen, 11), want = got;
        plain_operations<TestType>().short_convolution(in, as_matrix(want));
        fast_operations<TestType>().short_convolution(in, as_matrix(got));
        CHECK(relative_error(got, want) < rounding<TestType>);
      }
}

TEMPLATE_TEST_CASE("the fast norms equal the plain ones", "[fast]", float, double) {
  const auto y = random_tensor<TestType, 2>({35, 12}, 1, -2, 5), z = random_tensor<TestType, 2>({35, 12}, 2, -30, 30);
  const auto weight = random_tensor<TestType, 1>({12}, 3);
  auto got = zeros<TestType>(35, 12), want = got;
  plain_operations<TestType>().rms_norm(as_matrix(y), as_span(weight), 1e-5, as_matrix(want));
  fast_operations<TestType>().rms_norm(as_matrix(y), as_span(weight), 1e-5, as_matrix(got));
  CHECK(relative_error(got, want) < rounding<TestType>);
  for (const std::size_t groups : {1, 3})
    for (const bool before : {false, true})
      for (const bool weighted : {false, true}) {
        const GatedNorm<TestType> how{.weight = weighted ? as_span(weight) : std::span<const TestType>{},
                                      .groups = groups,
                                      .norm_before_gate = before};
        plain_operations<TestType>().gated_norm(as_matrix(y), as_matrix(z), how, as_matrix(want));
        fast_operations<TestType>().gated_norm(as_matrix(y), as_matrix(z), how, as_matrix(got));
        CHECK(relative_error(got, want) < rounding<TestType>);
        auto in_place = y;
        fast_operations<TestType>().gated_norm(as_matrix(in_place), as_matrix(z), how, as_matrix(in_place));
        CHECK(relative_error(in_place, want) < rounding<TestType>);
      }
}

TEST_CASE("the exponential of the kernels", "[fast]") {
  std::vector<float> x, e;
  for (float v = -100; v < 88; v += 0.01F) x.push_back(v);
  e.resize(x.size());
  kernels<float>().exponential(x.data(), e.data(), x.size());
  for (std::size_t i = 0; i < x.size(); ++i) {
    const double want = std::exp(static_cast<double>(x[i]));
    if (std::abs(e[i] - want) > 3e-7 * want + 2e-38) FAIL("exp(" << x[i] << ") = " << e[i]);
  }
}

// Odd sizes; the matrices lie inside larger ones.
TEMPLATE_TEST_CASE("products of a few tokens and of many", "[fast]", float, double) {
  const std::size_t columns = 37, stride = columns + 2;
  const auto W = random_tensor<TestType, 2>({31, stride}, 1);
  const auto weight = [&](std::size_t r, std::size_t j) { return static_cast<double>(W(r, j)); };
  const auto part = [&](const auto& m) { return column_block(as_matrix(m), 0, columns); };
  for (const char* set : {"baseline", ""}) {
    use_instruction_set(set);
    for (const std::size_t tokens : {1, 2, 3, 4, 5, 8, 9, 40}) {
      CAPTURE(set, tokens);
      const auto x = random_tensor<TestType, 2>({tokens, stride}, 2);
      const auto token = [&](std::size_t v, std::size_t j) { return static_cast<double>(x(v, j)); };
      auto out = zeros<TestType>(tokens, 40);
      const MatrixRef<TestType> y = column_block(as_matrix(out), 4, 31);
      product<TestType>(part(x), part(W), y);
      CHECK(error_of_product<TestType>(y, weight, token, columns) < rounding<TestType>);
      kernels<TestType>().rows_dot(W.data(), stride, 31, columns, x.data(), stride, tokens, y.data, y.stride);
      CHECK(error_of_product<TestType>(y, weight, token, columns) < rounding<TestType>);
      CHECK(out(0, 3) == 0);  // nothing is written beside y
      CHECK(out(tokens - 1, 35) == 0);
    }
  }
  use_instruction_set("");
  auto wrong = zeros<TestType>(30, 31);
  CHECK_THROWS_AS(product<TestType>(part(W), part(W), as_matrix(wrong)), ShapeError);
}

TEST_CASE("a task that is alone may have tasks of its own", "[fast]") {
  const Threads threads(2);
  std::atomic<int> count = 0;
  parallel_for(1, [&](std::size_t) { parallel_for(5, [&](std::size_t) { ++count; }); });
  CHECK(count == 5);
}

TEST_CASE("the fast scan of no sequences", "[fast]") {
  ScanInput<float> in = scan_input<float>(4);
  for (auto* tensor : {&in.x, &in.B, &in.C}) tensor->resize({0, 4, tensor->shape(2), tensor->shape(3)});
  in.dt.resize({0, 4, 6});
  in.z.reset();
  in.initial_state.reset();
  CHECK(fast_ssd(in).y.shape(0) == 0);
}

TEST_CASE("the sum that measures the memory is a sum", "[fast]") {
  for (const std::size_t n : {0, 1, 63, 64, 1000}) {
    std::vector<double> x(n);
    double want = 0;
    for (std::size_t i = 0; i < n; ++i) want += x[i] = std::sin(static_cast<double>(i));
    CHECK(kernels<double>().sum(x.data(), n) == Approx(want).margin(1e-12));
  }
}

TEST_CASE("a parallel loop does every task once, nests, and passes on what its tasks throw", "[fast]") {
  const Threads threads(3);
  std::vector<std::atomic<int>> count(100);
  parallel_for(100, [&](std::size_t i) { parallel_for(1 + i % 3, [&](std::size_t) { ++count[i]; }); });
  for (std::size_t i = 0; i < 100; ++i) CHECK(count[i] == static_cast<int>(1 + i % 3));
  CHECK_THROWS_AS(parallel_for(9,
                               [](std::size_t i) {
                                 if (i == 4) throw std::out_of_range("4");
                               }),
                  std::out_of_range);
  parallel_for(0, [](std::size_t) { FAIL("there is no task"); });
  CHECK_THROWS_AS(set_num_threads(0), ValueError);
}
