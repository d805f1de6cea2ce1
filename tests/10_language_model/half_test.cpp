// Sixteen-bit numbers, every one of them.
#include <mamba2/half.hpp>
#include <support/catch.hpp>

#include <bit>
#include <cmath>
#include <limits>

using namespace mamba2;

TEST_CASE("every bfloat16 comes back from a float as it was", "[half]") {
  for (std::uint32_t bits = 0; bits < 65536; ++bits) {
    const auto half = static_cast<std::uint16_t>(bits);
    const float value = bfloat16_to_float(half);
    if (std::isnan(value)) {
      REQUIRE(std::isnan(bfloat16_to_float(float_to_bfloat16(value))));
    } else {
      REQUIRE(float_to_bfloat16(value) == half);
    }
  }
}

TEST_CASE("every float16 comes back from a float as it was", "[half]") {
  for (std::uint32_t bits = 0; bits < 65536; ++bits) {
    const auto half = static_cast<std::uint16_t>(bits);
    const float value = float16_to_float(half);
    if (std::isnan(value)) {
      REQUIRE(std::isnan(float16_to_float(float_to_float16(value))));
    } else {
      REQUIRE(float_to_float16(value) == half);
    }
  }
}

TEST_CASE("known values of sixteen-bit numbers", "[half]") {
  CHECK(bfloat16_to_float(0x3f80) == 1);
  CHECK(bfloat16_to_float(0xc049) == -3.140625f);
  CHECK(float16_to_float(0x3c00) == 1);
  CHECK(float16_to_float(0x7bff) == 65504);
  CHECK(float16_to_float(0x0001) == std::ldexp(1.0f, -24));
  CHECK(float16_to_float(0x8400) == -std::ldexp(1.0f, -14));
  CHECK(float16_to_float(0xfc00) == -std::numeric_limits<float>::infinity());
}

namespace {

// The nearest of all finite sixteen-bit numbers to a value, ties to the even one, by looking at each of them.
template <class Widen>
std::uint16_t nearest(double value, Widen widen) {
  std::uint16_t best = 0;
  double best_distance = std::numeric_limits<double>::infinity();
  for (std::uint32_t bits = 0; bits < 0x8000; ++bits) {
    const double candidate = widen(static_cast<std::uint16_t>(bits));
    if (!std::isfinite(candidate)) break;
    const double distance = std::abs(candidate - value);
    if (distance < best_distance || (distance == best_distance && (bits & 1) == 0)) {
      best = static_cast<std::uint16_t>(bits);
      best_distance = distance;
    }
  }
  return best;
}

}  // namespace

TEST_CASE("rounding goes to the nearest, ties to even", "[half]") {
  std::uint32_t state = 1;
  for (int i = 0; i < 300; ++i) {
    state = state * 1664525u + 1013904223u;
    const float wide = std::bit_cast<float>(state >> 1);  // any positive float
    if (!std::isnan(wide) && wide < 3e38f) CHECK(float_to_bfloat16(wide) == nearest(wide, bfloat16_to_float));
    const float small = std::ldexp(static_cast<float>(state >> 8), -24 - static_cast<int>(state & 31) + 15);
    if (small < 65504) CHECK(float_to_float16(small) == nearest(small, float16_to_float));
  }
  for (std::uint32_t bits = 0; bits < 0x7bff; bits += 97) {  // exactly half way between two neighbours
    const float low = float16_to_float(static_cast<std::uint16_t>(bits));
    const float high = float16_to_float(static_cast<std::uint16_t>(bits + 1));
    CHECK(float_to_float16(low + (high - low) / 2) == (bits % 2 == 0 ? bits : bits + 1));
    const float wide_low = bfloat16_to_float(static_cast<std::uint16_t>(bits));
    const float wide_high = bfloat16_to_float(static_cast<std::uint16_t>(bits + 1));
    CHECK(float_to_bfloat16(wide_low + (wide_high - wide_low) / 2) == (bits % 2 == 0 ? bits : bits + 1));
  }
}

TEST_CASE("what is too large becomes infinite, signs stay", "[half]") {
  CHECK(float_to_float16(65519.0f) == 0x7bff);
  CHECK(float_to_float16(65520.0f) == 0x7c00);
  CHECK(float_to_float16(-1e30f) == 0xfc00);
  CHECK(float_to_float16(-0.0f) == 0x8000);
  CHECK(float_to_bfloat16(std::numeric_limits<float>::max()) == 0x7f80);
  CHECK(float_to_bfloat16(-0.0f) == 0x8000);
  const auto quiet = float_to_bfloat16(std::bit_cast<float>(0x7f800001u));  // a NaN whose upper half looks infinite
  CHECK(std::isnan(bfloat16_to_float(quiet)));
}
