/// \file exercises.hpp
/// \brief The exercises of this chapter.
#pragma once

#include <mamba2/tensor.hpp>

#include <array>
#include <complex>
#include <cstddef>
#include <vector>

namespace exercises {

using mamba2::Tensor;

/// \brief Exercise 1: the number of steps until half of what was written is gone.
/// \param A  rate of the continuous model, 0 or negative
/// \param dt step size, positive
/// \return the number of steps, not rounded; infinity for A = 0
double half_life(double A, double dt);

/// \brief Exercise 2: one entry of the model's matrix.
/// \param A_bar factor on the state at each step, (seqlen)
/// \param B_bar how an input enters the state, (seqlen, d_state)
/// \param C     how the state is read, (seqlen, d_state)
/// \param i     row: the step of the output
/// \param j     column: the step of the input
/// \return M(i, j), 0 above the diagonal
double matrix_entry(const Tensor<double, 1>& A_bar, const Tensor<double, 2>& B_bar,
                    const Tensor<double, 2>& C, std::size_t i, std::size_t j);

/// \brief What a token of exercise 3 wants.
enum class Wants { store, ask, nothing };

/// \brief A token of exercise 3.
struct Token {
  Wants wants;       ///< whether it stores a value, asks for one, or is noise
  std::size_t name;  ///< 0, 1 or 2: which value; means nothing for noise
};

/// \brief What exercise 3 sets by hand, with d_state = 3.
struct Settings {
  Tensor<double, 1> dt;  ///< step size of each token, not negative, (seqlen)
  Tensor<double, 2> B;   ///< where each token writes, (seqlen, 3)
  Tensor<double, 2> C;   ///< where each token reads, (seqlen, 3)
};

/// \brief Exercise 3: settings with which a head remembers three values and answers questions about them.
/// \param tokens what comes; each name is stored at most once
/// \param A      the rate of the head, negative
/// \return dt, B and C such that \f$h_t = e^{\Delta_t A} h_{t-1} + \Delta_t x_t B_t\f$, read with C, answers each question
///         to within a thousandth (0 for what has not been stored), whatever the inputs x of noise and questions are
Settings remember(const std::vector<Token>& tokens, double A);

/// \brief Exercise 4: one step of the convolution with \f$K_k = \alpha a^k + \beta b^k\f$.
/// \param carried what the steps before have left, zeros before the first; brought up to date
/// \param x       the input of this step
/// \param a       first factor
/// \param alpha   weight of the first
/// \param b       second factor
/// \param beta    weight of the second
/// \return the output of this step
double two_half_lives(std::array<double, 2>& carried, double x, double a, double alpha, double b,
                      double beta);

/// \brief Exercise 5, first part: the discrete Fourier transform, in a time proportional to n log n.
/// \param values  n numbers, n a power of two
/// \param inverse whether to transform back
/// \return \f$\sum_j v_j e^{-2\pi i jk/n}\f$ for k = 0, ..., n − 1; back: \f$\frac1n \sum_k V_k e^{2\pi i jk/n}\f$
std::vector<std::complex<double>> fourier(std::vector<std::complex<double>> values, bool inverse);

/// \brief Exercise 5, second part: the causal convolution, all steps at once.
/// \param x inputs, (seqlen), of any length
/// \param K kernel, (seqlen)
/// \return \f$y_t = \sum_{k \le t} K_k x_{t-k}\f$, (seqlen)
Tensor<double, 1> convolve(const Tensor<double, 1>& x, const Tensor<double, 1>& K);

}  // namespace exercises
