/// \file json.hpp
/// \brief Reading JSON that somebody else wrote: limits, no repeated keys, Python's Infinity. Explained in @chapter{language_model}.
#pragma once

#include <nlohmann/json_fwd.hpp>

#include <cstddef>
#include <string>
#include <string_view>

namespace mamba2 {

/// \brief How much JSON is read before it is refused.
struct JsonLimits {
  std::size_t bytes = std::size_t{64} << 20;  ///< length of the text
  std::size_t depth = 64;                     ///< arrays and objects inside each other
  std::size_t values = 2'000'000;             ///< numbers, texts, arrays, objects, keys together
};

/// \brief Parse JSON from an untrusted file.
/// \param text   the whole of it
/// \param where  the file's name, for messages
/// \param limits what is too much
/// \return the value; Python's bare `Infinity`, `-Infinity` and `NaN` come as texts of that name
/// \throws FileError naming the file, the byte and the reason: not JSON, not UTF-8, a key twice in one object, beyond a limit
nlohmann::json parse_json(std::string_view text, const std::string& where, const JsonLimits& limits = {});

}  // namespace mamba2
