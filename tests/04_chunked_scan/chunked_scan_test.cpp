// The chunked scan and its four steps.
#include <mamba2/chunked_scan.hpp>
#include <mamba2/semiseparable.hpp>
#include <mamba2/ssm.hpp>
#include <support/head.hpp>

#include <utility>
#include <vector>

namespace {

using mamba2::as_matrix;
using mamba2::as_span;
using mamba2::chunked_scan;
using mamba2::Tensor;
using mamba2::zeros;
using testing::random_tensor;
using testing::relative_error;

template <class Real>
struct Head : testing::Head<Real> {
  using testing::Head<Real>::Head;

  Tensor<Real, 2> chunked(std::size_t chunk_size) const {
    return chunked_scan<Real>(this->X, this->dA, this->B, this->C, chunk_size);
  }
};

template <class Real>
constexpr double tolerance = sizeof(Real) == 4 ? 2e-6 : 1e-14;

// The state after a head's last step, by the definition.
Tensor<double, 2> last_state(const Head<double>& h, Tensor<double, 2> state) {
  for (std::size_t t = 0; t < h.X.shape(0); ++t)
    for (std::size_t p = 0; p < state.shape(0); ++p)
      for (std::size_t n = 0; n < state.shape(1); ++n)
        state(p, n) = std::exp(h.dA(t)) * state(p, n) + h.X(t, p) * h.B(t, n);
  return state;
}

Head<float> to_float(const Head<double>& h) {
  Head<float> f(0, 1, 1);
  f.X = h.X, f.dA = h.dA, f.B = h.B, f.C = h.C;
  return f;
}

}  // namespace

TEMPLATE_TEST_CASE("every chunk size gives the recurrence", "", float, double) {
  const std::size_t seqlen = 37;  // a prime: no chunk size divides it
  const Head<TestType> h(seqlen, 3, 5);
  const auto want = h.recurrent();
  for (std::size_t chunk_size = 1; chunk_size <= seqlen + 5; ++chunk_size) {
    CAPTURE(chunk_size);
    CHECK(relative_error(h.chunked(chunk_size), want) < tolerance<TestType>);
  }
}

TEMPLATE_TEST_CASE("every length, with chunks that fit and chunks that do not", "", float, double) {
  for (std::size_t seqlen = 1; seqlen <= 26; ++seqlen)
    for (const std::size_t chunk_size : std::vector<std::size_t>{1, 2, 3, 5, 8, 13}) {
      CAPTURE(seqlen, chunk_size);
      const Head<TestType> h(seqlen, 4, 2);
      CHECK(relative_error(h.chunked(chunk_size), h.recurrent()) < tolerance<TestType>);
    }
}

TEST_CASE("the quadratic form is one chunk, the recurrence is chunks of one") {
  const Head<double> h(19, 3, 4);
  const Tensor<double, 1> A_bar = xt::exp(h.dA);
  const auto want = mamba2::ssm_quadratic<double>(h.X, A_bar, h.B, h.C);
  CHECK(relative_error(h.chunked(19), want) < 1e-14);
  CHECK(relative_error(h.chunked(1), want) < 1e-14);
}

TEST_CASE("a later token changes no earlier output, wherever the chunks end") {
  const Head<double> before(23, 2, 3);
  for (const std::size_t changed : std::vector<std::size_t>{1, 4, 5, 9, 22})
    for (const std::size_t chunk_size : std::vector<std::size_t>{1, 5, 7, 64}) {
      Head<double> after = before;
      for (std::size_t p = 0; p < 2; ++p) after.X(changed, p) += 1;
      for (std::size_t n = 0; n < 3; ++n) after.B(changed, n) -= 1, after.C(changed, n) += 2;
      after.dA(changed) -= 0.5;
      const auto y = before.chunked(chunk_size), z = after.chunked(chunk_size);
      for (std::size_t t = 0; t < 23; ++t) {
        CAPTURE(changed, chunk_size, t);
        CHECK((xt::view(y, t) == xt::view(z, t)) == (t < changed));
      }
    }
}

