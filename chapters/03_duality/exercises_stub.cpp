// The exercises: replace each throw by your code, then run ./book check duality
#include "exercises.hpp"

#include <exercises/not_implemented.hpp>

#include <cmath>
#include <limits>

namespace exercises {

using mamba2::zeros;

// 1. Build the decay mask from the factors a_t = e^(dA_t), by multiplications only.
// A factor may be 0.
Tensor<double, 2> mask_from_factors(const Tensor<double, 1>& a) {
  throw not_implemented(1);
}

// 2. Keys and queries that have taken the decay over.
Undecayed undecayed(const Tensor<double, 1>& dA, const Tensor<double, 2>& B,
                    const Tensor<double, 2>& C) {
  throw not_implemented(2);
}

// 2, second part. How many tokens until float is at its end?
// std::numeric_limits<float>::max() is the largest number it has.
std::size_t longest_undecayed(double log_decay) {
  throw not_implemented(2);
}

// 3. Bring the state up to date with one token and return the token's output.
// A token also attends to itself. The state has one row more than the output.
Tensor<double, 1> attend_one(Tensor<double, 2>& state, const Tensor<double, 1>& query,
                             const Tensor<double, 1>& key, const Tensor<double, 1>& value) {
  throw not_implemented(3);
}

// 4. The matrix of a model with a decay for each of the N numbers of the state.
Tensor<double, 2> many_masks(const Tensor<double, 2>& dA, const Tensor<double, 2>& B,
                             const Tensor<double, 2>& C) {
  throw not_implemented(4);
}

// 5. phi(v): all products of at most `power` entries of v, each product once, times a weight of
// its own.
Tensor<double, 1> features(const Tensor<double, 1>& v, std::size_t power) {
  throw not_implemented(5);
}

// 5, second part. One token of softmax attention, its exponential cut off after `power`.
Tensor<double, 1> softmax_one(Tensor<double, 2>& state, const Tensor<double, 1>& query,
                              const Tensor<double, 1>& key, const Tensor<double, 1>& value,
                              std::size_t power) {
  throw not_implemented(5);
}

}  // namespace exercises
