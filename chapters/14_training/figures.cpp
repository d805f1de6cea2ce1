// The data of this chapter's figures.
#include <demo/figure.hpp>
#include <demo/rhyme.hpp>
#include <mamba2/training.hpp>

#include <array>
#include <string>

using namespace mamba2;

namespace {

// A valley of two weights: along the first its floor is flat, along the second its sides are steep.
void valley(const std::string& folder) {
  const std::array<double, 2> slope{0.03, 3};
  const std::array<double, 2> start{-3, 1};
  demo::Table table(folder + "/valley.dat");
  std::array<double, 2> w = start;
  for (int step = 0; step <= 40; ++step) {
    table.row(w[0], w[1]);
    for (std::size_t i = 0; i < 2; ++i) w[i] -= 0.6 * slope[i] * w[i];
  }
  table.next_block();
  w = start;
  std::array<double, 2> m{}, v{};
  for (std::uint64_t step = 0; step <= 40; ++step) {
    table.row(w[0], w[1]);
    const std::array<double, 2> g{slope[0] * w[0], slope[1] * w[1]};
    adamw_update<double>({w, g, m, v}, step + 1, 0.08, false);
  }
}

void schedule(const std::string& folder) {
  demo::Table table(folder + "/schedule.dat");
  const Schedule rate{.peak = 3e-3, .last = 0.1, .warmup = 50};
  for (std::uint64_t step = 0; step <= 1000; step += 5)
    table.row(step, 1000 * rate.rate(step, static_cast<double>(step) / 1000));
}

// The rhyme, learnt at three rates.
void rates(const std::string& folder) {
  demo::Table table(folder + "/rates.dat");
  const LanguageModelConfig config{
      .n_layer = 1,
      .vocab_size = 128,
      .mixer = Mamba2Config{.d_model = 32, .d_state = 16, .headdim = 16, .chunk_size = 32}};
  for (const double rate : {3e-4, 1e-2, 3e-1}) {
    TrainingOptions options;
    options.schedule = {.peak = rate, .last = 0.1, .warmup = 10};
    options.batches = {.batch = 4, .seqlen = 64, .seed = 1};
    TrainingState<float> state(LanguageModel<float>(config, 0));
    Batches batches(demo::tokens_of(demo::rhyme()), options.batches);
    LossWatch watch;
    for (std::uint64_t step = 0; step < 100; ++step) {
      const auto list = batches_of_step(batches, step, options);
      try {
        watch.add(training_step<float>(state, list, static_cast<double>(step) / 100, options).loss);
      } catch (const Error&) {
        break;
      }
      table.row(step, watch.smoothed);
    }
    table.next_block();
  }
}

}  // namespace

int main(int, char** arguments) {
  const std::string folder = arguments[1];
  valley(folder);
  schedule(folder);
  rates(folder);
}
