// ## The program {#duality_program}
//
// The program writes both orders down once more, as literally as possible: one small function for
// each of the six steps in @eqref{eq:dual_quadratic} and @eqref{eq:dual_linear}, in plain loops.
// They serve three purposes. They print the example, they count, and they check the library's fast
// versions.

#include <demo/demo.hpp>
#include <mamba2/duality.hpp>
#include <mamba2/semiseparable.hpp>
#include <mamba2/ssm.hpp>

#include <algorithm>
#include <cmath>
#include <cstdio>

using demo::agree;
using mamba2::Tensor;
using mamba2::zeros;

// Every multiplication of the six functions goes through `times`, which keeps count.

static long multiplications = 0;

static double times(double a, double b) {
  ++multiplications;
  return a * b;
}

// The quadratic order: $G = C B^\top$, $M = L \circ G$, $Y = M X$.

static Tensor<double, 2> scores(const Tensor<double, 2>& C, const Tensor<double, 2>& B) {
  auto G = zeros<double>(C.shape(0), B.shape(0));  // (seqlen, seqlen)
  for (std::size_t i = 0; i < C.shape(0); ++i)
    for (std::size_t j = 0; j < B.shape(0); ++j)
      for (std::size_t n = 0; n < C.shape(1); ++n) G(i, j) += times(C(i, n), B(j, n));
  return G;
}

static Tensor<double, 2> masked(const Tensor<double, 2>& L, const Tensor<double, 2>& G) {
  auto M = zeros<double>(L.shape(0), L.shape(1));  // (seqlen, seqlen)
  for (std::size_t k = 0; k < M.size(); ++k) M.data()[k] = times(L.data()[k], G.data()[k]);
  return M;
}

static Tensor<double, 2> weighted(const Tensor<double, 2>& M, const Tensor<double, 2>& X) {
  auto Y = zeros<double>(M.shape(0), X.shape(1));  // (seqlen, headdim)
  for (std::size_t i = 0; i < M.shape(0); ++i)
    for (std::size_t j = 0; j < M.shape(1); ++j)
      for (std::size_t p = 0; p < X.shape(1); ++p) Y(i, p) += times(M(i, j), X(j, p));
  return Y;
}

// The linear order: $Z = X B$ as outer products, $H$ by the recurrence, $Y$ by reading $H$ with
// $C$. Here all states are kept, as the formula has it, which is what dual_linear() avoids.

static Tensor<double, 3> outer(const Tensor<double, 2>& X, const Tensor<double, 2>& B) {
  auto Z = zeros<double>(X.shape(0), X.shape(1), B.shape(1));  // (seqlen, headdim, d_state)
  for (std::size_t t = 0; t < X.shape(0); ++t)
    for (std::size_t p = 0; p < X.shape(1); ++p)
      for (std::size_t n = 0; n < B.shape(1); ++n) Z(t, p, n) = times(X(t, p), B(t, n));
  return Z;
}

static Tensor<double, 3> scanned(const Tensor<double, 1>& dA, const Tensor<double, 3>& Z) {
  Tensor<double, 3> H = Z;  // (seqlen, headdim, d_state)
  for (std::size_t t = 1; t < H.shape(0); ++t) {
    const double decay = std::exp(dA(t));
    for (std::size_t p = 0; p < H.shape(1); ++p)
      for (std::size_t n = 0; n < H.shape(2); ++n) H(t, p, n) += times(decay, H(t - 1, p, n));
  }
  return H;
}

static Tensor<double, 2> read(const Tensor<double, 2>& C, const Tensor<double, 3>& H) {
  auto Y = zeros<double>(H.shape(0), H.shape(1));  // (seqlen, headdim)
  for (std::size_t t = 0; t < H.shape(0); ++t)
    for (std::size_t p = 0; p < H.shape(1); ++p)
      for (std::size_t n = 0; n < H.shape(2); ++n) Y(t, p) += times(C(t, n), H(t, p, n));
  return Y;
}

// Data for one head.

struct Head {
  Tensor<double, 2> X, B, C;
  Tensor<double, 1> dA;
};

static Head random_head(std::size_t seqlen, std::size_t headdim, std::size_t d_state) {
  static demo::Random draw(3);
  Head h{zeros<double>(seqlen, headdim), zeros<double>(seqlen, d_state), zeros<double>(seqlen, d_state),
         zeros<double>(seqlen)};
  for (Tensor<double, 2>* tensor : {&h.X, &h.B, &h.C}) demo::fill(*tensor, draw);
  demo::fill(h.dA, draw, -0.5, 0);
  return h;
}

