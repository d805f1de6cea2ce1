#include <mamba2/semiseparable.hpp>
#include <mamba2/ssm.hpp>
#include <support/catch.hpp>
#include <support/testing.hpp>

#include <cmath>
#include <limits>

using mamba2::Tensor;
using mamba2::zeros;
using testing::random_tensor;
using testing::relative_error;

namespace {

template <class Real>
constexpr Real infinity = std::numeric_limits<Real>::infinity();

// The largest relative error of exp(S) over j <= i, against exp of sums taken one by one in long double.
template <class Real>
double worst_error(const Tensor<Real, 2>& S, const Tensor<Real, 1>& dA) {
  double worst = 0;
  for (std::size_t j = 0; j < dA.shape(0); ++j) {
    long double sum = 0;
    for (std::size_t i = j; i < dA.shape(0); ++i) {
      if (i > j) sum += static_cast<long double>(dA(i));
      worst = std::max(worst, double(std::abs(std::expm1(static_cast<long double>(S(i, j)) - sum))));
    }
  }
  return worst;
}

template <class Real>
Tensor<Real, 2> block(const Tensor<Real, 2>& M, std::size_t top, std::size_t bottom, std::size_t left,
                      std::size_t right) {
  auto out = zeros<Real>(bottom - top, right - left);
  for (std::size_t i = top; i < bottom; ++i)
    for (std::size_t j = left; j < right; ++j) out(i - top, j - left) = M(i, j);
  return out;
}

}  // namespace

TEMPLATE_TEST_CASE("segment sums by hand", "", float, double) {
  constexpr TestType none = -infinity<TestType>;
  const Tensor<TestType, 1> dA{-8, -1, -0.5, -0.25};
  const Tensor<TestType, 2> want{
      {0, none, none, none}, {-1, 0, none, none}, {-1.5, -0.5, 0, none}, {-1.75, -0.75, -0.25, 0}};
  CHECK((mamba2::segsum(dA) == want));
  CHECK((mamba2::segsum_naive(dA) == want));  // exact here: every sum is a small multiple of 1/4
}

TEMPLATE_TEST_CASE("segment sums of no step and of one", "", float, double) {
  CHECK(mamba2::segsum(zeros<TestType>(0)).shape() == std::array<std::size_t, 2>{0, 0});
  CHECK(mamba2::segsum_naive(zeros<TestType>(0)).shape() == std::array<std::size_t, 2>{0, 0});
  CHECK(mamba2::decay_mask(zeros<TestType>(0)).shape() == std::array<std::size_t, 2>{0, 0});
  CHECK((mamba2::segsum(Tensor<TestType, 1>{-3}) == Tensor<TestType, 2>{{0}}));
  CHECK((mamba2::decay_mask(Tensor<TestType, 1>{-3}) == Tensor<TestType, 2>{{1}}));
}

TEST_CASE("the stable sums are exact to rounding where the naive ones are not") {
  const auto dA = random_tensor<float, 1>({2003}, 1, -10, 0);
  const double stable = worst_error(mamba2::segsum(dA), dA), naive = worst_error(mamba2::segsum_naive(dA), dA);
  CHECK(naive > 1e-3);
  // Long sums of the stable form are rounded too, but relative to themselves: their exponentials are nothing anyway.
  const auto S = mamba2::segsum(dA);
  for (std::size_t i = 0; i < 2003; ++i)
    for (std::size_t j = i < 20 ? 0 : i - 20; j <= i; ++j) {
      double sum = 0;
      for (std::size_t k = j + 1; k <= i; ++k) sum += double(dA(k));
      REQUIRE(std::abs(double(S(i, j)) - sum) <= 2e-6 * std::abs(sum));
    }
  CHECK(stable < naive);
}

TEST_CASE("in double both forms agree") {
  const auto dA = random_tensor<double, 1>({307}, 2, -2, 0);
  CHECK(worst_error(mamba2::segsum(dA), dA) < 1e-11);
  CHECK(worst_error(mamba2::segsum_naive(dA), dA) < 1e-11);
}

TEMPLATE_TEST_CASE("a log-decay of minus infinity forgets all that came before, and nothing else", "", float, double) {
  Tensor<TestType, 1> dA{-1, -0.5, -infinity<TestType>, -0.25, -infinity<TestType>, -2};
  const auto L = mamba2::decay_mask(dA);
  for (std::size_t i = 0; i < 6; ++i)
    for (std::size_t j = 0; j < 6; ++j) {
      const bool kept = j <= i && !(j < 2 && i >= 2) && !(j < 4 && i >= 4);
      CHECK((kept ? L(i, j) > 0 : L(i, j) == 0));
    }
  const auto naive = mamba2::segsum_naive(dA);
  CHECK(std::isnan(naive(3, 2)));  // -inf - (-inf): why the naive form must not be used here
}

