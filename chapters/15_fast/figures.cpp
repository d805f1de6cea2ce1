// Measures what this chapter's figures and tables show.
#include <demo/figure.hpp>
#include <demo/published.hpp>
#include <mamba2/costs.hpp>
#include <mamba2/error.hpp>
#include <mamba2/fast.hpp>
#include <mamba2/kernels.hpp>
#include <mamba2/language_model.hpp>
#include <mamba2/limits.hpp>
#include <mamba2/parallel.hpp>
#include <mamba2/semiseparable.hpp>
#include <mamba2/ssd.hpp>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <functional>
#include <span>
#include <string>
#include <vector>

using namespace mamba2;

namespace {

const Mamba2Config sizes{.d_model = 768};  // of the 130M model: 24 heads, P 64, N 128

std::string text(const char* format, auto... values) {
  char line[200];
  std::snprintf(line, sizeof line, format, values...);
  return line;
}

std::string threads_text(std::size_t threads) {
  return std::to_string(threads) + (threads == 1 ? " thread" : " threads");
}

// One step of a ladder after the other: for the figure a bar, for the table how much faster than
// the step before, and beside the limit.
class Ladder {
 public:
  Ladder(std::ostream& bars, std::ostream& table, double unit, double limit)
      : bars_(bars), table_(table), unit_(unit), limit_(limit) {}
  void step(const std::string& what, double rate) {
    bars_ << '"' << what << "\" " << rate << '\n';
    const std::string gain = before_ > 0 ? text("%6.2f x", rate / before_) : "";
    table_ << text("%-38s %9.1f  %8s  %5.0f %%\n", what.c_str(), rate / unit_, gain.c_str(),
                   100 * rate / limit_);
    before_ = rate;
  }

