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

#include <nlohmann/json.hpp>

#include <algorithm>
#include <charconv>
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

/// The bytes that a token of the file stands for; nothing for one with a character outside the alphabet.
std::optional<std::string> token_bytes(const std::string& written) {
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
    if (place == bytes.end()) return std::nullopt;
    result += place->second;
    at += letter.length;
  }
  return result;
}

}  // namespace

// ## Reading the file {#text_file}
//
// The file says more than vocabulary and merges: how to normalise, how to cut, what to do at the
// end. It is the format of a library that knows dozens of tokenizers, and nearly every key can turn
// this one into another. We read those that language models of the last years come with, and
// *refuse* every option that we do not have. To leave out what one does not understand is how a
// tokenizer becomes a little wrong.
//
// A refusal should say where. So a value of the file travels with its path, such as
// `model.merges[7]`:

//: fold The value of a key, and what is refused
namespace {

using Json = nlohmann::json;
constexpr std::int64_t most_tokens = std::int64_t{1} << 20;
constexpr std::size_t longest =
    1024;  // bytes of an added token or a replacement; bounds what they can cost

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
  bool is(const char* text) const { return *value_ == text; }
  // What stands under a key; null where there is nothing.
  Entry at(const std::string& key) const {
    static const Json nothing;
    if (!value_->is_object()) expected("an object");
    const auto place = value_->find(key);
    return {place == value_->end() ? nothing : *place,
            where_ + (where_.ends_with(": ") ? "" : ".") + key};
  }
  // What stands in a list.
  Entry at(std::size_t i) const { return {array().at(i), where_ + "[" + std::to_string(i) + "]"}; }
  std::size_t size() const { return array().size(); }
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
  std::int64_t number(std::int64_t most) const {
    if (!value_->is_number_unsigned() ||
        value_->get<std::uint64_t>() > static_cast<std::uint64_t>(most))
      expected("a number from 0 to " + std::to_string(most));
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
  std::string text(std::size_t least, std::size_t most) const {
    std::string value = text();
    if (value.size() < least || value.size() > most)
      expected(std::to_string(least) + " to " + std::to_string(most) + " bytes");
    return value;
  }
  // One step, or the steps of a Sequence, in which there may be a Sequence again; null is no step.
  template <class Read>
  void each_step(const char* list, const Read& read) const {
    if (null()) return;
    if (!at("type").is("Sequence")) return read(*this);
    const Entry steps = at(list);
    for (std::size_t i = 0; i < steps.size(); ++i) steps.at(i).each_step(list, read);
  }
  // The kind of an object, which must be one of these.
  std::string type(std::initializer_list<const char*> known) const {
    const Entry entry = at("type");
    std::string names;
    for (const char* name : known) {
      if (entry.is(name)) return name;
      names += (names.empty() ? "" : " or ") + std::string(name);
    }
    entry.expected(names);
  }

 private:
  const Json* value_;
  std::string where_;
};

// Normalising, cutting, decoding: each of them is a step, or a `Sequence` of steps, in which there
// may be a sequence again. A sequence of one is that one, and a missing step is none. `truncation`
// and `padding` are what somebody wanted who saved the file; libraries set both anew at each call,
// and so they are not looked at.

//: fold The parts of the reader
class Tokenizer::Reader {
 public:
  Reader(Tokenizer& tokenizer, const Entry& file) : t_(tokenizer), file_(file) {}
  void read();

 private:
  void read_rewriting(const Entry& step);
  void read_cut(const Entry& step);
  void read_split(const Entry& step);
  void read_decoder(const Entry& decoder);
  void read_strip(const Entry& step);
  void read_model(const Entry& model);
  void read_vocabulary(const Entry& vocab);
  void read_unknown(const Entry& unknown);
  void read_merges(const Entry& merges);
  void read_added_token(const Entry& entry);
  void read_around(const Entry& step);
  void add_token(const Entry& entry, std::int64_t id, std::string bytes);
  void add_letter(const std::string& written, std::int64_t id);
  static std::pair<std::string, std::string> parts(const Entry& entry, const Json& merge);
  std::int64_t known(const Entry& entry, const std::string& token) const;
  std::int64_t token(const Entry& entry) const;
  std::string bytes_of(std::string written) const;

