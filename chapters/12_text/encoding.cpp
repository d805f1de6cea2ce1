// ## From text to tokens {#text_encode}
//
// Now everything is there, and the order is: added tokens that are looked for in the raw text;
// between them the normal form; added tokens that are looked for in that; between them words; and
// each word's letters through the merges.

#include <mamba2/error.hpp>
#include <mamba2/tokenizer.hpp>

#include <algorithm>
#include <iterator>

namespace mamba2 {

std::vector<std::int64_t> Tokenizer::encode(std::string_view text, const EncodeOptions& options) const {
  for (std::size_t at = 0; at < text.size();) {
    const Utf8Character character = next_character(text, at);
    if (character.kind != Utf8Character::Kind::whole)
      throw ValueError("text: expected UTF-8, got a broken character at byte " + std::to_string(at));
    at += character.length;
  }
  std::vector<std::int64_t> ids;
  if (options.around) ids = before_text_;
  for (const auto& outer : raw_.split(text, options.special_in_text)) {
    if (outer.id) {
      ids.push_back(*outer.id);
      continue;
    }
    const std::string form = rewritten(outer.text);
    for (const auto& inner : normal_.split(form, options.special_in_text))
      if (inner.id)
        ids.push_back(*inner.id);
      else
        encode_text(inner.text, ids);
  }
  if (options.around) ids.insert(ids.end(), after_text_.begin(), after_text_.end());
  return ids;
}

// The normal form is what the steps of the file make of a text, one after the other. A file may ask
// for a thousand letters in place of every space, and for that several times over: there is a
// limit.

//: fold Rewriting, and cutting into words
namespace {

std::string replaced(const std::string& text, const std::string& from, const std::string& to,
                     std::size_t limit) {
  std::string result;
  std::size_t done = 0;
  for (std::size_t at = 0; (at = text.find(from, at)) != std::string::npos; done = at) {
    result.append(text, done, at - done).append(to);
    require(result.size() <= limit, "text", "a normal form not out of all proportion to it",
            "more than " + std::to_string(limit) + " bytes");
    at += from.size();
  }
  return result.append(text, done);
}

}  // namespace

std::string Tokenizer::rewritten(std::string_view text) const {
  const std::size_t limit = 64 * text.size() + 65536;
  std::string form(text);
  for (const Rewriting& step : rewritings_) {
    if (step.kind == Rewriting::Kind::compose) form = normalized(form);
    if (step.kind == Rewriting::Kind::replace) form = replaced(form, step.from, step.to, limit);
    if (step.kind == Rewriting::Kind::prepend && !form.empty()) form.insert(0, step.to);
  }
  return form;
}

void Tokenizer::encode_text(std::string_view text, std::vector<std::int64_t>& ids) const {
  std::vector<std::string_view> words = {text};
  for (const WordPattern& pattern : patterns_) {
    std::vector<std::string_view> cut;
    for (const std::string_view word : words) {
      const auto more = pattern.split(word);
      cut.insert(cut.end(), more.begin(), more.end());
    }
    words = std::move(cut);
  }
  for (std::string_view word : words) {
    std::string spaced;
    if (add_prefix_space_ && word.front() != ' ') word = spaced.append(" ").append(word);
    if (!split_words_) encode_word(word, ids);
    if (split_words_)
      for (const std::string_view part : split_words(word)) encode_word(part, ids);
  }
}

// A word is spelt with the tokens of its letters, and then the merges have it. Some tokenizers look
// for the whole word first: a word that is a token is that token, whether or not merges lead there.

void Tokenizer::encode_word(std::string_view word, std::vector<std::int64_t>& ids) const {
  if (ignore_merges_) {
    if (const auto place = words_.find(std::string(word)); place != words_.end()) {
      ids.push_back(place->second);
      return;
    }
  }
  const auto merged = merge_pairs(letters_of(word), merges_);
  ids.insert(ids.end(), merged.begin(), merged.end());
}

// Letters are bytes or characters. A character without a token falls back on its bytes. If those
// have none either, a tokenizer may have a token that says *unknown*, and one that has not cannot
// write the text at all.

//: fold The letters of a word
std::vector<std::int64_t> Tokenizer::letters_of(std::string_view word) const {
  std::vector<std::int64_t> letters;
  bool unknown_before = false;
  for (std::size_t at = 0, length = 1; at < word.size(); at += length) {
    const Utf8Character character = next_character(word, at);
    length = byte_level_ ? 1 : character.length;
    const auto known = byte_level_ ? characters_.end() : characters_.find(character.code_point);
    const auto token = [&](char c) { return byte_tokens_[static_cast<unsigned char>(c)]; };
    const std::string_view letter = word.substr(at, length);
    const bool unknown =
        known == characters_.end() &&
        std::any_of(letter.begin(), letter.end(), [&](char c) { return token(c) < 0; });
    if (known != characters_.end())
      letters.push_back(known->second);
    else if (!unknown)
      std::transform(letter.begin(), letter.end(), std::back_inserter(letters), token);
    else if (!unknown_)
      throw ValueError("text: the vocabulary has no token for " +
                       (byte_level_ ? "byte " + std::to_string(static_cast<unsigned char>(letter[0]))
                                    : "'" + std::string(letter) + "'"));
    else if (!fuse_unknown_ || !unknown_before)
      letters.push_back(*unknown_);
    unknown_before = unknown;
  }
  return letters;
}

// ### A text that does not fit {#text_stream}
//
// To say how good a model is one wants to give it a whole book, or a disk full of them. The model
// has no difficulty: it reads piece by piece, and remembers a cache of one size. The tokenizer has
// one. Cut a text at any byte, and the word at the cut becomes other tokens than it is.
//
// Between two words there is no such danger, and where words end can be found out by trying. The
// waiting text becomes tokens as a whole, and so do its two parts. Where both give the same, this
// is a place to cut. (What decides about a word stands close by, so the few hundred bytes behind
// the cut are enough for all that follow.) Good places to try are before a space or after the end
// of a line. A tokenizer that knows no words merges across every place; then the trials fail, and
// the text waits until it is complete. It costs memory, but no wrong token.

std::vector<std::int64_t> StreamEncoder::encode(std::string_view text, bool first, bool last) const {
  EncodeOptions inner = options_;
  inner.around = false;
  std::vector<std::int64_t> ids = tokenizer_->encode(text, inner);
  const auto &before = tokenizer_->before_text_, &after = tokenizer_->after_text_;
  if (first && options_.around) ids.insert(ids.begin(), before.begin(), before.end());
  if (last && options_.around) ids.insert(ids.end(), after.begin(), after.end());
  return ids;
}

// A character that is cut off at the end of what waits is not broken: its rest may come.

//: fold Where the text is cut
void StreamEncoder::check() {
  while (checked_ < waiting_.size()) {
    const Utf8Character character = next_character(waiting_, checked_);
    if (character.kind == Utf8Character::Kind::cut_off) return;
    if (character.kind == Utf8Character::Kind::broken)
      throw ValueError("text: expected UTF-8, got a broken character at byte " +
                       std::to_string(done_ + checked_));
    checked_ += character.length;
  }
}

bool StreamEncoder::cut(std::size_t end, std::vector<std::int64_t>& ids) {
  const std::string_view whole(waiting_.data(), checked_);
  const auto together = encode(whole, done_ == 0, false),
             rest = encode(whole.substr(end), false, false);
  auto parts = encode(whole.substr(0, end), done_ == 0, false);
  const std::size_t certain = parts.size();
  parts.insert(parts.end(), rest.begin(), rest.end());
  if (parts != together) return false;
  ids.insert(ids.end(), parts.begin(), parts.begin() + static_cast<std::ptrdiff_t>(certain));
  waiting_.erase(0, end);
  done_ += end;
  checked_ -= end;
  return true;
}

std::vector<std::int64_t> StreamEncoder::push(std::string_view text) {
  constexpr std::size_t behind = 256, trials = 8;
  waiting_ += text;
  check();
  std::vector<std::int64_t> ids;
  if (waiting_.size() < wanted_ + behind) return ids;
  const auto space = [&](std::size_t at) {
    return waiting_[at] == ' ' || waiting_[at] == '\n' || waiting_[at] == '\t' || waiting_[at] == '\r';
  };
  std::size_t tried = 0;
  for (std::size_t at = checked_ - std::min(checked_, behind); at > 0 && tried < trials; --at) {
    const bool before_space = waiting_[at] == ' ' && !space(at - 1) && !space(at + 1);
    const bool after_line = waiting_[at - 1] == '\n' && !space(at) && (at < 2 || !space(at - 2));
    if (!before_space && !after_line) continue;
    if (cut(at, ids)) return ids;
    ++tried;
  }
  wanted_ *= 2;
  return ids;
}

std::vector<std::int64_t> StreamEncoder::finish() {
  check();
  if (checked_ < waiting_.size())
    throw ValueError("text: expected UTF-8, got a broken character at byte " +
                     std::to_string(done_ + checked_));
  auto ids = encode(waiting_, done_ == 0, true);
  done_ += waiting_.size();
  checked_ = 0;
  waiting_.clear();
  return ids;
}

}  // namespace mamba2

// The program shows the golden tokenizer, with 623 tokens, at work. It is too small to know many
// words; it has the same form as the one of the published models.
//
// @output tokens
