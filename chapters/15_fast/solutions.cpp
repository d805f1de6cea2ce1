// Our solutions.
#include "exercises.hpp"

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
// decay holds one row of the mask times dt: all of it fades at each step, and the step itself
// enters whole.
Tensor<double, 2> masked_scores(const Tensor<double, 2>& scores, const Tensor<double, 1>& a,
                                const Tensor<double, 1>& dt) {
  const std::size_t length = a.shape(0);
  auto M = mamba2::zeros<double>(length, length);
  auto decay = mamba2::zeros<double>(length);
  for (std::size_t i = 0; i < length; ++i) {
    for (std::size_t j = 0; j < i; ++j) decay(j) *= a(i);
    decay(i) = dt(i);
    for (std::size_t j = 0; j <= i; ++j) M(i, j) = scores(i, j) * decay(j);
  }
  return M;
}
//: end

//: 3
// One step of the batch reads the weights once, and reads and writes the four bytes of each number
// of each state.
double most_tokens_per_second(double parameters, double bytes_per_weight, double state, double batch,
                              double bandwidth) {
  const double bytes = parameters * bytes_per_weight + batch * 2 * 4 * state;
  return batch * bandwidth / bytes;
}
//: end

}  // namespace exercises
