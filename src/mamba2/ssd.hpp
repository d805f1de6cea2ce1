/// \file ssd.hpp
/// \brief The operator of Mamba-2 as models call it: any length, states in and out, groups, D, gate. Explained in @chapter{real_sequences}.
#pragma once

#include <mamba2/matrix.hpp>
#include <mamba2/tensor.hpp>

#include <cstdint>
#include <limits>
#include <optional>
#include <span>
#include <vector>

namespace mamba2 {

/// \brief Which of the equal forms computes the result.
enum class Algorithm {
  recurrent,  ///< one step after the other (@chapter{state_space})
  quadratic,  ///< the dual form, one seqlen × seqlen matrix per head (@chapter{duality})
  chunked     ///< the chunked scan (@chapter{chunked_scan})
};

/// \brief The sizes of a scan.
struct ScanSizes {
  std::size_t batch;    ///< batch entries
  std::size_t seqlen;   ///< tokens of each
  std::size_t nheads;   ///< heads
  std::size_t headdim;  ///< channels of a head, P
  std::size_t ngroups;  ///< groups of heads that share B and C
  std::size_t d_state;  ///< state of a channel, N
};

//: scan_ref
/// \brief What the operator reads, wherever it lies: a row for each token, the tokens of a batch entry one under the other.
///
/// Nothing is owned and nothing is copied. Rows may lie apart, so x, B and C may be columns of one matrix; a head, a group, a
/// batch entry, a stretch of time is a scan again: see some_heads(), one_sequence(), some_tokens().
template <class Real>
struct ScanRef {
  ScanSizes sizes;                     ///< what the shapes below mean
  MatrixRef<const Real> x;             ///< inputs, (batch * seqlen, nheads * headdim)
  MatrixRef<const Real> dt;            ///< step sizes before bias, softplus and limits, (batch * seqlen, nheads)
  std::span<const Real> A;             ///< rate of each head, negative, (nheads)
  MatrixRef<const Real> B;             ///< how an input enters the state, (batch * seqlen, ngroups * d_state)
  MatrixRef<const Real> C;             ///< how the state is read, (batch * seqlen, ngroups * d_state)
  std::span<const Real> D = {};        ///< skip, (nheads) or (nheads * headdim): y += D x; empty for none
  MatrixRef<const Real> z = {};        ///< gate, (batch * seqlen, nheads * headdim): y *= silu(z); null for none
  std::span<const Real> dt_bias = {};  ///< added to dt, (nheads); empty for none
  std::span<const std::int64_t> seq_idx =
      {};  ///< (batch * seqlen): the state restarts where it changes; empty: nowhere
};
//: end

/// \brief The states of a scan in somebody else's memory: before the first token on entry, after the last on return.
template <class Real>
struct ScanState {
  MatrixRef<Real> state;  ///< (batch, nheads * headdim * d_state)
  /// What rounding has taken from each state, (batch, nheads): as many numbers as it has, to be added to them, or none at all.
  /// Heads that forget slowly lose digits from token to token without it. Null where nobody keeps it.
  MatrixRef<std::vector<Real>> remainder = {};

  /// \brief A state, with or without what rounding takes from it. \param values the state \param rest the remainder
  ScanState(MatrixRef<Real> values, MatrixRef<std::vector<Real>> rest = {}) : state(values), remainder(rest) {}
};

/// \brief What rounding has taken from a number of a state, if it is that: never more than half of the number's last digit.
/// \param value    the number
/// \param recorded what was kept beside it
/// \return recorded, or 0 where that belongs to another number, which this one has replaced
template <class Real>
Real own_remainder(Real value, Real recorded) {
  return value + recorded == value ? recorded : Real(0);
}

/// \brief What the operator reads, in tensors of its own.
template <class Real>
struct ScanInput {
  Tensor<Real, 4> x;                       ///< inputs, (batch, seqlen, nheads, headdim)
  Tensor<Real, 3> dt;                      ///< step sizes before bias, softplus and limits, (batch, seqlen, nheads)
  Tensor<Real, 1> A;                       ///< rate of each head, negative, (nheads)
  Tensor<Real, 4> B;                       ///< how an input enters the state, (batch, seqlen, ngroups, d_state)
  Tensor<Real, 4> C;                       ///< how the state is read, (batch, seqlen, ngroups, d_state)
  std::optional<Tensor<Real, 2>> D;        ///< skip, (nheads, 1) or (nheads, headdim): y += D x
  std::optional<Tensor<Real, 4>> z;        ///< gate, (batch, seqlen, nheads, headdim): y *= silu(z)
  std::optional<Tensor<Real, 1>> dt_bias;  ///< added to dt, (nheads)
  std::optional<Tensor<Real, 4>> initial_state;    ///< before the first token, (batch, nheads, headdim, d_state)
  std::optional<Tensor<std::int64_t, 2>> seq_idx;  ///< (batch, seqlen): the state restarts where it changes

