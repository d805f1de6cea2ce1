// mamba2 generate: let a model go on with a text.
#include "commands.hpp"
#include "loading.hpp"
#include "npy.hpp"
#include "numbers.hpp"
#include "text.hpp"

#include <mamba2/generation.hpp>
#include <mamba2/parallel.hpp>

#include <nlohmann/json.hpp>

#include <chrono>
#include <csignal>
#include <iostream>
#include <memory>
#include <optional>
#include <random>

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

// How many tokens there were in how much time, from the first on: the time that the prompt takes is another question.
class Clock {
 public:
  void token() {
    if (tokens_++ == 0) start_ = std::chrono::steady_clock::now();
  }
  std::string report() const {
    const std::chrono::duration<double> time = std::chrono::steady_clock::now() - start_;
    char text[80];
    if (tokens_ < 2)
      std::snprintf(text, sizeof text, "%zu tokens", tokens_);
    else
      std::snprintf(text, sizeof text, "%zu tokens, %.1f tokens/s", tokens_,
                    static_cast<double>(tokens_ - 1) / time.count());
    return text;
  }

 private:
  std::size_t tokens_ = 0;
  std::chrono::steady_clock::time_point start_;
};

// A text while it is written: what of it is certain to stand before a stop text.
struct Written {
  mamba2::StreamDecoder decoder;
  mamba2::StopTexts stops;
  std::string text = {};

  std::string push(std::int64_t id) { return add(stops.push(decoder.push(id))); }
  std::string finish() { return add(stops.push(decoder.finish()) + stops.finish()); }

 private:
  std::string add(const std::string& more) {
    text += more;
    return more;
  }
};

struct Generate {
  std::string model, stop_ids, load_from, save_to;
  std::vector<std::string> prompts, files, ids, stops;
  mamba2::GenerationOptions options{.sampling = {.temperature = 0.8, .top_k = 40, .top_p = 0.95, .min_p = 0.05}};
  std::optional<std::uint64_t> seed;
  mamba2::WeightType weights = mamba2::WeightType::full;
  std::size_t threads = 0;
  bool json = false, only_new = false, special = false, quiet = false;

  void run() {
    options.stop_ids = ids_of("--stop-ids", stop_ids);
    options.seed = seed ? *seed : std::random_device()();
    if (threads > 0) mamba2::set_num_threads(threads);
    read_prompts();
    const auto language_model = load(model, weights);
    mamba2::fit_to_model(options, language_model->config(), tokenizer ? &*tokenizer : nullptr);
    begin();
    std::vector<mamba2::TextState<float>> states;
    const bool keeps = !load_from.empty() || !save_to.empty();
    const std::uint64_t mark = keeps ? mamba2::fingerprint(mamba2::open_model(model)) : 0;
    if (!load_from.empty()) states.push_back(mamba2::load_state(load_from, *language_model, mark));
    const auto results = mamba2::generate(*language_model, inputs, options, listener(), keeps ? &states : nullptr);
    finish(results);
    if (!save_to.empty()) mamba2::save_state(save_to, std::move(states.at(0)), mark);
    if (!quiet && !json) std::cerr << "[" << seed_text() << clock.report() << "]\n";
    if (interrupted != 0) {
      std::cout.flush();
      std::raise(SIGINT);  // so that the shell knows
    }
  }

 private:
  // Texts or ids, as tokens. With ids a tokenizer is not needed; where there is one it knows the end of a text.
  void read_prompts() {
    for (std::string& prompt : prompts)
      if (prompt == "-") prompt = without_last_newline(text_of_argument(prompt));
    for (const std::string& file : files) prompts.push_back(without_last_newline(text_of_file(file)));
    for (const std::string& argument : ids) read_ids_of(argument);
    const bool nothing = prompts.empty() && ids.empty();
    if (nothing && load_from.empty()) throw CLI::ValidationError("expected --prompt, --file or --ids");
    tokenizer = prompts.empty() ? tokenizer_if_any(model) : tokenizer_of(model);
    texts = ids.empty() && tokenizer;
    if (nothing && texts) prompts.emplace_back();
    if (nothing && !texts) inputs.emplace_back();
    if (!tokenizer && !stops.empty())
      throw mamba2::FileError(model + ": has no tokenizer.json, so --stop cannot know what is written");
    for (const std::string& prompt : prompts)
      inputs.push_back(tokenizer->encode(prompt, {.special_in_text = special, .around = load_from.empty()}));
    check_states();
  }

