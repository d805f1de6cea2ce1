// What must hold of the operator whatever the numbers: causality, linearity, one result from all forms, states passed on.
#include <mamba2/ssd.hpp>
#include <support/catch.hpp>
#include <support/ssd_cases.hpp>

using namespace mamba2;
using testing::kAlgorithms;
using testing::relative_error;

namespace {

constexpr ScanSizes kSizes{.batch = 2, .seqlen = 45, .nheads = 6, .headdim = 5, .ngroups = 3, .d_state = 7};

void check_equal(const ScanOutput<double>& got, const ScanOutput<double>& want, double tolerance = 1e-13) {
  CHECK(got.y.shape() == want.y.shape());
  CHECK(got.last_state.shape() == want.last_state.shape());
  CHECK(relative_error(got.y, want.y) < tolerance);
  CHECK(relative_error(got.last_state, want.last_state) < tolerance);
}

// Runs ssd with each algorithm, the chunked one with a chunk size that does not divide the length.
template <class Check>
void for_each_algorithm(ScanOptions options, Check&& check) {
  for (const Algorithm algorithm : kAlgorithms) {
    options.algorithm = algorithm;
    options.chunk_size = 8;
    INFO("algorithm " << static_cast<int>(algorithm));
    check(options);
  }
}

}  // namespace

TEST_CASE("ssd equals the definition, with every option", "[ssd]") {
  ScanInput<double> in = testing::made_up_input(kSizes);
  for (const bool softplus : {true, false})
    for (const bool packed : {true, false})
      for (const bool per_channel : {true, false}) {
        if (packed) {
          in.seq_idx = Tensor<std::int64_t, 2>({kSizes.batch, kSizes.seqlen}, 0);
          for (std::size_t t = 0; t < kSizes.seqlen; ++t) {
            (*in.seq_idx)(0, t) = t < 16 ? 5 : t < 17 ? -3 : 5;       // decreasing, negative, used twice
            (*in.seq_idx)(1, t) = static_cast<std::int64_t>(t) / 13;  // not where the chunks end
          }
        } else {
          in.seq_idx.reset();
        }
        if (!per_channel) in.D = Tensor<double, 2>(xt::view(*in.D, xt::all(), xt::range(0, 1)));
        ScanOptions options{.dt_softplus = softplus, .dt_min = 0.1, .dt_max = 0.9};
        for_each_algorithm(options, [&](const ScanOptions& o) { check_equal(ssd(in, o), testing::plain_ssd(in, o)); });
        in.D = testing::made_up_input(kSizes).D;
      }
}

TEST_CASE("each option matters", "[ssd]") {  // or the test above would prove little
  const ScanInput<double> in = testing::made_up_input(kSizes);
  const ScanOptions options;
  const Tensor<double, 4> y = ssd(in, options).y;
  const auto differs = [&](const ScanInput<double>& other, const ScanOptions& o) {
    return relative_error(ssd(other, o).y, y) > 1e-3;
  };
  ScanInput<double> other = in;
  other.D.reset();
  CHECK(differs(other, options));
  other = in;
  other.z.reset();
  CHECK(differs(other, options));
  other = in;
  other.dt_bias.reset();
  CHECK(differs(other, options));
  other = in;
  other.initial_state.reset();
  CHECK(differs(other, options));
  other = in;
  other.seq_idx = Tensor<std::int64_t, 2>({kSizes.batch, kSizes.seqlen}, 0);
  CHECK_FALSE(differs(other, options));  // one sequence
  (*other.seq_idx)(1, 44) = 1;
  CHECK(differs(other, options));
  CHECK(differs(in, {.dt_softplus = false}));
  CHECK(differs(in, {.dt_min = 0.5}));
  CHECK(differs(in, {.dt_max = 0.5}));
}

