// ## The program {#chunked_scan_program}
//
// It takes the six tokens apart, holds the chunked scan against the recurrence, and computes the
// tables above.

#include <demo/demo.hpp>
#include <demo/six_tokens.hpp>
#include <mamba2/chunked_scan.hpp>
#include <mamba2/semiseparable.hpp>
#include <mamba2/ssm.hpp>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <vector>

using mamba2::as_matrix;
using mamba2::as_span;
using mamba2::row_block;
using mamba2::Tensor;
using mamba2::zeros;

struct Head {
  Tensor<double, 2> X, B, C;
  Tensor<double, 1> dA;
};

static demo::Random random_number(4);

static Head random_head(std::size_t seqlen, std::size_t headdim, std::size_t d_state) {
  Head h{zeros<double>(seqlen, headdim), zeros<double>(seqlen, d_state), zeros<double>(seqlen, d_state),
         zeros<double>(seqlen)};
  for (Tensor<double, 2>* tensor : {&h.X, &h.B, &h.C}) demo::fill(*tensor, random_number);
  demo::fill(h.dA, random_number, -0.5, 0);
  return h;
}

static Tensor<double, 2> recurrent(const Head& h) {
  const Tensor<double, 1> A_bar = xt::exp(h.dA);
  return mamba2::ssm_recurrent(h.X, A_bar, h.B, h.C);
}

// **The example.** First the matrix, cut into blocks.

static Head six_tokens() {
  const demo::SixTokens example;
  Head h{example.x, example.B, example.C, example.dt};
  for (std::size_t t = 0; t < 6; ++t) {
    h.X(t, 0) *= example.dt(t);
    h.dA(t) *= example.A;
  }
  return h;
}

static void show_matrix(const Head& h) {
  const Tensor<double, 1> A_bar = xt::exp(h.dA);
  const Tensor<double, 2> M = mamba2::ssm_matrix(A_bar, h.B, h.C);
  const auto says = demo::SixTokens().says;
  std::printf("[matrix]\n");
  for (std::size_t i = 0; i < 6; ++i) {
    std::printf("%-8s", says[i]);
    for (std::size_t j = 0; j < 6; ++j)
      std::printf("%s%8.3f", j > 0 && j % 2 == 0 ? "   " : "", M(i, j));
    std::printf(i % 2 == 1 && i < 5 ? "\n\n" : "\n");
  }
}

// Then the four steps. What chunked_scan() goes through chunk after chunk is kept here, to lie side
// by side when it is printed.

struct Steps {
  Tensor<double, 2> diagonal = zeros<double>(6, 1), from_state = zeros<double>(6, 1);
  Tensor<double, 2> own = zeros<double>(3, 2), before = zeros<double>(3, 2);  // a state for each chunk
};

static Steps four_steps(const Head& h, std::size_t Q) {
  Steps steps;
  auto state = zeros<double>(1, 2);
  for (std::size_t k = 0; k < 3; ++k) {
    const auto chunk = [&](auto& tensor) { return row_block(as_matrix(tensor), k * Q, Q); };
    const auto dA = as_span(h.dA).subspan(k * Q, Q);
    const auto own = row_block(as_matrix(steps.own), k, 1);
    mamba2::diagonal_block<double>(chunk(h.X), dA, chunk(h.B), chunk(h.C), chunk(steps.diagonal));
    mamba2::state_to_output<double>(dA, chunk(h.C), as_matrix(state), chunk(steps.from_state));
    mamba2::chunk_state<double>(chunk(h.X), dA, chunk(h.B), own);
    std::copy(state.begin(), state.end(), &steps.before(k, 0));
    mamba2::pass_state<double>(dA, own, as_matrix(state));
  }
  return steps;
}

// Their table:

static void print(const char* name, const Tensor<double, 2>& m) {
  std::printf("%-26s", name);
  for (std::size_t k = 0; k < m.size(); ++k)
    std::printf("%s%7.2f", k > 0 && k % 2 == 0 ? "   |" : "", m.data()[k]);
  std::printf("\n");
}