TEST_CASE("the chunked scan is linear in X") {
  const Head<double> h(22, 3, 4);
  Head<double> other = h, mixed = h;
  other.X = random_tensor<double, 2>({22, 3}, 9);
  mixed.X = 2.0 * h.X - 3.0 * other.X;
  const Tensor<double, 2> want = 2.0 * h.chunked(5) - 3.0 * other.chunked(5);
  CHECK(relative_error(mixed.chunked(5), want) < 1e-14);
}

TEST_CASE("step 1 is the quadratic mode of one chunk") {
  const Head<double> h(6, 3, 4);
  auto Y = zeros<double>(6, 3);
  Y.fill(std::numeric_limits<double>::quiet_NaN());  // it overwrites
  mamba2::diagonal_block<double>(as_matrix(h.X), as_span(h.dA), as_matrix(h.B), as_matrix(h.C), as_matrix(Y));
  CHECK(relative_error(Y, h.recurrent()) < 1e-14);
}

TEST_CASE("step 2 is the state after the chunk, from zeros") {
  for (const std::size_t length : std::vector<std::size_t>{1, 2, 9}) {
    const Head<double> h(length, 3, 4);
    auto state = zeros<double>(3, 4);
    state.fill(std::numeric_limits<double>::quiet_NaN());  // it overwrites
    mamba2::chunk_state<double>(as_matrix(h.X), as_span(h.dA), as_matrix(h.B), as_matrix(state));
    CHECK(relative_error(state, last_state(h, zeros<double>(3, 4))) < 1e-14);
  }
}

TEST_CASE("steps 2 and 3 carry any state over the chunk") {
  const Head<double> h(7, 3, 4);
  const auto start = random_tensor<double, 2>({3, 4}, 5);
  auto state = start, own = start;
  mamba2::chunk_state<double>(as_matrix(h.X), as_span(h.dA), as_matrix(h.B), as_matrix(own));
  mamba2::pass_state<double>(as_span(h.dA), as_matrix(own), as_matrix(state));
  CHECK(relative_error(state, last_state(h, start)) < 1e-14);
}

TEST_CASE("steps 1 and 4 give the outputs of a chunk that starts from any state") {
  const Head<double> h(7, 3, 4);
  const auto start = random_tensor<double, 2>({3, 4}, 5);
  auto Y = zeros<double>(7, 3);
  mamba2::diagonal_block<double>(as_matrix(h.X), as_span(h.dA), as_matrix(h.B), as_matrix(h.C), as_matrix(Y));
  mamba2::state_to_output<double>(as_span(h.dA), as_matrix(h.C), as_matrix(start), as_matrix(Y));
  auto want = zeros<double>(7, 3);
  auto state = start;
  for (std::size_t t = 0; t < 7; ++t)
    for (std::size_t p = 0; p < 3; ++p)
      for (std::size_t n = 0; n < 4; ++n) {
        state(p, n) = std::exp(h.dA(t)) * state(p, n) + h.X(t, p) * h.B(t, n);
        want(t, p) += h.C(t, n) * state(p, n);
      }
  CHECK(relative_error(Y, want) < 1e-14);
}

TEST_CASE("a sequence split at any token, the state carried over, is the sequence in one piece") {
  const std::size_t seqlen = 17, headdim = 3, d_state = 4;
  const Head<double> h(seqlen, headdim, d_state);
  const auto whole = h.recurrent();
  for (std::size_t split = 0; split <= seqlen; ++split) {
    CAPTURE(split);
    auto Y = zeros<double>(seqlen, headdim);
    auto state = zeros<double>(headdim, d_state), own = zeros<double>(headdim, d_state);
    for (const auto& [first, length] : {std::pair<std::size_t, std::size_t>{0, split}, {split, seqlen - split}}) {
      const auto part = [from = first, n = length](auto m) { return mamba2::row_block(m, from, n); };
      const std::span<const double> dA = as_span(h.dA).subspan(first, length);
      mamba2::diagonal_block<double>(part(as_matrix(h.X)), dA, part(as_matrix(h.B)), part(as_matrix(h.C)),
                                     part(as_matrix(Y)));
      mamba2::state_to_output<double>(dA, part(as_matrix(h.C)), as_matrix(state), part(as_matrix(Y)));
      mamba2::chunk_state<double>(part(as_matrix(h.X)), dA, part(as_matrix(h.B)), as_matrix(own));
      mamba2::pass_state<double>(dA, as_matrix(own), as_matrix(state));
    }
    CHECK(relative_error(Y, whole) < 1e-14);
    CHECK(relative_error(state, last_state(h, zeros<double>(headdim, d_state))) < 1e-14);
  }
}

