// Arithmetic in few bits, for programs that show what rounding does.
#pragma once

#include <mamba2/operations.hpp>

#include <bit>
#include <cstdint>

namespace demo {

// The nearest number that bfloat16 can hold: the upper half of a float, with 8 significant bits.
inline double bfloat16(double value) {
  const auto bits = std::bit_cast<std::uint32_t>(static_cast<float>(value));
  return static_cast<double>(std::bit_cast<float>((bits + 0x7fff + ((bits >> 16) & 1)) & 0xffff0000u));
}

template <class Numbers>
void round_all(Numbers&& numbers) {
  for (double& value : numbers) value = bfloat16(value);
}

inline void round_all(mamba2::MatrixRef<double> m) {
  for (std::size_t i = 0; i < m.rows; ++i) round_all(std::span(m[i], m.columns));
}

//: rounding
// The plain operations, with whatever one of them gives rounded on its way to the next.
inline const mamba2::Operations<double>& rounding_operations() {
  static const mamba2::Operations<double> plain = mamba2::plain_operations<double>(), rounding = [] {
    auto table = plain;
    table.linear = [](auto x, auto weight, auto bias, auto y) { plain.linear(x, weight, bias, y), round_all(y); };
    table.short_convolution = [](const auto& input, auto y) { plain.short_convolution(input, y), round_all(y); };
    table.gated_norm = [](auto y, auto z, const auto& how, auto out) {
      plain.gated_norm(y, z, how, out), round_all(out);
    };
    table.scan = [](const auto& input, const auto& options, auto state, auto y) {
      plain.scan(input, options, state, y), round_all(y);
    };
    return table;
  }();
  return rounding;
}
//: end

}  // namespace demo
