// ## The program {#s4_program}
//
// It proves each new form equal to the last, counts what cannot be counted on, and lets five models
// learn.

#include <demo/delay.hpp>
#include <demo/demo.hpp>
#include <mamba2/fourier.hpp>
#include <mamba2/hippo.hpp>
#include <mamba2/parallel.hpp>
#include <mamba2/s4_kernel.hpp>
#include <mamba2/s4d.hpp>
#include <mamba2/ssm.hpp>

#include <xtensor-blas/xlinalg.hpp>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <vector>

using mamba2::Complex;
using mamba2::Tensor;
using mamba2::zeros;
using System = mamba2::LinearSystem<double>;

static demo::Random random_number(18);

static System legs(const Tensor<double, 1>& C) {
  return {mamba2::legs_matrix(C.size()), mamba2::legs_input(C.size()), C};
}

// **The forms.** A model with a single decay is @chapter{state_space}'s. A spring is none of those.
// And S4D, with three channels, is its own recurrence.

static void show_forms() {
  std::printf("[forms]\n");
  const std::size_t T = 500, N = 5;
  const auto x = demo::random_tensor<double>({T}, random_number);
  System buckets{0.9 * xt::eye<double>(N), demo::random_tensor<double>({N}, random_number),
                 demo::random_tensor<double>({N}, random_number)};
  std::printf(
      "one decay: the kernels agree:                       %s\n",
      demo::agree(mamba2::linear_kernel(buckets, T), mamba2::ssm_kernel(0.9, buckets.B, buckets.C, T)));

  const System spring{{{0, 1}, {-4, -0.1}}, {0, 1}, {1, 0}};
  const System d = mamba2::discretize_zero_order_hold(spring, 0.1);
  const auto K = mamba2::linear_kernel(d, T), y = mamba2::linear_recurrent(d, x);
  const Tensor<double, 2> column = xt::view(x, xt::all(), xt::newaxis());
  const Tensor<double, 1> direct = xt::col(mamba2::causal_convolution(column, K), 0);
  std::printf("a spring: recurrence and direct sum agree:          %s\n", demo::agree(y, direct));
  std::printf("a spring: recurrence and Fourier transform agree:   %s\n",
              demo::agree(y, mamba2::fft_convolution(x, K)));

  const mamba2::S4DConfig config{.channels = 3, .d_state = 16};
  mamba2::S4DParameters p;
  set_zero(config, p);
  mamba2::Random random(2);
  walk(config, [&](const auto& info, std::span<double> values) { draw(info, random, values); }, p);
  const auto inputs = demo::random_tensor<double>({3, T}, random_number);
  const auto recurrent = mamba2::s4d_recurrent(p, inputs), kernels = mamba2::s4d_kernel(p, T);
  auto convolved = zeros<double>(3, T);
  for (int c = 0; c < 3; ++c)
    xt::row(convolved, c) = mamba2::fft_convolution(xt::row(inputs, c), xt::row(kernels, c));
  std::printf("S4D: recurrence and Fourier transform agree:        %s\n",
              demo::agree(recurrent, convolved));
}

// **Eigenvectors.** Of a lower triangular matrix they are found from the diagonal downwards. Of
// each the largest entry, beside the one on the diagonal; the largest of those.

//: fold From the diagonal downwards
static void show_eigenvectors() {
  std::printf("[eigenvectors]\n   N   largest entry\n");
  for (const std::size_t N : {4u, 8u, 16u, 32u, 64u}) {
    const auto A = mamba2::legs_matrix(N);
    double largest = 1;
    for (std::size_t j = 0; j < N; ++j) {
      auto v = zeros<double>(N);
      v(j) = 1;
      for (std::size_t i = j + 1; i < N; ++i) {
        for (std::size_t k = j; k < i; ++k) v(i) += A(i, k) * v(k);
        v(i) /= A(j, j) - A(i, i);
        largest = std::max(largest, std::abs(v(i)));
      }
    }
    std::printf("%4zu   %.0e\n", N, largest);
  }
}

// **S4's kernel** against the naive one. Counted are the multiplications of complex numbers, or
// real ones, as they come: once a power of the matrix is known, $8 N$ for each of $T/2$ frequencies
// and a transform, against $N^2$ for each of $T$ steps.

