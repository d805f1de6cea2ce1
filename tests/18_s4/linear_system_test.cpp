#include <mamba2/error.hpp>
#include <mamba2/fourier.hpp>
#include <mamba2/linear_system.hpp>
#include <mamba2/ssm.hpp>
#include <support/catch.hpp>
#include <support/testing.hpp>

#include <cmath>
#include <numbers>
#include <thread>
#include <vector>

using mamba2::Complex;
using mamba2::ShapeError;
using mamba2::Tensor;
using mamba2::ValueError;
using mamba2::zeros;
using testing::message_of;
using testing::random_tensor;
using testing::relative_error;
using System = mamba2::LinearSystem<double>;

namespace {

System random_system(std::size_t N) {
  return {random_tensor<double, 2>({N, N}, 1), random_tensor<double, 1>({N}, 2), random_tensor<double, 1>({N}, 3)};
}

// h' = A h + B over a time of dt from the given state, in small steps of the rule of Runge and Kutta.
Tensor<double, 1> solved(const System& s, Tensor<double, 1> h, double input, double dt) {
  const std::size_t N = h.size(), steps = 200;
  const auto rate = [&](const Tensor<double, 1>& at) {
    auto r = zeros<double>(N);
    for (std::size_t n = 0; n < N; ++n) {
      r(n) = s.B(n) * input;
      for (std::size_t m = 0; m < N; ++m) r(n) += s.A(n, m) * at(m);
    }
    return r;
  };
  const double d = dt / double(steps);
  for (std::size_t i = 0; i < steps; ++i) {
    const Tensor<double, 1> k1 = rate(h);
    const Tensor<double, 1> at2 = h + d / 2 * k1, k2 = rate(at2);
    const Tensor<double, 1> at3 = h + d / 2 * k2, k3 = rate(at3);
    const Tensor<double, 1> at4 = h + d * k3, k4 = rate(at4);
    h += d / 6 * (k1 + 2 * k2 + 2 * k3 + k4);
  }
  return h;
}

}  // namespace

TEST_CASE("a matrix that is a number times one is the model of a single decay") {
  const std::size_t T = 23, N = 4;
  System s{zeros<double>(N, N), random_tensor<double, 1>({N}, 2), random_tensor<double, 1>({N}, 3)};
  for (std::size_t n = 0; n < N; ++n) s.A(n, n) = 0.8;
  const auto x = random_tensor<double, 2>({T, 1}, 4);
  auto A_bar = zeros<double>(T);
  auto B = zeros<double>(T, N), C = B;
  for (std::size_t t = 0; t < T; ++t) {
    A_bar(t) = 0.8;
    for (std::size_t n = 0; n < N; ++n) B(t, n) = s.B(n), C(t, n) = s.C(n);
  }
  const Tensor<double, 1> inputs = xt::col(x, 0), want = xt::col(mamba2::ssm_recurrent(x, A_bar, B, C), 0);
  CHECK(relative_error(mamba2::linear_recurrent(s, inputs), want) < 1e-14);
  CHECK(relative_error(mamba2::linear_kernel(s, T), mamba2::ssm_kernel(0.8, s.B, s.C, T)) < 1e-14);
}

TEST_CASE("the kernel is C A^k B, and the recurrence its convolution") {
  const System s = mamba2::discretize_bilinear(random_system(3), 0.3);
  const auto K = mamba2::linear_kernel(s, 9);
  Tensor<double, 1> power = s.B;
  for (std::size_t k = 0; k < 9; ++k) {
    CHECK(K(k) == Approx(s.C(0) * power(0) + s.C(1) * power(1) + s.C(2) * power(2)).epsilon(1e-12));
    const Tensor<double, 1> old = power;
    for (std::size_t n = 0; n < 3; ++n) power(n) = s.A(n, 0) * old(0) + s.A(n, 1) * old(1) + s.A(n, 2) * old(2);
  }
  const auto x = random_tensor<double, 2>({40, 1}, 5);
  const Tensor<double, 1> inputs = xt::col(x, 0);
  const Tensor<double, 1> want = xt::col(mamba2::causal_convolution(x, mamba2::linear_kernel(s, 40)), 0);
  CHECK(relative_error(mamba2::linear_recurrent(s, inputs), want) < 1e-13);
  CHECK(mamba2::linear_kernel(s, 0).size() == 0);
}

