// The grader of this chapter.
#include "exercises.hpp"

#include <exercises/grader.hpp>
#include <mamba2/hippo.hpp>
#include <mamba2/linear_system.hpp>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <string>
#include <vector>

namespace {

using exercises::Complex;
using mamba2::Tensor;
using mamba2::zeros;

double number(std::size_t k) {  // without a pattern, the same on every machine
  return std::sin(7.3 * double(k + 1));
}

Tensor<double, 1> parts(const std::vector<Complex>& values) {
  auto both = zeros<double>(2 * values.size());
  for (std::size_t i = 0; i < values.size(); ++i) {
    both(2 * i) = values[i].real();
    both(2 * i + 1) = values[i].imag();
  }
  return both;
}

}  // namespace

GRADE(1, "the bilinear rule in tune") {
  const std::vector<std::array<double, 3>> cases{
      {-0.5, 2, 0.5}, {-0.5, 0, 1}, {-0.1, 30, 0.1}, {-3, 1, 0.01}};
  for (const auto& [re, im, dt] : cases) {
    const Complex A(re, im), yours = exercises::in_tune(A, dt);
    grader::given("real part of A", re, "imaginary part", im, "dt", dt);
    grader::expect_close(parts({mamba2::discretize_bilinear(yours, dt).A_bar}),
                         parts({std::exp(dt * A)}),
                         "what the bilinear rule makes of your rate, real and imaginary part");
  }
}

GRADE(2, "a kernel by the bilinear rule") {
  for (const std::size_t pairs : {1u, 3u}) {
    const std::size_t T = 9;
    auto A = zeros<Complex>(pairs), B = A, C = A;
    mamba2::LinearSystem<double> real{zeros<double>(2 * pairs, 2 * pairs), zeros<double>(2 * pairs),
                                      zeros<double>(2 * pairs)};
    for (std::size_t n = 0; n < pairs;
         ++n) {  // each pair of conjugates is a system of two real numbers
      A(n) = Complex(-0.3 - double(n), 1.5 + 2 * double(n));
      B(n) = Complex(number(n), number(n + 10));
      C(n) = Complex(number(n + 20), number(n + 30));
      const std::size_t q = 2 * n, v = q + 1;
      real.A(q, q) = real.A(v, v) = A(n).real();
      real.A(v, q) = A(n).imag();
      real.A(q, v) = -A(n).imag();
      real.B(q) = B(n).real(), real.B(v) = B(n).imag();
      real.C(q) = 2 * C(n).real(), real.C(v) = -2 * C(n).imag();
    }
    const auto expected = mamba2::linear_kernel(mamba2::discretize_bilinear(real, 0.4), T);
    grader::given("pairs", pairs, "dt", 0.4, "seqlen", T);
    grader::expect_close(exercises::bilinear_kernel(A, B, C, 0.4, T), expected,
                         "the kernel, " + std::to_string(pairs) + (pairs == 1 ? " pair" : " pairs"));
  }
}

namespace {

void check_pieces(const std::vector<std::size_t>& lengths, std::size_t L, const std::string& what) {
  std::vector<double> K(L), x, expected, yours, owed, other;
  for (std::size_t k = 0; k < L; ++k) K[k] = number(k + 50);
  for (const std::size_t length : lengths)
    for (std::size_t i = 0; i < length; ++i) x.push_back(number(x.size()));
  for (std::size_t t = 0; t < x.size(); ++t) {
    expected.push_back(0);
    for (std::size_t k = 0; k < L && k <= t; ++k) expected[t] += K[k] * x[t - k];
  }
  std::size_t at = 0;
  for (const std::size_t length : lengths) {
    const auto from = x.begin() + std::ptrdiff_t(at);
    const auto y = exercises::next_piece(owed, {from, from + std::ptrdiff_t(length)}, K);
    grader::expect(y.size() == length, "a piece of " + std::to_string(length) + " inputs has " +
                                           std::to_string(length) + " outputs, yours has " +
                                           std::to_string(y.size()));
    yours.insert(yours.end(), y.begin(), y.end());
    at += length;
    exercises::next_piece(other, {100.0}, K);  // another sequence runs beside it
  }
  grader::given("K", K, "x", x);
  grader::expect_close(yours, expected, "y, " + what);
}

}  // namespace

GRADE(3, "a convolution in pieces") {
  check_pieces({4, 4}, 3, "two pieces of 4, a kernel of 3");
}

GRADE(3, "a convolution in pieces: short ones, empty ones, long kernels") {
  check_pieces({2, 1, 1, 0, 3, 1}, 6, "pieces of 2, 1, 1, 0, 3 and 1, a kernel of 6");
  check_pieces({1, 9, 2}, 1, "pieces of 1, 9 and 2, a kernel of 1");
}

namespace {

// The coefficients of the first polynomials of Legendre, each of mean square 1.
Tensor<double, 2> legendre_coefficients(std::size_t N) {
  auto p = zeros<double>(N, N);
  p(0, 0) = 1;
  if (N > 1) p(1, 1) = 1;
  for (std::size_t n = 1; n + 1 < N; ++n)
    for (std::size_t j = 0; j < N; ++j) {
      const double shifted = j > 0 ? p(n, j - 1) : 0;
      p(n + 1, j) = ((2 * double(n) + 1) * shifted - double(n) * p(n - 1, j)) / double(n + 1);
    }
  for (std::size_t n = 0; n < N; ++n)
    for (std::size_t j = 0; j < N; ++j) p(n, j) *= std::sqrt(2 * double(n) + 1);
  return p;
}

void expect_memory(const exercises::Memory& yours, const Tensor<double, 2>& A,
                   const Tensor<double, 1>& B, const std::string& of) {
  grader::expect_close(yours.B, B, "B" + of);
  grader::expect_close(yours.A, A, "A" + of);
}

}  // namespace

