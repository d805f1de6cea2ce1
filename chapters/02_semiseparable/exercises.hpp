/// \file exercises.hpp
/// \brief The exercises of this chapter.
#pragma once

#include <mamba2/tensor.hpp>

#include <cstddef>
#include <vector>

namespace exercises {

using mamba2::Tensor;

/// \brief Exercise 1: the decay mask of several documents in one sequence.
/// \param dA     log-decay of each step, finite, (seqlen)
/// \param begins for each step, whether a document begins with it
/// \return L, (seqlen, seqlen): zero above the diagonal and between documents
Tensor<double, 2> mask_of_documents(const Tensor<double, 1>& dA, const std::vector<bool>& begins);

/// \brief Exercise 2: the product of the decay mask with a matrix, without the mask.
/// \param dA log-decay of each step, (seqlen)
/// \param X  any matrix, (seqlen, headdim)
/// \return L X, (seqlen, headdim)
Tensor<double, 2> multiply_by_mask(const Tensor<double, 1>& dA, const Tensor<double, 2>& X);

/// \brief What exercise 3 returns.
struct Factors {
  Tensor<double, 2> left;   ///< (end - cut, d_state)
  Tensor<double, 2> right;  ///< (d_state, cut - begin)
};

/// \brief Exercise 3: a block below the diagonal as a product of two narrow matrices.
/// \param dA    log-decay of each step, (seqlen)
/// \param B     how an input enters the state, (seqlen, d_state)
/// \param C     how the state is read, (seqlen, d_state)
/// \param begin first column of the block
/// \param cut   one past the last column, and the first row
/// \param end   one past the last row
/// \return left and right with left · right = M[cut:end, begin:cut]
Factors factor_block(const Tensor<double, 1>& dA, const Tensor<double, 2>& B,
                     const Tensor<double, 2>& C, std::size_t begin, std::size_t cut, std::size_t end);

}  // namespace exercises
