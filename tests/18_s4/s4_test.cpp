#include <mamba2/error.hpp>
#include <mamba2/hippo.hpp>
#include <mamba2/s4_kernel.hpp>
#include <mamba2/s4d.hpp>
#include <support/catch.hpp>
#include <support/testing.hpp>

#include <algorithm>
#include <array>
#include <cmath>
#include <span>
#include <vector>

using mamba2::Complex;
using mamba2::ShapeError;
using mamba2::Tensor;
using mamba2::ValueError;
using mamba2::zeros;
using testing::message_of;
using testing::random_tensor;
using testing::relative_error;

namespace {

mamba2::LinearSystem<double> legs(const Tensor<double, 1>& C) {
  return {mamba2::legs_matrix(C.size()), mamba2::legs_input(C.size()), C};
}

// The mean over [-1, 1] of a polynomial of degree below 20, exact: Gauss's rule of ten points.
template <class Function>
double mean(const Function& f) {
  const std::array<double, 5> z{0.1488743389816312, 0.4333953941292472, 0.6794095682990244, 0.8650633666889845,
                                0.9739065285171717},
      w{0.2955242247147529, 0.2692667193099963, 0.2190863625159820, 0.1494513491505806, 0.0666713443086881};
  double sum = 0;
  for (std::size_t i = 0; i < 5; ++i) sum += w[i] / 2 * (f(z[i]) + f(-z[i]));
  return sum;
}

mamba2::S4DConfig config(std::size_t channels, std::size_t d_state, mamba2::S4DInitial initial) {
  return {.channels = channels, .d_state = d_state, .initial = initial, .dt_min = 0.01, .dt_max = 0.2};
}

mamba2::S4DParameters first_values(const mamba2::S4DConfig& c) {
  mamba2::S4DParameters p;
  set_zero(c, p);
  mamba2::Random random(3);
  walk(c, [&](const mamba2::ParameterInfo& info, std::span<double> values) { draw(info, random, values); }, p);
  return p;
}

}  // namespace

TEST_CASE("the polynomials are orthogonal, of mean square one, and known at the ends") {
  const std::size_t N = 9;
  for (std::size_t n = 0; n < N; ++n)
    for (std::size_t m = 0; m < N; ++m) {
      const double product = mean([&](double z) { return mamba2::legendre(N, z)(n) * mamba2::legendre(N, z)(m); });
      CHECK(product == Approx(n == m ? 1 : 0).margin(1e-13));
    }
  CHECK(mamba2::legendre(3, 0.5)(2) == Approx(std::sqrt(5.0) * (3 * 0.25 - 1) / 2).epsilon(1e-15));
  CHECK(mamba2::legendre(4, -1)(3) == Approx(-std::sqrt(7.0)).epsilon(1e-15));
  CHECK(mamba2::legendre(0, 0.3).size() == 0);
}

// With the clock of its own time LegS is h' = A h + B x, and after an impulse its state holds e^{-s} p_n(2 e^{-s} - 1).
TEST_CASE("LegS's state after an impulse is known in closed form") {
  const std::size_t N = 8;
  const auto A = mamba2::legs_matrix(N);
  const auto B = mamba2::legs_input(N);
  for (const double s : {0.0, 0.1, 1.0, 3.0}) {
    const Tensor<double, 2> scaled = A * s;
    const auto exponential = mamba2::matrix_exponential(scaled);
    const auto want = mamba2::legendre(N, 2 * std::exp(-s) - 1);
    for (std::size_t n = 0; n < N; ++n) {
      double h = 0;
      for (std::size_t k = 0; k < N; ++k) h += exponential(n, k) * B(k);
      CHECK(h == Approx(std::exp(-s) * want(n)).margin(1e-11));
    }
  }
}

TEST_CASE("LegS's memory holds the projection of all that came") {
  const std::size_t N = 5;
  CHECK(relative_error(mamba2::legs_memory({3, 3, 3}, 2), Tensor<double, 2>{{3, 0}, {3, 0}, {3, 0}}) < 1e-15);
  CHECK(mamba2::legs_memory(zeros<double>(0), 2).shape(0) == 0);
  double last = 0;
  for (const std::size_t T : {400u, 800u}) {
    auto x = zeros<double>(T);
    for (std::size_t t = 0; t < T; ++t) {
      const double s = (2 * double(t) + 1) / double(T) - 1;
      x(t) = 1 - s + 2 * s * s * s;
    }
    const Tensor<double, 1> c = xt::row(mamba2::legs_memory(x, N), int(T) - 1);
    double error = 0;
    for (std::size_t n = 0; n < N; ++n) {
      const double want = mean([&](double z) { return (1 - z + 2 * z * z * z) * mamba2::legendre(N, z)(n); });
      error = std::max(error, std::abs(c(n) - want));
    }
    CHECK(error < 8.0 / double(T));
    if (last > 0) CHECK(last / error == Approx(2).epsilon(0.2));
    last = error;
    CHECK(relative_error(mamba2::recall(c, T), x) < 8.0 / double(T));
  }
}

