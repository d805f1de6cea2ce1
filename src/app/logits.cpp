// mamba2 logits: the scores of every token that could come next, after every token of a text.
#include "commands.hpp"
#include "loading.hpp"
#include "npy.hpp"

#include <memory>

namespace app {

namespace {

struct Logits {
  std::string model, ids, output;
  mamba2::Algorithm algorithm = mamba2::Algorithm::chunked;

  void run() const {
    const auto tokens = read_ids(ids);
    const auto model_ = load(model);
    write_npy(output, model_.forward(tokens, {.algorithm = algorithm}));
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
      "  mamba2 logits --model mamba2-130m --ids ids.npy --output logits.npy\n");
  const auto logits = std::make_shared<Logits>();
  add_model_option(*command, logits->model);
  command->add_option("--ids", logits->ids, "Tokens: a .npy file of whole numbers, (seqlen) or (batch, seqlen)")
      ->type_name("FILE.npy")
      ->required();
  command->add_option("-o,--output", logits->output, "Where the scores go")->type_name("FILE.npy")->required();
  add_algorithm_option(*command, logits->algorithm);
  command->callback([logits] { logits->run(); });
}

}  // namespace app
