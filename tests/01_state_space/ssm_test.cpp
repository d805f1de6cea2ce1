#include <mamba2/ssm.hpp>
#include <support/catch.hpp>
#include <support/testing.hpp>

#include <cmath>
#include <vector>

using mamba2::ShapeError;
using mamba2::Tensor;
using mamba2::zeros;
using testing::random_tensor;
using testing::relative_error;

namespace {

template <class Real>
struct Model {
  Tensor<Real, 2> x;      // (seqlen, headdim)
  Tensor<Real, 1> A_bar;  // (seqlen)
  Tensor<Real, 2> B_bar;  // (seqlen, d_state)
  Tensor<Real, 2> C;      // (seqlen, d_state)
};

template <class Real>
Model<Real> random_model(std::size_t T, std::size_t P, std::size_t N) {
  return {random_tensor<Real, 2>({T, P}, 1), random_tensor<Real, 1>({T}, 2, 0.3, 1.0),
          random_tensor<Real, 2>({T, N}, 3), random_tensor<Real, 2>({T, N}, 4)};
}

// Equation 3 as it stands, with every product taken anew: no state, no running product.
template <class Real>
Tensor<double, 2> entry_by_entry(const Model<Real>& m) {
  const std::size_t T = m.A_bar.shape(0), N = m.B_bar.shape(1);
  auto M = zeros<double>(T, T);
  for (std::size_t i = 0; i < T; ++i)
    for (std::size_t j = 0; j <= i; ++j)
      for (std::size_t n = 0; n < N; ++n) {
        double entry = double(m.C(i, n)) * double(m.B_bar(j, n));
        for (std::size_t k = j + 1; k <= i; ++k) entry *= double(m.A_bar(k));
        M(i, j) += entry;
      }
  return M;
}

template <class A, class B>
Tensor<double, 2> product(const Tensor<A, 2>& a, const Tensor<B, 2>& b) {
  auto c = zeros<double>(a.shape(0), b.shape(1));
  for (std::size_t i = 0; i < a.shape(0); ++i)
    for (std::size_t k = 0; k < a.shape(1); ++k)
      for (std::size_t j = 0; j < b.shape(1); ++j) c(i, j) += double(a(i, k)) * double(b(k, j));
  return c;
}

template <class Real>
Tensor<Real, 2> run(const Model<Real>& m) {
  return mamba2::ssm_recurrent(m.x, m.A_bar, m.B_bar, m.C);
}

}  // namespace

// The differential equation h' = A h + x with x held at 1 over one step, by many small steps of the midpoint rule.
TEST_CASE("the zero-order hold is the solution of the differential equation") {
  for (const double A : {-3.0, -0.5, 0.0, 0.25})
    for (const double dt : {0.001, 0.1, 1.0, 2.5}) {
      const int n = 20000;
      double from_state = 1, from_input = 0;
      for (int i = 0; i < n; ++i) {
        const double s = dt / n;
        from_state += s * A * (from_state + s / 2 * A * from_state);
        from_input += s * (A * (from_input + s / 2 * (A * from_input + 1)) + 1);
      }
      const auto step = mamba2::discretize_zero_order_hold(A, dt);
      CHECK(step.A_bar == Approx(from_state).epsilon(1e-6));
      CHECK(step.B_bar == Approx(from_input).epsilon(1e-6));
    }
}

TEST_CASE("the zero-order hold loses no digits where A or the step is small") {
  CHECK(mamba2::discretize_zero_order_hold(0.0, 0.25).B_bar == 0.25);
  CHECK(mamba2::discretize_zero_order_hold(-0.0f, 0.25f).B_bar == 0.25f);
  // (e^z - 1) / A = dt (1 + z/2 + ...), with z = dt A: written naively, all digits would be gone here.
  CHECK(mamba2::discretize_zero_order_hold(-1e-17, 0.5).B_bar == Approx(0.5).epsilon(1e-15));
  CHECK(mamba2::discretize_zero_order_hold(-1e-6, 1e-6).B_bar == Approx(1e-6 * (1 - 0.5e-12)).epsilon(1e-15));
  CHECK(mamba2::discretize_zero_order_hold(-1e-9f, 0.5f).B_bar == Approx(0.5).epsilon(1e-7));
}

TEST_CASE("Mamba-2's step is the zero-order hold's up to the square of the step") {
  const double A = -2;
  double last = 0;
  for (double dt = 0.1; dt > 1e-4; dt /= 2) {
    const auto exact = mamba2::discretize_zero_order_hold(A, dt);
    const auto ours = mamba2::discretize_mamba2(A, dt);
    CHECK(ours.A_bar == exact.A_bar);
    CHECK(ours.B_bar == dt);
    const double error = std::abs(ours.B_bar - exact.B_bar);
    if (last > 0) CHECK(last / error == Approx(4).epsilon(0.1));
    last = error;
  }
}

