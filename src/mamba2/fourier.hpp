/// \file fourier.hpp
/// \brief The Fourier transform of real numbers, by FFTW, and causal convolutions by way of it. Explained in @chapter{s4}.
#pragma once

#include <mamba2/linear_system.hpp>
#include <mamba2/tensor.hpp>

#include <cstddef>
#include <memory>
#include <span>
#include <vector>

namespace mamba2 {

/// \brief The discrete Fourier transform of n real numbers, \f$V_k = \sum_j v_j e^{-2\pi i jk/n}\f$, and back.
///
/// The second half of the \f$V_k\f$ mirrors the first, \f$V_{n-k} = \overline{V_k}\f$, and is neither computed nor stored. One
/// transform may be used by several threads at a time.
class RealFourier {
 public:
  /// \brief A plan for one length.
  /// \param n how many real numbers, at least 1
  /// \throws ValueError for 0
  explicit RealFourier(std::size_t n);
  ~RealFourier();
  RealFourier(const RealFourier&) = delete;
  RealFourier& operator=(const RealFourier&) = delete;

  /// \brief How many real numbers. \return n
  std::size_t size() const { return n_; }
  /// \brief From numbers to frequencies.
  /// \param values at most n numbers; what is missing counts as zero
  /// \return \f$V_0, \dots, V_{\lfloor n/2 \rfloor}\f$
  /// \throws ShapeError for more than n
  std::vector<Complex> forward(std::span<const double> values) const;
  /// \brief And back: backward(forward(v)) is v.
  /// \param frequencies \f$V_0, \dots, V_{\lfloor n/2 \rfloor}\f$
  /// \return n numbers
  /// \throws ShapeError for another number of frequencies
  std::vector<double> backward(const std::vector<Complex>& frequencies) const;

 private:
  struct Plans;
  std::size_t n_;
  std::unique_ptr<Plans> plans_;
};

/// \brief Causal convolution in a time proportional to T log T: \f$y_t = \sum_{k \le t} K_k x_{t-k}\f$.
/// \param x inputs, (seqlen)
/// \param K kernel, of any length: what is missing counts as zero, what is too much is not used
/// \return outputs, (seqlen)
Tensor<double, 1> fft_convolution(const Tensor<double, 1>& x, const Tensor<double, 1>& K);

/// \brief The gradient of the convolution: \f$g_k = \sum_{t \ge k} dy_t\, x_{t-k}\f$.
/// \param dy gradient of the outputs, (seqlen)
/// \param x  the inputs for the gradient of the kernel; the kernel for that of the inputs; (seqlen)
/// \return the gradient, (seqlen)
/// \throws ShapeError if x is not as long as dy
Tensor<double, 1> fft_correlation(const Tensor<double, 1>& dy, const Tensor<double, 1>& x);

}  // namespace mamba2
