// The grader of this chapter.
#include "exercises.hpp"

#include <demo/demo.hpp>
#include <exercises/grader.hpp>
#include <mamba2/chunked_scan.hpp>
#include <mamba2/ssm.hpp>

using mamba2::Tensor;
using mamba2::zeros;

namespace {

demo::Random draw(44);

template <class AnyTensor>
AnyTensor random(AnyTensor tensor, double low = -1, double high = 1) {
  demo::fill(tensor, draw, low, high);
  return tensor;
}

struct Head {
  Tensor<double, 2> X, B, C;
  Tensor<double, 1> dA;
  Tensor<double, 2> initial;

  Head(std::size_t seqlen, std::size_t headdim, std::size_t d_state)
      : X(random(zeros<double>(seqlen, headdim))),
        B(random(zeros<double>(seqlen, d_state))),
        C(random(zeros<double>(seqlen, d_state))),
        dA(random(zeros<double>(seqlen), -0.8, -0.05)),
        initial(random(zeros<double>(headdim, d_state))) {}
};

// The definition, token by token.
exercises::ScanResult recurrence(const Head& h) {
  exercises::ScanResult result{zeros<double>(h.X.shape(0), h.X.shape(1)), h.initial};
  for (std::size_t t = 0; t < h.X.shape(0); ++t)
    for (std::size_t p = 0; p < h.X.shape(1); ++p)
      for (std::size_t n = 0; n < h.B.shape(1); ++n) {
        result.state(p, n) = std::exp(h.dA(t)) * result.state(p, n) + h.X(t, p) * h.B(t, n);
        result.Y(t, p) += h.C(t, n) * result.state(p, n);
      }
  return result;
}

}  // namespace

GRADE(1, "the factors of a block") {
  const std::size_t Q = 3, chunks = 5, d_state = 2;
  const Head h(Q * chunks, 1, d_state);
  const Tensor<double, 1> A_bar = xt::exp(h.dA);
  const Tensor<double, 2> M = mamba2::ssm_matrix(A_bar, h.B, h.C);
  for (const auto& [later, earlier] :
       {std::pair<std::size_t, std::size_t>{1, 0}, {4, 1}, {3, 1}, {4, 0}}) {
    const std::string where =
        " of the block of chunks " + std::to_string(later) + " and " + std::to_string(earlier);
    const auto yours = exercises::block_factors(h.dA, h.B, h.C, Q, later, earlier);
    auto left = zeros<double>(Q, d_state), right = zeros<double>(Q, d_state);
    for (std::size_t k = 0; k < Q; ++k) {
      double to_k = 0, after_k = 0;
      for (std::size_t s = 0; s < Q; ++s)
        (s <= k ? to_k : after_k) += h.dA((s <= k ? later : earlier) * Q + s);
      for (std::size_t n = 0; n < d_state; ++n) {
        left(k, n) = std::exp(to_k) * h.C(later * Q + k, n);
        right(k, n) = std::exp(after_k) * h.B(earlier * Q + k, n);
      }
    }
    double between = 0;
    for (std::size_t t = (earlier + 1) * Q; t < later * Q; ++t) between += h.dA(t);
    grader::expect_close(yours.left, left, "left factor" + where);
    grader::expect_close(yours.centre, std::exp(between), "centre" + where);
    grader::expect_close(yours.right, right, "right factor" + where);
    auto product = zeros<double>(Q, Q), block = zeros<double>(Q, Q);
    for (std::size_t i = 0; i < Q; ++i)
      for (std::size_t j = 0; j < Q; ++j) {
        for (std::size_t n = 0; n < d_state; ++n)
          product(i, j) += yours.left(i, n) * yours.centre * yours.right(j, n);
        block(i, j) = M(later * Q + i, earlier * Q + j);
      }
    grader::expect_close(product, block, "left * centre * right^T" + where);
  }
}

GRADE(2, "pass the state from chunk to chunk") {
  const std::size_t chunks = 4, P = 3, N = 2;
  const auto own = random(zeros<double>(chunks, P, N));
  const auto sums = random(zeros<double>(chunks), -2, -0.1);
  const auto initial = random(zeros<double>(P, N));
  auto expected = zeros<double>(chunks + 1, P, N);
  Tensor<double, 2> state = initial, own_k = initial;
  for (std::size_t k = 0; k <= chunks; ++k) {
    std::copy(state.begin(), state.end(), &expected(k, 0, 0));
    if (k == chunks) break;
    std::copy_n(&own(k, 0, 0), P * N, own_k.begin());
    const Tensor<double, 1> sum{sums(k)};
    mamba2::pass_state<double>(mamba2::as_span(sum), mamba2::as_matrix(own_k),
                               mamba2::as_matrix(state));
  }
  grader::expect_close(exercises::pass_states(own, sums, initial), expected,
                       "states at the chunk boundaries");

  const auto none = exercises::pass_states(zeros<double>(0, P, N), zeros<double>(0), initial);
  grader::expect(none.shape(0) == 1 && none(0, 2, 1) == initial(2, 1),
                 "without chunks the initial state is the only one");
}

GRADE(3, "the whole scan") {
  for (const auto& [seqlen, Q] :
       {std::pair<std::size_t, std::size_t>{12, 4}, {13, 4}, {11, 4}, {5, 8}, {7, 1}, {1, 3}}) {
    const Head h(seqlen, 3, 5);
    const auto expected = recurrence(h);
    const auto yours = exercises::scan_from(h.X, h.dA, h.B, h.C, h.initial, Q);
    const std::string where =
        " (" + std::to_string(seqlen) + " tokens in chunks of " + std::to_string(Q) + ")";
    grader::expect_close(yours.Y, expected.Y, "outputs" + where);
    grader::expect_close(yours.state, expected.state, "last state" + where);
  }
  const Head empty(0, 3, 5);
  grader::expect_close(
      exercises::scan_from(empty.X, empty.dA, empty.B, empty.C, empty.initial, 4).state, empty.initial,
      "state after no tokens at all");
}

GRADE(4, "choose the chunk") {
  for (const auto& [N, P, overhead] : {std::tuple<std::size_t, std::size_t, double>{128, 64, 0},
                                       {128, 64, 100000},
                                       {128, 64, 700000},
                                       {16, 64, 3000},
                                       {128, 128, 9000},
                                       {1, 1, 0},
                                       {3, 3, 27},
                                       {1, 1, 11.2}}) {
    const auto cost = [N = double(N), P = double(P), overhead = overhead](double Q) {
      return Q * N + Q * P + 2 * N * P + (N * P + overhead) / Q;
    };
    std::size_t expected = 1;
    for (std::size_t Q = 2; Q < 1000; ++Q)
      if (cost(double(Q)) < cost(double(expected))) expected = Q;
    grader::expect_close(exercises::best_chunk_size(N, P, overhead), expected,
                         "best Q for N = " + std::to_string(N) + ", P = " + std::to_string(P) +
                             ", overhead " + std::to_string(long(overhead)));
  }
}
