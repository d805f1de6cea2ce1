// The pieces of the library and the whole model, with Google Benchmark:
//   build/bin/benchmarks --benchmark_filter=scan
// Every figure is counted in tokens per second. mamba2 bench holds them against the limits of the machine.
#include <mamba2/block.hpp>
#include <mamba2/costs.hpp>
#include <mamba2/fast.hpp>
#include <mamba2/language_model.hpp>
#include <mamba2/limits.hpp>
#include <mamba2/model_directory.hpp>
#include <mamba2/parallel.hpp>
#include <mamba2/random.hpp>
#include <mamba2/scan_gradient.hpp>
#include <mamba2/training.hpp>

#include <benchmark/benchmark.h>

#include <chrono>
#include <filesystem>
#include <memory>
#include <utility>
#include <vector>

using namespace mamba2;

namespace {

std::size_t size_of(const benchmark::State& state, std::size_t i) {
  return static_cast<std::size_t>(state.range(i));
}

void count_tokens(benchmark::State& state, std::size_t tokens) {
  state.SetItemsProcessed(static_cast<std::int64_t>(tokens) * state.iterations());
}

template <class T>
void fill(T& tensor, double low = -1, double high = 1) {
  Random random(1);
  for (auto& value : tensor) value = static_cast<float>(random.uniform(low, high));
}

// 24 heads of 64 channels, as in the 130M model.
ScanInput<float> scan_input(std::size_t batch, std::size_t seqlen, std::size_t d_state) {
  return random_scan_input({.d_model = 768, .d_state = d_state}, batch, seqlen);
}

void scan(benchmark::State& state) {
  const ScanInput<float> in = scan_input(size_of(state, 0), size_of(state, 1), size_of(state, 3));
  set_num_threads(size_of(state, 4));
  for (auto _ : state) benchmark::DoNotOptimize(fast_ssd(in, {.chunk_size = size_of(state, 2)}));
  count_tokens(state, in.x.shape(0) * in.x.shape(1));
}
BENCHMARK(scan)
    ->ArgNames({"batch", "seqlen", "chunk_size", "d_state", "threads"})
    ->ArgsProduct({{1}, {1, 2, 3, 4, 6, 8, 16, 32, 64, 256, 1024, 4096, 16384, 65536, 262144}, {64}, {128}, {1}})
    ->ArgsProduct({{1}, {2048}, {16, 32, 128, 256}, {128}, {1}})
    ->ArgsProduct({{1}, {2048}, {64}, {16, 64, 256}, {1}})
    ->ArgsProduct({{1}, {2048}, {64}, {128}, {2, 4}})
    ->ArgsProduct({{2, 8}, {1, 16, 256, 4096}, {64}, {128}, {1}})
    ->UseRealTime();

// The same by the forms of the earlier chapters.
void plain_scan(benchmark::State& state) {
  const ScanInput<float> in = scan_input(size_of(state, 0), size_of(state, 1), 128);
  const auto algorithm = state.range(2) == 0 ? Algorithm::recurrent : Algorithm::chunked;
  for (auto _ : state) benchmark::DoNotOptimize(ssd(in, {.chunk_size = 64, .algorithm = algorithm}));
  count_tokens(state, in.x.shape(0) * in.x.shape(1));
}
BENCHMARK(plain_scan)
    ->ArgNames({"batch", "seqlen", "chunked"})
    ->ArgsProduct({{1}, {1, 2, 3, 4, 6, 8, 16, 32, 64, 256, 1024, 4096, 16384, 65536}, {0, 1}})
    ->ArgsProduct({{2, 8}, {1, 16, 256, 4096}, {0}})
    ->UseRealTime();

// The scan backwards in chunks, and how many times as long it takes as forwards in the same form, measured beside it.
void scan_backwards(benchmark::State& state) {
  const ScanInput<float> in = scan_input(1, size_of(state, 0), 128);
  const ScanOptions options{.chunk_size = 64, .algorithm = Algorithm::chunked};
  set_num_threads(1);
  const auto seconds = [](const auto& work) {
    const auto begin = std::chrono::steady_clock::now();
    work();
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  };
  const Tensor<float, 4> dy = in.x;
  double forward = 0, backward = 0;
  for (auto _ : state) {
    forward += seconds([&] { benchmark::DoNotOptimize(ssd(in, options)); });
    const double back = seconds([&] { benchmark::DoNotOptimize(ssd_gradient(in, options, dy)); });
    backward += back;
    state.SetIterationTime(back);
  }
  state.counters["times_forward"] = backward / forward;
  count_tokens(state, in.x.shape(1));
}
BENCHMARK(scan_backwards)->ArgName("seqlen")->Arg(256)->Arg(2048)->UseManualTime();

// The scan's products alone: what it is held against.
void scan_products(benchmark::State& state) {
  double seconds = 0;
  for (auto _ : state) seconds = measure_scan_products({.d_model = 768}, size_of(state, 0));
  state.counters["tokens_per_second"] = 1 / seconds;
}
BENCHMARK(scan_products)->ArgName("chunk_size")->Arg(32)->Arg(64)->Arg(128)->UseRealTime();

// The convolution of the 130M model, plain and fast.
void convolution(benchmark::State& state) {
  const std::size_t tokens = 512, channels = 1792;
  auto x = zeros<float>(tokens, channels), weight = zeros<float>(channels, 4), y = x;
  fill(x);
  fill(weight);
  set_num_threads(1);
  const auto& operations = state.range(0) == 0 ? plain_operations<float>() : fast_operations<float>();
  const ShortConvolution<float> in{
      .x = as_matrix(std::as_const(x)), .batch = 1, .weight = as_matrix(std::as_const(weight))};
  for (auto _ : state) operations.short_convolution(in, as_matrix(y));
  count_tokens(state, tokens);
}
BENCHMARK(convolution)->ArgName("fast")->Arg(0)->Arg(1)->UseRealTime();

// Its gated norm.
void norm(benchmark::State& state) {
  const std::size_t tokens = 512, features = 1536;
  auto y = zeros<float>(tokens, features), z = y, out = y;
  auto weight = zeros<float>(features);
  fill(y);
  fill(z);
  fill(weight);
  set_num_threads(1);
  const auto& operations = state.range(0) == 0 ? plain_operations<float>() : fast_operations<float>();
  for (auto _ : state)
    operations.gated_norm(as_matrix(std::as_const(y)), as_matrix(std::as_const(z)), {.weight = as_span(weight)},
                          as_matrix(out));
  count_tokens(state, tokens);
}
BENCHMARK(norm)->ArgName("fast")->Arg(0)->Arg(1)->UseRealTime();

// One block of the 130M model.
void block(benchmark::State& state) {
  Mamba2Block<float> block(Mamba2Config{.d_model = 768}, 1);
  if (state.range(0) == 0) block.use(plain_operations<float>());
  auto u = zeros<float>(1, 512, 768);
  fill(u);
  set_num_threads(size_of(state, 1));
  for (auto _ : state) benchmark::DoNotOptimize(block.forward(u));
  count_tokens(state, 512);
}
BENCHMARK(block)->ArgNames({"fast", "threads"})->Args({0, 1})->Args({1, 1})->Args({1, 2})->UseRealTime();

// A model of the 130M model's shape with random weights, made when it is first needed.
LanguageModel<float>& model() {
  static LanguageModel<float> model(
      {.n_layer = 24, .vocab_size = 50277, .pad_vocab_size_multiple = 16, .mixer = Mamba2Config{.d_model = 768}}, 1);
  return model;
}

void prefill(benchmark::State& state) {
  const Tensor<std::int64_t, 2> ids({1, size_of(state, 0)}, 7);
  set_num_threads(size_of(state, 1));
  for (auto _ : state) {
    auto cache = model().empty_cache(1);
    benchmark::DoNotOptimize(model().prefill(ids, cache));
  }
  count_tokens(state, ids.size());
}
BENCHMARK(prefill)->ArgNames({"seqlen", "threads"})->ArgsProduct({{128, 512, 2048}, {1, 2}})->UseRealTime();

void decode(benchmark::State& state) {
  const Tensor<std::int64_t, 1> ids({size_of(state, 0)}, 7);
  set_num_threads(size_of(state, 1));
  auto cache = model().empty_cache(ids.size());
  for (auto _ : state) benchmark::DoNotOptimize(model().step(ids, cache));
  count_tokens(state, ids.size());
}
BENCHMARK(decode)->ArgNames({"batch", "threads"})->ArgsProduct({{1, 2, 4, 8}, {1, 2}})->UseRealTime();

// A step of training, beside its limit: the products of the forward pass, and twice as many of the backward pass, as fast as the
// machine multiplies large matrices with so many threads. The model is of 2 million parameters and learns bytes.
void training(benchmark::State& state) {
  const std::size_t threads = size_of(state, 0), Q = 64;
  set_num_threads(threads);
  const LanguageModelConfig config{
      .n_layer = 4, .vocab_size = 256, .mixer = Mamba2Config{.d_model = 256, .chunk_size = Q}};
  TrainingOptions options;
  std::vector<std::int64_t> text(100000);
  Random random(1);
  for (auto& id : text) id = static_cast<std::int64_t>(random.uniform(0, 256));
  Batches batches(std::move(text), options.batches);
  TrainingState<float> learner{LanguageModel<float>(config, 1)};
  const auto tokens = static_cast<double>(options.batches.batch * options.batches.seqlen);
  for (auto _ : state)
    training_step<float>(learner, batches_of_step(batches, learner.moments.steps, options), 0.5, options);
  const double flop = 3 * tokens * (layer_flops(config, Q) + head_flops(config));
  state.counters["GFLOP"] = flop / 1e9;
  state.counters["of_limit"] =
      benchmark::Counter(flop / measure_product_peak(threads), benchmark::Counter::kIsIterationInvariantRate);
  count_tokens(state, static_cast<std::size_t>(tokens));
}
BENCHMARK(training)->ArgName("threads")->Arg(1)->Arg(2)->Unit(benchmark::kMillisecond)->UseRealTime();

// Loading it, from files that the system has in memory.
void load(benchmark::State& state) {
  const std::filesystem::path directory = std::filesystem::temp_directory_path() / "mamba2_bench_load";
  const auto layout = state.range(0) == 0 ? CheckpointLayout::reference : CheckpointLayout::hugging_face;
  save_language_model(model(), directory, layout);
  for (auto _ : state) benchmark::DoNotOptimize(load_language_model<float>(directory));
  std::filesystem::remove_all(directory);
}
BENCHMARK(load)->ArgName("safetensors")->Arg(0)->Arg(1)->Unit(benchmark::kMillisecond)->UseRealTime();

}  // namespace

int main(int argc, char** argv) {
  keep_memory();
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 1;
  benchmark::RunSpecifiedBenchmarks();
}