  void check_states() const {
    const std::string expected = "expected one text, got several";
    if (!load_from.empty() && inputs.size() > 1) throw CLI::ValidationError("--load-state", expected);
    if (!save_to.empty() && inputs.size() * options.samples > 1) throw CLI::ValidationError("--save-state", expected);
  }

  void read_ids_of(const std::string& argument) {
    if (!argument.ends_with(".npy")) {
      inputs.push_back(ids_of("--ids", argument));
      return;
    }
    const auto rows = read_ids(argument);
    for (std::size_t i = 0; i < rows.shape(0); ++i) {
      const auto row = rows.begin() + static_cast<std::ptrdiff_t>(i * rows.shape(1));
      inputs.emplace_back(row, row + static_cast<std::ptrdiff_t>(rows.shape(1)));
    }
  }

  // One text is shown as it is written; of several, each when all are complete.
  bool streams() const { return !json && inputs.size() * options.samples == 1; }

  void begin() {
    for (std::size_t i = 0; tokenizer && i < inputs.size() * options.samples; ++i) {
      const mamba2::DecodeOptions decoding{.special = special,
                                           .beginning = inputs[i / options.samples].empty() && load_from.empty()};
      written.push_back({mamba2::StreamDecoder(*tokenizer, decoding), mamba2::StopTexts(stops)});
    }
  }

  void show_prompt(std::size_t i) const {
    if (!only_new && texts) show(prompts[i / options.samples]);
  }

  mamba2::TokenListener listener() {
    return [this](std::size_t number, std::int64_t id) {
      if (std::exchange(begins, false)) {
        std::signal(SIGINT, stop_writing);
        if (streams()) show_prompt(0);  // now that nothing is left to be refused
      }
      clock.token();
      const std::string more = tokenizer ? written[number].push(id) : "";
      if (json)
        print(texts ? Json{{"number", number}, {"id", id}, {"text", more}} : Json{{"number", number}, {"id", id}});
      else if (streams())
        show(texts ? more : std::to_string(id) + " ");
      std::cout << std::flush;
      if (interrupted != 0 || !std::cout.good()) return mamba2::GoOn::no;
      return tokenizer && written[number].stops.found() ? mamba2::GoOn::others : mamba2::GoOn::yes;
    };
  }

  void finish(const std::vector<mamba2::Generated>& results) {
    for (std::size_t i = 0; i < results.size(); ++i) {
      const std::string rest = tokenizer ? written[i].finish() : "";
      if (json) {
        print(end_of(i, results[i]));
      } else if (streams()) {
        if (begins) show_prompt(0);
        show((texts ? rest : "") + "\n");
      } else {
        std::cout << (i == 0 ? "" : "\n") << "==> " << i + 1 << " of " << results.size() << " <==\n";
        show_prompt(i);
        if (texts) show(written[i].text);
        for (const std::int64_t id : texts ? Ids() : results[i].ids) std::cout << id << " ";
        std::cout << "\n";
      }
    }
  }

  // The last line on a text says all that there is to say of it.
  Json end_of(std::size_t i, const mamba2::Generated& result) const {
    Json line = {{"number", i}, {"finish", name_of(result.finish)}, {"seed", options.seed + i}};
    if (texts) line.update({{"prompt", prompts[i / options.samples]}, {"text", written[i].text}});
    line.update({{"prompt_ids", inputs[i / options.samples]}, {"ids", result.ids}});
    return line;
  }

  static void print(const Json& line) { std::cout << line.dump() << "\n"; }

  // Who likes a text can have it again.
  std::string seed_text() const {
    return options.sampling.temperature == 0 ? "" : "seed " + std::to_string(options.seed) + ", ";
  }

  bool texts = true;   // prompts are texts, else ids
  bool begins = true;  // no token was written yet
  std::vector<Ids> inputs;
  std::optional<mamba2::Tokenizer> tokenizer;
  std::vector<Written> written;  // where there is a tokenizer
  Clock clock;
};

void add_text_options(CLI::App& command, Generate& generate) {
  CLI::Option_group* what = command.add_option_group("the text");
  const auto add = [&](const std::string& name, std::vector<std::string>& texts, const std::string& help,
                       const std::string& type) {
    return what->add_option(name, texts, help)->type_name(type)->allow_extra_args(false);
  };
  add("-p,--prompt", generate.prompts,
      "How the text begins; - reads it from standard input;\n'' lets the model begin. Several make a batch", "TEXT");
  add("-f,--file", generate.files, "The same from a file", "FILE");
  add("--ids", generate.ids, "The same as tokens: 12,7,99, or a .npy file", "IDS");
  what->require_option(0, 1);
  command.add_flag("--special", generate.special,
                   "<|endoftext|> and its like in the text are those tokens,\nand are shown where they are written");
}