//: fold S4's kernel beside the naive one
static void show_kernel() {
  std::printf("[kernel]\n   N      T   agree to 1e-10   multiplications: naive    S4\n");
  for (const std::size_t N : {4u, 16u, 64u})
    for (const std::size_t T : {100u, 1024u}) {
      const auto C = demo::random_tensor<double>({N}, random_number);
      const auto naive = mamba2::linear_kernel(mamba2::discretize_bilinear(legs(C), 0.01), T);
      const auto K = mamba2::s4_kernel(mamba2::legs_diagonal_plus_low_rank(C), 0.01, T);
      std::printf("%4zu  %5zu   %-14s   %22.1e   %.1e\n", N, T, demo::agree(K, naive, 1e-10),
                  double(T * N * N), double(T * N * 4) + double(T) / 2 * std::log2(double(T)));
    }
}

// **Without the low rank.** A smooth input goes through LegS, and through its normal part with half
// of $B$. How far are the first three numbers of the state apart, beside their size?

//: fold With and without the low rank
static void show_limit() {
  std::printf("[limit]\n   N   relative difference\n");
  const double dt = 0.02;
  auto x = zeros<double>(300);
  for (std::size_t t = 0; t < x.size(); ++t) x(t) = std::sin(2 * dt * double(t));
  for (const std::size_t N : {8u, 32u, 128u}) {
    auto got = zeros<double>(3, x.size()), want = got;
    for (std::size_t n = 0; n < 3; ++n) {
      auto C = zeros<double>(N);
      C(n) = 1;
      xt::row(want, int(n)) =
          mamba2::linear_recurrent(mamba2::discretize_zero_order_hold(legs(C), dt), x);
      const auto model = mamba2::legs_diagonal_plus_low_rank(C);
      for (std::size_t k = 0; k < N; ++k) {
        const auto step = mamba2::discretize_zero_order_hold(model.Lambda(k), dt);
        Complex h = 0;
        for (std::size_t t = 0; t < x.size(); ++t) {
          h = step.A_bar * h + step.B_bar * model.B(k) / 2.0 * x(t);
          got(n, t) += (model.C(k) * h).real();
        }
      }
    }
    std::printf("%4zu   %.3f\n", N, demo::relative_difference(got, want));
  }
}

// **Learning.** 250 steps for each of five beginnings, and 750 more, with the same signals again,
// for those that have got nowhere. The errors are those of the last 25 steps, rounded up.

static void show_memory() {
  std::printf("[memory]\nbegins as   step size   error at first   after 250 steps   after 1000\n");
  const auto batches = demo::delays(250);
  for (const auto& beginning : demo::beginnings()) {
    demo::DelayLearner learner(config_of(beginning));
    const double first = learner.step(batches[0]);
    const auto learn = [&] {  // each batch once; the error of the last 25
      double error = 0;
      for (std::size_t i = 0; i < batches.size(); ++i)
        error += learner.step(batches[i]) * (i + 25 >= batches.size() ? 0.04 : 0);
      return std::ceil(100 * error) / 100;
    };
    double last = learn();
    std::printf("%-9s   %9.3f   %14.0f   %15.2f", beginning.name, beginning.dt, first, last);
    if (last < 0.5) {
      std::printf("\n");
      continue;
    }
    for (int again = 0; again < 3; ++again) last = learn();
    std::printf("   %10.2f\n", last);
  }
}

// **A fixed lag and a random one.** A sequence of noise; at one step a value is stored, at the end
// it is asked for. The best kernel is the solution of a linear equation. What it misses is measured
// on other sequences than those it was made for.

struct Story {
  std::vector<double> x;
  std::size_t lag;  // how long ago the value was stored, at the end
};

static Story story(std::size_t shortest, std::size_t longest) {
  Story told{std::vector<double>(40), 0};
  for (double& x : told.x) x = random_number();
  told.lag = shortest + std::size_t(random_number(0, double(longest - shortest + 1)));
  return told;
}

static double best_kernel(std::size_t shortest, std::size_t longest) {
  const std::size_t L = 40, count = 4000;
  Tensor<double, 2> products = 1e-9 * xt::eye<double>(L);
  auto with_value = zeros<double>(L);
  const auto past = [](const Story& s, std::size_t k) { return s.x[39 - k]; };
  for (std::size_t i = 0; i < count; ++i) {
    const Story s = story(shortest, longest);
    for (std::size_t k = 0; k < L; ++k) {
      with_value(k) += past(s, k) * past(s, s.lag);
      for (std::size_t m = 0; m < L; ++m) products(k, m) += past(s, k) * past(s, m);
    }
  }
  const Tensor<double, 1> K = xt::linalg::solve(products, with_value);
  double wrong = 0, silence = 0;
  for (std::size_t i = 0; i < count; ++i) {
    const Story s = story(shortest, longest);
    double y = 0;
    for (std::size_t k = 0; k < L; ++k) y += K(k) * past(s, k);
    wrong += (y - past(s, s.lag)) * (y - past(s, s.lag));
    silence += past(s, s.lag) * past(s, s.lag);
  }
  return wrong / silence;
}

