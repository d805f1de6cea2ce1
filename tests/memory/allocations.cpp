// How often memory is set aside while a model writes: after the first token, never. Ends with an error if it is.
#include <mamba2/compact.hpp>
#include <mamba2/fast.hpp>
#include <mamba2/language_model.hpp>
#include <mamba2/parallel.hpp>

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

// The number of allocations while some texts grow by ten tokens, the first token after the prompt not counted.
template <class Real>
std::size_t in_ten_tokens(const Predictor<Real>& model) {
  const std::array<std::int64_t, 2> ids{5, 1000};
  auto cache = model.empty_cache(ids.size());
  auto logits = zeros<Real>(ids.size(), model.config().padded_vocab_size());
  model.step(ids, cache, as_matrix(logits));
  const std::size_t before = allocations;
  for (int i = 0; i < 10; ++i) model.step(ids, cache, as_matrix(logits));
  return allocations - before;
}

bool none(const char* what, std::size_t threads, std::size_t count) {
  std::printf("%-40s %zu threads: %zu allocations in ten tokens\n", what, threads, count);
  return count == 0;
}

}  // namespace

int main() {
  LanguageModel<float> single(config(), 1);
  const LanguageModel<double> exact(config(), 1);
  bool ok = true;
  for (const std::size_t threads : {1, 2, 3}) {
    set_num_threads(threads);
    ok = none("float, fast operations", threads, in_ten_tokens(single)) && ok;
    ok = none("double, fast operations", threads, in_ten_tokens(exact)) && ok;
  }
  single.use(plain_operations<float>());
  ok = none("float, plain operations", 1, in_ten_tokens(single)) && ok;
  const CompactLanguageModel<float> compact(std::move(single), WeightType::bfloat16);
  ok = none("bfloat16, plain operations", 3, in_ten_tokens(compact)) && ok;
  return ok ? 0 : 1;
}
