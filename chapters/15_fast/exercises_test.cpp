// The grader of this chapter.
#include "exercises.hpp"

#include <exercises/grader.hpp>
#include <mamba2/random.hpp>

#include <atomic>
#include <chrono>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

using mamba2::Tensor;
using mamba2::zeros;

// Your answer is compared with every other power of two.
GRADE(1, "the best chunk") {
  struct Case {
    double N, P, H, overhead;
  };

  for (const Case& c : {Case{128, 64, 24, 2e6}, Case{128, 64, 24, 0}, Case{16, 4, 1, 1e9},
                        Case{256, 32, 2, 4e6}, Case{1024, 16, 4, 3e5}}) {
    const std::size_t yours = exercises::best_chunk(c.N, c.P, c.H, c.overhead);
    const auto cost = [&](double Q) {
      return Q * c.N + c.H * (Q * c.P + 2 * c.N * c.P) + c.overhead / Q;
    };
    const std::string at = " for d_state " + grader::detail::number_text(c.N) + ", headdim " +
                           grader::detail::number_text(c.P) + ", " + grader::detail::number_text(c.H) +
                           " heads, overhead " + grader::detail::number_text(c.overhead);
    grader::expect(yours >= 1 && yours <= 1024 && (yours & (yours - 1)) == 0,
                   "a power of two from 1 to 1024" + at + ", not " + std::to_string(yours));
    for (double Q = 1; Q <= 1024; Q *= 2)
      grader::expect(cost(static_cast<double>(yours)) <= cost(Q),
                     "no chunk length costs less than yours, " + std::to_string(yours) + at + "; " +
                         grader::detail::number_text(Q) + " does");
  }
}

GRADE(2, "a parallel loop: every task once") {
  for (const std::size_t threads : {std::size_t{1}, std::size_t{2}, std::size_t{5}})
    for (int again = 0; again < 20; ++again) {
      std::vector<std::atomic<int>> done(97);
      std::atomic<std::size_t> beyond = 0;
      exercises::parallel_for(97, threads, [&](std::size_t i) {
        if (i < 97)
          ++done[i];
        else
          ++beyond;
        std::this_thread::yield();
      });
      grader::expect(beyond == 0, "no turn beyond the last; tasks 0 to 96 were asked for");
      for (std::size_t i = 0; i < 97; ++i)
        grader::expect(done[i] == 1, "each task is done once, and done when the loop returns; with " +
                                         std::to_string(threads) + " threads task " +
                                         std::to_string(i) + " was done " + std::to_string(done[i]) +
                                         " times");
    }
  bool any = false;
  exercises::parallel_for(0, 3, [&](std::size_t) { any = true; });
  grader::expect(!any, "no tasks, nothing to do");
}

GRADE(2, "a parallel loop: at the same time") {
  std::atomic<int> waiting = 0, met = 0;
  exercises::parallel_for(3, 3, [&](std::size_t) {
    ++waiting;
    for (int patience = 0; patience < 2000 && waiting < 3; ++patience)
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    if (waiting >= 3) ++met;
  });
  grader::expect(met == 3, "three threads work on three tasks at the same time");
}

GRADE(2, "a parallel loop: what tasks throw") {
  for (const std::size_t threads : {std::size_t{1}, std::size_t{3}}) {
    std::atomic<int> others = 0;
    std::string caught;
    try {
      exercises::parallel_for(40, threads, [&](std::size_t i) {
        if (i == 7) throw std::runtime_error("task 7");
        std::this_thread::yield();
        ++others;
      });
    } catch (const std::runtime_error& error) {
      caught = error.what();
    }
    const std::string with = ", with " + std::to_string(threads) + " threads";
    grader::expect(caught == "task 7", "what a task throws is thrown by the loop" + with);
    grader::expect(others == 39, "the other tasks are done all the same: " + std::to_string(others) +
                                     " of 39 were" + with);
  }
}

GRADE(3, "all heads in one product") {
  for (const std::size_t length : {std::size_t{1}, std::size_t{7}}) {
    const std::size_t heads = 3, P = 2, N = 5;
    mamba2::Random random(length);
    const auto fill = [&](auto& tensor, double low, double high) {
      for (double& value : tensor) value = random.uniform(low, high);
    };
    exercises::Chunk chunk;
    fill(chunk.B = zeros<double>(length, N), -1, 1);
    fill(chunk.C = zeros<double>(length, N), -1, 1);
    fill(chunk.X = zeros<double>(length, heads * P), -1, 1);
    fill(chunk.a = zeros<double>(length, heads), 0.2, 1);
    fill(chunk.dt = zeros<double>(length, heads), 0.1, 2);
    fill(chunk.state = zeros<double>(heads * P, N), -1, 1);
    auto state = chunk.state;
    auto expected = zeros<double>(length, heads * P);  // the recurrence, token by token
    for (std::size_t i = 0; i < length; ++i)
      for (std::size_t c = 0; c < heads * P; ++c)
        for (std::size_t n = 0; n < N; ++n) {
          state(c, n) =
              chunk.a(i, c / P) * state(c, n) + chunk.dt(i, c / P) * chunk.X(i, c) * chunk.B(i, n);
          expected(i, c) += state(c, n) * chunk.C(i, n);
        }
    std::size_t calls = 0, work = 0;
    const auto Y =
        exercises::wide_chunk(chunk, [&](const Tensor<double, 2>& A, const Tensor<double, 2>& B) {
          grader::expect(A.shape(1) == B.shape(1),
                         "both factors of a product have rows of the same length");
          auto C = zeros<double>(A.shape(0), B.shape(0));
          ++calls;
          work += C.size() * A.shape(1);
          for (std::size_t i = 0; i < A.shape(0); ++i)
            for (std::size_t j = 0; j < B.shape(0); ++j)
              for (std::size_t k = 0; k < A.shape(1); ++k) C(i, j) += A(i, k) * B(j, k);
          return C;
        });
    const std::string chunk_text = " of a chunk of " + std::to_string(length);
    grader::expect_close(Y, expected, "outputs" + chunk_text);
    grader::expect_close(chunk.state, state, "state after the last token" + chunk_text);
    grader::expect(
        calls == heads + 3,
        "for 3 heads 6 products are enough, three for all heads together and one for each; you made " +
            std::to_string(calls) + ", and what is computed without product() is not shared");
    grader::expect(work == length * length * (N + heads * P) + 2 * length * N * heads * P,
                   "the products are of the sizes of the equation of costs, QN + H(QP + 2NP) for each "
                   "token; yours make " +
                       std::to_string(work) + " multiply-adds for " + std::to_string(length) +
                       " tokens");
  }
}
