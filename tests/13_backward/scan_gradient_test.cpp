// The scan's gradient: golden data, step by step against chunks, differences of the forward pass, what must not matter.
#include <mamba2/activation.hpp>
#include <mamba2/activation_gradient.hpp>
#include <mamba2/chunked_scan.hpp>
#include <mamba2/scan_gradient.hpp>
#include <support/adjoints.hpp>
#include <support/ssd_cases.hpp>

using namespace mamba2;

namespace {

// batch, seqlen, nheads, headdim, ngroups, d_state: all different, and no chunk below divides 11
constexpr ScanSizes kSmall{2, 11, 4, 3, 2, 5};

Tensor<double, 4> random_states(const ScanSizes& s, std::uint64_t seed) {
  return testing::random_tensor<double, 4>({s.batch, s.nheads, s.headdim, s.d_state}, seed);
}

Tensor<double, 4> random_outputs(const ScanSizes& s, std::uint64_t seed) {
  return testing::random_tensor<double, 4>({s.batch, s.seqlen, s.nheads, s.headdim}, seed);
}

// Three sequences in one row, two in the other.
Tensor<std::int64_t, 2> packed(const ScanSizes& s) {
  Tensor<std::int64_t, 2> seq_idx(std::array<std::size_t, 2>{s.batch, s.seqlen}, 0);
  for (std::size_t t = 0; t < s.seqlen; ++t) {
    seq_idx(0, t) = (t >= 3) + (t >= 4);
    seq_idx(1, t) = t >= 6 ? -2 : 7;
  }
  return seq_idx;
}

// compare(name, got, want) for each pair of gradients; want has the tensors that got has.
template <class Got, class Want, class Compare>
void for_each_gradient(const ScanInput<Got>& got, const ScanInput<Want>& want, const Compare& compare) {
  compare("x", got.x, want.x);
  compare("dt", got.dt, want.dt);
  compare("A", got.A, want.A);
  compare("B", got.B, want.B);
  compare("C", got.C, want.C);
  REQUIRE(got.D.has_value() == want.D.has_value());
  REQUIRE(got.z.has_value() == want.z.has_value());
  REQUIRE(got.dt_bias.has_value() == want.dt_bias.has_value());
  REQUIRE(got.initial_state.has_value() == want.initial_state.has_value());
  if (got.D) compare("D", *got.D, *want.D);
  if (got.z) compare("z", *got.z, *want.z);
  if (got.dt_bias) compare("dt_bias", *got.dt_bias, *want.dt_bias);
  if (got.initial_state) compare("initial_state", *got.initial_state, *want.initial_state);
}

template <class Got, class Want>
void check_close(const ScanInput<Got>& got, const ScanInput<Want>& want, double tolerance) {
  for_each_gradient(got, want, [&](const char* name, const auto& g, const auto& w) {
    INFO(name);
    CHECK(testing::relative_error(g, w) < tolerance);
  });
}

ScanInput<double> golden_gradient(const std::string& name, const ScanInput<double>& input) {
  const std::string folder = "ssd/" + name;
  ScanInput<double> g;
  g.x = testing::load_golden<double, 4>(folder, "grad_x");
  g.dt = testing::load_golden<double, 3>(folder, "grad_dt");
  g.A = testing::load_golden<double, 1>(folder, "grad_A");
  g.B = testing::load_golden<double, 4>(folder, "grad_B");
  g.C = testing::load_golden<double, 4>(folder, "grad_C");
  if (input.D) {  // (nheads) or (nheads, headdim)
    auto D = testing::read_npy<double>(testing::golden_path(folder) / "grad_D.npy");
    if (D.shape.size() == 1) D.shape.push_back(1);
    g.D = testing::tensor_from<double, 2>("grad_D", D);
  }
  if (input.z) g.z = testing::load_golden<double, 4>(folder, "grad_z");
  if (input.dt_bias) g.dt_bias = testing::load_golden<double, 1>(folder, "grad_dt_bias");
  if (input.initial_state) g.initial_state = testing::load_golden<double, 4>(folder, "grad_init");
  return g;
}

template <class Real>
void check_golden(const std::string& name) {
  const testing::SsdCase<Real> golden = testing::ssd_case<Real>(name);
  const auto want = golden_gradient(name, testing::ssd_case<double>(name).input);
  const auto dy = testing::load_golden<Real, 4>("ssd/" + name, "dy");
  const auto dlast_state = testing::load_golden<Real, 4>("ssd/" + name, "dlast_state");
  ScanOptions options = golden.options;
  for (const Algorithm algorithm : testing::kAlgorithms) {
    for (const std::size_t chunk_size : {7, 16, 64}) {
      if (algorithm != Algorithm::chunked && chunk_size != 7) continue;  // they do not read it
      options.algorithm = algorithm;
      options.chunk_size = chunk_size;
      INFO(name << ", algorithm " << static_cast<int>(algorithm) << ", chunk size " << chunk_size);
      check_close(ssd_gradient<Real>(golden.input, options, dy, dlast_state), want, testing::gradient_tolerance<Real>);
    }
  }
}

}  // namespace

