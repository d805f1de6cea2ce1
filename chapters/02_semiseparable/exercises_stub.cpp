// The exercises: replace each throw by your code, then run ./book check semiseparable
#include "exercises.hpp"

#include <exercises/not_implemented.hpp>

#include <algorithm>
#include <cmath>

namespace exercises {

using mamba2::zeros;

// 1. L(i, j): what is left of step j at step i, if both are of one document; else 0.
//      A document begins at each step t with begins[t].
Tensor<double, 2> mask_of_documents(const Tensor<double, 1>& dA, const std::vector<bool>& begins) {
  throw exercises::not_implemented(1);
}

// 2. The transpose of L times G, where L is the decay mask of dA.
//      Never write L down.
Tensor<double, 2> multiply_by_transposed(const Tensor<double, 1>& dA, const Tensor<double, 2>& G) {
  throw exercises::not_implemented(2);
}

// 3. X with L X = Y, where L is the decay mask of dA.
//      Never write L down.
Tensor<double, 2> undo_mask(const Tensor<double, 1>& dA, const Tensor<double, 2>& Y) {
  throw exercises::not_implemented(3);
}

// 4. left (end - cut, d_state) and right (d_state, cut - begin), whose product is the block
// M[cut:end, begin:cut]. Return {left, right}.
Factors factor_block(const Tensor<double, 1>& dA, const Tensor<double, 2>& B,
                     const Tensor<double, 2>& C, std::size_t begin, std::size_t cut, std::size_t end) {
  throw exercises::not_implemented(4);
}

// 5. A model whose matrix is M. const auto [U, s, Vt] = decompose(block) is there for you.
//      xt::view(M, xt::range(i, j), xt::range(k, l)) cuts a block out of M; give it the type
//      Tensor<double, 2>.
Realization realize(const Tensor<double, 2>& M, std::size_t d_state) {
  throw exercises::not_implemented(5);
}

}  // namespace exercises
