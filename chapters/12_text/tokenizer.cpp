// ## Writing bytes as letters {#text_alphabet}
//
// A published tokenizer is a file `tokenizer.json`. Two things in it hold nearly all: `vocab` names
// every token and its number, `merges` lists the pairs. But JSON is text, tokens are bytes, and a
// token such as half of a `é` is no text. GPT-2 found a way out which everybody took over: each
// byte is written as one *character*. The bytes that are visible signs stand for themselves. The
// other 68, among them the space, take the characters from `U+0100` on, in order. So the space
// becomes `Ġ`, the end of a line becomes `Ċ`, and ` the` stands in the file as `Ġthe`.

#include <mamba2/error.hpp>
#include <mamba2/json.hpp>
#include <mamba2/mapped_file.hpp>
#include <mamba2/tokenizer.hpp>

#include <unicode/uchar.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <map>

namespace mamba2 {

namespace {

/// For each byte the character that it is written as.
const std::array<std::uint32_t, 256>& byte_letters() {
  static const auto letters = [] {
    std::array<std::uint32_t, 256> table{};
    std::uint32_t next = 0x100;
    for (std::uint32_t byte = 0; byte < 256; ++byte) {
      const bool visible = (byte > 0x20 && byte < 0x7f) || (byte > 0xa0 && byte != 0xad);
      table[byte] = visible ? byte : next++;
    }
    return table;
  }();
  return letters;
}

/// The bytes that a token of the file stands for. One with a character outside the alphabet stands for itself.
std::string token_bytes(const std::string& written) {
  static const auto bytes = [] {
    std::unordered_map<std::uint32_t, char> table;
    for (std::size_t byte = 0; byte < 256; ++byte)
      table[byte_letters()[byte]] = static_cast<char>(byte);
    return table;
  }();
  std::string result;
  for (std::size_t at = 0; at < written.size();) {
    const Utf8Character letter = next_character(written, at);
    const auto place = bytes.find(letter.code_point);
    if (place == bytes.end()) return written;
    result += place->second;
    at += letter.length;
  }
  return result;
}

}  // namespace

// ## Tokens added by hand {#text_added}
//
// Some tokens come from no counting. `<|endoftext|>` stood between the texts of the training. It
// must be one token, whatever the merges would make of its letters, and so it is looked for in the
// text *first*, before there are words. The published tokenizer adds runs of 2 to 24 spaces as
// well, for the sake of indented code.
//
// Of several added tokens that begin at the same place the longest wins: of 26 spaces, 24 are
// taken, and then 2. To find them, all are put into a *trie*, a tree with an edge for each byte.
// From each place in the text one walks down as far as the bytes lead, and remembers the last place
// where a token ended.

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
// not inside `endoftextile`; `lstrip` and `rstrip` mean that it swallows the white space before or
// behind it. The published models use none of them, but their relatives do, and a wish that is
// ignored is a wrong number that nobody notices.

namespace {

bool in_word(std::uint32_t code_point) {
  const auto character = static_cast<UChar32>(code_point);
  const std::uint32_t mask = U_GC_M_MASK | U_GC_ND_MASK | U_GC_PC_MASK;
  return u_isUAlphabetic(character) || (U_GET_GC_MASK(character) & mask) != 0 ||
         u_hasBinaryProperty(character, UCHAR_JOIN_CONTROL);
}

bool is_space(std::uint32_t code_point) {
  return u_isUWhiteSpace(static_cast<UChar32>(code_point));
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

std::vector<AddedTokens::Piece> AddedTokens::split(std::string_view text) const {
  std::vector<Piece> pieces;
  std::size_t done = 0;  // all before it is in a piece
  const auto add_text = [&](std::size_t end) {
    if (end > done) pieces.push_back({text.substr(done, end - done), std::nullopt});
    done = end;
  };
  for (std::size_t from = 0; !tokens_.empty() && from < text.size();) {
    auto [begin, end, token] = find(text, from);
    from = end;
    if (token == nullptr || (token->single_word && !stands_alone(text, begin, end))) continue;
    while (token->lstrip && begin > done &&
           is_space(next_character(text, before(text, begin)).code_point))
      begin = before(text, begin);
    while (token->rstrip && end < text.size() && is_space(next_character(text, end).code_point))
      end += next_character(text, end).length;
    add_text(begin);
    pieces.push_back({text.substr(begin, end - begin), token->id});
    from = done = end;
  }
  add_text(text.size());
  return pieces;
}

// ## Reading the file {#text_file}
//
// The file says more than vocabulary and merges: how to normalise, how to cut, what to do at the
// end. It is the format of a library that knows dozens of tokenizers, and nearly every key can turn
// this one into another. We read one kind, byte-level BPE, and *refuse* every option that we do not
// have. To leave out what one does not understand is how a tokenizer becomes a little wrong.

namespace {

using Json = nlohmann::json;
constexpr std::int64_t most_tokens = std::int64_t{1} << 20;
constexpr std::size_t longest_added_token = 1024;  // bytes; it bounds what looking for one can cost

/// A text from the file, for a message.
std::string shown(const std::string& text) {
  return "'" + (text.size() > 60 ? mended_utf8(text.substr(0, 60)) + "..." : text) + "'";
}

}  // namespace

/// A value of the file that knows its place in it, for messages.
class Tokenizer::Entry {
 public:
  Entry(const Json& value, std::string where) : value_(&value), where_(std::move(where)) {}

  [[noreturn]] void refuse(const std::string& reason) const {
    throw FileError(where_ + (where_.ends_with(": ") ? "" : ": ") + reason);
  }
  [[noreturn]] void expected(const std::string& what) const {
    refuse("expected " + what + ", got " +
           shown(value_->dump(-1, ' ', false, Json::error_handler_t::replace)));
  }
  bool null() const { return value_->is_null(); }
  // What stands under a key; null where there is nothing.
  Entry at(const std::string& key) const {
    static const Json nothing;
    if (!value_->is_object()) expected("an object");
    const auto place = value_->find(key);
    return {place == value_->end() ? nothing : *place,
            where_ + (where_.ends_with(": ") ? "" : ".") + key};
  }
  std::string at_index(std::size_t i) const { return where_ + "[" + std::to_string(i) + "]"; }
  const Json& object() const {
    if (!value_->is_object()) expected("an object");
    return *value_;
  }
  const Json& array() const {
    if (!value_->is_array()) expected("an array");
    return *value_;
  }
  std::string text() const {
    if (!value_->is_string()) expected("a text");
    return value_->get<std::string>();
  }
  std::int64_t id() const {
    const bool whole = value_->is_number_unsigned();
    if (!whole || value_->get<std::uint64_t>() >= static_cast<std::uint64_t>(most_tokens))
      expected("a number from 0 to " + std::to_string(most_tokens - 1));
    return value_->get<std::int64_t>();
  }
  bool flag(bool otherwise) const {
    if (null()) return otherwise;
    if (!value_->is_boolean()) expected("true or false");
    return value_->get<bool>();
  }
  // For options that this tokenizer does not have: nothing but what switches them off.
  void off() const {
    static const std::array<Json, 4> nothing = {nullptr, false, "", 0};
    if (std::find(nothing.begin(), nothing.end(), *value_) == nothing.end())
      expected("nothing: this is not supported");
  }
  // The kind of an object, which must be one of these.
  std::string type(std::initializer_list<const char*> known) const {
    const Entry entry = at("type");
    std::string names;
    for (const char* name : known) {
      if (*entry.value_ == name) return name;
      names += (names.empty() ? "" : " or ") + std::string(name);
    }
    entry.expected(names);
  }

 private:
  const Json* value_;
  std::string where_;
};

class Tokenizer::Reader {
 public:
  Reader(Tokenizer& tokenizer, const Entry& file) : tokenizer_(tokenizer), file_(file) {}

  void read() {
    read_options();
    read_vocabulary();
    read_merges();
    read_added_tokens();
  }

 private:
  void read_options() {
    file_.at("truncation").off();
    file_.at("padding").off();
    tokenizer_.normalize_ = !file_.at("normalizer").null();
    if (tokenizer_.normalize_) file_.at("normalizer").type({"NFC"});
    const Entry words = file_.at("pre_tokenizer");
    words.type({"ByteLevel"});
    tokenizer_.add_prefix_space_ = words.at("add_prefix_space").flag(true);
    if (!words.at("use_regex").flag(true)) words.at("use_regex").expected("true");
    file_.at("decoder").type({"ByteLevel"});
    read_post_processor(file_.at("post_processor"));
    const Entry model = file_.at("model");
    model.type({"BPE"});
    for (const char* option : {"dropout", "continuing_subword_prefix", "end_of_word_suffix",
                               "byte_fallback", "ignore_merges"})
      model.at(option).off();
  }

  // What comes around every text. ByteLevel only corrects positions; a template may add tokens, and then it is not for us.
  static void read_post_processor(const Entry& processor) {
    if (processor.null() || processor.type({"ByteLevel", "TemplateProcessing"}) == "ByteLevel") return;
    const Entry single = processor.at("single");
    const bool plain = single.array().size() == 1 && single.array()[0].contains("Sequence");
    if (!plain) single.expected("the text alone, without tokens around it");
  }

  // A token and its number, neither of which may be there already.
  void add_token(const Entry& entry, std::int64_t id, std::string bytes) {
    auto& tokens = tokenizer_.tokens_;
    if (static_cast<std::size_t>(id) >= tokens.size()) tokens.resize(static_cast<std::size_t>(id) + 1);
    auto& place = tokens[static_cast<std::size_t>(id)];
    if (place)
      entry.refuse("the number " + std::to_string(id) + " is also that of " +
                   shown(mended_utf8(*place)));
    place = std::move(bytes);
  }

  void read_vocabulary() {
    const Entry vocab = file_.at("model").at("vocab");
    if (vocab.object().empty()) vocab.expected("tokens and their numbers");
    for (const auto& [written, _] : vocab.object().items()) {
      const Entry entry = vocab.at(written);
      vocab_[written] = entry.id();
      add_token(entry, entry.id(), token_bytes(written));
    }
    for (std::size_t byte = 0; byte < 256; ++byte) {
      const auto place = vocab_.find(utf8(byte_letters()[byte]));
      tokenizer_.letters_[byte] = place == vocab_.end() ? -1 : place->second;
    }
  }

  std::int64_t known(const Entry& merge, const std::string& token) const {
    const auto place = vocab_.find(token);
    if (place == vocab_.end()) merge.refuse(shown(token) + " is no token of model.vocab");
    return place->second;
  }

  // A merge is written as "a b" in older files, as ["a", "b"] in newer ones.
  static std::pair<std::string, std::string> parts(const Json& merge, const Entry& entry) {
    if (merge.is_array() && merge.size() == 2 && merge[0].is_string() && merge[1].is_string())
      return {merge[0].get<std::string>(), merge[1].get<std::string>()};
    const std::string both = merge.is_string() ? merge.get<std::string>() : "";
    const std::size_t space = both.find(' ');
    if (space == std::string::npos || both.find(' ', space + 1) != std::string::npos)
      entry.expected("two tokens");
    return {both.substr(0, space), both.substr(space + 1)};
  }

  void read_merges() {
    const Entry merges = file_.at("model").at("merges");
    const Json& list = merges.array();
    for (std::size_t i = 0; i < list.size(); ++i) {
      const Entry entry(list[i], merges.at_index(i));
      const auto [left, right] = parts(list[i], entry);
      const std::int64_t first = known(entry, left), second = known(entry, right);
      if (!tokenizer_.merges_.add(first, second, known(entry, left + right)))
        entry.refuse("the pair comes twice");
    }
  }

  void read_added_tokens() {
    const Entry added = file_.at("added_tokens");
    if (added.null()) return;
    const Json& list = added.array();
    for (std::size_t i = 0; i < list.size(); ++i) add_added_token(Entry(list[i], added.at_index(i)));
  }

  // An added token may stand in the vocabulary too, with the same number. Where it is found, it stands for itself, whatever
  // its letters would mean as bytes.
  void add_added_token(const Entry& entry) {
    AddedToken token{.id = entry.at("id").id(),
                     .content = entry.at("content").text(),
                     .single_word = entry.at("single_word").flag(false),
                     .lstrip = entry.at("lstrip").flag(false),
                     .rstrip = entry.at("rstrip").flag(false),
                     .normalized = entry.at("normalized").flag(!entry.at("special").flag(false))};
    if (token.content.empty() || token.content.size() > longest_added_token)
      entry.at("content").expected("1 to " + std::to_string(longest_added_token) + " bytes");
    if (!tokenizer_.added_.emplace(token.content, token.id).second)
      entry.at("content").refuse("the token comes twice");
    const auto place = vocab_.find(token.content);
    if (place != vocab_.end() && place->second != token.id)
      entry.at("id").expected(std::to_string(place->second) + ", the number in model.vocab");
    if (place == vocab_.end())
      add_token(entry, token.id, token.content);
    else
      tokenizer_.tokens_[static_cast<std::size_t>(token.id)] = token.content;
    if (token.normalized && tokenizer_.normalize_) token.content = mamba2::normalized(token.content);
    (token.normalized ? tokenizer_.after_ : tokenizer_.before_).add(token);
  }

  Tokenizer& tokenizer_;
  const Entry& file_;
  std::unordered_map<std::string, std::int64_t> vocab_;  // as written in the file
};

Tokenizer::Tokenizer(std::string_view json, const std::string& where) {
  const Json file = parse_json(json, where);
  Reader(*this, Entry(file, where + ": ")).read();
}

Tokenizer load_tokenizer(const std::filesystem::path& directory) {
  const std::filesystem::path path = directory / "tokenizer.json";
  return {read_text_file(path, JsonLimits().bytes), path.string()};
}

// ## From text to tokens {#text_encode}
//
// Now everything is there, and the order is: added tokens that are looked for in the raw text;
// between them the normal form; added tokens that are looked for in that; between them words; and
// each word's bytes through the merges.

std::vector<std::int64_t> Tokenizer::encode(std::string_view text) const {
  for (std::size_t at = 0; at < text.size();) {
    const Utf8Character character = next_character(text, at);
    if (character.kind != Utf8Character::Kind::whole)
      throw ValueError("text: expected UTF-8, got a broken character at byte " + std::to_string(at));
    at += character.length;
  }
  std::vector<std::int64_t> ids;
  for (const auto& outer : before_.split(text)) {
    if (outer.id) {
      ids.push_back(*outer.id);
      continue;
    }
    const std::string form = normalize_ ? normalized(outer.text) : std::string(outer.text);
    for (const auto& inner : after_.split(form))
      if (inner.id)
        ids.push_back(*inner.id);
      else
        encode_words(inner.text, ids);
  }
  return ids;
}

void Tokenizer::encode_words(std::string_view text, std::vector<std::int64_t>& ids) const {
  std::string prefixed;
  if (add_prefix_space_ && text.front() != ' ') text = prefixed.append(" ").append(text);
  for (const std::string_view word : split_words(text)) {
    std::vector<std::int64_t> letters;
    for (const char letter : word) {
      const auto byte = static_cast<unsigned char>(letter);
      if (letters_[byte] < 0)
        throw ValueError("text: the vocabulary has no token for byte " + std::to_string(byte));
      letters.push_back(letters_[byte]);
    }
    const auto merged = merge_pairs(letters, merges_);
    ids.insert(ids.end(), merged.begin(), merged.end());
  }
}

}  // namespace mamba2

// The program shows the golden tokenizer, with 623 tokens, at work. It is too small to know many
// words; it has the same form as the one of the published models.
//
// @output tokens
