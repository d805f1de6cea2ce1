// mamba2 train: teach a model a text of one's own.
#include "commands.hpp"

#include <mamba2/cross_entropy.hpp>
#include <mamba2/generation.hpp>
#include <mamba2/mapped_file.hpp>
#include <mamba2/model_directory.hpp>
#include <mamba2/parallel.hpp>
#include <mamba2/tokenizer.hpp>
#include <mamba2/training_checkpoint.hpp>

#include <algorithm>
#include <array>
#include <chrono>
#include <cmath>
#include <csignal>
#include <cstdio>
#include <filesystem>
#include <iostream>
#include <memory>
#include <optional>
#include <sstream>

#include <unistd.h>

namespace app {

namespace {

using Path = std::filesystem::path;
using Ids = std::vector<std::int64_t>;
using mamba2::TrainingOptions;

// Ctrl-C: the step at hand is the last, then all is saved. A second one ends the program at once.
volatile std::sig_atomic_t stopped = 0;
extern "C" void stop_training(int signal) {
  stopped = signal;
  std::signal(signal, SIG_DFL);
}

const std::string end_of_text = "<|endoftext|>";

struct Size {
  const char* name;
  std::size_t d_model, n_layer, d_state, headdim;
};
constexpr std::array<Size, 4> sizes{
    {{"200k", 64, 5, 32, 16}, {"1m", 128, 8, 64, 32}, {"4m", 256, 9, 64, 32}, {"16m", 512, 10, 64, 64}}};

std::string number(double value, int digits) {
  std::array<char, 40> text{};
  std::snprintf(text.data(), text.size(), "%.*f", digits, value);
  return text.data();
}

std::string clock_text(double seconds) {
  const auto s = static_cast<long>(std::max(0.0, std::ceil(seconds)));
  std::array<char, 40> text{};
  if (s < 3600)
    std::snprintf(text.data(), text.size(), "%ld:%02ld", s / 60, s % 60);
  else
    std::snprintf(text.data(), text.size(), "%ld:%02ld:%02ld", s / 3600, s / 60 % 60, s % 60);
  return text.data();
}

// The texts of files, and of all files in directories, in the order of their names; an end of text between them.
class Text {
 public:
  explicit Text(const std::vector<std::string>& names) {
    for (const std::string& name : names) add(name);
    if (left_out_ > 0) std::cout << "left out: " << left_out_ << " files that are no text in UTF-8\n";
    if (text_.empty()) throw mamba2::FileError(names.front() + ": no text in it");
  }
  const std::string& text() const { return text_; }

 private:
  // A file that was named has to be a text. Of a directory those files are taken that are, hidden ones left out.
  void add(const Path& path) {
    if (!std::filesystem::is_directory(path)) return append(read(path));
    std::vector<Path> inside;
    for (auto it = std::filesystem::recursive_directory_iterator(path); it != end(it); ++it) {
      const bool hidden = it->path().filename().string().starts_with('.');
      if (hidden && it->is_directory()) it.disable_recursion_pending();
      if (!hidden && it->is_regular_file()) inside.push_back(it->path());
    }
    std::sort(inside.begin(), inside.end());
    for (const Path& file : inside) try {
        append(read(file));
      } catch (const mamba2::FileError&) {
        ++left_out_;
      }
  }
  static std::string read(const Path& path) {
    std::string text = mamba2::read_text_file(path, std::size_t{1} << 31);
    for (std::size_t at = 0; at < text.size();) {
      const auto character = mamba2::next_character(text, at);
      if (character.kind != mamba2::Utf8Character::Kind::whole)
        throw mamba2::FileError(path.string() + ": is no text in UTF-8, at byte " + std::to_string(at));
      at += character.length;
    }
    return text;
  }
  void append(const std::string& text) {
    if (!text_.empty() && !text.empty()) text_ += end_of_text;
    text_ += text;
  }
  std::size_t left_out_ = 0;
  std::string text_;
};

struct Train {
  // What the command line says. What it does not say is left out, so that contradictions can be seen.
  std::vector<std::string> files;
  std::string out, resume, init_from, size = "1m", prompt;
  std::optional<std::size_t> d_model, n_layer, d_state, headdim;
  std::size_t vocab = 0, threads = 0;
  std::optional<double> minutes, rate;
  std::optional<std::uint64_t> steps;
  double validation = 0.1;
  TrainingOptions options;

