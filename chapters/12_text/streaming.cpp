// ## Back to text {#text_decode}
//
// The way back is easy: each token stands for some bytes, and the bytes one after the other are the
// text. All that is left to do is to mend what is no UTF-8.

#include <mamba2/error.hpp>
#include <mamba2/tokenizer.hpp>

#include <algorithm>

namespace mamba2 {

const std::string& Tokenizer::bytes(std::int64_t id) const {
  const bool known = id >= 0 && static_cast<std::size_t>(id) < tokens_.size() &&
                     tokens_[static_cast<std::size_t>(id)].has_value();
  require(known, "id", "the number of a token, below " + std::to_string(tokens_.size()),
          std::to_string(id));
  return *tokens_[static_cast<std::size_t>(id)];
}

std::string Tokenizer::decode(std::span<const std::int64_t> ids, const DecodeOptions& options) const {
  std::string text;
  for (const std::int64_t id : ids)
    if (options.special || !is_special(id)) text += bytes(id);
  std::size_t strip = 0;  // of the beginning
  if (options.beginning)
    while (strip < std::min(strip_.size(), text.size()) && text[strip] == strip_[strip]) ++strip;
  return mended_utf8(std::string_view(text).substr(strip));
}

std::vector<std::int64_t> Tokenizer::gaps() const {
  std::vector<std::int64_t> ids;
  for (std::size_t id = 0; id < tokens_.size(); ++id)
    if (!tokens_[id]) ids.push_back(static_cast<std::int64_t>(id));
  return ids;
}

std::optional<std::int64_t> Tokenizer::find_added(std::string_view content) const {
  const auto place = added_.find(std::string(content));
  return place == added_.end() ? std::nullopt : std::optional(place->second);
}

// Do we get back the text that we started from? All but what the normal form has changed: `e` with
// an accent behind it comes back as `é`.
//
// ## Never half a character {#text_streaming}
//
// A model writes one token at a time, and we want to see each as soon as it is there. Here the
// bytes bite. The snake 🐍 is four bytes, and a small vocabulary writes it as four tokens. Decode
// each by itself, and the screen shows ����.
//
// So what has begun and could still become a character waits. At most three bytes ever wait,
// because the fourth would complete it. What is broken beyond repair is replaced at once; and if
// the text ends while something waits, that is replaced as well. Whatever the tokens are, the
// pieces together are exactly what decode() would have made of all of them.

std::string Utf8Stream::push(std::string_view bytes) {
  const std::string all = std::exchange(waiting_, {}).append(bytes);
  std::string ready;
  for (std::size_t at = 0; at < all.size();) {
    const Utf8Character character = next_character(all, at);
    if (character.kind == Utf8Character::Kind::cut_off) {
      waiting_ = all.substr(at);
      break;
    }
    ready += utf8(character.code_point);
    at += character.length;
  }
  return ready;
}

std::string StreamDecoder::push(std::int64_t id) {
  std::string_view bytes = tokenizer_->bytes(id);
  if (!options_.special && tokenizer_->is_special(id)) return "";
  while (!strip_.empty() && !bytes.empty()) {
    if (bytes.front() != strip_.back()) strip_.clear();
    if (strip_.empty()) break;
    strip_.pop_back();
    bytes.remove_prefix(1);
  }
  return stream_.push(bytes);
}

std::string Utf8Stream::finish() {
  return std::exchange(waiting_, {}).empty() ? "" : utf8(0xfffd);
}

}  // namespace mamba2

// This is what the program prints of the snake, token by token, and of a text that ends too early:
//
// @output stream
