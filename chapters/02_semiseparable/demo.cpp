// ## The program {#semiseparable_program}
//
// The six tokens first. All that is needed of them here is the log-decay of each step,
// $\Delta_t A$, and the matrix of the model, which @chapter{state_space}'s function makes from its
// exponential.

#include <demo/demo.hpp>
#include <demo/six_tokens.hpp>
#include <mamba2/semiseparable.hpp>
#include <mamba2/ssm.hpp>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <limits>

using mamba2::Tensor;
using mamba2::zeros;

static const demo::SixTokens example;

static Tensor<double, 1> log_decays() {
  Tensor<double, 1> dA = example.dt;
  for (double& step : dA) step *= example.A;
  return dA;
}

static Tensor<double, 2> matrix_of(const Tensor<double, 1>& dA, const Tensor<double, 2>& B,
                                   const Tensor<double, 2>& C) {
  const Tensor<double, 1> A_bar = xt::exp(dA);
  return mamba2::ssm_matrix(A_bar, B, C);
}

// The mask and the matrix, side by side:

static void show_mask() {
  std::printf("[mask]\n%16s%-48s%s\n", "", "L", "M");
  const Tensor<double, 2> L = mamba2::decay_mask(log_decays());
  const Tensor<double, 2> M = matrix_of(log_decays(), example.B, example.C);
  for (std::size_t i = 0; i < 6; ++i) {
    std::printf("%8s", example.says[i]);
    for (const auto& matrix : {L, M}) {
      for (std::size_t j = 0; j < 6; ++j) {
        if (j <= i)
          std::printf("%8.3f", matrix(i, j));
        else
          std::printf("%8s", "");
      }
    }
    std::printf("\n");
  }
}

// **Left and right.** The factors of @eqref{eq:factors} take their decays from $L$ itself. What is
// left of step $j$ just before the cut is $L_{m-1,j}$; what is left at step $i$ of the state just
// before the cut is $L_{i,m-1}$.

struct Factors {
  Tensor<double, 2> left, right;  // (rows of the block, d_state), (d_state, columns of the block)
};

static Factors factors(const Tensor<double, 1>& dA, const Tensor<double, 2>& B,
                       const Tensor<double, 2>& C, std::size_t cut) {
  const std::size_t T = dA.size(), N = B.shape(1);
  const Tensor<double, 2> L = mamba2::decay_mask(dA);
  Factors f{zeros<double>(T - cut, N), zeros<double>(N, cut)};
  for (std::size_t n = 0; n < N; ++n) {
    for (std::size_t i = cut; i < T; ++i) f.left(i - cut, n) = L(i, cut - 1) * C(i, n);
    for (std::size_t j = 0; j < cut; ++j) f.right(n, j) = L(cut - 1, j) * B(j, n);
  }
  return f;
}

static Tensor<double, 2> product(const Tensor<double, 2>& left, const Tensor<double, 2>& right) {
  auto result = zeros<double>(left.shape(0), right.shape(1));
  for (std::size_t i = 0; i < left.shape(0); ++i)
    for (std::size_t n = 0; n < right.shape(0); ++n)
      for (std::size_t j = 0; j < right.shape(1); ++j) result(i, j) += left(i, n) * right(n, j);
  return result;
}

static Tensor<double, 2> below(const Tensor<double, 2>& M, std::size_t cut) {
  return xt::view(M, xt::range(cut, M.shape(0)), xt::range(std::size_t{0}, cut));
}

// For the six tokens, with the matrices printed one under the other:

static void print(const char* name, const Tensor<double, 2>& m) {
  for (std::size_t i = 0; i < m.shape(0); ++i) {
    std::printf("%-26s", i == 0 ? name : "");
    for (std::size_t j = 0; j < m.shape(1); ++j) std::printf("%8.3f", m(i, j));
    std::printf("\n");
  }
}

static void show_factors() {
  std::printf("[factors]\n");
  const std::size_t cut = 3;
  const auto [left, right] = factors(log_decays(), example.B, example.C, cut);
  const Tensor<double, 2> block = below(matrix_of(log_decays(), example.B, example.C), cut);
  auto X = zeros<double>(cut, 1);  // x times the step size
  for (std::size_t t = 0; t < cut; ++t) X(t, 0) = example.dt(t) * example.x(t, 0);
  print("block", block);
  print("left", left);
  print("right", right);
  print("right times the inputs", product(right, X));
  std::printf("left times right and the block are equal: %s\n",
              demo::agree(product(left, right), block));
}

// **Rank.** Random models of 32 steps, cut in the middle. A singular value counts if it is more
// than $10^{-12}$ of the largest.

static std::size_t rank(const Tensor<double, 2>& M) {
  const Tensor<double, 1> s = mamba2::singular_values(M);
  std::size_t count = 0;
  while (count < s.size() && s(count) > 1e-12 * s(0)) ++count;
  return count;
}

struct Model {
  Tensor<double, 1> dA;
  Tensor<double, 2> B, C;
};

