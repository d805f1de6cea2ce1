// The grader of this chapter.
#include "exercises.hpp"

#include <demo/demo.hpp>
#include <exercises/grader.hpp>
#include <mamba2/mamba3.hpp>

#include <cmath>
#include <numbers>
#include <utility>

namespace {

std::vector<double> some(std::size_t count, double low, double high, std::uint64_t seed) {
  demo::Random random(seed);
  std::vector<double> all(count);
  for (double& one : all) one = random(low, high);
  return all;
}

}  // namespace

GRADE(1, "the mask of the trapezoid") {
  const std::size_t T = 7;
  const auto a = some(T, -1, 0, 1), now = some(T, 0.1, 1, 2);
  auto next = some(T, 0.1, 1, 3);
  next.back() = 0;
  grader::given("a", a, "now", now, "next", next);
  const auto ones = mamba2::Tensor<double, 2>::from_shape({T, 1});
  auto K = ones;
  K.fill(1);
  auto expected = mamba2::zeros<double>(T, T);
  for (std::size_t j = 0; j < T; ++j) {  // what one input alone gives is a column
    auto V = mamba2::zeros<double>(T, 1), Y = V, state = mamba2::zeros<double>(1, 1);
    V(j, 0) = 1;
    mamba2::trapezoid_scan<double>(
        {1, mamba2::as_matrix(std::as_const(V)), mamba2::as_matrix(std::as_const(K)),
         mamba2::as_matrix(std::as_const(K)), a, now, next},
        3, mamba2::as_matrix(state), mamba2::as_matrix(Y));
    for (std::size_t i = 0; i < T; ++i) expected(i, j) = Y(i, 0);
  }
  grader::expect_close(exercises::trapezoid_mask(a, now, next), expected, "the mask");
}

GRADE(2, "count by turning") {
  const std::vector<int> tokens{0, 1, 1, 0, 1, 1, 1, 0, 1};
  grader::given("tokens", tokens, "k", 5);
  auto expected = mamba2::zeros<double>(tokens.size(), 2);
  int ones = 0;
  for (std::size_t t = 0; t < tokens.size(); ++t) {
    ones += tokens[t];
    expected(t, 0) = std::cos(2 * std::numbers::pi * ones / 5);
    expected(t, 1) = std::sin(2 * std::numbers::pi * ones / 5);
  }
  grader::expect_close(exercises::count_by_turning(tokens, 5), expected, "the points");
}

GRADE(3, "the gradient of an angle") {
  const std::size_t T = 6;
  const auto phi = some(T, -1, 1, 4), dt = some(T, 0.1, 0.9, 5);
  demo::Random random(6);
  const auto x = demo::random_tensor<double>({T, 2}, random),
             dy = demo::random_tensor<double>({T, 2}, random);
  grader::given("x", x, "phi", phi, "dt", dt, "dy", dy);
  const auto loss = [&](const std::vector<double>& raw) {
    double theta = 0, sum = 0;
    for (std::size_t t = 0; t < T; ++t) {
      theta += std::numbers::pi * std::tanh(raw[t]) * dt[t];
      sum += dy(t, 0) * (std::cos(theta) * x(t, 0) - std::sin(theta) * x(t, 1)) +
             dy(t, 1) * (std::sin(theta) * x(t, 0) + std::cos(theta) * x(t, 1));
    }
    return sum;
  };
  std::vector<double> expected(T);
  for (std::size_t t = 0; t < T; ++t) {
    auto more = phi, less = phi;
    more[t] += 1e-4;
    less[t] -= 1e-4;
    expected[t] = (loss(more) - loss(less)) / 2e-4;
  }
  grader::expect_close(exercises::angle_gradient(x, phi, dt, dy), expected,
                       "the gradient of the raw angles", 1e-5);
}
