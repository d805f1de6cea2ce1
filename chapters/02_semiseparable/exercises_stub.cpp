// The exercises: replace each throw by your code, then run ./book check semiseparable
#include "exercises.hpp"

#include <exercises/not_implemented.hpp>

#include <cmath>

namespace exercises {

// 1. L(i, j) = exp of the sum of dA over the steps after j up to i, for j <= i in the same
// document; else 0. A document begins at each step t with begins[t].
Tensor<double, 2> mask_of_documents(const Tensor<double, 1>& dA, const std::vector<bool>& begins) {
  throw exercises::not_implemented(1);
}

// 2. L X, where L is the decay mask of dA, in time and memory proportional to the length.
//      Never write L down.
Tensor<double, 2> multiply_by_mask(const Tensor<double, 1>& dA, const Tensor<double, 2>& X) {
  throw exercises::not_implemented(2);
}

// 3. left (end - cut, d_state) and right (d_state, cut - begin) with left · right = M[cut:end,
// begin:cut]. Return {left, right}.
Factors factor_block(const Tensor<double, 1>& dA, const Tensor<double, 2>& B,
                     const Tensor<double, 2>& C, std::size_t begin, std::size_t cut, std::size_t end) {
  throw exercises::not_implemented(3);
}

}  // namespace exercises
