// ## The program {#text_program}
//
// The program of this chapter loads the small model of the tests, with its tokenizer of 623 tokens.
// It cuts texts, filters a distribution, draws from it, and lets the model write.

#include <demo/demo.hpp>
#include <mamba2/error.hpp>
#include <mamba2/generation.hpp>
#include <mamba2/model_directory.hpp>
#include <mamba2/tokenizer.hpp>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <functional>

namespace {

using mamba2::Candidate;
using mamba2::Tokenizer;
using Ids = std::vector<std::int64_t>;

using demo::yes;

// A piece of text as it can be shown on one line: a dot for a space, an arrow for the end of a
// line, Unicode's pictures for what would control a terminal.

//: fold What it prints of texts and tokens
std::string visible(std::string_view bytes) {
  std::string text;
  for (const char byte : mamba2::mended_utf8(bytes)) {
    const auto code = static_cast<unsigned char>(byte);
    if (byte == ' ' || byte == '\n')
      text += byte == ' ' ? "\u00b7" : "\u2193";
    else
      text += code < 0x20 ? mamba2::utf8(0x2400u + code) : std::string(1, byte);
  }
  return text;
}

void show_way(const Tokenizer& tokenizer) {
  const auto model = mamba2::load_language_model<double>(TINY_MODEL);
  const std::string text = "The license";
  const Ids ids = tokenizer.encode(text);
  std::printf("[way]\ntext     \"%s\"\ntokens  ", text.c_str());
  for (const std::int64_t id : ids) std::printf(" |%s|", visible(tokenizer.bytes(id)).c_str());
  std::printf("\nids     ");
  for (const std::int64_t id : ids) std::printf(" %d", static_cast<int>(id));
  auto batch = mamba2::Tensor<std::int64_t, 2>::from_shape({1, ids.size()});
  std::copy(ids.begin(), ids.end(), batch.begin());
  auto cache = model.empty_cache(1);
  const auto scores = model.prefill(batch, cache);
  auto tokens = mamba2::candidates(std::span<const double>(scores.data(), tokenizer.vocab_size()));
  const auto p = mamba2::probabilities(tokens);
  mamba2::keep_top_k(tokens, 4);
  std::sort(tokens.begin(), tokens.end(), [](auto& a, auto& b) { return a.score > b.score; });
  std::printf("\nnext    ");
  for (const Candidate& token : tokens)
    std::printf(" |%s| %.3f  ", visible(tokenizer.bytes(token.id)).c_str(),
                p[static_cast<std::size_t>(token.id)]);
  std::printf("...\nchosen   |%s|, the likeliest\n", visible(tokenizer.bytes(tokens[0].id)).c_str());
}

void show_words() {
  std::printf("[words]\n");
  for (const char* text :
       {"The snake isn't here.", "x = 3.14;  # about pi", "if a:\n        return b  "}) {
    std::printf("|");
    for (const auto word : mamba2::split_words(text)) std::printf("%s|", visible(word).c_str());
    std::printf("\n");
  }
}

void show_tokens(const Tokenizer& tokenizer) {
  std::printf("[tokens]\n");
  for (const char* text : {"The licenses for most software", "Mamba", "caf\u00e9", "cafe\u0301",
                           "            12 spaces", "the end<|endoftext|>"}) {
    const Ids ids = tokenizer.encode(text);
    for (const std::int64_t id : ids) std::printf("%s|", visible(tokenizer.bytes(id)).c_str());
    std::printf("\n   ");
    for (const std::int64_t id : ids) std::printf(" %d", static_cast<int>(id));
    std::printf("\n");
  }
}

void show_indented(const Tokenizer& tokenizer) {
  std::printf("[indented]\n");
  for (const char* text : {"we return", "we        return"}) {
    std::printf("%s\n  words   |", visible(text).c_str());
    for (const auto word : mamba2::split_words(text)) std::printf("%s|", visible(word).c_str());
    std::printf("\n  tokens  |");
    for (const std::int64_t id : tokenizer.encode(text))
      std::printf("%s|", visible(tokenizer.bytes(id)).c_str());
    std::printf("\n");
  }
}

void show_stream(const Tokenizer& tokenizer) {
  std::printf("[stream]\n");
  const auto show = [&](const Ids& ids) {
    mamba2::StreamDecoder stream(tokenizer);
    std::string all;
    for (const std::int64_t id : ids) {
      const std::string ready = stream.push(id);
      std::printf("%3d: \"%s\"\n", static_cast<int>(id), ready.c_str());
      all += ready;
    }
    const std::string rest = stream.finish();
    std::printf("end: \"%s\"   the same as all at once: %s\n", rest.c_str(),
                yes(all + rest == tokenizer.decode(ids)));
  };
  const Ids snake = tokenizer.encode("a\U0001F40D");
  show(snake);
  show(Ids(snake.begin(), snake.end() - 1));
}

// Eight tokens, their scores made up.

//: fold Filters and draws
const std::vector<double> scores = {4.0, 3.2, 3.0, 1.9, 1.5, 0.4, -0.6, -2.0};

void show_filters() {
  std::printf("[filters]\n%-22s", "");
  for (std::size_t v = 0; v < scores.size(); ++v) std::printf("  token %zu", v);
  std::printf("\n");
  const auto show = [](const char* name, const std::function<void(std::vector<Candidate>&)>& filter) {
    auto tokens = mamba2::candidates(std::span<const double>(scores));
    filter(tokens);
    const auto p = mamba2::probabilities(tokens);
    std::vector<double> of_token(scores.size(), 0.0);
    for (std::size_t i = 0; i < tokens.size(); ++i)
      of_token[static_cast<std::size_t>(tokens[i].id)] = p[i];
    std::printf("%-22s", name);
    for (const double value : of_token)
      value > 0 ? std::printf("  %7.4f", value) : std::printf("        -");
    std::printf("\n");
  };
  show("the model's own", [](auto&) {});
  show("temperature 0.5", [](auto& t) { mamba2::apply_temperature(t, 0.5); });
  show("temperature 2", [](auto& t) { mamba2::apply_temperature(t, 2); });
  show("top-k 3", [](auto& t) { mamba2::keep_top_k(t, 3); });
  show("top-p 0.9", [](auto& t) { mamba2::keep_top_p(t, 0.9); });
  show("min-p 0.05", [](auto& t) { mamba2::keep_min_p(t, 0.05); });
  show("token 0 seen, 1.5", [](auto& t) { mamba2::penalize_repetition(t, {0}, 1.5); });
}

void show_draws() {
  std::printf("[draws]\n");
  auto tokens = mamba2::candidates(std::span<const double>(scores));
  mamba2::keep_top_p(tokens, 0.9);
  const auto p = mamba2::probabilities(tokens);
  std::vector<int> counts(scores.size(), 0);
  mamba2::Random random(11);
  constexpr int draws = 100000;
  for (int i = 0; i < draws; ++i) ++counts[static_cast<std::size_t>(mamba2::draw(tokens, random))];
  bool close = true;
  for (std::size_t i = 0; i < tokens.size(); ++i) {
    const double share = counts[static_cast<std::size_t>(tokens[i].id)] / static_cast<double>(draws);
    std::printf("token %d: probability %.4f, drawn %.4f\n", static_cast<int>(tokens[i].id), p[i],
                share);
    close = close && std::abs(share - p[i]) < 4 * std::sqrt(p[i] / draws);  // four standard deviations
  }
  std::printf("shares and probabilities agree to four standard deviations: %s\n", yes(close));
}

// Now a model writes that has learnt something: the book's own, a small one that has read this book
// (@chapter{training}). What can be proved about writing is proved with it as well: that the loop,
// step by step, gives what one pass over the whole text asks for, and that texts do not disturb
// each other.

void show_writing() {
  const auto directory =
      std::filesystem::path(__FILE__).parent_path().parent_path().parent_path() / "models/book";
  const auto model = mamba2::load_language_model<double>(directory);
  const Tokenizer tokenizer = mamba2::load_tokenizer(directory);
  const std::vector<Ids> prompts = {tokenizer.encode("The state of a head is"),
                                    tokenizer.encode("A chunk"), tokenizer.encode("Write the")};
  const auto show = [&](const char* name, const mamba2::GenerationOptions& options) {
    const auto result = mamba2::generate(model, {prompts[0]}, options);
    std::printf("%s:\n    %s\n", name, visible(tokenizer.decode(result[0].ids)).c_str());
    return result[0].ids;
  };
  std::printf("[writing]\n");
  mamba2::GenerationOptions options{.max_new_tokens = 24};
  options.sampling.temperature = 0;
  Ids text = show("greedy", options);
  options.sampling = {.temperature = 0.6, .top_p = 0.9};
  show("temperature 0.6, top-p 0.9, seed 0", options);
  options.seed = 1;
  show("temperature 0.6, top-p 0.9, seed 1", options);

  text.insert(text.begin(), prompts[0].begin(), prompts[0].end());
  auto ids = mamba2::Tensor<std::int64_t, 2>::from_shape({1, text.size()});
  std::copy(text.begin(), text.end(), ids.begin());
  const auto logits = model.forward(ids);
  bool same = true;
  for (std::size_t t = prompts[0].size(); t < text.size(); ++t) {
    const double* row = &logits(0, t - 1, 0);
    same = same && std::max_element(row, row + tokenizer.vocab_size()) - row == text[t];
  }
  std::printf("one pass over the whole text asks for the same greedy tokens: %s\n", yes(same));

  const auto together = mamba2::generate(model, prompts, options);
  same = true;
  for (std::size_t i = 0; i < prompts.size(); ++i) {
    mamba2::GenerationOptions alone = options;
    alone.seed += i;
    same = same && mamba2::generate(model, {prompts[i]}, alone)[0].ids == together[i].ids;
  }
  std::printf("three prompts of %zu, %zu and %zu tokens, together and alone, give the same texts: %s\n",
              prompts[0].size(), prompts[1].size(), prompts[2].size(), yes(same));
}

}  // namespace

