/// \file fast.hpp
/// \brief The table of operations that run at the machine's speed. Explained in @chapter{fast}.
#pragma once

#include <mamba2/operations.hpp>

namespace mamba2 {

/// \brief The operations of @chapter{fast}: the same numbers up to rounding, in less time.
/// \return a table that lives as long as the program
template <class Real>
const Operations<Real>& fast_operations();

/// \brief ssd() by wide products, running products instead of exponentials, and threads over the heads.
/// \param input   as for ssd()
/// \param options as for ssd(); the algorithm is this one, whatever is asked for
/// \return as ssd(): the same numbers up to rounding, whatever the number of threads
/// \throws ShapeError, ValueError as ssd()
///
/// As in ssd(), a NaN or an infinity among the inputs x reaches earlier outputs of its own chunk, too: there they are sums in which
/// it has the weight 0, and that product is NaN. Only the recurrence, and chunks of up to 8 tokens, keep it from them.
template <class Real>
ScanOutput<Real> fast_ssd(const ScanInput<Real>& input, const ScanOptions& options = {});

namespace unchecked {

/// \brief fast_ssd() on references, as unchecked::scan().
/// \param input   references whose sizes agree
/// \param options as for ssd()
/// \param state   before the first token on entry, after the last on return
/// \param y       receives the outputs, (batch * seqlen, nheads * headdim)
template <class Real>
void fast_scan(const ScanRef<Real>& input, const ScanOptions& options, ScanState<Real> state, MatrixRef<Real> y);

/// \brief unchecked::scan_step() by wide loops, with threads over the heads. Remainders are kept only for heads that forget
/// slowly, see slow_decay.
/// \param input   the token as a sequence of length 1, without z and seq_idx
/// \param options dt rules
/// \param state   before the token on entry, after it on return
/// \param y       receives the outputs, (batch, nheads * headdim)
template <class Real>
void fast_scan_step(const ScanRef<Real>& input, const ScanOptions& options, ScanState<Real> state, MatrixRef<Real> y);

}  // namespace unchecked
}  // namespace mamba2
