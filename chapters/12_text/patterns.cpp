// ## Other rules for words {#text_patterns}
//
// GPT-2's rule has children. They take digits in groups of three at most, so that `1234567` is
// always cut in the same way, or one by one; they let a sign go with the letters behind it, and
// keep the end of a line with the signs before it. Each is one more regular expression, and there
// is no end to them. For these we do not write a loop each. The file holds the expression, and ICU
// has a machine for it.
//
// Two machines rarely agree on everything, and here the published tokenizers decide, which use
// Oniguruma. For it `^` and `$` are the ends of lines; for ICU they are if one asks for it. `\h` is
// a hexadecimal digit for one and a space for the other; a pattern with such a letter is refused.

//: fold A pattern, compiled by ICU
#include <mamba2/error.hpp>
#include <mamba2/tokenizer.hpp>

#include <unicode/regex.h>
#include <unicode/unistr.h>

#include <algorithm>
#include <array>
#include <limits>

namespace mamba2 {

struct WordPattern::Compiled {
  std::unique_ptr<icu::RegexPattern> pattern;
};

namespace {

// The rule of the last section, as GPT-2 and others write it.
//: fold Reading a pattern
constexpr std::array<std::string_view, 2> gpt2 = {
    R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)",
    R"('(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)"};

/// Refuses what the two machines understand differently.
void require_common(const std::string& pattern) {
  constexpr std::string_view different = "hHRXGKZ";
  for (std::size_t i = 0; i + 1 < pattern.size(); ++i) {
    if (pattern[i] != '\\') continue;
    const char letter = pattern[++i];
    if (different.find(letter) != std::string_view::npos)
      throw ValueError(std::string("pattern: \\") + letter + " is not supported");
  }
}

}  // namespace

WordPattern::WordPattern(const std::string& pattern, Keep keep) : keep_(keep) {
  constexpr std::size_t longest = 4096;
  require(pattern.size() <= longest, "pattern", "at most " + std::to_string(longest) + " bytes",
          std::to_string(pattern.size()));
  if (keep != Keep::gaps && std::find(gpt2.begin(), gpt2.end(), pattern) != gpt2.end()) return;
  require_common(pattern);
  UErrorCode status = U_ZERO_ERROR;
  UParseError place{};
  auto compiled = std::make_shared<Compiled>();
  compiled->pattern.reset(icu::RegexPattern::compile(
      icu::UnicodeString::fromUTF8(pattern), UREGEX_MULTILINE | UREGEX_UNIX_LINES, place, status));
  if (U_FAILURE(status))
    throw ValueError(std::string("pattern: expected a regular expression, got ") + u_errorName(status) +
                     " at character " + std::to_string(place.offset));
  compiled_ = std::move(compiled);
}

// ICU reads UTF-16, in which a character has one or two units, and says where it found something in
// those. A pair of places walks along and translates.
//
// A regular expression may try again and again. A pattern such as `(a|aa)*b` doubles its work with
// every letter `a`, and the file with the pattern comes from somebody else. ICU counts its tries,
// and gives up when they are out of all proportion to the length of the text.

//: fold Cutting by a pattern
std::vector<std::string_view> WordPattern::split(std::string_view text) const {
  if (!compiled_) return split_words(text);
  require(text.size() <= std::numeric_limits<std::int32_t>::max(), "text", "at most two gigabytes",
          "more");
  const auto utf16 =
      icu::UnicodeString::fromUTF8({text.data(), static_cast<std::int32_t>(text.size())});
  UErrorCode status = U_ZERO_ERROR;
  const std::unique_ptr<icu::RegexMatcher> matcher(compiled_->pattern->matcher(utf16, status));
  constexpr std::size_t bytes = 100;  // of text for each unit of tries, which is ten thousand of them
  if (matcher) matcher->setTimeLimit(static_cast<std::int32_t>(100 + text.size() / bytes), status);

  std::vector<std::string_view> words;
  std::size_t done = 0, byte = 0;
  std::int32_t unit = 0;  // the same place as `byte`, in UTF-16
  const auto byte_at = [&](std::int32_t place) {
    while (unit < place) {
      const Utf8Character character = next_character(text, byte);
      byte += character.length;
      unit += character.code_point > 0xffff ? 2 : 1;
    }
    return byte;
  };
  const auto add = [&](std::size_t end, Keep kept) {
    if (end > done && (keep_ == Keep::both || keep_ == kept))
      words.push_back(text.substr(done, end - done));
    done = end;
  };
  while (U_SUCCESS(status) && matcher->find(status)) {
    add(byte_at(matcher->start(status)), Keep::gaps);
    add(byte_at(matcher->end(status)), Keep::matches);
  }
  if (U_FAILURE(status))
    throw ValueError(std::string("text: the tokenizer's pattern does not get through it: ") +
                     u_errorName(status));
  add(text.size(), Keep::gaps);
  return words;
}

}  // namespace mamba2
