// ## The program {#semiseparable_program}
//
// The test data and the comparison that says yes or no are those of @chapter{state_space}. New is a
// function that prints a small matrix.

#include <demo/demo.hpp>
#include <mamba2/semiseparable.hpp>
#include <mamba2/ssm.hpp>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <limits>

using demo::agree;
using mamba2::Tensor;
using mamba2::zeros;

static demo::Random draw;

template <class Real>
static void print(const Tensor<Real, 2>& m) {
  for (std::size_t i = 0; i < m.shape(0); ++i) {
    for (std::size_t j = 0; j < m.shape(1); ++j) {
      const auto entry = static_cast<double>(m(i, j));
      if (std::isnan(entry))
        std::printf("        nan");  // without its sign, which is not the same on every machine
      else
        std::printf("%11.4g", entry);
    }
    std::printf("\n");
  }
}

// **A mask of four steps.** Log-decays, their segment sums, and the decay.

static void show_mask() {
  std::printf("[mask]\n");
  const Tensor<double, 1> dA{-1, -0.5, -0.25, -2};
  std::printf("segment sums\n");
  print(mamba2::segsum(dA));
  std::printf("mask\n");
  print(mamba2::decay_mask(dA));
}

// @output mask
//
// The first log-decay, $-1$, appears nowhere: it would act on the state before the first step, and
// that is zero.
//
// **Cancellation.** The error of $L$ near the end of sequences of growing length. The exact sums
// are taken in double, term by term.

static double worst_error(const Tensor<float, 2>& S, const Tensor<float, 1>& dA) {
  const std::size_t T = dA.shape(0);
  double worst = 0;
  for (std::size_t i = T - 4; i < T; ++i) {
    double sum = 0;
    for (std::size_t j = i; j-- > i - 4;) {
      sum += static_cast<double>(dA(j + 1));
      worst = std::max(worst, std::abs(std::expm1(static_cast<double>(S(i, j)) - sum)));
    }
  }
  return worst;
}

static void show_cancellation() {
  std::printf("[cancellation]\n");
  std::printf("steps   running sum   error, naive   error, stable\n");
  for (const std::size_t T : {32u, 128u, 512u, 2048u}) {
    auto dA = zeros<float>(T);
    demo::fill(dA, draw, -2, 0);
    double sum = 0;
    for (const float a : dA) sum += static_cast<double>(a);
    std::printf("%5zu   %11.0f   %12.0e   %13.0e\n", T, sum, worst_error(mamba2::segsum_naive(dA), dA),
                worst_error(mamba2::segsum(dA), dA));
  }
}

// **A step that forgets everything**, in the naive form and in the stable one.

static void show_nan() {
  std::printf("[nan]\n");
  const Tensor<double, 1> dA{-1, -0.5, -std::numeric_limits<double>::infinity(), -0.25, -0.5};
  std::printf("naive\n");
  print(mamba2::segsum_naive(dA));
  std::printf("stable\n");
  print(mamba2::segsum(dA));
}

// **Masking too late.** Differences for all pairs, exponentials, then a triangle of ones; in
// `float`, with strong decay.

static void show_overflow() {
  std::printf("[overflow]\n");
  const Tensor<float, 1> c{-60, -120, -180, -240};  // the running sum of four steps of -60
  auto late = zeros<float>(4, 4);
  for (std::size_t i = 0; i < 4; ++i)
    for (std::size_t j = 0; j < 4; ++j) late(i, j) = std::exp(c(i) - c(j)) * (j <= i ? 1.0f : 0.0f);
  std::printf("exponential first, mask last\n");
  print(late);
  std::printf("mask first, exponential last\n");
  print(mamba2::decay_mask(Tensor<float, 1>{-60, -60, -60, -60}));
}

// **Rank and factors.** A random model of 32 steps, cut in the middle. A singular value counts if
// it is more than $10^{-12}$ of the largest.

static const std::size_t T = 32, cut = 16;

static std::size_t rank(const Tensor<double, 2>& M) {
  const Tensor<double, 1> s = mamba2::singular_values(M);
  std::size_t count = 0;
  while (count < s.size() && s(count) > 1e-12 * s(0)) ++count;
  return count;
}

struct Model {
  Tensor<double, 1> dA = zeros<double>(T);
  Tensor<double, 2> B, C;
};

static Model random_model(std::size_t N) {
  Model m{zeros<double>(T), zeros<double>(T, N), zeros<double>(T, N)};
  demo::fill(m.dA, draw, -0.2, 0);
  demo::fill(m.B, draw, 0, 1);
  demo::fill(m.C, draw, 0, 1);
  return m;
}

// The matrix by @eqref{eq:hadamard}, and by @chapter{state_space}'s way for comparison.

