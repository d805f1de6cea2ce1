// The matrix reference and the product of two of them.
#include <mamba2/matrix.hpp>
#include <support/testing.hpp>

#include <array>
#include <type_traits>
#include <utility>

namespace {

using mamba2::as_matrix;
using mamba2::Factor;
using mamba2::MatrixRef;
using mamba2::multiply;
using mamba2::Tensor;
using mamba2::transpose;
using mamba2::zeros;
using testing::random_tensor;
using testing::relative_error;

// A factor that lies inside a wider tensor, so that its rows do not touch; stored turned round if asked for.
template <class Real>
struct Inside {
  Tensor<Real, 2> memory;
  MatrixRef<Real> stored;
  bool transposed;

  Inside(std::size_t rows, std::size_t columns, bool turned, std::uint64_t seed)
      : memory(turned ? random_tensor<Real, 2>({columns + 2, rows + 3}, seed)
                      : random_tensor<Real, 2>({rows + 2, columns + 3}, seed)),
        stored{&memory(1, 2), turned ? columns : rows, turned ? rows : columns, memory.shape(1)},
        transposed(turned) {}

  Factor<Real> factor() const { return {stored, transposed}; }
};

template <class Real>
double element(Factor<Real> m, std::size_t i, std::size_t j) {
  return static_cast<double>(m.transposed ? m.stored(j, i) : m.stored(i, j));
}

template <class Real>
Tensor<double, 2> plain_product(Factor<Real> A, Factor<Real> B, double beta, MatrixRef<Real> C) {
  auto product = zeros<double>(A.rows(), B.columns());
  for (std::size_t i = 0; i < A.rows(); ++i)
    for (std::size_t j = 0; j < B.columns(); ++j) {
      for (std::size_t k = 0; k < A.columns(); ++k) product(i, j) += element(A, i, k) * element(B, k, j);
      if (beta != 0) product(i, j) += beta * static_cast<double>(C(i, j));
    }
  return product;
}

template <class Real>
Tensor<Real, 2> copy(MatrixRef<Real> m) {
  auto tensor = zeros<Real>(m.rows, m.columns);
  for (std::size_t i = 0; i < m.rows; ++i)
    for (std::size_t j = 0; j < m.columns; ++j) tensor(i, j) = m(i, j);
  return tensor;
}

}  // namespace

TEST_CASE("MatrixRef: rows, elements and blocks see the same memory") {
  auto tensor = random_tensor<double, 2>({4, 5}, 1);
  const MatrixRef<double> m = as_matrix(tensor);
  CHECK(m.rows == 4);
  CHECK(m.columns == 5);
  CHECK(&m(2, 3) == &tensor(2, 3));
  CHECK(m[2] + 3 == &tensor(2, 3));
  const MatrixRef<double> lower = mamba2::row_block(m, 1, 2);
  CHECK(lower.rows == 2);
  CHECK(&lower(0, 4) == &tensor(1, 4));
  const MatrixRef<double> right = mamba2::column_block(m, 2, 3);
  CHECK(right.columns == 3);
  CHECK(&right(3, 0) == &tensor(3, 2));
  m(0, 0) = 7;
  CHECK(tensor(0, 0) == 7);
  const MatrixRef<const double> read = m;
  CHECK(&read(1, 1) == &tensor(1, 1));
  CHECK(as_matrix(std::as_const(tensor)).data == tensor.data());
}

// A matrix that is turned round has no rows in memory. That it fits nowhere but into products is checked here, once and for all.
TEST_CASE("a transposed matrix is a factor, and no matrix") {
  const auto tensor = random_tensor<double, 2>({4, 5}, 1);
  const Factor<double> turned = transpose(as_matrix(tensor)), as_it_is = as_matrix(tensor);
  CHECK(turned.rows() == 5);
  CHECK(turned.columns() == 4);
  CHECK(as_it_is.rows() == 4);
  CHECK(as_it_is.columns() == 5);
  CHECK(turned.stored.data == tensor.data());
  static_assert(!std::is_convertible_v<Factor<double>, MatrixRef<const double>>);
  static_assert(!std::is_convertible_v<Factor<double>, MatrixRef<double>>);
}

TEST_CASE("a tensor of several axes is a matrix in several ways") {
  auto tensor = random_tensor<double, 4>({2, 3, 4, 5}, 1);
  const auto shape = [](auto m) { return std::array{m.rows, m.columns, m.stride}; };
  CHECK(shape(mamba2::as_rows(tensor)) == std::array<std::size_t, 3>{24, 5, 5});
  CHECK(shape(mamba2::as_rows<1>(tensor)) == std::array<std::size_t, 3>{2, 60, 60});
  CHECK(shape(mamba2::as_rows<2>(tensor)) == std::array<std::size_t, 3>{6, 20, 20});
  CHECK(&mamba2::as_rows<2>(std::as_const(tensor))(4, 7) == &tensor(1, 1, 1, 2));
  auto none = zeros<double>(2, 0, 4, 5);
  CHECK(shape(mamba2::as_rows<2>(none)) == std::array<std::size_t, 3>{0, 20, 20});
}

