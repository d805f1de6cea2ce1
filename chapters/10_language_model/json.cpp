// ## JSON that somebody else wrote {#language_model_json}
//
// Two of the files in a model's directory are JSON, and a third begins with it. The parser is
// [nlohmann's](https://json.nlohmann.me), which is careful with bytes: it refuses broken UTF-8 and
// numbers that do not fit. Three things it leaves to us.
//
// First, **size**. A few megabytes of `[[[[[[` become gigabytes of nested arrays. The text, the
// depth and the number of values are limited. Second, **keys that come twice**: `{"a": 1, "a": 2}`
// is allowed by the standard, and every parser makes of it what it likes. A file that says two
// things about one tensor is refused. Both are checked while parsing, in a callback that sees every
// value as it is read.

#include <mamba2/error.hpp>
#include <mamba2/json.hpp>

#include <nlohmann/json.hpp>

#include <unordered_set>
#include <vector>

namespace mamba2 {

namespace {

class Watch {  // called by the parser for each value, key, beginning and end
 public:
  Watch(const std::string& where, const JsonLimits& limits) : where_(where), limits_(limits) {}

  bool operator()(int depth, nlohmann::json::parse_event_t event, const nlohmann::json& value) {
    using Event = nlohmann::json::parse_event_t;
    if (++values_ > limits_.values) refuse("more than " + std::to_string(limits_.values) + " values");
    if (static_cast<std::size_t>(depth) > limits_.depth)
      refuse("nested more than " + std::to_string(limits_.depth) + " deep");
    if (event == Event::object_start) keys_.emplace_back();
    if (event == Event::object_end) keys_.pop_back();
    if (event == Event::key && !keys_.back().insert(value.get<std::string>()).second)
      refuse("key '" + value.get<std::string>() + "' comes twice in one object");
    return true;
  }

 private:
  [[noreturn]] void refuse(const std::string& reason) const { throw FileError(where_ + ": " + reason); }
  const std::string& where_;
  const JsonLimits& limits_;
  std::size_t values_ = 0;
  std::vector<std::unordered_set<std::string>> keys_;  // of the objects that are open
};

// Third, **Infinity**. JSON has no infinite numbers, but Python's writer puts them into its files
// all the same, as a bare word, and the configurations of converted Mamba-2 models contain one: no
// upper limit for the step size. The three words that Python writes are put in quotes before
// parsing; whoever expects a number may accept the text. Words inside strings stay as they are, so
// the loop has to know when it is in one.

std::string quote_python_numbers(std::string_view text) {
  std::string result;
  result.reserve(text.size());
  bool inside = false;
  for (std::size_t i = 0; i < text.size();) {
    const std::string_view rest = text.substr(i);
    std::size_t length = 0;
    if (!inside)
      for (const std::string_view word : {"-Infinity", "Infinity", "NaN"})
        if (length == 0 && rest.starts_with(word)) length = word.size();
    if (length > 0) {
      result.append("\"").append(rest.substr(0, length)).append("\"");
      i += length;
      continue;
    }
    if (text[i] == '"') inside = !inside;
    if (inside && text[i] == '\\' && i + 1 < text.size())
      result += text[i++];  // the next one is escaped
    result += text[i++];
  }
  return result;
}

}  // namespace

nlohmann::json parse_json(std::string_view text, const std::string& where, const JsonLimits& limits) {
  if (text.size() > limits.bytes)
    throw FileError(where + ": " + std::to_string(text.size()) + " bytes of JSON, more than the " +
                    std::to_string(limits.bytes) + " that are read");
  // The parser takes a zero byte for the end of the text; what comes after it would go unread.
  if (const std::size_t zero = text.find('\0'); zero != std::string_view::npos)
    throw FileError(where + ": not valid JSON: a zero byte, byte " + std::to_string(zero));
  try {
    return nlohmann::json::parse(quote_python_numbers(text), Watch(where, limits));
  } catch (const nlohmann::json::parse_error& error) {
    const std::string message = error.what();
    const std::size_t colon = message.find(": ");
    throw FileError(where + ": not valid JSON near byte " + std::to_string(error.byte) + ": " +
                    (colon == std::string::npos ? message : message.substr(colon + 2)));
  } catch (const nlohmann::json::exception& error) {
    throw FileError(where + ": not valid JSON: " + error.what());
  }
}

}  // namespace mamba2