TEST_CASE("ssd is causal: a changed token leaves all outputs before it alone, bit for bit", "[ssd]") {
  const ScanInput<double> in = testing::made_up_input(kSizes);
  for_each_algorithm({}, [&](const ScanOptions& options) {
    const Tensor<double, 4> y = ssd(in, options).y;
    for (const std::size_t t : {std::size_t{0}, std::size_t{7}, std::size_t{8}, std::size_t{23}, std::size_t{44}}) {
      ScanInput<double> changed = in;
      for (std::size_t b = 0; b < kSizes.batch; ++b) {
        for (std::size_t h = 0; h < kSizes.nheads; ++h) {
          changed.dt(b, t, h) += 0.5;
          for (std::size_t p = 0; p < kSizes.headdim; ++p) changed.x(b, t, h, p) += 1, (*changed.z)(b, t, h, p) -= 1;
        }
        for (std::size_t g = 0; g < kSizes.ngroups; ++g)
          for (std::size_t n = 0; n < kSizes.d_state; ++n) changed.B(b, t, g, n) += 1, changed.C(b, t, g, n) -= 1;
      }
      const Tensor<double, 4> after = ssd(changed, options).y;
      INFO("token " << t);
      const Tensor<double, 4> before_t = xt::view(y, xt::all(), xt::range(std::size_t{0}, t));
      const Tensor<double, 4> before_t_changed = xt::view(after, xt::all(), xt::range(std::size_t{0}, t));
      CHECK(testing::same(before_t, before_t_changed));
      const Tensor<double, 4> from_t = xt::view(y, xt::all(), xt::range(t, kSizes.seqlen));
      const Tensor<double, 4> from_t_changed = xt::view(after, xt::all(), xt::range(t, kSizes.seqlen));
      CHECK(relative_error(from_t_changed, from_t) > 1e-3);
    }
  });
}

TEST_CASE("batch entries and heads do not touch each other", "[ssd]") {
  const ScanInput<double> in = testing::made_up_input(kSizes);
  ScanInput<double> changed = in;
  for (std::size_t t = 0; t < kSizes.seqlen; ++t)
    for (std::size_t p = 0; p < kSizes.headdim; ++p) changed.x(1, t, 2, p) += 1;
  for_each_algorithm({}, [&](const ScanOptions& options) {
    const Tensor<double, 4> y = ssd(in, options).y, y_changed = ssd(changed, options).y;
    for (std::size_t b = 0; b < kSizes.batch; ++b)
      for (std::size_t h = 0; h < kSizes.nheads; ++h) {
        const Tensor<double, 2> mine = xt::view(y, b, xt::all(), h), other = xt::view(y_changed, b, xt::all(), h);
        CHECK(testing::same(mine, other) == !(b == 1 && h == 2));
      }
  });
}

TEST_CASE("ssd is linear in x and the initial state together", "[ssd]") {
  const ScanInput<double> a = testing::made_up_input(kSizes, 1);
  const ScanInput<double> other = testing::made_up_input(kSizes, 2);
  ScanInput<double> b = a, sum = a;
  b.x = other.x;
  b.initial_state = other.initial_state;
  sum.x = Tensor<double, 4>(a.x + 3 * b.x);
  sum.initial_state = Tensor<double, 4>(*a.initial_state + 3 * *b.initial_state);
  for_each_algorithm({}, [&](const ScanOptions& options) {
    const ScanOutput<double> of_a = ssd(a, options), of_b = ssd(b, options), of_sum = ssd(sum, options);
    const Tensor<double, 4> y = of_a.y + 3 * of_b.y, state = of_a.last_state + 3 * of_b.last_state;
    CHECK(relative_error(of_sum.y, y) < 1e-14);
    CHECK(relative_error(of_sum.last_state, state) < 1e-14);
  });
}

TEST_CASE("the chunk size changes no result", "[ssd]") {
  const ScanInput<double> in = testing::made_up_input(kSizes);
  const ScanOutput<double> want = ssd(in, {.algorithm = Algorithm::recurrent});
  for (std::size_t chunk_size = 1; chunk_size <= 50; ++chunk_size) {
    INFO("chunk size " << chunk_size);
    check_equal(ssd(in, {.chunk_size = chunk_size}), want);
  }
  check_equal(ssd(in, {.chunk_size = std::numeric_limits<std::size_t>::max()}), want);
}

