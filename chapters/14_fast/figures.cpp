// Measures what chapter 14's figures show.
#include <mamba2/fast.hpp>
#include <mamba2/kernels.hpp>
#include <mamba2/language_model.hpp>
#include <mamba2/limits.hpp>
#include <mamba2/parallel.hpp>
#include <mamba2/random.hpp>
#include <mamba2/ssd.hpp>

#include <algorithm>
#include <chrono>
#include <fstream>
#include <limits>
#include <string>
#include <vector>

using namespace mamba2;

namespace {

constexpr std::size_t H = 24, P = 64, N = 128;

ScanInput<float> random_input(std::size_t seqlen) {
  Random random(1);
  const auto fill = [&](auto& tensor, double low, double high) {
    for (auto& value : tensor) value = static_cast<float>(random.uniform(low, high));
  };
  ScanInput<float> in;
  fill(in.x = zeros<float>(1, seqlen, H, P), -1, 1);
  fill(in.dt = zeros<float>(1, seqlen, H), -4, 0);
  fill(in.A = zeros<float>(H), -16, -1);
  fill(in.B = zeros<float>(1, seqlen, 1, N), -1, 1);
  fill(in.C = zeros<float>(1, seqlen, 1, N), -1, 1);
  return in;
}

template <class Task>
double seconds(const Task& task, int runs = 3) {
  double best = std::numeric_limits<double>::infinity();
  for (int run = 0; run < runs; ++run) {
    const auto start = std::chrono::steady_clock::now();
    task();
    best =
        std::min(best, std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
  }
  return best;
}

double flops_per_token(std::size_t Q) {
  return scan_flops({.d_model = 768, .d_state = N, .headdim = P}, Q);
}

// Tokens per second of a task of so many tokens, and the most that a limit allows, measured before and after.
template <class Task, class Limit>
void against_limit(std::ostream& out, const std::string& what, double tokens, double work,
                   const Task& task, const Limit& limit) {
  double best = limit();
  const double rate = tokens / seconds(task);
  best = std::max(best, limit());
  out << '"' << what << "\" " << rate << ' ' << best * tokens / work << '\n';
}

// Half of the 130M model: a prompt, and writing with weights of both widths.
void whole_model(std::ostream& out, std::size_t all) {
  LanguageModel<float> model({.n_layer = 12, .vocab_size = 25144, .mixer = {.d_model = 768}}, 1);
  const LanguageModelConfig& config = model.config();
  const std::size_t T = 512, steps = 16;
  const Tensor<std::int64_t, 2> ids({1, T}, 7);
  LanguageModelCache<float> cache = model.empty_cache(1);
  const auto named = [](const std::string& what, std::size_t threads) {
    return what + ", " + std::to_string(threads) + (threads == 1 ? " thread" : " threads");
  };
  const auto write = [&](const std::string& what, double weight_bytes, std::size_t threads) {
    set_num_threads(threads);
    against_limit(
        out, named(what, threads), steps, steps * step_bytes(config, weight_bytes, 1),
        [&] {
          for (std::size_t i = 0; i < steps; ++i) model.step({7}, cache);
        },
        [&] { return measure_read_bandwidth(threads); });
  };
  std::vector<std::size_t> counts{1};
  if (all > 1) counts.push_back(all);
  const std::size_t Q = fast_operations<float>().chunk_size;
  for (const std::size_t threads : counts) {
    set_num_threads(threads);
    against_limit(
        out, named("prompt", threads), T, T * layer_flops(config, Q) + head_flops(config),
        [&] { model.prefill(ids, cache); }, [&] { return measure_product_peak(threads); });
  }
  for (const std::size_t threads : counts) write("writing", 4, threads);
  model.keep_weights(WeightType::bfloat16);
  for (const std::size_t threads : counts) write("writing, bfloat16", 2, threads);
}

}  // namespace

int main(int, char** argv) {
  const std::string out = argv[1];
  const std::size_t all = num_threads();
  const double peak = measure_product_peak(1);
  set_num_threads(1);

  const std::size_t T = 2048;
  const ScanInput<float> in = random_input(T);
  const auto plain = [&](Algorithm algorithm) {
    return T / seconds([&] { ssd(in, {.algorithm = algorithm}); }, 2);
  };
  std::ofstream ladder(out + "/ladder.dat");
  ladder << "\"recurrence (chapter 1)\" " << plain(Algorithm::recurrent) << "\n\"chunked (chapter 5)\" "
         << plain(Algorithm::chunked) << '\n';
  use_instruction_set("baseline");
  ladder << "\"wide, baseline loops\" " << T / seconds([&] { fast_ssd(in); }) << '\n';
  use_instruction_set("");
  ladder << "\"wide, this machine's loops\" " << T / seconds([&] { fast_ssd(in); }) << '\n';
  set_num_threads(all);
  ladder << "\"the same, threads: " << all << "\" " << T / seconds([&] { fast_ssd(in); }) << '\n';
  set_num_threads(1);
  std::ofstream(out + "/limit.dat") << peak / flops_per_token(64) << '\n';

  std::ofstream chunk_length(out + "/chunk_length.dat");
  for (const std::size_t Q : {16, 24, 32, 48, 64, 96, 128, 192, 256}) {
    const double time = seconds([&] { fast_ssd(in, {.chunk_size = Q}); });
    chunk_length << Q << ' ' << 1e6 * time / T << ' ' << 1e6 * flops_per_token(Q) / peak << '\n';
  }

  std::ofstream length(out + "/length.dat");
  for (std::size_t t = 64; t <= 8192; t *= 2) {
    const ScanInput<float> some = random_input(t);
    const auto micro = [&](const auto& task) {
      return 1e6 * seconds(task, 2) / static_cast<double>(t);
    };
    length << t << ' ' << micro([&] { ssd(some, {.algorithm = Algorithm::recurrent}); }) << ' '
           << micro([&] { ssd(some); }) << ' ' << micro([&] { fast_ssd(some); }) << '\n';
  }

  std::ofstream model(out + "/model.dat");
  whole_model(model, all);

  set_num_threads(all);
  const double bandwidth = measure_read_bandwidth(all);
  const std::size_t columns = 1024, rows = 65536;
  const std::vector<float> W(rows * columns, 1.0F), x(8 * columns, 1.0F);
  std::vector<float> y(8 * rows);
  const double alone = bandwidth / static_cast<double>(rows * columns * sizeof(float));
  std::ofstream batch(out + "/batch.dat");
  for (std::size_t vectors = 1; vectors <= 8; ++vectors) {
    const MatrixRef<const float> X{x.data(), vectors, columns, columns};
    const double time = seconds([&] {
      fast_operations<float>().linear(X, {W.data(), rows, columns, columns}, {},
                                      {y.data(), vectors, rows, rows});
    });
    batch << vectors << ' ' << static_cast<double>(vectors) / time << ' ' << alone << '\n';
  }
}
