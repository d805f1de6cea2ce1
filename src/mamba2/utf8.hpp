/// \file utf8.hpp
/// \brief Characters in bytes: reading them one by one, mending what is broken, never showing half of one. Explained in @chapter{text}.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace mamba2 {

/// \brief What stands at a place in a row of bytes that should be UTF-8.
struct Utf8Character {
  /// \brief Whether it is a character.
  enum class Kind {
    whole,   ///< a character
    broken,  ///< bytes that begin no character, whatever follows
    cut_off  ///< the beginning of a character, but the bytes end
  };
  std::uint32_t code_point;  ///< its number in Unicode; U+FFFD where it is not whole
  std::size_t length;        ///< how many bytes belong to it: 1 to 4, at most 3 where it is not whole
  Kind kind;                 ///< whether it is a character
};

/// \brief Read one character.
/// \param bytes should be UTF-8
/// \param at    where it begins, before the end of bytes
/// \return the character; of broken bytes the longest beginning that some character could have
Utf8Character next_character(std::string_view bytes, std::size_t at);

/// \brief Write one character.
/// \param code_point a number of Unicode
/// \return its bytes in UTF-8, 1 to 4
std::string utf8(std::uint32_t code_point);

/// \brief Text from bytes that may be broken.
/// \param bytes should be UTF-8
/// \return UTF-8: the same, with U+FFFD for each piece that is no character, as Unicode recommends
std::string mended_utf8(std::string_view bytes);

/// \brief Bytes in, whole characters out: what has come of a character waits for the rest of it.
class Utf8Stream {
 public:
  /// \brief More bytes. \param bytes the next ones
  /// \return all characters that are whole by now and were not before; U+FFFD for what is broken
  std::string push(std::string_view bytes);
  /// \brief The end. \return U+FFFD if a character waited for its rest, else nothing
  std::string finish();

 private:
  std::string waiting_;  // the beginning of a character, at most three bytes
};

}  // namespace mamba2