TEST_CASE("a sequence may be cut anywhere, if the state is passed on", "[ssd]") {
  ScanInput<double> in = testing::made_up_input(kSizes);
  for (const bool packed : {false, true}) {
    if (packed) {
      in.seq_idx = Tensor<std::int64_t, 2>({kSizes.batch, kSizes.seqlen}, 0);
      for (std::size_t t = 20; t < kSizes.seqlen; ++t) (*in.seq_idx)(0, t) = 1;
    }
    for_each_algorithm({}, [&](const ScanOptions& options) {
      const ScanOutput<double> whole = ssd(in, options);
      for (const std::size_t cut : {std::size_t{0}, std::size_t{1}, std::size_t{8}, std::size_t{19}, std::size_t{45}}) {
        INFO("cut before token " << cut << (packed ? ", packed" : ""));
        const ScanOutput<double> first = ssd(testing::tokens(in, 0, cut), options);
        ScanInput<double> rest = testing::tokens(in, cut, kSizes.seqlen);
        rest.initial_state = first.last_state;
        const ScanOutput<double> second = ssd(rest, options);
        const Tensor<double, 4> y = xt::concatenate(xt::xtuple(first.y, second.y), 1);
        check_equal({y, second.last_state}, whole);
      }
    });
  }
}

TEST_CASE("token after token, as a recurrent network, gives the same", "[ssd]") {
  const ScanInput<double> in = testing::made_up_input(kSizes);
  for_each_algorithm({}, [&](const ScanOptions& options) {
    ScanOutput<double> out{in.x, *in.initial_state};
    for (std::size_t t = 0; t < kSizes.seqlen; ++t) {
      ScanInput<double> token = testing::tokens(in, t, t + 1);
      token.initial_state = out.last_state;
      const ScanOutput<double> step = ssd(token, options);
      xt::view(out.y, xt::all(), t) = xt::view(step.y, xt::all(), 0);
      out.last_state = step.last_state;
    }
    check_equal(out, ssd(in, options));
  });
}