TEST_CASE("the gradients equal the golden data, every case and form", "[scan_gradient][golden]") {
  for (const std::string& name : testing::ssd_case_names()) {
    check_golden<double>(name);
    check_golden<float>(name);
  }
}

TEST_CASE("chunks of any size give the gradients of the steps", "[scan_gradient]") {
  for (const bool many : {false, true}) {
    ScanInput<double> input = testing::made_up_input(kSmall, 3);
    if (many) input.seq_idx = packed(kSmall);
    const auto dy = random_outputs(kSmall, 8), dlast = random_states(kSmall, 9);
    const auto want = ssd_gradient<double>(input, {.algorithm = Algorithm::recurrent}, dy, dlast);
    check_close(ssd_gradient<double>(input, {.algorithm = Algorithm::quadratic}, dy, dlast), want, 1e-12);
    for (const std::size_t chunk_size : {1, 2, 3, 4, 7, 10, 11, 100}) {
      INFO("packed " << many << ", chunk size " << chunk_size);
      check_close(ssd_gradient<double>(input, {.chunk_size = chunk_size}, dy, dlast), want, 1e-12);
    }
  }
}

TEST_CASE("the gradients are those of the forward pass, by differences", "[scan_gradient]") {
  for (const Algorithm algorithm : {Algorithm::recurrent, Algorithm::chunked}) {
    for (const bool many : {false, true}) {
      const ScanSizes s{2, 7, 4, 3, 2, 2};
      ScanInput<double> in = testing::made_up_input(s, 5);
      if (many) in.seq_idx = packed(s);
      if (many) in.D = testing::random_tensor<double, 2>({s.nheads, 1}, 6);
      ScanOptions options{.dt_min = 0.1, .dt_max = 1, .chunk_size = 3, .algorithm = algorithm};
      const std::size_t outputs = in.x.size(), states = in.initial_state->size();
      testing::check_adjoint(
          {.inputs = {testing::numbers(in.x), testing::numbers(in.dt), testing::numbers(in.A), testing::numbers(in.B),
                      testing::numbers(in.C), testing::numbers(*in.D), testing::numbers(*in.z),
                      testing::numbers(*in.dt_bias), testing::numbers(*in.initial_state)},
           .forward =
               [&] {
                 const auto out = ssd(in, options);
                 return testing::joined(testing::values(out.y), testing::values(out.last_state));
               },
           .backward =
               [&](const std::vector<double>& w) {
                 Tensor<double, 4> dy = in.x, dlast = *in.initial_state;
                 std::copy_n(w.data(), outputs, dy.data());
                 std::copy_n(w.data() + outputs, states, dlast.data());
                 std::vector<std::vector<double>> all;
                 const auto g = ssd_gradient<double>(in, options, dy, dlast);
                 for_each_gradient(g, g,
                                   [&](const char*, const auto& t, const auto&) { all.push_back(testing::values(t)); });
                 return all;
               }});
    }
  }
}