// The selective model: one bucket. The zero-order hold with an endless step forgets all and takes
// the input ($A = -1$); with no step, nothing happens.

static double selective(std::size_t shortest, std::size_t longest) {
  double wrong = 0, silence = 0;
  for (std::size_t i = 0; i < 4000; ++i) {
    const Story s = story(shortest, longest);
    double h = 0;
    for (std::size_t t = 0; t < s.x.size(); ++t) {
      const bool store = t == s.x.size() - 1 - s.lag;  // what the mark says
      const auto step = mamba2::discretize_zero_order_hold(-1.0, store ? demo::infinity : 0.0);
      h = step.A_bar * h + step.B_bar * s.x[t];
    }
    const double value = s.x[s.x.size() - 1 - s.lag];
    wrong += (h - value) * (h - value);
    silence += value * value;
  }
  return wrong / silence;
}

static void show_selection() {
  std::printf("[selection]\nstored         best kernel of all   selective\n");
  std::printf("20 ago         %19.2f   %9.2f\n", best_kernel(20, 20), selective(20, 20));
  std::printf("10 to 30 ago   %19.2f   %9.2f\n", best_kernel(10, 30), selective(10, 30));
}

int main() {
  const mamba2::OneThread alone;  // its products are too small to share
  show_forms();
  show_eigenvectors();
  show_kernel();
  show_limit();
  show_memory();
  show_selection();
}

// The comparisons again:
//
// @output forms
//
// ::: tryit
// `./book run 18` runs it. In `src/demo/delay.hpp` let all beginnings have half of the states, then
// a quarter. Which of them suffers first, and why that one? Then let the quickest wave be 8 steps
// long.
// :::
//
// ## What has not changed {#s4_unchanged}
//
// The recurrence. S4, S4D, Mamba-1 and Mamba-2 all do $h \leftarrow \bar A h + \bar B x$ and read
// off $C h$; a matrix, $N$ complex numbers, $N$ real ones, one. They differ in what is fixed and
// what comes from the token, and that decides how all steps can be done at once.
//
// Within this chapter the kernel never changed either: the naive one, the one by frequencies and
// the one by powers are the same numbers, where the model is the same. What did change the model
// was to leave out $P$, and nothing but the choice of a first value is lost by it.
//
// And the linearity: a layer of S4, too, has all that is not linear around it, not in it.
//
// ## Exercises {#s4_exercises}
//
// ::: exercise 1 The bilinear rule in tune
// The bilinear rule gets the pitch wrong. Find the rate that has to be put in so that what comes
// out is what the zero-order hold makes of $A$: the same $\bar A$, pitch and decay.
// :::
//
// ::: exercise 2 A kernel by the bilinear rule
// S4D's kernel for one channel, with the bilinear rule in place of the zero-order hold and any $B$:
// a Vandermonde product.
// :::
//
// ::: exercise 3 A convolution in pieces
// A sequence comes in pieces of any length, and its end is not known. Return the outputs of each
// piece, equal to those of the whole convolution. Between the pieces you may keep what the kernel
// still owes to later steps. (Use fft_convolution() on each piece, or not; mind the room.)
// :::
//
// ::: exercise 4 A matrix from its definition
// Any basis of polynomials that stands at right angles would do for @eqref{eq:projection}, not only
// Legendre's. You are given one by its coefficients. Return $A$ and $B$ of
// $c' = \tfrac1t (A c + B x)$.
// :::
//
// ::: exercise 5 A window that slides
// For an evening. LegS remembers all of the past, ever more coarsely. Make a memory of the last
// $\theta$ units of time only, all of them alike: the coefficients of $x$ over $[t - \theta, t]$ in
// Legendre's polynomials. When you take the derivative, something leaves the window at its other
// end, and you do not have it any more. But your state remembers it. (It is the memory of
// [@voelker2019].) You are shown what your matrix remembers of a signal.
// :::
//
// ## Further reading {#s4_reading}
//
// - [@annotated_s4], the book of this kind for S4, in JAX, with trained models of images and sound.
// - [@gu2022] itself: section 3 for the kernel, appendix C for the derivations.
// - [@gu2020]: HiPPO, with other measures of the past than LegS's.
// - [@gu2022s4d] and [@gupta2022]: the diagonal models. [@smith2023] gives all channels one state.
// - [@gu2022train]: what S4's state means, and how to choose $\Delta$.
// - [@fu2023]: between S4 and Mamba, with the gates and the short convolution of the later blocks.
