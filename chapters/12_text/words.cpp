// ## Two ways to write the same {#text_normal}
//
// The letter `é` is one character of Unicode. It is also two: an `e`, and behind it a character
// that puts an accent on the one before. On the screen they look alike; as bytes they have nothing
// in common, and a tokenizer would give them different numbers. So the published one first brings
// its text into a *normal form*, the one named **NFC**, in which everything that can be one
// character is one.
//
// Which characters that concerns is a table of some thousand entries that changes every year. It is
// not for us to write: the library [ICU](https://icu.unicode.org) has it.
//
// One thing has to be done before. A letter may carry any number of marks, and the normal form puts
// the marks of a letter into an order. ICU sorts them by insertion, which is right for the two or
// three marks of real letters, and takes minutes for a megabyte of nothing but marks. Somebody will
// send us that. So runs of marks that no language has are put in order here, by a sort that knows
// better, and ICU finds them sorted. Marks are told from letters by their *combining class*, which
// is zero for everything that is no mark; marks of the same class must keep their order.

//: fold Marks in order, and the call of ICU
#include <mamba2/error.hpp>
#include <mamba2/tokenizer.hpp>

#include <unicode/bytestream.h>
#include <unicode/normalizer2.h>
#include <unicode/uchar.h>
#include <unicode/unistr.h>

#include <algorithm>
#include <limits>
#include <utility>

