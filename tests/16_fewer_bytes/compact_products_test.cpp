// Products with weights of two bytes and of one, on the processor at hand and as on an old one.
#include <mamba2/compact_kernels.hpp>
#include <mamba2/compact_products.hpp>
#include <support/products.hpp>
#include <support/testing.hpp>

#include <cmath>
#include <limits>
#include <vector>

using namespace mamba2;
using testing::error_of_product;
using testing::random_tensor;

namespace {

template <class Real>
constexpr double rounding = std::is_same_v<Real, float> ? 2e-6 : 1e-13;

template <class Real>
double as_bfloat16(Real value) {
  return static_cast<double>(bfloat16_to_float(float_to_bfloat16(static_cast<float>(value))));
}

}  // namespace

// Odd sizes; the matrices lie inside larger ones.
TEMPLATE_TEST_CASE("products with weights in fewer bytes, of a few tokens and of many", "[fewer_bytes]", float,
                   double) {
  const std::size_t columns = 37, stride = columns + 2;
  const auto W = random_tensor<TestType, 2>({31, stride}, 1);
  Tensor<std::uint16_t, 2> half({31, stride});
  Tensor<std::int8_t, 2> bytes({31, stride});
  for (std::size_t i = 0; i < W.size(); ++i) {
    half.data()[i] = float_to_bfloat16(static_cast<float>(W.data()[i]));
    bytes.data()[i] = static_cast<std::int8_t>(std::lround(W.data()[i] * 127));
  }
  const auto half_weight = [&](std::size_t r, std::size_t j) { return as_bfloat16(W(r, j)); };
  const auto byte_weight = [&](std::size_t r, std::size_t j) { return static_cast<double>(bytes(r, j)); };
  const auto part = [&](const auto& m) { return column_block(as_matrix(m), 0, columns); };

  for (const char* set : {"baseline", ""}) {
    use_instruction_set(set);
    const auto& k = compact_kernels<TestType>();
    const bool rounds = std::is_same_v<TestType, float> && multiplies_bfloat16();
    for (const std::size_t tokens : {1, 2, 3, 4, 5, 8, 9, 40}) {
      CAPTURE(set, tokens);
      const auto x = random_tensor<TestType, 2>({tokens, stride}, 2);
      const auto token = [&](std::size_t v, std::size_t j) { return static_cast<double>(x(v, j)); };
      const auto rounded_token = [&](std::size_t v, std::size_t j) {
        return rounds ? as_bfloat16(x(v, j)) : token(v, j);
      };
      auto out = zeros<TestType>(tokens, 40);
      const MatrixRef<TestType> y = column_block(as_matrix(out), 4, 31);
      const auto error = [&](const auto& w, const auto& t) { return error_of_product<TestType>(y, w, t, columns); };
      product<TestType>(part(x), part(half), y);
      CHECK(error(half_weight, rounded_token) < rounding<TestType>);
      product<TestType>(part(x), part(bytes), y);
      CHECK(error(byte_weight, rounded_token) < rounding<TestType>);
      const auto y_one = column_block(y, 0, 1);  // a single column, in wider rows
      const auto first = [&](const auto& m) { return row_block(part(m), 0, 1); };
      product<TestType>(part(x), first(half), y_one);
      CHECK(error_of_product<TestType>(y_one, half_weight, rounded_token, columns) < rounding<TestType>);
      product<TestType>(part(x), first(bytes), y_one);
      CHECK(error_of_product<TestType>(y_one, byte_weight, rounded_token, columns) < rounding<TestType>);

      k.rows_dot_bfloat16(half.data(), stride, 31, columns, x.data(), stride, tokens, y.data, y.stride);
      CHECK(error(half_weight, token) < rounding<TestType>);
      Tensor<std::int16_t, 2> whole({tokens, columns});
      std::vector<TestType> scale(tokens);
      const std::vector<float> w_scale(31, 0.5F);
      for (std::size_t v = 0; v < tokens; ++v) scale[v] = 2 * k.to_int16(&x(v, 0), columns, &whole(v, 0));
      k.rows_dot_int8(bytes.data(), stride, w_scale.data(), 31, columns, whole.data(), columns, scale.data(), tokens,
                      y.data, y.stride);
      CHECK(error(byte_weight, token) < 5e-5);
      CHECK(out(0, 3) == 0);  // nothing is written beside y
      CHECK(out(tokens - 1, 35) == 0);
    }
  }
  use_instruction_set("");
  auto wrong = zeros<TestType>(30, 31);
  CHECK_THROWS_AS(product<TestType>(part(W), part(half), as_matrix(wrong)), ShapeError);
  CHECK_THROWS_AS(product<TestType>(part(W), part(bytes), as_matrix(wrong)), ShapeError);
}