TEST_CASE("the exponential of a matrix") {
  const double a = 1.3;
  const auto turned = mamba2::matrix_exponential({{0, -a}, {a, 0}});
  CHECK(relative_error(turned, Tensor<double, 2>{{std::cos(a), -std::sin(a)}, {std::sin(a), std::cos(a)}}) < 1e-15);
  CHECK(relative_error(mamba2::matrix_exponential({{0, 2, 0}, {0, 0, 3}, {0, 0, 0}}),
                       Tensor<double, 2>{{1, 2, 3}, {0, 1, 3}, {0, 0, 1}}) < 1e-15);
  CHECK(relative_error(mamba2::matrix_exponential({{-40, 0}, {0, 20}}),
                       Tensor<double, 2>{{std::exp(-40.0), 0}, {0, std::exp(20.0)}}) < 1e-13);
  CHECK(testing::same(mamba2::matrix_exponential(zeros<double>(3, 3)), Tensor<double, 2>(xt::eye<double>(3))));
  CHECK(message_of<ShapeError>([] { mamba2::matrix_exponential(zeros<double>(2, 3)); }) ==
        "M: expected shape (n, n) = (2, 2), got (2, 3)");
  CHECK_THROWS_AS(mamba2::matrix_exponential({{INFINITY}}), ValueError);
}

TEST_CASE("the zero-order hold is the solution of the differential equation") {
  for (const double dt : {0.01, 0.7}) {
    const System s = random_system(4), d = mamba2::discretize_zero_order_hold(s, dt);
    const auto h = random_tensor<double, 1>({4}, 6);
    const Tensor<double, 1> after = solved(s, h, 1.5, dt);
    for (std::size_t n = 0; n < 4; ++n) {
      double got = 1.5 * d.B(n);
      for (std::size_t m = 0; m < 4; ++m) got += d.A(n, m) * h(m);
      CHECK(got == Approx(after(n)).epsilon(1e-9));
    }
    CHECK(testing::same(d.C, s.C));
  }
  // Position and speed, without a spring: A is singular.
  const System free = mamba2::discretize_zero_order_hold({{{0, 1}, {0, 0}}, {0, 1}, {1, 0}}, 0.5);
  CHECK(relative_error(free.B, Tensor<double, 1>{0.125, 0.5}) < 1e-15);
}

TEST_CASE("the bilinear rule is off by the cube of the step, and solves its equation") {
  const System s = random_system(3);
  double last = 0;
  for (const double dt : {0.1, 0.05, 0.025}) {
    const System exact = mamba2::discretize_zero_order_hold(s, dt), d = mamba2::discretize_bilinear(s, dt);
    const double error = relative_error(d.A, exact.A);
    if (last > 0) CHECK(last / error == Approx(8).epsilon(0.1));
    last = error;
    // The new state minus the old one is dt times the mean of the rates: A_bar - 1 = dt/2 A (A_bar + 1), B_bar = dt/2 A B_bar + dt B.
    for (std::size_t n = 0; n < 3; ++n) {
      double input = dt * s.B(n);
      for (std::size_t m = 0; m < 3; ++m) input += dt / 2 * s.A(n, m) * d.B(m);
      CHECK(d.B(n) == Approx(input).epsilon(1e-13));
      for (std::size_t k = 0; k < 3; ++k) {
        double mean = n == k ? 1 : 0;
        for (std::size_t m = 0; m < 3; ++m) mean += dt / 2 * s.A(n, m) * (d.A(m, k) + (m == k ? 1 : 0));
        CHECK(d.A(n, k) == Approx(mean).epsilon(1e-13));
      }
    }
  }
}

TEST_CASE("a complex rate is a rotation and a decay of two real numbers") {
  const double a = -0.4, w = 2.5, dt = 0.3;
  const System s{{{a, -w}, {w, a}}, {1, 0}, {1, 0}};
  const auto compare = [](const System& real, const mamba2::Discretized<Complex>& complex) {
    CHECK(complex.A_bar.real() == Approx(real.A(0, 0)).epsilon(1e-13));
    CHECK(complex.A_bar.imag() == Approx(real.A(1, 0)).epsilon(1e-13));
    CHECK(complex.B_bar.real() == Approx(real.B(0)).epsilon(1e-13));
    CHECK(complex.B_bar.imag() == Approx(real.B(1)).epsilon(1e-13));
  };
  compare(mamba2::discretize_zero_order_hold(s, dt), mamba2::discretize_zero_order_hold(Complex(a, w), dt));
  compare(mamba2::discretize_bilinear(s, dt), mamba2::discretize_bilinear(Complex(a, w), dt));
}

TEST_CASE("the complex zero-order hold loses no digits where the step is small") {
  const Complex A(-0.5, 3);
  for (const double dt : {1e-3, 1e-6, 1e-12}) {
    const Complex z = dt * A, series = dt * (1.0 + z / 2.0 * (1.0 + z / 3.0 * (1.0 + z / 4.0 * (1.0 + z / 5.0))));
    CHECK(std::abs(mamba2::discretize_zero_order_hold(A, dt).B_bar - series) < 1e-15 * dt);
  }
  CHECK(mamba2::discretize_zero_order_hold(Complex(0), 0.25).B_bar == 0.25);
}

