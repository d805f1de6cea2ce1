// The grader of this chapter.
#include "exercises.hpp"

#include <exercises/grader.hpp>
#include <mamba2/semiseparable.hpp>
#include <mamba2/ssm.hpp>

#include <xtensor-blas/xlinalg.hpp>

#include <cmath>
#include <cstdio>
#include <limits>

namespace {

using mamba2::Tensor;
using mamba2::zeros;

// Numbers without a pattern, the same on every machine: sin(k), spread over [low, high].
template <class AnyTensor>
void fill(AnyTensor& tensor, double phase, double low, double high) {
  double k = phase;
  for (double& entry : tensor) entry = low + (high - low) * (0.5 + 0.5 * std::sin(7.3 * ++k));
}

Tensor<double, 1> log_decays(std::size_t T) {
  auto dA = zeros<double>(T);
  fill(dA, 1, -1.5, -0.05);
  return dA;
}

Tensor<double, 1> exponentials(Tensor<double, 1> dA) {
  for (double& a : dA) a = std::exp(a);
  return dA;
}

}  // namespace

GRADE(1, "a mask with new beginnings") {
  const Tensor<double, 1> dA = log_decays(7);
  std::vector<bool> begins(7, false);
  grader::given("dA", dA);
  grader::expect_close(exercises::mask_of_documents(dA, begins), mamba2::decay_mask(dA),
                       "the mask of one document");
  begins[0] = true;
  grader::expect_close(exercises::mask_of_documents(dA, begins), mamba2::decay_mask(dA),
                       "the mask of one document whose first step is marked");
}

GRADE(1, "a mask with new beginnings") {
  const std::size_t T = 11;
  const Tensor<double, 1> dA = log_decays(T);
  std::vector<bool> begins(T, false);
  begins[0] = begins[3] = begins[4] = begins[8] = true;
  Tensor<double, 2> expected = mamba2::decay_mask(dA);
  for (std::size_t i = 0; i < T; ++i)
    for (std::size_t j = 0; j < i; ++j)
      for (std::size_t k = j + 1; k <= i; ++k)
        if (begins[k]) expected(i, j) = 0;
  grader::given("dA", dA);
  grader::expect_close(exercises::mask_of_documents(dA, begins), expected,
                       "L, documents begin at steps 0, 3, 4 and 8");
}

GRADE(2, "backwards through the mask") {
  for (const std::size_t T : {3u, 13u}) {
    const Tensor<double, 1> dA = log_decays(T);
    auto G = zeros<double>(T, 3);
    fill(G, 2, -1, 1);
    const Tensor<double, 2> L = mamba2::decay_mask(dA);
    grader::given("dA", dA, "G", G);
    auto expected = zeros<double>(T, 3);
    for (std::size_t i = 0; i < T; ++i)
      for (std::size_t j = 0; j <= i; ++j)
        for (std::size_t p = 0; p < 3; ++p) expected(j, p) += L(i, j) * G(i, p);
    grader::expect_close(exercises::multiply_by_transposed(dA, G), expected,
                         "the transpose of L times G, " + std::to_string(T) + " steps");
  }
  const auto none = exercises::multiply_by_transposed(zeros<double>(0), zeros<double>(0, 3));
  grader::expect(none.shape() == std::array<std::size_t, 2>{0, 3},
                 "a sequence of no steps gives a product of shape (0, 3)");
}

GRADE(2, "backwards through the mask: a long sequence") {
  grader::if_too_slow(
      "right for short sequences, but 50000 steps have 2.5 billion pairs: never visit them all");
  const std::size_t T = 50000;
  const Tensor<double, 1> dA = log_decays(T);
  auto G = zeros<double>(T, 2), ones = zeros<double>(T, 1), turned = G;
  auto turned_dA = zeros<double>(T);
  fill(G, 3, -1, 1);
  ones.fill(1);
  for (std::size_t t = 0; t < T; ++t) {  // the recurrence on the sequence turned round
    turned_dA(t) = t == 0 ? 0 : dA(T - t);
    for (std::size_t p = 0; p < 2; ++p) turned(t, p) = G(T - 1 - t, p);
  }
  const Tensor<double, 2> y = mamba2::ssm_recurrent(turned, exponentials(turned_dA), ones, ones);
  auto expected = zeros<double>(T, 2);
  for (std::size_t t = 0; t < T; ++t)
    for (std::size_t p = 0; p < 2; ++p) expected(t, p) = y(T - 1 - t, p);
  grader::expect_close(exercises::multiply_by_transposed(dA, G), expected,
                       "the transpose of L times G, 50000 steps");
}

GRADE(3, "undo the mask") {
  grader::if_too_slow(
      "right for three steps, but too slow for 50000: how much of Y does one row of X need?");
  for (const std::size_t T : {3u, 50000u}) {
    Tensor<double, 1> dA = log_decays(T);
    dA(1) = -std::numeric_limits<double>::infinity();  // a step that forgets everything
    auto X = zeros<double>(T, 2), ones = zeros<double>(T, 1);
    fill(X, 3, -1, 1);
    ones.fill(1);
    const Tensor<double, 2> Y = mamba2::ssm_recurrent(X, exponentials(dA), ones, ones);
    grader::given("dA", dA, "Y", Y);
    grader::expect_close(exercises::undo_mask(dA, Y), X,
                         "X, " + std::to_string(T) + " steps, of which step 1 forgets everything");
  }
}

