// The grader of this chapter.
#include "exercises.hpp"

#include <demo/demo.hpp>
#include <exercises/grader.hpp>
#include <mamba2/duality.hpp>
#include <mamba2/semiseparable.hpp>

#include <cmath>
#include <cstdio>

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
  grader::given("a", a);
  grader::expect_close(exercises::mask_from_factors(a), mamba2::decay_mask(dA),
                       "the mask of seven random decays");

  a(3) = 0;  // step 3 forgets everything
  grader::given("a", a);
  const Tensor<double, 2> yours = exercises::mask_from_factors(a);
  grader::expect_close(yours(6, 3), a(4) * a(5) * a(6),
                       "L(6, 3) where a(3) = 0: token 3 itself is not forgotten at step 3");
  grader::expect_close(yours(5, 1), 0.0, "L(5, 1) where a(3) = 0: token 1 is");
  grader::expect_close(yours(6, 5), a(6), "L(6, 5) where a(3) = 0");

  grader::expect_close(exercises::mask_from_factors(zeros<double>(1)), Tensor<double, 2>{{1}},
                       "the mask of one token");
}

GRADE(2, "make the decay disappear") {
  const std::size_t seqlen = 9, d_state = 3;
  auto dA = zeros<double>(seqlen);
  for (double& entry : dA) entry = draw(-1.5, 0);
  const auto B = random_matrix(seqlen, d_state), C = random_matrix(seqlen, d_state);
  const Tensor<double, 2> L = mamba2::decay_mask(dA);
  const exercises::Undecayed yours = exercises::undecayed(dA, B, C);
  grader::expect(yours.B.shape() == B.shape() && yours.C.shape() == C.shape(),
                 "keys and queries keep their shape, (seqlen, d_state) = (9, 3)");
  auto scores = zeros<double>(seqlen, seqlen), expected = scores;
  for (std::size_t i = 0; i < seqlen; ++i)
    for (std::size_t j = 0; j <= i; ++j)
      for (std::size_t n = 0; n < d_state; ++n) {
        scores(i, j) += yours.C(i, n) * yours.B(j, n);
        expected(i, j) += L(i, j) * C(i, n) * B(j, n);
      }
  grader::expect_close(scores, expected, "your C times your B transposed, on and below the diagonal");
}

GRADE(2, "make the decay disappear: how far") {
  for (const double log_decay : {-1.6, -0.3, -0.01, -100.0}) {
    std::size_t expected = 0;
    while (std::isfinite(static_cast<float>(std::exp(-log_decay * double(expected + 1))))) ++expected;
    grader::expect_close(exercises::longest_undecayed(log_decay), expected,
                         "tokens until float is at its end, for a log-decay of " +
                             grader::detail::number_text(log_decay));
  }
}

GRADE(3, "linear attention as it was invented") {
  const std::size_t seqlen = 9, headdim = 3, d_state = 5;
  const auto queries = random_matrix(seqlen, d_state, 0.1, 1),
             keys = random_matrix(seqlen, d_state, 0.1, 1), values = random_matrix(seqlen, headdim);
  auto state = zeros<double>(headdim + 1, d_state);
  for (std::size_t t = 0; t < seqlen; ++t) {
    auto expected = zeros<double>(headdim);
    double sum = 0;
    for (std::size_t j = 0; j <= t; ++j) {
      double weight = 0;
      for (std::size_t n = 0; n < d_state; ++n) weight += queries(t, n) * keys(j, n);
      sum += weight;
      for (std::size_t p = 0; p < headdim; ++p) expected(p) += weight * values(j, p);
    }
    for (double& entry : expected) entry /= sum;
    grader::given("state", state, "query", row_of(queries, t), "key", row_of(keys, t), "value",
                  row_of(values, t));
    const auto yours =
        exercises::attend_one(state, row_of(queries, t), row_of(keys, t), row_of(values, t));
    grader::expect_close(yours, expected, "output of token " + std::to_string(t));
  }
}

GRADE(4, "a decay for each number of the state") {
  const std::size_t seqlen = 8, headdim = 3, d_state = 5;
  const auto X = random_matrix(seqlen, headdim), dA = random_matrix(seqlen, d_state, -1.5, 0),
             B = random_matrix(seqlen, d_state), C = random_matrix(seqlen, d_state);
  const Tensor<double, 2> M = exercises::many_masks(dA, B, C);
  grader::expect(
      M.shape() == std::array<std::size_t, 2>{seqlen, seqlen},
      "the matrix has the shape (seqlen, seqlen) = (8, 8), yours has " + mamba2::shape_text(M.shape()));
  auto state = zeros<double>(headdim, d_state), expected = zeros<double>(seqlen, headdim),
       yours = expected;
  for (std::size_t t = 0; t < seqlen; ++t)
    for (std::size_t p = 0; p < headdim; ++p) {
      for (std::size_t n = 0; n < d_state; ++n) {
        state(p, n) = std::exp(dA(t, n)) * state(p, n) + X(t, p) * B(t, n);
        expected(t, p) += C(t, n) * state(p, n);
      }
      for (std::size_t j = 0; j < seqlen; ++j) yours(t, p) += M(t, j) * X(j, p);
    }
  grader::expect_close(yours, expected, "your matrix times X, against the recurrence");
  for (std::size_t i = 0; i < seqlen; ++i)
    for (std::size_t j = i + 1; j < seqlen; ++j)
      grader::expect(M(i, j) == 0, "above the diagonal the matrix is 0");
}

