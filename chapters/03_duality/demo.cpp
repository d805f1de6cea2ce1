// ## The program {#duality_program}
//
// The program writes both orders down once more, as literally as possible: one small function for
// each of the six steps in @eqref{eq:dual_quadratic} and @eqref{eq:dual_linear}, in plain loops.
// They serve three purposes. They print the example, they count, and they check the library's fast
// versions.

#include <demo/demo.hpp>
#include <demo/six_tokens.hpp>
#include <mamba2/duality.hpp>
#include <mamba2/semiseparable.hpp>
#include <mamba2/ssm.hpp>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <string>
#include <vector>

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

// The linear order: $Z = X B$ as outer products, $h$ by the recurrence, $Y$ by reading $h$ with
// $C$. Here all states are kept, as the formula has it, which is what dual_linear() avoids.

static Tensor<double, 3> outer(const Tensor<double, 2>& X, const Tensor<double, 2>& B) {
  auto Z = zeros<double>(X.shape(0), X.shape(1), B.shape(1));  // (seqlen, headdim, d_state)
  for (std::size_t t = 0; t < X.shape(0); ++t)
    for (std::size_t p = 0; p < X.shape(1); ++p)
      for (std::size_t n = 0; n < B.shape(1); ++n) Z(t, p, n) = times(X(t, p), B(t, n));
  return Z;
}

static Tensor<double, 3> scanned(const Tensor<double, 1>& dA, const Tensor<double, 3>& Z) {
  Tensor<double, 3> h = Z;  // (seqlen, headdim, d_state)
  for (std::size_t t = 1; t < h.shape(0); ++t) {
    const double decay = std::exp(dA(t));
    for (std::size_t p = 0; p < h.shape(1); ++p)
      for (std::size_t n = 0; n < h.shape(2); ++n) h(t, p, n) += times(decay, h(t - 1, p, n));
  }
  return h;
}

static Tensor<double, 2> read(const Tensor<double, 2>& C, const Tensor<double, 3>& h) {
  auto Y = zeros<double>(h.shape(0), h.shape(1));  // (seqlen, headdim)
  for (std::size_t t = 0; t < h.shape(0); ++t)
    for (std::size_t p = 0; p < h.shape(1); ++p)
      for (std::size_t n = 0; n < h.shape(2); ++n) Y(t, p) += times(C(t, n), h(t, p, n));
  return Y;
}

// A head, and the two heads that are needed: that of the six tokens, and one of any size.

struct Head {
  Tensor<double, 2> X, B, C;
  Tensor<double, 1> dA;
};

static Head six_tokens() {
  const demo::SixTokens example;
  Head h{example.x, example.B, example.C, example.dt};
  for (std::size_t t = 0; t < 6; ++t) {
    h.X(t, 0) *= example.dt(t);
    h.dA(t) *= example.A;
  }
  return h;
}

static Head random_head(std::size_t seqlen, std::size_t headdim, std::size_t d_state) {
  static demo::Random random(3);
  Head h{zeros<double>(seqlen, headdim), zeros<double>(seqlen, d_state), zeros<double>(seqlen, d_state),
         zeros<double>(seqlen)};
  for (Tensor<double, 2>* tensor : {&h.X, &h.B, &h.C}) demo::fill(*tensor, random);
  demo::fill(h.dA, random, -0.5, 0);
  return h;
}

// **The example**, in both orders.

static void show_example() {
  const Head six = six_tokens();
  const auto says = demo::SixTokens().says;
  const auto G = scores(six.C, six.B), M = masked(mamba2::decay_mask(six.dA), G);
  const auto Y = weighted(M, six.X);
  std::printf("[quadratic]\n%-10s%-22s%-46s%4s%9s\n", "", "G = C B'", "M = L * G", "X", "Y = M X");
  for (std::size_t i = 0; i < 6; ++i) {
    std::printf("%-8s", says[i]);
    for (std::size_t j = 0; j < 6; ++j) std::printf("%3.0f", G(i, j));
    std::printf("  ");
    for (std::size_t j = 0; j < 6; ++j) std::printf("%8.3f", M(i, j));
    std::printf("%6.0f%9.2f\n", six.X(i, 0), Y(i, 0));
  }

  const Tensor<double, 3> Z = outer(six.X, six.B), h = scanned(six.dA, Z);
  const auto Y_linear = read(six.C, h);
  std::printf("[linear]\n%-10s%-10s%6s%12s%16s%9s\n", "", "Z = X B", "decay", "h", "C", "Y = h C");
  for (std::size_t i = 0; i < 6; ++i)
    std::printf("%-8s%5.0f%4.0f%9.2f%9.2f%7.2f%8.0f%3.0f%9.2f\n", says[i], Z(i, 0, 0), Z(i, 0, 1),
                std::exp(six.dA(i)), h(i, 0, 0), h(i, 0, 1), six.C(i, 0), six.C(i, 1), Y_linear(i, 0));
}

