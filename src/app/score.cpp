// mamba2 score: how well a model predicts a text.
#include "commands.hpp"
#include "loading.hpp"
#include "numbers.hpp"
#include "text.hpp"

#include <mamba2/cross_entropy.hpp>
#include <mamba2/error.hpp>
#include <mamba2/generation.hpp>
#include <mamba2/parallel.hpp>

#include <nlohmann/json.hpp>

#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <memory>
#include <optional>

namespace app {

namespace {

using Ids = std::vector<std::int64_t>;

// Predicts a text that comes piece by piece; what is kept is one piece and the model's memory of what came before.
class Judge {
 public:
  Judge(const mamba2::Predictor<float>& model, const mamba2::LanguageModelOptions& options)
      : model_(model), options_(options), cache_(model.empty_cache(1)) {}

  void add(const Ids& ids) {
    waiting_.insert(waiting_.end(), ids.begin(), ids.end());
    while (waiting_.size() > options_.piece) predict(options_.piece);
  }
  mamba2::CrossEntropy finish() {
    if (waiting_.size() > 1) predict(waiting_.size() - 1);
    return sum_;
  }

 private:
  // Each of the next tokens from what stands before it. The last one is read with the next piece.
  void predict(std::size_t count) {
    auto read = mamba2::Tensor<std::int64_t, 2>::from_shape({1, count}), next = read;
    const auto begin = waiting_.begin(), end = begin + static_cast<std::ptrdiff_t>(count);
    std::copy(begin, end, read.begin());
    std::copy(begin + 1, end + 1, next.begin());
    sum_ += mamba2::cross_entropy(model_.forward(read, cache_, options_), next);
    waiting_.erase(begin, end);
  }

  const mamba2::Predictor<float>& model_;
  mamba2::LanguageModelOptions options_;
  mamba2::LanguageModelCache<float> cache_;
  Ids waiting_;
  mamba2::CrossEntropy sum_;
};

struct Score {
  std::string model, file;
  mamba2::LanguageModelOptions options;
  mamba2::WeightType weights = mamba2::WeightType::full;
  std::size_t threads = 0;
  bool special = false, json = false;

  void run() {
    if (threads > 0) mamba2::set_num_threads(threads);
    const auto tokenizer = tokenizer_of(model);
    std::ifstream opened;
    if (file != "-") {
      if (std::filesystem::is_directory(file)) throw mamba2::FileError(file + ": is a directory");
      opened.open(file, std::ios::binary);
      if (!opened) throw mamba2::FileError(file + ": cannot be opened");
    }
    const auto language_model = load(model, weights);
    mamba2::GenerationOptions found;
    mamba2::fit_to_model(found, language_model->config(), &tokenizer);
    read(file == "-" ? std::cin : opened, tokenizer, found.beginning, Judge(*language_model, options));
  }

 private:
  // The first token is predicted too, where there is one that texts begin with: it is put before them.
  void read(std::istream& text, const mamba2::Tokenizer& tokenizer, std::optional<std::int64_t> beginning,
            Judge judge) {
    mamba2::StreamEncoder encoder(tokenizer, {.special_in_text = special});
    std::size_t bytes = 0;
    bool first = true;
    const auto add = [&](const Ids& ids) {
      if (ids.empty()) return;
      if (std::exchange(first, false) && !tokenizer.is_special(ids.front())) {
        if (beginning)
          judge.add({*beginning});
        else
          bytes -= tokenizer.bytes(ids.front()).size();
      }
      judge.add(ids);
    };
    std::string piece(std::size_t{1} << 16, '\0');
    while (text.read(piece.data(), static_cast<std::streamsize>(piece.size())), text.gcount() > 0) {
      const auto count = static_cast<std::size_t>(text.gcount());
      bytes += count;
      add(encoder.push(std::string_view(piece).substr(0, count)));
    }
    if (text.bad()) throw mamba2::FileError(file + ": cannot be read");
    add(encoder.finish());
    const mamba2::CrossEntropy sum = judge.finish();
    if (sum.tokens == 0) throw mamba2::ValueError(file + ": expected a text, got nothing that could be predicted");
    print(sum, bytes);
  }

  void print(const mamba2::CrossEntropy& sum, std::size_t bytes) const {
    if (json) {
      const nlohmann::ordered_json line = {{"tokens", sum.tokens},
                                           {"bytes", bytes},
                                           {"nats_per_token", sum.mean()},
                                           {"perplexity", sum.perplexity()},
                                           {"bits_per_byte", sum.bits_per_byte(bytes)}};
      std::cout << line.dump() << "\n";
      return;
    }
    char text[300];
    std::snprintf(text, sizeof text,
                  "tokens              %zu\nbytes               %zu\nnats per token      %.4f\n"
                  "perplexity          %.4g\nbits per byte       %.4f\n",
                  sum.tokens, bytes, sum.mean(), sum.perplexity(), sum.bits_per_byte(bytes));
    std::cout << text;
  }
};

}  // namespace

void add_score(CLI::App& cli) {
  CLI::App* command = cli.add_subcommand("score", "Say how well a model predicts a text");
  command->description(
      "Say how well a model predicts a text of any length: nats per token, perplexity, bits per byte. Less is better.\n"
      "The text is read piece by piece, and needs no more memory the longer it is. It is predicted from its first\n"
      "token on, with <|endoftext|> before it, or what the model's texts begin with otherwise.\n\n"
      "  mamba2 score --model mamba2-130m FILE\n"
      "  zcat FILE.gz | mamba2 score --model mamba2-130m -\n\n"
      "Bits per byte can be compared between models of any vocabulary, and with what compressors need;\n"
      "the other two between models with one tokenizer.\n");
  const auto score = std::make_shared<Score>();
  add_model_option(*command, score->model);
  command->add_option("file", score->file, "A text; - reads it from standard input")->required()->type_name("FILE");
  command->add_flag("--special", score->special, "<|endoftext|> and its like in the text are those tokens");
  add_whole(*command, "--piece", score->options.piece,
            "How many tokens are read at once (512): changes memory\nand speed, not the result", 1, 1 << 20);
  add_algorithm_option(*command, score->options.algorithm);
  add_threads_option(*command, score->threads);
  add_dtype_option(*command, score->weights);
  command->add_flag("--json", score->json, "As JSON, for programs");
  command->callback([score] { score->run(); });
}

}  // namespace app
