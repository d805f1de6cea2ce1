// The grader of this chapter.
#include "exercises.hpp"

#include <exercises/grader.hpp>
#include <mamba2/ssm.hpp>

#include <cmath>
#include <complex>
#include <cstdio>
#include <ctime>

namespace {

using mamba2::Tensor;
using mamba2::zeros;

// Numbers without a pattern, the same on every machine: sin(k), spread over [low, high].
template <class AnyTensor>
void fill(AnyTensor& tensor, double phase, double low, double high) {
  double k = phase;
  for (double& entry : tensor) entry = low + (high - low) * (0.5 + 0.5 * std::sin(7.3 * ++k));
}

struct Model {
  Tensor<double, 2> x;
  Tensor<double, 1> A_bar;
  Tensor<double, 2> B_bar, C;
};

Model model(std::size_t T, std::size_t P, std::size_t N) {
  Model m{zeros<double>(T, P), zeros<double>(T), zeros<double>(T, N), zeros<double>(T, N)};
  fill(m.x, 1, -1, 1);
  fill(m.A_bar, 2, 0.4, 0.95);
  fill(m.B_bar, 3, -1, 1);
  fill(m.C, 4, -1, 1);
  return m;
}

}  // namespace

GRADE(1, "half-life") {
  for (const double A : {-0.25, -1.0, -16.0})
    for (const double dt : {0.001, 0.1, 2.0}) {
      const double steps = exercises::half_life(A, dt);
      const double left = std::pow(mamba2::discretize_mamba2(A, dt).A_bar, steps);
      grader::expect_close(left, 0.5,
                           "what is left after half_life(" + grader::detail::number_text(A) + ", " +
                               grader::detail::number_text(dt) +
                               ") = " + grader::detail::number_text(steps) + " steps");
    }
  const double never = exercises::half_life(0.0, 0.1);
  grader::expect(std::isinf(never) && never > 0,
                 "without a hole (A = 0) the half-life is +infinity, yours is " +
                     grader::detail::number_text(never));
}

GRADE(2, "one entry of the matrix") {
  for (const std::size_t T : {3u, 7u}) {
    const Model m = model(T, 2, T == 3 ? 1 : 3);
    const Tensor<double, 2> expected = mamba2::ssm_matrix(m.A_bar, m.B_bar, m.C);
    auto yours = zeros<double>(T, T);
    for (std::size_t i = 0; i < T; ++i)
      for (std::size_t j = 0; j < T; ++j)
        yours(i, j) = exercises::matrix_entry(m.A_bar, m.B_bar, m.C, i, j);
    grader::given("A_bar", m.A_bar, "B_bar", m.B_bar, "C", m.C);
    grader::expect_close(yours, expected, "the entries M(i, j), " + std::to_string(T) + " steps");
  }
}

namespace {

// A story for exercise 3, and what has to come out: x is noise wherever nothing is stored.
struct Story {
  std::vector<exercises::Token> tokens;
  std::vector<double> x, answers;  // an answer for each token; only those of questions count
};

Story story(std::size_t noise_between) {
  using exercises::Wants;
  Story told;
  double stored[3] = {0, 0, 0}, k = 0;
  const auto hear = [&](Wants wants, std::size_t name, double x) {
    if (wants == Wants::store) stored[name] = x;
    told.tokens.push_back({wants, name});
    told.x.push_back(x);
    told.answers.push_back(wants == Wants::ask ? stored[name] : 0);
    for (std::size_t i = 0; i < noise_between; ++i) {
      told.tokens.push_back({Wants::nothing, std::size_t(7.3 * ++k) % 3});
      told.x.push_back(9 * std::sin(k));
      told.answers.push_back(0);
    }
  };
  hear(Wants::store, 0, 5);
  hear(Wants::ask, 0, 4);
  hear(Wants::ask, 1, -3);  // not stored yet
  hear(Wants::store, 1, 7);
  hear(Wants::store, 2, -2);
  for (const std::size_t name : {2u, 0u, 1u, 0u}) hear(Wants::ask, name, 11);
  return told;
}

void check_story(std::size_t noise_between, double A, const std::string& what) {
  const Story told = story(noise_between);
  const std::size_t T = told.x.size();
  const exercises::Settings s = exercises::remember(told.tokens, A);
  grader::expect(s.dt.size() == T && s.B.shape() == std::array<std::size_t, 2>{T, 3} &&
                     s.C.shape() == std::array<std::size_t, 2>{T, 3},
                 "dt must have the shape (" + std::to_string(T) + "), B and C the shape (" +
                     std::to_string(T) + ", 3)");
  auto x = zeros<double>(T, 1);
  auto A_bar = zeros<double>(T);
  Tensor<double, 2> B_bar = s.B;
  for (std::size_t t = 0; t < T; ++t) {
    grader::expect(s.dt(t) >= 0, "dt(" + std::to_string(t) + ") is negative: time does not run back");
    const auto step = mamba2::discretize_mamba2(A, s.dt(t));
    x(t, 0) = told.x[t];
    A_bar(t) = step.A_bar;
    for (std::size_t n = 0; n < 3; ++n) B_bar(t, n) *= step.B_bar;
  }
  const Tensor<double, 2> y = mamba2::ssm_recurrent(x, A_bar, B_bar, s.C);
  for (std::size_t t = 0; t < T; ++t)
    if (told.tokens[t].wants == exercises::Wants::ask)
      grader::expect_close(y(t, 0), told.answers[t],
                           "what token " + std::to_string(t) + " gets for its question about name " +
                               std::to_string(told.tokens[t].name) + what,
                           1e-3);
}

}  // namespace