// **The example**, in both orders. The matrices of one order stand side by side, each as wide as it
// needs.

static void print_row(const char* format, const Tensor<double, 2>& m, std::size_t i) {
  for (std::size_t j = 0; j < m.shape(1); ++j) std::printf(format, m(i, j));
}

// The steps of a (seqlen, headdim = 1, d_state) tensor as the rows of a matrix.
static Tensor<double, 2> rows_of(const Tensor<double, 3>& t) {
  auto m = zeros<double>(t.shape(0), t.shape(2));
  std::copy(t.begin(), t.end(), m.begin());
  return m;
}

static void show_example() {
  const Head h{{{1}, {2}, {4}},
               {{1, 0}, {0, 1}, {1, 1}},
               {{1, 1}, {2, 0}, {1, 3}},
               {0, std::log(0.5), std::log(0.25)}};
  std::printf("[example]\n X       B        C      decay\n");
  for (std::size_t t = 0; t < 3; ++t)
    std::printf("%2.0f    %2.0f%3.0f    %2.0f%3.0f    %5.2f\n", h.X(t, 0), h.B(t, 0), h.B(t, 1),
                h.C(t, 0), h.C(t, 1), std::exp(h.dA(t)));

  std::printf("[quadratic]\nG = C B'          L                  M = L * G              Y = M X\n");
  const auto G = scores(h.C, h.B), L = mamba2::decay_mask(h.dA), M = masked(L, G), Y = weighted(M, h.X);
  for (std::size_t i = 0; i < 3; ++i) {
    print_row("%2.0f ", G, i);
    print_row("%7.3f", L, i);
    std::printf("  ");
    print_row("%7.3f", M, i);
    std::printf("  ");
    print_row("%9.3f", Y, i);
    std::printf("\n");
  }

  std::printf("[linear]\nZ = X B    H, the state       Y = H C\n");
  const Tensor<double, 3> Z = outer(h.X, h.B), H = scanned(h.dA, Z);
  const auto Z_rows = rows_of(Z), H_rows = rows_of(H), Y_linear = read(h.C, H);
  for (std::size_t i = 0; i < 3; ++i) {
    print_row("%2.0f ", Z_rows, i);
    std::printf("  ");
    print_row("%8.3f", H_rows, i);
    std::printf("  ");
    print_row("%9.3f", Y_linear, i);
    std::printf("\n");
  }
}

// **The count.** Sixty-four tokens, in six stages.

static long counted() {
  const long count = multiplications;
  multiplications = 0;
  return count;
}

static void show_count() {
  const std::size_t T = 64, P = 8, N = 16;
  const Head h = random_head(T, P, N);
  std::printf("[count]\nT = %zu, N = %zu, P = %zu\n", T, N, P);
  counted();
  const auto G = scores(h.C, h.B);
  const long scoring = counted();
  const auto M = masked(mamba2::decay_mask(h.dA), G);
  const long masking = counted();
  weighted(M, h.X);
  const long weighing = counted();
  std::printf("quadratic   scores %6ld   mask %6ld   product %6ld\n", scoring, masking, weighing);
  std::printf("            scores and product %6ld   T T (N + P) = %.0f\n", scoring + weighing,
              mamba2::cost_quadratic(T, N, P).multiply_adds);
  const auto Z = outer(h.X, h.B);
  const long writing = counted();
  const auto H = scanned(h.dA, Z);
  const long decaying = counted();
  read(h.C, H);
  const long reading = counted();
  std::printf(
      "linear      write  %6ld   decay %5ld   read    %6ld   (the first step has nothing to decay)\n",
      writing, decaying, reading);
  std::printf("            in all             %6ld   3 T N P = %.0f\n", writing + decaying + reading,
              mamba2::cost_linear(T, N, P).multiply_adds);
}

static void show_costs() {
  std::printf("[costs]\nN = 128, P = 64      multiply-adds         numbers kept\n");
  std::printf("     T         quadratic    linear   quadratic    linear\n");
  for (const double T : {32.0, 128.0, 512.0, 2048.0, 8192.0}) {
    const auto quadratic = mamba2::cost_quadratic(T, 128, 64), linear = mamba2::cost_linear(T, 128, 64);
    std::printf("%6.0f           %.1e   %.1e     %.1e   %.1e\n", T, quadratic.multiply_adds,
                linear.multiply_adds, quadratic.memory, linear.memory);
  }
}

