// mamba2 bench: how fast this machine runs a model, beside what it could do at best.
#include "commands.hpp"
#include "loading.hpp"
#include "numbers.hpp"

#include <mamba2/compact_limits.hpp>
#include <mamba2/fast.hpp>
#include <mamba2/instruction_set.hpp>
#include <mamba2/parallel.hpp>
#include <mamba2/sampling.hpp>

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

// What the machine can do at best, with so many threads.
struct Machine {
  std::size_t threads;
  double registers,
      products;    // operations per second: numbers in registers, large products with weights as they are kept
  double reading;  // bytes per second
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
        for (const std::size_t batch : o_.batch)
          for (const bool sampled : {false, true}) decode(batch, threads, sampled);
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

  // A step for each token; sampled, each text chooses its next token by the settings that generate has by default.
  void decode(std::size_t batch, std::size_t threads, bool sampled) {
    auto cache = model_.empty_cache(batch);
    mamba2::Tensor<std::int64_t, 1> ids({batch}, 17);
    std::vector<mamba2::Sampler> samplers(
        batch, mamba2::Sampler({.temperature = 0.8, .top_k = 40, .top_p = 0.95, .min_p = 0.05}, 1));
    const std::size_t vocabulary = model_.config().vocab_size;
    model_.step(ids, cache);
    const auto steps = static_cast<double>(o_.decode);
    const double bytes = mamba2::step_bytes(model_.config(), static_cast<double>(bytes_of(o_.weights)), batch);
    add(sampled ? "write" : "decode", o_.decode, batch, threads,
        best(
            o_.runs,
            [&] {
              for (std::size_t i = 0; i < o_.decode; ++i) {
                const auto scores = model_.step(ids, cache);
                for (std::size_t b = 0; sampled && b < batch; ++b)
                  ids(b) = samplers[b].choose(std::span<const float>(&scores(b, 0), vocabulary));
              }
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

std::vector<Machine> machine(const Bench& options) {
  std::vector<Machine> all;
  for (const std::size_t threads : options.threads)
    all.push_back({threads, mamba2::measure_register_peak(threads),
                   mamba2::measure_product_peak(threads, options.weights), mamba2::measure_read_bandwidth(threads)});
  return all;
}

// How much longer the input projection of a prompt takes for weights that are not floats: of several runs the fastest, of one
// and the other by turns. 1 for floats.
double times_float(const Bench& options, const mamba2::LanguageModelConfig& config) {
  const auto* const block = config.mixer.find<mamba2::Mamba2Config>();
  if (block == nullptr || options.weights == mamba2::WeightType::full) return 1;
  const mamba2::Mamba2Sizes sizes = *block;
  const std::size_t tokens = options.prefill.empty() ? 512 : options.prefill.front();
  mamba2::Tensor<float, 2> full({sizes.d_in_proj, block->d_model}, 0.5F), copy = full;
  const mamba2::Tensor<float, 2> x({tokens, block->d_model}, 0.5F);
  auto y = mamba2::zeros<float>(tokens, sizes.d_in_proj);
  const auto weight = mamba2::compact_weight(copy, options.weights), floats = mamba2::full_weight(full);
  const auto seconds = [&](const mamba2::Weight<float>& w) {
    return mamba2::shortest_seconds(
        1, [&] { w.multiply(mamba2::as_matrix(x), {}, mamba2::as_matrix(y), mamba2::fast_operations<float>()); });
  };
  mamba2::set_num_threads(options.threads.front());
  double of_weight = std::numeric_limits<double>::infinity(), of_floats = of_weight;
  for (std::size_t run = 0; run < 4 * options.runs; ++run) {
    of_weight = std::min(of_weight, seconds(*weight));
    of_floats = std::min(of_floats, seconds(*floats));
  }
  return of_weight / of_floats;
}

struct Report {
  std::vector<Machine> machine;
  std::vector<Figure> figures;
  double times_float;  // a product of a prompt, beside the same with weights of float
};

void print(const Report& report, const Bench& options) {
  const std::vector<Figure>& figures = report.figures;
  for (const Machine& m : report.machine)
    std::printf("%zu thread%s: %.0f GFLOP/s in registers, %.0f in large products with %s, %.1f GB/s read\n", m.threads,
                m.threads == 1 ? "" : "s", m.registers / 1e9, m.products / 1e9, mamba2::name_of(options.weights),
                m.reading / 1e9);
  if (options.weights != mamba2::WeightType::full)
    std::printf("a prompt's product with weights in %s takes %.2f times as long as in float32\n",
                mamba2::name_of(options.weights), report.times_float);
  std::printf("\n");
  std::printf("%-11s %7s %6s %8s  %12s %12s %6s\n", "", "tokens", "batch", "threads", "tokens/s", "limit", "ratio");
  for (const Figure& f : figures)
    std::printf("%-11s %7zu %6zu %8zu  %12.1f %12.1f %5.0f%%\n", f.what.c_str(), f.tokens, f.batch, f.threads,
                f.per_second, f.limit, 100 * f.per_second / f.limit);
  std::printf(
      "\nThe limit of the scan is its own matrix products alone, in as many threads as if each had a machine for "
      "itself;\n"
      "that of prefill and logits this machine's matrix-product peak, that of decoding its read bandwidth. In "
      "registers\n"
      "is what the processor could multiply and add if nothing had to be fetched. decode gives every text a token, "
      "write\n"
      "also draws it as generate does.\n");
}

Json as_json(const Report& report, const Bench& options) {
  Json rows = Json::array(), machine = Json::array();
  for (const Machine& m : report.machine)
    machine.push_back({{"threads", m.threads},
                       {"register_flops_per_second", m.registers},
                       {"product_flops_per_second", m.products},
                       {"bytes_per_second", m.reading}});
  for (const Figure& f : report.figures)
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
          {"machine", machine},
          {"times_float", report.times_float},
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
  const Report report{.machine = machine(options),
                      .figures = Measure(options, *model).all(),
                      .times_float = times_float(options, model->config())};
  if (options.json)
    std::cout << as_json(report, options).dump(2) << "\n";
  else
    print(report, options);
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
  const auto list = [&](const std::string& name, Sizes& values, const char* text, std::uint64_t most = 1'000'000) {
    const auto take = [name, &values, most](const std::vector<std::string>& words) {
      values.clear();
      for (const std::string& word : words) values.push_back(whole_of(name, word, 1, most));
    };
    command->add_option_function<std::vector<std::string>>(name, take, text)->delimiter(',')->type_name("N,N");
  };
  command->add_option("-m,--model", bench->model, "Directory of a model to measure")->type_name("DIR");
  command->add_option("--size", bench->size, "Size of a model with random weights")
      ->capture_default_str()
      ->check(CLI::IsMember({"130m", "370m", "780m", "1.3b", "2.7b"}).description(""))
      ->type_name("130m|370m|780m|1.3b|2.7b");
  list("--scan", bench->scan, "Lengths for the scan alone (2048)");
  list("--prefill", bench->prefill, "Lengths of prompts, scores after the last token (512,2048)");
  list("--logits", bench->logits, "Lengths of texts, scores after every token (512)");
  add_whole(*command, "--decode", bench->decode, "Tokens to write, one after the other; 0 for none (16)", 0, 1'000'000);
  list("--batch", bench->batch, "Texts that are written together (1,8)", 4096);
  list("--threads", bench->threads, "Numbers of threads (1 and all)", 1024);
  add_dtype_option(*command, bench->weights);
  add_whole(*command, "--runs", bench->runs, "Of so many runs the fastest counts (3)", 1, 1000);
  command->add_flag("--json", bench->json, "As JSON, for programs");
  command->callback([bench] { run(*bench); });
}

}  // namespace app
