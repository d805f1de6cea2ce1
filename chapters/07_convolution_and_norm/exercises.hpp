/// \file exercises.hpp
/// \brief The exercises of this chapter.
#pragma once

#include <mamba2/tensor.hpp>

#include <cstddef>
#include <vector>

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

/// \brief Exercise 3, first half: the one number that a machine sends about its channels of a token.
/// \param y                what is normed, this machine's channels of it
/// \param z                their gates
/// \param norm_before_gate norm(y) * silu(z) rather than norm(y * silu(z))
/// \return what is to be added up over all machines
double tell(const Tensor<double, 1>& y, const Tensor<double, 1>& z, bool norm_before_gate);

/// \brief Exercise 3, second half: gate and norm of this machine's channels.
/// \param y, z, norm_before_gate as for tell()
/// \param weight   of this machine's channels
/// \param total    the sum of what all machines have sent
/// \param features how many channels all machines have together
/// \param eps      added to the mean square
/// \return this machine's channels of the result
Tensor<double, 1> finish(const Tensor<double, 1>& y, const Tensor<double, 1>& z,
                         const Tensor<double, 1>& weight, bool norm_before_gate, double total,
                         std::size_t features, double eps);

/// \brief A word of exercise 4.
enum class Word {
  animal,    ///< what facts are about
  sound,     ///< what is said, or heard
  says,      ///< "the cat says meow"
  hears,     ///< "the dog hears meow"
  question,  ///< the sign at the end of "what says the cat ?"
  other      ///< everything else
};

/// \brief The layer of exercise 4: what each word brings, and the taps. The last tap is for the word itself.
struct Layer {
  Tensor<double, 2> x;     ///< the output has as many channels as there are words, (words, words)
  Tensor<double, 2> B, C;  ///< (words, d_state): as many states as you like
  Tensor<double, 1> dt;    ///< step sizes as they are, no softplus, not negative, (words)
  Tensor<double, 1> x_taps, B_taps, C_taps;   ///< (4): all channels of a kind have the same
  double x_bias = 0, B_bias = 0, C_bias = 0;  ///< added before the SiLU
  double A = -1;                              ///< rate, negative
};

/// \brief Exercise 4: a layer that remembers what each animal says.
/// \param words the vocabulary: what each word is
/// \return under the question mark, the output must be largest in the channel of the right sound
Layer what_the_cat_says(const std::vector<Word>& words);

}  // namespace exercises