TEST_CASE("S4's kernel is the naive one") {
  for (const std::size_t N : {1u, 2u, 7u, 32u})
    for (const std::size_t T : {1u, 2u, 7u, 100u, 513u})
      for (const double dt : {0.001, 0.1}) {
        const auto C = random_tensor<double, 1>({N}, 20);
        const auto model = mamba2::legs_diagonal_plus_low_rank(C);
        const auto want = mamba2::linear_kernel(mamba2::discretize_bilinear(legs(C), dt), T);
        CHECK(relative_error(mamba2::s4_kernel(model, dt, T), want) < 1e-10);
        CHECK(relative_error(mamba2::linear_kernel(mamba2::discretize_bilinear(mamba2::written_out(model), dt), T),
                             want) < 1e-10);
      }
  CHECK(mamba2::s4_kernel(mamba2::legs_diagonal_plus_low_rank({1, 2}), 0.1, 0).size() == 0);
}

TEST_CASE("LegS's normal part has the real part one half and frequencies in pairs") {
  const std::size_t N = 10;
  const auto model = mamba2::legs_diagonal_plus_low_rank(random_tensor<double, 1>({N}, 21));
  for (std::size_t n = 0; n < N; ++n) {
    CHECK(model.Lambda(n).real() == -0.5);
    CHECK(model.Lambda(n).imag() == Approx(-model.Lambda(N - 1 - n).imag()).epsilon(1e-12));
  }
}

TEST_CASE("S4 models of other shapes are refused") {
  auto model = mamba2::legs_diagonal_plus_low_rank({1, 2, 3});
  CHECK_THROWS_AS(mamba2::s4_kernel(model, 0, 5), ValueError);
  model.P = zeros<Complex>(2);
  CHECK(message_of<ShapeError>([&] { mamba2::s4_kernel(model, 0.1, 5); }) ==
        "P: expected shape (d_state) = (3), got (2)");
}

TEST_CASE("the Vandermonde product is the sum of powers") {
  const Tensor<Complex, 1> w{Complex(1, 2), Complex(-0.5, 0.1), 2}, E{Complex(0.9, 0.3), Complex(0, -0.99), 0.5};
  const auto K = mamba2::vandermonde_kernel(w, E, 50);
  for (std::size_t k = 0; k < 50; ++k) {
    Complex sum = 0;
    for (std::size_t n = 0; n < 3; ++n) sum += w(n) * std::pow(E(n), double(k));
    CHECK(K(k) == Approx(2 * sum.real()).margin(1e-13));
  }
  CHECK_THROWS_AS(mamba2::vandermonde_kernel(w, {1.0}, 5), ShapeError);
}

TEST_CASE("what the rates of S4D start from") {
  using enum mamba2::S4DInitial;
  const std::size_t N = 64;
  const auto legs_rates = mamba2::s4d_rates(legs, N), inverse_rates = mamba2::s4d_rates(inverse, N);
  std::vector<double> a, b;
  for (std::size_t n = 0; n < N / 2; ++n) {
    CHECK(legs_rates(n).real() == -0.5);
    CHECK(inverse_rates(n).real() == -0.5);
    a.push_back(legs_rates(n).imag());
    b.push_back(inverse_rates(n).imag());
  }
  std::sort(a.begin(), a.end());
  std::sort(b.begin(), b.end());
  CHECK(a.front() > 0);
  CHECK(a.back() == Approx(b.back()).epsilon(0.03));  // the highest frequency, N^2 / pi
  CHECK(a[N / 2 - 2] == Approx(b[N / 2 - 2]).epsilon(0.05));
  CHECK(mamba2::s4d_rates(linear, 8)(3) == Complex(-0.5, 3 * 3.14159265358979323846));
  for (std::size_t n = 0; n < 4; ++n) CHECK(mamba2::s4d_rates(real, 8)(n) == mamba2::legs_matrix(8)(n, n));
  CHECK_THROWS_AS(mamba2::s4d_rates(linear, 7), ValueError);
}