  void run() {
    if (threads > 0) mamba2::set_num_threads(threads);
    resume.empty() ? begin() : go_on();
    read_limits();
    const TrainingOptions& o = training->options;
    batches.emplace(std::move(parts.training), o.batches);
    for (const int signal : {SIGINT, SIGTERM}) std::signal(signal, stop_training);
    describe();
    loop();
    for (const int signal : {SIGINT, SIGTERM}) std::signal(signal, SIG_DFL);
    if (stopped != 0) std::raise(stopped);  // so that the shell knows
  }

 private:
  // ---- a new training

  void begin() {
    directory = out;
    if (mamba2::has_training(directory))
      throw mamba2::FileError(out + ": holds a training already; --resume " + out + " goes on with it");
    if (std::filesystem::exists(directory / "config.json"))
      throw mamba2::FileError(out + ": holds a model already; choose another --out");
    if (rate) options.schedule.peak = *rate;
    options.check();
    const Text text(files);
    if (init_from.empty()) {
      tokenizer_json = mamba2::learn_tokenizer(text.text(), vocab == 0 ? 257 : vocab, {end_of_text});
      make_tokenizer("the tokenizer learnt");
      training = std::make_unique<Run>(Run{.state = State(Model(config(), options.batches.seed)), .options = options});
    } else {
      tokenizer_json = mamba2::read_text_file(Path(init_from) / "tokenizer.json");
      make_tokenizer(init_from + "/tokenizer.json");
      training =
          std::make_unique<Run>(Run{.state = State(mamba2::load_language_model<float>(init_from)), .options = options});
    }
    cut(text);
    for (const std::string& file : files) training->notes["text"] += std::filesystem::absolute(file).string() + "\n";
    training->notes["validation"] = number(validation, 17);
    note_limits();
  }

  mamba2::LanguageModelConfig config() const {
    const auto* const named = std::find_if(sizes.begin(), sizes.end(), [&](const Size& s) { return s.name == size; });
    return {.n_layer = n_layer.value_or(named->n_layer),
            .vocab_size = tokenizer->vocab_size(),
            .mixer = mamba2::Mamba2Config{.d_model = d_model.value_or(named->d_model),
                                          .d_state = d_state.value_or(named->d_state),
                                          .headdim = headdim.value_or(named->headdim)}};
  }

  void make_tokenizer(const std::string& where) { tokenizer.emplace(tokenizer_json, where); }

  void cut(const Text& text) {
    Ids tokens = tokenizer->encode(text.text());
    training->text = mamba2::fingerprint(std::as_bytes(std::span(tokens)));
    bytes_per_token = static_cast<double>(text.text().size()) / static_cast<double>(tokens.size());
    parts = mamba2::split_text(std::move(tokens), validation);
  }

  // ---- one that was interrupted

  void go_on() {
    directory = resume;
    training = std::make_unique<Run>(mamba2::load_training<float>(directory));
    auto& notes = training->notes;
    if (rate) training->options.schedule.peak = *rate;
    if (minutes || steps) note_limits();
    std::istringstream names(notes["text"]);
    if (files.empty())
      for (std::string name; std::getline(names, name);) files.push_back(name);
    validation = std::strtod(notes["validation"].c_str(), nullptr);
    tokenizer_json = mamba2::read_text_file(directory / "tokenizer.json");
    make_tokenizer((directory / "tokenizer.json").string());
    const std::uint64_t before = training->text;
    cut(Text(files));
    if (training->text != before)
      throw mamba2::FileError(files.front() + ": the text has changed since the training began; begin a new one with " +
                              "--init-from " + resume);
  }

  // ---- how long