// Pieces of 16 MB: of 1000 columns, 4194 rows of floats. The second piece is shorter, and what the first has left in memory
// must not count.
TEST_CASE("a weight that is widened in several pieces", "[fewer_bytes]") {
  const std::size_t rows = 5000, columns = 1000;
  Tensor<std::uint16_t, 2> half({rows, columns});
  for (std::size_t r = 0; r < rows; ++r)
    for (std::size_t j = 0; j < columns; ++j) half(r, j) = float_to_bfloat16(static_cast<float>(r % 5 + j % 3));
  const Tensor<float, 2> x({2, columns}, 1.0F);
  auto y = zeros<float>(2, rows);
  use_instruction_set("baseline");  // which has no product for bfloat16
  product<float>(as_matrix(x), as_matrix(half), as_matrix(y));
  use_instruction_set("");
  double sum = 0;
  for (std::size_t j = 0; j < columns; ++j) sum += static_cast<double>(j % 3);
  for (const std::size_t r : {0, 4193, 4194, 4998, 4999})
    CHECK(y(1, r) == static_cast<double>(columns * (r % 5)) + sum);
}

TEMPLATE_TEST_CASE("whole numbers as large as sums allow", "[fewer_bytes]", float, double) {
  for (const std::size_t n : {1, 100, 515, 516, 517, 768, 1536, 2048, 5120, 100000}) {
    CAPTURE(n);
    std::vector<TestType> x(n, TestType(-3));
    x[0] = TestType(-3.0001);
    std::vector<std::int16_t> whole(n);
    const std::vector<std::int8_t> w(n, 127);
    const float one = 1;
    TestType y = 0, scale = compact_kernels<TestType>().to_int16(x.data(), n, whole.data());
    CHECK(scale * whole[0] == Approx(x[0]).epsilon(2e-5 + 4e-8 * static_cast<double>(n)));
    compact_kernels<TestType>().rows_dot_int8(w.data(), n, &one, 1, n, whole.data(), n, &scale, 1, &y, 1);
    std::fill(x.begin(), x.end(), TestType(1));
    TestType of_ones = 0, ones_scale = compact_kernels<TestType>().to_int16(x.data(), n, whole.data());
    compact_kernels<TestType>().rows_dot_int8(w.data(), n, &one, 1, n, whole.data(), n, &ones_scale, 1, &of_ones, 1);
    CHECK(of_ones == Approx(127.0 * static_cast<double>(n)).epsilon(1e-5));
    CHECK(y == Approx(-3.0 * 127 * static_cast<double>(n)).epsilon(n > 10000 ? 2e-2 : 1e-3));
  }
  std::vector<TestType> x(20, TestType(0));
  std::vector<std::int16_t> whole(20, 1);
  CHECK(compact_kernels<TestType>().to_int16(x.data(), 20, whole.data()) == 0);
  CHECK(whole == std::vector<std::int16_t>(20, 0));
  for (const TestType strange :
       {std::numeric_limits<TestType>::infinity(), std::numeric_limits<TestType>::quiet_NaN()}) {
    x[7] = strange;
    CHECK(std::isnan(compact_kernels<TestType>().to_int16(x.data(), 20, whole.data())));
    CHECK(whole == std::vector<std::int16_t>(20, 0));
  }
}
