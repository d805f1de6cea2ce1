// Everything that runs on several threads, under the thread sanitizer: it ends the program with an error if two threads touch
// the same memory without agreeing on it.
#include <mamba2/compact.hpp>
#include <mamba2/fast.hpp>
#include <mamba2/language_model.hpp>
#include <mamba2/parallel.hpp>

#include <cstdio>
#include <stdexcept>
#include <thread>
#include <utility>
#include <vector>

using namespace mamba2;

namespace {

Tensor<std::int64_t, 2> some_ids(std::size_t batch, std::size_t seqlen) {
  auto ids = Tensor<std::int64_t, 2>::from_shape({batch, seqlen});
  for (std::size_t i = 0; i < ids.size(); ++i) ids.data()[i] = static_cast<std::int64_t>(i * 7 % 60);
  return ids;
}

void read_and_write(const Predictor<float>& model) {
  auto cache = model.empty_cache(2);
  model.prefill(some_ids(2, 70), cache);
  for (int i = 0; i < 3; ++i) model.step({1, 2}, cache);
}

}  // namespace

int main() {
  LanguageModel<float> model(
      {.n_layer = 2, .vocab_size = 600, .mixer = Mamba2Config{.d_model = 96, .d_state = 16, .headdim = 16}}, 1);
  for (const std::size_t threads : {1, 2, 3, 8}) {
    set_num_threads(threads);
    read_and_write(model);
    try {  // a task that fails does not disturb the others
      parallel_for(20, [](std::size_t i) {
        if (i % 5 == 0) throw std::runtime_error("a task");
      });
    } catch (const std::runtime_error&) {
    }
  }
  {  // two callers at once
    std::vector<std::jthread> callers;
    for (int i = 0; i < 3; ++i) callers.emplace_back([&] { read_and_write(model); });
  }
  read_and_write(CompactLanguageModel<float>(std::move(model), WeightType::bfloat16));
  std::puts("no race");
}