static Tensor<double, 2> hadamard(const Model& m) {
  Tensor<double, 2> M = mamba2::decay_mask(m.dA);
  for (std::size_t i = 0; i < T; ++i)
    for (std::size_t j = 0; j <= i; ++j) {
      double CB = 0;
      for (std::size_t n = 0; n < m.B.shape(1); ++n) CB += m.C(i, n) * m.B(j, n);
      M(i, j) *= CB;
    }
  return M;
}

static Tensor<double, 2> by_products(const Model& m) {
  Tensor<double, 1> A_bar = m.dA;
  for (double& a : A_bar) a = std::exp(a);
  return mamba2::ssm_matrix(A_bar, m.B, m.C);
}

static Tensor<double, 2> lower_left(const Tensor<double, 2>& M) {
  return xt::view(M, xt::range(cut, T), xt::range(0, cut));
}

static void show_rank() {
  std::printf("[rank]\n");
  std::printf("N    rank of the block    rank of the whole\n");
  for (const std::size_t N : {1u, 2u, 4u, 8u}) {
    const Tensor<double, 2> M = hadamard(random_model(N));
    std::printf("%zu    %5zu                %9zu\n", N, rank(lower_left(M)), rank(M));
  }
}

// The two factors of @eqref{eq:factors} take their decays from $L$ itself. What is left of step $j$
// just before the cut is $L_{m-1,j}$; what is left at step $i$ of the state just before the cut is
// $L_{i,m-1}$.

static void show_factors() {
  std::printf("[factors]\n");
  const std::size_t N = 4;
  const Model m = random_model(N);
  const Tensor<double, 2> L = mamba2::decay_mask(m.dA), M = hadamard(m);
  auto left = zeros<double>(T - cut, N);  // (rows of the block, d_state)
  auto right = zeros<double>(N, cut);     // (d_state, columns of the block)
  for (std::size_t n = 0; n < N; ++n) {
    for (std::size_t i = cut; i < T; ++i) left(i - cut, n) = L(i, cut - 1) * m.C(i, n);
    for (std::size_t j = 0; j < cut; ++j) right(n, j) = L(cut - 1, j) * m.B(j, n);
  }
  auto product = zeros<double>(T - cut, cut);
  for (std::size_t i = 0; i < T - cut; ++i)
    for (std::size_t n = 0; n < N; ++n)
      for (std::size_t j = 0; j < cut; ++j) product(i, j) += left(i, n) * right(n, j);
  std::printf("mask times C B', and the products one by one, agree to 1e-12: %s\n",
              agree(M, by_products(m)));
  std::printf("left times right, and the block, agree to 1e-12:                %s\n",
              agree(product, lower_left(M)));
  std::printf("entries of the block %zu, of its two factors %zu\n", product.size(),
              left.size() + right.size());
}

int main() {
  show_mask();
  show_cancellation();
  show_nan();
  show_overflow();
  show_rank();
  show_factors();
}

// ::: tryit
// In `show_cancellation`, draw the log-decays from $(-20, 0)$; a head with $A = -16$ and steps of
// about one has such. After how many steps has the naive form lost half of its seven digits?
// :::
//
// ## What has not changed {#semiseparable_unchanged}
//
// The model is that of @chapter{state_space}, to the last entry of $M$; the program has just
// checked it. Nothing in this chapter is an approximation. Low rank often means that something
// small was thrown away. Not here: the blocks *have* rank $N$, because a state of $N$ numbers was
// all there ever was.
//
// ## Exercises {#semiseparable_exercises}
//
// ::: exercise 1 A mask with new beginnings
// Several documents lie in one sequence, one after the other, and none may see into another. Given
// the log-decays and a mark on each step at which a document begins, write down the mask. No
// log-decay in the input is infinite; take care that no infinity of your own becomes a NaN.
// :::
//
// ::: exercise 2 Multiply without the matrix
// Compute $L X$ for a matrix $X$ of $T$ rows in time and memory proportional to $T$. The grader's
// sequence is long enough that $L$ would not fit.
// :::
//
// ::: exercise 3 Left times right
// Take a cut anywhere, and a block that need not reach the ends of the sequence: rows `cut` to
// `end`, columns `begin` to `cut`. Give its two factors. The decay across the cut may go into
// either of them, but into one only.
// :::
//
// ## Further reading {#semiseparable_reading}
//
// - [@dao2024], section 3, from the definition to the theorem.
// - [@vandebril2008], a book on such matrices, which were studied long before anyone thought of
//   language.
// - [@katharopoulos2020] has the mask without decay, and the observation that attention without
//   softmax is a recurrence.
// - [@sun2023] has the constant decay, and names the three ways to compute it.
