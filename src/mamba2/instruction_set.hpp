/// \file instruction_set.hpp
/// \brief The levels of a processor's instructions that inner loops are compiled for. Explained in @chapter{fast}.
#pragma once

#include <string_view>

/// \brief The level that a file is compiled for, as part of names: files of inner loops are compiled several times.
#ifndef MAMBA2_INSTRUCTION_SET
#define MAMBA2_INSTRUCTION_SET baseline
#endif

namespace mamba2 {

/// \brief A level of instructions.
enum class InstructionSet {
  baseline,   ///< any processor that the program runs on
  x86_64_v3,  ///< of about 2013 and later: eight floats at once, multiply and add in one
  x86_64_v4   ///< with AVX-512: sixteen
};

/// \brief The level that the loops in use are compiled for. \return at first the best that the processor has
InstructionSet instruction_set();

/// \brief What a level is called. \param set a level \return "baseline", "x86_64_v3" or "x86_64_v4"
const char* name_of(InstructionSet set);

/// \brief Choose the level from now on, to compare them.
/// \param name "baseline", "x86_64_v3" or "x86_64_v4"; empty for the best that the processor has
/// \throws ValueError for a level that is not compiled in, or that the processor lacks
void use_instruction_set(std::string_view name);

}  // namespace mamba2