TEST_CASE("a limit stops the gradient of the step size", "[scan_gradient]") {
  const ScanOptions limits{.dt_min = 0.5, .dt_max = 2};
  CHECK(step_size_derivative(-3.0, limits) == 0);
  CHECK(step_size_derivative(3.0, limits) == 0);
  CHECK(step_size_derivative(1.0, limits) == Approx(1 / (1 + std::exp(-1.0))));
  CHECK(step_size_derivative(1.0, {.dt_softplus = false}) == 1);
  CHECK(step_size_derivative(-1.0, {.dt_softplus = false}) == 0);
  CHECK(softplus_derivative(30.0) == 1);
  CHECK(softplus_derivative(-std::numeric_limits<double>::infinity()) == 0);
  for (const double x : {-30.0, -2.0, 0.0, 0.7, 19.0}) {
    CHECK(softplus_derivative(x) == Approx((softplus(x + 1e-6) - softplus(x - 1e-6)) / 2e-6));
    CHECK(silu_derivative(x) == Approx((silu(x + 1e-6) - silu(x - 1e-6)) / 2e-6).margin(1e-9));
  }
}

TEST_CASE("a sequence in pieces has the gradients of the whole, its state's handed on", "[scan_gradient]") {
  const ScanInput<double> whole = testing::made_up_input(kSmall, 7);
  const auto dy = random_outputs(kSmall, 1), dlast = random_states(kSmall, 2);
  const ScanOptions options{.chunk_size = 3};
  const auto want = ssd_gradient<double>(whole, options, dy, dlast);
  const auto until = [](const auto& t, std::size_t from, std::size_t to) {
    return Tensor<double, 4>(xt::view(t, xt::all(), xt::range(from, to)));
  };
  const std::size_t cut = 5;
  const ScanInput<double> first = testing::tokens(whole, 0, cut);
  ScanInput<double> second = testing::tokens(whole, cut, kSmall.seqlen);
  second.initial_state = ssd(first, options).last_state;
  const auto later = ssd_gradient<double>(second, options, until(dy, cut, kSmall.seqlen), dlast);
  const auto earlier = ssd_gradient<double>(first, options, until(dy, 0, cut), later.initial_state);
  CHECK(testing::relative_error(earlier.x, until(want.x, 0, cut)) < 1e-12);
  CHECK(testing::relative_error(later.B, until(want.B, cut, kSmall.seqlen)) < 1e-12);
  CHECK(testing::relative_error(*earlier.initial_state, *want.initial_state) < 1e-12);
  const Tensor<double, 1> dA = earlier.A + later.A, dbias = *earlier.dt_bias + *later.dt_bias;
  CHECK(testing::relative_error(dA, want.A) < 1e-12);
  CHECK(testing::relative_error(dbias, *want.dt_bias) < 1e-12);
}

TEST_CASE("gradients do not go back in time, nor into another sequence", "[scan_gradient]") {
  ScanInput<double> input = testing::made_up_input(kSmall, 4);
  input.seq_idx = packed(kSmall);
  auto dy = random_outputs(kSmall, 3);
  xt::view(dy, xt::all(), xt::range(8, 11)) = 0;  // nothing is asked of the last three tokens
  const auto g = ssd_gradient<double>(input, {.chunk_size = 4}, dy);
  for (std::size_t t = 8; t < 11; ++t)
    for (std::size_t k = 0; k < kSmall.d_state; ++k) CHECK(g.B(0, t, 0, k) == 0);
  xt::view(dy, xt::all(), xt::range(0, 6)) = 0;  // and of the first sequences
  const auto second = ssd_gradient<double>(input, {.chunk_size = 4}, dy);
  CHECK(xt::amax(xt::abs(*second.initial_state))() == 0);
  CHECK(second.x(1, 5, 0, 0) == 0);
  CHECK(second.x(1, 6, 0, 0) != 0);
}