  void note_limits() {
    training->notes.erase("minutes");
    training->notes.erase("steps");
    if (steps)
      training->notes["steps"] = std::to_string(*steps);
    else
      training->notes["minutes"] = number(minutes.value_or(10), 17);
  }
  void read_limits() {
    const auto& notes = training->notes;
    if (const auto it = notes.find("steps"); it != notes.end())
      last_step = std::strtoull(it->second.c_str(), nullptr, 10);
    if (const auto it = notes.find("minutes"); it != notes.end())
      most_seconds = 60 * std::strtod(it->second.c_str(), nullptr);
  }
  double done() const {
    const auto made = static_cast<double>(training->state.moments.steps);
    return last_step > 0 ? made / static_cast<double>(last_step) : training->seconds / most_seconds;
  }

  // ---- training

  void loop() {
    const double reports = 10;  // so many, evenly over the training
    double next_report = (std::floor(done() * reports) + 1) / reports, last_save = training->seconds;
    while (done() < 1 && stopped == 0) {
      step();
      show_progress();
      const bool report_now = done() >= next_report;
      if (report_now) next_report = (std::floor(done() * reports) + 1) / reports;
      if (report_now && done() < 1) report();
      if (report_now || training->seconds - last_save > 60) save(), last_save = training->seconds;
    }
    clear_line();
    if (stopped == 0) report();
    save();
    if (stopped != 0)
      std::cout << "stopped at step " << training->state.moments.steps << ". To go on:\n  mamba2 train --resume "
                << directory.string() << "\n";
    else
      std::cout << "done. To let it write:\n  mamba2 generate --model " << directory.string() << " --prompt TEXT\n";
    std::cout.flush();
  }

  void step() {
    const Timer timer(*training);
    auto& state = training->state;
    try {
      const auto list = mamba2::batches_of_step(*batches, state.moments.steps, training->options);
      last = mamba2::training_step<float>(state, list, done(), training->options);
    } catch (const mamba2::ValueError& error) {  // scores that are no numbers; at the first step, another reason
      if (state.moments.steps == 0) throw;
      diverged(error.what());
    } catch (const mamba2::DivergedError& error) {
      diverged(error.what());
    }
    training->watch.add(last.loss);
    if (training->watch.diverged())
      diverged("the loss has risen from " + number(training->watch.lowest, 2) + " to " +
               number(training->watch.smoothed, 2));
  }

  [[noreturn]] void diverged(const std::string& how) const {
    const bool saved = mamba2::has_training(directory);
    const std::string slower = number(training->options.schedule.peak / 3, 6);
    throw mamba2::DivergedError(
        "the training diverged at step " + std::to_string(training->state.moments.steps) + ": " + how + ". " +
        (saved ? "What was saved before is still good. A lower rate may help:\n  mamba2 train --resume " +
                     directory.string() + " --rate " + slower
               : "Nothing was saved yet. Begin again with a lower rate, such as --rate " + slower));
  }

  void save() {
    if (!training->watch.good()) return;
    mamba2::save_language_model(training->state.model, directory);
    if (!std::filesystem::exists(directory / "tokenizer.json")) {
      mamba2::NewFile file(directory / "tokenizer.json");
      file.write(tokenizer_json);
      file.commit();
    }
    mamba2::save_training(*training, directory);
  }

  // ---- what is shown

  void describe() const {
    const auto& c = training->state.model.config();
    std::cout << mamba2::parameter_count(c) << " parameters; " << c.vocab_size << " tokens in the vocabulary; "
              << batches->tokens().size() << " tokens to learn from, " << parts.validation.size()
              << " to be asked about\n";
    if (training->state.moments.steps > 0) std::cout << "going on at step " << training->state.moments.steps << "\n";
    std::cout.flush();
  }

  double time_left() const {
    if (last_step == 0) return most_seconds - training->seconds;
    const auto made = static_cast<double>(training->state.moments.steps);
    return training->seconds / made * (static_cast<double>(last_step) - made);
  }

  std::string progress() const {
    const auto& o = training->options;
    const auto made = training->state.moments.steps;
    const auto tokens = static_cast<double>(made * o.accumulate * o.batches.batch * o.batches.seqlen);
    return "step " + std::to_string(made) + "   loss " + number(training->watch.smoothed, 3) + "   rate " +
           number(last.rate, 5) + "   " + number(tokens / training->seconds, 0) + " tokens/s   " +
           clock_text(time_left()) + " left";
  }

