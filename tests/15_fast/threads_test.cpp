// Threads in processes that split, in processes that get no more of them, and beside the threads of other libraries.
#include <mamba2/error.hpp>
#include <mamba2/matrix.hpp>
#include <mamba2/parallel.hpp>
#include <mamba2/processors.hpp>
#include <mamba2/products.hpp>
#include <support/testing.hpp>

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <functional>
#include <mutex>
#include <set>
#include <thread>

#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#if defined(__SANITIZE_ADDRESS__)
#define ADDRESSES_ARE_WATCHED
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define ADDRESSES_ARE_WATCHED
#endif
#endif

extern "C" {  // null where nothing in the program is built on OpenMP
int omp_get_max_threads() __attribute__((weak));
void omp_set_num_threads(int) __attribute__((weak));
}

using namespace mamba2;

namespace {

struct Threads {
  std::size_t before = num_threads();
  explicit Threads(std::size_t count) { set_num_threads(count); }
  ~Threads() { set_num_threads(before); }
  Threads(const Threads&) = delete;
  Threads& operator=(const Threads&) = delete;
};

// How many threads take part in a loop whose tasks wait for each other.
std::size_t threads_at_work(std::size_t wanted) {
  std::atomic<std::size_t> arrived = 0;
  std::mutex mutex;
  std::set<std::thread::id> who;
  parallel_for(wanted, [&](std::size_t) {
    {
      const std::lock_guard lock(mutex);
      who.insert(std::this_thread::get_id());
    }
    ++arrived;
    while (arrived < wanted) std::this_thread::yield();
  });
  return who.size();
}

// What a child of this process ends with; 14, the signal of the alarm, if it hangs.
int status_of_child(const std::function<int()>& work) {
  std::fflush(nullptr);  // or both write what is waiting to be written
  const pid_t child = fork();
  if (child == 0) {
    alarm(20);
    const int result = work();
#ifdef ADDRESSES_ARE_WATCHED
    std::_Exit(result);  // what threads that are not in the child had set aside would count as lost
#else
    std::exit(result);
#endif
  }
  int status = -1;
  waitpid(child, &status, 0);
  return WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status);
}

}  // namespace

TEST_CASE("a process that has computed with several threads can split in two", "[threads]") {
  const Threads threads(3);
  REQUIRE(threads_at_work(3) == 3);
  CHECK(status_of_child([] { return 0; }) == 0);  // it only ends
  CHECK(status_of_child([] { return threads_at_work(3) == 3 ? 0 : 1; }) == 0);
  CHECK(status_of_child([] {
          set_num_threads(2);
          const bool right = threads_at_work(2) == 2;
          return right && status_of_child([] { return threads_at_work(2) == 2 ? 0 : 1; }) == 0 ? 0 : 1;
        }) == 0);
  CHECK(threads_at_work(3) == 3);  // the parent goes on
}

#ifndef ADDRESSES_ARE_WATCHED  // by a sanitizer, whose own locks a child inherits as they are at that moment
TEST_CASE("a process can split while its threads are at work", "[threads]") {
  const Threads threads(2);
  std::atomic<int> right = 0;
  parallel_for(2, [&](std::size_t i) {  // in the calling thread, and in one of the others
    std::atomic<int> count = 0;
    if (status_of_child([&] {
          parallel_for(5, [&](std::size_t) { ++count; });
          std::thread([&] { count += threads_at_work(2) == 2 ? 1 : 0; }).join();
          std::_Exit(count == 6 ? 0 : 1);  // this thread is inside a task: nothing after it may run here
          return 1;
        }) == 0)
      ++right;
    (void)i;
  });
  CHECK(right == 2);
}
#endif

TEST_CASE("more threads than anybody needs are refused", "[threads]") {
  const Threads threads(2);
  const auto message = [](std::size_t count) {
    try {
      set_num_threads(count);
    } catch (const ValueError& error) {
      return std::string(error.what());
    }
    return std::string();
  };
  const std::string there = std::to_string(usable_processors());
  CHECK(message(1000000).starts_with("threads: expected at most "));
  CHECK(message(1000000).ends_with("for " + there + " processors, got 1000000"));
  CHECK(num_threads() == 2);
  CHECK(message(0) == "threads: expected at least 1, got 0");
}

#ifndef ADDRESSES_ARE_WATCHED  // by a sanitizer, which needs more of them than are left here
TEST_CASE("threads that the system does not give are refused, and none is left", "[threads]") {
  const Threads threads(2);
  CHECK(status_of_child([] {
          std::size_t pages = 0;
          std::ifstream("/proc/self/statm") >> pages;
          const rlim_t little = pages * static_cast<rlim_t>(sysconf(_SC_PAGESIZE)) + (rlim_t{300} << 20);
          const rlimit limit{little, little};  // a thread wants 8 MB of addresses
          if (setrlimit(RLIMIT_AS, &limit) != 0) return 2;
          set_num_threads(250);
          std::string said;
          try {
            parallel_for(250, [](std::size_t) {});
          } catch (const ValueError& error) {
            said = error.what();
          }
          if (!said.starts_with("threads: expected at most ")) return 3;
          if (said.find(", got 250; for ") == std::string::npos) return 4;
          if (said.find("Resource temporarily unavailable") == std::string::npos) return 5;
          std::ifstream status("/proc/self/status");
          for (std::string word; status >> word;)
            if (word == "Threads:") {
              status >> word;
              if (word != "1") return 6;
            }
          set_num_threads(3);
          return threads_at_work(3) == 3 ? 0 : 7;
        }) == 0);
}
#endif

TEST_CASE("libraries built on OpenMP have one thread in a task, and their own number after it", "[threads]") {
  if (!omp_set_num_threads || !omp_get_max_threads) return;
  const int before = omp_get_max_threads();
  omp_set_num_threads(3);
  for (const std::size_t count : {1, 2}) {
    const Threads threads(count);
    std::atomic<int> largest = 0;
    parallel_for(20, [&](std::size_t) {
      const int now = omp_get_max_threads();
      for (int seen = largest; seen < now && !largest.compare_exchange_weak(seen, now);) {
      }
    });
    CHECK(largest == 1);
    CHECK(omp_get_max_threads() == 3);
  }
  {
    const OneThread one_thread;
    CHECK(omp_get_max_threads() == 1);
  }
  CHECK(omp_get_max_threads() == 3);
  const auto x = testing::random_tensor<float, 2>({9, 5}, 1), W = testing::random_tensor<float, 2>({4, 5}, 2);
  auto y = zeros<float>(9, 4);
  product<float>(as_matrix(x), as_matrix(W), as_matrix(y));
  CHECK(omp_get_max_threads() == 3);
  omp_set_num_threads(before);
}
