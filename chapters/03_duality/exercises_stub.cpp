// The exercises: replace each throw by your code, then run ./book check duality
#include "exercises.hpp"

#include <exercises/not_implemented.hpp>

namespace exercises {

using mamba2::zeros;

// 1. Build the decay mask from the factors a_t = e^(dA_t), by multiplications only.
// Row i follows from row i - 1. A factor may be 0.
Tensor<double, 2> mask_from_factors(const Tensor<double, 1>& a) {
  throw not_implemented(1);
}

// 2. Bring the state up to date with one token and return the token's output.
// A token also attends to itself.
Tensor<double, 1> attend_one(Tensor<double, 2>& state, const Tensor<double, 1>& query,
                             const Tensor<double, 1>& key, const Tensor<double, 1>& value) {
  throw not_implemented(2);
}

// 3. From which length on does the linear mode do fewer multiply-adds, if the quadratic mode
// leaves out all that lies above the diagonal?
std::size_t first_linear_length(std::size_t d_state, std::size_t headdim) {
  throw not_implemented(3);
}

// 4. The quadratic form with a decay for each of the N numbers of the state.
// Y_ip = sum over j <= i and n of C_in exp(dA_{j+1,n} + ... + dA_{i,n}) B_jn X_jp.
Tensor<double, 2> many_masks(const Tensor<double, 2>& X, const Tensor<double, 2>& dA,
                             const Tensor<double, 2>& B, const Tensor<double, 2>& C) {
  throw not_implemented(4);
}

}  // namespace exercises