  Tokenizer& t_;
  const Entry& file_;
  std::unordered_map<std::string, std::int64_t> vocab_;  // as written in the file
  std::vector<std::pair<std::string, std::string>>
      spaces_;                // what a token's text is replaced by on the way back
  bool shows_bytes_ = false;  // "<0x0A>" is a byte on the way back
  bool falls_back_ = false;   // and on the way there
};

void Tokenizer::Reader::read() {
  file_.at("normalizer").each_step("normalizers", [&](const Entry& step) { read_rewriting(step); });
  file_.at("pre_tokenizer").each_step("pretokenizers", [&](const Entry& step) { read_cut(step); });
  read_decoder(file_.at("decoder"));
  read_model(file_.at("model"));
  read_vocabulary(file_.at("model").at("vocab"));
  read_merges(file_.at("model").at("merges"));
  if (const Entry added = file_.at("added_tokens"); !added.null())
    for (std::size_t i = 0; i < added.size(); ++i) read_added_token(added.at(i));
  read_unknown(file_.at("model").at("unk_token"));
  file_.at("post_processor").each_step("processors", [&](const Entry& step) { read_around(step); });
}

// ### Two families {#text_families}
//
// Byte-level tokenizers all descend from GPT-2's. The other family is that of SentencePiece
// [@kudo2018], and sees characters instead of bytes. A space is written `▁`, a sign that nobody
// types, and one is put in front of every text, so that the first word is a word like the others:
// `▁Hello▁world`. There is no cutting into words; merges may reach where they like. A character
// that the vocabulary does not have falls back on its bytes, which are tokens as well, written
// `<0x0A>`. For us this is one more rewriting of the text, and one more kind of letter.

//: fold Rewriting
void Tokenizer::Reader::read_rewriting(const Entry& step) {
  const std::string type = step.type({"NFC", "Prepend", "Replace"});
  using Kind = Rewriting::Kind;
  if (type == "NFC") t_.rewritings_.push_back({"", "", Kind::compose});
  if (type == "Prepend")
    t_.rewritings_.push_back({"", step.at("prepend").text(0, longest), Kind::prepend});
  if (type == "Replace")
    t_.rewritings_.push_back({step.at("pattern").at("String").text(1, longest),
                              step.at("content").text(0, longest), Kind::replace});
}

void Tokenizer::Reader::read_cut(const Entry& step) {
  if (t_.byte_level_) step.refuse("expected ByteLevel to be the last step");
  const std::string type = step.type({"ByteLevel", "Split", "Digits"});
  if (type == "ByteLevel") {
    t_.byte_level_ = true;
    t_.add_prefix_space_ = step.at("add_prefix_space").flag(true);
    t_.split_words_ = step.at("use_regex").flag(true);
  } else if (type == "Digits") {
    t_.patterns_.emplace_back(step.at("individual_digits").flag(false) ? "\\p{N}" : "\\p{N}+");
  } else {
    read_split(step);
  }
}

void Tokenizer::Reader::read_split(const Entry& step) {
  const Entry pattern = step.at("pattern").at("Regex");
  if (pattern.null()) pattern.expected("a regular expression");
  const bool invert = step.at("invert").flag(false);  // matches are gaps, and gaps are matches
  const Entry behavior = step.at("behavior");
  auto keep = WordPattern::Keep::both;
  if (behavior.is("Removed"))
    keep = invert ? WordPattern::Keep::matches : WordPattern::Keep::gaps;
  else if (!behavior.is("Isolated"))
    behavior.expected("Isolated or Removed");
  try {
    t_.patterns_.emplace_back(pattern.text(), keep);
  } catch (const ValueError& error) {
    pattern.refuse(error.what());
  }
}

// The way back is written in the file too. Of a byte-level tokenizer it says nothing new: tokens
// are bytes, and bytes make a text, and many files say nothing at all. Of the other family it
// says which sign was a space, that `<0x0A>` is a byte, and, once all tokens are put together,
// that the space in front of the text was none. Only in this order do the steps make sense one
// token at a time.

//: fold The way back
void Tokenizer::Reader::read_decoder(const Entry& decoder) {
  if (t_.byte_level_)
    return decoder.each_step("decoders", [](const Entry& step) { step.type({"ByteLevel", "Fuse"}); });
  if (decoder.null()) decoder.expected("how tokens become a text");
  static const std::array<std::string, 4> order = {"Replace", "ByteFallback", "Fuse", "Strip"};
  std::size_t last = 0;
  decoder.each_step("decoders", [&](const Entry& step) {
    const std::string type = step.type({"Replace", "ByteFallback", "Fuse", "Strip"});
    const auto place =
        static_cast<std::size_t>(std::find(order.begin(), order.end(), type) - order.begin());
    if (place < last || (type == "Strip" && last != 2))
      step.refuse("expected Replace, ByteFallback, Fuse, Strip in this order, Strip only after Fuse");
    last = place;
    if (type == "Replace")
      spaces_.push_back(
          {step.at("pattern").at("String").text(1, longest), step.at("content").text(0, longest)});
    if (type == "ByteFallback") shows_bytes_ = true;
    if (type == "Strip") read_strip(step);
  });
}

void Tokenizer::Reader::read_strip(const Entry& step) {
  const std::string content = step.at("content").text();
  if (content.size() != 1) step.at("content").expected("one letter of ASCII");
  step.at("stop").off();
  t_.strip_ = std::string(static_cast<std::size_t>(step.at("start").number(16)), content[0]);
}

// ### Vocabulary and merges {#text_vocabulary}
//
// Then come the tokens and their numbers. No number may come twice, or nobody knows what it means
// on the way back; gaps are allowed.

//: fold The vocabulary
void Tokenizer::Reader::read_model(const Entry& model) {
  model.type({"BPE"});
  for (const char* option : {"dropout", "continuing_subword_prefix", "end_of_word_suffix"})
    model.at(option).off();
  if (t_.byte_level_) model.at("byte_fallback").off();
  falls_back_ = model.at("byte_fallback").flag(false);
  t_.ignore_merges_ = model.at("ignore_merges").flag(false);
  t_.fuse_unknown_ = model.at("fuse_unk").flag(false);
}

namespace {

/// The byte that "<0x0A>" stands for.
std::optional<char> byte_named(const std::string& written) {
  if (written.size() != 6 || !written.starts_with("<0x") || written[5] != '>') return std::nullopt;
  unsigned byte = 0;
  const auto [end, error] = std::from_chars(&written[3], &written[5], byte, 16);
  if (error != std::errc() || end != &written[5]) return std::nullopt;
  return static_cast<char>(byte);
}

}  // namespace

std::string Tokenizer::Reader::bytes_of(std::string written) const {
  if (t_.byte_level_) return token_bytes(written).value_or(written);
  if (const auto byte = byte_named(written); byte && shows_bytes_) return {*byte};
  for (const auto& [from, to] : spaces_)
    for (std::size_t at = 0; (at = written.find(from, at)) != std::string::npos; at += to.size())
      written.replace(at, from.size(), to);
  return written;
}

void Tokenizer::Reader::add_token(const Entry& entry, std::int64_t id, std::string bytes) {
  auto& tokens = t_.tokens_;
  if (static_cast<std::size_t>(id) >= tokens.size()) tokens.resize(static_cast<std::size_t>(id) + 1);
  auto& place = tokens[static_cast<std::size_t>(id)];
  if (place)
    entry.refuse("the number " + std::to_string(id) + " is also that of " + shown(mended_utf8(*place)));
  place = std::move(bytes);
}

void Tokenizer::Reader::read_vocabulary(const Entry& vocab) {
  if (vocab.object().empty()) vocab.expected("tokens and their numbers");
  t_.byte_tokens_.fill(-1);
  for (const auto& [written, _] : vocab.object().items()) {
    const Entry entry = vocab.at(written);
    const std::int64_t id = vocab_[written] = entry.number(most_tokens - 1);
    add_token(entry, id, bytes_of(written));
    if (!written.empty()) add_letter(written, id);
    if (!t_.ignore_merges_) continue;
    if (!t_.byte_level_)
      t_.words_[written] = id;
    else if (const auto bytes = token_bytes(written))
      t_.words_[*bytes] = id;
  }
}

// Words are spelt with those tokens that are one byte or one character.

//: fold Letters
void Tokenizer::Reader::add_letter(const std::string& written, std::int64_t id) {
  if (t_.byte_level_) {
    if (const auto bytes = token_bytes(written); bytes && bytes->size() == 1)
      t_.byte_tokens_[static_cast<unsigned char>(bytes->front())] = id;
    return;
  }
  const Utf8Character first = next_character(written, 0);
  if (first.length == written.size()) t_.characters_[first.code_point] = id;
  if (const auto byte = byte_named(written); byte && falls_back_)
    t_.byte_tokens_[static_cast<unsigned char>(*byte)] = id;
}

std::int64_t Tokenizer::Reader::known(const Entry& entry, const std::string& token) const {
  const auto place = vocab_.find(token);
  if (place == vocab_.end()) entry.refuse(shown(token) + " is no token of model.vocab");
  return place->second;
}

void Tokenizer::Reader::read_unknown(const Entry& unknown) {
  if (!unknown.null() && !unknown.is("")) t_.unknown_ = known(unknown, unknown.text());
}

// A merge is written as "a b" in older files, as ["a", "b"] in newer ones.

//: fold Merges
std::pair<std::string, std::string> Tokenizer::Reader::parts(const Entry& entry, const Json& merge) {
  if (merge.is_array() && merge.size() == 2 && merge[0].is_string() && merge[1].is_string())
    return {merge[0].get<std::string>(), merge[1].get<std::string>()};
  const std::string both = merge.is_string() ? merge.get<std::string>() : "";
  const std::size_t space = both.find(' ');
  if (space == std::string::npos || both.find(' ', space + 1) != std::string::npos)
    entry.expected("two tokens");
  return {both.substr(0, space), both.substr(space + 1)};
}

void Tokenizer::Reader::read_merges(const Entry& merges) {
  for (std::size_t i = 0; i < merges.size(); ++i) {
    const Entry entry = merges.at(i);
    const auto [left, right] = parts(entry, merges.array()[i]);
    const std::int64_t first = known(entry, left), second = known(entry, right);
    if (!t_.merges_.add(first, second, known(entry, left + right)))
      entry.refuse("the pair comes twice");
  }
}

// An added token may stand in the vocabulary too, with the same number. Where it is found, it
// stands for itself, whatever its letters would mean as bytes.

//: fold An added token
void Tokenizer::Reader::read_added_token(const Entry& entry) {
  AddedToken token{.id = entry.at("id").number(most_tokens - 1),
                   .content = entry.at("content").text(1, longest),
                   .special = entry.at("special").flag(false),
                   .single_word = entry.at("single_word").flag(false),
                   .lstrip = entry.at("lstrip").flag(false),
                   .rstrip = entry.at("rstrip").flag(false),
                   .normalized = entry.at("normalized").flag(!entry.at("special").flag(false))};
  if (!t_.added_.emplace(token.content, token.id).second)
    entry.at("content").refuse("the token comes twice");
  const auto place = vocab_.find(token.content);
  if (place != vocab_.end() && place->second != token.id)
    entry.at("id").expected(std::to_string(place->second) + ", the number in model.vocab");
  const std::string bytes = t_.byte_level_ ? token.content : bytes_of(token.content);
  if (place == vocab_.end())
    add_token(entry, token.id, bytes);
  else
    t_.tokens_[static_cast<std::size_t>(token.id)] = bytes;
  if (token.special) t_.special_.insert(token.id);
  if (token.normalized) token.content = t_.rewritten(token.content);
  if (!token.content.empty()) (token.normalized ? t_.normal_ : t_.raw_).add(token);
}

// Last of all, what is put around every text. A model that was trained with a token at the
// beginning of each text expects it there, and is a little worse without.

//: fold Tokens around a text
void Tokenizer::Reader::read_around(const Entry& step) {
  if (step.type({"ByteLevel", "TemplateProcessing"}) == "ByteLevel") return;  // corrects positions only
  const Entry pieces = step.at("single");
  std::array<std::vector<std::int64_t>, 2> around;
  std::size_t texts = 0;
  for (std::size_t i = 0; i < pieces.size(); ++i) {
    if (pieces.at(i).object().contains("Sequence")) {
      ++texts;
    } else {
      const std::string name = pieces.at(i).at("SpecialToken").at("id").text();
      const Entry ids = step.at("special_tokens").at(name).at("ids");
      for (std::size_t k = 0; k < ids.size(); ++k) around[texts > 0].push_back(token(ids.at(k)));
    }
  }
  if (texts != 1) pieces.expected("the text once, and tokens around it");
  t_.before_text_.insert(t_.before_text_.begin(), around[0].begin(), around[0].end());
  t_.after_text_.insert(t_.after_text_.end(), around[1].begin(), around[1].end());
  if (t_.before_text_.size() + t_.after_text_.size() > longest) pieces.refuse("too many tokens");
}

std::int64_t Tokenizer::Reader::token(const Entry& entry) const {
  const std::int64_t id = entry.number(most_tokens - 1);
  if (static_cast<std::size_t>(id) >= t_.tokens_.size() || !t_.tokens_[static_cast<std::size_t>(id)])
    entry.expected("the number of a token");
  return id;
}

Tokenizer::Tokenizer(std::string_view json, const std::string& where) {
  const Json file = parse_json(json, where);
  Reader(*this, Entry(file, where + ": ")).read();
}

Tokenizer load_tokenizer(const std::filesystem::path& directory) {
  const std::filesystem::path path = directory / "tokenizer.json";
  return {read_text_file(path, JsonLimits().bytes), path.string()};
}

// ## A tokenizer of one's own {#text_learn}
//
// Who trains a model on a small text does not want fifty thousand tokens for it. All pieces are at
// hand: cut the text into words, count them, learn merges, and write the file that we have just
// learnt to read. Special tokens come first, then the bytes, then what the merges make.

//: fold Writing the file
namespace {

std::string written(std::string_view bytes) {
  std::string letters;
  for (const char byte : bytes) letters += utf8(byte_letters()[static_cast<unsigned char>(byte)]);
  return letters;
}

std::map<std::string, std::int64_t> count_words(std::string_view text,
                                                const std::vector<std::string>& special) {
  AddedTokens separators;
  for (const std::string& content : special) separators.add({.id = 0, .content = content});
  std::map<std::string, std::int64_t> counts;
  for (const auto& piece : separators.split(text)) {
    if (piece.id) continue;
    const std::string form = normalized(piece.text);
    for (const std::string_view word : split_words(form)) ++counts[std::string(word)];
  }
  return counts;
}

}  // namespace

std::string learn_tokenizer(std::string_view text, std::size_t vocab_size,
                            const std::vector<std::string>& special) {
  const std::size_t least = special.size() + 256;
  require(vocab_size >= least, "vocab_size", "at least " + std::to_string(least),
          std::to_string(vocab_size));
  const bool sound = mended_utf8(text) == text;
  require(sound, "text", "UTF-8", "broken characters");
  Json vocab, merges = Json::array(), added = Json::array();
  const auto add = [&](const std::string& token) { vocab.emplace(token, vocab.size()); };
  for (const std::string& token : special) {
    added.push_back(
        {{"id", vocab.size()}, {"content", token}, {"special", true}, {"normalized", false}});
    add(token);
  }
  for (const std::uint32_t letter : byte_letters()) add(utf8(letter));
  for (const auto& [left, right] : learn_merges(count_words(text, special), vocab_size - least)) {
    merges.push_back({written(left), written(right)});
    add(written(left + right));
  }
  const Json bytes = {{"type", "ByteLevel"}, {"add_prefix_space", false}};
  const Json file = {{"version", "1.0"},
                     {"added_tokens", added},
                     {"normalizer", {{"type", "NFC"}}},
                     {"pre_tokenizer", bytes},
                     {"decoder", bytes},
                     {"model", {{"type", "BPE"}, {"vocab", vocab}, {"merges", merges}}}};
  return file.dump(1) + "\n";
}

}  // namespace mamba2
