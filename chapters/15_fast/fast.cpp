// # Within reach of the machine {#ch_fast}
// @summary The same model, faster: what a token costs, wide products, a mask without exponentials, threads over heads, reading every weight once, and weights of fewer bytes.
//
// The model is finished and right, and it is slow. A chapter about speed could now show a list of
// tricks. This one asks a question first: how fast *could* it be? A processor has two numbers that
// no program can beat. It multiplies matrices at a certain rate, and it reads memory at a certain
// rate. Both can be measured in a second. Divide the work of the model by the first and its bytes
// by the second, and you have a limit, in tokens per second, for this machine. After that the work
// is no longer open-ended. It consists of finding out where the time between the limit and the
// clock goes.
//
// The page is long. Up to *Two limits* it counts and measures; then come the pieces, from the
// inside out: threads, loops, the scan, products, the rest of the block, weights of fewer bytes.
// Whoever wants to know first what each of them bought can read *Step by step*, towards the end,
// and come back.
//
// With one exception that has to be asked for (weights in fewer bytes, which are rounded), nothing
// in this chapter changes what is computed. Each fast function stands beside a plain one from an
// earlier chapter, has the same interface, and is tested against it.
//
// ## What it builds on {#fast_builds_on}
//
// @Chapter{duality} for the matrix product on parts of tensors, @chapter{chunked_scan} for the
// chunk and its four steps, @chapter{real_sequences} for the operator with all its options,
// @chapter{convolution_and_norm} for convolution and norm, @chapter{mamba2_block} for the table of
// operations that the block computes with, @chapter{one_token_at_a_time} for the step of one token,
// @chapter{language_model} for the model that is measured, @chapter{selection} for random numbers.
//
// ## Shapes {#fast_shapes}
//
// ::: shapes
// | name | shape | what it is |
// |---|---|---|
// | `state` | (heads · headdim, d_state) | the states of all heads of a group, one under the other: *one* matrix |
// | `scores` | (length, length) | $CB^\top$ of a chunk: one for all heads of the group |
// | `X`, `Y` | (length, heads · headdim) | inputs and outputs of all heads, side by side |
// | `M` | (length, length) | scores times mask, for one head at a time |
// | `decay` | (length) | one row of the mask, times step sizes; grows by an entry with each row |
// | $W$ | (d_out, d_in) | a weight, as checkpoints store it |
// :::
//
// ## What a token costs {#fast_cost}
//
// Take one layer of the 130M model and count multiply-adds for one token, with chunks of $Q$. The
// two projections are products with fixed weights. In the scan, @chapter{chunked_scan} counted
// $QN + QP + 2NP$ for one head. But B and C belong to a *group* of heads, and so do their scores:
// with $H$ heads in the group the term $QN$ is paid once and not $H$ times. One layer costs
//
// $$ \underbrace{d_{\mathrm{in\_proj}} \, d_{\mathrm{model}} + d_{\mathrm{inner}} \, d_{\mathrm{model}}}_{\text{projections}}
//    + \underbrace{Q N}_{\text{scores}} + H \bigl( \underbrace{Q P}_{\text{mask}} + \underbrace{2 N P}_{\text{state, in and out}} \bigr) . $$ {#eq:layer_cost}
//
// @output cost
//
// Two things stand out. Most of the model is the two projections, which are ordinary matrix
// products. (The convolution is left out of the formula; as the list shows, it hardly counts.) And
// in the scan itself, the terms that grow with the chunk are small: most of the work is moving
// tokens into the state and out of it. All in all the scan is little more than a tenth of the
// arithmetic. Where it takes more than that of the *time*, its problem is not how much it computes
// but how.
//
// ## Two limits {#fast_limits}
//
// A product of two large square matrices reuses each number it loads hundreds of times, so it shows
// the arithmetic alone. That is the first limit. (`parallel_for` and `product` come further down,
// as does the sum of the second limit; here it is enough that they run, multiply and add.)

#include <mamba2/error.hpp>
#include <mamba2/fast.hpp>
#include <mamba2/kernels.hpp>
#include <mamba2/limits.hpp>
#include <mamba2/matrix.hpp>
#include <mamba2/parallel.hpp>
#include <mamba2/products.hpp>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <exception>
#include <limits>
#include <memory>
#include <mutex>
#include <numeric>
#include <thread>
#include <vector>

#ifdef __GLIBC__
#include <malloc.h>
#endif

