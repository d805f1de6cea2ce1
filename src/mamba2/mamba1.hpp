/// \file mamba1.hpp
/// \brief Mamba-1, for comparison: the selective scan with a rate per channel and state, and its block. Explained in @chapter{selection}.
#pragma once

#include <mamba2/matrix.hpp>
#include <mamba2/tensor.hpp>

#include <cstdint>
#include <span>
#include <tuple>

namespace mamba2 {

/// \brief What the selective scan of Mamba-1 reads, in tensors of its own.
template <class Real>
struct SelectiveScanInput {
  Tensor<Real, 3> x;   ///< inputs, (batch, seqlen, d_inner)
  Tensor<Real, 3> dt;  ///< step sizes, positive: one for each channel, (batch, seqlen, d_inner)
  Tensor<Real, 2> A;   ///< rates, negative: one for each channel and state, (d_inner, d_state)
  Tensor<Real, 3> B;   ///< how an input enters the state, shared by all channels, (batch, seqlen, d_state)
  Tensor<Real, 3> C;   ///< how the state is read, shared by all channels, (batch, seqlen, d_state)
  Tensor<Real, 1> D;   ///< skip, (d_inner): y += D x
};

/// \brief The same, wherever it lies: a row for each token, the tokens of a sequence one under the other.
template <class Real>
struct SelectiveScanRef {
  std::size_t batch;         ///< sequences in the rows
  MatrixRef<const Real> x;   ///< inputs, (batch * seqlen, d_inner)
  MatrixRef<const Real> dt;  ///< step sizes, positive, (batch * seqlen, d_inner)
  MatrixRef<const Real> A;   ///< rates, negative, (d_inner, d_state)
  MatrixRef<const Real> B;   ///< how an input enters the state, (batch * seqlen, d_state)
  MatrixRef<const Real> C;   ///< how the state is read, (batch * seqlen, d_state)
  std::span<const Real> D;   ///< skip, (d_inner)
  std::span<const std::int64_t> seq_idx =
      {};  ///< (batch * seqlen): the state restarts where it changes; empty: nowhere
};

/// \brief What the selective scan leaves behind.
template <class Real>
struct SelectiveScanOutput {
  Tensor<Real, 3> y;           ///< outputs, (batch, seqlen, d_inner)
  Tensor<Real, 3> last_state;  ///< state after the last token, (batch, d_inner, d_state)
};

/// \brief The selective scan of Mamba-1: one recurrence for each channel and state.
/// \param input from a state of zeros
/// \return outputs and the last state
/// \throws ShapeError naming the argument whose shape disagrees
template <class Real>
SelectiveScanOutput<Real> selective_scan(const SelectiveScanInput<Real>& input);

namespace unchecked {

/// \brief selective_scan() on references, from any state.
/// \param input references whose sizes agree
/// \param state (batch, d_inner * d_state): before the first token on entry, after the last on return
/// \param y     receives the outputs, (batch * seqlen, d_inner)
template <class Real>
void selective_scan(const SelectiveScanRef<Real>& input, MatrixRef<Real> state, MatrixRef<Real> y);

}  // namespace unchecked

/// \brief The parameters of one Mamba-1 block under their checkpoint names (with "." and "_" exchanged where C++ asks for it).
template <class Real>
struct Mamba1Parameters {
  using value_type = Real;             ///< of the numbers
  Tensor<Real, 2> in_proj_weight;      ///< (2 d_inner, d_model): x, then z
  Tensor<Real, 3> conv1d_weight;       ///< (d_inner, 1, d_conv)
  Tensor<Real, 1> conv1d_bias;         ///< (d_inner), or empty for none
  Tensor<Real, 2> x_proj_weight;       ///< (dt_rank + 2 d_state, d_inner): dt, B, C
  Tensor<Real, 2> dt_proj_weight;      ///< (d_inner, dt_rank)
  Tensor<Real, 1> dt_proj_bias;        ///< (d_inner)
  Tensor<Real, 2> A_log;               ///< (d_inner, d_state)
  Tensor<Real, 1> D;                   ///< (d_inner)
  Tensor<Real, 2> out_proj_weight;     ///< (d_model, d_inner)
  Tensor<Real, 1> in_proj_bias = {};   ///< (2 d_inner), or empty for none
  Tensor<Real, 1> out_proj_bias = {};  ///< (d_model), or empty for none

  /// \brief All of them. \param p parameters, const or not \return references, in the order of a checkpoint
  template <class Self>
  static auto tensors(Self& p) {
    return std::tie(p.A_log, p.D, p.in_proj_weight, p.in_proj_bias, p.conv1d_weight, p.conv1d_bias, p.x_proj_weight,
                    p.dt_proj_weight, p.dt_proj_bias, p.out_proj_weight, p.out_proj_bias);
  }
};

/// \brief What a Mamba-1 block gives back.
template <class Real>
struct Mamba1Output {
  Tensor<Real, 3> y;          ///< outputs, (batch, seqlen, d_model)
  Tensor<Real, 3> ssm_state;  ///< state after the last token, (batch, d_inner, d_state)
};

/// \brief One Mamba-1 block, from a state of zeros.
/// \param parameters the weights; all sizes are read off them
/// \param u          inputs, (batch, seqlen, d_model)
/// \return outputs and the last state
/// \throws ShapeError naming the argument whose shape disagrees
///
/// Written for comparison, not for speed.
template <class Real>
Mamba1Output<Real> mamba1_block(const Mamba1Parameters<Real>& parameters, const Tensor<Real, 3>& u);

}  // namespace mamba2
