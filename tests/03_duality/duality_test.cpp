// The two orders of one contraction.
#include <mamba2/duality.hpp>
#include <mamba2/semiseparable.hpp>
#include <mamba2/ssm.hpp>
#include <support/head.hpp>

#include <utility>
#include <vector>

namespace {

using mamba2::as_matrix;
using mamba2::as_span;
using mamba2::dual_linear;
using mamba2::dual_quadratic;
using mamba2::Tensor;
using mamba2::zeros;
using testing::Head;
using testing::random_tensor;
using testing::relative_error;

template <class Real>
constexpr double tolerance = sizeof(Real) == 4 ? 2e-6 : 1e-14;

}  // namespace

TEMPLATE_TEST_CASE("both orders equal the recurrence and its matrix", "", float, double) {
  for (const std::size_t seqlen : std::vector<std::size_t>{1, 2, 3, 17, 64, 101})
    for (const auto& [headdim, d_state] : {std::pair<std::size_t, std::size_t>{5, 3}, {1, 7}, {4, 1}}) {
      CAPTURE(seqlen, headdim, d_state);
      const Head<TestType> h(seqlen, headdim, d_state);
      const auto want = h.recurrent();
      CHECK(relative_error(dual_quadratic(h.X, h.dA, h.B, h.C), want) < tolerance<TestType>);
      CHECK(relative_error(dual_linear(h.X, h.dA, h.B, h.C), want) < tolerance<TestType>);
      CHECK(relative_error(mamba2::ssm_quadratic<TestType>(h.X, h.A_bar(), h.B, h.C), want) < tolerance<TestType>);
    }
}

TEST_CASE("three steps by hand") {
  const Tensor<double, 2> X{{1}, {2}, {4}}, B{{1, 0}, {0, 1}, {1, 1}}, C{{1, 1}, {2, 0}, {1, 3}};
  const Tensor<double, 1> dA{-5, std::log(0.5), std::log(0.25)};
  // States (1,0), (1/2,2), (1/8+4, 1/2+4); outputs 1, 1, 4.125 + 13.5.
  const Tensor<double, 2> want{{1}, {1}, {17.625}};
  CHECK(relative_error(dual_linear(X, dA, B, C), want) < 1e-15);
  CHECK(relative_error(dual_quadratic(X, dA, B, C), want) < 1e-15);
}

TEMPLATE_TEST_CASE("mask_scores is the decay mask times the scores", "", float, double) {
  const std::size_t seqlen = 33;
  const auto dA = random_tensor<TestType, 1>({seqlen}, 5, -3, 0);
  const auto scores = random_tensor<TestType, 2>({seqlen, seqlen}, 6);
  const Tensor<TestType, 2> L = mamba2::decay_mask(dA);
  auto want = scores;
  for (std::size_t i = 0; i < want.size(); ++i) want.data()[i] *= L.data()[i];
  auto got = scores;
  mamba2::mask_scores<TestType>(as_span(dA), as_matrix(got));
  CHECK(relative_error(got, want) < 1e-15);
}

TEST_CASE("mask_scores clears what lies above the diagonal, NaN included") {
  const Tensor<double, 1> dA{-1, -1};
  auto scores = zeros<double>(2, 2);
  scores(0, 1) = std::numeric_limits<double>::quiet_NaN();
  mamba2::mask_scores<double>(as_span(dA), as_matrix(scores));
  CHECK(scores(0, 1) == 0);
  auto oblong = zeros<double>(2, 3);
  CHECK_THROWS_AS(mamba2::mask_scores<double>(as_span(dA), as_matrix(oblong)), mamba2::ShapeError);
}

TEMPLATE_TEST_CASE("a log-decay of minus infinity forgets what came before, without NaN", "", float, double) {
  Head<TestType> h(9, 2, 3);
  h.dA(4) = -std::numeric_limits<TestType>::infinity();
  const Head<TestType> whole = h;
  const Tensor<TestType, 2> X = xt::view(h.X, xt::range(4, 9)), B = xt::view(h.B, xt::range(4, 9)),
                            C = xt::view(h.C, xt::range(4, 9));
  const Tensor<TestType, 1> dA = xt::view(h.dA, xt::range(4, 9));
  const auto alone = dual_linear<TestType>(X, dA, B, C);
  for (const auto& together : {dual_linear(whole.X, whole.dA, whole.B, whole.C),
                               dual_quadratic<TestType>(whole.X, whole.dA, whole.B, whole.C)}) {
    const Tensor<TestType, 2> tail = xt::view(together, xt::range(4, 9));
    CHECK(relative_error(tail, alone) < tolerance<TestType>);
  }
}

TEST_CASE("without decay the quadratic mode is causal linear attention") {
  Head<double> h(12, 3, 4);
  h.dA.fill(0);
  auto want = zeros<double>(12, 3);
  for (std::size_t i = 0; i < 12; ++i)
    for (std::size_t j = 0; j <= i; ++j)
      for (std::size_t n = 0; n < 4; ++n)
        for (std::size_t p = 0; p < 3; ++p) want(i, p) += h.C(i, n) * h.B(j, n) * h.X(j, p);
  CHECK(relative_error(dual_quadratic(h.X, h.dA, h.B, h.C), want) < 1e-14);
}

