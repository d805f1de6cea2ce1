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

//: fold A watch over the parser
#include <mamba2/error.hpp>
#include <mamba2/json.hpp>
#include <mamba2/mapped_file.hpp>

#include <nlohmann/json.hpp>

#include <cmath>
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

//: fold Words in quotes
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

// Then the parser may have the text. Its errors become ours.

//: fold The parser
nlohmann::json parse_json(std::string_view text, const std::string& where, const JsonLimits& limits) {
  refuse_stand_in(text, where);
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

// ### Asking key by key {#language_model_json_entry}
//
// A refusal helps only if it says where. "Expected a number, got a text" is no use in a file of a
// thousand entries. So whoever reads a file asks for its values through a mamba2::JsonEntry: the
// value together with the way to it, such as `config.json: ssm_cfg.dt_limit`. Each step deeper adds
// to the way, and every refusal begins with it.

//: fold Steps and refusals
JsonEntry::JsonEntry(const nlohmann::json& value, std::string where)
    : value_(&value), where_(std::move(where)) {}

void JsonEntry::refuse(const std::string& reason) const {
  throw FileError(where_ + (where_.ends_with(": ") ? "" : ": ") + reason);
}

void JsonEntry::expected(const std::string& what) const {
  constexpr std::size_t enough = 60;
  std::string shown = value_->dump(-1, ' ', true);
  if (shown.size() > enough) shown.replace(enough, std::string::npos, "...");
  refuse("expected " + what + ", got " + shown);
}

JsonEntry JsonEntry::at(const std::string& key) const {
  static const nlohmann::json nothing;
  asked_.insert(key);
  const auto place = object().find(key);
  return {place == object().end() ? nothing : *place,
          where_ + (where_.ends_with(": ") ? "" : ".") + key};
}

JsonEntry JsonEntry::require(const std::string& key) const {
  JsonEntry entry = at(key);
  if (entry.null()) entry.refuse("missing");
  return entry;
}

JsonEntry JsonEntry::element(std::size_t index) const {
  return {array().at(index), where_ + "[" + std::to_string(index) + "]"};
}

// An object also remembers which keys it was asked for. So at the end somebody can ask the question
// that matters most for a configuration: is there anything in the file that *nobody* has read?

std::vector<std::string> JsonEntry::unasked() const {
  std::vector<std::string> keys;
  for (const auto& [key, value] : object().items())
    if (!asked_.contains(key)) keys.push_back(key);
  return keys;
}

// The rest are the kinds of values. A number may be an infinite one, in any of the spellings that
// Python's writers have for it: the bare word, which has become a text above, or an object around
// that text.

bool JsonEntry::null() const {
  return value_->is_null();
}

const nlohmann::json& JsonEntry::object() const {
  if (!value_->is_object()) expected("an object");
  return *value_;
}

const nlohmann::json& JsonEntry::array() const {
  if (!value_->is_array()) expected("a list");
  return *value_;
}

// Numbers are asked for with what they may be at most.

//: fold Numbers, truth values, texts
std::size_t JsonEntry::whole(std::size_t most) const {
  if (!value_->is_number_unsigned() || value_->get<std::uint64_t>() > most)
    expected("a whole number from 0 to " + std::to_string(most));
  return value_->get<std::size_t>();
}

double JsonEntry::real() const {
  const bool wrapped = value_->is_object() && value_->size() == 1 && value_->contains("__float__");
  const nlohmann::json& spelled = wrapped ? value_->at("__float__") : *value_;
  if (spelled == "Infinity") return HUGE_VAL;
  if (spelled == "-Infinity") return -HUGE_VAL;
  if (!value_->is_number()) expected("a number");
  return value_->get<double>();
}

bool JsonEntry::flag() const {
  if (!value_->is_boolean()) expected("true or false");
  return value_->get<bool>();
}

std::string JsonEntry::text() const {
  if (!value_->is_string()) expected("a text");
  return value_->get<std::string>();
}

}  // namespace mamba2