TEST_CASE("first values of a layer of S4D") {
  const auto p = first_values(config(200, 4, mamba2::S4DInitial::linear));
  double low = 1, high = 0;
  for (const double log_dt : p.log_dt) {
    low = std::min(low, std::exp(log_dt));
    high = std::max(high, std::exp(log_dt));
  }
  CHECK((low >= 0.01 && low < 0.012 && high < 0.2 && high > 0.17));
  CHECK(p.A_log(7, 1) == Approx(std::log(0.5)));
  CHECK(p.frequency(7, 1) == Approx(3.14159265358979));
  double square = 0;
  for (const double c : p.C) square += c * c / 400;
  CHECK(square == Approx(1).epsilon(0.1));
  CHECK_THROWS_AS(first_values(config(0, 4, mamba2::S4DInitial::real)), ValueError);
  CHECK_THROWS_AS(first_values(config(1, 3, mamba2::S4DInitial::real)), ValueError);
  CHECK_THROWS_AS(parameter_list(mamba2::S4DConfig{.dt_min = 0.2}), ValueError);
}

// Each pair of conjugates is a system of two real numbers.
TEST_CASE("S4D's kernel is that of a real system, and of its recurrence") {
  for (const auto initial : {mamba2::S4DInitial::legs, mamba2::S4DInitial::linear, mamba2::S4DInitial::real}) {
    const std::size_t channels = 2, pairs = 3, T = 45;
    const auto p = first_values(config(channels, 2 * pairs, initial));
    const auto K = mamba2::s4d_kernel(p, T);
    auto impulse = zeros<double>(channels, T);
    for (std::size_t c = 0; c < channels; ++c) {
      impulse(c, 0) = 1;
      mamba2::LinearSystem<double> system{zeros<double>(2 * pairs, 2 * pairs), zeros<double>(2 * pairs),
                                          zeros<double>(2 * pairs)};
      for (std::size_t n = 0; n < pairs; ++n) {
        system.A(2 * n, 2 * n) = system.A(2 * n + 1, 2 * n + 1) = -std::exp(p.A_log(c, n));
        system.A(2 * n + 1, 2 * n) = p.frequency(c, n);
        system.A(2 * n, 2 * n + 1) = -p.frequency(c, n);
        system.B(2 * n) = 1;
        system.C(2 * n) = 2 * p.C(c, n, 0);
        system.C(2 * n + 1) = -2 * p.C(c, n, 1);
      }
      const auto discrete = mamba2::discretize_zero_order_hold(system, std::exp(p.log_dt(c)));
      const Tensor<double, 1> got = xt::row(K, int(c));
      CHECK(relative_error(got, mamba2::linear_kernel(discrete, T)) < 1e-12);
    }
    CHECK(relative_error(mamba2::s4d_recurrent(p, impulse), K) < 1e-13);
  }
  CHECK_THROWS_AS(mamba2::s4d_recurrent(first_values(config(2, 4, mamba2::S4DInitial::real)), zeros<double>(3, 9)),
                  ShapeError);
}

TEST_CASE("S4D's gradients are those of central differences") {
  for (const auto initial : {mamba2::S4DInitial::inverse, mamba2::S4DInitial::real}) {
    const auto c = config(2, 6, initial);
    const std::size_t T = 31;
    auto p = first_values(c);
    const auto weights = random_tensor<double, 2>({2, T}, 30);
    const auto loss = [&] {
      const auto K = mamba2::s4d_kernel(p, T);
      double sum = 0;
      for (std::size_t i = 0; i < K.size(); ++i) sum += weights.data()[i] * K.data()[i];
      return sum;
    };
    mamba2::S4DParameters gradient;
    set_zero(c, gradient);
    mamba2::s4d_kernel_gradient(p, weights, gradient);
    walk(
        c,
        [&](const mamba2::ParameterInfo& info, std::span<double> values, std::span<double> got) {
          for (std::size_t i = 0; i < values.size(); ++i) {
            const double step = 1e-5, value = values[i];
            values[i] = value + step;
            const double above = loss();
            values[i] = value - step;
            const double below = loss();
            values[i] = value;
            INFO(info.name << " " << i);
            CHECK(got[i] == Approx((above - below) / (2 * step)).epsilon(1e-7).margin(1e-8));
          }
        },
        p, gradient);
    const auto once = gradient;
    mamba2::s4d_kernel_gradient(p, weights, gradient);  // added to
    CHECK(gradient.C(1, 2, 1) == Approx(2 * once.C(1, 2, 1)));
    gradient.A_log = zeros<double>(2, 4);
    CHECK_THROWS_AS(mamba2::s4d_kernel_gradient(p, weights, gradient), ShapeError);
  }
}
