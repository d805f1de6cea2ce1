// Lengths and sizes at the edges, and sequences long enough for errors to pile up.
#include <mamba2/ssd.hpp>
#include <support/catch.hpp>
#include <support/ssd_cases.hpp>

using namespace mamba2;
using testing::kAlgorithms;
using testing::relative_error;

namespace {

void check_against_plain(const ScanInput<double>& in, const ScanOptions& options) {
  const ScanOutput<double> got = ssd(in, options), want = testing::plain_ssd(in, options);
  INFO("algorithm " << static_cast<int>(options.algorithm) << ", length " << in.x.shape(1) << ", chunk size "
                    << options.chunk_size);
  CHECK(got.y.shape() == want.y.shape());
  CHECK(got.last_state.shape() == want.last_state.shape());
  CHECK(relative_error(got.y, want.y) < 1e-13);
  CHECK(relative_error(got.last_state, want.last_state) < 1e-13);
}

}  // namespace

TEST_CASE("any length", "[ssd]") {
  for (const std::size_t chunk_size : {std::size_t{1}, std::size_t{8}, std::size_t{16}})
    for (const std::size_t seqlen : {1, 2, 7, 8, 9, 15, 16, 17, 31, 61})
      for (const Algorithm algorithm : kAlgorithms)
        check_against_plain(testing::made_up_input({2, seqlen, 4, 3, 2, 5}, seqlen),
                            {.chunk_size = chunk_size, .algorithm = algorithm});
}

TEST_CASE("no tokens: no output, and the state is what it was", "[ssd]") {
  for (const Algorithm algorithm : kAlgorithms) {
    ScanInput<double> in = testing::made_up_input({2, 0, 4, 3, 2, 5});
    ScanOutput<double> out = ssd(in, {.algorithm = algorithm});
    CHECK(out.y.shape() == std::array<std::size_t, 4>{2, 0, 4, 3});
    CHECK(testing::same(out.last_state, *in.initial_state));
    in.initial_state.reset();
    in.seq_idx = Tensor<std::int64_t, 2>(std::array<std::size_t, 2>{2, 0});
    out = ssd(in, {.algorithm = algorithm});
    CHECK(out.last_state.shape() == std::array<std::size_t, 4>{2, 4, 3, 5});
    CHECK(xt::amax(xt::abs(out.last_state))() == 0);
  }
}

TEST_CASE("no batch entries", "[ssd]") {
  for (const Algorithm algorithm : kAlgorithms) {
    const ScanOutput<float> out =
        ssd(testing::to_float(testing::made_up_input({0, 9, 4, 3, 2, 5})), {.algorithm = algorithm});
    CHECK(out.y.shape() == std::array<std::size_t, 4>{0, 9, 4, 3});
    CHECK(out.last_state.shape() == std::array<std::size_t, 4>{0, 4, 3, 5});
  }
}

TEST_CASE("every size may be 1", "[ssd]") {
  for (const Algorithm algorithm : kAlgorithms) {
    check_against_plain(testing::made_up_input({1, 1, 1, 1, 1, 1}), {.algorithm = algorithm});
    check_against_plain(testing::made_up_input({1, 20, 1, 1, 1, 1}), {.chunk_size = 6, .algorithm = algorithm});
    check_against_plain(testing::made_up_input({3, 20, 5, 1, 5, 2}), {.chunk_size = 6, .algorithm = algorithm});
    check_against_plain(testing::made_up_input({1, 20, 2, 4, 1, 1}), {.chunk_size = 6, .algorithm = algorithm});
  }
}

namespace {

constexpr std::size_t kLong = 65536;

// One head forgets as given by A, the other is ordinary; dt is taken as it comes.
ScanInput<double> long_input(double A) {
  ScanInput<double> in = testing::made_up_input({1, kLong, 2, 2, 1, 3});
  in.dt = testing::random_tensor<double, 3>({1, kLong, 2}, 5, 0, 1);
  in.A = Tensor<double, 1>{A, -0.5};
  in.dt_bias.reset();
  return in;
}

// Double against the definition, then float against double, each head by itself.
void check_long(const ScanInput<double>& in, double float_tolerance) {
  const ScanInput<float> narrow = testing::to_float(in);
  const ScanOptions plain{.dt_softplus = false};
  const ScanOutput<double> want = testing::plain_ssd(in, plain);
  for (const Algorithm algorithm : {Algorithm::recurrent, Algorithm::chunked})
    for (const std::size_t chunk_size : {std::size_t{64}, std::size_t{256}}) {
      if (algorithm == Algorithm::recurrent && chunk_size != 64) continue;  // it does not read it
      const ScanOptions options{.dt_softplus = false, .chunk_size = chunk_size, .algorithm = algorithm};
      const ScanOutput<double> wide = ssd(in, options);
      const ScanOutput<float> got = ssd(narrow, options);
      for (const std::size_t head : {std::size_t{0}, std::size_t{1}}) {
        INFO("algorithm " << static_cast<int>(algorithm) << ", chunk size " << chunk_size << ", head " << head);
        const auto of_head = [&](const auto& t) -> Tensor<double, 3> {
          return xt::cast<double>(xt::view(t, xt::all(), xt::all(), head));
        };
        const auto state = [&](const auto& t) -> Tensor<double, 3> {
          return xt::cast<double>(xt::view(t, xt::all(), head));
        };
        CHECK(relative_error(of_head(wide.y), of_head(want.y)) < 1e-12);
        CHECK(relative_error(state(wide.last_state), state(want.last_state)) < 1e-12);
        CHECK(relative_error(of_head(got.y), of_head(want.y)) < float_tolerance);
        CHECK(relative_error(state(got.last_state), state(want.last_state)) < float_tolerance);
      }
    }
}

}  // namespace

TEST_CASE("64k tokens, decay so strong that nothing is left after a step", "[ssd]") {
  check_long(long_input(-300), 2e-6);
}

TEST_CASE("64k tokens, decay so strong that every product underflows", "[ssd]") {
  check_long(long_input(-1e30), 2e-6);
}

TEST_CASE("64k tokens, hardly any decay", "[ssd]") {
  check_long(long_input(-1e-7), 2e-5);
}

TEST_CASE("64k tokens, no decay at all", "[ssd]") {
  check_long(long_input(0), 2e-5);
}

TEST_CASE("64k tokens, one step in a hundred forgets everything", "[ssd]") {
  ScanInput<double> in = long_input(-1);
  for (std::size_t t = 0; t < kLong; t += 100) in.dt(0, t, 0) = 20000, in.x(0, t, 0, 0) = in.x(0, t, 0, 1) = 1e-5;
  for (std::size_t t = 0; t < kLong; ++t)
    if (t % 100 != 0) in.dt(0, t, 0) *= 0.01;
  check_long(in, 2e-5);
}
