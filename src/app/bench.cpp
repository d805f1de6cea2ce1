// mamba2 bench: how fast this machine runs a model, beside what it could do at best.
#include "commands.hpp"
#include "loading.hpp"

#include <mamba2/compact_limits.hpp>
#include <mamba2/fast.hpp>
#include <mamba2/instruction_set.hpp>
#include <mamba2/parallel.hpp>

#include <nlohmann/json.hpp>

#include <algorithm>
#include <cstdio>
#include <functional>
#include <iostream>
#include <limits>
#include <map>
#include <memory>
#include <vector>

namespace app {

namespace {

using Json = nlohmann::ordered_json;
using Sizes = std::vector<std::size_t>;

struct Bench {
  std::string model, size = "130m";
  mamba2::WeightType weights = mamba2::WeightType::full;
  Sizes prefill = {512, 2048}, logits = {512}, scan = {2048}, batch = {1, 8}, threads;
  std::size_t decode = 16, runs = 3;
  bool json = false;
};

// One line of the table.
struct Figure {
  std::string what;
  std::size_t tokens, batch, threads;
  double per_second;  // tokens
  double limit;       // tokens per second at best, see print()
};

// The width and depth of the published models; everything else is the same for all of them.
mamba2::LanguageModelConfig published(const std::string& size) {
  const std::map<std::string, std::pair<std::size_t, std::size_t>> sizes = {
      {"130m", {768, 24}}, {"370m", {1024, 48}}, {"780m", {1536, 48}}, {"1.3b", {2048, 48}}, {"2.7b", {2560, 64}}};
  const auto [d_model, n_layer] = sizes.at(size);
  return {.n_layer = n_layer,
          .vocab_size = 50277,
          .pad_vocab_size_multiple = 16,
          .mixer = mamba2::Mamba2Config{.d_model = d_model}};
}

// The best of several runs, each next to a measurement of its limit, whose best is taken likewise: what disturbs the
// machine for a while disturbs both.
struct Best {
  double time = std::numeric_limits<double>::infinity(), limit = time;  // in seconds
};
Best best(std::size_t runs, const std::function<void()>& task, const std::function<double()>& limit) {
  Best result;
  for (std::size_t run = 0; run < runs; ++run) {
    result.limit = std::min(result.limit, limit());
    result.time = std::min(result.time, mamba2::shortest_seconds(1, task));
  }
  result.limit = std::min(result.limit, limit());
  return result;
}

class Measure {
 public:
  Measure(const Bench& options, const mamba2::Predictor<float>& model) : o_(options), model_(model) {}

  std::vector<Figure> all() {
    for (const std::size_t threads : o_.threads) {
      mamba2::set_num_threads(threads);
      for (const std::size_t tokens : o_.scan) scan(tokens, threads);
      for (const std::size_t tokens : o_.prefill) prefill(tokens, threads);
      for (const std::size_t tokens : o_.logits) logits(tokens, threads);
      if (o_.decode > 0)
        for (const std::size_t batch : o_.batch) decode(batch, threads);
    }
    return std::move(figures_);
  }

 private:
  void add(const std::string& what, std::size_t tokens, std::size_t batch, std::size_t threads, Best best) {
    const auto count = static_cast<double>(tokens * batch);
    figures_.push_back({what, tokens, batch, threads, count / best.time, count / best.limit});
  }

  std::function<double()> arithmetic(std::size_t tokens, std::size_t scored, std::size_t threads) const {
    return [=, this] { return mamba2::least_prompt_seconds(model_.config(), tokens, scored, threads, o_.weights); };
  }

  void scan(std::size_t tokens, std::size_t threads) {
    const auto* const block = model_.config().mixer.find<mamba2::Mamba2Config>();
    if (block == nullptr) return;  // another mixer's
    const mamba2::Mamba2Config& c = *block;
    const auto input = mamba2::random_scan_input(c, 1, tokens);
    add("scan", tokens, 1, threads,
        best(
            o_.runs, [&] { mamba2::fast_ssd(input, {.chunk_size = chunk()}); },
            [&] {
              return static_cast<double>(tokens) * mamba2::measure_scan_products(c, chunk()) /
                     static_cast<double>(threads);
            }));
  }

  void prefill(std::size_t tokens, std::size_t threads) {
    const auto ids = some_ids(1, tokens);
    add("prefill", tokens, 1, threads,
        best(
            o_.runs,
            [&] {
              auto cache = model_.empty_cache(1);
              model_.prefill(ids, cache);
            },
            arithmetic(tokens, 1, threads)));
  }

  void logits(std::size_t tokens, std::size_t threads) {
    const auto ids = some_ids(1, tokens);
    add("all logits", tokens, 1, threads,
        best(o_.runs, [&] { model_.forward(ids); }, arithmetic(tokens, tokens, threads)));
  }

  void decode(std::size_t batch, std::size_t threads) {
    auto cache = model_.empty_cache(batch);
    const mamba2::Tensor<std::int64_t, 1> ids({batch}, 17);
    model_.step(ids, cache);
    const auto steps = static_cast<double>(o_.decode);
    const double bytes = mamba2::step_bytes(model_.config(), static_cast<double>(bytes_of(o_.weights)), batch);
    add("decode", o_.decode, batch, threads,
        best(
            o_.runs,
            [&] {
              for (std::size_t i = 0; i < o_.decode; ++i) model_.step(ids, cache);
            },
            [&] { return steps * bytes / mamba2::measure_read_bandwidth(threads); }));
  }

