/// \file operations.hpp
/// \brief The operations that can be made fast, in one table. Explained in @chapter{mamba2_block}.
#pragma once

#include <mamba2/conv.hpp>
#include <mamba2/linear.hpp>
#include <mamba2/norm.hpp>
#include <mamba2/ssd.hpp>
#include <mamba2/tensor.hpp>

#include <cstddef>
#include <functional>
#include <span>

namespace mamba2 {

/// \brief The operations that nearly all of a model's time goes into, each replaceable by a faster one of equal results.
/// None of them checks its arguments: whoever calls them knows that the sizes agree.
template <class Real>
struct Operations {
  /// \brief See mamba2::linear().
  void (*linear)(MatrixRef<const Real> x, MatrixRef<const Real> weight, std::span<const Real> bias, MatrixRef<Real> y);
  /// \brief See mamba2::short_convolution().
  void (*short_convolution)(const ShortConvolution<Real>& input, MatrixRef<Real> y);
  /// \brief See mamba2::rms_norm().
  void (*rms_norm)(MatrixRef<const Real> x, std::span<const Real> weight, double eps, MatrixRef<Real> y);
  /// \brief See mamba2::gated_norm().
  void (*gated_norm)(MatrixRef<const Real> y, MatrixRef<const Real> z, const GatedNorm<Real>& how, MatrixRef<Real> out);
  /// \brief See mamba2::unchecked::scan().
  void (*scan)(const ScanRef<Real>& input, const ScanOptions& options, ScanState<Real> state, MatrixRef<Real> y);
  /// \brief See mamba2::unchecked::convolution_step(); null for that function itself.
  void (*convolution_step)(MatrixRef<const Real> x, MatrixRef<const Real> weight, std::span<const Real> bias,
                           MatrixRef<Real> state, MatrixRef<Real> y) = nullptr;
  /// \brief See mamba2::unchecked::scan_step(); null for that function itself.
  void (*scan_step)(const ScanRef<Real>& input, const ScanOptions& options, ScanState<Real> state,
                    MatrixRef<Real> y) = nullptr;
  /// \brief dx = dy ∘ silu′(x), where dx may be the memory of x; null for the plain loop.
  void (*silu_gradient)(MatrixRef<const Real> x, MatrixRef<const Real> dy, MatrixRef<Real> dx) = nullptr;
  /// \brief From dv, the gradient of y ∘ silu(z), to dy, which may be the memory of dv, and dz; null for the plain loop.
  void (*gate_gradient)(MatrixRef<const Real> y, MatrixRef<const Real> z, MatrixRef<const Real> dv, MatrixRef<Real> dy,
                        MatrixRef<Real> dz) = nullptr;
  /// \brief Run task(0) … task(count − 1), each once, in any order, on all threads; null where there is one.
  void (*run_all)(std::size_t count, const std::function<void(std::size_t)>& task) = nullptr;
  /// \brief The chunk that suits this scan, where nobody asks for another; 0 for the one in the model's configuration.
  std::size_t chunk_size = 0;
};

/// \brief The operations as @chapters{duality to mamba2_block} define them.
/// \return a table that lives as long as the program
template <class Real>
const Operations<Real>& plain_operations();

/// \brief The operations that a block or a model computes with unless it is told otherwise.
/// \return in the whole library the fastest there are; in the program of a chapter those of the last chapter that chose
template <class Real>
const Operations<Real>& default_operations();

}  // namespace mamba2
