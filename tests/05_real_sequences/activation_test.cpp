// softplus and silu at the places where formulas break.
#include <mamba2/activation.hpp>
#include <support/catch.hpp>

#include <cmath>
#include <limits>

using mamba2::silu;
using mamba2::softplus;

TEST_CASE("softplus is log(1 + e^x)", "[activation]") {
  for (double x = -30; x <= 30; x += 0.37) {
    const double exact = static_cast<double>(std::log1p(std::exp(static_cast<long double>(x))));
    INFO("x = " << x);
    CHECK(softplus(x) == Approx(exact).epsilon(3e-9));  // the identity above 20 is off by e^-20 = 2e-9
    CHECK(softplus(static_cast<float>(x)) == Approx(exact).epsilon(5e-6));
  }
  CHECK(softplus(0.0) == Approx(std::log(2.0)).epsilon(1e-15));
  CHECK(softplus(-1.5) == Approx(0.20141327798275246).epsilon(1e-15));
}

TEST_CASE("softplus is the identity above 20, and only there", "[activation]") {
  CHECK(softplus(20.5) == 20.5);
  CHECK(softplus(1e300) == 1e300);
  CHECK(softplus(1e38f) == 1e38f);
  CHECK(softplus(19.5) > 19.5);
  CHECK(softplus(20.0) > 20.0);
}

TEST_CASE("softplus keeps small results, and is zero in the end", "[activation]") {
  CHECK(softplus(-50.0) == Approx(std::exp(-50.0)).epsilon(1e-14));  // log(1 + e^-50) would be 0
  CHECK(softplus(-80.0f) > 0.0f);
  CHECK(softplus(-std::numeric_limits<double>::infinity()) == 0.0);
  CHECK(std::isnan(softplus(std::numeric_limits<double>::quiet_NaN())));
}

TEST_CASE("silu is x times the logistic function", "[activation]") {
  for (double x = -30; x <= 30; x += 0.41) {
    const long double wide = x, exact = wide / (1 + std::exp(-wide));
    INFO("x = " << x);
    CHECK(silu(x) == Approx(static_cast<double>(exact)).epsilon(1e-14));
    CHECK(silu(static_cast<float>(x)) == Approx(static_cast<double>(exact)).epsilon(1e-5));
  }
  CHECK(silu(0.0) == 0.0);
  CHECK(silu(1.0) == Approx(0.7310585786300049).epsilon(1e-15));
  CHECK(silu(-1000.0) == 0.0);
  CHECK(silu(-1000.0f) == 0.0f);
  CHECK(silu(1000.0) == 1000.0);
  CHECK(std::isnan(silu(std::numeric_limits<double>::quiet_NaN())));
}