static void show_steps(const Head& h) {
  const Steps steps = four_steps(h, 2);
  std::printf("[steps]\n%26s%11s%18s%18s\n", "", "chunk 0", "chunk 1", "chunk 2");
  print("inputs X", h.X);
  print("1 diagonal block", steps.diagonal);
  print("2 own state", steps.own);
  print("3 state before the chunk", steps.before);
  print("4 state to output", steps.from_state);
  std::printf("[sum]\n");
  print("1 + 4", steps.diagonal + steps.from_state);
  print("recurrence", recurrent(h));
}

// **Joining chunks** by @eqref{eq:combine}. A chunk is the decay over all of it, and its own state.

struct Passage {
  double decay;
  Tensor<double, 1> own;  // (d_state), of the one channel
};

static Passage join(const Passage& first, const Passage& second) {
  return {first.decay * second.decay, second.decay * first.own + second.own};
}

static void show_associative(const Head& h) {
  const Steps steps = four_steps(h, 2);
  std::vector<Passage> chunks;
  for (std::size_t k = 0; k < 3; ++k)
    chunks.push_back({std::exp(h.dA(2 * k) + h.dA(2 * k + 1)), xt::row(steps.own, int(k))});
  const auto print_passage = [](const char* name, const Passage& p) {
    std::printf("%-34sdecay %7.4f   adds %6.2f %6.2f\n", name, p.decay, p.own(0), p.own(1));
  };
  std::printf("[associative]\n");
  print_passage("chunk 0", chunks[0]);
  print_passage("chunk 1", chunks[1]);
  print_passage("chunk 2", chunks[2]);
  print_passage("(0 and 1), then 2", join(join(chunks[0], chunks[1]), chunks[2]));
  print_passage("0, then (1 and 2)", join(chunks[0], join(chunks[1], chunks[2])));
}

// **The forms.** A length that is a prime number, and all sorts of chunks.

static void show_forms() {
  const Head h = random_head(1009, 5, 7);
  const auto Y = recurrent(h);
  std::printf("[forms]\n%zu tokens: agrees with the recurrence to 1e-12\n", h.X.shape(0));
  for (const std::size_t Q : std::vector<std::size_t>{1, 2, 7, 64, 100, 1008, 1009, 5000})
    std::printf("chunks of %4zu   %s\n", Q,
                demo::agree(mamba2::chunked_scan(h.X, h.dA, h.B, h.C, Q), Y));
}

// **Precision.** One chunk of 256 tokens; every second step all but empties the state. The mask
// from @chapter{semiseparable}'s naive segment sums, in `float`, against step 1, in `float`; what
// is right is computed in `double`.

static void show_precision() {
  const std::size_t Q = 256, P = 8, N = 16;
  Head h = random_head(Q, P, N);
  for (std::size_t t = 0; t < Q; ++t) h.dA(t) = t % 2 == 0 ? -16 : random_number(-0.01, 0);
  const Tensor<float, 2> X = h.X, B = h.B, C = h.C;
  const Tensor<float, 1> dA = h.dA;
  h.X = X, h.B = B, h.C = C, h.dA = dA;  // the same numbers in double
  const auto want = recurrent(h);

  const Tensor<float, 2> L = xt::exp(mamba2::segsum_naive(dA));
  auto G = zeros<float>(Q, Q), Y = zeros<float>(Q, P);
  mamba2::multiply<float>(as_matrix(C), transpose(as_matrix(B)), 0, as_matrix(G));
  G *= L;
  mamba2::multiply<float>(as_matrix(G), as_matrix(X), 0, as_matrix(Y));
  const double differences = demo::relative_difference(Y, want);
  mamba2::diagonal_block<float>(as_matrix(X), as_span(dA), as_matrix(B), as_matrix(C), as_matrix(Y));
  const double own_sums = demo::relative_difference(Y, want);

  const auto order = [](double error) {
    if (error > 1e-5) return "above 1e-5";
    return error < 1e-6 ? "below 1e-6" : "between";
  };
  std::printf("[precision]\nrelative error in float\n");
  std::printf("differences of one running sum    %s\n", order(differences));
  std::printf("every sum from its own end        %s\n", order(own_sums));
}