int main() {
  const Tokenizer tokenizer = mamba2::load_tokenizer(TINY_MODEL);
  show_way(tokenizer);
  show_words();
  show_tokens(tokenizer);
  show_indented(tokenizer);
  show_stream(tokenizer);
  show_filters();
  show_draws();
  show_writing();
}

// What it writes after *The state of a head is*, and two proofs:
//
// @output writing
//
// ::: tryit
// `./book run text` runs it, and `build/bin/mamba2 generate --prompt "The state"` lets the same
// model write for you, another text each time. With a published model and GPT-NeoX's
// `tokenizer.json` in one directory, the same loop writes English:
//
// ```sh
// build/bin/mamba2 generate --model mamba2-130m --prompt "Mamba is a"
// ```
//
// Without more words it takes what most programs take: temperature 0.8, the 40 likeliest tokens, of
// those the ones that make up 0.95 of the probability, none below a twentieth of the likeliest. Try
// `--temperature 0` and see it run in circles; then add `--repetition-penalty 1.2`. What does
// `--temperature 2` do, and what does `--min-p 0.3` make of it? With `--prompt ''` the model begins
// by itself, and `--samples 3` shows three beginnings. `mamba2 score --model mamba2-130m FILE` says
// how well it predicts a text of yours, in bits per byte.
// :::
//
// ## What has not changed {#text_unchanged}
//
// The model. Tokenizer and sampler stand before and behind it, and neither knows what is in
// between: with a transformer of the same vocabulary both would be the same, line for line. What is
// Mamba's own is the loop between them. A prompt of any length becomes a cache of one size, a token
// costs the same whether it is the tenth or the millionth, and texts of unequal length go together
// without padding.
//
// ## Exercises {#text_exercises}
//
// ::: exercise 1 Merge
// A word and a list of merges are given, as texts. Merge the word as the list says, and return its
// tokens. The plain loop will do.
// :::
//
// ::: exercise 2 Two orders
// Temperature and min-p can act in either order, and libraries do not agree. Scores, a temperature
// and a $p$ are given. Return both: the probabilities from which a token is drawn if the
// temperature comes first, and if min-p does. Which of the two lets more tokens in at a temperature
// of 2?
// :::
//
// ::: exercise 3 Bits per byte
// Scores are given for each place of a text, the tokens that came, and the bytes of each token.
// Return how many bits per byte a compressor with these predictions would need.
// :::
//
// ::: exercise 4 Stop texts across tokens
// Pieces of a text come one after the other. Say after each what can be shown by now, if the text
// ends where a stop text begins, wherever that lies between the pieces.
// :::
//
// ::: exercise 5 Learn merges
// An exercise for an evening. Different words are given, and how often each occurs in a text. Learn
// the merges, and so fast that ten thousand words and three thousand merges take a second or
// two. When it is right, the verdict shows what it has learnt from the page that you are reading.
// :::
//
// ## Further reading {#text_reading}
//
// - [@sennrich2016]: byte-pair encoding of words.
// - [@radford2019], section 2.2, for bytes instead of letters, and for the cut into words.
// - [@black2022], section 3.2, for the tokenizer of the published models: why runs of spaces have
//   tokens of their own.
// - The [Unicode standard](https://www.unicode.org/versions/latest/), *Conformance*, for UTF-8 and
//   what to do about broken text; its [annex 15](https://www.unicode.org/reports/tr15/) for normal
//   forms.
// - [@holtzman2020], for what is wrong with the likeliest text, with plots; [@minh2024] for min-p.