TEST_CASE("a step that forgets all has no gradient through the state", "[scan_gradient]") {
  ScanInput<double> input = testing::made_up_input({1, 5, 1, 2, 1, 3}, 2);
  input.dt_bias.reset();
  input.dt = Tensor<double, 3>(input.dt.shape(), 0.5);
  input.A(0) = -std::numeric_limits<double>::infinity();
  const auto dy = random_outputs({1, 5, 1, 2, 1, 3}, 3);
  for (const Algorithm algorithm : {Algorithm::recurrent, Algorithm::chunked}) {
    const auto g = ssd_gradient<double>(input, {.chunk_size = 2, .algorithm = algorithm}, dy);
    CHECK(xt::amax(xt::abs(*g.initial_state))() == 0);
    CHECK(xt::all(xt::isfinite(g.x)));
    CHECK(xt::all(xt::isfinite(g.B)));
  }
}

TEST_CASE("parameters are added to, all else is written", "[scan_gradient]") {
  const ScanInput<double> in = testing::made_up_input(kSmall, 6);
  const auto dy = random_outputs(kSmall, 2);
  const auto want = ssd_gradient<double>(in, {}, dy);
  ScanInput<double> g = in;
  auto dstate = zeros<double>(kSmall.batch, kSmall.nheads, kSmall.headdim, kSmall.d_state);
  unchecked::scan_gradient<double>(in, {}, as_rows<1>(*in.initial_state), as_rows<2>(dy), as_rows<1>(dstate),
                                   {.x = as_rows<2>(g.x),
                                    .dt = as_rows<2>(g.dt),
                                    .A = {g.A.data(), g.A.size()},
                                    .B = as_rows<2>(g.B),
                                    .C = as_rows<2>(g.C),
                                    .D = {g.D->data(), g.D->size()},
                                    .z = as_rows<2>(*g.z),
                                    .dt_bias = {g.dt_bias->data(), g.dt_bias->size()}});
  g.A -= in.A, *g.D -= *in.D, *g.dt_bias -= *in.dt_bias;
  g.initial_state = dstate;
  check_close(g, want, 1e-14);
}

TEST_CASE("nothing in, nothing out", "[scan_gradient]") {
  for (const ScanSizes& s : {ScanSizes{0, 3, 2, 1, 1, 2}, ScanSizes{2, 0, 2, 1, 1, 2}}) {
    const ScanInput<double> in = testing::made_up_input(s);
    const auto dlast = random_states(s, 5);
    const auto g = ssd_gradient<double>(in, {}, random_outputs(s, 4), dlast);
    CHECK(testing::same(*g.initial_state, dlast));
    CHECK(g.A(1) == 0);
  }
}

TEST_CASE("gradients of the wrong shape are refused", "[scan_gradient][errors]") {
  const ScanInput<double> in = testing::made_up_input(kSmall);
  ScanSizes wrong = kSmall;
  wrong.headdim = 2;
  CHECK(testing::message_of<ShapeError>([&] { ssd_gradient<double>(in, {}, random_outputs(wrong, 1)); }) ==
        "dy: expected shape (batch, seqlen, nheads, headdim) = (2, 11, 4, 3), got (2, 11, 4, 2)");
  CHECK(testing::message_of<ShapeError>([&] {
          ssd_gradient<double>(in, {}, random_outputs(kSmall, 1), random_states(wrong, 1));
        }) == "dlast_state: expected shape (batch, nheads, headdim, d_state) = (2, 4, 3, 5), got (2, 4, 2, 5)");
  CHECK_THROWS_AS(ssd_gradient<double>(in, {.chunk_size = 0}, random_outputs(kSmall, 1)), ValueError);
}

TEST_CASE("the products are counted", "[scan_gradient]") {
  CHECK(cost_chunked_gradient(100, 3, 5, 7).multiply_adds == 100 * (3 * 7 * 3 + 2 * 7 * 5 + 5 * 3 * 5));
  CHECK(cost_chunked_gradient(100, 3, 5, 7).memory == 15 * 3 * 5);
}
