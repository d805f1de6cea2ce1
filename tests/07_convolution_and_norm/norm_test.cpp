#include <mamba2/activation.hpp>
#include <mamba2/error.hpp>
#include <mamba2/norm.hpp>
#include <support/testing.hpp>

#include <cmath>

using namespace mamba2;
using testing::message_of;
using testing::random_tensor;
using testing::relative_error;

namespace {

constexpr std::size_t tokens = 5, features = 12;

const Tensor<double, 2> y = random_tensor<double, 2>({tokens, features}, 1),
                        z = random_tensor<double, 2>({tokens, features}, 2, -3, 3);
const Tensor<double, 1> weight = random_tensor<double, 1>({features}, 3);

Tensor<double, 2> run(const GatedNorm<double>& how) {
  auto out = zeros<double>(tokens, features);
  gated_norm<double>(as_matrix(y), as_matrix(z), how, as_matrix(out));
  return out;
}

// The definition, entry by entry.
Tensor<double, 2> by_definition(std::size_t groups, bool norm_before_gate, double eps) {
  auto out = zeros<double>(tokens, features);
  const auto normed = [&](std::size_t t, std::size_t i) {
    return norm_before_gate ? y(t, i) : y(t, i) * silu(z(t, i));
  };
  for (std::size_t t = 0; t < tokens; ++t) {
    for (std::size_t i = 0; i < features; ++i) {
      double sum = 0, count = 0;
      for (std::size_t j = 0; j < features; ++j) {
        if (j * groups / features != i * groups / features) continue;
        sum += normed(t, j) * normed(t, j);
        ++count;
      }
      out(t, i) = weight(i) * normed(t, i) / std::sqrt(sum / count + eps) * (norm_before_gate ? silu(z(t, i)) : 1);
    }
  }
  return out;
}

}  // namespace

TEST_CASE("the gated norm is its definition, in either order and for any groups", "[norm]") {
  for (const bool norm_before_gate : {false, true}) {
    for (const std::size_t groups : {1, 2, 3, 4, 6, 12}) {
      CAPTURE(norm_before_gate, groups);
      CHECK(relative_error(run({.weight = weight, .groups = groups, .norm_before_gate = norm_before_gate, .eps = 0.3}),
                           by_definition(groups, norm_before_gate, 0.3)) < 1e-13);
    }
  }
  CHECK(relative_error(run({.weight = weight}), by_definition(1, false, 1e-5)) < 1e-13);
}

TEST_CASE("without a weight there is only the gate", "[norm]") {
  const Tensor<double, 2> want = y * z / (1 + xt::exp(-z));
  CHECK(relative_error(run({}), want) < 1e-14);
  CHECK(relative_error(run({.norm_before_gate = true}), want) < 1e-14);
}

TEST_CASE("the norm may write where it reads", "[norm]") {
  for (const bool norm_before_gate : {false, true}) {
    const GatedNorm<double> how{.weight = weight, .groups = 3, .norm_before_gate = norm_before_gate};
    auto in_place = y;
    gated_norm<double>(as_matrix(in_place), as_matrix(z), how, as_matrix(in_place));
    CHECK(relative_error(in_place, run(how)) == 0);
  }
  auto in_place = y, apart = zeros<double>(tokens, features);
  rms_norm<double>(as_matrix(in_place), weight, 1e-5, as_matrix(in_place));
  rms_norm<double>(as_matrix(y), weight, 1e-5, as_matrix(apart));
  CHECK(relative_error(in_place, apart) == 0);
}

TEST_CASE("the RMS norm makes rows of mean square 1, and does not see their size", "[norm]") {
  const Tensor<double, 1> ones({features}, 1.0);
  auto out = zeros<double>(tokens, features), scaled = zeros<double>(tokens, features);
  rms_norm<double>(as_matrix(y), ones, 0, as_matrix(out));
  for (std::size_t t = 0; t < tokens; ++t)
    CHECK(std::abs(xt::sum(xt::square(xt::view(out, t)))() / features - 1) < 1e-13);
  const Tensor<double, 2> large = 1000 * y;
  rms_norm<double>(as_matrix(large), ones, 0, as_matrix(scaled));
  CHECK(relative_error(scaled, out) < 1e-14);
  const auto nothing = zeros<double>(tokens, features);
  rms_norm<double>(as_matrix(nothing), ones, 1e-5, as_matrix(out));
  CHECK(relative_error(out, nothing) == 0);
}

TEST_CASE("the norm takes columns out of a wider matrix", "[norm]") {
  auto wide = zeros<double>(tokens, 2 * features + 3);
  xt::view(wide, xt::all(), xt::range(1, 1 + features)) = y;
  xt::view(wide, xt::all(), xt::range(2 + features, 2 + 2 * features)) = z;
  const auto m = as_matrix(wide);
  gated_norm<double>(column_block(m, 1, features), column_block(m, 2 + features, features),
                     {.weight = weight, .groups = 2}, column_block(m, 1, features));
  const Tensor<double, 2> got = xt::view(wide, xt::all(), xt::range(1, 1 + features));
  CHECK(relative_error(got, run({.weight = weight, .groups = 2})) == 0);
  CHECK(wide(0, 0) == 0);
  CHECK(wide(tokens - 1, 1 + features) == 0);
}

TEMPLATE_TEST_CASE("the norm works in either precision", "[norm]", float, double) {
  const Tensor<TestType, 2> y2 = xt::cast<TestType>(y), z2 = xt::cast<TestType>(z);
  const Tensor<TestType, 1> w2 = xt::cast<TestType>(weight);
  auto out = zeros<TestType>(tokens, features);
  gated_norm<TestType>(as_matrix(y2), as_matrix(z2), {.weight = w2, .groups = 4}, as_matrix(out));
  CHECK(relative_error(out, by_definition(4, false, 1e-5)) < 1e-6);
}

TEST_CASE("the norms refuse what does not fit, by name", "[norm]") {
  auto out = zeros<double>(tokens, features);
  const auto narrow = zeros<double>(tokens, 11);
  const auto short_weight = zeros<double>(11);
  const auto refusal = [&](MatrixRef<const double> gate, const GatedNorm<double>& how, MatrixRef<double> result) {
    return message_of<ShapeError>([&] { gated_norm<double>(as_matrix(y), gate, how, result); });
  };
  CHECK(refusal(as_matrix(narrow), {}, as_matrix(out)) ==
        "z: expected shape (tokens, features) = (5, 12), got (5, 11)");
  CHECK(refusal(as_matrix(z), {}, column_block(as_matrix(out), 0, 11)) ==
        "out: expected shape (tokens, features) = (5, 12), got (5, 11)");
  CHECK(refusal(as_matrix(z), {.weight = short_weight}, as_matrix(out)) ==
        "norm.weight: expected shape (features) = (12), got (11)");
  for (const std::size_t groups : {0, 5}) {
    CHECK(message_of<ValueError>([&] { run({.weight = weight, .groups = groups}); }) ==
          "groups: expected a divisor of the 12 features, got " + std::to_string(groups));
  }
  CHECK(message_of<ShapeError>([&] { rms_norm<double>(as_matrix(y), short_weight, 0, as_matrix(out)); }) ==
        "norm.weight: expected shape (features) = (12), got (11)");
  CHECK(message_of<ShapeError>([&] {
          rms_norm<double>(as_matrix(y), weight, 0, column_block(as_matrix(out), 0, 11));
        }) == "y: expected shape (tokens, features) = (5, 12), got (5, 11)");
}
