/// \file operations.hpp
/// \brief The operations that can be made fast, in one table. Explained in chapter 8.
#pragma once

#include <mamba2/conv.hpp>
#include <mamba2/linear.hpp>
#include <mamba2/norm.hpp>
#include <mamba2/ssd.hpp>

namespace mamba2 {

/// \brief The operations that nearly all of a model's time goes into, each replaceable by a faster one of equal results.
template <class Real>
struct Operations {
  /// \brief See mamba2::linear().
  void (*linear)(MatrixRef<const Real> x, MatrixRef<const Real> weight, std::span<const Real> bias, MatrixRef<Real> y);
  /// \brief See mamba2::short_convolution().
  void (*short_convolution)(const ShortConvolution<Real>& input, std::span<const MatrixRef<Real>> y);
  /// \brief See mamba2::rms_norm().
  void (*rms_norm)(MatrixRef<const Real> x, std::span<const Real> weight, double eps, MatrixRef<Real> y);
  /// \brief See mamba2::gated_norm().
  void (*gated_norm)(MatrixRef<const Real> y, MatrixRef<const Real> z, const GatedNorm<Real>& how, MatrixRef<Real> out);
  /// \brief See mamba2::ssd().
  ScanOutput<Real> (*scan)(const ScanInput<Real>& input, const ScanOptions& options);
};

/// \brief The operations as chapters 3 to 8 define them.
/// \return a table that lives as long as the program
template <class Real>
const Operations<Real>& plain_operations();

}  // namespace mamba2
