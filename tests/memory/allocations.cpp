// How often memory is set aside while a model writes: after the first token, never. Ends with an error if it is.
#include <mamba2/compact.hpp>
#include <mamba2/fast.hpp>
#include <mamba2/language_model.hpp>
#include <mamba2/parallel.hpp>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <new>
#include <utility>

namespace {

std::atomic<std::size_t> allocations{0};

void* allocate(std::size_t size) {
  ++allocations;
  if (void* const memory = std::malloc(size == 0 ? 1 : size)) return memory;
  throw std::bad_alloc();
}

}  // namespace

void* operator new(std::size_t size) {
  return allocate(size);
}
void* operator new[](std::size_t size) {
  return allocate(size);
}
void operator delete(void* memory) noexcept {
  std::free(memory);
}
void operator delete[](void* memory) noexcept {
  std::free(memory);
}
void operator delete(void* memory, std::size_t) noexcept {
  std::free(memory);
}
void operator delete[](void* memory, std::size_t) noexcept {
  std::free(memory);
}

namespace {

using namespace mamba2;

LanguageModelConfig config() {
  return {.n_layer = 3,
          .vocab_size = 1003,
          .mixer = Mamba2Config{.d_model = 96, .d_state = 24, .headdim = 16, .ngroups = 2, .bias = true},
          .d_intermediate = 100};
}

// The number of allocations while some texts grow by ten tokens, the first token after the prompt not counted. A thread that
// has its first task only later sets its own room aside then; so of several tens of tokens the best counts.
template <class Real>
std::size_t in_ten_tokens(const Predictor<Real>& model) {
  const std::array<std::int64_t, 2> ids{5, 1000};
  auto cache = model.empty_cache(ids.size());
  auto logits = zeros<Real>(ids.size(), model.config().padded_vocab_size());
  model.step(ids, cache, as_matrix(logits));
  std::size_t fewest = 1000;
  for (int round = 0; round < 10; ++round) {
    const std::size_t before = allocations;
    for (int i = 0; i < 10; ++i) model.step(ids, cache, as_matrix(logits));
    fewest = std::min<std::size_t>(fewest, allocations - before);
  }
  return fewest;
}

bool none(const char* what, std::size_t threads, std::size_t count) {
  std::printf("%-40s %zu threads: %zu allocations in ten tokens\n", what, threads, count);
  return count == 0;
}

}  // namespace

int main() {
  LanguageModel<float> single(config(), 1);
  const LanguageModel<double> exact(config(), 1);
  auto older = config();
  older.other_mixers[1] = Mamba1Config{.d_model = 96};
  bool ok = none("with a Mamba-1 block", 2, in_ten_tokens(LanguageModel<float>(older, 1)));
  for (const std::size_t threads : {1, 2, 3}) {
    set_num_threads(threads);
    ok = none("float", threads, in_ten_tokens(single)) && ok;
    ok = none("double", threads, in_ten_tokens(exact)) && ok;
  }
  const CompactLanguageModel<float> compact(std::move(single), WeightType::bfloat16);
  ok = none("weights in bfloat16", 3, in_ten_tokens(compact)) && ok;
  return ok ? 0 : 1;
}