  void show_progress() {
    if (::isatty(STDERR_FILENO) == 0 || training->seconds - last_shown < 0.5) return;
    last_shown = training->seconds;
    std::fprintf(stderr, "\r%s\033[K", progress().c_str());
    std::fflush(stderr);
  }
  void clear_line() const {
    if (::isatty(STDERR_FILENO) != 0) std::fprintf(stderr, "\r\033[K");
  }

  // How good it is on what it has not seen, and how it writes. On the way a piece of it has to do.
  void report() {
    clear_line();
    std::cout << progress() << "\n";
    const Timer timer(*training);
    const std::size_t held = parts.validation.size();
    const auto asked = std::span(parts.validation).first(done() < 1 ? std::min<std::size_t>(held, 16384) : held);
    const std::size_t rows = std::clamp<std::size_t>(asked.size() / 512, 1, training->options.batches.batch);
    if (const auto tokens = mamba2::in_rows(asked, rows); tokens.shape(1) > 1) {
      const auto loss = mamba2::cross_entropy(training->state.model, tokens);
      std::cout << "  validation" << (asked.size() < held ? " (a part): " : ": ") << number(loss.mean(), 4)
                << " nats per token, " << number(loss.mean() / std::log(2.0) / bytes_per_token, 4)
                << " bits per byte\n";
    }
    write_sample();
    std::cout.flush();
  }

  void write_sample() const {
    const auto first = batches->tokens().first(std::min<std::size_t>(8, batches->tokens().size()));
    Ids ids = prompt.empty() ? Ids(first.begin(), first.end()) : tokenizer->encode(prompt);
    if (ids.empty()) return;
    mamba2::GenerationOptions how{.max_new_tokens = 80, .seed = training->state.moments.steps};
    how.sampling.temperature = 0.8;
    how.vocab_size = tokenizer->vocab_size();
    const auto written = mamba2::generate(training->state.model, {ids}, how);
    ids.insert(ids.end(), written[0].ids.begin(), written[0].ids.end());
    std::string text;
    for (const char c : mamba2::presentable(tokenizer->decode(ids))) {
      text += c;
      if (c == '\n') text += "  | ";
    }
    std::cout << "  | " << text << "\n";
  }

  using Model = mamba2::LanguageModel<float>;
  using State = mamba2::TrainingState<float>;
  using Run = mamba2::TrainingRun<float>;

  // Adds the time that it lives to the training's.
  class Timer {
   public:
    explicit Timer(Run& run) : run_(run) {}
    ~Timer() { run_.seconds += std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count(); }
    Timer(const Timer&) = delete;
    Timer& operator=(const Timer&) = delete;

   private:
    Run& run_;
    std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
  };

