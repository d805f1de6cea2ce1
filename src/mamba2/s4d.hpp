/// \file s4d.hpp
/// \brief S4D: diagonal time-invariant models, what they start from, their kernels and gradients. Explained in @chapter{s4}.
#pragma once

#include <mamba2/linear_system.hpp>
#include <mamba2/parameters.hpp>
#include <mamba2/tensor.hpp>

#include <cstddef>
#include <tuple>
#include <vector>

namespace mamba2 {

/// \brief A kernel from powers: \f$K_k = 2\,\mathrm{Re} \sum_n w_n E_n^k\f$, the product of a Vandermonde matrix with a vector.
/// \param weights w, (pairs)
/// \param nodes   E, (pairs)
/// \param seqlen  length of the kernel
/// \return K, (seqlen)
/// \throws ShapeError if there are not as many weights as nodes
Tensor<double, 1> vandermonde_kernel(const Tensor<Complex, 1>& weights, const Tensor<Complex, 1>& nodes,
                                     std::size_t seqlen);

/// \brief Where the rates of S4D start.
enum class S4DInitial {
  legs,     ///< the eigenvalues of the normal part of HiPPO's matrix
  inverse,  ///< \f$-\tfrac12 + i\,\tfrac N\pi (\tfrac N{2n+1} - 1)\f$, near the former
  linear,   ///< \f$-\tfrac12 + i\,\pi n\f$: the frequencies of a Fourier series
  real      ///< \f$-(n+1)\f$: the eigenvalues of HiPPO's matrix itself
};

/// \brief The rates that S4D starts from, one of each pair of conjugates.
/// \param initial which
/// \param d_state N, even
/// \return A, (d_state / 2)
/// \throws ValueError for an odd number of states
///
/// Section 4 of the S4D paper, arXiv 2206.11893; as in the authors' programs, S4D-Real has the first half of the eigenvalues.
Tensor<Complex, 1> s4d_rates(S4DInitial initial, std::size_t d_state);

/// \brief Sizes and first values of a layer of S4D.
struct S4DConfig {
  std::size_t channels = 1;                 ///< each with a kernel of its own
  std::size_t d_state = 64;                 ///< N: numbers of state of each channel, two for each complex one; even
  S4DInitial initial = S4DInitial::linear;  ///< where the rates start
  double dt_min = 1e-3;                     ///< step sizes start between this
  double dt_max = 0.1;                      ///< and this, evenly on a logarithmic scale

  /// \brief Refuse what makes no layer. \throws ValueError naming the field, what it may be and what it is
  void check() const;
};

/// \brief The parameters of a layer of S4D, or their gradients. What the model computes with is
/// \f$A = -e^{A_{\log}} + i\,\omega\f$, \f$\Delta = e^{\log \Delta}\f$, B = 1.
struct S4DParameters {
  using value_type = double;    ///< of the numbers
  Tensor<double, 1> log_dt;     ///< (channels)
  Tensor<double, 2> A_log;      ///< (channels, d_state / 2)
  Tensor<double, 2> frequency;  ///< \f$\omega\f$, (channels, d_state / 2)
  Tensor<double, 3> C;          ///< real and imaginary parts, (channels, d_state / 2, 2)

  /// \brief All of them. \param p parameters, const or not \return references, in the order of describe(const S4DConfig&)
  template <class Self>
  static auto tensors(Self& p) {
    return std::tie(p.log_dt, p.A_log, p.frequency, p.C);
  }
};

/// \brief What there is to say of each parameter. \param config sizes and first values \return for the walk
std::vector<ParameterInfo> describe(const S4DConfig& config);

/// \brief The kernels of a layer, by the zero-order hold.
/// \param p      parameters
/// \param seqlen length of the kernels
/// \return K, a row for each channel, (channels, seqlen)
/// \throws ShapeError if the shapes disagree
Tensor<double, 2> s4d_kernel(const S4DParameters& p, std::size_t seqlen);

/// \brief The same layer as a recurrence.
/// \param p parameters
/// \param x inputs, a row for each channel, (channels, seqlen)
/// \return outputs, (channels, seqlen)
/// \throws ShapeError if the shapes disagree
Tensor<double, 2> s4d_recurrent(const S4DParameters& p, const Tensor<double, 2>& x);

/// \brief The gradient of a layer's parameters.
/// \param p        parameters
/// \param dK       gradient of the kernels, (channels, seqlen)
/// \param gradient added to; in the shapes of the parameters
/// \throws ShapeError if the shapes disagree
void s4d_kernel_gradient(const S4DParameters& p, const Tensor<double, 2>& dK, S4DParameters& gradient);

}  // namespace mamba2
