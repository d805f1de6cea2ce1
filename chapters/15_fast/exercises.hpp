/// \file exercises.hpp
/// \brief The exercises of this chapter.
#pragma once

#include <mamba2/tensor.hpp>

#include <atomic>
#include <cstddef>
#include <functional>
#include <thread>

namespace exercises {

using mamba2::Tensor;

/// \brief Exercise 1: the chunk length with the smallest cost.
/// \param d_state  state size N
/// \param headdim  channels of a head, P
/// \param heads    heads that share the scores, H
/// \param overhead what each chunk costs besides, in multiply-adds
/// \return a power of two from 1 to 1024; the smaller one where two cost the same
std::size_t best_chunk(double d_state, double headdim, double heads, double overhead);

/// \brief A number that threads share. A thread that has read it may have to wait before it writes; this one sees to that.
class Counter {
 public:
  /// \brief Read it. \return its value
  std::size_t get() const {
    const std::size_t value = value_;
    std::this_thread::yield();
    return value;
  }
  /// \brief Write it. \param value its new value
  void set(std::size_t value) { value_ = value; }
  /// \brief Read it and add to it, with no other thread in between. \param n what is added \return the value before
  std::size_t add(std::size_t n) { return value_.fetch_add(n); }

 private:
  std::atomic<std::size_t> value_{0};
};

/// \brief Exercise 2: a parallel loop, mended.
/// \param count   how many tasks
/// \param threads how many threads share them, at least 1
/// \param task    called as task(0) ... task(count − 1), each once; what it throws is thrown again here when all threads have ended
void parallel_for(std::size_t count, std::size_t threads, const std::function<void(std::size_t)>& task);

/// \brief A product of two matrices, the second turned round: \f$A B^\top\f$. The grader counts the calls.
/// \param A (rows, n)
/// \param B (columns, n)
/// \return (rows, columns)
using Product =
    std::function<Tensor<double, 2>(const Tensor<double, 2>& A, const Tensor<double, 2>& B)>;

/// \brief Exercise 3: a chunk of all heads of a group.
struct Chunk {
  Tensor<double, 2> B;   ///< how an input enters the states, (length, d_state)
  Tensor<double, 2> C;   ///< how the states are read, (length, d_state)
  Tensor<double, 2> X;   ///< inputs, (length, nheads * headdim), the heads side by side
  Tensor<double, 2> a;   ///< factor on the state of each head at each step, (length, nheads)
  Tensor<double, 2> dt;  ///< step size, (length, nheads)
  Tensor<double, 2>
      state;  ///< before the chunk, (nheads * headdim, d_state), the heads one under the other
};

/// \brief Exercise 3: outputs of the chunk, with nheads + 3 products.
/// \param chunk   what is read; its state becomes the one after the chunk
/// \param product multiplies
/// \return Y, (length, nheads * headdim)
Tensor<double, 2> wide_chunk(Chunk& chunk, const Product& product);

}  // namespace exercises