TEMPLATE_TEST_CASE("the mask is the matrix of a model with one state, B = C = 1", "", float, double) {
  const double tolerance = std::is_same_v<TestType, float> ? 1e-5 : 1e-13;
  for (const std::size_t T : {1u, 7u, 53u}) {
    const auto dA = random_tensor<TestType, 1>({T}, 3, -1, 0);
    auto A_bar = zeros<TestType>(T);
    auto ones = zeros<TestType>(T, 1);
    ones.fill(1);
    for (std::size_t t = 0; t < T; ++t) A_bar(t) = std::exp(dA(t));
    CHECK(relative_error(mamba2::decay_mask(dA), mamba2::ssm_matrix(A_bar, ones, ones)) < tolerance);
  }
}

TEST_CASE("without decay the mask is the lower triangle, with a constant one its entries are powers") {
  const auto causal = mamba2::decay_mask(zeros<double>(5));
  Tensor<double, 1> dA = zeros<double>(5);
  dA.fill(std::log(0.5));
  const auto retention = mamba2::decay_mask(dA);
  for (std::size_t i = 0; i < 5; ++i)
    for (std::size_t j = 0; j < 5; ++j) {
      CHECK(causal(i, j) == (j <= i ? 1 : 0));
      CHECK(retention(i, j) == Approx(j <= i ? std::pow(0.5, double(i - j)) : 0));
    }
}

TEST_CASE("positive sums above the diagonal never reach the mask") {
  Tensor<float, 1> dA = zeros<float>(50);
  dA.fill(-20);  // the sums above the diagonal would be as large as 980, whose exponential is infinite in float
  for (const float entry : mamba2::decay_mask(dA)) REQUIRE((entry >= 0 && entry <= 1));
}

TEST_CASE("the rank of every block off the diagonal is at most the state size") {
  const std::size_t T = 24;
  for (const std::size_t N : {1u, 2u, 5u}) {
    const auto A_bar = random_tensor<double, 1>({T}, 1, 0.7, 1);
    const auto B = random_tensor<double, 2>({T, N}, 2), C = random_tensor<double, 2>({T, N}, 3);
    const auto M = mamba2::ssm_matrix(A_bar, B, C);
    for (std::size_t cut = N + 1; cut + N + 1 <= T; ++cut) {
      const auto s = mamba2::singular_values(block(M, cut, T, 0, cut));
      REQUIRE(s(N - 1) > 1e-6 * s(0));
      REQUIRE(s(N) < 1e-13 * s(0));
    }
    const auto whole = mamba2::singular_values(M);
    CHECK(whole(T - 1) > 1e-8 * whole(0));  // the matrix itself has full rank
  }
}

TEMPLATE_TEST_CASE("singular values of matrices whose values are known", "", float, double) {
  const double epsilon = std::is_same_v<TestType, float> ? 1e-5 : 1e-13;
  // diag(3, -4) between a rotation and two more columns of zeros, either way round.
  const auto c = TestType(0.6), s = TestType(0.8);
  const Tensor<TestType, 2> wide{{3 * c, 4 * s, 0, 0}, {3 * s, -4 * c, 0, 0}};
  auto tall = zeros<TestType>(4, 2);
  for (std::size_t i = 0; i < 2; ++i)
    for (std::size_t j = 0; j < 4; ++j) tall(j, i) = wide(i, j);
  for (const auto& M : {wide, tall}) {
    const auto values = mamba2::singular_values(M);
    REQUIRE(values.shape(0) == 2);
    CHECK(values(0) == Approx(4).epsilon(epsilon));
    CHECK(values(1) == Approx(3).epsilon(epsilon));
  }
  CHECK((mamba2::singular_values(zeros<TestType>(3, 2)) == zeros<TestType>(2)));
  CHECK(mamba2::singular_values(zeros<TestType>(0, 4)).shape(0) == 0);
  CHECK(mamba2::singular_values(zeros<TestType>(3, 0)).shape(0) == 0);
}

TEST_CASE("the squares of the singular values sum to the squares of the entries") {
  const auto M = random_tensor<double, 2>({7, 11}, 5);
  double entries = 0, values = 0;
  for (const double m : M) entries += m * m;
  for (const double s : mamba2::singular_values(M)) values += s * s;
  CHECK(values == Approx(entries).epsilon(1e-12));
}

TEST_CASE("singular values of a matrix that is not finite are refused") {
  Tensor<double, 2> M{{1, 2}, {3, 4}};
  M(1, 0) = infinity<double>;
  CHECK(testing::message_of<mamba2::ValueError>([&] { mamba2::singular_values(M); }) ==
        "M: expected finite entries, got inf");
}
