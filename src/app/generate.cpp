// mamba2 generate: let a model go on with a text.
#include "commands.hpp"
#include "loading.hpp"
#include "npy.hpp"
#include "text.hpp"

#include <mamba2/generation.hpp>
#include <mamba2/parallel.hpp>

#include <nlohmann/json.hpp>

#include <algorithm>
#include <csignal>
#include <iostream>
#include <memory>
#include <optional>

namespace app {

namespace {

using Json = nlohmann::ordered_json;
using Ids = std::vector<std::int64_t>;

// Ctrl-C while a text is being written: the token at hand is the last. A second one ends the program at once.
volatile std::sig_atomic_t interrupted = 0;
extern "C" void stop_writing(int signal) {
  interrupted = 1;
  std::signal(signal, SIG_DFL);
}

const char* name_of(mamba2::Finish finish) {
  switch (finish) {
    case mamba2::Finish::stop:
      return "stop";
    case mamba2::Finish::interrupted:
      return "interrupted";
    case mamba2::Finish::length:
      break;
  }
  return "length";
}

struct Generate {
  std::string model, stop_ids;
  std::vector<std::string> prompts, ids;
  mamba2::GenerationOptions options;
  mamba2::WeightType weights = mamba2::WeightType::full;
  std::size_t threads = 0;
  bool json = false, only_new = false;

  void run() {
    if (threads > 0) mamba2::set_num_threads(threads);
    options.sampling.check();
    options.stop_ids = ids_of_argument("--stop-ids", stop_ids);
    read_prompts();
    const auto language_model = load(model, weights);
    mamba2::fit_to_model(options, language_model->config(), tokenizer ? &*tokenizer : nullptr);
    const bool streams = !json && inputs.size() == 1;
    if (streams) show_prompt(0);
    const auto results = mamba2::generate(*language_model, inputs, options, listener(streams));
    if (streams)
      std::cout << (stream ? stream->finish() : "") << "\n";
    else
      json ? print_json(results) : print_texts(results);
    if (interrupted != 0) {
      std::cout.flush();
      std::raise(SIGINT);  // so that the shell knows
    }
  }

 private:
  // Texts or ids, as tokens. With ids no tokenizer is needed.
  void read_prompts() {
    for (const std::string& argument : ids) {
      if (!argument.ends_with(".npy")) {
        inputs.push_back(ids_of_argument("--ids", argument));
        continue;
      }
      const auto rows = read_ids(argument);
      for (std::size_t i = 0; i < rows.shape(0); ++i) {
        const auto row = rows.begin() + static_cast<std::ptrdiff_t>(i * rows.shape(1));
        inputs.emplace_back(row, row + static_cast<std::ptrdiff_t>(rows.shape(1)));
      }
    }
    if (prompts.empty()) return;
    tokenizer = mamba2::load_tokenizer(model);
    for (std::string& prompt : prompts) {
      prompt = text_of_argument(prompt);
      inputs.push_back(tokenizer->encode(prompt));
    }
    stream.emplace(*tokenizer);
  }

  void show_prompt(std::size_t i) const {
    if (!only_new && tokenizer) std::cout << prompts[i] << std::flush;
  }

  mamba2::TokenListener listener(bool streams) {
    return [this, streams, first = true](std::size_t, std::int64_t id) mutable {
      if (std::exchange(first, false)) std::signal(SIGINT, stop_writing);
      if (streams && stream)
        std::cout << stream->push(id) << std::flush;
      else if (streams)
        std::cout << id << " " << std::flush;
      return interrupted == 0 && std::cout.good() ? mamba2::GoOn::yes : mamba2::GoOn::no;
    };
  }

  void print_texts(const std::vector<mamba2::Generated>& results) const {
    for (std::size_t i = 0; i < results.size(); ++i) {
      std::cout << (i == 0 ? "" : "\n") << "==> " << i + 1 << " of " << results.size() << " <==\n";
      show_prompt(i);
      if (tokenizer)
        std::cout << tokenizer->decode(results[i].ids);
      else
        for (const std::int64_t id : results[i].ids) std::cout << id << " ";
      std::cout << "\n";
    }
  }

