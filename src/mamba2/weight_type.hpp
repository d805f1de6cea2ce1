/// \file weight_type.hpp
/// \brief How many bytes a weight takes. Explained in @chapter{fewer_bytes}.
#pragma once

#include <cstddef>

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

}  // namespace mamba2