TEST_CASE("systems of other shapes and steps that go back are refused") {
  System s = random_system(3);
  CHECK_THROWS_AS(mamba2::discretize_bilinear(s, 0), ValueError);
  CHECK_THROWS_AS(mamba2::discretize_zero_order_hold(s, -1), ValueError);
  s.C = zeros<double>(4);
  CHECK(message_of<ShapeError>([&] { mamba2::linear_kernel(s, 5); }) == "C: expected shape (d_state) = (3), got (4)");
  s = random_system(3);
  s.A = zeros<double>(3, 2);
  CHECK_THROWS_AS(mamba2::discretize_bilinear(s, 0.1), ShapeError);
}

TEST_CASE("the transform is its definition, and turns back") {
  for (const std::size_t n : {1u, 2u, 3u, 7u, 8u, 30u}) {
    const mamba2::RealFourier transform(n);
    const auto v = random_tensor<double, 1>({n}, 7);
    const std::vector<Complex> got = transform.forward({v.data(), n});
    REQUIRE(got.size() == n / 2 + 1);
    for (std::size_t k = 0; k < got.size(); ++k) {
      Complex want = 0;
      for (std::size_t j = 0; j < n; ++j)
        want += v(j) * std::polar(1.0, -2 * std::numbers::pi * double(j * k % n) / double(n));
      CHECK(std::abs(got[k] - want) < 1e-13);
    }
    const std::vector<double> back = transform.backward(got);
    for (std::size_t j = 0; j < n; ++j) CHECK(back[j] == Approx(v(j)).margin(1e-14));
  }
  const mamba2::RealFourier transform(5);
  CHECK(transform.forward(std::vector<double>{3})[2].real() == 3);  // the rest counts as zero
  CHECK_THROWS_AS(transform.forward(std::vector<double>(6)), ShapeError);
  CHECK_THROWS_AS(transform.backward(std::vector<Complex>(4)), ShapeError);
  CHECK_THROWS_AS(mamba2::RealFourier(0), ValueError);
}

TEST_CASE("plans are made and used by several threads at a time") {
  const auto v = random_tensor<double, 1>({48}, 13);
  const mamba2::RealFourier shared(48);
  const std::vector<Complex> want = shared.forward({v.data(), 48});
  std::vector<int> right(3, 0);
  std::vector<std::thread> threads;
  for (int& mine : right)
    threads.emplace_back([&] {
      for (int i = 0; i < 30; ++i)
        mine += shared.forward({v.data(), 48}) == want && mamba2::RealFourier(48).forward({v.data(), 48}) == want;
    });
  for (std::thread& thread : threads) thread.join();
  CHECK(right == std::vector<int>{30, 30, 30});
}

TEST_CASE("convolution by Fourier transform is the direct sum") {
  for (const std::size_t T : {1u, 2u, 7u, 64u, 100u}) {
    const auto x = random_tensor<double, 2>({T, 1}, 8);
    const auto K = random_tensor<double, 1>({T}, 9);
    const Tensor<double, 1> inputs = xt::col(x, 0), want = xt::col(mamba2::causal_convolution(x, K), 0);
    CHECK(relative_error(mamba2::fft_convolution(inputs, K), want) < 1e-13);
  }
  CHECK(mamba2::fft_convolution(zeros<double>(0), zeros<double>(3)).size() == 0);
  const Tensor<double, 1> x{1, 2, 3}, shorter = mamba2::fft_convolution(x, {1, 10}),
                                      longer = mamba2::fft_convolution(x, {1, 10, 0, 7, 7});
  CHECK(relative_error(shorter, Tensor<double, 1>{1, 12, 23}) < 1e-15);
  CHECK(relative_error(longer, shorter) < 1e-15);
}

TEST_CASE("the correlation is the gradient of the convolution") {
  const std::size_t T = 37;
  const auto x = random_tensor<double, 1>({T}, 10), K = random_tensor<double, 1>({T}, 11),
             dy = random_tensor<double, 1>({T}, 12);
  auto want_K = zeros<double>(T), want_x = want_K;
  for (std::size_t t = 0; t < T; ++t)
    for (std::size_t k = 0; k <= t; ++k) {
      want_K(k) += dy(t) * x(t - k);
      want_x(t - k) += dy(t) * K(k);
    }
  CHECK(relative_error(mamba2::fft_correlation(dy, x), want_K) < 1e-13);
  CHECK(relative_error(mamba2::fft_correlation(dy, K), want_x) < 1e-13);
  CHECK_THROWS_AS(mamba2::fft_correlation(dy, zeros<double>(4)), ShapeError);
}
