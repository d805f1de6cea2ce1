// Our solutions.
#include "exercises.hpp"

#include <cmath>

namespace exercises {

//: 1
// Each column is a sum of its own, and it simply ends where the next document begins: no infinity
// is needed.
Tensor<double, 2> mask_of_documents(const Tensor<double, 1>& dA, const std::vector<bool>& begins) {
  const std::size_t T = dA.shape(0);
  auto L = mamba2::zeros<double>(T, T);  // (seqlen, seqlen)
  for (std::size_t j = 0; j < T; ++j) {
    double sum = 0;
    L(j, j) = 1;
    for (std::size_t i = j + 1; i < T && !begins[i]; ++i) {
      sum += dA(i);
      L(i, j) = std::exp(sum);
    }
  }
  return L;
}
//: end

//: 2
// Each row of the product is the row above it, decayed by one step, plus the new row of X.
Tensor<double, 2> multiply_by_mask(const Tensor<double, 1>& dA, const Tensor<double, 2>& X) {
  Tensor<double, 2> Y = X;  // (seqlen, headdim)
  for (std::size_t t = 1; t < X.shape(0); ++t)
    for (std::size_t p = 0; p < X.shape(1); ++p) Y(t, p) += std::exp(dA(t)) * Y(t - 1, p);
  return Y;
}
//: end

//: 3
// Left walks away from the cut downwards and takes the step across the cut with it; right walks
// away to the left and does not.
Factors factor_block(const Tensor<double, 1>& dA, const Tensor<double, 2>& B,
                     const Tensor<double, 2>& C, std::size_t begin, std::size_t cut, std::size_t end) {
  const std::size_t N = B.shape(1);
  auto left = mamba2::zeros<double>(end - cut, N);     // (rows, d_state)
  auto right = mamba2::zeros<double>(N, cut - begin);  // (d_state, columns)
  double sum = 0;
  for (std::size_t i = cut; i < end; ++i) {
    sum += dA(i);
    for (std::size_t n = 0; n < N; ++n) left(i - cut, n) = std::exp(sum) * C(i, n);
  }
  sum = 0;
  for (std::size_t j = cut; j-- > begin;) {
    for (std::size_t n = 0; n < N; ++n) right(n, j - begin) = std::exp(sum) * B(j, n);
    sum += dA(j);
  }
  return {left, right};
}
//: end

}  // namespace exercises