// **The proof.** Three hundred tokens, and every form this far: @chapter{state_space}'s loop and
// its matrix, the literal contractions above, and this chapter's two functions. At last the decay
// is taken away, and a running sum of outer products, linear attention, must give the same.

static void show_equal() {
  const Head h = random_head(300, 6, 10);
  const Tensor<double, 1> A_bar = xt::exp(h.dA);
  const auto Y = mamba2::ssm_recurrent(h.X, A_bar, h.B, h.C);
  std::printf("[equal]\nagree with the plain recurrence, to 1e-12:\n");
  std::printf("its matrix             %s\n", agree(Y, mamba2::ssm_quadratic(h.X, A_bar, h.B, h.C)));
  std::printf("literal, quadratic     %s\n",
              agree(Y, weighted(masked(mamba2::decay_mask(h.dA), scores(h.C, h.B)), h.X)));
  std::printf("literal, linear        %s\n", agree(Y, read(h.C, scanned(h.dA, outer(h.X, h.B)))));
  std::printf("dual_quadratic         %s\n", agree(Y, mamba2::dual_quadratic(h.X, h.dA, h.B, h.C)));
  std::printf("dual_linear            %s\n", agree(Y, mamba2::dual_linear(h.X, h.dA, h.B, h.C)));

  const auto none = zeros<double>(300);
  Tensor<double, 3> sums = outer(h.X, h.B);
  for (std::size_t t = 1; t < 300; ++t)
    for (std::size_t p = 0; p < 6; ++p)
      for (std::size_t n = 0; n < 10; ++n) sums(t, p, n) += sums(t - 1, p, n);
  std::printf("no decay: agrees with linear attention    %s\n",
              agree(read(h.C, sums), mamba2::dual_quadratic(h.X, none, h.B, h.C)));
}

int main() {
  show_example();
  show_count();
  show_costs();
  show_equal();
}

// What it says about the forms:
//
// @output equal
//
// ::: tryit
// Run it with `./book run 3`. Then spoil something: let `masked` return `G` unchanged, for
// instance, and look which lines say no. (The last one compares two computations without decay.
// What does it say, and why?)
// :::
//
// ## What has not changed {#duality_unchanged}
//
// The function. `X`, `dA`, `B` and `C` go in, `Y` comes out, and it is the `Y` of
// @chapter{state_space}, to the last digits. Nothing was approximated to get from the recurrence to
// attention, no kernel was expanded, no low-rank guess was made. Attention *with* a softmax can be
// made linear only by such approximations; this attention has been linear all along.
//
// The model did not change either. It still has the same parameters, and it does not matter in
// which order it was computed while it was trained: the same weights can be trained in one order
// and run, token by token, in the other (@chapter{one_token_at_a_time}).
//
// ## Exercises {#duality_exercises}
//
// ::: exercise 1 A mask from factors
// mask_scores() takes an exponential for each pair of tokens. The mask can be had with one for each
// token: given the factors $a_t = e^{\Delta_t A}$, build $L$ by multiplications only. A factor may
// be 0.
// :::
//
// ::: exercise 2 Attention, one token at a time
// Causal attention without softmax and without decay, for a model that generates: take in one
// token's query, key and value, bring the state up to date and return that token's output.
// :::
//
// ::: exercise 3 Only what is not masked
// Suppose that the quadratic mode computes nothing above the diagonal. From which length on does
// the linear mode need fewer multiply-adds?
// :::
//
// ::: exercise 4 A decay for each number of the state
// Write the quadratic form of a model in which every one of the $N$ entries of the state has a
// decay of its own, as in Mamba-1. Note what has become of the matrix product $C B^\top$.
// :::
//
// ## Further reading {#duality_reading}
//
// - [@dao2024], sections 4 and 5: attention as a contraction, structured masks, and the duality
//   from both sides. Theorem 5.2 is the converse that this chapter left out: masked attention that
//   can be computed as a recurrence with a state of fixed size needs a semiseparable mask.
// - [@blog, part II], the theory with fewer symbols; part I for the comparison of heads and state
//   sizes.
// - [@katharopoulos2020], where softmax-free attention was first read as a recurrence.
