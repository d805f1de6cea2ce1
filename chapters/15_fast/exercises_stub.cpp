// The exercises: replace each throw by your code, then run ./book check fast
#include "exercises.hpp"

#include <exercises/not_implemented.hpp>

namespace exercises {

// 1. The power of two from 1 to 1024 with the smallest cost per token: the scan's multiply-adds,
// and the overhead of a chunk shared by its tokens.
std::size_t best_chunk(double d_state, double headdim, double heads, double overhead) {
  throw exercises::not_implemented(1);
}

// 2. M(i, j) = scores(i, j) dt(j) a(j+1) … a(i), zero above the diagonal. Each row of the mask is
// the row above it, times one number, and one entry more.
Tensor<double, 2> masked_scores(const Tensor<double, 2>& scores, const Tensor<double, 1>& a,
                                const Tensor<double, 1>& dt) {
  throw exercises::not_implemented(2);
}

// 3. Bandwidth over bytes: how many tokens per second at most, all sequences together?
double most_tokens_per_second(double parameters, double bytes_per_weight, double state, double batch,
                              double bandwidth) {
  throw exercises::not_implemented(3);
}

}  // namespace exercises
