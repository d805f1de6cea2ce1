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
  Real* data = nullptr;     ///< the first element
  std::size_t rows = 0;     ///< number of rows
  std::size_t columns = 0;  ///< number of columns
  std::size_t stride = 0;   ///< distance in memory from one row to the next

  /// \brief The same matrix, read only.
  operator MatrixRef<const Real>() const
    requires(!std::is_const_v<Real>)
  {
    return {data, rows, columns, stride};
  }
  /// \brief A row.
  /// \param i its index
  /// \return pointer to the first of its elements
  Real* operator[](std::size_t i) const { return data + i * stride; }
  /// \brief One element.
  /// \param i row
  /// \param j column
  /// \return the element
  Real& operator()(std::size_t i, std::size_t j) const { return data[i * stride + j]; }
};
//: end

/// \brief A matrix that a function only reads; takes a MatrixRef of const or of non-const elements.
template <class Real>
using ReadMatrix = MatrixRef<const std::type_identity_t<Real>>;

/// \brief Numbers in a row that a function only reads.
template <class Real>
using ReadSpan = std::span<const std::type_identity_t<Real>>;

//: factor
/// \brief A factor of a product: a matrix as it lies in memory, or turned round.
/// \tparam Real float or double
///
/// A type of its own, so that no function that walks along rows can be handed a matrix that has none.
template <class Real>
struct Factor {
  MatrixRef<const Real> stored;  ///< as it lies in memory
  bool transposed = false;       ///< whether it stands in the product with rows and columns exchanged

  /// \brief A matrix as it is. \param m the matrix
  Factor(MatrixRef<const Real> m) : stored(m) {}
  /// \brief A matrix as it is. \param m the matrix
  Factor(MatrixRef<Real> m) : stored(m) {}
  /// \brief A matrix, perhaps turned round. \param m the matrix \param turned whether it is
  Factor(MatrixRef<const Real> m, bool turned) : stored(m), transposed(turned) {}

  /// \brief Rows in the product. \return how many
  std::size_t rows() const { return transposed ? stored.columns : stored.rows; }
  /// \brief Columns in the product. \return how many
  std::size_t columns() const { return transposed ? stored.rows : stored.columns; }
};
//: end

/// \brief The matrix turned round, without moving a number: for multiply(), which alone takes such a thing.
/// \param m a matrix
/// \return its transpose
template <class Real>
Factor<std::remove_const_t<Real>> transpose(MatrixRef<Real> m) {
  return {m, true};
}

/// \brief Some neighbouring rows of a matrix, without moving a number.
/// \param m     a matrix
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

/// \brief A tensor of any number of axes as a matrix: some axes count the rows, the others, in one, run along them.
/// \tparam counted how many axes count the rows: all but the last unless it is said
/// \param m the tensor; it must outlive the reference
/// \return a reference to it: (batch, seqlen, features) becomes (batch * seqlen, features); with counted = 2
///         (batch, seqlen, nheads, headdim) becomes (batch * seqlen, nheads * headdim)
template <std::size_t counted, class Real, std::size_t N>
MatrixRef<Real> as_rows(Tensor<Real, N>& m) {
  static_assert(counted < N);
  std::size_t rows = 1, columns = 1;
  for (std::size_t axis = 0; axis < N; ++axis) (axis < counted ? rows : columns) *= m.shape(axis);
  return {m.data(), rows, columns, columns};
}
/// \copydoc as_rows(Tensor<Real,N>&)
template <std::size_t counted, class Real, std::size_t N>
MatrixRef<const Real> as_rows(const Tensor<Real, N>& m) {
  return as_rows<counted>(const_cast<Tensor<Real, N>&>(m));
}
/// \copydoc as_rows(Tensor<Real,N>&)
template <class Real, std::size_t N>
MatrixRef<Real> as_rows(Tensor<Real, N>& m) {
  return as_rows<N - 1>(m);
}
/// \copydoc as_rows(Tensor<Real,N>&)
template <class Real, std::size_t N>
MatrixRef<const Real> as_rows(const Tensor<Real, N>& m) {
  return as_rows<N - 1>(m);
}

/// \brief Some neighbouring columns of a matrix, without moving a number.
/// \param m     a matrix
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

/// \brief The matrix product, by BLAS: \f$\mathit{result} \leftarrow \mathit{left} \cdot \mathit{right} + \beta\, \mathit{result}\f$.
/// \param left   (m, k)
/// \param right  (k, n)
/// \param beta   0 to overwrite the result (whatever it holds), 1 to add to it
/// \param result (m, n), sharing no memory with the factors
/// \throws ShapeError if the sizes disagree
///
/// Any size may be 0: a sum over nothing is 0.
template <class Real>
void multiply(Factor<std::type_identity_t<Real>> left, Factor<std::type_identity_t<Real>> right,
              std::type_identity_t<Real> beta, MatrixRef<Real> result);

}  // namespace mamba2
