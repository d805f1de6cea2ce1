/// \file limits.hpp
/// \brief What this machine can do at best: the two limits that everything is measured against. Explained in chapter 14.
#pragma once

#include <cstddef>

namespace mamba2 {

/// \brief How fast the machine multiplies matrices: large square products in float, one per thread.
/// \param threads how many at the same time
/// \return floating-point operations per second, a multiply-add counted as two
double measure_product_peak(std::size_t threads);

/// \brief How fast the machine reads memory: a sum over an array that no cache holds, split among the threads.
/// \param threads how many read
/// \return bytes per second
double measure_read_bandwidth(std::size_t threads);

}  // namespace mamba2
