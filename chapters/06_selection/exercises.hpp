/// \file exercises.hpp
/// \brief The exercises of this chapter.
#pragma once

#include <mamba2/tensor.hpp>

#include <cstddef>
#include <string>

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

/// \brief What exercise 3 gives back.
struct Hump {
  double slow;  ///< weight of the slow head's output in the mixture
  double fast;  ///< weight of the fast head's
  double top;   ///< how many tokens back the kernel is highest, not always a whole number
};

/// \brief Exercise 3: two heads whose mixture has a hump for a kernel.
/// \param slow log-decay of the slow head: it keeps e^slow of its state at each token; negative
/// \param fast log-decay of the fast head, below that of the slow one
/// \return w_slow e^(slow k) + w_fast e^(fast k) is 0 at k = 0, and 1 at its top
Hump hump(double slow, double fast);

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

/// \brief The cash register of exercise 5: two heads of one channel and one state, which share B and C.
/// Head 0 keeps the bill of the customer, head 1 the takings of the day.
struct Register {
  Tensor<double, 2> x;        ///< what each character puts in, (characters, 2)
  Tensor<double, 2> dt;       ///< raw step size of each character, (characters, 2)
  Tensor<double, 1> B, C;     ///< of each character, (characters)
  Tensor<double, 1> dt_bias;  ///< (2); the softplus comes after it
  Tensor<double, 1> A_log;    ///< (2)
};

/// \brief Exercise 5: a layer that keeps accounts.
/// \param characters what may come, each once: digits, "=", "#", "n", "d", and others that mean nothing
/// \return its weights; at "=" head 0 must say the bill, at "#" head 1 the takings
Register cash_register(const std::string& characters);

}  // namespace exercises
