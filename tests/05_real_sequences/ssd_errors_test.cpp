// Everything that the operator refuses, and in which words.
#include <mamba2/error.hpp>
#include <mamba2/ssd.hpp>
#include <support/catch.hpp>
#include <support/ssd_cases.hpp>

#include <functional>

using namespace mamba2;

namespace {

using In = ScanInput<double>;

// Sizes all different: (batch 2, seqlen 7, nheads 6, headdim 4, ngroups 3, d_state 5).
In good_input() {
  In in = testing::made_up_input({2, 7, 6, 4, 3, 5});
  in.seq_idx = Tensor<std::int64_t, 2>({2, 7}, 0);
  return in;
}

template <class Exception>
void check_refused(const In& in, const ScanOptions& options, const std::string& message) {
  for (const Algorithm algorithm : testing::kAlgorithms) {
    ScanOptions o = options;
    if (static_cast<int>(o.algorithm) <= 2) o.algorithm = algorithm;
    INFO(message);
    try {
      ssd(in, o);
      FAIL_CHECK("was not refused");
    } catch (const Exception& e) {
      CHECK(std::string(e.what()) == message);
    }
  }
}

void check_shape_refused(const std::function<void(In&)>& spoil, const std::string& message) {
  In in = good_input();
  spoil(in);
  check_refused<ShapeError>(in, {}, message);
}

}  // namespace

TEST_CASE("the good input of these tests is accepted", "[ssd][errors]") {
  CHECK_NOTHROW(ssd(good_input()));
}

TEST_CASE("wrong shapes are refused by name", "[ssd][errors]") {
  check_shape_refused([](In& in) { in.dt = zeros<double>(2, 8, 6); },
                      "dt: expected shape (batch, seqlen, nheads) = (2, 7, 6), got (2, 8, 6)");
  check_shape_refused([](In& in) { in.dt = zeros<double>(2, 7, 3); },
                      "dt: expected shape (batch, seqlen, nheads) = (2, 7, 6), got (2, 7, 3)");
  check_shape_refused([](In& in) { in.dt = zeros<double>(1, 7, 6); },
                      "dt: expected shape (batch, seqlen, nheads) = (2, 7, 6), got (1, 7, 6)");
  check_shape_refused([](In& in) { in.A = zeros<double>(4); }, "A: expected shape (nheads) = (6), got (4)");
  check_shape_refused([](In& in) { in.A = zeros<double>(1); }, "A: expected shape (nheads) = (6), got (1)");
  check_shape_refused([](In& in) { in.B = zeros<double>(2, 8, 3, 5); },
                      "B: expected shape (batch, seqlen, ngroups, d_state) = (2, 7, 3, 5), got (2, 8, 3, 5)");
  check_shape_refused([](In& in) { in.B = zeros<double>(3, 7, 3, 5); },
                      "B: expected shape (batch, seqlen, ngroups, d_state) = (2, 7, 3, 5), got (3, 7, 3, 5)");
  check_shape_refused([](In& in) { in.C = zeros<double>(2, 7, 3, 4); },
                      "C: expected shape (batch, seqlen, ngroups, d_state) = (2, 7, 3, 5), got (2, 7, 3, 4)");
  check_shape_refused([](In& in) { in.C = zeros<double>(2, 7, 6, 5); },
                      "C: expected shape (batch, seqlen, ngroups, d_state) = (2, 7, 3, 5), got (2, 7, 6, 5)");
  check_shape_refused([](In& in) { in.D = zeros<double>(6, 3); },
                      "D: expected shape (nheads, 1 or headdim) = (6, 4), got (6, 3)");
  check_shape_refused([](In& in) { in.D = zeros<double>(1, 1); },
                      "D: expected shape (nheads, 1 or headdim) = (6, 1), got (1, 1)");
  check_shape_refused([](In& in) { in.z = zeros<double>(2, 7, 4, 6); },
                      "z: expected shape (batch, seqlen, nheads, headdim) = (2, 7, 6, 4), got (2, 7, 4, 6)");
  check_shape_refused([](In& in) { in.dt_bias = zeros<double>(7); }, "dt_bias: expected shape (nheads) = (6), got (7)");
  check_shape_refused(
      [](In& in) { in.initial_state = zeros<double>(2, 6, 5, 4); },
      "initial_state: expected shape (batch, nheads, headdim, d_state) = (2, 6, 4, 5), got (2, 6, 5, 4)");
  check_shape_refused(
      [](In& in) { in.initial_state = zeros<double>(1, 6, 4, 5); },
      "initial_state: expected shape (batch, nheads, headdim, d_state) = (2, 6, 4, 5), got (1, 6, 4, 5)");
  check_shape_refused([](In& in) { in.seq_idx = Tensor<std::int64_t, 2>({7, 2}, 0); },
                      "seq_idx: expected shape (batch, seqlen) = (2, 7), got (7, 2)");
  check_shape_refused([](In& in) { in.x = zeros<double>(2, 6, 6, 4); },
                      "dt: expected shape (batch, seqlen, nheads) = (2, 6, 6), got (2, 7, 6)");
}

