// # Text {#ch_text}
// @summary From text to tokens and back, byte by byte; from scores to a choice; and the loop that writes.
//
// The model of @chapter{language_model} reads numbers and gives back scores. We want to type a
// sentence and see how it goes on. Two things are missing. One is a **tokenizer**: it cuts a text
// into pieces and numbers them, and turns numbers into text again. The other is a way to *choose*:
// the model says of each of fifty thousand tokens how likely it is, and somebody has to take one
// of them, put it at the end of the text and ask again.
//
// Neither is hard, and neither forgives. A model has seen its texts cut in one way in all of its
// training. Cut them in another way and it still answers, a little worse, and nothing says why. So
// the tokenizer has to be exactly the one of the training, with all its quirks: which characters
// are letters, what becomes of three spaces in a row, what is done with `é` where it is written as
// two characters. Choosing has traps of its own, and the small programs around published models
// fall into several of them.
//
// ::: figure loop
// What `mamba2 generate` does. The tokenizer turns the prompt into numbers, the model reads them at
// once, and then one token goes around the circle at a time. What the model remembers is a cache of
// fixed size, however long the text has become.
// :::
//
// Here is the way from a text to its next token, with the small model of the tests. It has 623
// tokens and has learnt nothing, so what it finds likely is no English; every step is the one that
// a published model takes.
//
// @output way
//
// ## What it builds on {#text_builds_on}
//
// @Chapter{language_model} for the model, prefill() and step(), for parse_json(), since a tokenizer
// is a file from a stranger too, and for safetensors files, in which a text can wait;
// @chapter{selection} for mamba2::Random.
//
// In thought also on @chapter{one_token_at_a_time}: why going on costs the same after every token.
//
// ## Shapes {#text_shapes}
//
// ::: shapes
// | name | shape | what it is |
// |---|---|---|
// | `text` | bytes | UTF-8 |
// | `ids` | a list of any length | numbers of tokens, from 0 |
// | `logits` | (batch, padded_vocab_size) | a score for every token that could come next |
// | `cache` | one for each layer, (batch, ...) | what the model remembers of the texts so far |
// :::
//
// ## What should a token be? {#text_why}
//
// A **letter** is the first idea. The vocabulary is small then, but a text is long: a page of a
// book is three thousand letters, and the model spends a whole step on each `e`. It has to learn
// spelling before it can learn anything else.
//
// A **word** is the second. Texts are short then, but there is no end to words. Names, typing
// errors, numbers, code: whatever list one makes, the next text has a word that is not in it, and
// all that can be done is to write *unknown* in its place.
//
// What is used lies in between and is found by counting. Frequent words are one token; rare ones
// are made of a few pieces; in the worst case the pieces are single **bytes**. There are only 256
// of those, and every text is made of them. So nothing is ever unknown.
//
// ## Bytes {#text_bytes}
//
// A text is a row of *code points*, the numbers that Unicode gives to characters. UTF-8 writes each
// of them in one to four bytes. The first byte says how many there are, and the following ones all
// begin with the bits `10`:
//
// | code points | first byte | then |
// |---|---|---|
// | up to U+007F | `0xxxxxxx` | |
// | up to U+07FF | `110xxxxx` | one of `10xxxxxx` |
// | up to U+FFFF | `1110xxxx` | two |
// | up to U+10FFFF | `11110xxx` | three |
//
// Not every row of bytes is UTF-8. A following byte can be missing, or stand where none is due. A
// number can be written longer than it needs to be, which is forbidden, because a filter that looks
// for the byte `/` must not be fooled by another way to write it. The range from `U+D800` to
// `U+DFFF` belongs to UTF-16 and names no character. All these rules come down to which *second*
// byte may follow a first one; the third and the fourth are free.

#include <mamba2/utf8.hpp>

namespace mamba2 {

namespace {

struct Range {
  unsigned char low, high;
};

/// How many bytes a character with this first byte has, 0 for none, and what its second byte may be.
std::size_t character_length(unsigned char first, Range& second) {
  second = {0x80, 0xbf};
  if (first < 0x80) return 1;
  if (first == 0xe0) second.low = 0xa0;   // below: shorter in two bytes
  if (first == 0xed) second.high = 0x9f;  // above: UTF-16's own
  if (first == 0xf0) second.low = 0x90;   // below: shorter in three bytes
  if (first == 0xf4) second.high = 0x8f;  // above: beyond U+10FFFF
  if (first >= 0xc2 && first <= 0xdf) return 2;
  if (first >= 0xe0 && first <= 0xef) return 3;
  return first >= 0xf0 && first <= 0xf4 ? 4 : 0;
}

}  // namespace

// Why should a tokenizer care about broken text? Because it will make some. A token can be part of
// a character, and a model is free to write the first half of one and then something else. What
// then? Unicode has a recommendation, and the published tokenizers follow it: take the longest
// piece that *could* have become a character, show `U+FFFD`, the replacement character �, in its
// place, and go on behind it. So the function that reads a character knows three answers: a whole
// one, a broken one, and one that may still become whole when more bytes come.

Utf8Character next_character(std::string_view bytes, std::size_t at) {
  using Kind = Utf8Character::Kind;
  constexpr std::uint32_t replacement = 0xfffd;
  const auto first = static_cast<unsigned char>(bytes[at]);
  Range allowed{};
  const std::size_t length = character_length(first, allowed);
  if (length == 0) return {replacement, 1, Kind::broken};
  std::uint32_t code_point = length == 1 ? first : first & (0x7fu >> length);
  for (std::size_t i = 1; i < length; ++i) {
    if (at + i == bytes.size()) return {replacement, i, Kind::cut_off};
    const auto next = static_cast<unsigned char>(bytes[at + i]);
    if (next < allowed.low || next > allowed.high) return {replacement, i, Kind::broken};
    code_point = code_point << 6 | (next & 0x3fu);
    allowed = {0x80, 0xbf};
  }
  return {code_point, length, Kind::whole};
}

// The way back, and a whole text mended:

//: fold Characters as bytes
std::string utf8(std::uint32_t code_point) {
  const auto byte = [](std::uint32_t bits) { return static_cast<char>(bits); };
  const auto following = [&](int shift) { return byte(0x80 | (code_point >> shift & 0x3f)); };
  if (code_point < 0x80) return {byte(code_point)};
  if (code_point < 0x800) return {byte(0xc0 | code_point >> 6), following(0)};
  if (code_point < 0x10000) return {byte(0xe0 | code_point >> 12), following(6), following(0)};
  return {byte(0xf0 | code_point >> 18), following(12), following(6), following(0)};
}

std::string mended_utf8(std::string_view bytes) {
  Utf8Stream stream;
  std::string text = stream.push(bytes);
  return text += stream.finish();
}

}  // namespace mamba2
