// A tokenizer.json, and behind a line "===" a text for it. Whatever is accepted takes the text apart and puts it together again.
#include "target.hpp"

#include <mamba2/error.hpp>
#include <mamba2/tokenizer.hpp>

#include <vector>

namespace {

void check_words(std::string_view text) {
  std::string together;
  for (const std::string_view word : mamba2::split_words(text)) {
    fuzz::promise(!word.empty(), "an empty word");
    together += word;
  }
  fuzz::promise(together == text, "words that are not the text");
  const std::string form = mamba2::normalized(text);
  fuzz::promise(mamba2::normalized(form) == form, "a normal form that is not normal");
}

void check_ids(const mamba2::Tokenizer& tokenizer, const std::vector<std::int64_t>& ids) {
  for (const std::int64_t id : ids)
    fuzz::promise(id >= 0 && static_cast<std::size_t>(id) < tokenizer.vocab_size(), "a number that no token has");
  for (const bool special : {false, true}) {
    for (const bool beginning : {false, true}) {
      const mamba2::DecodeOptions options{.special = special, .beginning = beginning};
      mamba2::StreamDecoder stream(tokenizer, options);
      std::string shown;
      for (const std::int64_t id : ids) shown += stream.push(id);
      shown += stream.finish();
      fuzz::promise(shown == tokenizer.decode(ids, options), "a text that differs when it is shown token by token");
    }
  }
}

}  // namespace

FUZZ_TARGET(tokenizer) {
  constexpr std::string_view mark = "\n===\n";
  const std::size_t end = bytes.find(mark);
  const mamba2::Tokenizer tokenizer(bytes.substr(0, end), fuzz::file);
  const std::string_view text =
      end == std::string_view::npos ? "caf\xc3\xa9 isn't\n  123 " : bytes.substr(end + mark.size());
  std::vector<std::int64_t> ids, plain;
  try {
    ids = tokenizer.encode(text);
    plain = tokenizer.encode(text, {.special_in_text = false, .around = false});
  } catch (const mamba2::ValueError&) {
    return;  // not UTF-8, or a byte without a token
  }
  check_words(text);
  check_ids(tokenizer, ids);
  check_ids(tokenizer, plain);
}
