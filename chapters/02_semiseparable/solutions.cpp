// Our solutions.
#include "exercises.hpp"

#include <algorithm>
#include <cmath>

namespace exercises {

using mamba2::zeros;

//: 1
// Each column is a sum of its own, and it simply ends where the next document begins: no infinity
// is needed.
Tensor<double, 2> mask_of_documents(const Tensor<double, 1>& dA, const std::vector<bool>& begins) {
  const std::size_t T = dA.shape(0);
  auto L = zeros<double>(T, T);  // (seqlen, seqlen)
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
// Column j of L goes from row j downwards, so the sum for step j is made from later steps:
// backwards in time. On its way from step t + 1 to step t it meets the decay of step t + 1.
Tensor<double, 2> multiply_by_transposed(const Tensor<double, 1>& dA, const Tensor<double, 2>& G) {
  Tensor<double, 2> R = G;  // (seqlen, headdim)
  for (std::size_t t = G.shape(0); t-- > 1;)
    for (std::size_t p = 0; p < G.shape(1); ++p) R(t - 1, p) += std::exp(dA(t)) * R(t, p);
  return R;
}
//: end

//: 3
// Each row of Y is the row above it, decayed by one step, plus a row of X. So the inverse of L has
// ones on its diagonal, the negative decays just below, and nothing else.
Tensor<double, 2> undo_mask(const Tensor<double, 1>& dA, const Tensor<double, 2>& Y) {
  Tensor<double, 2> X = Y;  // (seqlen, headdim)
  for (std::size_t t = 1; t < Y.shape(0); ++t)
    for (std::size_t p = 0; p < Y.shape(1); ++p) X(t, p) -= std::exp(dA(t)) * Y(t - 1, p);
  return X;
}
//: end

//: 4
// Left walks away from the cut downwards and takes the step across the cut with it; right walks
// away to the left and does not.
Factors factor_block(const Tensor<double, 1>& dA, const Tensor<double, 2>& B,
                     const Tensor<double, 2>& C, std::size_t begin, std::size_t cut, std::size_t end) {
  const std::size_t N = B.shape(1);
  auto left = zeros<double>(end - cut, N);     // (rows, d_state)
  auto right = zeros<double>(N, cut - begin);  // (d_state, columns)
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

//: 5
// The state after step t is all that the inputs up to t have to say to the outputs from t on. That
// is the block with the rows from t on and the columns up to t: outputs = left · right · inputs,
// and
// right · inputs is the state. Each step's decomposition chooses the state's axes for itself. With
// orthonormal rows in right, A_t is found by turning the axes of step t - 1 into those of step t.
Realization realize(const Tensor<double, 2>& M, std::size_t d_state) {
  const std::size_t T = M.shape(0), N = d_state;
  Realization model{zeros<double>(T, N, N), zeros<double>(T, N), zeros<double>(T, N)};
  auto before = zeros<double>(N, T);  // right of the step before: what makes its state from the inputs
  for (std::size_t t = 0; t < T; ++t) {
    const Tensor<double, 2> block = xt::view(M, xt::range(t, T), xt::range(std::size_t{0}, t + 1));
    const auto [U, s, Vt] = decompose(block);
    auto right = zeros<double>(N, T);
    for (std::size_t n = 0; n < std::min(N, s.size()); ++n) {
      for (std::size_t j = 0; j <= t; ++j) right(n, j) = Vt(n, j);
      model.C(t, n) = U(0, n) * s(n);  // the first row of left
      model.B(t, n) = Vt(n, t);        // the last column of right
      for (std::size_t m = 0; m < N; ++m)
        for (std::size_t j = 0; j < t; ++j) model.A(t, n, m) += right(n, j) * before(m, j);
    }
    before = right;
  }
  return model;
}
//: end

}  // namespace exercises