void add_sampling_options(CLI::App& command, Generate& generate) {
  mamba2::SamplingOptions& sampling = generate.options.sampling;
  add_real(command, "-t,--temperature", sampling.temperature,
           "How bold: 0 always takes the likeliest token,\n1 follows the model, more is bolder (0.8)", 0, 1000);
  add_whole(command, "--top-k", sampling.top_k, "Only the K likeliest tokens; 0: all (40)")->type_name("K");
  add_real(command, "--top-p", sampling.top_p,
           "Only the likeliest tokens that together have\nprobability P; 1: all (0.95)", 0, 1, false)
      ->type_name("P");
  add_real(command, "--min-p", sampling.min_p,
           "Only tokens at least P times as likely as the\nlikeliest; 0: all (0.05)", 0, 1)
      ->type_name("P");
  add_real(command, "--repetition-penalty", sampling.repetition_penalty,
           "Above 1: tokens that were there before, in the\nprompt or since, become less likely (1)", 0.01, 100);
  command
      .add_option_function<std::string>(
          "--seed",
          [&generate](const std::string& text) {
            generate.seed = whole_of("--seed", text, 0, std::numeric_limits<std::uint64_t>::max());
          },
          "The same seed writes the same text; without it one\nis drawn, and shown at the end")
      ->type_name("N");
}

void add_end_options(CLI::App& command, Generate& generate) {
  add_whole(command, "-n,--max-new-tokens", generate.options.max_new_tokens, "How many tokens at most (100)");
  command
      .add_option("--stop", generate.stops, "A text that ends the text, and is left out;\nmay be given several times")
      ->type_name("TEXT")
      ->allow_extra_args(false);
  command.add_option("--stop-ids", generate.stop_ids, "Tokens that end a text, besides the model's own")
      ->type_name("IDS");
  add_whole(command, "--samples", generate.options.samples, "How many texts of each prompt (1)", 1, 10000);
}

}  // namespace

void add_generate(CLI::App& cli) {
  CLI::App* command = cli.add_subcommand("generate", "Let a model go on with a text");
  command->description(
      "Let a model go on with a text. It appears as it is written; Ctrl-C ends it.\n\n"
      "  mamba2 generate --model mamba2-130m --prompt 'Mamba is a'\n"
      "  mamba2 generate --model mamba2-130m --prompt 'Mamba is a' --temperature 1 --top-p 0.9 --seed 7\n"
      "  mamba2 generate --model mamba2-130m --prompt 'Q: Why?\\nA:' --stop 'Q:' --samples 3\n"
      "  mamba2 generate --model mamba2-130m --file FILE                go on with a file\n"
      "  mamba2 generate --model mamba2-130m --prompt ''                begin from nothing\n"
      "  mamba2 generate --model mamba2-130m --prompt One --prompt Two  several at once, as a batch\n"
      "  mamba2 generate --model mamba2-130m --ids 46,31834             without a tokenizer: ids in, ids out\n"
      "  mamba2 generate --model mamba2-130m --file BOOK -n 0 --save-state STATE\n"
      "  mamba2 generate --model mamba2-130m --load-state STATE         go on with it, without reading it again\n\n"
      "The options change the model's probabilities in this order: repetition penalty, temperature, top-k, top-p, "
      "min-p.\n");
  const auto generate = std::make_shared<Generate>();
  add_model_option(*command, generate->model);
  add_text_options(*command, *generate);
  add_end_options(*command, *generate);
  add_sampling_options(*command, *generate);
  command->add_option("--save-state", generate->save_to, "Where to put what the model remembers of the text then")
      ->type_name("FILE");
  command->add_option("--load-state", generate->load_from, "Go on from such a file; the text is put at its end")
      ->type_name("FILE");
  add_algorithm_option(*command, generate->options.model.algorithm);
  add_threads_option(*command, generate->threads);
  add_dtype_option(*command, generate->weights);
  command->add_flag("--only-new", generate->only_new, "Do not show the prompt again");
  command->add_flag("--json", generate->json,
                    "As lines of JSON, for programs: one for each token,\nand one with \"finish\" for each text");
  command->add_flag("-q,--quiet", generate->quiet, "Do not say seed and speed on standard error");
  command->callback([generate] { generate->run(); });
}

}  // namespace app
