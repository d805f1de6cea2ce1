/// \file json.hpp
/// \brief Reading JSON that somebody else wrote: limits, no repeated keys, Python's Infinity. Explained in @chapter{language_model}.
#pragma once

#include <nlohmann/json_fwd.hpp>

#include <cstddef>
#include <string>
#include <string_view>
#include <unordered_set>
#include <vector>

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

/// \brief A value in a JSON file. It knows its place, which every refusal names, and an object knows which keys it was asked for.
class JsonEntry {
 public:
  /// \brief A value at the top of a file, or of a part that has a name of its own.
  /// \param value lives longer than this
  /// \param where the name of the file, or of the part, ending in ": "
  JsonEntry(const nlohmann::json& value, std::string where);

  /// \brief Refuse the value. \param reason why \throws FileError "FILE: PLACE: reason"
  [[noreturn]] void refuse(const std::string& reason) const;
  /// \brief Refuse the value. \param what what it should have been \throws FileError "FILE: PLACE: expected WHAT, got VALUE"
  [[noreturn]] void expected(const std::string& what) const;

  /// \brief The value itself. \return as parsed
  const nlohmann::json& value() const { return *value_; }
  /// \brief Whether there is nothing here: no such key, or the null that Python writes for "the default". \return true if so
  bool null() const;

  /// \brief An object. \return this, as one \throws FileError if it is none
  const nlohmann::json& object() const;
  /// \brief An array. \return this, as one \throws FileError if it is none
  const nlohmann::json& array() const;
  /// \brief What stands under a key of this object; the key counts as asked for from now on.
  /// \param key its name
  /// \return the entry; null where there is none
  /// \throws FileError if this is no object
  JsonEntry at(const std::string& key) const;
  /// \brief What stands under a key that has to be there. \param key its name \return the entry
  /// \throws FileError if this is no object, or the key is missing or null
  JsonEntry require(const std::string& key) const;
  /// \brief An element of this array. \param index from 0, below its size \return the entry
  JsonEntry element(std::size_t index) const;
  /// \brief The keys that nobody has asked this object for. \return their names, sorted \throws FileError if this is no object
  std::vector<std::string> unasked() const;

  /// \brief A whole number. \param most the largest that is taken \return 0 to most \throws FileError for anything else
  std::size_t whole(std::size_t most) const;
  /// \brief A number, or an infinite one in the words of Python's writers. \return it \throws FileError for anything else
  double real() const;
  /// \brief True or false. \return which \throws FileError for anything else
  bool flag() const;
  /// \brief A text. \return its bytes, UTF-8 \throws FileError for anything else
  std::string text() const;

 private:
  const nlohmann::json* value_;
  std::string where_;
  mutable std::unordered_set<std::string> asked_;
};

}  // namespace mamba2
