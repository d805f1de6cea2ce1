// mamba2 logits: the scores of every token that could come next, after every token of a text.
#include "commands.hpp"
#include "loading.hpp"
#include "npy.hpp"
#include "text.hpp"

#include <algorithm>
#include <memory>

namespace app {

namespace {

struct Logits {
  std::string model, ids, text, output;
  mamba2::Algorithm algorithm = mamba2::Algorithm::chunked;
  mamba2::WeightType weights = mamba2::WeightType::full;

  void run() const {
    const auto tokens = ids.empty() ? tokens_of(text) : read_ids(ids);
    const auto model_ = load(model, weights);
    write_npy(output, model_->forward(tokens, {.algorithm = algorithm}));
  }
  mamba2::Tensor<std::int64_t, 2> tokens_of(const std::string& argument) const {
    const auto list = tokenizer_of(model).encode(text_of_argument(argument));
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
  add_algorithm_option(*command, logits->algorithm);
  add_dtype_option(*command, logits->weights);
  command->callback([logits] { logits->run(); });
}

}  // namespace app