namespace mamba2 {
namespace {

std::atomic<std::size_t> wanted_threads = std::max(1U, std::thread::hardware_concurrency());

// Holds a number of threads for as long as it lives.
class WithThreads {
 public:
  explicit WithThreads(std::size_t count) : before_(num_threads()) { set_num_threads(count); }
  ~WithThreads() { wanted_threads = before_; }
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

namespace {

template <class Weight>
double product_rate(std::size_t threads) {
  constexpr std::size_t n = 768;
  const std::vector<float> x(n * n, 1.0F);
  const std::vector<Weight> weight(n * n, Weight(1));
  std::vector<float> y(n * n * threads);
  const WithThreads with(threads);
  const double seconds = shortest_seconds(8, [&] {
    parallel_for(threads, [&](std::size_t i) {
      product<float>({x.data(), n, n, n}, {weight.data(), n, n, n}, {y.data() + i * n * n, n, n, n});
    });
  });
  return 2.0 * n * n * n * static_cast<double>(threads) / seconds;
}

}  // namespace

double measure_product_peak(std::size_t threads, WeightType type) {
  if (type == WeightType::bfloat16) return product_rate<bfloat16_bits>(threads);
  if (type == WeightType::int8) return product_rate<std::int8_t>(threads);
  return product_rate<float>(threads);
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

// The two counts that they are held against follow from a model's sizes. Operations first:

double scan_flops(const Mamba2Config& config, std::size_t chunk_size) {
  const Mamba2Sizes s = config;
  const auto Q = static_cast<double>(chunk_size), N = static_cast<double>(s.d_state);
  const auto P = static_cast<double>(s.headdim), H = static_cast<double>(s.nheads);
  return 2 * (static_cast<double>(s.ngroups) * Q * N + H * (Q * P + 2 * N * P));
}

double projection_flops(const LanguageModelConfig& config) {
  std::size_t weights = 0;
  for (const Branch& branch : config.branches())
    for (const ParameterInfo& info : branch.mixer->parameters())
      if (info.role == Role::weight || info.role == Role::output_weight) weights += info.size();
  return 2 * static_cast<double>(weights);
}

double layer_flops(const LanguageModelConfig& config, std::size_t chunk_size) {
  double flops = projection_flops(config);
  for (const Branch& branch : config.branches()) {
    const auto* const block = branch.mixer.find<Mamba2Config>();
    if (block == nullptr) continue;
    const Mamba2Sizes s = *block;
    flops += 2 * static_cast<double>(s.conv_dim * s.d_conv) + scan_flops(*block, chunk_size);
  }
  return flops;
}

double head_flops(const LanguageModelConfig& config) {
  return 2 * static_cast<double>(config.padded_vocab_size() * config.d_model());
}

double least_prompt_seconds(const LanguageModelConfig& config, std::size_t tokens, std::size_t scored,
                            std::size_t threads, WeightType type) {
  const std::size_t chunk_size = fast_operations<float>().chunk_size;
  const double weights = static_cast<double>(tokens) * projection_flops(config) +
                         static_cast<double>(scored) * head_flops(config);
  const double others =
      static_cast<double>(tokens) * (layer_flops(config, chunk_size) - projection_flops(config));
  return weights / measure_product_peak(threads, type) + others / measure_product_peak(threads);
}

// And bytes. An embedding that is not the head as well is hardly read: one row for each token.

double step_bytes(const LanguageModelConfig& config, double weight_bytes, std::size_t batch) {
  const std::size_t rows = config.tie_embeddings ? 0 : config.padded_vocab_size();
  const auto weights = static_cast<double>(parameter_count(config) - rows * config.d_model());
  std::size_t states = 0;
  for (const Branch& branch : config.branches()) states += branch.mixer->remembered();
  return weight_bytes * weights + 2.0 * sizeof(float) * static_cast<double>(batch * states);
}

// Which of the two counts depends on how many tokens go through the model at once. A weight of the
// projections is used once for each token. Reading it takes four bytes; using it takes two
// operations a token. With hundreds of tokens (a prompt) the arithmetic takes longer, with one
// token (generation) the reading does. The same model is bound by arithmetic when it reads and by
// memory when it writes.
//
// ## Threads that share a list {#fast_threads}
//
// The simplest way to use several cores is a loop whose turns do not touch each other's data. Each
// thread takes the next turn from a shared counter until none is left; so a thread that is slower,
// or starts late, just takes fewer.
//
// Two details decide whether this helps. When the model writes, a layer makes half a dozen such
// loops, each of them well under a millisecond. A thread that goes to sleep after each must be
// woken by the operating system, which takes longer than some of the loops; so a thread that has
// nothing to do looks at the counter for up to about a tenth of a millisecond before it lies down.
// And BLAS libraries bring threads of their own. If each of our threads starts a product that
// starts threads again, they fight for the same cores, which is slower than one thread alone. So
// OpenBLAS is told to use one.

extern "C" void openblas_set_num_threads(int)
    __attribute__((weak));  // null where BLAS is another library

namespace {

thread_local bool inside_task = false;

// One of BLAS's own threads, once for each of ours: where BLAS is built on OpenMP, the number
// belongs to the thread that sets it.
void one_blas_thread() {
  static std::mutex mutex;
  thread_local bool told = false;
  if (told || !openblas_set_num_threads) return;
  const std::lock_guard lock(mutex);
  openblas_set_num_threads(1);
  told = true;
}

class Pool {
 public:
  explicit Pool(std::size_t threads) {
    try {
      for (std::size_t i = 1; i < threads; ++i) workers_.emplace_back([this] { work(); });
    } catch (...) {  // the system has no more threads
      stop();
      throw;
    }
  }
  ~Pool() { stop(); }
  Pool(const Pool&) = delete;
  Pool& operator=(const Pool&) = delete;

  std::size_t threads() const { return workers_.size() + 1; }

  void run(std::size_t count, const TaskRef& task) {
    {
      const std::lock_guard lock(mutex_);
      task_ = &task;
      count_ = count;
      next_ = 0;
      busy_ = workers_.size();
      failure_ = nullptr;
      ++generation_;
    }
    wake_.notify_all();
    take_tasks();
    spin_until([this] { return busy_ == 0; });
    std::unique_lock lock(mutex_);
    done_.wait(lock, [this] { return busy_ == 0; });
    if (failure_) std::rethrow_exception(failure_);
  }

 private:
  void stop() {
    {
      const std::lock_guard lock(mutex_);
      stopping_ = true;
    }
    wake_.notify_all();
    for (std::thread& worker : workers_) worker.join();
  }

  template <class Condition>
  static void spin_until(const Condition& condition) {
    for (int spin = 0; spin < 4000 && !condition(); ++spin) {
#if defined(__x86_64__)
      __builtin_ia32_pause();
#endif
    }
  }

  void take_tasks() {
    inside_task = true;
    for (std::size_t i; (i = next_++) < count_;) {
      try {
        (*task_)(i);
      } catch (...) {
        const std::lock_guard lock(mutex_);
        failure_ = std::current_exception();
      }
    }
    inside_task = false;
  }

  void work() {
    one_blas_thread();
    for (std::size_t seen = 0;;) {
      spin_until([&] { return generation_ != seen; });
      {
        std::unique_lock lock(mutex_);
        wake_.wait(lock, [&] { return stopping_ || generation_ != seen; });
        if (stopping_) return;
        seen = generation_;
      }
      take_tasks();
      const std::lock_guard lock(mutex_);
      if (--busy_ == 0) done_.notify_one();
    }
  }

  std::vector<std::thread> workers_;
  std::mutex mutex_;
  std::condition_variable wake_, done_;
  std::atomic<std::size_t> generation_{0}, next_{0}, busy_{0};
  const TaskRef* task_ = nullptr;
  std::size_t count_ = 0;
  std::exception_ptr failure_;
  bool stopping_ = false;
};

std::mutex pool_mutex;  // one parallel loop at a time
std::unique_ptr<Pool> pool;

}  // namespace

std::size_t num_threads() {
  return wanted_threads;
}

void set_num_threads(std::size_t count) {
  require(count > 0, "threads", "at least 1", "0");
  wanted_threads = count;
}

// A loop inside a task, or one that finds the pool at work for somebody else, runs in its own
// thread: always right, never stuck.

void parallel_for(std::size_t count, TaskRef task) {
  one_blas_thread();
  const std::size_t threads = wanted_threads;
  std::unique_lock lock(pool_mutex, std::defer_lock);
  if (inside_task || count <= 1 || threads == 1 || !lock.try_lock()) {
    for (std::size_t i = 0; i < count; ++i) task(i);
    return;
  }
  if (!pool || pool->threads() != threads) {
    pool.reset();
    pool = std::make_unique<Pool>(threads);
  }
  pool->run(count, task);
}

}  // namespace mamba2
