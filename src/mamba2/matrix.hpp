/// \file matrix.hpp
/// \brief A matrix that lies inside a larger tensor, and the product of two of them. Explained in @chapter{duality}.
#pragma once

#include <mamba2/error.hpp>
#include <mamba2/tensor.hpp>

#include <span>
#include <type_traits>

namespace mamba2 {

//: matrix_ref
/// \brief A reference to a matrix whose rows lie `stride` elements apart in somebody else's memory.
/// \tparam Real float or double, const for a matrix that is only read
///
/// Nothing is owned and nothing is copied: one head, one chunk or one block of a tensor is such a matrix.
template <class Real>
struct MatrixRef {
  Real* data;               ///< the first element
  std::size_t rows;         ///< number of rows, as seen from outside (after transposition)
  std::size_t columns;      ///< number of columns, as seen from outside
  std::size_t stride;       ///< distance in memory from one stored row to the next
  bool transposed = false;  ///< whether rows and columns are exchanged against what is stored

  /// \brief The same matrix, read only.
  operator MatrixRef<const Real>() const requires(!std::is_const_v<Real>) {
    return {data, rows, columns, stride, transposed};
  }
  /// \brief A stored row.
  /// \param i its index
  /// \return pointer to the first of its elements; only meaningful where not transposed
  Real* operator[](std::size_t i) const { return data + i * stride; }
  /// \brief One element, transposed or not.
  /// \param i row, as seen from outside
  /// \param j column, as seen from outside
  /// \return the element
  Real& operator()(std::size_t i, std::size_t j) const {
    return transposed ? data[j * stride + i] : data[i * stride + j];
  }
};
//: end

/// \brief A matrix that a function only reads; takes a MatrixRef of const or of non-const elements.
template <class Real>
using ReadMatrix = MatrixRef<const std::type_identity_t<Real>>;

/// \brief Numbers in a row that a function only reads.
template <class Real>
using ReadSpan = std::span<const std::type_identity_t<Real>>;

/// \brief The matrix turned round, without moving a number.
/// \param m a matrix
/// \return its transpose
template <class Real>
MatrixRef<Real> transpose(MatrixRef<Real> m) {
  return {m.data, m.columns, m.rows, m.stride, !m.transposed};
}

/// \brief Some rows of a matrix.
/// \param m     a matrix, not transposed
/// \param first the first of them
/// \param count how many
/// \return a reference to rows first, ..., first + count − 1
template <class Real>
MatrixRef<Real> row_block(MatrixRef<Real> m, std::size_t first, std::size_t count) {
  return {m.data + first * m.stride, count, m.columns, m.stride};
}

/// \brief A whole tensor of two axes as a matrix.
/// \param m the tensor; it must outlive the reference
/// \return a reference to it
template <class Real>
MatrixRef<Real> as_matrix(Tensor<Real, 2>& m) {
  return {m.data(), m.shape(0), m.shape(1), m.shape(1)};
}
/// \copydoc as_matrix(Tensor<Real,2>&)
template <class Real>
MatrixRef<const Real> as_matrix(const Tensor<Real, 2>& m) {
  return {m.data(), m.shape(0), m.shape(1), m.shape(1)};
}

/// \brief A tensor of any number of axes as a matrix: the last axis runs along the rows, all others count them.
/// \param m the tensor, such as (batch, seqlen, features); it must outlive the reference
/// \return a reference to it, (batch * seqlen, features)
template <class Real, std::size_t N>
MatrixRef<Real> as_rows(Tensor<Real, N>& m) {
  const std::size_t columns = m.shape(N - 1);
  return {m.data(), columns == 0 ? 0 : m.size() / columns, columns, columns};
}
/// \copydoc as_rows(Tensor<Real,N>&)
template <class Real, std::size_t N>
MatrixRef<const Real> as_rows(const Tensor<Real, N>& m) {
  const std::size_t columns = m.shape(N - 1);
  return {m.data(), columns == 0 ? 0 : m.size() / columns, columns, columns};
}

/// \brief Some neighbouring columns of a matrix, without moving a number.
/// \param m     a matrix that is not transposed
/// \param first the first of the columns
/// \param count how many
/// \return a reference to them, (rows, count)
template <class Real>
MatrixRef<Real> column_block(MatrixRef<Real> m, std::size_t first, std::size_t count) {
  return {m.rows == 0 ? m.data : m.data + first, m.rows, count, m.stride};  // no tokens: there may be no memory
}

/// \brief The numbers of a tensor of one axis, to read.
/// \param v the tensor; it must outlive the span
/// \return a span over all of it
template <class Real>
std::span<const Real> as_span(const Tensor<Real, 1>& v) {
  return {v.data(), v.size()};
}

/// \brief Refuse a matrix of the wrong size.
/// \param argument the name of the argument, as the caller knows it
/// \param m        the matrix that came
/// \param expected its rows and columns as they should be
/// \param axes     what the axes mean, such as "(seqlen, d_state)"
/// \throws ShapeError in the words of require_shape()
template <class Real>
void require_size(const char* argument, MatrixRef<Real> m, const std::array<std::size_t, 2>& expected,
                  const char* axes) {
  const std::array<std::size_t, 2> got{m.rows, m.columns};
  if (got == expected) return;
  throw ShapeError(std::string(argument) + ": expected shape " + axes + " = " + shape_text(expected) + ", got " +
                   shape_text(got));
}

/// \brief Refuse a row of numbers of the wrong length.
/// \param argument the name of the argument, as the caller knows it
/// \param v        the numbers that came
/// \param expected how many there should be
/// \param axis     what the axis means, such as "(seqlen)"
/// \throws ShapeError in the words of require_shape()
template <class Real>
void require_length(const char* argument, std::span<const Real> v, std::size_t expected, const char* axis) {
  if (v.size() == expected) return;
  throw ShapeError(std::string(argument) + ": expected shape " + axis + " = (" + std::to_string(expected) + "), got (" +
                   std::to_string(v.size()) + ")");
}

/// \brief The matrix product, by BLAS: \f$C \leftarrow A B + \beta C\f$.
/// \param A    (m, k)
/// \param B    (k, n)
/// \param beta 0 to overwrite C (whatever it holds), 1 to add to it
/// \param C    (m, n), sharing no memory with A or B
/// \throws ShapeError if the sizes disagree
///
/// Any size may be 0: a sum over nothing is 0.
template <class Real>
void multiply(ReadMatrix<Real> A, ReadMatrix<Real> B, std::type_identity_t<Real> beta, MatrixRef<Real> C);

}  // namespace mamba2