TEST_CASE("groups must divide heads", "[ssd][errors]") {
  check_shape_refused([](In& in) { in.B = in.C = zeros<double>(2, 7, 4, 5); },
                      "B: expected ngroups to divide nheads = 6, got ngroups = 4");
  check_shape_refused([](In& in) { in.B = in.C = zeros<double>(2, 7, 12, 5); },
                      "B: expected ngroups to divide nheads = 6, got ngroups = 12");
}

TEST_CASE("a model without heads, channels, groups or state is refused", "[ssd][errors]") {
  check_shape_refused([](In& in) { in.x = zeros<double>(2, 7, 0, 4); },
                      "x: expected nheads of at least 1, got shape (2, 7, 0, 4)");
  check_shape_refused([](In& in) { in.x = zeros<double>(2, 7, 6, 0); },
                      "x: expected headdim of at least 1, got shape (2, 7, 6, 0)");
  check_shape_refused([](In& in) { in.B = in.C = zeros<double>(2, 7, 0, 5); },
                      "B: expected ngroups of at least 1, got shape (2, 7, 0, 5)");
  check_shape_refused([](In& in) { in.B = in.C = zeros<double>(2, 7, 3, 0); },
                      "B: expected d_state of at least 1, got shape (2, 7, 3, 0)");
  check_shape_refused([](In& in) { in = In{}; }, "x: expected nheads of at least 1, got shape (0, 0, 0, 0)");
}

TEST_CASE("invalid options are refused by name", "[ssd][errors]") {
  constexpr double nan = std::numeric_limits<double>::quiet_NaN(), inf = std::numeric_limits<double>::infinity();
  const auto refused = [](const ScanOptions& options, const std::string& message) {
    check_refused<ValueError>(good_input(), options, message);
  };
  refused({.chunk_size = 0}, "chunk_size: expected at least 1, got 0");
  refused({.dt_min = -0.5}, "dt_min: expected a finite number of at least 0, got -0.500000");
  refused({.dt_min = nan}, "dt_min: expected a finite number of at least 0, got nan");
  refused({.dt_min = inf}, "dt_min: expected a finite number of at least 0, got inf");
  refused({.dt_min = 0.5, .dt_max = 0.25}, "dt_max: expected at least dt_min = 0.500000, got 0.250000");
  refused({.dt_max = -1}, "dt_max: expected at least dt_min = 0.000000, got -1.000000");
  refused({.dt_max = nan}, "dt_max: expected at least dt_min = 0.000000, got nan");
  refused({.algorithm = static_cast<Algorithm>(3)}, "algorithm: expected recurrent, quadratic or chunked, got 3");
  CHECK_NOTHROW(ssd(good_input(), {.dt_min = 0.5, .dt_max = 0.5}));
}