  static std::size_t chunk() { return mamba2::fast_operations<float>().chunk_size; }

  mamba2::Tensor<std::int64_t, 2> some_ids(std::size_t batch, std::size_t tokens) const {
    auto ids = mamba2::Tensor<std::int64_t, 2>::from_shape({batch, tokens});
    for (std::size_t i = 0; i < ids.size(); ++i)
      ids.data()[i] = static_cast<std::int64_t>(i * 7919 % model_.config().vocab_size);
    return ids;
  }

  const Bench& o_;
  const mamba2::Predictor<float>& model_;
  std::vector<Figure> figures_;
};

void print(const std::vector<Figure>& figures) {
  std::printf("%-11s %7s %6s %8s  %12s %12s %6s\n", "", "tokens", "batch", "threads", "tokens/s", "limit", "ratio");
  for (const Figure& f : figures)
    std::printf("%-11s %7zu %6zu %8zu  %12.1f %12.1f %5.0f%%\n", f.what.c_str(), f.tokens, f.batch, f.threads,
                f.per_second, f.limit, 100 * f.per_second / f.limit);
  std::printf(
      "\nThe limit of the scan is its own matrix products alone, in as many threads as if each had a machine for "
      "itself;\n"
      "that of prefill and logits this machine's matrix-product peak, that of decoding its read bandwidth.\n");
}

Json as_json(const std::vector<Figure>& figures, const Bench& options) {
  Json rows = Json::array();
  for (const Figure& f : figures)
    rows.push_back({{"what", f.what},
                    {"tokens", f.tokens},
                    {"batch", f.batch},
                    {"threads", f.threads},
                    {"tokens_per_second", f.per_second},
                    {"limit", f.limit},
                    {"ratio", f.per_second / f.limit}});
  return {{"model", options.model.empty() ? options.size : options.model},
          {"dtype", mamba2::name_of(options.weights)},
          {"instruction_set", mamba2::name_of(mamba2::instruction_set())},
          {"figures", rows}};
}

std::unique_ptr<mamba2::Predictor<float>> make(const Bench& options) {
  if (!options.model.empty()) return load(options.model, options.weights);
  return keep(mamba2::LanguageModel<float>(published(options.size), 0), options.weights);
}

void run(Bench options) {
  if (options.threads.empty()) {
    options.threads = {1};
    if (mamba2::num_threads() > 1) options.threads.push_back(mamba2::num_threads());
  }
  const auto model = make(options);
  mamba2::keep_memory();
  const std::vector<Figure> figures = Measure(options, *model).all();
  options.json ? void(std::cout << as_json(figures, options).dump(2) << "\n") : print(figures);
}

}  // namespace

void add_bench(CLI::App& cli) {
  CLI::App* command = cli.add_subcommand("bench", "Measure how fast this machine runs a model, beside its limits");
  command->description(
      "Measure how fast this machine runs a model, beside what it could do at best.\n\n"
      "A prompt is bound by arithmetic: its limit is the speed of large matrix products. Writing is bound by memory: "
      "its\n"
      "limit is the bytes of weights and states, over the speed of reading. Both are measured between the runs, and "
      "of\n"
      "several runs the fastest counts. Without --model, a model of a published size with random weights is "
      "measured.\n\n"
      "  mamba2 bench --size 130m --prefill 512,2048 --decode 32 --threads 1,2\n");
  const auto bench = std::make_shared<Bench>();
  const auto list = [&](const char* name, Sizes& values, const char* text) {
    command->add_option(name, values, text)
        ->delimiter(',')
        ->type_name("N,N")
        ->check(CLI::PositiveNumber.description(""));
  };
  command->add_option("-m,--model", bench->model, "Directory of a model to measure")->type_name("DIR");
  command->add_option("--size", bench->size, "Size of a model with random weights")
      ->capture_default_str()
      ->check(CLI::IsMember({"130m", "370m", "780m", "1.3b", "2.7b"}).description(""))
      ->type_name("130m|370m|780m|1.3b|2.7b");
  list("--scan", bench->scan, "Lengths for the scan alone (2048)");
  list("--prefill", bench->prefill, "Lengths of prompts, scores after the last token (512,2048)");
  list("--logits", bench->logits, "Lengths of texts, scores after every token (512)");
  command->add_option("--decode", bench->decode, "Tokens to write, one after the other; 0 for none")
      ->capture_default_str()
      ->type_name("N");
  list("--batch", bench->batch, "Texts that are written together (1,8)");
  list("--threads", bench->threads, "Numbers of threads (1 and all)");
  add_dtype_option(*command, bench->weights);
  command->add_option("--runs", bench->runs, "Of so many runs the fastest counts")
      ->capture_default_str()
      ->type_name("N")
      ->check(CLI::PositiveNumber.description(""));
  command->add_flag("--json", bench->json, "As JSON, for programs");
  command->callback([bench] { run(*bench); });
}

}  // namespace app
