// ## Threads that share a list {#fast_threads}
//
// The simplest way to use several cores is a loop whose turns do not touch each other's data. Each
// thread takes the next turn from a shared counter until none is left; so a thread that is slower,
// or starts late, just takes fewer.
//
// Two details decide whether this helps. When the model writes, a layer makes three such loops,
// each of them well under a millisecond. A thread that goes to sleep after each must be woken by
// the operating system, which takes longer than some of the loops; so a thread that has nothing to
// do looks at the counter for up to about a tenth of a millisecond before it lies down.

#include <mamba2/error.hpp>
#include <mamba2/parallel.hpp>
#include <mamba2/processors.hpp>

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <exception>
#include <memory>
#include <mutex>
#include <string>
#include <system_error>
#include <thread>
#include <vector>

#ifdef __unix__
#include <pthread.h>
#endif

// The other detail: the libraries that multiply bring threads of their own. If each of our threads
// starts a product that starts threads again, they fight for the same cores, which is slower than
// one thread alone. So they are told to use one. Where they are built on OpenMP the number belongs
// to the thread that sets it; it is lent, and given back. OpenBLAS with threads of its own knows
// one number for the whole process.

extern "C" {  // null where there is no such library in the program
void openblas_set_num_threads(int) __attribute__((weak));
int openblas_get_num_threads() __attribute__((weak));
int openblas_get_parallel() __attribute__((weak));
void omp_set_num_threads(int) __attribute__((weak));
int omp_get_max_threads() __attribute__((weak));
}

namespace mamba2 {

OneThread::OneThread() {
  if (omp_set_num_threads && omp_get_max_threads) {
    before_ = omp_get_max_threads();
    if (before_ != 1) omp_set_num_threads(1);
  }
  constexpr int of_openmp = 2;
  if (openblas_set_num_threads && openblas_get_num_threads && openblas_get_parallel &&
      openblas_get_parallel() != of_openmp && openblas_get_num_threads() != 1)
    openblas_set_num_threads(1);
}

OneThread::~OneThread() {
  if (before_ != 1) omp_set_num_threads(before_);
}

// Here are the threads. The calling one works with them, so for two there is one more.

namespace {

thread_local bool inside_task = false;

class Pool {
 public:
  explicit Pool(std::size_t threads) {
    try {
      for (std::size_t i = 1; i < threads; ++i) workers_.emplace_back([this] { work(); });
    } catch (const std::system_error& error) {  // the system has no more of them
      const std::size_t started = this->threads();
      stop();
      throw ValueError("threads: expected at most " + std::to_string(started) +
                       ", as many as the system lets this process have now (" + error.code().message() +
                       "), got " + std::to_string(threads) + "; for " +
                       std::to_string(usable_processors()) + " processors");
    } catch (...) {
      stop();
      throw;
    }
  }
  ~Pool() { stop(); }
  Pool(const Pool&) = delete;
  Pool& operator=(const Pool&) = delete;

  std::size_t threads() const { return workers_.size() + 1; }
  void run(std::size_t count, const TaskRef& task);

 private:
  void stop();
  void take_tasks();
  void work();

  std::vector<std::thread> workers_;
  std::mutex mutex_;
  std::condition_variable wake_, done_;
  std::atomic<std::size_t> generation_{0}, next_{0}, busy_{0};
  const TaskRef* task_ = nullptr;
  std::size_t count_ = 0;
  std::exception_ptr failure_;
  bool stopping_ = false;
};

template <class Condition>
void spin_until(const Condition& condition) {
  for (int spin = 0; spin < 4000 && !condition(); ++spin) {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#endif
  }
}

// Whoever has a loop to run writes down what is to be done, wakes the others, and takes turns
// itself. A loop has a number, `generation_`, by which a worker sees that it is a new one.

void Pool::run(std::size_t count, const TaskRef& task) {
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

void Pool::take_tasks() {
  const OneThread one_thread;
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

void Pool::work() {
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

void Pool::stop() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  wake_.notify_all();
  for (std::thread& worker : workers_) worker.join();
}

// A process can split itself in two, by `fork()`. The child is a copy of all memory, but of all
// threads it has only the one that called: a pool copied from its parent waits for workers that are
// not there. So the child puts aside what it inherits, without touching it, and begins with no pool
// at all; and with a lock of its own, for nobody is left to open the old one.

struct Threads {
  std::mutex one_loop;  // at a time
  std::unique_ptr<Pool> pool;
  Threads* of_parent = nullptr;  // for tools that look for lost memory: this is none
};

Threads* threads_now = nullptr;

void start_as_child() {
  threads_now = new Threads{.one_loop = {}, .pool = {}, .of_parent = threads_now};
}

Threads& threads() {
  static const bool ready = [] {
    threads_now = new Threads;
#ifdef __unix__
    pthread_atfork(nullptr, nullptr, start_as_child);
#endif
    return true;
  }();
  (void)ready;
  return *threads_now;
}

// When the program ends, so do the workers.
const struct AtExit {
  AtExit() { threads(); }
  ~AtExit() { threads_now->pool.reset(); }
} at_exit;

std::atomic<std::size_t>& wanted_threads() {
  static std::atomic<std::size_t> number = usable_processors();
  return number;
}

}  // namespace

std::size_t num_threads() {
  return wanted_threads();
}

void set_num_threads(std::size_t count) {
  const std::size_t most = std::max<std::size_t>(1024, 4 * usable_processors());
  require(count > 0, "threads", "at least 1", "0");
  require(count <= most, "threads",
          "at most " + std::to_string(most) + ", for " + std::to_string(usable_processors()) +
              " processors",
          std::to_string(count));
  wanted_threads() = count;
}

// A loop inside a task, or one that finds the pool at work for somebody else, runs in its own
// thread: always right, never stuck.

void parallel_for(std::size_t count, TaskRef task) {
  const auto alone = [&] {
    for (std::size_t i = 0; i < count; ++i) task(i);
  };
  if (inside_task) return alone();
  const std::size_t wanted = num_threads();
  std::unique_lock lock(threads().one_loop, std::defer_lock);
  if (count <= 1 || wanted == 1 || !lock.try_lock()) {
    const OneThread one_thread;
    return alone();
  }
  std::unique_ptr<Pool>& pool = threads().pool;
  if (!pool || pool->threads() != wanted) {
    pool.reset();
    pool = std::make_unique<Pool>(wanted);
  }
  pool->run(count, task);
}

}  // namespace mamba2
