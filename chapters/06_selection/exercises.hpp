/// \file exercises.hpp
/// \brief The exercises of this chapter.
#pragma once

#include <mamba2/tensor.hpp>

#include <cstddef>

namespace exercises {

using mamba2::Tensor;

/// \brief Exercise 1: the bias of a head that forgets half of a token in a given number of tokens.
/// \param A      rate of the head, negative
/// \param tokens after how many tokens half is gone, positive, not always a whole number
/// \return dt_bias
double bias_for_half_life(double A, double tokens);

/// \brief Exercise 2: a gated recurrence, by the means of state space models.
/// \param x  inputs, (seqlen)
/// \param z  raw gates, (seqlen)
/// \param h0 the state before the first token
/// \return the state after each token, (seqlen)
Tensor<double, 1> gated_recurrence(const Tensor<double, 1>& x, const Tensor<double, 1>& z, double h0);

/// \brief Exercise 3: Mamba-1's selective scan of one sequence, from a state.
/// \param x     inputs, (seqlen, d_inner)
/// \param dt    step sizes, positive, (seqlen, d_inner)
/// \param A     rates, negative, (d_inner, d_state)
/// \param B     how an input enters the state, (seqlen, d_state)
/// \param C     how the state is read, (seqlen, d_state)
/// \param D     skip, (d_inner)
/// \param state before the first token on entry, after the last one on return, (d_inner, d_state)
/// \return outputs, (seqlen, d_inner)
Tensor<double, 2> selective_scan_from(const Tensor<double, 2>& x, const Tensor<double, 2>& dt,
                                      const Tensor<double, 2>& A, const Tensor<double, 2>& B,
                                      const Tensor<double, 2>& C, const Tensor<double, 1>& D,
                                      Tensor<double, 2>& state);

/// \brief What exercise 4 gives back: the parameters of heads as Mamba-1 wants them.
struct Untied {
  Tensor<double, 2> A;   ///< rates, (nheads * headdim, d_state)
  Tensor<double, 2> dt;  ///< step sizes, positive, (seqlen, nheads * headdim)
};

/// \brief Exercise 4: rates and step sizes of heads, spread out over channels and states.
/// \param A_log   (nheads)
/// \param dt_bias (nheads)
/// \param dt      raw step sizes, before bias and softplus, (seqlen, nheads)
/// \param headdim channels of a head
/// \param d_state numbers of state for each channel
/// \return rates and step sizes for mamba2::selective_scan()
Untied untie(const Tensor<double, 1>& A_log, const Tensor<double, 1>& dt_bias,
             const Tensor<double, 2>& dt, std::size_t headdim, std::size_t d_state);

}  // namespace exercises