 private:
  std::ostream &bars_, &table_;
  double unit_, limit_, before_ = 0;
};

// The same scan with a group for every head: nothing is shared, every product is one head wide.
ScanInput<float> head_by_head(ScanInput<float> in) {
  const auto repeat = [&](const Tensor<float, 4>& m) {
    const std::size_t seqlen = m.shape(1), heads = in.x.shape(2), n = m.shape(3);
    auto all = Tensor<float, 4>::from_shape({1, seqlen, heads, n});
    for (std::size_t t = 0; t < seqlen; ++t)
      for (std::size_t h = 0; h < heads; ++h) std::copy_n(&m(0, t, 0, 0), n, &all(0, t, h, 0));
    return all;
  };
  in.B = repeat(in.B);
  in.C = repeat(in.C);
  return in;
}

const LanguageModelConfig model_130m = demo::mamba2_130m();

// The two limits of this machine, and what follows from them for the 130M model: the most
// operations a second for each byte that is read, and where prompts and writing lie.
void two_limits(const std::string& out, std::ostream& measured, std::size_t all) {
  const std::size_t Q = fast_operations<float>().chunk_size;
  auto roof = demo::create(out + "/roofline.dat"), points = demo::create(out + "/roofline_points.dat");
  const auto per_byte = [&](std::size_t tokens, std::size_t batch) {
    const PromptFlops flops = prompt_flops(model_130m, Q, tokens, batch);
    return (flops.weights + flops.others) / step_bytes(model_130m, sizeof(float), batch);
  };
  measured << "[limits]\n"
           << text("%-44s %10s", "", "1 thread")
           << (all > 1 ? text("  %10s\n", threads_text(all).c_str()) : std::string("\n"));
  std::vector<std::vector<double>> columns;
  for (const std::size_t threads : all > 1 ? std::vector{std::size_t{1}, all} : std::vector{all}) {
    const double registers = measure_register_peak(threads), products = measure_product_peak(threads);
    const double reading = measure_read_bandwidth(threads);
    columns.push_back({registers / 1e9, products / 1e9, reading / 1e9,
                       512 / least_prompt_seconds(model_130m, 512, 1, threads),
                       reading / step_bytes(model_130m, sizeof(float), 1)});
    for (double intensity = 0.1; intensity < 2000; intensity *= 1.1)
      roof << intensity << ' ' << std::min(products, intensity * reading) / 1e9 << '\n';
    roof << "\n\n";
    if (threads != all) continue;
    const auto point = [&](const char* what, double intensity) {
      points << intensity << ' ' << std::min(products, intensity * reading) / 1e9 << " \"" << what
             << "\"\n";
    };
    point("writing", per_byte(1, 1));
    point("eight texts", per_byte(8, 8));
    point("a prompt of 512", per_byte(512, 1));
  }
  const std::vector<const char*> rows{"in registers, billion operations a second",
                                      "in large products, the same", "read from memory, GB a second",
                                      "so a prompt, at most, tokens a second",
                                      "so writing, at most, tokens a second"};
  for (std::size_t row = 0; row < rows.size(); ++row) {
    measured << text("%-44s", rows[row]);
    for (const auto& column : columns) measured << text(" %10.1f ", column[row]);
    measured << '\n';
  }
  set_num_threads(1);
}

// The same sums of products, four rows of 1024 with a vector, all in the nearest cache: one number
// after the other, and with wider registers.
void warm_up(std::ostream& measured) {
  constexpr std::size_t n = 1024, repeats = 2000;
  const std::vector<float> W(4 * n, 1.0F), x(n, 0.5F);
  std::vector<float> y(4);
  const auto rate = [&](const auto& task) {
    return 2e-9 * 4 * n * repeats / shortest_seconds(5, [&] {
             for (std::size_t i = 0; i < repeats; ++i) task();
           });
  };
  measured << "[warmup]\n"
           << text("%-44s %6.1f billion operations a second\n", "one number after the other", rate([&] {
                     for (std::size_t r = 0; r < 4; ++r) {
                       float sum =
                           0;  // the order of a sum is part of the program: no compiler changes it
                       for (std::size_t j = 0; j < n; ++j) sum += W[r * n + j] * x[j];
                       y[r] = y[r] / 2 + sum;
                     }
                   }));
  const auto wide = [&](const char* set, const char* what) {
    try {
      use_instruction_set(set);
    } catch (const ValueError&) {
      return;  // an older processor
    }
    measured << text("%-44s %6.1f\n", what, rate([&] {
                       kernels<float>().rows_dot(W.data(), n, 4, n, x.data(), n, 1, y.data(), 4);
                     }));
  };
  wide("baseline", "4 rows at once, 4 numbers in a register");
  wide("x86_64_v3", "8 in a register, multiply and add in one");
  wide("x86_64_v4", "16 in a register");
  use_instruction_set("");
}

// Where the time of a prompt goes, in one thread: each operation of the table takes its time down.
enum Part { linear, convolution, norms, scan, parts };
double spent[parts];

struct Watch {
  explicit Watch(Part part) : part_(part), start_(std::chrono::steady_clock::now()) {}
  ~Watch() {
    spent[part_] += std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count();
  }
  Watch(const Watch&) = delete;
  Watch& operator=(const Watch&) = delete;

