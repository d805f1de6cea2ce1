/// \file s4_kernel.hpp
/// \brief S4: a matrix that is diagonal but for one product of vectors, and its kernel. Explained in @chapter{s4}.
#pragma once

#include <mamba2/linear_system.hpp>
#include <mamba2/tensor.hpp>

#include <cstddef>

namespace mamba2 {

/// \brief A continuous model whose matrix is \f$A = \diag(\Lambda) - P P^*\f$.
struct DiagonalPlusLowRank {
  Tensor<Complex, 1> Lambda;  ///< the diagonal, (d_state)
  Tensor<Complex, 1> P;       ///< of what is taken away from it, (d_state)
  Tensor<Complex, 1> B;       ///< how the input enters the state, (d_state)
  Tensor<Complex, 1> C;       ///< how the state is read, (d_state)
};

/// \brief LegS in the basis of the eigenvectors of its normal part.
/// \param C how the state of LegS is read, (d_state)
/// \return the same model as (legs_matrix(N), legs_input(N), C), in other coordinates
DiagonalPlusLowRank legs_diagonal_plus_low_rank(const Tensor<double, 1>& C);

/// \brief The same model with its matrix written out.
/// \param model diagonal plus low rank
/// \return continuous
/// \throws ShapeError if the shapes disagree
LinearSystem<Complex> written_out(const DiagonalPlusLowRank& model);

/// \brief The kernel of the model under the bilinear rule: generating function, Woodbury's identity, sums of Cauchy's kind.
/// \param model  diagonal plus low rank
/// \param dt     step size, positive
/// \param seqlen length of the kernel
/// \return the real part of \f$C \bar A^k \bar B\f$, (seqlen)
/// \throws ShapeError if the shapes disagree
/// \throws ValueError for a step size that is not positive
///
/// Algorithm 1 of the S4 paper, arXiv 2111.00396. Real kernels only: C must be such that \f$C \bar A^k \bar B\f$ is real, as that of
/// legs_diagonal_plus_low_rank() is.
Tensor<double, 1> s4_kernel(const DiagonalPlusLowRank& model, double dt, std::size_t seqlen);

}  // namespace mamba2