TEST_CASE("packed sequences equal the same sequences run apart", "[ssd]") {
  ScanInput<double> in = testing::made_up_input({1, 45, 6, 5, 3, 7});
  const std::vector<std::size_t> bounds{0, 1, 13, 14, 30, 45};
  const std::vector<std::int64_t> ids{7, 7'000'000'000, -1, std::numeric_limits<std::int64_t>::min(), 7};
  in.seq_idx = Tensor<std::int64_t, 2>({1, 45}, 0);
  for (std::size_t i = 0; i < ids.size(); ++i)
    for (std::size_t t = bounds[i]; t < bounds[i + 1]; ++t) (*in.seq_idx)(0, t) = ids[i];
  for_each_algorithm({}, [&](const ScanOptions& options) {
    const ScanOutput<double> packed = ssd(in, options);
    for (std::size_t i = 0; i < ids.size(); ++i) {
      ScanInput<double> alone = testing::tokens(in, bounds[i], bounds[i + 1]);
      alone.seq_idx.reset();
      if (i > 0) alone.initial_state.reset();  // the initial state is that of the first
      const ScanOutput<double> out = ssd(alone, options);
      const Tensor<double, 4> y = xt::view(packed.y, xt::all(), xt::range(bounds[i], bounds[i + 1]));
      INFO("sequence " << i);
      CHECK(relative_error(y, out.y) < 1e-13);
      if (i + 1 == ids.size()) CHECK(relative_error(packed.last_state, out.last_state) < 1e-13);
    }
  });
}

TEST_CASE("sequence_bounds finds every change", "[ssd]") {
  using Bounds = std::vector<std::size_t>;
  const auto bounds = [](std::vector<std::int64_t> ids) { return sequence_bounds(ids); };
  CHECK(bounds({4}) == Bounds{0, 1});
  CHECK(bounds({4, 4, 4}) == Bounds{0, 3});
  CHECK(bounds({4, 4, 3, -3, -3, 4}) == Bounds{0, 2, 3, 5, 6});
  CHECK(bounds({}) == Bounds{0, 0});
}

TEST_CASE("a head uses B and C of its group", "[ssd]") {
  for (std::size_t head = 0; head < 6; ++head) {
    CHECK(group_of_head(head, 6, 1) == 0);
    CHECK(group_of_head(head, 6, 2) == head / 3);
    CHECK(group_of_head(head, 6, 3) == head / 2);
    CHECK(group_of_head(head, 6, 6) == head);
  }
  const ScanInput<double> in = testing::made_up_input(kSizes);  // 6 heads, 3 groups
  ScanInput<double> repeated = in;                              // 6 groups: B and C written out for each head
  repeated.B = xt::repeat(in.B, 2, 2);
  repeated.C = xt::repeat(in.C, 2, 2);
  for_each_algorithm({}, [&](const ScanOptions& o) { check_equal(ssd(repeated, o), ssd(in, o)); });
}

TEST_CASE("a step of zero leaves the state and adds nothing", "[ssd]") {
  ScanInput<double> in = testing::made_up_input(kSizes);
  in.D.reset();
  for_each_algorithm({}, [&](ScanOptions options) {
    for (const bool softplus : {true, false}) {
      options.dt_softplus = softplus;
      in.dt.fill(softplus ? -std::numeric_limits<double>::infinity() : -1e9);  // the limits raise the second to 0
      const ScanOutput<double> out = ssd(in, options);
      CHECK(testing::same(out.last_state, *in.initial_state));
      CHECK(relative_error(out.y, testing::plain_ssd(in, options).y) < 1e-14);
      ScanInput<double> fresh = in;
      fresh.initial_state.reset();
      CHECK(xt::amax(xt::abs(ssd(fresh, options).y))() == 0);
    }
  });
}

TEST_CASE("float stays near double", "[ssd]") {
  const ScanInput<double> in = testing::made_up_input({2, 301, 6, 5, 3, 7});
  const ScanInput<float> narrow = testing::to_float(in);
  for_each_algorithm({}, [&](const ScanOptions& options) {
    const ScanOutput<double> want = ssd(in, options);
    const ScanOutput<float> got = ssd(narrow, options);
    CHECK(relative_error(got.y, want.y) < 2e-6);
    CHECK(relative_error(got.last_state, want.last_state) < 2e-6);
  });
}

TEST_CASE("step_sizes: bias, softplus, limits, in this order", "[ssd]") {
  ScanInput<double> in;
  in.dt = Tensor<double, 3>{{{-1, 2}, {0, 30}}};
  in.dt_bias = Tensor<double, 1>{0.5, -1};
  const auto soft = [](double x) { return std::log1p(std::exp(x)); };
  CHECK(relative_error(step_sizes(in, {}), Tensor<double, 3>{{{soft(-0.5), soft(1)}, {soft(0.5), 29}}}) < 1e-15);
  CHECK(relative_error(step_sizes(in, {.dt_min = 0.5, .dt_max = 1.25}),
                       Tensor<double, 3>{{{0.5, 1.25}, {soft(0.5), 1.25}}}) < 1e-15);
  CHECK(relative_error(step_sizes(in, {.dt_softplus = false}), Tensor<double, 3>{{{0, 1}, {0.5, 29}}}) < 1e-15);
  in.dt_bias.reset();
  CHECK(relative_error(step_sizes(in, {.dt_softplus = false}), Tensor<double, 3>{{{0, 2}, {0, 30}}}) < 1e-15);
  CHECK(std::isnan(step_size(std::numeric_limits<double>::quiet_NaN(), {})));  // not hidden by the limits
}
