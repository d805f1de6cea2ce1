// ## The program {#state_space_program}
//
// The chapter's program builds the tables shown above and holds each form against the last. Its
// first part is the example.

#include <demo/demo.hpp>
#include <demo/six_tokens.hpp>
#include <mamba2/ssm.hpp>

#include <cmath>
#include <cstdio>

using mamba2::Tensor;
using mamba2::zeros;

// **Two buckets, six tokens.** The step sizes are dealt with first: what comes in is
// $\Delta_t x_t$, what is left of the old levels is $e^{\Delta_t A}$.
static const demo::SixTokens example;

struct Prepared {
  Tensor<double, 2> X = zeros<double>(6, 1);  // x times the step size
  Tensor<double, 1> A_bar = zeros<double>(6);
};

static Prepared prepare() {
  Prepared ready;
  for (std::size_t t = 0; t < 6; ++t) {
    const auto step = mamba2::discretize_mamba2(example.A, example.dt(t));
    ready.X(t, 0) = step.B_bar * example.x(t, 0);
    ready.A_bar(t) = step.A_bar;
  }
  return ready;
}

// The loop returns what the tokens see, not the levels. Two more runs, in which every token looks
// into *a*, then into *b*, tell those.

static void show_buckets() {
  const auto [X, A_bar] = prepare();
  const Tensor<double, 2> into_a{{1, 0}, {1, 0}, {1, 0}, {1, 0}, {1, 0}, {1, 0}};
  const Tensor<double, 2> into_b{{0, 1}, {0, 1}, {0, 1}, {0, 1}, {0, 1}, {0, 1}};
  const auto y = mamba2::ssm_recurrent(X, A_bar, example.B, example.C);
  const auto a = mamba2::ssm_recurrent(X, A_bar, example.B, into_a);
  const auto b = mamba2::ssm_recurrent(X, A_bar, example.B, into_b);
  std::printf("[buckets]\n");
  std::printf("token      x  dt   dt x   A_bar       a       b       y\n");
  for (std::size_t t = 0; t < 6; ++t)
    std::printf("%s %4.0f  %2.0f  %5.0f  %6.2f  %6.2f  %6.2f  %6.2f\n", example.says[t],
                example.x(t, 0), example.dt(t), X(t, 0), A_bar(t), a(t, 0), b(t, 0), y(t, 0));
}

// The same six tokens as a matrix. What lies above the diagonal is left blank.

static void show_matrix() {
  const auto [X, A_bar] = prepare();
  const Tensor<double, 2> M = mamba2::ssm_matrix(A_bar, example.B, example.C);
  std::printf("[matrix]\n        ");
  for (const char* name : example.says) std::printf("%8s", name);
  std::printf("    times dt x\n");
  for (std::size_t i = 0; i < 6; ++i) {
    std::printf("%8s", example.says[i]);
    for (std::size_t j = 0; j < 6; ++j) {
      if (j <= i)
        std::printf("%8.3f", M(i, j));
      else
        std::printf("%8s", "");
    }
    std::printf("%14.2f\n", mamba2::ssm_quadratic(X, A_bar, example.B, example.C)(i, 0));
  }
}

// **Test data and verdicts.** From here on the data is larger, and has to be the same on every
// machine. So it comes from a short formula[^lcg] and not from the system's random numbers.
//
// [^lcg]: A linear congruential generator: multiply, add, keep the upper bits. Too regular for
// statistics, good enough for numbers without a pattern.
//
// @quote src/demo/demo.hpp#random
//
// Two results are called equal if no entry differs by more than $10^{-12}$. In double precision
// rounding leaves about sixteen digits, and each output here is a sum of a few dozen terms.
//
// @quote src/demo/demo.hpp#agree
//
// The programs of all chapters use these.
//
// **Memory.** The extremes of $A$ and $\Delta$ with which a Mamba-2 layer starts its training, and
// how many tokens it takes until half of what was written is gone.

static void show_half_lives() {
  std::printf("[half_life]\n     A     dt    A_bar   half-life\n");
  for (const double A : {-1.0, -16.0})
    for (const double dt : {0.001, 0.1}) {
      const double A_bar = mamba2::discretize_mamba2(A, dt).A_bar;
      std::printf("%6.1f  %5.3f  %7.5f  %7.2f tokens\n", A, dt, A_bar, std::log(0.5) / std::log(A_bar));
    }
}

// **Discretisation.** Exact, Euler's, and Mamba-2's, for ever smaller steps. The last column
// divides the error of $\bar B$ by the one in the line above, whose step is four times as long.

static void show_discretization() {
  std::printf("[discretization]\n");
  std::printf("           exact           Euler           Mamba-2          error of B_bar\n");
  std::printf("    dt     A_bar   B_bar   A_bar   B_bar   A_bar   B_bar    Mamba-2  falls by\n");
  const double A = -1;
  double last = 0;
  for (const double dt : {4.0, 1.0, 0.25, 0.0625, 0.015625}) {
    const auto exact = mamba2::discretize_zero_order_hold(A, dt);
    const auto ours = mamba2::discretize_mamba2(A, dt);
    const double error = ours.B_bar - exact.B_bar;
    std::printf("%8.6f  %6.3f  %6.3f  %6.3f  %6.3f  %6.3f  %6.3f   %.6f", dt, exact.A_bar, exact.B_bar,
                1 + dt * A, dt, ours.A_bar, ours.B_bar, error);
    if (last > 0) std::printf("  %6.2f", last / error);
    std::printf("\n");
    last = error;
  }
}

// **The three forms.** A model of 3 channels and 4 states over 37 steps: parameters that change at
// every step for the loop and the matrix, then constant ones for the convolution. At last one
// single $\bar A_t$ is changed, and the convolution, which has no place to put that, must fail.