static Model random_model(std::size_t T, std::size_t N) {
  static demo::Random random;
  Model m{zeros<double>(T), zeros<double>(T, N), zeros<double>(T, N)};
  demo::fill(m.dA, random, -0.2, 0);
  demo::fill(m.B, random, 0, 1);
  demo::fill(m.C, random, 0, 1);
  return m;
}

// The matrix by @eqref{eq:hadamard}, and by @chapter{state_space}'s way for comparison.

static Tensor<double, 2> hadamard(const Model& m) {
  Tensor<double, 2> M = mamba2::decay_mask(m.dA);
  for (std::size_t i = 0; i < M.shape(0); ++i)
    for (std::size_t j = 0; j <= i; ++j) {
      double CB = 0;
      for (std::size_t n = 0; n < m.B.shape(1); ++n) CB += m.C(i, n) * m.B(j, n);
      M(i, j) *= CB;
    }
  return M;
}

static void show_rank() {
  const std::size_t T = 32, cut = 16;
  std::printf("[rank]\n");
  std::printf("N    rank of the block    rank of the whole\n");
  for (const std::size_t N : {1u, 2u, 4u, 8u}) {
    const Tensor<double, 2> M = hadamard(random_model(T, N));
    std::printf("%zu    %5zu                %9zu\n", N, rank(below(M, cut)), rank(M));
  }
  std::printf("[equal]\n");
  const Model m = random_model(T, 4);
  const auto [left, right] = factors(m.dA, m.B, m.C, cut);
  std::printf("mask times C B', and the products one by one, agree to 1e-12: %s\n",
              demo::agree(hadamard(m), matrix_of(m.dA, m.B, m.C)));
  std::printf("left times right, and the block, agree to 1e-12:                %s\n",
              demo::agree(product(left, right), below(hadamard(m), cut)));
  std::printf("entries of the block %zu, of its two factors %zu\n", cut * (T - cut),
              left.size() + right.size());
}

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
  demo::Random random;
  for (const std::size_t T : {32u, 128u, 512u, 2048u}) {
    auto dA = zeros<float>(T);
    demo::fill(dA, random, -2, 0);
    double sum = 0;
    for (const float a : dA) sum += static_cast<double>(a);
    std::printf("%5zu   %11.0f   %12.0e   %13.0e\n", T, sum, worst_error(mamba2::segsum_naive(dA), dA),
                worst_error(mamba2::segsum(dA), dA));
  }
}

// **A step that forgets everything**, in the naive form and in the stable one.

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

int main() {
  show_mask();
  show_factors();
  show_rank();
  show_cancellation();
  show_nan();
  show_overflow();
}

// The comparisons, and what factors save for a block of this size:
//
// @output equal
//
// ::: tryit
// Give every one of the six tokens an address of its own choosing, in `src/demo/six_tokens.hpp`.
// Can you make the block of the cut have rank 3? Then draw the log-decays in `show_cancellation`
// from $(-20, 0)$; a head with $A = -16$ and steps of about one has such. After how many steps has
// the naive form lost half of its seven digits?
// :::
//
// ## What has not changed {#semiseparable_unchanged}
//
// The model is that of @chapter{state_space}, to the last entry of $M$; the program has just
// checked it. Nothing in this chapter is an approximation. Low rank often means that something
// small was thrown away. Not here: no block *has* a higher rank than $N$, because a state of $N$
// numbers was all there ever was.
//
// ## Exercises {#semiseparable_exercises}
//
// ::: exercise 1 A mask with new beginnings
// Several documents lie in one sequence, one after the other, and none may see into another. Given
// the log-decays and a mark on each step at which a document begins, write down the mask. No
// log-decay in the input is infinite; take care that no infinity of your own becomes a NaN.
// :::
//
// ::: exercise 2 Backwards through the mask
// Multiply by the mask's transpose, $L^\top G$, in time and memory proportional to $T$. (Gradients
// will go this way.) The loop for $L$ runs forwards in time; which way does this one run, and whose
// decay does it use? The grader's last sequence is so long that $L$ would not fit.
// :::
//
// ::: exercise 3 Undo the mask
// Given $Y = L X$, find $X$, again without $L$. Before you write anything, guess how many of the
// numbers in the inverse of $L$ are not zero.
// :::
//
// ::: exercise 4 Left times right
// Take a cut anywhere, and a block that need not reach the ends of the sequence: rows `cut` to
// `end`, columns `begin` to `cut`. Give its two factors. The decay across the cut may go into
// either of them, but into one only.
// :::
//
// ::: exercise 5 From the matrix back to a model
// For an evening. Proposition 3.4: every $N$-semiseparable matrix is a state space model. You are
// given nothing but the matrix. Find $N \times N$ matrices $A_t$ and vectors $B_t$, $C_t$ with
// $M_{ij} = C_i^\top A_i \cdots A_{j+1} B_j$. A function that computes singular value
// decompositions is provided. When the grader is content, it gives your function a matrix that is
// *not* semiseparable, that of softmax attention, and shows how many states it would take.
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
// - [@yang2024] has a decay for each state, and an account of what it costs.
