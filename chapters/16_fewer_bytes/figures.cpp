// Computes and measures what this chapter's figures and tables show.
#include <mamba2/compact.hpp>
#include <mamba2/compact_limits.hpp>
#include <mamba2/costs.hpp>
#include <mamba2/fast.hpp>
#include <mamba2/half.hpp>
#include <mamba2/parallel.hpp>
#include <mamba2/random.hpp>

#include <cmath>
#include <cstdio>
#include <fstream>
#include <functional>
#include <memory>
#include <string>
#include <vector>

using namespace mamba2;

namespace {

std::string text(const char* format, auto... values) {
  char line[200];
  std::snprintf(line, sizeof line, format, values...);
  return line;
}

std::string threads_text(std::size_t threads) {
  return std::to_string(threads) + (threads == 1 ? " thread" : " threads");
}

// What is left of a row, each `group` numbers with a scale of their own.
std::vector<double> whole(const std::vector<double>& row, std::size_t group) {
  std::vector<double> rounded(row.size());
  for (std::size_t begin = 0; begin < row.size(); begin += group) {
    double largest = 0;
    for (std::size_t j = begin; j < begin + group; ++j) largest = std::max(largest, std::abs(row[j]));
    for (std::size_t j = begin; j < begin + group; ++j)
      rounded[j] = std::round(row[j] / largest * 127) * largest / 127;
  }
  return rounded;
}

// A row of 1024 weights, one of which is made larger: the error of its product with a token, the
// mean of many tokens.
void outlier(const std::string& out) {
  constexpr std::size_t n = 1024, tokens = 200;
  std::ofstream file(out + "/outlier.dat");
  for (double size = 1; size < 1050; size *= 1.3) {
    Random random(1);
    double half_error = 0, byte_error = 0, group_error = 0, squares = 0;
    for (std::size_t token = 0; token < tokens; ++token) {
      std::vector<double> row(n), x(n);
      for (double& w : row) w = random.uniform(-1, 1);
      for (double& value : x) value = random.uniform(-1, 1);
      row[100] = size;
      const std::vector<double> by_row = whole(row, n), by_group = whole(row, 32);
      double half = 0, byte = 0, group = 0, others = 0;
      for (std::size_t j = 0; j < n; ++j) {
        const double w = row[j];
        half += (static_cast<double>(bfloat16_to_float(float_to_bfloat16(static_cast<float>(w)))) - w) *
                x[j];
        byte += (by_row[j] - w) * x[j];
        group += (by_group[j] - w) * x[j];
        if (j != 100) others += w * x[j];
      }
      half_error += half * half;
      byte_error += byte * byte;
      group_error += group * group;
      squares += others * others;
    }
    file << size << ' ' << std::sqrt(half_error / squares) << ' ' << std::sqrt(byte_error / squares)
         << ' ' << std::sqrt(group_error / squares) << '\n';
  }
}

// Large products in one thread.
void products(std::ostream& measured) {
  measured << "[products]\n"
           << text("weights in float     %7.1f billion operations\n", 1e-9 * measure_product_peak(1))
           << text("weights in bfloat16  %7.1f\n", 1e-9 * measure_product_peak(1, WeightType::bfloat16))
           << text("weights in int8      %7.1f\n", 1e-9 * measure_product_peak(1, WeightType::int8));
}

// A large weight times one token, as often as it goes in a second.
void reading(const std::string& out, std::ostream& measured, std::size_t all) {
  constexpr std::size_t rows = 65536, columns = 1024;  // 256 MiB of floats
  Tensor<float, 2> W = zeros<float>(rows, columns);
  for (std::size_t i = 0; i < W.size(); ++i) W.data()[i] = static_cast<float>(i % 7) - 3;
  const std::vector<float> x(columns, 1.0F);
  std::vector<float> y(rows);
  const MatrixRef<const float> token{x.data(), 1, columns, columns};
  const MatrixRef<float> result{y.data(), 1, rows, rows};
  const double bytes = static_cast<double>(W.size() * sizeof(float));
  set_num_threads(all);
  std::ofstream bars(out + "/fewer.dat");
  measured << "[reading]\n" << text("%-22s %10s  %s\n", "", "per second", "times float");
  double of_floats = 0;
  const auto bar = [&](const char* what, const auto& task) {
    const double rate = 1 / shortest_seconds(3, task);
    if (of_floats == 0) of_floats = rate;
    bars << '"' << what << "\" " << rate << '\n';
    measured << text("%-22s %10.1f  %11.2f\n", what, rate, rate / of_floats);
  };
  bar("float32",
      [&] { fast_operations<float>().linear(token, as_matrix(std::as_const(W)), {}, result); });
  const double limit = measure_read_bandwidth(all) / bytes;
  for (const auto type : {WeightType::bfloat16, WeightType::int8}) {
    Tensor<float, 2> copy = W;
    const auto weight = compact_weight(copy, type);
    bar(name_of(type), [&] { weight->multiply(token, {}, result, fast_operations<float>()); });
  }
  measured << text("%-22s %10.1f\n", "limit: reading floats", limit);
  std::ofstream(out + "/fewer_limit.dat") << limit << '\n';
}

// Half of the 130M model: a prompt, and writing, with weights of each type. The most that a limit
// allows is measured before and after.
class WholeModel {
 public:
  WholeModel(std::ostream& out, std::size_t threads) : out_(out), threads_(threads) {}