// **Decay made invisible.** Queries and keys take the decay over, in `float`, for sequences of the
// length at which the running sum comes near $-88.7$, and of one token more.

static void show_invisible() {
  std::printf("[invisible]\nlog-decay of a token   tokens   equal to the model with decay, in float\n");
  const double largest = std::log(static_cast<double>(std::numeric_limits<float>::max()));
  for (const double log_decay : {-0.05, -0.5, -1.6}) {
    const auto last = static_cast<std::size_t>(largest / -log_decay);
    for (const std::size_t T : {last, last + 1}) {
      const Head h = random_head(T, 2, 4);
      Tensor<float, 2> X = h.X, B = h.B, C = h.C;
      auto dA = zeros<float>(T), none = zeros<float>(T);
      dA.fill(static_cast<float>(log_decay));
      const Tensor<float, 2> expected = mamba2::dual_quadratic(X, dA, B, C);
      double c = 0;  // the running sum, exact but for rounding in double
      for (std::size_t t = 0; t < T; ++t) {
        c += log_decay;
        for (std::size_t n = 0; n < 4; ++n) {
          C(t, n) *= static_cast<float>(std::exp(c));
          B(t, n) *= static_cast<float>(std::exp(-c));
        }
      }
      std::printf("%20.2f   %6zu   %s\n", log_decay, T,
                  demo::agree(mamba2::dual_quadratic(X, none, B, C), expected, 1e-3));
    }
  }
}

// **A memory.** Facts and questions as tokens. Letters are numbers from 1 to 26, a blank is 0; what
// rounds to anything else is shown as `#`.

struct Fact {
  std::string animal, sound;
  std::vector<double> address;
};

static double number_of(char letter) {
  return letter == ' ' ? 0 : letter - 'a' + 1;
}

static char letter_of(double number) {
  const long rounded = std::lround(number);
  if (rounded == 0) return ' ';
  return 1 <= rounded && rounded <= 26 ? static_cast<char>('a' + rounded - 1) : '#';
}

// The facts, a thousand tokens of noise, then a question for each fact. The rate is $-1$.

static Head tokens_of(const std::vector<Fact>& facts) {
  const std::size_t K = facts.size(), noise = 1000, T = K + noise + K;
  Head h = random_head(T, 4, 3);  // noise, for a start
  const double A = -1, step = 0.001;
  h.dA.fill(0);  // a step of 0 ...
  h.X.fill(0);   // ... times whatever the token has to say
  for (std::size_t k = 0; k < K; ++k) {
    h.dA(k) = step * A;
    for (std::size_t p = 0; p < 4; ++p) h.X(k, p) = step * number_of(facts[k].sound[p]);
    for (std::size_t n = 0; n < 3; ++n) {
      h.B(k, n) = 1000 * facts[k].address[n];
      h.C(T - K + k, n) = facts[k].address[n];
    }
  }
  return h;
}

static void print_answers(const std::vector<Fact>& facts, const Tensor<double, 2>& Y) {
  for (std::size_t k = 0; k < facts.size(); ++k) {
    std::string answer;
    for (std::size_t p = 0; p < 4; ++p) answer += letter_of(Y(Y.shape(0) - facts.size() + k, p));
    std::printf("    %s?  %s\n", facts[k].animal.c_str(), answer.c_str());
  }
}

// Softmax attention over the same keys, for comparison. The scores are sharpened by a factor, as a
// trained layer would do by larger weights.

static Tensor<double, 2> softmax_answers(const std::vector<Fact>& facts) {
  const std::size_t K = facts.size();
  auto Y = zeros<double>(K, 4);
  for (std::size_t i = 0; i < K; ++i) {
    double sum = 0;
    for (std::size_t j = 0; j < K; ++j) {
      double score = 0;
      for (std::size_t n = 0; n < 3; ++n) score += facts[i].address[n] * facts[j].address[n];
      const double weight = std::exp(20 * score);
      sum += weight;
      for (std::size_t p = 0; p < 4; ++p) Y(i, p) += weight * number_of(facts[j].sound[p]);
    }
    for (std::size_t p = 0; p < 4; ++p) Y(i, p) /= sum;
  }
  return Y;
}

static void show_memory() {
  std::vector<Fact> facts{
      {"cat", "meow", {1, 0, 0}}, {"dog", "woof", {0, 1, 0}}, {"owl", "hoot", {0, 0, 1}}};
  const auto answers = [&] {
    const Head h = tokens_of(facts);
    return mamba2::dual_linear(h.X, h.dA, h.B, h.C);
  };
  std::printf("[memory]\nthree facts, three states, a thousand tokens of noise\n");
  print_answers(facts, answers());
  const double third = std::sqrt(1.0 / 3);
  facts.push_back({"cow", "moo ", {third, third, third}});
  std::printf("four facts, three states\n");
  print_answers(facts, answers());
  std::printf("four facts, softmax attention\n");
  print_answers(facts, softmax_answers(facts));
}

