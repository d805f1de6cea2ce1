// ## Numbers of sixteen bits {#language_model_half}
//
// A trained model is a few hundred million numbers. As floats each of them takes four bytes; many
// checkpoints spend two. There are two ways to cut a float in half, and a reader of checkpoints
// needs both.
//
// A **float** has one bit of sign, eight of exponent and twenty-three of fraction. With sign $s$,
// exponent $e$ and fraction $f$ (read as a number in $[0, 1)$) it stands for
//
// $$(-1)^s\, 2^{e - 127}\, (1 + f).$$ {#eq:float}
//
// ::: figure float_formats
// Three ways to spend bits. bfloat16 keeps the float's exponent, and so its range, and gives up
// fraction: about two decimal digits are left. float16 keeps three digits, but ends at 65504.
// :::
//
// ### bfloat16
//
// bfloat16 is the upper half of a float, nothing more. Reading it is a shift:

#include <mamba2/half.hpp>

#include <bit>
#include <cmath>

namespace mamba2 {

float bfloat16_to_float(std::uint16_t bits) {
  return std::bit_cast<float>(std::uint32_t{bits} << 16);
}

// Writing it means to throw sixteen bits away, and to round. Cutting them off would round towards
// zero, every time, and a model whose weights have all shrunk a little is another model. The rule
// that has no such pull is *round to nearest, ties to even*: if what is thrown away is more than
// half of the last bit that stays, go up; if less, go down; if exactly half, go to the neighbour
// whose last bit is zero.
//
// The trick to do this without a branch: add `0x7fff`, just less than half, and one more if the
// last bit that stays is set. The carry does the rest. It may run up into the exponent, and that is
// right: the float after the largest fraction of one exponent is the smallest of the next. What is
// too large for bfloat16 carries into the pattern for infinity, which is right as well. Only a NaN
// could be carried into something that is not one, so it goes first.

std::uint16_t float_to_bfloat16(float value) {
  const auto bits = std::bit_cast<std::uint32_t>(value);
  if (std::isnan(value)) return static_cast<std::uint16_t>((bits >> 16) | 0x0040);
  const std::uint32_t last_bit = (bits >> 16) & 1;
  return static_cast<std::uint16_t>((bits + 0x7fff + last_bit) >> 16);
}

// ### float16
//
// The IEEE half has five bits of exponent and ten of fraction, so exponents must be moved: 15 is
// its zero where a float's is 127, a difference of 112. Two exponents are special. The largest, 31,
// marks infinity and NaN. The smallest, 0, marks *subnormal* numbers, which have no leading one:
// $f \cdot 2^{-14}$, evenly spaced down to zero. Every half is a float, so nothing is rounded on
// the way up.

float float16_to_float(std::uint16_t bits) {
  const std::uint32_t sign = (bits & 0x8000u) << 16, exponent = (bits >> 10) & 31u,
                      fraction = bits & 0x3ffu;
  if (exponent == 0) {
    const float magnitude = static_cast<float>(fraction) * 0x1p-24f;
    return sign != 0 ? -magnitude : magnitude;
  }
  const std::uint32_t wide = exponent == 31 ? 255u : exponent + 112u;
  return std::bit_cast<float>(sign | wide << 23 | fraction << 13);
}

// On the way down there are four cases: NaN; too large; too small for a leading one; and the rest,
// where the rounding trick works again, now with thirteen bits to drop. In the subnormal case the
// hardware's own rounding does the work: scaled by $2^{24}$ the answer is an integer, and
// `nearbyint` rounds ties to even.

std::uint16_t float_to_float16(float value) {
  const auto bits = std::bit_cast<std::uint32_t>(value);
  const std::uint32_t sign = (bits >> 16) & 0x8000u;
  const float magnitude = std::abs(value);
  std::uint32_t half = 0;
  if (std::isnan(value)) {
    half = 0x7e00u;
  } else if (magnitude >= 65520.0f) {
    half = 0x7c00u;
  } else if (magnitude < 0x1p-14f) {
    half = static_cast<std::uint32_t>(std::nearbyint(magnitude * 0x1p24f));
  } else {
    const std::uint32_t last_bit = (bits >> 13) & 1;
    half = (((bits & 0x7fffffffu) + 0xfffu + last_bit) >> 13) - (112u << 10);
  }
  return static_cast<std::uint16_t>(sign | half);
}

// Some floats, and what is left of them in either format. The one has the digits, the other the
// range:
//
// @output halves

}  // namespace mamba2
