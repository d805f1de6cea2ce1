// The data of this chapter's figures.
#include <demo/figure.hpp>
#include <mamba2/block.hpp>

#include <algorithm>
#include <chrono>
#include <fstream>
#include <string>
#include <vector>

using namespace mamba2;

namespace {

constexpr std::size_t d_model = 64, length = 100000;

const Mamba2Block<float>& block() {
  static const Mamba2Block<float> made(
      {.d_model = d_model, .d_state = 16, .headdim = 16, .chunk_size = 64}, 0);
  return made;
}

// Megabytes that the process occupies, as the system counts; 0 where it does not tell.
double resident() {
  std::ifstream statm("/proc/self/statm");
  double all = 0, pages = 0;
  statm >> all >> pages;
  return pages * 4096 / 1e6;
}

double now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

Tensor<float, 3> noise(std::size_t tokens) {
  Random random(1);
  auto u = zeros<float>(1, tokens, d_model);
  for (auto& value : u) value = static_cast<float>(random.normal());
  return u;
}

// Tokens so far, microseconds for one step (the median of a thousand), megabytes more than before
// the first.
void steps(std::ofstream out) {
  const auto u = noise(1);
  const Tensor<float, 2> token = xt::view(u, xt::all(), 0);
  auto cache = block().empty_cache(1);
  for (int i = 0; i < 1000; ++i) block().step(token, cache);  // warm up
  cache = block().empty_cache(1);
  std::vector<double> taken(1000);
  const double before = resident();
  for (std::size_t t = 0; t < length; t += taken.size()) {
    for (double& seconds : taken) {
      const double start = now();
      block().step(token, cache);
      seconds = now() - start;
    }
    std::nth_element(taken.begin(), taken.begin() + 500, taken.end());
    out << t + 500 << ' ' << 1e6 * taken[500] << ' ' << resident() - before << '\n';
  }
}

// Tokens so far, microseconds to run all of them again.
void again(std::ofstream out) {
  const auto u = noise(20000);
  for (const std::size_t tokens : {100, 200, 500, 1000, 2000, 5000, 10000, 20000}) {
    const Tensor<float, 3> text = xt::view(u, xt::all(), xt::range(0, tokens));
    double best = 1e9;
    for (int i = 0; i < (tokens > 5000 ? 1 : 3); ++i) {
      const double start = now();
      block().forward(text);
      best = std::min(best, now() - start);
    }
    out << tokens << ' ' << 1e6 * best << '\n';
  }
}

}  // namespace

int main(int, char** arguments) {
  const std::string folder = std::string(arguments[1]) + "/";
  steps(demo::create(folder + "steps.dat"));
  again(demo::create(folder + "again.dat"));
}
