// The grader of this chapter.
#include "exercises.hpp"

#include <exercises/grader.hpp>
#include <mamba2/semiseparable.hpp>

#include <cmath>
#include <string>

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

GRADE(2, "the mask by running products") {
  for (const std::size_t length : {std::size_t{1}, std::size_t{2}, std::size_t{7}}) {
    auto dA = zeros<double>(length), a = dA, dt = dA;
    auto scores = zeros<double>(length, length), expected = scores;
    for (std::size_t i = 0; i < length; ++i) {
      dA(i) = -0.1 - 0.3 * static_cast<double>(i * i % 5);
      a(i) = std::exp(dA(i));
      dt(i) = 0.5 + 0.2 * static_cast<double>(i);
      for (std::size_t j = 0; j < length; ++j)
        scores(i, j) = std::sin(1.0 + static_cast<double>(3 * i + 7 * j));
    }
    const Tensor<double, 2> L = mamba2::decay_mask(dA);
    for (std::size_t i = 0; i < length; ++i)
      for (std::size_t j = 0; j < length; ++j) expected(i, j) = scores(i, j) * L(i, j) * dt(j);
    grader::expect_close(exercises::masked_scores(scores, a, dt), expected,
                         "M for a chunk of " + std::to_string(length));
  }
}

GRADE(3, "the speed of writing") {
  // 10^9 bytes of weights, 10^8 numbers of state: 1.8 * 10^9 bytes for one sequence, 4.2 * 10^9 for four.
  grader::expect_close(exercises::most_tokens_per_second(0.25e9, 4, 1e8, 1, 1.8e10), 10.0,
                       "one sequence, float");
  grader::expect_close(exercises::most_tokens_per_second(0.25e9, 4, 1e8, 4, 4.2e10), 40.0,
                       "four sequences, float");
  grader::expect_close(exercises::most_tokens_per_second(0.5e9, 2, 1e8, 4, 4.2e10), 40.0,
                       "four sequences, twice the weights in bfloat16; the states stay float");
}
