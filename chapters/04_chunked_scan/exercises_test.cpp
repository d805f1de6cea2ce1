// The grader of this chapter.
#include "exercises.hpp"

#include <demo/demo.hpp>
#include <exercises/grader.hpp>
#include <mamba2/chunked_scan.hpp>
#include <mamba2/ssm.hpp>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <ctime>
#include <utility>

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

struct ScanResult {
  Tensor<double, 2> Y, state;
};

// The definition, token by token, for the tokens from `begin` to `end` - 1.
ScanResult recurrence(const Head& h, std::size_t begin, std::size_t end,
                      const Tensor<double, 2>& initial) {
  ScanResult result{zeros<double>(h.X.shape(0), h.X.shape(1)), initial};
  for (std::size_t t = begin; t < end; ++t)
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

GRADE(2, "choose the chunk") {
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

GRADE(3, "take it apart") {
  for (const auto& [seqlen, Q] :
       {std::pair<std::size_t, std::size_t>{4, 2}, {13, 4}, {12, 4}, {11, 4}, {5, 8}, {7, 1}, {1, 3}}) {
    const std::size_t P = 3, N = 5, chunks = (seqlen + Q - 1) / Q;
    const Head h(seqlen, P, N);
    const std::string where =
        " (" + std::to_string(seqlen) + " tokens in chunks of " + std::to_string(Q) + ")";
    grader::given("X", h.X, "dA", h.dA, "B", h.B, "C", h.C, "initial", h.initial, "Q", Q);
    const auto yours = exercises::scan_parts(h.X, h.dA, h.B, h.C, h.initial, Q);
    exercises::ScanParts expected{zeros<double>(seqlen, P), zeros<double>(seqlen, P),
                                  zeros<double>(chunks, P, N), zeros<double>(chunks + 1, P, N)};
    Tensor<double, 2> state = h.initial;
    const auto none = zeros<double>(P, N);
    std::copy(state.begin(), state.end(), expected.states.begin());
    for (std::size_t k = 0; k < chunks; ++k) {
      const std::size_t begin = k * Q, end = std::min(seqlen, begin + Q);
      const ScanResult alone = recurrence(h, begin, end, none),
                       whole = recurrence(h, begin, end, state);
      expected.diagonal += alone.Y;
      expected.from_state += whole.Y - alone.Y;
      std::copy(alone.state.begin(), alone.state.end(), &expected.own(k, 0, 0));
      state = whole.state;
      std::copy(state.begin(), state.end(), &expected.states(k + 1, 0, 0));
    }
    grader::expect(yours.diagonal.shape() == expected.diagonal.shape() &&
                       yours.from_state.shape() == expected.from_state.shape(),
                   "diagonal and from_state have the shape of X, (seqlen, headdim)" + where);
    const Tensor<double, 2> sum = yours.diagonal + yours.from_state,
                            Y = expected.diagonal + expected.from_state;
    grader::expect_close(sum, Y, "diagonal + from_state, which are the outputs" + where);
    if (demo::difference(yours.diagonal, expected.diagonal) > 1e-9)
      throw grader::Failed(
          "the outputs are right, but not what each step gives to them: diagonal is what the tokens\n"
          "of a chunk would put out if nothing had come before, from_state is the rest" +
          where);
    grader::expect_close(yours.own, expected.own,
                         "each chunk's own state, as if nothing had come before" + where);
    grader::expect_close(yours.states, expected.states,
                         "states before each chunk and after the last" + where);
  }
}

GRADE(3, "take it apart: no tokens at all") {
  const Head empty(0, 3, 5);
  const auto yours = exercises::scan_parts(empty.X, empty.dA, empty.B, empty.C, empty.initial, 4);
  grader::expect(yours.states.shape() == std::array<std::size_t, 3>{1, 3, 5} &&
                     yours.states(0, 2, 1) == empty.initial(2, 1),
                 "without tokens there is no chunk, and one state, the initial one");
}

namespace {

exercises::Passage random_passage() {
  return {draw(0.3, 1), random(zeros<double>(3, 2))};
}

void expect_equal(const exercises::Passage& yours, const exercises::Passage& expected,
                  const std::string& what) {
  grader::expect_close(yours.decay, expected.decay, "decay of " + what);
  grader::expect_close(yours.added, expected.added, "what is added by " + what);
}

// A join that knows how many joins lie behind a passage, one after the other: it keeps a count
// beside each decay that it has given out.
class CountingJoin {
 public:
  exercises::Passage operator()(const exercises::Passage& first, const exercises::Passage& second) {
    exercises::Passage both{first.decay * second.decay, second.added};
    for (std::size_t k = 0; k < both.added.size(); ++k)
      both.added.data()[k] += second.decay * first.added.data()[k];
    known_.push_back({both, 1 + std::max(levels(first), levels(second))});
    return both;
  }
  // 0 for a passage that this join has not made.
  std::size_t levels(const exercises::Passage& one) const {
    std::size_t fewest = 0;
    for (const auto& [passage, count] : known_)
      if (passage.decay == one.decay && passage.added == one.added)
        fewest = fewest == 0 ? count : std::min(fewest, count);
    return fewest;
  }

 private:
  std::vector<std::pair<exercises::Passage, std::size_t>> known_;
};

}  // namespace

GRADE(4, "step 3 as a tree: two chunks") {
  const exercises::Passage first{0.5, {{4, 12}}}, second{0.25, {{6, 0}}};
  expect_equal(exercises::join(first, second), {0.125, {{7, 3}}},
               "decay 0.5, adds (4, 12), and then decay 0.25, adds (6, 0)");
  const auto a = random_passage(), b = random_passage();
  Tensor<double, 2> state = random(zeros<double>(3, 2)), at_once = state;
  const auto both = exercises::join(a, b);
  grader::expect(both.added.shape() == state.shape(), "`added` keeps its shape");
  for (std::size_t k = 0; k < state.size(); ++k) {
    double& entry = state.data()[k];
    entry = b.decay * (a.decay * entry + a.added.data()[k]) + b.added.data()[k];
    at_once.data()[k] = both.decay * at_once.data()[k] + both.added.data()[k];
  }
  grader::given("first.decay", a.decay, "first.added", a.added, "second.decay", b.decay, "second.added",
                b.added);
  grader::expect_close(at_once, state,
                       "a state that passes over both at once, beside one after the other");
}

GRADE(4, "step 3 as a tree: all chunks") {
  for (const std::size_t chunks : {1u, 2u, 3u, 5u, 8u, 13u, 64u}) {
    std::vector<exercises::Passage> row, expected;
    for (std::size_t k = 0; k < chunks; ++k) {
      row.push_back(random_passage());
      CountingJoin plain;
      expected.push_back(k == 0 ? row[0] : plain(expected[k - 1], row[k]));
    }
    CountingJoin counting;
    const auto yours = exercises::join_all(row, std::ref(counting));
    const std::string of = " of " + std::to_string(chunks);
    grader::expect_close(yours.size(), chunks,
                         "passages that are returned, one for each" + of + " chunks");
    std::size_t allowed = 0;  // twice the logarithm, rounded up
    for (std::size_t reach = 1; reach < chunks; reach *= 2) allowed += 2;
    for (std::size_t k = 0; k < chunks; ++k) {
      expect_equal(yours[k], expected[k], "chunks 0 to " + std::to_string(k) + of + ", joined");
      if (k == 0) continue;
      const std::size_t levels = counting.levels(yours[k]);
      grader::expect(levels > 0,
                     "the result is right, but it was not made by the `join` that you are given");
      grader::expect(
          levels <= allowed,
          "the result is right, but it had to wait: chunk " + std::to_string(k) + of + " took " +
              std::to_string(levels) + " joins one after the other,\na tree needs no more than " +
              std::to_string(allowed) + ". Which joins could be done at the same time as the first?");
    }
  }
}

namespace {

struct GlaHead {
  Tensor<double, 2> X, dA, B, C;

  GlaHead(std::size_t seqlen, std::size_t headdim, std::size_t d_state, double strongest)
      : X(random(zeros<double>(seqlen, headdim))),
        dA(random(zeros<double>(seqlen, d_state), strongest, 0)),
        B(random(zeros<double>(seqlen, d_state))),
        C(random(zeros<double>(seqlen, d_state))) {}
};

exercises::GlaResult gla_recurrence(const GlaHead& h, std::size_t Q) {
  const std::size_t T = h.X.shape(0), P = h.X.shape(1), N = h.B.shape(1);
  exercises::GlaResult result{zeros<double>(T, P), zeros<double>((T + Q - 1) / Q + 1, P, N)};
  auto state = zeros<double>(P, N);
  for (std::size_t t = 0; t < T; ++t) {
    for (std::size_t n = 0; n < N; ++n) {
      const double decay = std::exp(h.dA(t, n));
      for (std::size_t p = 0; p < P; ++p) {
        state(p, n) = decay * state(p, n) + h.X(t, p) * h.B(t, n);
        result.Y(t, p) += h.C(t, n) * state(p, n);
      }
    }
    if ((t + 1) % Q == 0 || t + 1 == T)
      std::copy(state.begin(), state.end(), &result.states((t + Q) / Q, 0, 0));
  }
  return result;
}

void check_gla(std::size_t seqlen, std::size_t Q, double strongest) {
  const GlaHead h(seqlen, 3, 5, strongest);
  grader::given("X", h.X, "dA", h.dA, "B", h.B, "C", h.C, "Q", Q);
  const auto yours = exercises::gla_chunked(h.X, h.dA, h.B, h.C, Q), expected = gla_recurrence(h, Q);
  const std::string where = " (" + std::to_string(seqlen) + " tokens in chunks of " +
                            std::to_string(Q) + ", log-decays down to " +
                            grader::detail::number_text(strongest) + ")";
  grader::expect_close(yours.Y, expected.Y, "outputs" + where);
  grader::expect_close(yours.states, expected.states,
                       "states before each chunk and after the last" + where);
}

}  // namespace

GRADE(5, "a chunked scan for GLA") {
  for (const auto& [seqlen, Q] :
       {std::pair<std::size_t, std::size_t>{2, 2}, {4, 2}, {13, 4}, {12, 4}, {5, 8}, {7, 1}})
    check_gla(seqlen, Q, -1);
}

GRADE(5, "a chunked scan for GLA: strong decays") {
  check_gla(64, 32, -200);
}

GRADE(5, "a chunked scan for GLA: something to show") {
  const GlaHead h(1024, 64, 64, -0.1);
  const auto milliseconds = [](auto&& work) {
    const std::clock_t start = std::clock();
    work();
    return 1e3 * double(std::clock() - start) / CLOCKS_PER_SEC;
  };
  char line[80];
  std::snprintf(line, sizeof line, "%.0f", milliseconds([&] { gla_recurrence(h, 64); }));
  std::string table =
      "1024 tokens, N = 64, P = 64: the recurrence takes " + std::string(line) + " ms, yours\n";
  for (const std::size_t Q : {4u, 8u, 16u, 32u, 64u}) {
    std::snprintf(line, sizeof line, "    in chunks of %2zu  %4.0f ms\n", Q,
                  milliseconds([&] { exercises::gla_chunked(h.X, h.dA, h.B, h.C, Q); }));
    table += line;
  }
  grader::show(table);
}