 private:
  Part part_;
  std::chrono::steady_clock::time_point start_;
};

void profile(std::ostream& measured) {
  using In = MatrixRef<const float>;
  using Out = MatrixRef<float>;
  static const Operations<float>& fast = fast_operations<float>();
  static Operations<float> watched = fast;
  watched.linear = [](In x, In W, std::span<const float> bias, Out y) {
    const Watch watch(linear);
    fast.linear(x, W, bias, y);
  };
  watched.short_convolution = [](const ShortConvolution<float>& in, Out y) {
    const Watch watch(convolution);
    fast.short_convolution(in, y);
  };
  watched.rms_norm = [](In x, std::span<const float> weight, double eps, Out y) {
    const Watch watch(norms);
    fast.rms_norm(x, weight, eps, y);
  };
  watched.gated_norm = [](In y, In z, const GatedNorm<float>& how, Out result) {
    const Watch watch(norms);
    fast.gated_norm(y, z, how, result);
  };
  watched.scan = [](const ScanRef<float>& in, const ScanOptions& options, ScanState<float> state,
                    Out y) {
    const Watch watch(scan);
    fast.scan(in, options, state, y);
  };
  LanguageModel<float> model({.n_layer = 4, .vocab_size = 1000, .mixer = sizes}, 1);
  model.use(watched);
  const Tensor<std::int64_t, 2> ids({1, 512}, 7);
  auto cache = model.empty_cache(1);
  model.prefill(ids, cache);
  std::fill_n(spent, parts, 0.0);
  const auto start = std::chrono::steady_clock::now();
  for (int run = 0; run < 3; ++run) model.prefill(ids, cache);
  const double whole = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  double sum = 0;
  measured << "[profile]\n";
  const char* const names[]{"products with weights", "convolution", "norms and gates", "scan"};
  for (int part = 0; part < parts; ++part) sum += spent[part];
  for (int part = 0; part < parts; ++part)
    measured << text("%-24s %5.1f %%\n", names[part], 100 * spent[part] / whole);
  measured << text("%-24s %5.1f %%\n", "all else", 100 * (whole - sum) / whole);
}

// The operator on a prompt of 2048 tokens, from the recurrence to all threads.
void operator_steps(const std::string& out, std::ostream& measured, std::size_t all) {
  const std::size_t T = 2048, Q = fast_operations<float>().chunk_size;
  const ScanInput<float> in = random_scan_input(sizes, 1, T), narrow = head_by_head(in);
  const auto rate = [&](const auto& task) {
    return static_cast<double>(T) / shortest_seconds(3, task);
  };
  const auto fast = [&](const ScanInput<float>& input) { return rate([&] { fast_ssd(input); }); };
  const double products = 1 / measure_scan_products(sizes, Q);
  auto bars = demo::create(out + "/ladder.dat");
  measured << "[operator]\n" << text("%-38s %9s  %8s  %7s\n", "", "tokens/ms", "gain", "of limit");
  Ladder ladder(bars, measured, 1e3, products);
  ladder.step("recurrence, token by token",
              rate([&] { ssd(in, {.algorithm = Algorithm::recurrent}); }));
  ladder.step("chunked, head by head", rate([&] { ssd(in, {.chunk_size = Q}); }));
  use_instruction_set("baseline");
  ladder.step("mask without exponentials", fast(narrow));
  ladder.step("all heads of a group at once", fast(in));
  use_instruction_set("");
  ladder.step("this machine's instructions", fast(in));
  if (all > 1) {
    set_num_threads(all);
    ladder.step(threads_text(all), fast(in));
    set_num_threads(1);
  }
  measured << text("%-38s %9.1f\n", "limit: its products alone, 1 thread", products / 1e3);
  demo::create(out + "/limit.dat") << products << ' ' << measure_product_peak(1) / scan_flops(sizes, Q)
                                   << '\n';
}

// A mask of 64 rows in three ways, in microseconds.
void masks(std::ostream& measured) {
  constexpr std::size_t n = 64, repeats = 200;
  auto dA = zeros<float>(n);
  std::vector<float> a(n, 0.97F), dt(n, 0.1F), scores(n * n, 0.5F), decay(n), M(n * n),
      sums(n * n, -0.5F);
  dA.fill(-0.03F);
  const auto micro = [&](const auto& task) {
    return 1e6 / repeats * shortest_seconds(3, [&] {
             for (std::size_t i = 0; i < repeats; ++i) task();
           });
  };
  measured << "[mask]\n"
           << text("segment sums and exponentials, the plain way %7.1f us\n",
                   micro([&] { decay_mask(dA); }))
           << text("one exponential an entry, vectorised        %7.1f us\n",
                   micro([&] { kernels<float>().exponential(sums.data(), M.data(), n * (n + 1) / 2); }))
           << text("a multiplication an entry, scores included  %7.1f us\n", micro([&] {
                     kernels<float>().masked_scores(scores.data(), n, a.data(), dt.data(), decay.data(),
                                                    M.data(), n, n);
                   }));
}

// Large products in one thread, by the two libraries.
void products(std::ostream& measured) {
  constexpr std::size_t n = 768;
  const Tensor<float, 2> A({n, n}, 1.0F), B({n, n}, 1.0F);
  auto C = zeros<float>(n, n);
  const double blas = shortest_seconds(8, [&] {
    parallel_for(1, [&](std::size_t) {
      multiply<float>(as_matrix(A), transpose(as_matrix(B)), 0, as_matrix(C));
    });
  });
  measured << "[products]\n"
           << text("by BLAS                %7.1f billion operations\n", 2e-9 * n * n * n / blas)
           << text("by the faster of both  %7.1f\n", 1e-9 * measure_product_peak(1));
}

void chunk_lengths(const std::string& out) {
  const std::size_t T = 2048;
  const ScanInput<float> in = random_scan_input(sizes, 1, T);
  const double peak = measure_product_peak(1);
  auto file = demo::create(out + "/chunk_length.dat");
  for (const std::size_t Q : {16, 24, 32, 48, 64, 96, 128, 192, 256})
    file << Q << ' ' << 1e6 * shortest_seconds(3, [&] { fast_ssd(in, {.chunk_size = Q}); }) / T << ' '
         << 1e6 * measure_scan_products(sizes, Q) << ' ' << 1e6 * scan_flops(sizes, Q) / peak << '\n';
}

// Four heads, so that a quarter of a million tokens fit into the memory of a small machine; 0 where
// nobody wants to wait.
void lengths(const std::string& out) {
  const Mamba2Config four_heads{.d_model = 128};
  auto file = demo::create(out + "/length.dat");
  for (std::size_t T = 16; T <= 262144; T *= 4) {
    const ScanInput<float> in = random_scan_input(four_heads, 1, T);
    const auto micro = [&](const auto& task) {
      return 1e6 * shortest_seconds(2, task) / static_cast<double>(T);
    };
    file << T << ' ' << (T <= 16384 ? micro([&] { ssd(in, {.algorithm = Algorithm::recurrent}); }) : 0)
         << ' ' << micro([&] { ssd(in, {.chunk_size = 64}); }) << ' ' << micro([&] { fast_ssd(in); })
         << '\n';
  }
}

// A large weight times one token, as often as it goes in a second; beside it, how often the bytes
// of floats can be read.
void reading_steps(const std::string& out, std::ostream& measured, std::size_t all) {
  constexpr std::size_t rows = 65536, columns = 1024;  // 256 MiB of floats
  Tensor<float, 2> W = zeros<float>(rows, columns);
  for (std::size_t i = 0; i < W.size(); ++i) W.data()[i] = static_cast<float>(i % 7) - 3;
  const std::vector<float> x(8 * columns, 1.0F);
  std::vector<float> y(8 * rows);
  const MatrixRef<const float> token{x.data(), 1, columns, columns};
  const MatrixRef<float> result{y.data(), 1, rows, rows};
  const auto rate = [&](const auto& task) { return 1 / shortest_seconds(3, task); };
  const double bytes = static_cast<double>(W.size() * sizeof(float));
  const double alone = measure_read_bandwidth(1) / bytes;

  auto bars = demo::create(out + "/reading.dat");
  measured << "[reading]\n" << text("%-38s %9s  %8s  %7s\n", "", "per second", "gain", "of limit");
  Ladder ladder(bars, measured, 1, alone);
  ladder.step("matrix product of BLAS", rate([&] {
                parallel_for(1, [&](std::size_t) {
                  multiply<float>(token, transpose(as_matrix(std::as_const(W))), 0, result);
                });
              }));
  const auto dot = [&](std::size_t block) {  // of 4 rows: neighbours; of more: one from each quarter
    for (std::size_t r = 0; r < rows; r += block)
      kernels<float>().rows_dot(&W(r, 0), columns, block, columns, x.data(), columns, 1, &y[r], rows);
  };
  ladder.step("four neighbouring rows", rate([&] { dot(4); }));
  ladder.step("a row from each quarter", rate([&] { dot(256); }));
  if (all > 1) {
    set_num_threads(all);
    ladder.step(threads_text(all), rate([&] {
                  fast_operations<float>().linear(token, as_matrix(std::as_const(W)), {}, result);
                }));
  }
  const double together = measure_read_bandwidth(all) / bytes;

  // Several vectors at once: the weight is read once for all of them.
  auto batch = demo::create(out + "/batch.dat");
  for (std::size_t vectors = 1; vectors <= 8; ++vectors)
    batch << vectors << ' ' << static_cast<double>(vectors) * rate([&] {
                                 fast_operations<float>().linear({x.data(), vectors, columns, columns},
                                                                 as_matrix(std::as_const(W)), {},
                                                                 {y.data(), vectors, rows, rows});
                               })
          << ' ' << together << '\n';
  measured << text("%-38s %9.1f\n", "limit: reading floats, 1 thread", alone);
  if (all > 1)
    measured << text("%-38s %9.1f\n", ("limit: the same, " + threads_text(all)).c_str(), together);
  demo::create(out + "/reading_limit.dat") << alone << ' ' << together << '\n';
  set_num_threads(1);
}

// Half of the 130M model: a prompt, and writing. The most that a limit allows is measured before
// and after.
class WholeModel {
 public:
  explicit WholeModel(std::ostream& out) : out_(out) {}

