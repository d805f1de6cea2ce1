// Our solutions.
#include "exercises.hpp"

#include <exception>
#include <mutex>
#include <vector>

namespace exercises {

//: 1
// Per token: the scores once for all heads, mask and states for each head, and a Q-th of the
// chunk's overhead.
std::size_t best_chunk(double d_state, double headdim, double heads, double overhead) {
  std::size_t best = 1;
  double lowest = 0;
  for (std::size_t chunk = 1; chunk <= 1024; chunk *= 2) {
    const double Q = static_cast<double>(chunk), N = d_state, P = headdim;
    const double cost = Q * N + heads * (Q * P + 2 * N * P) + overhead / Q;
    if (chunk == 1 || cost < lowest) best = chunk, lowest = cost;
  }
  return best;
}
//: end

//: 2
// One call both reads the counter and moves it on, so every turn is given to one thread. The first
// exception is kept, the others end their turns, and it is thrown when nobody is at work any more.
void parallel_for(std::size_t count, std::size_t threads,
                  const std::function<void(std::size_t)>& task) {
  Counter next;
  std::mutex mutex;
  std::exception_ptr failure;
  std::vector<std::thread> workers;
  for (std::size_t i = 0; i < threads; ++i)
    workers.emplace_back([&] {
      for (std::size_t turn; (turn = next.add(1)) < count;) {
        try {
          task(turn);
        } catch (...) {
          const std::lock_guard lock(mutex);
          if (!failure) failure = std::current_exception();
        }
      }
    });
  for (std::thread& worker : workers) worker.join();
  if (failure) std::rethrow_exception(failure);
}
//: end

//: 3
// What the states say to all heads is one product, and fades head by head. The mask of a head is
// made row by row; its last row says what each token leaves behind.
Tensor<double, 2> wide_chunk(Chunk& chunk, const Product& product) {
  const std::size_t length = chunk.X.shape(0), heads = chunk.a.shape(1), N = chunk.B.shape(1);
  const std::size_t P = chunk.X.shape(1) / heads;
  const auto scores = product(chunk.C, chunk.B);
  auto Y = product(chunk.C, chunk.state);
  auto left =
      mamba2::zeros<double>(heads * P, length);  // the inputs, turned round, as they are at the end
  for (std::size_t h = 0; h < heads; ++h) {
    auto M = mamba2::zeros<double>(length, length), X_h = mamba2::zeros<double>(P, length);
    auto decay = mamba2::zeros<double>(length);
    double faded = 1;
    for (std::size_t i = 0; i < length; ++i) {
      faded *= chunk.a(i, h);
      for (std::size_t j = 0; j < i; ++j) decay(j) *= chunk.a(i, h);
      decay(i) = chunk.dt(i, h);
      for (std::size_t j = 0; j <= i; ++j) M(i, j) = scores(i, j) * decay(j);
      for (std::size_t p = 0; p < P; ++p) {
        Y(i, h * P + p) *= faded;
        X_h(p, i) = chunk.X(i, h * P + p);
      }
    }
    const auto inside = product(M, X_h);
    for (std::size_t p = 0; p < P; ++p) {
      for (std::size_t i = 0; i < length; ++i) {
        Y(i, h * P + p) += inside(i, p);
        left(h * P + p, i) = X_h(p, i) * decay(i);
      }
      for (std::size_t n = 0; n < N; ++n) chunk.state(h * P + p, n) *= faded;
    }
  }
  auto B_turned = mamba2::zeros<double>(N, length);
  for (std::size_t i = 0; i < length; ++i)
    for (std::size_t n = 0; n < N; ++n) B_turned(n, i) = chunk.B(i, n);
  const auto added = product(left, B_turned);
  for (std::size_t i = 0; i < added.size(); ++i) chunk.state.data()[i] += added.data()[i];
  return Y;
}
//: end

}  // namespace exercises