TEMPLATE_TEST_CASE("recurrence and matrix agree with Equation 3 written out", "", float, double) {
  const double tolerance = std::is_same_v<TestType, float> ? 1e-5 : 1e-13;
  for (const std::size_t T : {0u, 1u, 2u, 13u, 31u})
    for (const std::size_t P : {1u, 3u})
      for (const std::size_t N : {1u, 5u}) {
        const auto m = random_model<TestType>(T, P, N);
        const Tensor<double, 2> M = entry_by_entry(m), y = product(M, m.x);
        CHECK(relative_error(mamba2::ssm_matrix(m.A_bar, m.B_bar, m.C), M) < tolerance);
        CHECK(relative_error(mamba2::ssm_recurrent(m.x, m.A_bar, m.B_bar, m.C), y) < tolerance);
        CHECK(relative_error(mamba2::ssm_quadratic(m.x, m.A_bar, m.B_bar, m.C), y) < tolerance);
      }
}

TEST_CASE("a state of size zero, or no channels, gives nothing but the right shape") {
  const auto no_state = random_model<double>(4, 2, 0);
  CHECK((run(no_state) == zeros<double>(4, 2)));
  CHECK((mamba2::ssm_matrix(no_state.A_bar, no_state.B_bar, no_state.C) == zeros<double>(4, 4)));
  const auto no_channels = random_model<double>(4, 0, 3);
  CHECK(run(no_channels).shape() == std::array<std::size_t, 2>{4, 0});
  CHECK(mamba2::ssm_quadratic(no_channels.x, no_channels.A_bar, no_channels.B_bar, no_channels.C).shape() ==
        std::array<std::size_t, 2>{4, 0});
}

TEST_CASE("one state, one channel, by hand") {
  const Tensor<double, 2> x{{1}, {2}, {4}}, B{{1}, {1}, {0.5}}, C{{1}, {2}, {3}};
  const Tensor<double, 1> A{0.7, 0.5, 0.25};
  // h = 1;  0.5·1 + 2 = 2.5;  0.25·2.5 + 2 = 2.625
  CHECK((mamba2::ssm_recurrent(x, A, B, C) == Tensor<double, 2>{{1}, {5}, {7.875}}));
  CHECK((mamba2::ssm_matrix(A, B, C) == Tensor<double, 2>{{1, 0, 0}, {1, 2, 0}, {0.375, 0.75, 1.5}}));
}

TEST_CASE("the first decay acts on a state of zeros: it changes nothing") {
  auto m = random_model<double>(7, 2, 3);
  const auto y = run(m);
  const auto M = mamba2::ssm_matrix(m.A_bar, m.B_bar, m.C);
  m.A_bar(0) = 123;
  CHECK((run(m) == y));
  CHECK((mamba2::ssm_matrix(m.A_bar, m.B_bar, m.C) == M));
}

TEST_CASE("outputs do not depend on the future") {
  const auto before = random_model<double>(11, 2, 3);
  const auto y = run(before);
  for (std::size_t t = 0; t < 11; ++t) {
    auto m = before;
    m.x(t, 1) += 1;
    m.A_bar(t) += 0.1;
    m.B_bar(t, 2) -= 1;
    m.C(t, 0) += 1;
    const auto changed = run(m);
    for (std::size_t s = 0; s < t; ++s)
      for (std::size_t p = 0; p < 2; ++p) REQUIRE(changed(s, p) == y(s, p));
    CHECK(changed(t, 1) != y(t, 1));
  }
}

TEST_CASE("the model is linear in its input") {
  const auto one = random_model<double>(17, 3, 4);
  auto two = one, sum = one;
  two.x = random_tensor<double, 2>({17, 3}, 9);
  for (std::size_t i = 0; i < sum.x.size(); ++i) sum.x.data()[i] = 2 * one.x.data()[i] - 3 * two.x.data()[i];
  const auto y1 = run(one), y2 = run(two);
  auto want = zeros<double>(17, 3);
  for (std::size_t i = 0; i < want.size(); ++i) want.data()[i] = 2 * y1.data()[i] - 3 * y2.data()[i];
  CHECK(relative_error(run(sum), want) < 1e-13);
}

TEST_CASE("channels do not mix: each runs as if alone") {
  const auto m = random_model<double>(9, 3, 2);
  const auto y = run(m);
  for (std::size_t p = 0; p < 3; ++p) {
    auto alone = m;
    alone.x = zeros<double>(9, 1);
    for (std::size_t t = 0; t < 9; ++t) alone.x(t, 0) = m.x(t, p);
    const auto y_p = run(alone);
    for (std::size_t t = 0; t < 9; ++t) CHECK(y_p(t, 0) == y(t, p));
  }
}

