// mamba2 logits: the scores of every token that could come next, after every token of a text.
#include "commands.hpp"
#include "loading.hpp"
#include "npy.hpp"
#include "numbers.hpp"
#include "text.hpp"

#include <mamba2/error.hpp>
#include <mamba2/parallel.hpp>

#include <algorithm>
#include <memory>
#include <optional>

namespace app {

namespace {

struct Logits {
  std::string model, ids, text, output;
  mamba2::LanguageModelOptions options;
  mamba2::WeightType weights = mamba2::WeightType::full;
  std::size_t threads = 0;
  bool last = false, special = false;

  void run() const {
    if (threads > 0) mamba2::set_num_threads(threads);
    const auto tokens = ids.empty() ? tokens_of(text) : read_ids(ids);
    if (tokens.size() == 0) throw mamba2::ValueError("text: expected at least one token, got none");
    const auto language_model = load(model, weights);
    last ? write_last(*language_model, tokens) : write_all(*language_model, tokens);
  }

 private:
  void write_last(const mamba2::Predictor<float>& from, const mamba2::Tensor<std::int64_t, 2>& tokens) const {
    auto cache = from.empty_cache(tokens.shape(0));
    const auto scores = from.prefill(tokens, cache, options);
    NewNpy file(output, {scores.shape(0), scores.shape(1)});
    file.write({scores.data(), scores.size()});
    file.commit();
  }
  // In pieces, so that the scores of a long text are never all in memory: one text after the other then.
  void write_all(const mamba2::Predictor<float>& from, const mamba2::Tensor<std::int64_t, 2>& tokens) const {
    const std::size_t batch = tokens.shape(0), seqlen = tokens.shape(1);
    const bool at_once = tokens.size() <= options.piece;
    std::optional<NewNpy> file;
    const auto write = [&](const mamba2::Tensor<float, 3>& scores) {
      if (!file) file.emplace(output, std::vector{batch, seqlen, scores.shape(2)});
      file->write({scores.data(), scores.size()});
    };
    if (at_once) write(from.forward(tokens, options));
    for (std::size_t text_number = 0; text_number < batch && !at_once; ++text_number) {
      auto cache = from.empty_cache(1);
      for (std::size_t first = 0; first < seqlen; first += options.piece) {
        const std::size_t count = std::min(options.piece, seqlen - first);
        auto piece = mamba2::Tensor<std::int64_t, 2>::from_shape({1, count});
        std::copy_n(&tokens(text_number, first), count, piece.begin());
        write(from.forward(piece, cache, options));
      }
    }
    file->commit();
  }
  mamba2::Tensor<std::int64_t, 2> tokens_of(const std::string& argument) const {
    const auto list = tokenizer_of(model).encode(text_of_argument(argument), {.special_in_text = special});
    auto tokens = mamba2::Tensor<std::int64_t, 2>::from_shape({1, list.size()});
    std::copy(list.begin(), list.end(), tokens.begin());
    return tokens;
  }
};

}  // namespace

void add_logits(CLI::App& cli) {
  CLI::App* command = cli.add_subcommand("logits", "Write the scores after every token of a text to a file");
  command->description(
      "Write the scores after every token of a text to a file.\n\n"
      "The file is an array of NumPy's format, float32, of shape (batch, seqlen, vocab): for each token of each text "
      "a\n"
      "score for every token that could come next. The vocabulary is as wide as the model's head, padding included.\n\n"
      "  mamba2 logits --model mamba2-130m --ids ids.npy --output logits.npy\n"
      "  mamba2 logits --model mamba2-130m --text 'Mamba is a' --output logits.npy\n");
  const auto logits = std::make_shared<Logits>();
  add_model_option(*command, logits->model);
  CLI::Option_group* what = command->add_option_group("the text");
  what->add_option("--ids", logits->ids, "Tokens: a .npy file of whole numbers, (seqlen) or (batch, seqlen)")
      ->type_name("FILE.npy");
  what->add_option("--text", logits->text, "A text; - reads it from standard input")->type_name("TEXT");
  what->require_option(1);
  command->add_option("-o,--output", logits->output, "Where the scores go")->type_name("FILE.npy")->required();
  command->add_flag("--last", logits->last,
                    "Only the scores after the last token of each text,\nof shape (batch, vocab)");
  command->add_flag("--special", logits->special, "<|endoftext|> and its like in the text are those tokens");
  add_whole(*command, "--piece", logits->options.piece,
            "How many tokens are read at once (512): changes memory\nand speed, not the result", 1, 1 << 20);
  add_algorithm_option(*command, logits->options.algorithm);
  add_threads_option(*command, logits->threads);
  add_dtype_option(*command, logits->weights);
  command->callback([logits] { logits->run(); });
}

}  // namespace app