TEMPLATE_TEST_CASE("multiply: all transpositions, inside larger tensors, agree with the plain sum", "", float, double) {
  const std::size_t m = 5, n = 7, k = 4;
  for (int combination = 0; combination < 4; ++combination)
    for (const double beta : {0.0, 1.0, -0.5}) {
      CAPTURE(combination, beta);
      const Inside<TestType> A(m, k, combination & 1, 1), B(k, n, combination & 2, 2);
      Inside<TestType> C(m, n, false, 3);
      const Tensor<double, 2> want = plain_product(A.factor(), B.factor(), beta, C.stored);
      auto outside = C.memory;
      multiply<TestType>(A.factor(), B.factor(), static_cast<TestType>(beta), C.stored);
      CHECK(relative_error(copy(C.stored), want) < (sizeof(TestType) == 4 ? 1e-6 : 1e-15));
      // Nothing around C has changed.
      const MatrixRef<TestType> before{outside.data() + (C.stored.data - C.memory.data()), m, n, C.stored.stride};
      for (std::size_t i = 0; i < m; ++i)
        for (std::size_t j = 0; j < n; ++j) before(i, j) = C.stored(i, j);
      CHECK((outside == C.memory));
    }
}

TEMPLATE_TEST_CASE("multiply: one row, one column, one number", "", float, double) {
  for (const auto& [m, n, k] : {std::array<std::size_t, 3>{1, 6, 3}, {6, 1, 3}, {5, 4, 1}, {1, 1, 1}, {1, 1, 9}})
    for (int combination = 0; combination < 4; ++combination) {
      CAPTURE(m, n, k, combination);
      const Inside<TestType> A(m, k, combination & 1, 4), B(k, n, combination & 2, 5);
      Inside<TestType> C(m, n, false, 6);
      const Tensor<double, 2> want = plain_product(A.factor(), B.factor(), 1, C.stored);
      multiply<TestType>(A.factor(), B.factor(), 1, C.stored);
      CHECK(relative_error(copy(C.stored), want) < 1e-6);
    }
}

TEMPLATE_TEST_CASE("multiply: beta = 0 overwrites whatever was there, NaN included", "", float, double) {
  const auto A = random_tensor<TestType, 2>({3, 4}, 1);
  const auto B = random_tensor<TestType, 2>({4, 2}, 2);
  auto C = zeros<TestType>(3, 2);
  C.fill(std::numeric_limits<TestType>::quiet_NaN());
  auto zero = zeros<TestType>(3, 2);
  const Tensor<double, 2> want = plain_product<TestType>(as_matrix(A), as_matrix(B), 0, as_matrix(zero));
  multiply<TestType>(as_matrix(A), as_matrix(B), 0, as_matrix(C));
  CHECK(relative_error(C, want) < 1e-6);
}

TEMPLATE_TEST_CASE("multiply: a sum over nothing", "", float, double) {
  const auto A = zeros<TestType>(3, 0);
  const auto B = zeros<TestType>(0, 2);
  const auto start = random_tensor<TestType, 2>({3, 2}, 1);
  auto C = start;
  multiply<TestType>(as_matrix(A), as_matrix(B), 1, as_matrix(C));
  CHECK((C == start));
  multiply<TestType>(as_matrix(A), as_matrix(B), 2, as_matrix(C));
  CHECK(relative_error(C, Tensor<TestType, 2>(2 * start)) == 0);
  C(0, 0) = std::numeric_limits<TestType>::quiet_NaN();
  multiply<TestType>(as_matrix(A), as_matrix(B), 0, as_matrix(C));
  CHECK((C == zeros<TestType>(3, 2)));
}

TEMPLATE_TEST_CASE("multiply: results without rows or columns", "", float, double) {
  const auto none = zeros<TestType>(0, 4);
  const auto B = random_tensor<TestType, 2>({4, 3}, 1);
  auto C = zeros<TestType>(0, 3);
  CHECK_NOTHROW(multiply<TestType>(as_matrix(none), as_matrix(B), 0, as_matrix(C)));
  const auto A = random_tensor<TestType, 2>({3, 4}, 2);
  auto D = zeros<TestType>(3, 0);
  CHECK_NOTHROW(multiply<TestType>(as_matrix(A), transpose(as_matrix(none)), 0, as_matrix(D)));
}

TEST_CASE("multiply: sizes that disagree are refused in words") {
  const auto A = zeros<double>(2, 3), B = zeros<double>(4, 5);
  auto C = zeros<double>(2, 5);
  const auto text =
      testing::message_of<mamba2::ShapeError>([&] { multiply<double>(as_matrix(A), as_matrix(B), 0, as_matrix(C)); });
  CHECK(text == "right: expected shape (columns of left, columns of right) = (3, 5), got (4, 5)");
  const auto B_right = zeros<double>(3, 5);
  auto C_wrong = zeros<double>(5, 2);
  CHECK_THROWS_AS(multiply<double>(as_matrix(A), as_matrix(B_right), 0, as_matrix(C_wrong)), mamba2::ShapeError);
}

TEST_CASE("require_length says what it wanted") {
  const auto dA = zeros<double>(3);
  CHECK_NOTHROW(mamba2::require_length("dA", mamba2::as_span(dA), 3, "(seqlen)"));
  const auto text = testing::message_of<mamba2::ShapeError>(
      [&] { mamba2::require_length("dA", mamba2::as_span(dA), 4, "(seqlen)"); });
  CHECK(text == "dA: expected shape (seqlen) = (4), got (3)");
}