GRADE(4, "left times right") {
  const std::size_t T = 13, N = 3, begin = 2, cut = 6, end = 11;
  const Tensor<double, 1> dA = log_decays(T);
  auto B = zeros<double>(T, N), C = zeros<double>(T, N);
  fill(B, 4, -1, 1);
  fill(C, 5, -1, 1);
  const Tensor<double, 2> M = mamba2::ssm_matrix(exponentials(dA), B, C);
  const auto yours = exercises::factor_block(dA, B, C, begin, cut, end);
  grader::expect(yours.left.shape() == std::array<std::size_t, 2>{end - cut, N},
                 "left must have the shape (end - cut, d_state) = (5, 3), yours has " +
                     mamba2::shape_text(yours.left.shape()));
  grader::expect(yours.right.shape() == std::array<std::size_t, 2>{N, cut - begin},
                 "right must have the shape (d_state, cut - begin) = (3, 4), yours has " +
                     mamba2::shape_text(yours.right.shape()));
  auto product = zeros<double>(end - cut, cut - begin), expected = product;
  for (std::size_t i = 0; i < end - cut; ++i)
    for (std::size_t j = 0; j < cut - begin; ++j) {
      expected(i, j) = M(cut + i, begin + j);
      for (std::size_t n = 0; n < N; ++n) product(i, j) += yours.left(i, n) * yours.right(n, j);
    }
  grader::expect_close(product, expected, "left · right, beside M[6:11, 2:6]");
}

exercises::Decomposition exercises::decompose(const Tensor<double, 2>& M) {
  const auto [U, s, Vt] = xt::linalg::svd(M, /* full_matrices = */ false);
  return {U, s, Vt};
}

namespace {

// The matrix of a model: each column is a vector B_j that the A of the later steps turn about.
Tensor<double, 2> matrix_of(const exercises::Realization& model) {
  const std::size_t T = model.B.shape(0), N = model.B.shape(1);
  auto M = zeros<double>(T, T);
  for (std::size_t j = 0; j < T; ++j) {
    Tensor<double, 1> h = xt::row(model.B, int(j));
    for (std::size_t i = j; i < T; ++i) {
      if (i > j) {
        auto next = zeros<double>(N);
        for (std::size_t n = 0; n < N; ++n)
          for (std::size_t m = 0; m < N; ++m) next(n) += model.A(i, n, m) * h(m);
        h = next;
      }
      for (std::size_t n = 0; n < N; ++n) M(i, j) += model.C(i, n) * h(n);
    }
  }
  return M;
}

exercises::Realization checked(const Tensor<double, 2>& M, std::size_t N) {
  const std::size_t T = M.shape(0);
  exercises::Realization yours = exercises::realize(M, N);
  grader::expect(yours.A.shape() == std::array<std::size_t, 3>{T, N, N} &&
                     yours.B.shape() == std::array<std::size_t, 2>{T, N} &&
                     yours.C.shape() == std::array<std::size_t, 2>{T, N},
                 "for a matrix of " + std::to_string(T) + " rows and N = " + std::to_string(N) +
                     " the shapes are A (seqlen, N, N), B and C (seqlen, N)");
  return yours;
}

}  // namespace

GRADE(5, "from the matrix back to a model: one state") {
  const Tensor<double, 2> L = mamba2::decay_mask(log_decays(4));
  grader::given("M", L, "N", 1);
  grader::expect_close(matrix_of(checked(L, 1)), L,
                       "the matrix of your model, where M is a decay mask of 4 steps", 1e-8);
}

GRADE(5, "from the matrix back to a model: three states") {
  const std::size_t T = 12, N = 3;
  auto B = zeros<double>(T, N), C = zeros<double>(T, N);
  fill(B, 4, -1, 1);
  fill(C, 5, -1, 1);
  const Tensor<double, 2> M = mamba2::ssm_matrix(exponentials(log_decays(T)), B, C);
  grader::expect_close(matrix_of(checked(M, N)), M,
                       "the matrix of your model, 12 steps, N = 3, a decay for all states", 1e-8);
  grader::expect_close(matrix_of(checked(M, 5)), M, "the same with N = 5, more than are needed", 1e-8);

  exercises::Realization general{zeros<double>(T, N, N), B, C};
  fill(general.A, 8, -0.6, 0.6);  // states that turn into each other
  const Tensor<double, 2> mixed = matrix_of(general);
  grader::expect_close(matrix_of(checked(mixed, N)), mixed,
                       "the matrix of your model, 12 steps, N = 3, where the A are matrices", 1e-8);
}

GRADE(5, "from the matrix back to a model: something to show") {
  const std::size_t T = 32, d = 8;
  auto keys = zeros<double>(T, d), queries = zeros<double>(T, d), M = zeros<double>(T, T);
  fill(keys, 10, -1.5, 1.5);
  fill(queries, 11, -1.5, 1.5);
  for (std::size_t i = 0; i < T; ++i) {
    double sum = 0;
    for (std::size_t j = 0; j <= i; ++j) {
      double score = 0;
      for (std::size_t k = 0; k < d; ++k) score += queries(i, k) * keys(j, k);
      sum += M(i, j) = std::exp(score / std::sqrt(double(d)));
    }
    for (std::size_t j = 0; j <= i; ++j) M(i, j) /= sum;
  }
  std::string table =
      "Softmax attention of 32 tokens, remade by models with N states:\n     N    relative error\n";
  for (const std::size_t N : {1u, 2u, 4u, 8u, 12u, 16u}) {
    const Tensor<double, 2> remade = matrix_of(checked(M, N));
    double error = 0, size = 0;
    for (std::size_t k = 0; k < M.size(); ++k) {
      error += std::pow(remade.data()[k] - M.data()[k], 2);
      size += std::pow(M.data()[k], 2);
    }
    char line[60];
    std::snprintf(line, sizeof line, "%6zu    %.0e\n", N, std::sqrt(error / size));
    table += line;
  }
  grader::show(table + "A block of it has rank 16 at most, and it takes them all.\n");
}
