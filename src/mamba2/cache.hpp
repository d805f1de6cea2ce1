/// \file cache.hpp
/// \brief The two halves of a step: what convolution and scan do with one more token. Explained in @chapter{one_token_at_a_time}.
#pragma once

#include <mamba2/matrix.hpp>
#include <mamba2/ssd.hpp>
#include <mamba2/tensor.hpp>

#include <span>
#include <vector>

namespace mamba2 {

/// \brief One token through the short convolution: move the window on, then weigh it, then SiLU.
/// \param x      the token's channels, (batch, channels)
/// \param weight taps, the last one for the token itself, (channels, d_conv)
/// \param bias   (channels), or empty for none
/// \param state  the last d_conv inputs, the newest last: before the token on entry, the token included on return,
///               (batch, channels, d_conv)
/// \param y      receives the results, (batch, channels)
/// \throws ShapeError if the shapes disagree
template <class Real>
void convolution_step(MatrixRef<const Real> x, MatrixRef<const Real> weight, std::span<const Real> bias,
                      Tensor<Real, 3>& state, MatrixRef<Real> y);

/// \brief One token through the scan: \f$h \leftarrow e^{\Delta A} h + \Delta x B^\top\f$, \f$y = h C + D x\f$.
/// \param input   the token as a sequence of length 1; its z, initial_state and seq_idx must be empty
/// \param options dt rules; chunk size and algorithm do not matter
/// \param state   before the token on entry, after it on return, (batch, nheads, headdim, d_state)
/// \param remainder what rounding takes from the state, one entry for each head of each batch entry, (batch * nheads): empty
///                  before the first step, then handed from step to step with the state. Null: digits are lost from step to
///                  step where a head forgets slowly
/// \return y, (batch, 1, nheads, headdim)
/// \throws ShapeError naming the argument whose shape disagrees
/// \throws ValueError for limits that ssd() refuses, and for a z, initial_state or seq_idx
template <class Real>
Tensor<Real, 4> scan_step(const ScanInput<Real>& input, const ScanOptions& options, Tensor<Real, 4>& state,
                          std::vector<std::vector<Real>>* remainder = nullptr);

namespace unchecked {

/// \brief mamba2::convolution_step() of valid input.
/// \param x      as there
/// \param weight as there
/// \param bias   as there
/// \param state  as there, (batch, channels * d_conv)
/// \param y      as there
template <class Real>
void convolution_step(MatrixRef<const Real> x, MatrixRef<const Real> weight, std::span<const Real> bias,
                      MatrixRef<Real> state, MatrixRef<Real> y);

/// \brief mamba2::scan_step() on references.
/// \param input   the token as a sequence of length 1, without z and seq_idx
/// \param options dt rules
/// \param state   before the token on entry, after it on return
/// \param y       receives the outputs, (batch, nheads * headdim)
template <class Real>
void scan_step(const ScanRef<Real>& input, const ScanOptions& options, ScanState<Real> state, MatrixRef<Real> y);

}  // namespace unchecked
}  // namespace mamba2
