// The grader of this chapter.
#include "exercises.hpp"

#include <exercises/grader.hpp>
#include <mamba2/semiseparable.hpp>
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
  grader::expect_close(exercises::mask_of_documents(dA, begins), expected,
                       "L, documents begin at steps 0, 3, 4 and 8");
}

GRADE(2, "multiply without the matrix") {
  const Tensor<double, 1> dA = log_decays(13);
  auto X = zeros<double>(13, 3);
  fill(X, 2, -1, 1);
  const Tensor<double, 2> L = mamba2::decay_mask(dA);
  auto expected = zeros<double>(13, 3);
  for (std::size_t i = 0; i < 13; ++i)
    for (std::size_t j = 0; j <= i; ++j)
      for (std::size_t p = 0; p < 3; ++p) expected(i, p) += L(i, j) * X(j, p);
  grader::expect_close(exercises::multiply_by_mask(dA, X), expected, "L X");
  const auto none = exercises::multiply_by_mask(zeros<double>(0), zeros<double>(0, 3));
  grader::expect(none.shape() == std::array<std::size_t, 2>{0, 3},
                 "a sequence of no steps gives a product of shape (0, 3)");
}

GRADE(2, "multiply without the matrix") {
  const std::size_t T = 50000;
  const Tensor<double, 1> dA = log_decays(T);
  auto X = zeros<double>(T, 2), ones = zeros<double>(T, 1);
  fill(X, 3, -1, 1);
  ones.fill(1);
  grader::expect_close(exercises::multiply_by_mask(dA, X),
                       mamba2::ssm_recurrent(X, exponentials(dA), ones, ones), "L X, 50000 steps");
}

GRADE(3, "left times right") {
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
