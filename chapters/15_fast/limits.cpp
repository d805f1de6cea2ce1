// ## Two limits {#fast_limits}
//
// Here they are for the machine that made these pages, and what follows from them for the 130M
// model:
//
// @measured limits
//
// The first line is what the processor could do if nothing had to be fetched, not even from its own
// cache; the second is what the best library makes of it with matrices; the third is the memory.
// The last two divide the model's operations by the second, and its bytes by the third. Which of
// them counts depends on how many operations there are for each byte:
//
// ::: figure roofline
// The most that this machine can compute, by how often a byte is used once it is read. Left of the
// bend the memory is the limit, right of it the arithmetic. The points are the 130M model: writing
// one text, eight at once, reading a prompt.
// :::
//
// A prompt uses each weight for every one of its tokens and lies far to the right. Writing uses it
// once, and lies at the left end, where nothing but reading counts. Eight texts at once are in
// between. So there are two problems, and the page solves one after the other. How the limits are
// measured:
//
// A product of two large square matrices reuses each number it loads hundreds of times, so it shows
// the arithmetic alone. That is the first limit. (`parallel_for` and `product` come further down,
// as does the sum of the second limit; here it is enough that they run, multiply and add.)

#include <mamba2/fast.hpp>
#include <mamba2/kernels.hpp>
#include <mamba2/limits.hpp>
#include <mamba2/matrix.hpp>
#include <mamba2/parallel.hpp>
#include <mamba2/products.hpp>

#include <algorithm>
#include <chrono>
#include <limits>
#include <vector>

#ifdef __GLIBC__
#include <malloc.h>
#endif

namespace mamba2 {
namespace {

// Holds a number of threads for as long as it lives.
class WithThreads {
 public:
  explicit WithThreads(std::size_t count) : before_(num_threads()) { set_num_threads(count); }
  ~WithThreads() { set_num_threads(before_); }
  WithThreads(const WithThreads&) = delete;
  WithThreads& operator=(const WithThreads&) = delete;

 private:
  std::size_t before_;
};

}  // namespace

// Memory that a program gives back goes to the system, and what comes from the system next is slow
// when it is first touched: each page has to be found and filled with zeros. A program that
// measures had better keep the memory it has had once.

void keep_memory() {
#ifdef M_TRIM_THRESHOLD
  mallopt(M_MMAP_MAX, 0);         // everything comes from the heap
  mallopt(M_TRIM_THRESHOLD, -1);  // which never shrinks
#endif
}

double shortest_seconds(std::size_t runs, const std::function<void()>& task) {
  double best = std::numeric_limits<double>::infinity();
  for (std::size_t run = 0; run < runs; ++run) {
    const auto start = std::chrono::steady_clock::now();
    task();
    best =
        std::min(best, std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
  }
  return best;
}

// Of the two libraries that multiply, the faster one counts. (The second comes with *Two libraries
// for products*.)

double measure_products(std::size_t threads, const Multiply& make) {
  constexpr std::size_t n = product_size;
  const std::vector<float> x(n * n, 1.0F);
  std::vector<float> y(n * n * threads);
  const WithThreads with(threads);
  const double seconds = shortest_seconds(8, [&] {
    parallel_for(threads,
                 [&](std::size_t i) { make({x.data(), n, n, n}, {y.data() + i * n * n, n, n, n}); });
  });
  return 2.0 * n * n * n * static_cast<double>(threads) / seconds;
}

double measure_product_peak(std::size_t threads) {
  constexpr std::size_t n = product_size;
  const std::vector<float> numbers(n * n, 1.0F);
  const MatrixRef<const float> weight{numbers.data(), n, n, n};
  using In = MatrixRef<const float>;
  using Out = MatrixRef<float>;
  return std::max(
      measure_products(threads, [&](In x, Out y) { product<float>(x, weight, y); }),
      measure_products(threads, [&](In x, Out y) { multiply<float>(x, transpose(weight), 0, y); }));
}

// And above that there is what the processor does when nothing has to be fetched at all: numbers in
// registers, multiplied and added. It says how good the products are.

double measure_register_peak(std::size_t threads) {
  constexpr std::size_t times = 200'000;
  std::vector<float> results(threads);
  std::vector<double> operations(threads);
  const WithThreads with(threads);
  const double seconds = shortest_seconds(8, [&] {
    parallel_for(threads, [&](std::size_t i) {
      operations[i] = kernels<float>().multiply_adds(times, results[i]);
    });
  });
  return operations[0] * static_cast<double>(threads) / seconds;
}

// A sum over an array far larger than the cache does one addition for every four bytes it reads, so
// it shows the memory alone. That is the second.

double measure_read_bandwidth(std::size_t threads) {
  const WithThreads with(threads);
  constexpr std::size_t size = std::size_t{1} << 26, parts = 64;  // 256 MiB
  const Tensor<float, 1> numbers = zeros<float>(size);
  std::vector<float> sums(parts);
  const double seconds = shortest_seconds(4, [&] {
    parallel_for(parts, [&](std::size_t i) {
      sums[i] = kernels<float>().sum(numbers.data() + i * (size / parts), size / parts);
    });
  });
  return static_cast<double>(size * sizeof(float)) / seconds;
}

// The least time for a prompt is its operations over that rate.

double least_prompt_seconds(const LanguageModelConfig& config, std::size_t tokens, std::size_t scored,
                            std::size_t threads) {
  const PromptFlops flops = prompt_flops(config, fast_operations<float>().chunk_size, tokens, scored);
  return (flops.weights + flops.others) / measure_product_peak(threads);
}

// And where does the time of a prompt really go? With everything of this chapter in place, in one
// thread:
//
// @measured profile
//
// The products with weights are the larger part, as the count says. The scan takes more of the time
// than of the operations: its products are small.

}  // namespace mamba2