GRADE(4, "a decay for each number of the state: strong decays") {
  const std::size_t seqlen = 8, d_state = 5;
  auto dA = random_matrix(seqlen, d_state, -410, -10);
  const auto B = random_matrix(seqlen, d_state), C = random_matrix(seqlen, d_state);
  const Tensor<double, 2> M = exercises::many_masks(dA, B, C);
  for (std::size_t i = 0; i < seqlen; ++i) {
    double own = 0;
    for (std::size_t n = 0; n < d_state; ++n) own += C(i, n) * B(i, n);
    for (std::size_t j = 0; j < seqlen; ++j)
      grader::expect(
          std::abs(M(i, j) - (i == j ? own : 0)) < 1e-3,
          "where the decays are so strong that each token sees only itself, an entry of the\n"
          "matrix is wrong or no number");
  }
}

GRADE(5, "a softmax in finitely many states: the features") {
  for (const std::size_t d : {1u, 2u, 3u})
    for (const std::size_t K : {0u, 1u, 2u, 5u}) {
      const Tensor<double, 1> q = row_of(random_matrix(1, d), 0), k = row_of(random_matrix(1, d), 0);
      const auto phi_q = exercises::features(q, K), phi_k = exercises::features(k, K);
      const std::string of =
          " for vectors of " + std::to_string(d) + " numbers, powers up to " + std::to_string(K);
      grader::given("q", q, "k", k);
      grader::expect(phi_q.size() == phi_k.size(), "phi has a length that depends on the numbers" + of);
      double dot = 0, yours = 0, expected = 0, term = 1;
      for (std::size_t i = 0; i < d; ++i) dot += q(i) * k(i);
      for (std::size_t m = 0; m <= K; ++m) {
        expected += term;
        term *= dot / double(m + 1);
      }
      for (std::size_t i = 0; i < phi_q.size(); ++i) yours += phi_q(i) * phi_k(i);
      grader::expect_close(yours, expected, "phi(q) . phi(k)" + of);
      std::size_t fewest = 1;  // (d + K choose K)
      for (std::size_t m = 1; m <= K; ++m) fewest = fewest * (d + m) / m;
      grader::expect(phi_q.size() <= fewest,
                     "the dot product is right, but phi is longer than it needs to be" + of + ":\n" +
                         std::to_string(phi_q.size()) + " numbers, where " + std::to_string(fewest) +
                         " will do. v_1 v_2 and v_2 v_1 are the same number; give it one place and a "
                         "larger weight");
    }
}

namespace {

// The outputs of softmax attention over all tokens, and of softmax_one, token by token.
struct Compared {
  Tensor<double, 2> exact, yours;
};

Compared run_softmax(std::size_t power) {
  const std::size_t seqlen = 24, headdim = 2, d = 3;
  const auto queries = random_matrix(seqlen, d, -1.2, 1.2), keys = random_matrix(seqlen, d, -1.2, 1.2),
             values = random_matrix(seqlen, headdim);
  Compared c{zeros<double>(seqlen, headdim), zeros<double>(seqlen, headdim)};
  auto state = zeros<double>(headdim + 1, exercises::features(row_of(keys, 0), power).size());
  for (std::size_t t = 0; t < seqlen; ++t) {
    double sum = 0;
    for (std::size_t j = 0; j <= t; ++j) {
      double score = 0;
      for (std::size_t k = 0; k < d; ++k) score += queries(t, k) * keys(j, k);
      sum += std::exp(score);
      for (std::size_t p = 0; p < headdim; ++p) c.exact(t, p) += std::exp(score) * values(j, p);
    }
    const auto output =
        exercises::softmax_one(state, row_of(queries, t), row_of(keys, t), row_of(values, t), power);
    for (std::size_t p = 0; p < headdim; ++p) {
      c.exact(t, p) /= sum;
      c.yours(t, p) = output(p);
    }
  }
  return c;
}

}  // namespace

GRADE(5, "a softmax in finitely many states: the recurrence") {
  const Compared c = run_softmax(18);
  grader::expect_close(c.yours, c.exact,
                       "softmax attention of 24 tokens, the series cut off after the power 18", 1e-6);
}

GRADE(5, "a softmax in finitely many states: something to show") {
  std::string table =
      "Softmax attention in a state of fixed size, keys of 3 numbers:\n"
      "  last power    states per channel    largest error\n";
  for (const std::size_t power : {1u, 2u, 4u, 8u, 16u}) {
    const Compared c = run_softmax(power);
    double worst = 0;
    for (std::size_t k = 0; k < c.exact.size(); ++k)
      worst = std::max(worst, std::abs(c.exact.data()[k] - c.yours.data()[k]));
    char line[80];
    std::snprintf(line, sizeof line, "%12zu%22zu%17.0e\n", power,
                  exercises::features(zeros<double>(3), power).size(), worst);
    table += line;
  }
  grader::show(table + "With keys of 64 numbers the power 4 alone takes 766480 states.\n");
}
