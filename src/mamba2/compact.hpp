/// \file compact.hpp
/// \brief Weights in fewer bytes. Explained in @chapter{fast}.
#pragma once

#include <mamba2/half.hpp>
#include <mamba2/tensor.hpp>

#include <cstddef>
#include <cstdint>

namespace mamba2 {

/// \brief How the large weights of a model are kept in memory.
enum class WeightType {
  full,      ///< as Real, as they were loaded
  bfloat16,  ///< the upper half of a float: two bytes, rounded by at most one part in 256
  int8       ///< one byte, times a scale for each row: rounded by at most half of a 127th of the row's largest weight
};

/// \brief How many bytes a weight takes. \param type its type, full meaning float \return 4, 2 or 1
std::size_t bytes_of(WeightType type);
/// \brief What a type of weights is called. \param type its type, full meaning float \return "float32", "bfloat16" or "int8"
const char* name_of(WeightType type);

/// \brief A weight in fewer bytes. One of the two tensors is in use, or none.
struct CompactWeight {
  Tensor<bfloat16_bits, 2> bfloat16;  ///< (d_out, d_in), or empty
  Tensor<std::int8_t, 2> int8;        ///< (d_out, d_in), or empty
  Tensor<float, 1> scale;             ///< of each row of int8: the weight is scale times int8, (d_out)

  /// \brief Whether there is nothing in it. \return true if neither tensor is in use
  bool empty() const { return bfloat16.size() == 0 && int8.size() == 0; }
};

/// \brief Round a weight to fewer bytes.
/// \param weight (d_out, d_in); empty on return, so that both are never in memory together longer than needed
/// \param type   bfloat16 or int8
/// \return the same weight, rounded; as int8, a row that holds an infinity or a NaN is all NaN
/// \throws ValueError for the type full
template <class Real>
CompactWeight compact(Tensor<Real, 2>& weight, WeightType type);

}  // namespace mamba2
