/// \file mixer_input.hpp
/// \brief What a mixer reads: tokens, and how to go about them. Explained in @chapter{mamba2_block}.
#pragma once

#include <mamba2/matrix.hpp>
#include <mamba2/ssd.hpp>

#include <cstdint>
#include <span>

namespace mamba2 {

//: input
/// \brief A piece of text as a mixer reads it. Nothing is owned.
template <class Real>
struct MixerInput {
  MatrixRef<const Real> u;  ///< a row for each token of each sequence, (batch * seqlen, d_model)
  std::size_t batch;        ///< how many sequences lie one after the other in the rows of u
  /// which sequence a token is of, (batch * seqlen): nothing reaches over a change; empty: one to each batch entry
  std::span<const std::int64_t> seq_idx = {};
  Algorithm algorithm = Algorithm::chunked;  ///< which of the equal forms of the scan
  std::size_t chunk_size = 0;                ///< Q of the chunked form; 0 for the one that suits the operations
};
//: end

}  // namespace mamba2
