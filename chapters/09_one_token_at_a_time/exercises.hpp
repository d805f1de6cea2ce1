/// \file exercises.hpp
/// \brief The exercises of this chapter.
#pragma once

#include <mamba2/block.hpp>

#include <cstddef>
#include <deque>
#include <utility>
#include <vector>

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

/// \brief Exercise 2: where a fading state comes to rest because its steps are rounded away.
/// \param bits significant bits of a number, the leading one included: 8 for bfloat16, 24 for float
/// \param r    the state is multiplied by e^-r at each step, and rounded; positive
/// \return the value at which a state that starts at 1 stays
double frozen_at(int bits, double r);

/// \brief What the input projection made of one text: before the convolution, before bias and softplus.
struct Text {
  Tensor<double, 2> xBC;  ///< (seqlen, conv_dim)
  Tensor<double, 2> dt;   ///< (seqlen, nheads)
};

/// \brief What exercise 3 gives back: all texts, ending together.
struct Batch {
  Tensor<double, 3> xBC;  ///< (texts, longest, conv_dim)
  Tensor<double, 3> dt;   ///< (texts, longest, nheads)
};

/// \brief Exercise 3: texts of different lengths, padded on the left.
/// \param texts at least one
/// \return a batch, to go through the convolution and then, with a dt_bias and softplus, through the scan
Batch pad_left(const std::vector<Text>& texts);

/// \brief What exercise 4 keeps. The last copy is the cache from which the next token goes on.
struct History {
  std::deque<Tensor<double, 2>> tokens;  ///< inputs that may be wanted again, (1, d_model) each
  std::size_t length = 0;                ///< how many tokens there are since the beginning
  /// caches, each with the number of tokens it has seen; at most six
  std::vector<std::pair<std::size_t, mamba2::Mamba2Cache<double>>> copies;
};

/// \brief Exercise 4: one more token.
/// \param block   computes
/// \param history changed; empty before the first token
/// \param u       the token, (1, d_model)
/// \return output, (1, d_model)
Tensor<double, 2> add_token(const mamba2::Mamba2Block<double>& block, History& history,
                            const Tensor<double, 2>& u);

/// \brief Exercise 4: as if the last tokens had never been.
/// \param block   computes, at most sixteen tokens
/// \param history changed
/// \param count   how many tokens to take back: never so many that the text would be more than 64 tokens shorter than it has
///                ever been, nor more than there are
void take_back(const mamba2::Mamba2Block<double>& block, History& history, std::size_t count);

}  // namespace exercises
