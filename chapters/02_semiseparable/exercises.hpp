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

/// \brief Exercise 2: the product of the transposed decay mask with a matrix, without the mask.
/// \param dA log-decay of each step, (seqlen)
/// \param G  any matrix, (seqlen, headdim)
/// \return \f$L^\top G\f$, (seqlen, headdim)
Tensor<double, 2> multiply_by_transposed(const Tensor<double, 1>& dA, const Tensor<double, 2>& G);

/// \brief Exercise 3: what the decay mask was multiplied with.
/// \param dA log-decay of each step, (seqlen)
/// \param Y  the product L X, (seqlen, headdim)
/// \return X, (seqlen, headdim)
Tensor<double, 2> undo_mask(const Tensor<double, 1>& dA, const Tensor<double, 2>& Y);

/// \brief What exercise 4 returns.
struct Factors {
  Tensor<double, 2> left;   ///< (end - cut, d_state)
  Tensor<double, 2> right;  ///< (d_state, cut - begin)
};

/// \brief Exercise 4: a block below the diagonal as a product of two narrow matrices.
/// \param dA    log-decay of each step, (seqlen)
/// \param B     how an input enters the state, (seqlen, d_state)
/// \param C     how the state is read, (seqlen, d_state)
/// \param begin first column of the block
/// \param cut   one past the last column, and the first row
/// \param end   one past the last row
/// \return left and right with left · right = M[cut:end, begin:cut]
Factors factor_block(const Tensor<double, 1>& dA, const Tensor<double, 2>& B,
                     const Tensor<double, 2>& C, std::size_t begin, std::size_t cut, std::size_t end);

/// \brief A singular value decomposition, \f$M = U\,\mathrm{diag}(s)\,V^\top\f$, for exercise 5.
struct Decomposition {
  Tensor<double, 2>
      U;  ///< (rows, k) with k the smaller of rows and columns; its columns are orthonormal
  Tensor<double, 1> s;   ///< (k), the largest first
  Tensor<double, 2> Vt;  ///< (k, columns); its rows are orthonormal
};

/// \brief Given, not to be written: decomposes a matrix. The grader brings it along.
/// \param M a matrix, neither side 0
/// \return its decomposition
Decomposition decompose(const Tensor<double, 2>& M);

/// \brief A state space model in the form of Definition 3.2 of the paper.
struct Realization {
  Tensor<double, 3> A;  ///< (seqlen, d_state, d_state); A of step 0 means nothing
  Tensor<double, 2> B;  ///< (seqlen, d_state)
  Tensor<double, 2> C;  ///< (seqlen, d_state)
};

/// \brief Exercise 5: a model whose matrix is M.
/// \param M       lower triangular, (seqlen, seqlen)
/// \param d_state N: every block on or below the diagonal has rank N at most, or is to be approximated by one that has
/// \return A, B, C with \f$M_{ij} = C_i^\top A_i \cdots A_{j+1} B_j\f$ for \f$j \le i\f$
Realization realize(const Tensor<double, 2>& M, std::size_t d_state);

}  // namespace exercises
