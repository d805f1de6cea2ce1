/// \file error.hpp
/// \brief What the library throws: what was expected, what came, and where.
#pragma once

#include <mamba2/tensor.hpp>

#include <stdexcept>
#include <string>

namespace mamba2 {

/// \brief The root of the family: catch this to catch all that the library throws on purpose.
class Error : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// \brief A tensor has another shape than the operation needs.
class ShapeError : public Error {
 public:
  using Error::Error;
};

/// \brief An option or a value lies outside what the operation allows.
class ValueError : public Error {
 public:
  using Error::Error;
};

/// \brief A text that quotes a file, made fit to be shown: characters that would control a terminal become `?`, and what is longer
/// than 8000 bytes loses its middle.
/// \param text any bytes
/// \return at most 8005 bytes; line breaks stay
inline std::string presentable(std::string text) {
  constexpr std::size_t half = 4000;
  if (text.size() > 2 * half) text.replace(half, text.size() - 2 * half, " ... ");
  for (char& c : text)
    if (c != '\n' && (static_cast<unsigned char>(c) < 0x20 || c == 0x7f)) c = '?';
  return text;
}

/// \brief A file is missing, damaged or not what it says it is.
class FileError : public Error {
 public:
  /// \brief An error with a message that may quote the file.
  /// \param message file, place and reason; it is made presentable()
  explicit FileError(const std::string& message) : Error(presentable(message)) {}
};

/// \brief A shape as text, such as "(2, 16, 4)".
/// \param shape any range of sizes
/// \return the sizes in parentheses
template <class Shape>
std::string shape_text(const Shape& shape) {
  std::string text;
  for (const auto size : shape) text += (text.empty() ? "" : ", ") + std::to_string(size);
  return "(" + text + ")";
}

/// \brief Refuse a tensor of the wrong shape.
/// \param argument the name of the argument, as the caller knows it
/// \param tensor   the tensor that came
/// \param expected the sizes that are needed
/// \param axes     what the axes mean, such as "(seqlen, d_state)"
/// \throws ShapeError "B: expected shape (seqlen, d_state) = (16, 4), got (15, 4)"
template <class Real, std::size_t N>
void require_shape(const char* argument, const Tensor<Real, N>& tensor, const std::array<std::size_t, N>& expected,
                   const char* axes) {
  if (tensor.shape() == expected) return;
  throw ShapeError(std::string(argument) + ": expected shape " + axes + " = " + shape_text(expected) + ", got " +
                   shape_text(tensor.shape()));
}

/// \brief A tensor from an expression that may have any number of axes: an `xt::xarray`, or what a file holds.
/// \tparam Real       the type of the entries, which are converted
/// \tparam N          the number of axes that is needed
/// \param argument    the name of the argument, as the caller knows it
/// \param expression  any expression of xtensor's
/// \param axes        what the axes mean, such as "(batch, seqlen)"
/// \return the values of the expression
/// \throws ShapeError "ids: expected 2 axes, (batch, seqlen), got shape (2, 16, 4)"
template <class Real, std::size_t N, class Expression>
Tensor<Real, N> to_tensor(const char* argument, const xt::xexpression<Expression>& expression, const char* axes) {
  const Expression& values = expression.derived_cast();
  if (values.dimension() != N)
    throw ShapeError(std::string(argument) + ": expected " + std::to_string(N) + (N == 1 ? " axis, " : " axes, ") +
                     axes + ", got shape " + shape_text(values.shape()));
  return xt::cast<Real>(values);
}

/// \brief Refuse a value.
/// \param ok       whether the value is allowed
/// \param argument the name of the argument or option
/// \param expected what would have been allowed, such as "at least 1"
/// \param got      what came, as text
/// \throws ValueError "chunk_size: expected at least 1, got 0"
inline void require(bool ok, const char* argument, const std::string& expected, const std::string& got) {
  if (!ok) throw ValueError(std::string(argument) + ": expected " + expected + ", got " + got);
}

}  // namespace mamba2