static void show_forms() {
  std::printf("[forms]\n");
  const std::size_t T = 37, P = 3, N = 4;
  auto x = zeros<double>(T, P);
  auto A_bar = zeros<double>(T);
  auto B_bar = zeros<double>(T, N), C = zeros<double>(T, N);
  demo::Random random;
  demo::fill(x, random);
  demo::fill(A_bar, random, 0.5, 1);
  demo::fill(B_bar, random);
  demo::fill(C, random);
  std::printf("loop and matrix agree to 1e-12:               %s\n",
              demo::agree(mamba2::ssm_recurrent(x, A_bar, B_bar, C),
                          mamba2::ssm_quadratic(x, A_bar, B_bar, C)));

  for (std::size_t t = 0; t < T; ++t) {
    A_bar(t) = A_bar(0);
    for (std::size_t n = 0; n < N; ++n) {
      B_bar(t, n) = B_bar(0, n);
      C(t, n) = C(0, n);
    }
  }
  const Tensor<double, 1> B = xt::row(B_bar, 0), C_0 = xt::row(C, 0);
  const Tensor<double, 1> K = mamba2::ssm_kernel(A_bar(0), B, C_0, T);
  std::printf("constant: loop and convolution agree:         %s\n",
              demo::agree(mamba2::ssm_recurrent(x, A_bar, B_bar, C), mamba2::causal_convolution(x, K)));
  A_bar(20) = 0.1;
  std::printf("one decay changed: loop and matrix agree:     %s\n",
              demo::agree(mamba2::ssm_recurrent(x, A_bar, B_bar, C),
                          mamba2::ssm_quadratic(x, A_bar, B_bar, C)));
  std::printf("one decay changed: the convolution follows:   %s\n",
              demo::agree(mamba2::ssm_recurrent(x, A_bar, B_bar, C), mamba2::causal_convolution(x, K)));
}

// **Cost.** The counts of the table above, for one head of the size that Mamba-2's published models
// have.

static void show_cost() {
  std::printf("[cost]\n");
  std::printf("          multiply-adds            numbers kept\n");
  std::printf("      T   loop       matrix        loop   matrix\n");
  const double N = 128, P = 64;
  for (const double T : {64.0, 512.0, 4096.0, 32768.0})
    std::printf("%7.0f   %.1e    %.1e       %.0f   %.1e\n", T, 3 * T * N * P, T * (T + 1) / 2 * (N + P),
                N * P, T * T);
}

int main() {
  show_buckets();
  show_matrix();
  show_half_lives();
  show_discretization();
  show_forms();
  show_cost();
}

// The lines that matter most, the comparisons:
//
// @output forms
//
// The last answer is meant to be a no.
//
// ::: tryit
// `./book run 1` runs this program. In `src/demo/six_tokens.hpp`, let the look into *b* take a time
// of 1, and write down the new table before you see it. Then make `A` positive. Then put
// `1 + example.dt(t) * example.A`, Euler's factor, in place of `step.A_bar`, with `A = -3`.
// :::
//
// ## What has not changed {#state_space_unchanged}
//
// Between the loop, the matrix and the convolution nothing is approximated. The three are one
// function, written three ways; what differs is the order of the same multiplications and
// additions, and so the rounding in the last digits. The only approximation in this chapter was the
// step from time that flows to steps. With the zero-order hold even that is exact, if the input
// really stands still during each step; Mamba-2's $\Delta B$ is a rule of its own, near the exact
// one where steps are short.
//
// The model is linear in $x$, whatever the parameters do: twice the input gives twice the output.
// All that is not linear in a Mamba-2 layer lies around this operator, not in it.
//
// ## Exercises {#state_space_exercises}
//
// An exercise names the file to edit and the command that grades it. Begin with the first: it takes
// one line.
//
// ::: exercise 1 Half-life
// After how many steps is half of a token's trace gone? Write the answer as a function of $A$ and
// $\Delta$. It need not be a whole number, and a bucket without a hole never gets there.
// :::
//
// ::: exercise 2 One entry of the matrix
// Compute a single entry $M_{ij}$ without writing down the matrix.
// :::
//
// ::: exercise 3 A memory of three
// Set a memory by hand. A head has three buckets, and a leak that cannot be closed: its rate $A$ is
// given. Some tokens store a number under one of three names, some ask for a name, most are noise.
// Choose $\Delta_t$, $B_t$ and $C_t$ for each token so that every question is answered with the
// number that was stored, however much noise came between. The inputs $x_t$ come with the tokens,
// questions and noise included, and you cannot change them: the only way not to hear a token is to
// choose its step.
// :::
//
// ::: exercise 4 From a kernel to a recurrence
// The kernel $K_k = \alpha\,a^k + \beta\,b^k$ has two half-lives at once, so no single $\bar A$
// makes it. Compute the convolution of $x$ with it all the same, one step at a time. You are given
// the input of this step and two numbers that the steps before have left, and nothing else.
// :::
//
// ::: exercise 5 All steps at once
// For an evening. The models before Mamba were trained by convolution, at a cost of $T \log T$.
// Write the fast Fourier transform, and with it the causal convolution of any length. The direct
// sum would pass for short sequences; the grader ends with a hundred thousand steps. Your reward is
// a table of times, your function against the direct sum.
// :::
//
// ## Further reading {#state_space_reading}
//
// - [@dao2024], section 2, introduces the model in two pages.
// - [@gu2022] and [@annotated_s4] tell the story from the continuous side, with a matrix $A$ and
//   long convolutions.
// - [@gu2023], section 3, argues why the parameters should depend on the token, and says what is
//   lost by it.