TEST_CASE("the blocks of the model's matrix have the rank and the factors that the steps use") {
  const std::size_t seqlen = 12, chunk = 4, d_state = 3;
  const Head<double> h(seqlen, 1, d_state, -0.5);
  const Tensor<double, 1> A_bar = xt::exp(h.dA);
  const auto M = mamba2::ssm_matrix<double>(A_bar, h.B, h.C);
  for (const auto& [row, column] : {std::pair<std::size_t, std::size_t>{4, 0}, {8, 4}, {8, 0}}) {
    CAPTURE(row, column);
    const Tensor<double, 2> block = xt::view(M, xt::range(row, row + chunk), xt::range(column, column + chunk));
    const auto values = mamba2::singular_values(block);
    CHECK(values(2) > 1e-6);
    CHECK(values(3) < 1e-14);
    // Left factor times centre times right factor, with sums that run from each factor's own end.
    double between = 0;
    for (std::size_t k = column + chunk; k < row; ++k) between += h.dA(k);
    auto want = zeros<double>(chunk, chunk);
    for (std::size_t i = 0; i < chunk; ++i)
      for (std::size_t j = 0; j < chunk; ++j) {
        double left = 0, right = 0, dot = 0;
        for (std::size_t k = row; k <= row + i; ++k) left += h.dA(k);
        for (std::size_t k = column + j + 1; k < column + chunk; ++k) right += h.dA(k);
        for (std::size_t n = 0; n < d_state; ++n) dot += h.C(row + i, n) * h.B(column + j, n);
        want(i, j) = std::exp(left) * std::exp(between) * std::exp(right) * dot;
      }
    CHECK(relative_error(block, want) < 1e-14);
  }
}

TEMPLATE_TEST_CASE("minus infinity at a step forgets all before it: inside a chunk, at its start, at its end", "",
                   float, double) {
  for (const std::size_t restart : std::vector<std::size_t>{1, 4, 7, 8, 13})
    for (const std::size_t chunk_size : std::vector<std::size_t>{1, 4, 8, 32}) {
      CAPTURE(restart, chunk_size);
      Head<TestType> h(14, 2, 3);
      h.dA(restart) = -std::numeric_limits<TestType>::infinity();
      Head<TestType> alone(0, 2, 3);
      auto tail = xt::range(restart, std::size_t(14));
      alone.X = xt::view(h.X, tail), alone.dA = xt::view(h.dA, tail), alone.B = xt::view(h.B, tail),
      alone.C = xt::view(h.C, tail);
      const auto together = h.chunked(chunk_size);
      const Tensor<TestType, 2> got = xt::view(together, tail);
      CHECK(relative_error(got, alone.recurrent()) < tolerance<TestType>);
    }
}

TEST_CASE("float keeps its precision over a long sequence, under weak, strong and mixed decay") {
  const std::size_t seqlen = 4096;
  for (const int kind : {0, 1, 2}) {
    Head<double> h(seqlen, 4, 8, kind == 0 ? -0.001 : -16);
    if (kind == 2)  // half of the steps forget nearly all, the others nearly nothing
      for (std::size_t t = 0; t < seqlen; t += 2) h.dA(t) = -0.001;
    const Head<float> f = to_float(h);
    h.X = f.X, h.dA = f.dA, h.B = f.B, h.C = f.C;
    const auto want = h.recurrent();
    for (const std::size_t chunk_size : std::vector<std::size_t>{64, 256, 1000}) {
      CAPTURE(kind, chunk_size);
      CHECK(relative_error(f.chunked(chunk_size), want) < 1e-6);
    }
  }
}

