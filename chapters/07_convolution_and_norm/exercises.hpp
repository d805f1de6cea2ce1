/// \file exercises.hpp
/// \brief The exercises of this chapter.
#pragma once

#include <mamba2/tensor.hpp>

#include <cstddef>

namespace exercises {

using mamba2::Tensor;

/// \brief Exercise 1: one channel through the short convolution, without SiLU.
/// \param x     inputs, (seqlen)
/// \param taps  the last one for the token itself, (d_conv)
/// \param bias  added to each output
/// \param state the d_conv inputs before the first token, the newest last, (d_conv)
/// \return outputs, (seqlen)
Tensor<double, 1> convolve_channel(const Tensor<double, 1>& x, const Tensor<double, 1>& taps,
                                   double bias, const Tensor<double, 1>& state);

/// \brief Exercise 2: the inputs that one channel must remember.
/// \param x     inputs, (seqlen); seqlen may be less than d_conv, or 0
/// \param state the d_conv inputs before the first token, the newest last, (d_conv)
/// \return the last d_conv inputs after the last token, the newest last, (d_conv)
Tensor<double, 1> state_after(const Tensor<double, 1>& x, const Tensor<double, 1>& state);

/// \brief Exercise 3: gate and norm of one row, in groups.
/// \param y                what is normed, (features)
/// \param z                the gate, (features)
/// \param weight           (features)
/// \param groups           a divisor of features; each group of neighbours has its own mean square
/// \param norm_before_gate norm(y) * silu(z) rather than norm(y * silu(z))
/// \param eps              added to the mean square
/// \return (features)
Tensor<double, 1> gate_and_norm(const Tensor<double, 1>& y, const Tensor<double, 1>& z,
                                const Tensor<double, 1>& weight, std::size_t groups,
                                bool norm_before_gate, double eps);

/// \brief What exercise 4 gives back.
struct Taps {
  Tensor<double, 1> key;    ///< taps of the key channels, the last one for the token itself, (4)
  Tensor<double, 1> value;  ///< taps of the value channels, (4)
};

/// \brief Exercise 4: taps that put the key of the token before beside the value of the token itself.
/// \return four taps for either kind of channel
Taps taps_of_a_memory();

}  // namespace exercises
