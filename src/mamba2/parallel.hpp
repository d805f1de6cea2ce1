/// \file parallel.hpp
/// \brief A few threads that share one list of tasks. Explained in @chapter{fast}.
#pragma once

#include <cstddef>
#include <type_traits>

namespace mamba2 {

/// \brief How many threads the fast operations use, the caller's own included.
/// \return at least 1; at first usable_processors()
std::size_t num_threads();

/// \brief Choose how many threads the fast operations use. Results do not depend on it, up to rounding.
/// \param count at least 1
/// \throws ValueError for 0, and for more than anybody needs: 1024, or four for each processor where that is more
///
/// The threads start with the next parallel_for(), which throws where the system does not give so many.
void set_num_threads(std::size_t count);

/// \brief While it lives, products in this thread are made by this thread alone: the libraries that make them, BLAS and oneDNN,
/// would start threads of their own, which fight with ours for the processors.
///
/// Where they are built on OpenMP, the number of threads belongs to the thread that sets it, and is given back in the end. OpenBLAS
/// with threads of its own has one number for the whole process: it is set to 1 and stays so, for the program that uses the
/// library, too. Such a program sets it again (`openblas_set_num_threads`) when it has done with the library's fast operations.
class OneThread {
 public:
  OneThread();
  ~OneThread();
  OneThread(const OneThread&) = delete;
  OneThread& operator=(const OneThread&) = delete;

 private:
  int before_ = 1;
};

/// \brief A reference to something that can be called with a number: nothing is copied, no memory is asked for.
class TaskRef {
 public:
  /// \brief Refer to a task. \param task called as task(i); it must outlive the reference
  template <class Task>
    requires(!std::is_same_v<std::remove_cvref_t<Task>, TaskRef>)
  TaskRef(const Task& task)
      : task_(&task), call_([](const void* t, std::size_t i) { (*static_cast<const Task*>(t))(i); }) {}

  /// \brief Do it. \param i which
  void operator()(std::size_t i) const { call_(task_, i); }

 private:
  const void* task_;
  void (*call_)(const void*, std::size_t);
};

/// \brief Run task(0) … task(count − 1), each once, in any order, on the threads of the library; return when all are done.
/// \param count how many tasks
/// \param task  what to do; tasks must not write to the same memory
///
/// An exception thrown by a task is thrown again here, after the others have ended. Called from inside a task, it runs
/// in the calling thread alone. In every task there is a OneThread. After a `fork()` the child starts threads of its own when
/// it first needs them.
/// \throws ValueError if the system does not start as many threads as set_num_threads() asked for; none is left then, and a smaller
///         number can be chosen
void parallel_for(std::size_t count, TaskRef task);

}  // namespace mamba2