  /// \brief A reference to all of it but the initial state, which the algorithms find in the place of the last one.
  /// \return references; they last as long as the tensors
  operator ScanRef<Real>() const;
};

//: options
/// \brief How the operator computes.
struct ScanOptions {
  /// dt = softplus(dt + dt_bias) rather than dt + dt_bias
  bool dt_softplus = true;
  /// dt is raised to this, after softplus
  double dt_min = 0;
  /// dt is lowered to this, after softplus
  double dt_max = std::numeric_limits<double>::infinity();
  /// Q of the chunked form; changes speed, never results
  std::size_t chunk_size = 64;
  /// which of the equal forms
  Algorithm algorithm = Algorithm::chunked;
};
//: end

/// \brief What the operator leaves behind.
template <class Real>
struct ScanOutput {
  Tensor<Real, 4> y;           ///< outputs, (batch, seqlen, nheads, headdim)
  Tensor<Real, 4> last_state;  ///< state after the last token, (batch, nheads, headdim, d_state)
};

/// \brief Refuse what ssd() cannot compute, and tell the sizes of the rest.
/// \param input   tensors of any length and batch, zero included
/// \param options dt rules, chunk size, algorithm
/// \return the sizes
/// \throws ShapeError naming the argument whose shape disagrees, or if ngroups does not divide nheads
/// \throws ValueError for a chunk size of 0, limits in the wrong order, below 0 or not a number
template <class Real>
ScanSizes scan_sizes(const ScanInput<Real>& input, const ScanOptions& options);

/// \brief The step size that the recurrence uses: softplus (if asked for), then the limits.
/// \param raw     dt + dt_bias
/// \param options dt_softplus, dt_min and dt_max
/// \return \f$\Delta\f$
template <class Real>
Real step_size(Real raw, const ScanOptions& options);

/// \brief All step sizes of an input: bias, softplus, limits, in this order.
/// \param input   dt and dt_bias are read
/// \param options dt_softplus, dt_min and dt_max
/// \return \f$\Delta\f$, (batch, seqlen, nheads)
template <class Real>
Tensor<Real, 3> step_sizes(const ScanInput<Real>& input, const ScanOptions& options);

/// \brief The group whose B and C a head uses.
/// \param head    index of the head, less than nheads
/// \param nheads  number of heads
/// \param ngroups number of groups, a divisor of nheads
/// \return index of the group: heads lie in the order of their groups
std::size_t group_of_head(std::size_t head, std::size_t nheads, std::size_t ngroups);

/// \brief Some neighbouring heads of a scan, as a scan.
/// \param scan  a scan
/// \param first the first of the heads
/// \param count how many: heads of one group, or all heads of some groups
/// \return references to what is theirs; B and C are those of their groups
template <class Real>
ScanRef<Real> some_heads(const ScanRef<Real>& scan, std::size_t first, std::size_t count);

/// \brief One entry of a batch, as a scan.
/// \param scan  a scan
/// \param entry which, less than batch
/// \return references to what is its own
template <class Real>
ScanRef<Real> one_sequence(const ScanRef<Real>& scan, std::size_t entry);

/// \brief Some neighbouring tokens of a single sequence, as a scan.
/// \param scan  a scan whose batch is 1
/// \param first the first of the tokens
/// \param count how many
/// \return references to their rows
template <class Real>
ScanRef<Real> some_tokens(const ScanRef<Real>& scan, std::size_t first, std::size_t count);

/// \brief Where packed sequences begin and end.
/// \param seq_idx which sequence each token is of, (seqlen): any numbers; a new sequence begins where they change
/// \return 0, the index of every token that differs from the one before it, and seqlen
std::vector<std::size_t> sequence_bounds(std::span<const std::int64_t> seq_idx);

/// \brief The state space dual operator of Mamba-2.
/// \param input   tensors of any length and batch, zero included
/// \param options dt rules, chunk size, algorithm
/// \return outputs and the last state
/// \throws ShapeError naming the argument whose shape disagrees, or if ngroups does not divide nheads
/// \throws ValueError for a chunk size of 0, limits in the wrong order, below 0 or not a number
///
/// A NaN among the inputs reaches all outputs from its token on. In the chunked and the quadratic form it may reach earlier
/// ones, too: those of its own chunk, because there every output is a sum over all tokens of the chunk in which the later ones
/// have the weight 0, and 0 times NaN is NaN. So it is with infinities.
///
/// With `seq_idx`, `initial_state` is the state before the first sequence of each batch entry, every later one starts
/// from zero, and `last_state` is what the last one leaves behind.
template <class Real>
ScanOutput<Real> ssd(const ScanInput<Real>& input, const ScanOptions& options = {});

/// \brief The operations for callers that know their input to be valid: nothing is checked, nothing is owned, results are
/// written where the caller says. What a table of operations holds.
namespace unchecked {

/// \brief ssd() on references.
/// \param input   references whose sizes agree
/// \param options as for ssd()
/// \param state   before the first token on entry, after the last on return
/// \param y       receives the outputs, (batch * seqlen, nheads * headdim)
template <class Real>
void scan(const ScanRef<Real>& input, const ScanOptions& options, ScanState<Real> state, MatrixRef<Real> y);

}  // namespace unchecked

}  // namespace mamba2
