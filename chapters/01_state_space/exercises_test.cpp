// The grader of this chapter.
#include "exercises.hpp"

#include <exercises/grader.hpp>
#include <mamba2/ssm.hpp>

#include <cmath>

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

// Steps [begin, end) of a model.
Model piece(const Model& m, std::size_t begin, std::size_t end) {
  const auto rows = [&](const Tensor<double, 2>& all) -> Tensor<double, 2> {
    return xt::view(all, xt::range(begin, end), xt::all());
  };
  return {rows(m.x), xt::view(m.A_bar, xt::range(begin, end)), rows(m.B_bar), rows(m.C)};
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
  const Model m = model(7, 2, 3);
  const Tensor<double, 2> expected = mamba2::ssm_matrix(m.A_bar, m.B_bar, m.C);
  auto yours = zeros<double>(7, 7);
  for (std::size_t i = 0; i < 7; ++i)
    for (std::size_t j = 0; j < 7; ++j)
      yours(i, j) = exercises::matrix_entry(m.A_bar, m.B_bar, m.C, i, j);
  grader::expect_close(yours, expected, "the entries M(i, j)");
}

GRADE(3, "carry on from a state") {
  const Model m = model(7, 2, 3);
  const auto yours = exercises::continue_from(zeros<double>(2, 3), m.x, m.A_bar, m.B_bar, m.C);
  grader::expect_close(yours.y, mamba2::ssm_recurrent(m.x, m.A_bar, m.B_bar, m.C),
                       "outputs from a state of zeros");
}

GRADE(3, "carry on from a state") {
  const Model m = model(11, 2, 3), first = piece(m, 0, 4), second = piece(m, 4, 11);
  const Tensor<double, 2> whole = mamba2::ssm_recurrent(m.x, m.A_bar, m.B_bar, m.C);
  const auto before =
      exercises::continue_from(zeros<double>(2, 3), first.x, first.A_bar, first.B_bar, first.C);
  const auto after =
      exercises::continue_from(before.last_state, second.x, second.A_bar, second.B_bar, second.C);
  grader::expect_close(after.y, Tensor<double, 2>(xt::view(whole, xt::range(4, 11), xt::all())),
                       "outputs of steps 4 to 10, from the state after step 3");
}

GRADE(3, "carry on from a state") {
  Model m = model(5, 2, 3);
  m.x.fill(0);
  auto initial = zeros<double>(2, 3);
  fill(initial, 5, 1, 2);
  const auto yours = exercises::continue_from(initial, m.x, m.A_bar, m.B_bar, m.C);
  double decay = 1;
  for (const double a : m.A_bar) decay *= a;
  Tensor<double, 2> expected = initial;
  for (double& entry : expected) entry *= decay;
  grader::expect_close(yours.last_state, expected, "the last state");
  const Model none = piece(m, 0, 0);
  grader::expect_close(
      exercises::continue_from(initial, none.x, none.A_bar, none.B_bar, none.C).last_state, initial,
      "the last state after no steps at all");
}

GRADE(4, "from a kernel to a recurrence") {
  const double a = 0.9, alpha = 2, b = -0.5, beta = 3;
  auto x = zeros<double>(23);
  fill(x, 6, -1, 1);
  auto expected = zeros<double>(23);
  for (std::size_t t = 0; t < 23; ++t)
    for (std::size_t k = 0; k <= t; ++k)
      expected(t) += (alpha * std::pow(a, double(k)) + beta * std::pow(b, double(k))) * x(t - k);
  grader::expect_close(exercises::two_half_lives(x, a, alpha, b, beta), expected, "y");
}

GRADE(4, "from a kernel to a recurrence") {
  auto x = zeros<double>(100000);
  x(0) = 1;
  auto expected = zeros<double>(100000);
  for (std::size_t t = 0; t < 100000; ++t)
    expected(t) = 0.5 * std::pow(0.9999, double(t)) + 0.25 * std::pow(0.99, double(t));
  grader::expect_close(exercises::two_half_lives(x, 0.9999, 0.5, 0.99, 0.25), expected,
                       "y after one impulse, 100000 steps");
}