  void run() {
    for (const auto type : {WeightType::full, WeightType::bfloat16, WeightType::int8}) {
      type_ = type;
      model_.reset();  // one at a time
      LanguageModel<float> full(config_, 1);
      if (type == WeightType::full)
        model_ = std::make_unique<LanguageModel<float>>(std::move(full));
      else
        model_ = std::make_unique<CompactLanguageModel<float>>(std::move(full), type);
      cache_ = model_->empty_cache(1);
      prompt();
      write();
    }
  }

 private:
  void prompt() {
    const std::size_t T = 512;
    const Tensor<std::int64_t, 2> ids({1, T}, 7);
    against_limit(
        "prompt", T, [&] { model_->prefill(ids, cache_); },
        [&] { return least_prompt_seconds(config_, T, 1, threads_, type_); });
  }

  void write() {
    const std::size_t steps = 16;
    const double bytes = steps * step_bytes(config_, static_cast<double>(bytes_of(type_)), 1);
    against_limit(
        "writing", steps,
        [&] {
          for (std::size_t i = 0; i < steps; ++i) model_->step({7}, cache_);
        },
        [&] { return bytes / measure_read_bandwidth(threads_); });
  }

  void against_limit(const char* what, std::size_t tokens, const std::function<void()>& task,
                     const std::function<double()>& limit) {
    set_num_threads(threads_);
    double least = limit();
    const double time = shortest_seconds(3, task);
    least = std::min(least, limit());
    out_ << '"' << what << ", " << name_of(type_) << ", " << threads_text(threads_) << "\" "
         << static_cast<double>(tokens) / time << ' ' << static_cast<double>(tokens) / least << '\n';
  }

  std::ostream& out_;
  std::size_t threads_;
  const LanguageModelConfig config_{
      .n_layer = 12, .vocab_size = 25144, .mixer = Mamba2Config{.d_model = 768}};
  WeightType type_ = WeightType::full;
  std::unique_ptr<Predictor<float>> model_;
  LanguageModelCache<float> cache_;
};

}  // namespace

int main(int, char** argv) {
  const std::string out = argv[1];
  const std::size_t all = num_threads();
  keep_memory();
  std::ofstream measured(out + "/measured.txt"), types(out + "/types.dat");
  outlier(out);
  products(measured);
  reading(out, measured, all);
  WholeModel(types, all).run();
}
