/// \file exercises.hpp
/// \brief The exercises of this chapter.
#pragma once

#include <mamba2/block.hpp>

#include <cstddef>

namespace exercises {

using mamba2::Tensor;

/// \brief The last inputs of one channel, in a ring.
struct Ring {
  Tensor<double, 1> inputs;  ///< the last d_conv inputs, (d_conv)
  std::size_t newest;  ///< place of the newest; the one before it lies to its left, round the ring
};

/// \brief Exercise 1: one step of the convolution without moving a number, and without SiLU.
/// \param x    the new input
/// \param taps the last one for the new input itself, (d_conv)
/// \param bias added to the sum
/// \param ring what came before on entry, the new input included on return
/// \return the output
double ring_step(double x, const Tensor<double, 1>& taps, double bias, Ring& ring);

/// \brief What exercise 2 knows of a head.
struct Head {
  double A;               ///< rate, negative
  double dt_bias;         ///< added to the raw step size
  double dt_min, dt_max;  ///< limits of the step size
  double D;               ///< skip
};

/// \brief Exercise 2: one token through the scan of one head.
/// \param head   the head's own numbers
/// \param x      the token's channels, (headdim)
/// \param raw_dt the token's step size before bias, softplus and limits
/// \param B      how the token enters the state, (d_state)
/// \param C      how the state is read, (d_state)
/// \param state  before the token on entry, after it on return, (headdim, d_state)
/// \return outputs, (headdim)
Tensor<double, 1> head_step(const Head& head, const Tensor<double, 1>& x, double raw_dt,
                            const Tensor<double, 1>& B, const Tensor<double, 1>& C,
                            Tensor<double, 2>& state);

/// \brief Exercise 3: from which length on attention keeps more numbers than Mamba-2.
/// \param sizes of the Mamba-2 blocks; attention has the same d_model and as many layers
/// \return the least number of tokens whose keys and values are more numbers than the caches
std::size_t attention_needs_more(const mamba2::Mamba2Sizes& sizes);

}  // namespace exercises
