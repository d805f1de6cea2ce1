// The grader of this chapter.
#include "exercises.hpp"

#include <demo/demo.hpp>
#include <exercises/grader.hpp>
#include <mamba2/duality.hpp>
#include <mamba2/semiseparable.hpp>

using mamba2::Tensor;
using mamba2::zeros;

static demo::Random draw(33);

static Tensor<double, 2> random_matrix(std::size_t rows, std::size_t columns, double low = -1,
                                       double high = 1) {
  return demo::random_tensor<double>({rows, columns}, draw, low, high);
}

static Tensor<double, 1> row_of(const Tensor<double, 2>& m, std::size_t i) {
  auto v = zeros<double>(m.shape(1));
  for (std::size_t k = 0; k < m.shape(1); ++k) v(k) = m(i, k);
  return v;
}

GRADE(1, "a mask from factors") {
  auto dA = zeros<double>(7);
  demo::fill(dA, draw, -1, -0.1);
  Tensor<double, 1> a = xt::exp(dA);
  grader::expect_close(exercises::mask_from_factors(a), mamba2::decay_mask(dA),
                       "the mask of seven random decays");

  a(3) = 0;  // step 3 forgets everything
  const Tensor<double, 2> yours = exercises::mask_from_factors(a);
  grader::expect_close(yours(6, 3), a(4) * a(5) * a(6),
                       "L(6, 3) where a(3) = 0: token 3 itself is not forgotten at step 3");
  grader::expect_close(yours(5, 1), 0.0, "L(5, 1) where a(3) = 0: token 1 is");
  grader::expect_close(yours(6, 5), a(6), "L(6, 5) where a(3) = 0");

  grader::expect_close(exercises::mask_from_factors(zeros<double>(1)), Tensor<double, 2>{{1}},
                       "the mask of one token");
}

GRADE(2, "attention, one token at a time") {
  const std::size_t seqlen = 9, headdim = 3, d_state = 5;
  const auto queries = random_matrix(seqlen, d_state), keys = random_matrix(seqlen, d_state),
             values = random_matrix(seqlen, headdim);
  const Tensor<double, 2> expected =
      mamba2::dual_quadratic(values, zeros<double>(seqlen), keys, queries);
  auto state = zeros<double>(headdim, d_state), sum = zeros<double>(headdim, d_state);
  for (std::size_t t = 0; t < seqlen; ++t) {
    for (std::size_t p = 0; p < headdim; ++p)
      for (std::size_t n = 0; n < d_state; ++n) sum(p, n) += values(t, p) * keys(t, n);
    const auto yours =
        exercises::attend_one(state, row_of(queries, t), row_of(keys, t), row_of(values, t));
    grader::expect_close(yours, row_of(expected, t), "output of token " + std::to_string(t));
    grader::expect_close(state, sum, "state after token " + std::to_string(t));
  }
}

GRADE(3, "only what is not masked") {
  for (const auto& [N, P] :
       {std::pair<std::size_t, std::size_t>{128, 64}, {16, 64}, {5, 3}, {1, 1}, {6, 3}, {7, 11}}) {
    std::size_t expected = 1;
    while (expected * (expected + 1) / 2 * (N + P) <= 3 * expected * N * P) ++expected;
    grader::expect_close(exercises::first_linear_length(N, P), expected,
                         "least length for N = " + std::to_string(N) + ", P = " + std::to_string(P));
  }
}

GRADE(4, "a decay for each number of the state") {
  const std::size_t seqlen = 8, headdim = 3, d_state = 5;
  const auto X = random_matrix(seqlen, headdim), dA = random_matrix(seqlen, d_state, -1.5, 0),
             B = random_matrix(seqlen, d_state), C = random_matrix(seqlen, d_state);
  auto state = zeros<double>(headdim, d_state), expected = zeros<double>(seqlen, headdim);
  for (std::size_t t = 0; t < seqlen; ++t)
    for (std::size_t p = 0; p < headdim; ++p)
      for (std::size_t n = 0; n < d_state; ++n) {
        state(p, n) = std::exp(dA(t, n)) * state(p, n) + X(t, p) * B(t, n);
        expected(t, p) += C(t, n) * state(p, n);
      }
  grader::expect_close(exercises::many_masks(X, dA, B, C), expected, "outputs, against the recurrence");

  // With strong decays nothing may overflow on the way.
  auto strong = dA;
  for (double& entry : strong) entry = 400 * entry - 10;
  const auto yours = exercises::many_masks(X, strong, B, C);
  for (std::size_t t = 0; t < seqlen; ++t)
    for (std::size_t p = 0; p < headdim; ++p) {
      double own = 0;
      for (std::size_t n = 0; n < d_state; ++n) own += C(t, n) * B(t, n) * X(t, p);
      grader::expect(std::abs(yours(t, p) - own) < 1e-3,
                     "where the decays are so strong that each token sees only itself, some output is "
                     "wrong or NaN");
    }
}