  void run(std::size_t threads) {
    set_num_threads(threads);
    prompt(threads);
    write(threads);
  }

 private:
  void prompt(std::size_t threads) {
    const std::size_t T = 512;
    const Tensor<std::int64_t, 2> ids({1, T}, 7);
    against_limit(
        "prompt", threads, T, [&] { model_.prefill(ids, cache_); },
        [&] { return least_prompt_seconds(config_, T, 1, threads); });
  }

  void write(std::size_t threads) {
    const std::size_t steps = 16;
    const double bytes = steps * step_bytes(config_, sizeof(float), 1);
    against_limit(
        "writing", threads, steps,
        [&] {
          for (std::size_t i = 0; i < steps; ++i) model_.step({7}, cache_);
        },
        [&] { return bytes / measure_read_bandwidth(threads); });
  }

  void against_limit(const std::string& what, std::size_t threads, std::size_t tokens,
                     const std::function<void()>& task, const std::function<double()>& limit) {
    double least = limit();
    const double time = shortest_seconds(3, task);
    least = std::min(least, limit());
    out_ << '"' << what << ", " << threads_text(threads) << "\" " << static_cast<double>(tokens) / time
         << ' ' << static_cast<double>(tokens) / least << '\n';
  }

  std::ostream& out_;
  const LanguageModelConfig config_{.n_layer = 12, .vocab_size = 25144, .mixer = sizes};
  const LanguageModel<float> model_{config_, 1};
  LanguageModelCache<float> cache_ = model_.empty_cache(1);
};

}  // namespace

int main(int, char** argv) {
  const std::string out = argv[1];
  const std::size_t all = num_threads();
  keep_memory();
  set_num_threads(1);
  auto measured = demo::create(out + "/measured.txt"), model = demo::create(out + "/model.dat");
  two_limits(out, measured, all);
  warm_up(measured);
  profile(measured);
  operator_steps(out, measured, all);
  masks(measured);
  products(measured);
  chunk_lengths(out);
  lengths(out);
  reading_steps(out, measured, all);
  WholeModel whole(model);
  whole.run(1);
  if (all > 1) whole.run(all);
}