TEMPLATE_TEST_CASE("no decay and decay so strong that nothing is left", "", float, double) {
  for (const double dA : {0.0, -1e4}) {
    CAPTURE(dA);
    Head<TestType> h(21, 2, 3);
    h.dA.fill(static_cast<TestType>(dA));
    CHECK(relative_error(h.chunked(6), h.recurrent()) < tolerance<TestType>);
  }
}

TEMPLATE_TEST_CASE("empty sequences, heads and states are allowed", "", float, double) {
  for (const auto& [seqlen, headdim, d_state] : {std::array<std::size_t, 3>{0, 3, 4}, {5, 0, 4}, {5, 3, 0}}) {
    CAPTURE(seqlen, headdim, d_state);
    CHECK((Head<TestType>(seqlen, headdim, d_state).chunked(2) == zeros<TestType>(seqlen, headdim)));
  }
}

TEST_CASE("a chunk size of 0 and wrong shapes are refused in words") {
  const Head<double> h(6, 3, 4), shorter(5, 3, 4), narrower(6, 3, 2);
  CHECK(testing::message_of<mamba2::ValueError>([&] { h.chunked(0); }) == "chunk_size: expected at least 1, got 0");
  CHECK(testing::message_of<mamba2::ShapeError>([&] { chunked_scan(h.X, shorter.dA, h.B, h.C, 2); }) ==
        "dA: expected shape (seqlen) = (6), got (5)");
  CHECK(testing::message_of<mamba2::ShapeError>([&] { chunked_scan(h.X, h.dA, shorter.B, h.C, 2); }) ==
        "B: expected shape (seqlen, d_state) = (6, 4), got (5, 4)");
  CHECK(testing::message_of<mamba2::ShapeError>([&] { chunked_scan(h.X, h.dA, h.B, narrower.C, 2); }) ==
        "C: expected shape (seqlen, d_state) = (6, 4), got (6, 2)");
  auto state = zeros<double>(3, 4), turned = zeros<double>(4, 3);
  auto Y = zeros<double>(6, 3);
  using mamba2::ShapeError;
  CHECK_THROWS_AS(mamba2::chunk_state<double>(as_matrix(h.X), as_span(shorter.dA), as_matrix(h.B), as_matrix(state)),
                  ShapeError);
  CHECK_THROWS_AS(mamba2::chunk_state<double>(as_matrix(h.X), as_span(h.dA), as_matrix(h.B), as_matrix(turned)),
                  ShapeError);
  CHECK_THROWS_AS(mamba2::pass_state<double>(as_span(h.dA), as_matrix(turned), as_matrix(state)), ShapeError);
  CHECK_THROWS_AS(mamba2::state_to_output<double>(as_span(shorter.dA), as_matrix(h.C), as_matrix(state), as_matrix(Y)),
                  ShapeError);
  CHECK_THROWS_AS(mamba2::state_to_output<double>(as_span(h.dA), as_matrix(h.C), as_matrix(turned), as_matrix(Y)),
                  ShapeError);
  CHECK_THROWS_AS(
      mamba2::diagonal_block<double>(as_matrix(h.X), as_span(shorter.dA), as_matrix(h.B), as_matrix(h.C), as_matrix(Y)),
      ShapeError);
}

TEST_CASE("the cost of the chunked scan is that of its products, counted") {
  const std::size_t Q = 4, chunks = 3, T = Q * chunks, N = 5, P = 3;
  double count = 0;
  const auto product = [&](std::size_t m, std::size_t n, std::size_t k) {
    for (std::size_t i = 0; i < m * n * k; ++i) ++count;
  };
  for (std::size_t c = 0; c < chunks; ++c) {
    product(Q, Q, N);  // scores
    product(Q, P, Q);  // diagonal block
    product(P, N, Q);  // chunk state
    product(Q, P, N);  // state to output
  }
  CHECK(mamba2::cost_chunked(T, N, P, Q).multiply_adds == count);
  CHECK(mamba2::cost_chunked(T, N, P, Q).memory == 2 * N * P + Q * N);
}
