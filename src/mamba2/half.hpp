/// \file half.hpp
/// \brief Numbers of sixteen bits, as checkpoints store them. Explained in @chapter{language_model}.
#pragma once

#include <cstdint>

namespace mamba2 {

/// \brief A number in bfloat16: the upper half of a float.
using bfloat16_bits = std::uint16_t;

/// \brief The value of a bfloat16: the upper half of a float.
/// \param bits sign, 8 bits of exponent, 7 of fraction
/// \return the same number as a float, exactly
float bfloat16_to_float(std::uint16_t bits);

/// \brief The bfloat16 nearest to a float; of two equally near ones, the even one.
/// \param value any float; NaN stays NaN, what is too large becomes infinite
/// \return sign, 8 bits of exponent, 7 of fraction
std::uint16_t float_to_bfloat16(float value);

/// \brief The value of an IEEE half: five bits of exponent, ten of fraction.
/// \param bits sign, exponent, fraction
/// \return the same number as a float, exactly
float float16_to_float(std::uint16_t bits);

/// \brief The IEEE half nearest to a float; of two equally near ones, the even one.
/// \param value any float; NaN stays NaN, 65520 and beyond becomes infinite
/// \return sign, exponent, fraction
std::uint16_t float_to_float16(float value);

}  // namespace mamba2