  void print_json(const std::vector<mamba2::Generated>& results) const {
    Json list = Json::array();
    for (std::size_t i = 0; i < results.size(); ++i) {
      Json one = Json::object();
      if (tokenizer) one["prompt"] = prompts[i];
      if (tokenizer) one["text"] = tokenizer->decode(results[i].ids);
      one["prompt_ids"] = inputs[i];
      one["ids"] = results[i].ids;
      one["finish"] = name_of(results[i].finish);
      list.push_back(std::move(one));
    }
    std::cout << list.dump(2) << "\n";
  }

  std::vector<Ids> inputs;
  std::optional<mamba2::Tokenizer> tokenizer;
  std::optional<mamba2::StreamDecoder> stream;
};

void add_sampling_options(CLI::App& command, mamba2::GenerationOptions& options) {
  mamba2::SamplingOptions& sampling = options.sampling;
  const CLI::Validator whole = CLI::NonNegativeNumber.description("");
  command.add_option("-n,--max-new-tokens", options.max_new_tokens, "How many tokens at most (100)")
      ->type_name("N")
      ->check(whole);
  command.add_option("-t,--temperature", sampling.temperature,
                     "How bold: 0 always takes the likeliest token,\n1 follows the model, more is bolder (1)");
  command.add_option("--top-k", sampling.top_k, "Only the K likeliest tokens; 0: all (0)")
      ->type_name("K")
      ->check(whole);
  command
      .add_option("--top-p", sampling.top_p, "Only the likeliest tokens that together have\nprobability P; 1: all (1)")
      ->type_name("P");
  command.add_option("--min-p", sampling.min_p, "Only tokens at least P times as likely as the\nlikeliest; 0: all (0)")
      ->type_name("P");
  command.add_option("--repetition-penalty", sampling.repetition_penalty,
                     "Above 1: tokens that were there before become\nless likely (1)");
  command.add_option("--seed", options.seed, "The same seed writes the same text (0)")->type_name("N")->check(whole);
}

}  // namespace

void add_generate(CLI::App& cli) {
  CLI::App* command = cli.add_subcommand("generate", "Let a model go on with a text");
  command->description(
      "Let a model go on with a text. It appears as it is written; Ctrl-C ends it.\n\n"
      "  mamba2 generate --model mamba2-130m --prompt 'Mamba is a'\n"
      "  mamba2 generate --model mamba2-130m --prompt 'Mamba is a' --temperature 0.8 --top-p 0.95 --seed 7\n"
      "  mamba2 generate --model mamba2-130m --prompt - < FILE          go on with a file\n"
      "  mamba2 generate --model mamba2-130m --prompt One --prompt Two  several at once, as a batch\n"
      "  mamba2 generate --model mamba2-130m --ids 46,31834             without a tokenizer: ids in, ids out\n\n"
      "The options change the model's probabilities in this order: repetition penalty, temperature, top-k, top-p, "
      "min-p.\n");
  const auto generate = std::make_shared<Generate>();
  add_model_option(*command, generate->model);
  CLI::Option_group* what = command->add_option_group("the text");
  what->add_option("-p,--prompt", generate->prompts,
                   "How the text begins; - reads it from standard input.\nSeveral make a batch")
      ->type_name("TEXT")
      ->allow_extra_args(false);
  what->add_option("--ids", generate->ids, "The same as tokens: 12,7,99, or a .npy file")
      ->type_name("IDS")
      ->allow_extra_args(false);
  what->require_option(1);
  add_sampling_options(*command, generate->options);
  command->add_option("--stop-ids", generate->stop_ids, "Tokens that end a text, besides the model's own")
      ->type_name("IDS");
  add_algorithm_option(*command, generate->options.model.algorithm);
  command->add_option("--threads", generate->threads, "How many threads compute; as many as processors\nunless told")
      ->type_name("N")
      ->check(CLI::PositiveNumber.description(""));
  add_dtype_option(*command, generate->weights);
  command->add_flag("--only-new", generate->only_new, "Do not show the prompt again");
  command->add_flag("--json", generate->json, "As JSON, for programs, when all is written");
  command->callback([generate] { generate->run(); });
}

}  // namespace app
