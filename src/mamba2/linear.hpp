/// \file linear.hpp
/// \brief The linear layer, and its weight however the numbers are kept. Explained in @chapter{mamba2_block}.
#pragma once

#include <mamba2/matrix.hpp>
#include <mamba2/tensor.hpp>

#include <functional>
#include <memory>
#include <span>

namespace mamba2 {

/// \brief \f$Y = X W^\top + b\f$, each row of X by itself.
/// \param x      inputs, (tokens, d_in)
/// \param weight as checkpoints store it, (d_out, d_in)
/// \param bias   (d_out), or empty for none
/// \param y      receives the result, (tokens, d_out); shares no memory with x
/// \throws ShapeError if the shapes disagree
template <class Real>
void linear(MatrixRef<const Real> x, MatrixRef<const Real> weight, std::span<const Real> bias, MatrixRef<Real> y);

template <class Real>
struct Operations;

//: weight
/// \brief The weight of a linear layer, however its numbers are kept.
template <class Real>
class Weight {
 public:
  Weight() = default;
  Weight(const Weight&) = delete;
  Weight& operator=(const Weight&) = delete;
  virtual ~Weight() = default;

  /// \brief Rows, as stored. \return d_out
  virtual std::size_t rows() const = 0;
  /// \brief Columns, as stored. \return d_in
  virtual std::size_t columns() const = 0;
  /// \brief \f$Y = X W^\top + b\f$.
  /// \param x          inputs, (tokens, d_in)
  /// \param bias       (d_out), or empty for none
  /// \param y          receives the result, (tokens, d_out); shares no memory with x
  /// \param operations the table in use, for a weight that has no product of its own
  virtual void multiply(MatrixRef<const Real> x, std::span<const Real> bias, MatrixRef<Real> y,
                        const Operations<Real>& operations) const = 0;
  /// \brief One row as numbers, as an embedding needs it.
  /// \param i   which, less than rows()
  /// \param out receives it, (d_in)
  virtual void row(std::size_t i, std::span<Real> out) const = 0;
};
//: end

/// \brief A weight that several may multiply with.
template <class Real>
using WeightPtr = std::shared_ptr<const Weight<Real>>;

/// \brief A way to keep weights: makes a Weight of a tensor, (d_out, d_in), which it may refer to or use up.
template <class Real>
using KeepWeight = std::function<WeightPtr<Real>(Tensor<Real, 2>& numbers)>;

/// \brief Keep a weight as it is: multiplied by the linear() of the table in use.
/// \param numbers (d_out, d_in); they must outlive the result, which refers to them
/// \return the weight
template <class Real>
WeightPtr<Real> full_weight(Tensor<Real, 2>& numbers);

}  // namespace mamba2
