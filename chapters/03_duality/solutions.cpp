// Our solutions.
#include "exercises.hpp"

#include <cmath>
#include <limits>
#include <vector>

namespace exercises {

using mamba2::zeros;

//: 1
Tensor<double, 2> mask_from_factors(const Tensor<double, 1>& a) {
  const std::size_t seqlen = a.shape(0);
  auto L = zeros<double>(seqlen, seqlen);
  for (std::size_t i = 0; i < seqlen; ++i) {
    for (std::size_t j = 0; j < i; ++j) L(i, j) = a(i) * L(i - 1, j);
    L(i, i) = 1;
  }
  return L;
}
//: end

//: 2
Undecayed undecayed(const Tensor<double, 1>& dA, const Tensor<double, 2>& B,
                    const Tensor<double, 2>& C) {
  Undecayed other{B, C};
  double c = 0;  // dA[0] + ... + dA[t]
  for (std::size_t t = 0; t < dA.size(); ++t) {
    c += dA(t);
    for (std::size_t n = 0; n < B.shape(1); ++n) {
      other.B(t, n) *= std::exp(-c);
      other.C(t, n) *= std::exp(c);
    }
  }
  return other;
}

// The running sum after T tokens is T times the log-decay. Where its negative passes the logarithm
// of the largest float, the factor is infinite.
std::size_t longest_undecayed(double log_decay) {
  const double largest = std::log(double(std::numeric_limits<float>::max()));
  return static_cast<std::size_t>(largest / -log_decay);
}
//: end

//: 3
// The denominator is the numerator for values that are all 1: one channel more.
Tensor<double, 1> attend_one(Tensor<double, 2>& state, const Tensor<double, 1>& query,
                             const Tensor<double, 1>& key, const Tensor<double, 1>& value) {
  const std::size_t P = value.size(), N = key.size();
  auto sums = zeros<double>(P + 1);  // what is read of the state: numerators, then the denominator
  for (std::size_t p = 0; p <= P; ++p)
    for (std::size_t n = 0; n < N; ++n) {
      state(p, n) += (p < P ? value(p) : 1) * key(n);
      sums(p) += state(p, n) * query(n);
    }
  auto output = zeros<double>(P);
  for (std::size_t p = 0; p < P; ++p) output(p) = sums(p) / sums(P);
  return output;
}
//: end

//: 4
// The bracket depends on i, j and n: a product for each pair and each n, and no matrix product.
Tensor<double, 2> many_masks(const Tensor<double, 2>& dA, const Tensor<double, 2>& B,
                             const Tensor<double, 2>& C) {
  const std::size_t seqlen = dA.shape(0), d_state = B.shape(1);
  auto M = zeros<double>(seqlen, seqlen);
  for (std::size_t j = 0; j < seqlen; ++j) {
    auto segment = zeros<double>(d_state);  // dA[j+1] + ... + dA[i], of each entry
    for (std::size_t i = j; i < seqlen; ++i)
      for (std::size_t n = 0; n < d_state; ++n) {
        if (i > j) segment(n) += dA(i, n);
        M(i, j) += C(i, n) * std::exp(segment(n)) * B(j, n);
      }
  }
  return M;
}
//: end

//: 5
// (q . k)^m = sum over all ways to write m = m_1 + ... + m_d of m! / (m_1! ... m_d!) times the
// product of (q_i k_i)^{m_i}. Divided by m!, the weight of a product is 1 / (m_1! ... m_d!), and
// each
// side takes its square root. So a feature is a product of v_i^{m_i} / sqrt(m_i!), over all m with
// a sum of at most K. The function below appends those that begin with `product`, from entry i on.
static void append(std::vector<double>& all, const Tensor<double, 1>& v, std::size_t i, double product,
                   std::size_t left) {
  if (i == v.size()) {
    all.push_back(product);
    return;
  }
  for (std::size_t m = 0; m <= left; ++m) {
    append(all, v, i + 1, product, left - m);
    product *= v(i) / std::sqrt(double(m + 1));  // v_i^m / sqrt(m!) becomes the next
  }
}

Tensor<double, 1> features(const Tensor<double, 1>& v, std::size_t power) {
  std::vector<double> all;
  append(all, v, 0, 1, power);
  auto phi = zeros<double>(all.size());
  for (std::size_t k = 0; k < all.size(); ++k) phi(k) = all[k];
  return phi;
}

Tensor<double, 1> softmax_one(Tensor<double, 2>& state, const Tensor<double, 1>& query,
                              const Tensor<double, 1>& key, const Tensor<double, 1>& value,
                              std::size_t power) {
  return attend_one(state, features(query, power), features(key, power), value);
}
//: end

}  // namespace exercises
