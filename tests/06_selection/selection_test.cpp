#include <mamba2/activation.hpp>
#include <mamba2/selection.hpp>
#include <support/testing.hpp>

#include <algorithm>
#include <cmath>
#include <vector>

using namespace mamba2;

TEST_CASE("the generator is SplitMix64", "[selection]") {
  Random random(1234567);  // the sequence that its author publishes for this seed
  CHECK(random.bits() == 6457827717110365317u);
  CHECK(random.bits() == 3203168211198807973u);
  CHECK(random.bits() == 9817491932198370423u);
}

TEST_CASE("uniform numbers are uniform, normal ones normal", "[selection]") {
  Random random(1);
  const int count = 100000, bins = 20;
  std::vector<double> hits(bins);
  double sum = 0, squares = 0, fourth = 0;
  for (int i = 0; i < count; ++i) {
    const double u = random.uniform(), v = random.normal();
    REQUIRE((u >= 0 && u < 1));
    ++hits[static_cast<std::size_t>(u * bins)];
    sum += v;
    squares += v * v;
    fourth += v * v * v * v;
  }
  double chi_square = 0;
  for (const double h : hits) chi_square += (h - count / bins) * (h - count / bins) / (count / bins);
  CHECK(chi_square < 43.8);  // 19 degrees of freedom, exceeded once in 1000
  CHECK(std::abs(sum / count) < 0.01);
  CHECK(std::abs(squares / count - 1) < 0.02);
  CHECK(std::abs(fourth / count - 3) < 0.2);
  Random again(1), other(2);
  CHECK(Random(1).bits() == again.bits());
  CHECK(Random(1).bits() != other.bits());
}

TEMPLATE_TEST_CASE("inverse_softplus undoes the softplus, for small and for large numbers", "[selection]", float,
                   double) {
  const double tolerance = std::is_same_v<TestType, float> ? 1e-5 : 1e-13;
  for (const double y : {1e-9, 1e-6, 1e-3, 0.1, 0.7, 3.0, 15.0, 30.0, 1000.0}) {
    const double back = static_cast<double>(softplus(inverse_softplus(static_cast<TestType>(y))));
    // Above 20 the softplus is the identity, which is off by e^-20.
    CHECK(std::abs(back / y - 1) < std::max(tolerance, y > 20 ? 1e-9 : 0.0));
  }
}

TEST_CASE("rates are negative, whatever is learnt", "[selection]") {
  const Tensor<double, 1> A_log{-20, -1, 0, 1, 20};
  const auto A = rates(A_log);
  for (std::size_t h = 0; h < 5; ++h) {
    CHECK(A(h) < 0);
    CHECK(A(h) == -std::exp(A_log(h)));
  }
}

TEST_CASE("step sizes start log-uniform between their limits, and not below the floor", "[selection]") {
  Random random(3);
  auto bias = zeros<double>(4000);
  for (double& b : bias) b = initial_dt_bias(1e-3, 0.1, 1e-4, random);
  std::vector<double> logs;
  for (const double b : bias) logs.push_back(std::log10(softplus(b)));
  std::sort(logs.begin(), logs.end());
  CHECK(logs.front() >= -3 - 1e-9);
  CHECK(logs.back() <= -1 + 1e-9);
  for (int quarter = 1; quarter < 4; ++quarter)
    CHECK(std::abs(logs[static_cast<std::size_t>(1000 * quarter)] - (-3 + quarter * 0.5)) < 0.06);

  auto floored = zeros<double>(1000);
  for (double& b : floored) b = initial_dt_bias(1e-6, 1e-3, 1e-4, random);
  double least = 1;
  std::size_t at_floor = 0;
  for (const double b : floored) {
    least = std::min(least, softplus(b));
    at_floor += softplus(b) < 1.0001e-4 ? 1 : 0;
  }
  CHECK(std::abs(least / 1e-4 - 1) < 1e-9);
  CHECK(at_floor > 600);  // two of three decades
  CHECK(at_floor < 740);
}

TEST_CASE("rates start uniform between their limits", "[selection]") {
  Random random(4);
  auto A_log = zeros<double>(4000);
  for (double& a : A_log) a = initial_A_log(1, 16, random);
  const auto A = rates(A_log);
  double sum = 0;
  for (const double a : A) {
    REQUIRE((a <= -1 && a > -16));
    sum += a;
  }
  CHECK(std::abs(sum / 4000 + 8.5) < 0.2);
}