TEST_CASE("a decay of zero forgets: what follows equals a fresh start") {
  auto m = random_model<double>(10, 2, 3);
  m.A_bar(6) = 0;
  const auto y = run(m);
  Model<double> tail{zeros<double>(4, 2), zeros<double>(4), zeros<double>(4, 3), zeros<double>(4, 3)};
  for (std::size_t t = 0; t < 4; ++t) {
    tail.A_bar(t) = m.A_bar(6 + t);
    for (std::size_t p = 0; p < 2; ++p) tail.x(t, p) = m.x(6 + t, p);
    for (std::size_t n = 0; n < 3; ++n) {
      tail.B_bar(t, n) = m.B_bar(6 + t, n);
      tail.C(t, n) = m.C(6 + t, n);
    }
  }
  const auto y_tail = run(tail);
  for (std::size_t t = 0; t < 4; ++t)
    for (std::size_t p = 0; p < 2; ++p) CHECK(y_tail(t, p) == y(6 + t, p));
}

TEMPLATE_TEST_CASE("with constant parameters the model is a convolution", "", float, double) {
  const double tolerance = std::is_same_v<TestType, float> ? 1e-5 : 1e-13;
  const Tensor<TestType, 1> B{TestType(0.5), TestType(-2)}, C{TestType(3), TestType(0.25)};
  const auto A_bar = TestType(0.9);
  for (const std::size_t T : {0u, 1u, 19u}) {
    const auto K = mamba2::ssm_kernel(A_bar, B, C, T);
    auto want = zeros<double>(T);
    for (std::size_t k = 0; k < T; ++k) want(k) = (0.5 * 3 - 2 * 0.25) * std::pow(double(A_bar), double(k));
    CHECK(relative_error(K, want) < tolerance);

    Model<TestType> m{random_tensor<TestType, 2>({T, 2}, 5), zeros<TestType>(T), zeros<TestType>(T, 2),
                      zeros<TestType>(T, 2)};
    m.A_bar.fill(A_bar);
    for (std::size_t t = 0; t < T; ++t)
      for (std::size_t n = 0; n < 2; ++n) {
        m.B_bar(t, n) = B(n);
        m.C(t, n) = C(n);
      }
    CHECK(relative_error(mamba2::causal_convolution(m.x, K), run(m)) < tolerance);
  }
}

TEST_CASE("an impulse shows the kernel") {
  const auto K = random_tensor<double, 1>({8}, 7);
  auto x = zeros<double>(8, 2);
  x(3, 1) = 2;
  const auto y = mamba2::causal_convolution(x, K);
  for (std::size_t t = 0; t < 8; ++t) {
    CHECK(y(t, 0) == 0);
    CHECK(y(t, 1) == (t < 3 ? 0 : 2 * K(t - 3)));
  }
}

TEST_CASE("float follows double over a long sequence") {
  const std::size_t T = 5003;
  auto exact = random_model<double>(T, 2, 4);
  for (double& a : exact.A_bar) a = 0.95 + 0.0499 * a;
  Model<float> rounded{exact.x, exact.A_bar, exact.B_bar, exact.C};
  Model<double> same{rounded.x, rounded.A_bar, rounded.B_bar, rounded.C};
  CHECK(relative_error(run(rounded), run(same)) < 1e-5);
}

TEST_CASE("shapes that disagree are refused, by name") {
  const auto m = random_model<double>(5, 2, 3);
  const auto other = random_model<double>(4, 2, 4);
  using testing::message_of;
  CHECK(message_of<ShapeError>([&] { mamba2::ssm_recurrent(m.x, other.A_bar, m.B_bar, m.C); }) ==
        "A_bar: expected shape (seqlen) = (5), got (4)");
  CHECK(message_of<ShapeError>([&] { mamba2::ssm_recurrent(m.x, m.A_bar, other.B_bar, m.C); }) ==
        "B_bar: expected shape (seqlen, d_state) = (5, 4), got (4, 4)");
  CHECK(message_of<ShapeError>([&] { mamba2::ssm_quadratic(m.x, m.A_bar, m.B_bar, other.C); }) ==
        "C: expected shape (seqlen, d_state) = (5, 3), got (4, 4)");
  CHECK(message_of<ShapeError>([&] { mamba2::ssm_quadratic(other.x, m.A_bar, m.B_bar, m.C); }) ==
        "A_bar: expected shape (seqlen) = (4), got (5)");
  CHECK(message_of<ShapeError>([&] { mamba2::ssm_matrix(m.A_bar, m.B_bar, other.C); }) ==
        "C: expected shape (seqlen, d_state) = (5, 3), got (4, 4)");
  CHECK(message_of<ShapeError>([&] { mamba2::ssm_kernel(0.5, Tensor<double, 1>{1, 2}, Tensor<double, 1>{1}, 4); }) ==
        "C: expected shape (d_state) = (2), got (1)");
  CHECK(message_of<ShapeError>([&] { mamba2::causal_convolution(m.x, Tensor<double, 1>{1, 2}); }) ==
        "K: expected shape (seqlen) = (5), got (2)");
}