GRADE(3, "a memory of three") {
  check_story(0, -0.7, ", A = -0.7, no noise");
  check_story(2, -0.7, ", A = -0.7, two tokens of noise after each");
}

GRADE(3, "a memory of three: a leaky head, a long story") {
  check_story(200, -16, ", A = -16, 200 tokens of noise after each");
}

GRADE(4, "from a kernel to a recurrence") {
  const double a = 0.9, alpha = 2, b = -0.5, beta = 3;
  auto x = zeros<double>(23), expected = x, yours = x;
  fill(x, 6, -1, 1);
  grader::given("x", x, "a", a, "alpha", alpha, "b", b, "beta", beta);
  std::array<double, 2> carried{0, 0};
  for (std::size_t t = 0; t < 23; ++t) {
    yours(t) = exercises::two_half_lives(carried, x(t), a, alpha, b, beta);
    for (std::size_t k = 0; k <= t; ++k)
      expected(t) += (alpha * std::pow(a, double(k)) + beta * std::pow(b, double(k))) * x(t - k);
  }
  grader::expect_close(yours, expected, "y, one step after the other");
}

GRADE(4, "from a kernel to a recurrence: nothing kept but what is carried") {
  auto expected = zeros<double>(5), yours = expected;
  std::array<double, 2> carried{0, 0}, other{0, 0};  // two sequences, in turns
  for (std::size_t t = 0; t < 5; ++t) {
    yours(t) = exercises::two_half_lives(carried, t == 0 ? 1 : 0, 0.9, 2, 0.5, 3);
    exercises::two_half_lives(other, 7, 0.9, 2, 0.5, 3);
    expected(t) = 2 * std::pow(0.9, double(t)) + 3 * std::pow(0.5, double(t));
  }
  grader::expect_close(yours, expected, "y after one impulse, while another sequence runs beside it");
}

GRADE(5, "all steps at once: the transform") {
  for (const std::size_t n : {1u, 2u, 8u, 64u}) {
    std::vector<std::complex<double>> values(n), expected(n);
    for (std::size_t k = 0; k < n; ++k)
      values[k] = {std::sin(7.3 * double(k + 1)), std::cos(3.1 * double(k))};
    for (std::size_t k = 0; k < n; ++k)
      for (std::size_t j = 0; j < n; ++j)
        expected[k] +=
            values[j] * std::polar(1.0, -2 * std::acos(-1.0) * double(j * k % n) / double(n));
    const auto compare = [&](const std::vector<std::complex<double>>& yours,
                             const std::vector<std::complex<double>>& wanted, const std::string& what) {
      grader::expect(yours.size() == n, what + " has " + std::to_string(yours.size()) + " numbers");
      auto y = zeros<double>(n, 2), w = y;
      for (std::size_t k = 0; k < n; ++k) {
        y(k, 0) = yours[k].real(), y(k, 1) = yours[k].imag();
        w(k, 0) = wanted[k].real(), w(k, 1) = wanted[k].imag();
      }
      grader::expect_close(y, w, what + ", real and imaginary parts");
    };
    const std::string of = " of " + std::to_string(n) + " numbers";
    compare(exercises::fourier(values, false), expected, "the transform" + of);
    compare(exercises::fourier(expected, true), values, "the transform back" + of);
  }
}

GRADE(5, "all steps at once: the convolution") {
  for (const std::size_t T : {1u, 8u, 7u, 100u}) {
    auto x = zeros<double>(T), K = x;
    auto column = zeros<double>(T, 1);
    fill(x, 6, -1, 1);
    fill(K, 7, -1, 1);
    std::copy(x.begin(), x.end(), column.begin());
    const Tensor<double, 2> expected = mamba2::causal_convolution(column, K);
    grader::given("x", x, "K", K);
    grader::expect_close(exercises::convolve(x, K), Tensor<double, 1>(xt::col(expected, 0)),
                         "y for " + std::to_string(T) + " steps");
  }
}

GRADE(5, "all steps at once: a hundred thousand of them") {
  grader::if_too_slow(
      "right for short sequences, but too slow for 100000 steps: is there a loop over k inside the "
      "loop\n"
      "over t? The transform halves its problem again and again; each half must be halved, too");
  const std::size_t T = 100000;
  auto x = zeros<double>(T), K = x, expected = x;
  fill(x, 6, -1, 1);
  double h = 0;
  for (std::size_t t = 0; t < T; ++t) {
    K(t) = 0.25 * std::pow(0.99, double(t));
    h = 0.99 * h + x(t);
    expected(t) = 0.25 * h;
  }
  grader::expect_close(exercises::convolve(x, K), expected, "y for 100000 steps");
}

GRADE(5, "all steps at once: something to show") {
  const auto milliseconds = [](auto&& work) {
    const std::clock_t start = std::clock();
    work();
    return 1e3 * double(std::clock() - start) / CLOCKS_PER_SEC;
  };
  std::string table = "milliseconds   steps   the sum   your transform\n";
  for (std::size_t T = 256; T <= 16384; T *= 4) {
    auto column = zeros<double>(T, 1);
    auto x = zeros<double>(T), K = x;
    fill(x, 6, -1, 1);
    fill(K, 7, -1, 1);
    std::copy(x.begin(), x.end(), column.begin());
    char line[100], direct[20] = "-";
    if (T <= 4096)
      std::snprintf(direct, sizeof direct, "%.1f",
                    milliseconds([&] { mamba2::causal_convolution(column, K); }));
    std::snprintf(line, sizeof line, "%20zu%10s%17.1f\n", T, direct,
                  milliseconds([&] { exercises::convolve(x, K); }));
    table += line;
  }
  grader::show(table);
}