TEST_CASE("a later token changes no earlier output") {
  const Head<double> before(20, 3, 4);
  for (const std::size_t changed : std::vector<std::size_t>{1, 7, 19}) {
    Head<double> after = before;
    for (std::size_t p = 0; p < 3; ++p) after.X(changed, p) += 1;
    for (std::size_t n = 0; n < 4; ++n) after.B(changed, n) -= 1, after.C(changed, n) += 2;
    after.dA(changed) -= 0.5;
    const auto one = [&](const auto& form) {
      const auto y = form(before.X, before.dA, before.B, before.C), z = form(after.X, after.dA, after.B, after.C);
      for (std::size_t t = 0; t < 20; ++t) {
        CAPTURE(changed, t);
        CHECK((xt::view(y, t) == xt::view(z, t)) == (t < changed));
      }
    };
    one([](auto&&... a) { return dual_quadratic<double>(a...); });
    one([](auto&&... a) { return dual_linear<double>(a...); });
  }
}

TEST_CASE("the map from X to Y is linear") {
  const Head<double> h(15, 3, 4);
  const auto X2 = random_tensor<double, 2>({15, 3}, 9);
  const Tensor<double, 2> mixed = 2.0 * h.X - 3.0 * X2;
  const Tensor<double, 2> want = 2.0 * dual_quadratic(h.X, h.dA, h.B, h.C) - 3.0 * dual_quadratic(X2, h.dA, h.B, h.C);
  CHECK(relative_error(dual_quadratic(mixed, h.dA, h.B, h.C), want) < 1e-14);
}

TEST_CASE("the quadratic mode on a matrix inside a larger tensor touches nothing else") {
  const std::size_t seqlen = 7, heads = 3, headdim = 2, d_state = 5;
  const auto X = random_tensor<double, 3>({seqlen, heads, headdim}, 1);
  const auto B = random_tensor<double, 3>({seqlen, heads, d_state}, 2),
             C = random_tensor<double, 3>({seqlen, heads, d_state}, 3);
  const auto dA = random_tensor<double, 1>({seqlen}, 4, -1, 0);
  auto Y = random_tensor<double, 3>({seqlen, heads, headdim}, 5);
  const auto before = Y;
  const auto head = [](auto& t) {
    using Element = std::remove_reference_t<decltype(t(0, 1, 0))>;
    return mamba2::MatrixRef<Element>{&t(0, 1, 0), t.shape(0), t.shape(2), t.shape(1) * t.shape(2)};
  };
  dual_quadratic<double>(head(X), as_span(dA), head(B), head(C), head(Y));
  const Tensor<double, 2> X1 = xt::view(X, xt::all(), 1), B1 = xt::view(B, xt::all(), 1),
                          C1 = xt::view(C, xt::all(), 1);
  const Tensor<double, 2> Y1 = xt::view(Y, xt::all(), 1);
  CHECK(relative_error(Y1, dual_linear(X1, dA, B1, C1)) < 1e-14);
  for (const std::size_t other : std::vector<std::size_t>{0, 2})
    CHECK((xt::view(Y, xt::all(), other) == xt::view(before, xt::all(), other)));
}

TEMPLATE_TEST_CASE("empty sequences, states and heads", "", float, double) {
  for (const auto& [seqlen, headdim, d_state] : {std::array<std::size_t, 3>{0, 3, 4}, {5, 0, 4}, {5, 3, 0}}) {
    CAPTURE(seqlen, headdim, d_state);
    const Head<TestType> h(seqlen, headdim, d_state);
    CHECK((dual_quadratic(h.X, h.dA, h.B, h.C) == zeros<TestType>(seqlen, headdim)));
    CHECK((dual_linear(h.X, h.dA, h.B, h.C) == zeros<TestType>(seqlen, headdim)));
  }
}

TEST_CASE("shapes that disagree are refused by name") {
  const Head<double> h(6, 3, 4), shorter(5, 3, 4), narrower(6, 3, 2);
  const auto named = [](const std::string& argument, const auto& call) {
    CHECK(testing::message_of<mamba2::ShapeError>(call).rfind(argument + ": expected shape", 0) == 0);
  };
  named("dA", [&] { dual_quadratic(h.X, shorter.dA, h.B, h.C); });
  named("B", [&] { dual_quadratic(h.X, h.dA, shorter.B, h.C); });
  named("C", [&] { dual_quadratic(h.X, h.dA, h.B, narrower.C); });
  named("dA", [&] { dual_linear(h.X, shorter.dA, h.B, h.C); });
  named("B", [&] { dual_linear(h.X, h.dA, shorter.B, h.C); });
  named("C", [&] { dual_linear(h.X, h.dA, h.B, narrower.C); });
}

TEST_CASE("the costs are those of the loops, counted") {
  const std::size_t T = 7, N = 3, P = 2;
  double scores = 0, product = 0, linear = 0;
  for (std::size_t i = 0; i < T; ++i)
    for (std::size_t j = 0; j < T; ++j) {
      for (std::size_t n = 0; n < N; ++n) ++scores;
      for (std::size_t p = 0; p < P; ++p) ++product;
    }
  for (std::size_t t = 0; t < T; ++t)
    for (std::size_t n = 0; n < N; ++n)
      for (std::size_t p = 0; p < P; ++p) linear += 3;  // decay, update, read
  CHECK(mamba2::cost_quadratic(T, N, P).multiply_adds == scores + product);
  CHECK(mamba2::cost_quadratic(T, N, P).memory == T * T);
  CHECK(mamba2::cost_linear(T, N, P).multiply_adds == linear);
  CHECK(mamba2::cost_linear(T, N, P).memory == N * P);
}
