/// \file processors.hpp
/// \brief How many processors this process may use, which can be fewer than the machine has. Explained in @chapter{fast}.
#pragma once

#include <cstddef>
#include <functional>
#include <string>

namespace mamba2 {

/// \brief How many processors are there for this process: those it may run on (its affinity), and no more than the control groups
/// that it is in leave it. A container that is given one processor of ninety-six has one.
/// \return at least 1; of a quota with a fraction the whole part
std::size_t usable_processors();

/// \brief The share of the processors that Linux's control groups leave a process: `cpu.max` of version 2, `cpu.cfs_quota_us` and
/// `cpu.cfs_period_us` of version 1, the least of its own group and of all that this one lies in.
/// \param text_of called with the path of a file of the system; returns its text, empty where there is no such file
/// \return in processors, such as 1.5; infinity where nothing is limited or nothing can be read
double processor_quota(const std::function<std::string(const std::string& path)>& text_of);

}  // namespace mamba2
