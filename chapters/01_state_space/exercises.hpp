/// \file exercises.hpp
/// \brief The exercises of this chapter.
#pragma once

#include <mamba2/tensor.hpp>

#include <cstddef>

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

/// \brief What exercise 3 returns.
struct Continued {
  Tensor<double, 2> y;           ///< outputs, (seqlen, headdim)
  Tensor<double, 2> last_state;  ///< the state after the last step, (headdim, d_state)
};

/// \brief Exercise 3: the recurrence from a given state.
/// \param initial_state the state before the first step, (headdim, d_state)
/// \param x             inputs, (seqlen, headdim)
/// \param A_bar         factor on the state at each step, (seqlen)
/// \param B_bar         how an input enters the state, (seqlen, d_state)
/// \param C             how the state is read, (seqlen, d_state)
/// \return outputs and the last state; for no steps at all, the state as it came
Continued continue_from(const Tensor<double, 2>& initial_state, const Tensor<double, 2>& x,
                        const Tensor<double, 1>& A_bar, const Tensor<double, 2>& B_bar,
                        const Tensor<double, 2>& C);

/// \brief Exercise 4: the convolution with \f$K_k = \alpha a^k + \beta b^k\f$, in linear time.
/// \param x     inputs, (seqlen)
/// \param a     first factor
/// \param alpha weight of the first
/// \param b     second factor
/// \param beta  weight of the second
/// \return outputs, (seqlen)
Tensor<double, 1> two_half_lives(const Tensor<double, 1>& x, double a, double alpha, double b,
                                 double beta);

}  // namespace exercises
