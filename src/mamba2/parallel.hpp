/// \file parallel.hpp
/// \brief A few threads that share one list of tasks. Explained in @chapter{fast}.
#pragma once

#include <cstddef>
#include <functional>

namespace mamba2 {

/// \brief How many threads the fast operations use, the caller's own included.
/// \return at least 1; at first the number of processors
std::size_t num_threads();

/// \brief Choose how many threads the fast operations use. Results do not depend on it, up to rounding.
/// \param count at least 1
/// \throws ValueError for 0
void set_num_threads(std::size_t count);

/// \brief Run task(0) … task(count − 1), each once, in any order, on the threads of the library; return when all are done.
/// \param count how many tasks
/// \param task  what to do; tasks must not write to the same memory
///
/// An exception thrown by a task is thrown again here, after the others have ended. Called from inside a task, it runs
/// in the calling thread alone.
void parallel_for(std::size_t count, const std::function<void(std::size_t)>& task);

}  // namespace mamba2