// **The count.** Sixty-four tokens, in six stages.

static long counted() {
  const long count = multiplications;
  multiplications = 0;
  return count;
}

static void show_count() {
  const std::size_t T = 64, P = 8, N = 16;
  const Head head = random_head(T, P, N);
  std::printf("[count]\nT = %zu, N = %zu, P = %zu\n", T, N, P);
  counted();
  const auto G = scores(head.C, head.B);
  const long scoring = counted();
  const auto M = masked(mamba2::decay_mask(head.dA), G);
  const long masking = counted();
  weighted(M, head.X);
  const long weighing = counted();
  std::printf("quadratic   scores %6ld   mask %6ld   product %6ld\n", scoring, masking, weighing);
  std::printf("            scores and product %6ld   T T (N + P) = %.0f\n", scoring + weighing,
              mamba2::cost_quadratic(T, N, P).multiply_adds);
  const auto Z = outer(head.X, head.B);
  const long writing = counted();
  const auto h = scanned(head.dA, Z);
  const long decaying = counted();
  read(head.C, h);
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
  const auto agree = [&](const Tensor<double, 2>& other) { return demo::agree(Y, other); };
  std::printf("[equal]\nagree with the plain recurrence, to 1e-12:\n");
  std::printf("its matrix             %s\n", agree(mamba2::ssm_quadratic(h.X, A_bar, h.B, h.C)));
  std::printf("literal, quadratic     %s\n",
              agree(weighted(masked(mamba2::decay_mask(h.dA), scores(h.C, h.B)), h.X)));
  std::printf("literal, linear        %s\n", agree(read(h.C, scanned(h.dA, outer(h.X, h.B)))));
  std::printf("dual_quadratic         %s\n", agree(mamba2::dual_quadratic(h.X, h.dA, h.B, h.C)));
  std::printf("dual_linear            %s\n", agree(mamba2::dual_linear(h.X, h.dA, h.B, h.C)));

  const auto none = zeros<double>(300);
  Tensor<double, 3> sums = outer(h.X, h.B);
  for (std::size_t t = 1; t < 300; ++t)
    for (std::size_t p = 0; p < 6; ++p)
      for (std::size_t n = 0; n < 10; ++n) sums(t, p, n) += sums(t - 1, p, n);
  std::printf("no decay: agrees with linear attention    %s\n",
              demo::agree(read(h.C, sums), mamba2::dual_quadratic(h.X, none, h.B, h.C)));
}

int main() {
  show_example();
  show_invisible();
  show_memory();
  show_count();
  show_costs();
  show_equal();
}

// What it says about the forms:
//
// @output equal
//
// ::: tryit
// Run it with `./book run 3`. Give the cow another address in `show_memory`: near the cat's, or the
// same as the cat's. Who suffers? Then let `masked` return `G` unchanged, and look which lines of
// the last table say no. (The very last one compares two computations without decay. What does it
// say, and why?)
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
// ::: exercise 2 Make the decay disappear
// Find the queries and keys of @eqref{eq:undecayed}, and say how long a sequence may become in
// `float` before they break, if every token has the same log-decay.
// :::
//
// ::: exercise 3 Linear attention as it was invented
// The original divides each output by the sum of its weights. Write it for a model that generates:
// take in one token's query, key and value, bring the state up to date, return that token's output.
// Between tokens you have a state with one row more than the values have channels, and nothing
// else.
// :::
//
// ::: exercise 4 A decay for each number of the state
// Write down the matrix of @eqref{eq:many_masks}, in which each of the $N$ entries of the state
// fades at its own pace, as in GLA. Note what has become of the matrix product $C B^\top$. The
// decays may be so strong that $e^{-c_j}$ overflows.
// :::
//
// ::: exercise 5 A softmax in finitely many states
// For an evening. Cut the series @eqref{eq:softmax_series} off after the power $K$. Write the
// feature map $\phi$ with $\phi(q)^\top \phi(k) = \sum_{m \le K} (q^\top k)^m / m!$, as short as it
// can be: products that differ in the order of their factors only need a single place. With it,
// write softmax attention as a recurrence. You are shown how good it gets, and what it costs.
// :::
//
// ## Further reading {#duality_reading}
//
// - [@dao2024], sections 4 and 5: attention as a contraction, structured masks, and the duality
//   from both sides.
// - [@blog, part II], the theory with fewer symbols; part I for the comparison of heads and state
//   sizes.
// - [@katharopoulos2020], where softmax-free attention was first read as a recurrence.
// - [@arora2024], on what models with a state recall, and what they do not.
