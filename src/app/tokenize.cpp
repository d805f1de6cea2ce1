// mamba2 tokenize: a text as tokens, and tokens as a text.
#include "commands.hpp"
#include "loading.hpp"
#include "numbers.hpp"
#include "text.hpp"

#include <nlohmann/json.hpp>

#include <iostream>
#include <memory>
#include <optional>

namespace app {

namespace {

using Json = nlohmann::ordered_json;

struct Tokenize {
  std::string model;
  std::optional<std::string> text;
  std::vector<std::string> decode;
  bool json = false, special = false;

  void run() const {
    if (text.has_value() != decode.empty()) throw CLI::ValidationError("expected either a TEXT or --decode IDS");
    std::vector<std::int64_t> ids;
    for (const std::string& argument : decode)
      for (const std::int64_t id : ids_of("--decode", text_of_argument(argument))) ids.push_back(id);
    const auto tokenizer = tokenizer_of(model);
    if (text) ids = tokenizer.encode(text_of_argument(*text), {.special_in_text = special});
    if (json)
      print_json(tokenizer, ids);
    else if (decode.empty())
      print_ids(ids);
    else
      show(tokenizer.decode(ids) + "\n");
  }

  static void print_ids(const std::vector<std::int64_t>& ids) {
    for (std::size_t i = 0; i < ids.size(); ++i) std::cout << (i == 0 ? "" : " ") << ids[i];
    std::cout << "\n";
  }

  static void print_json(const mamba2::Tokenizer& tokenizer, const std::vector<std::int64_t>& ids) {
    Json tokens = Json::array();
    for (const std::int64_t id : ids) tokens.push_back(mamba2::mended_utf8(tokenizer.bytes(id)));
    std::cout << Json{{"text", tokenizer.decode(ids)}, {"ids", ids}, {"tokens", tokens}}.dump() << "\n";
  }
};

}  // namespace

void add_tokenize(CLI::App& cli) {
  CLI::App* command = cli.add_subcommand("tokenize", "Turn a text into tokens, or tokens into a text");
  command->description(
      "Turn a text into the numbers of its tokens, or such numbers into a text.\n\n"
      "  mamba2 tokenize --model mamba2-130m 'Mamba is a'\n"
      "  mamba2 tokenize --model mamba2-130m --json 'Mamba is a'     each token's text as well\n"
      "  mamba2 tokenize --model mamba2-130m --decode 46,31834\n"
      "  mamba2 tokenize --model mamba2-130m - < FILE                the text of a file\n"
      "  mamba2 tokenize --model mamba2-130m -- '-x'                 a text that begins with a dash\n");
  const auto tokenize = std::make_shared<Tokenize>();
  add_model_option(*command, tokenize->model);
  command->add_option("text", tokenize->text, "A text; - reads it from standard input")->type_name("TEXT");
  command
      ->add_option("--decode", tokenize->decode, "Numbers of tokens, such as 12,7,99; - reads them from standard input")
      ->type_name("IDS");
  command->add_flag("--special", tokenize->special, "<|endoftext|> and its like in the text are those tokens");
  command->add_flag("--json", tokenize->json, "As JSON, for programs: text, ids, and the text of each token");
  command->callback([tokenize] { tokenize->run(); });
}

}  // namespace app
