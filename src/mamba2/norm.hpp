/// \file norm.hpp
/// \brief Root-mean-square norms, with and without a gate. Explained in @chapter{convolution_and_norm}.
#pragma once

#include <mamba2/matrix.hpp>

#include <span>

namespace mamba2 {

/// \brief RMS norm of each row: \f$y = w \odot x / \sqrt{\mathrm{mean}(x^2) + \epsilon}\f$.
/// \param x      inputs, (tokens, features)
/// \param weight (features)
/// \param eps    added to the mean square; 1e-5 in Mamba-2
/// \param y      receives the result, (tokens, features); may be x itself
/// \throws ShapeError if the shapes disagree
template <class Real>
void rms_norm(MatrixRef<const Real> x, std::span<const Real> weight, double eps, MatrixRef<Real> y);

/// \brief What gated_norm() does to a row.
template <class Real>
struct GatedNorm {
  std::span<const Real> weight = {};  ///< (features); empty: no norm, the gate alone
  std::size_t groups = 1;             ///< each group of features / groups neighbours has its own mean square
  bool norm_before_gate = false;      ///< norm(y) * silu(z) rather than norm(y * silu(z))
  double eps = 1e-5;                  ///< added to the mean square
};

/// \brief RMS norm and gate of each row: \f$\mathrm{norm}(y \odot \silu(z))\f$ or \f$\mathrm{norm}(y) \odot \silu(z)\f$.
/// \param y    what is normed, (tokens, features)
/// \param z    the gate, (tokens, features)
/// \param how  weight, groups, order
/// \param out  receives the result, (tokens, features); may be y itself
/// \throws ShapeError if the shapes disagree
/// \throws ValueError if groups does not divide the features
template <class Real>
void gated_norm(MatrixRef<const Real> y, MatrixRef<const Real> z, const GatedNorm<Real>& how, MatrixRef<Real> out);

namespace unchecked {

/// \brief mamba2::rms_norm() of valid input.
/// \param x      as there
/// \param weight as there
/// \param eps    as there
/// \param y      as there
template <class Real>
void rms_norm(MatrixRef<const Real> x, std::span<const Real> weight, double eps, MatrixRef<Real> y);

/// \brief mamba2::gated_norm() of valid input.
/// \param y   as there
/// \param z   as there
/// \param how as there
/// \param out as there
template <class Real>
void gated_norm(MatrixRef<const Real> y, MatrixRef<const Real> z, const GatedNorm<Real>& how, MatrixRef<Real> out);

}  // namespace unchecked
}  // namespace mamba2
