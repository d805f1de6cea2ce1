// ## Tokens added by hand {#text_added}
//
// Some tokens come from no counting. `<|endoftext|>` stood between the texts of the training. It
// must be one token, whatever the merges would make of its letters, and so it is looked for in the
// text *first*, before there are words. The published tokenizer adds runs of 2 to 24 spaces as
// well, for the sake of indented code.
//
// For indented code this overrules what was said of spaces. By the rule of words, the last of
// several spaces goes with the word behind it: eight spaces and `return` would be seven spaces and
// `·return`, with a dot for the space. But the run of eight is an added token, and is taken before
// there are words. So what is left is `return` without a space, and begins with another token than
// in the middle of a line:
//
// @output indented
//
// Of several added tokens that begin at the same place the longest wins: of 26 spaces, 24 are
// taken, and then 2. To find them, all are put into a *trie*, a tree with an edge for each byte.
// From each place in the text one walks down as far as the bytes lead, and remembers the last place
// where a token ended.

#include <mamba2/tokenizer.hpp>

#include <unicode/uchar.h>

#include <algorithm>

namespace mamba2 {

void AddedTokens::add(const AddedToken& token) {
  std::size_t node = 0;
  for (const char byte : token.content) {
    const auto edge =
        children_.try_emplace(node * 256 + static_cast<unsigned char>(byte), ends_.size());
    if (edge.second) ends_.emplace_back();
    node = edge.first->second;
  }
  ends_[node] = tokens_.size();
  tokens_.push_back(token);
}

AddedTokens::Match AddedTokens::find(std::string_view text, std::size_t from) const {
  for (std::size_t begin = from; begin < text.size(); ++begin) {
    Match match{begin, begin, nullptr};
    std::size_t node = 0;
    for (std::size_t at = begin; at < text.size(); ++at) {
      const auto edge = children_.find(node * 256 + static_cast<unsigned char>(text[at]));
      if (edge == children_.end()) break;
      node = edge->second;
      if (ends_[node]) match = {begin, at + 1, &tokens_[*ends_[node]]};
    }
    if (match.token != nullptr) return match;
  }
  return {text.size(), text.size(), nullptr};
}

// An added token may have wishes. `single_word` means that it counts only where it stands alone,
// not inside `endoftextile`; `lstrip` and `rstrip` mean that it takes the white space before or
// behind it along. The published models use none of them, but their relatives do, and a wish that
// is ignored is a wrong number that nobody notices.

//: fold What stands beside a token
namespace {

bool in_word(std::uint32_t code_point) {
  const auto character = static_cast<UChar32>(code_point);
  const std::uint32_t mask = U_GC_M_MASK | U_GC_ND_MASK | U_GC_PC_MASK;
  return u_isUAlphabetic(character) || (U_GET_GC_MASK(character) & mask) != 0 ||
         u_hasBinaryProperty(character, UCHAR_JOIN_CONTROL);
}

bool space_at(std::string_view text, std::size_t at) {
  return u_isUWhiteSpace(static_cast<UChar32>(next_character(text, at).code_point));
}

/// Where the character before this place begins.
std::size_t before(std::string_view text, std::size_t at) {
  do --at;
  while (at > 0 && (static_cast<unsigned char>(text[at]) & 0xc0) == 0x80);
  return at;
}

bool stands_alone(std::string_view text, std::size_t begin, std::size_t end) {
  return (begin == 0 || !in_word(next_character(text, before(text, begin)).code_point)) &&
         (end == text.size() || !in_word(next_character(text, end).code_point));
}

}  // namespace

// Then there is a person who *types* `<|endoftext|>`. It may be a question about tokenizers, or an
// attempt to make a program believe that its own instructions have ended. Whoever passes texts of
// strangers on can have the special tokens in them taken for what they are, thirteen characters.
//
// One quirk of the published library is kept. It looks for the next token behind the last one
// *itself*, not behind the space that this one has taken along. Where spaces are added tokens too,
// they are found although they are taken, and both are given.

//: fold Cutting at added tokens
std::vector<AddedTokens::Piece> AddedTokens::split(std::string_view text, bool special) const {
  std::vector<Piece> pieces;
  std::size_t done = 0, spaces_end = 0;  // all before it is in a piece; where the last spaces ended
  const auto add_text = [&](std::size_t end) {
    if (end > done) pieces.push_back({text.substr(done, end - done), std::nullopt});
  };
  for (std::size_t from = 0; !tokens_.empty() && from < text.size();) {
    auto [begin, end, token] = find(text, from);
    if (token == nullptr) break;
    from = end;
    if (token->special && !special) continue;
    if (token->single_word && !stands_alone(text, begin, end)) continue;
    if (token->lstrip)
      while (begin > done && space_at(text, before(text, begin))) begin = before(text, begin);
    if (token->rstrip) {
      spaces_end = std::max(spaces_end, end);  // each space is looked at once
      while (spaces_end < text.size() && space_at(text, spaces_end))
        spaces_end += next_character(text, spaces_end).length;
      end = spaces_end;
    }
    add_text(begin);
    pieces.push_back({text.substr(begin, end - begin), token->id});
    done = end;
  }
  add_text(text.size());
  return pieces;
}

}  // namespace mamba2