// **Chunk sizes.** The terms of the cost, per token.

static void show_chunk_sizes() {
  const double N = 128, P = 64;
  std::printf("[chunk_sizes]\n   Q    Q N + Q P    2 N P    N P / Q       sum\n");
  for (const double Q : {1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0}) {
    const double products = mamba2::cost_chunked(1, N, P, Q).multiply_adds;
    std::printf("%4.0f   %10.0f   %6.0f   %8.0f   %7.0f\n", Q, Q * (N + P), 2 * N * P, N * P / Q,
                products + N * P / Q);
  }
}

int main() {
  const Head six = six_tokens();
  show_matrix(six);
  show_steps(six);
  show_associative(six);
  show_forms();
  show_precision();
  show_chunk_sizes();
}

// Whatever the chunks, the result is the same:
//
// @output forms
//
// ::: tryit
// Run it with `./book run 4`. Then forget the state: leave out the line with pass_state() in
// chunked_scan(). Which chunk sizes still agree, and why those?
// :::
//
// ## What has not changed {#chunked_scan_unchanged}
//
// The result, once again. The chunk size is no parameter of the model; it is like the block size
// inside a matrix product, a matter between the program and the machine. A model trained with
// chunks of 256 on a GPU runs here with chunks of 64, and token by token in
// @chapter{one_token_at_a_time}, and the differences are those of rounding.
//
// The state did not change either. At the end of each chunk it is exactly the $h$ of the recurrence
// after that many tokens. This is why a long prompt can be read in chunks, and the text be
// continued from there one token at a time.
//
// ## Exercises {#chunked_scan_exercises}
//
// ::: exercise 1 The factors of a block
// Given the chunk size and the numbers of two chunks, return the left factor, the centre and the
// right factor of the block where the later one looks at the earlier one.
// :::
//
// ::: exercise 2 Choose the chunk
// On a real machine each chunk also costs a fixed time, for starting products and moving small
// matrices. Expressed as multiply-adds that could have been done meanwhile, it is given. Which
// whole $Q$ makes the cost per token least?
// :::
//
// ::: exercise 3 Take it apart
// Write the chunked scan for any length, from a given state, as Listing 1 has it: return what step
// 1 contributes to the outputs and what step 4 does, each by itself, with every chunk's own state
// and the states at all borders. You may use all that this chapter has.
// :::
//
// ::: exercise 4 Step 3 as a tree
// First the operator @eqref{eq:combine}. Then, for a row of chunks, all joined from the first up to
// each of them, so that no chunk has to wait for more than a few joins: the number of levels may
// grow with the logarithm of the number of chunks, not with the number itself. The grader counts.
// :::
//
// ::: exercise 5 A chunked scan for GLA
// For an evening. Give each of the $N$ numbers of the state a decay of its own
// (@eqref{eq:many_masks}) and write the chunked scan for it. Between the chunks all is as in this
// chapter. Inside there is no mask to put on $C B^\top$; take the care that it needs, for decays
// may be so strong that $e^{-c_j}$ is infinite. You are shown how much faster than the recurrence
// yours is.
// :::
//
// ## Further reading {#chunked_scan_reading}
//
// - [@dao2024], section 6 and Listing 1: the algorithm in thirty lines of PyTorch.
// - [@sun2023], section 2, and [@yang2024], sections 3 and 4: chunks for a constant decay, and for
//   a decay for each state.
// - [@blog, part III], the same with pictures, and with a discussion of what GPUs like. Part IV
//   splits a sequence over several machines.
// - [@gu2023], section 3.3, for the other answer to the same problem: Mamba-1 keeps the recurrence
//   and writes a GPU kernel that never lets the state leave the fastest memory.