  Path directory;
  std::string tokenizer_json;
  std::optional<mamba2::Tokenizer> tokenizer;
  std::unique_ptr<Run> training;
  mamba2::TextParts parts;
  std::optional<mamba2::Batches> batches;
  double bytes_per_token = 1, most_seconds = 0, last_shown = 0;
  std::uint64_t last_step = 0;  // 0: the time decides
  mamba2::StepReport last{};
};

void add_size_options(CLI::App& command, Train& train) {
  std::vector<std::string> names;
  for (const Size& s : sizes) names.emplace_back(s.name);
  const CLI::Validator positive = CLI::PositiveNumber.description("");
  command.add_option("--size", train.size, "How large: 200k, 1m, 4m or 16m parameters (1m)")
      ->type_name("NAME")
      ->check(CLI::IsMember(names).description(""));
  command.add_option("--d-model", train.d_model, "Width, instead of the size's")->type_name("N")->check(positive);
  command.add_option("--layers", train.n_layer, "Layers, instead of the size's")->type_name("N")->check(positive);
  command.add_option("--d-state", train.d_state, "State size, instead of the size's")->type_name("N")->check(positive);
  command.add_option("--headdim", train.headdim, "Channels of a head, instead of the size's")
      ->type_name("N")
      ->check(positive);
  command.add_option("--vocab", train.vocab, "Learn so many tokens from the text; 0: one for\neach byte (0)")
      ->type_name("N")
      ->check(CLI::NonNegativeNumber.description(""));
}

void add_learning_options(CLI::App& command, TrainingOptions& options) {
  const CLI::Validator positive = CLI::PositiveNumber.description("");
  command.add_option("--batch", options.batches.batch, "Pieces of text at once (8)")->type_name("N")->check(positive);
  command.add_option("--seqlen", options.batches.seqlen, "Tokens of each piece (256)")->type_name("N")->check(positive);
  command.add_option("--accumulate", options.accumulate, "Batches that make one step (1)")
      ->type_name("N")
      ->check(positive);
  command.add_flag("--in-order", options.batches.in_order,
                   "Read the text in order and carry the state on,\nrather than pieces in random order");
  command.add_option("--warmup", options.schedule.warmup, "Steps until the full rate (50)")
      ->type_name("N")
      ->check(CLI::NonNegativeNumber.description(""));
  command.add_option("--weight-decay", options.adamw.weight_decay, "How weights are pulled to zero (0.1)")
      ->type_name("X");
  command.add_option("--clip", options.clip_norm, "The most that a gradient may be long (1)")->type_name("X");
  command.add_option("--seed", options.batches.seed, "The same seed gives the same training (0)")->type_name("N");
}

}  // namespace

void add_train(CLI::App& cli) {
  CLI::App* command = cli.add_subcommand("train", "Teach a model a text of your own");
  command->description(
      "Teach a model a text of your own. Ctrl-C saves all and says how to go on.\n\n"
      "  mamba2 train --text book.txt --out mine --minutes 30\n"
      "  mamba2 train --text folder --out mine --size 4m --vocab 2048 --minutes 120\n"
      "  mamba2 train --resume mine                            go on after an interruption\n"
      "  mamba2 train --init-from mamba2-130m --text book.txt --out fine --rate 1e-4\n\n"
      "DIR is a model as soon as something was saved: mamba2 generate --model DIR. With --steps the result is the "
      "same\n"
      "at each run; with --minutes it depends on how many steps the machine makes in that time.\n");
  const auto train = std::make_shared<Train>();
  auto* const text =
      command->add_option("--text", train->files, "Files, or directories of files, in UTF-8")->type_name("FILE");
  auto* const out = command->add_option("-o,--out", train->out, "Directory for the model")->type_name("DIR");
  auto* const resume =
      command->add_option("--resume", train->resume, "Go on with the training in this directory")->type_name("DIR");
  auto* const init =
      command->add_option("--init-from", train->init_from, "Begin with this model and its tokenizer")->type_name("DIR");
  auto* const minutes = command->add_option("--minutes", train->minutes, "How long; the rate falls accordingly (10)")
                            ->type_name("N")
                            ->check(CLI::PositiveNumber.description(""));
  auto* const steps = command->add_option("--steps", train->steps, "How many steps, whatever time they take")
                          ->type_name("N")
                          ->check(CLI::PositiveNumber.description(""));
  minutes->excludes(steps);
  add_size_options(*command, *train);
  add_learning_options(*command, train->options);
  command->add_option("--rate", train->rate, "The highest learning rate (0.003)")
      ->type_name("X")
      ->check(CLI::PositiveNumber.description(""));
  command
      ->add_option("--validation", train->validation,
                   "The share of the text, at its end, that is kept to\nask about (0.1)")
      ->type_name("X")
      ->check(CLI::Range(0.0, 0.9).description(""));
  command->add_option("--prompt", train->prompt, "How samples begin; as the text does unless told")->type_name("TEXT");
  command->add_option("--threads", train->threads, "How many threads compute; as many as processors\nunless told")
      ->type_name("N")
      ->check(CLI::PositiveNumber.description(""));
  for (const char* name : {"--size", "--d-model", "--layers", "--d-state", "--headdim", "--vocab"})
    command->get_option(name)->excludes(init)->excludes(resume);
  for (const char* name : {"--batch", "--seqlen", "--accumulate", "--in-order", "--warmup", "--weight-decay", "--clip",
                           "--seed", "--validation", "--out", "--init-from"})
    command->get_option(name)->excludes(resume);
  command->callback([train, text, out, resume] {
    if (resume->count() == 0 && (text->count() == 0 || out->count() == 0))
      throw CLI::RequiredError("--text and --out, or --resume");
    train->run();
  });
}

}  // namespace app