GRADE(4, "a matrix from its definition") {
  const auto p = legendre_coefficients(3);
  grader::given("p", p);
  expect_memory(exercises::from_definition(p), mamba2::legs_matrix(3), mamba2::legs_input(3),
                " for Legendre's polynomials, 3 of them");
}

GRADE(4, "a matrix from its definition: another basis") {
  const auto legendre = legendre_coefficients(4);
  auto p = legendre;
  const double c = 0.6, s = 0.8;  // the second and the last, turned
  for (std::size_t j = 0; j < 4; ++j) {
    p(1, j) = c * legendre(1, j) + s * legendre(3, j);
    p(3, j) = -s * legendre(1, j) + c * legendre(3, j);
  }
  const auto A = mamba2::legs_matrix(4);
  const auto B = mamba2::legs_input(4);
  Tensor<double, 2> turn = xt::eye<double>(4), turned = zeros<double>(4, 4);
  turn(1, 1) = turn(3, 3) = c;
  turn(1, 3) = s;
  turn(3, 1) = -s;
  auto input = zeros<double>(4);
  for (std::size_t n = 0; n < 4; ++n)
    for (std::size_t i = 0; i < 4; ++i) {
      input(n) += turn(n, i) * B(i);
      for (std::size_t k = 0; k < 4; ++k)
        for (std::size_t j = 0; j < 4; ++j) turned(n, k) += turn(n, i) * A(i, j) * turn(k, j);
    }
  grader::given("p", p);
  expect_memory(exercises::from_definition(p), turned, input, " for a basis that is turned");
}

namespace {

// The mean of f over [-1, 1], for polynomials of degree below 18: Gauss's rule of nine points would
// do; here many midpoints and Richardson's extrapolation are enough.
template <class Function>
double mean(const Function& f) {
  const auto midpoints = [&](int n) {
    double sum = 0;
    for (int i = 0; i < n; ++i) sum += f((2.0 * i + 1) / n - 1) / n;
    return sum;
  };
  const double a = midpoints(400), b = midpoints(800), c = midpoints(1600);
  return (64 * c - 20 * b + a) / 45;
}

double signal(double t) {
  return std::sin(2.3 * t) + 0.5 * std::cos(5.1 * t + 1);
}

// A line of text for each of some levels, the signal as dots, what is remembered as stars.
std::string drawn(const std::vector<double>& wanted, const std::vector<double>& remembered) {
  std::string text;
  for (int level = 6; level >= -6; --level) {
    for (std::size_t i = 0; i < wanted.size(); ++i) {
      const auto at = [&](double value) { return std::lround(4 * value) == level; };
      text += at(remembered[i]) ? '*' : at(wanted[i]) ? '.' : ' ';
    }
    text += '\n';
  }
  return text;
}

}  // namespace

GRADE(5, "a window that slides: the matrix") {
  for (const std::size_t N : {2u, 5u}) {
    const double theta = N == 2 ? 1 : 2.5;
    auto A = zeros<double>(N, N);
    auto B = zeros<double>(N);
    const Tensor<double, 1> first = mamba2::legendre(N, -1), last = mamba2::legendre(N, 1);
    for (std::size_t n = 0; n < N; ++n) {
      B(n) = last(n) / theta;
      for (std::size_t k = 0; k < N; ++k) {
        const double step = 1e-4;
        const double product = mean([&](double z) {
          const double slope =
              (mamba2::legendre(N, z + step)(n) - mamba2::legendre(N, z - step)(n)) / (2 * step);
          return slope * mamba2::legendre(N, z)(k);
        });
        A(n, k) = (-2 * product - first(n) * first(k)) / theta;
      }
    }
    const auto yours = exercises::sliding_window(N, theta);
    grader::given("d_state", N, "theta", theta);
    grader::expect_close(yours.B, B, "B, d_state = " + std::to_string(N));
    grader::expect_close(yours.A, A, "A, d_state = " + std::to_string(N), 1e-4);
  }
}

GRADE(5, "a window that slides: something to show") {
  const std::size_t N = 16, T = 1000, columns = 76;
  const double theta = 5, dt = 0.01;
  const auto yours = exercises::sliding_window(N, theta);
  const auto step =
      mamba2::discretize_zero_order_hold(mamba2::LinearSystem<double>{yours.A, yours.B, yours.B}, dt);
  auto c = zeros<double>(N);
  for (std::size_t t = 0; t < T; ++t) {
    Tensor<double, 1> next = step.B * signal((double(t) + 0.5) * dt);
    for (std::size_t n = 0; n < N; ++n)
      for (std::size_t k = 0; k < N; ++k) next(n) += step.A(n, k) * c(k);
    c = next;
  }
  const Tensor<double, 1> said = mamba2::recall(c, columns);
  std::vector<double> wanted, remembered(said.begin(), said.end());
  for (std::size_t i = 0; i < columns; ++i)
    wanted.push_back(signal(double(T) * dt - theta + (double(i) + 0.5) * theta / double(columns)));
  for (std::size_t i = 0; i < columns; ++i)
    grader::expect_close(remembered[i], wanted[i],
                         "what 16 numbers remember, column " + std::to_string(i) + " of the window",
                         0.05);
  grader::show("The last 5 of 10 units of time (.), drawn from 16 numbers (*):\n" +
               drawn(wanted, remembered));
}