namespace mamba2 {

namespace {

[[noreturn]] void fail(UErrorCode status) {
  throw Error(std::string("the Unicode library failed: ") + u_errorName(status));
}

const icu::Normalizer2& composer() {
  UErrorCode status = U_ZERO_ERROR;
  const icu::Normalizer2* instance = icu::Normalizer2::getNFCInstance(status);
  if (U_FAILURE(status)) fail(status);
  return *instance;
}

using Marks = std::vector<std::pair<int, UChar32>>;  // combining class, character

/// The marks that a character consists of; none if it is no mark.
Marks marks_of(UChar32 character) {
  icu::UnicodeString parts;
  if (!composer().getDecomposition(character, parts)) parts = character;
  Marks marks;
  for (int i = 0; i < parts.length(); i = parts.moveIndex32(i, 1)) {
    const UChar32 part = parts.char32At(i);
    const int combining_class = composer().getCombiningClass(part);
    if (combining_class == 0) return {};
    marks.emplace_back(combining_class, part);
  }
  return marks;
}

/// The text with each run of more marks than any language has put in order.
std::string with_sorted_marks(std::string_view text) {
  constexpr std::size_t many = 30;
  std::string result;
  result.reserve(text.size());
  Marks run;
  std::size_t begin = 0;  // of the run
  const auto end_run = [&](std::size_t end) {
    if (run.size() > many) {
      const auto by_class = [](const auto& a, const auto& b) { return a.first < b.first; };
      std::stable_sort(run.begin(), run.end(), by_class);
      for (const auto& [_, mark] : run) result += utf8(static_cast<std::uint32_t>(mark));
    } else {
      result += text.substr(begin, end - begin);
    }
    run.clear();
  };
  for (std::size_t at = 0; at < text.size();) {
    const Utf8Character character = next_character(text, at);
    const Marks marks =
        character.code_point < 0x300 ? Marks() : marks_of(static_cast<UChar32>(character.code_point));
    if (marks.empty()) {
      end_run(at);
      result += text.substr(at, character.length);
      begin = at + character.length;
    }
    run.insert(run.end(), marks.begin(), marks.end());
    at += character.length;
  }
  end_run(text.size());
  return result;
}

}  // namespace

std::string normalized(std::string_view text) {
  const auto ascii = [](char c) { return static_cast<unsigned char>(c) < 0x80; };
  if (std::all_of(text.begin(), text.end(), ascii)) return std::string(text);
  const std::string sorted = with_sorted_marks(text);
  require(sorted.size() <= std::numeric_limits<std::int32_t>::max(), "text", "at most two gigabytes",
          "more");
  std::string result;
  icu::StringByteSink<std::string> sink(&result);
  UErrorCode status = U_ZERO_ERROR;
  composer().normalizeUTF8(0, icu::StringPiece(sorted.data(), static_cast<std::int32_t>(sorted.size())),
                           sink, nullptr, status);
  if (U_FAILURE(status)) fail(status);
  return result;
}

// ## Cutting a text into words {#text_words}
//
// The pieces of a text are found by counting, as we shall see: what often stands side by side
// becomes one token. Left alone, counting would make tokens of `dog.` and `dog!` and `dog,`, and
// waste the vocabulary on punctuation. So the text is cut into *words* first, and tokens never
// reach across a cut. The rule is GPT-2's [@radford2019], and is usually written as a regular
// expression:
//
// ```text
// 's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+
// ```
//
// It is tried from left to right, alternative by alternative. In words: an English ending such as
// `'ll`; or letters; or digits; or signs that are none of these, each of the three with *one* space
// before it if there is one; or white space. The space belongs to the word that follows it. That
// looks odd, and saves a token for every word: ` the` in the middle of a sentence is a single
// token, and differs from `the` at its beginning.
//
// The last two alternatives are the subtle ones. Of several spaces in a row, all but the last are a
// piece of their own, and the last one goes with the word. At the end of the text all of them are
// one piece. (The published tokenizer takes runs of spaces out beforehand, as we shall see with
// the added tokens; this is what happens to tabs, ends of lines and what is left.)
//
// As a loop it is shorter than it reads, and no regular expression can be slow on a text that was
// written to make it slow. What is a letter, a digit, a space, Unicode says: `\p{L}` and `\p{N}`
// are categories of characters, `\s` is the property *White_Space*, to which the no-break space
// belongs and the zero-width space does not.

namespace {

enum class Kind { letter, digit, space, sign };

Kind kind_of(std::uint32_t code_point) {
  const auto character = static_cast<UChar32>(code_point);
  if (u_isUWhiteSpace(character)) return Kind::space;
  const std::uint32_t category = U_GET_GC_MASK(character);
  if ((category & U_GC_L_MASK) != 0) return Kind::letter;
  return (category & U_GC_N_MASK) != 0 ? Kind::digit : Kind::sign;
}

Kind kind_at(std::string_view text, std::size_t at) {
  return kind_of(next_character(text, at).code_point);
}

/// Where the characters of one kind that begin here end; `last` is where the last of them begins.
std::size_t end_of_run(std::string_view text, std::size_t at, std::size_t& last) {
  const Kind kind = kind_at(text, at);
  while (at < text.size() && kind_at(text, at) == kind) {
    last = at;
    at += next_character(text, at).length;
  }
  return at;
}

/// Where the word that begins here ends.
std::size_t end_of_word(std::string_view text, std::size_t begin) {
  for (const std::string_view ending : {"'s", "'t", "'re", "'ve", "'m", "'ll", "'d"})
    if (text.substr(begin).starts_with(ending)) return begin + ending.size();
  const bool after_space = text[begin] == ' ' && begin + 1 < text.size();
  std::size_t last = begin;
  if (after_space && kind_at(text, begin + 1) != Kind::space) return end_of_run(text, begin + 1, last);
  const std::size_t end = end_of_run(text, begin, last);
  const bool leaves_one = kind_at(text, begin) == Kind::space && end < text.size() && last > begin;
  return leaves_one ? last : end;
}

}  // namespace

std::vector<std::string_view> split_words(std::string_view text) {
  std::vector<std::string_view> words;
  for (std::size_t begin = 0; begin < text.size(); begin += words.back().size())
    words.push_back(text.substr(begin, end_of_word(text, begin) - begin));
  return words;
}

}  // namespace mamba2

// The program of this chapter cuts a few lines, with a bar between the pieces and a dot for each
// space:
//
// @output words
