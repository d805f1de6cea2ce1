// ## The program {#fast_program}
//
// The program of this chapter proves what must not change. It prints no times; those are in figures
// and tables, measured in this build.

#include <demo/demo.hpp>
#include <demo/published.hpp>
#include <mamba2/block.hpp>
#include <mamba2/chunked_scan.hpp>
#include <mamba2/costs.hpp>
#include <mamba2/fast.hpp>
#include <mamba2/kernels.hpp>
#include <mamba2/language_model.hpp>
#include <mamba2/parallel.hpp>
#include <mamba2/random.hpp>
#include <mamba2/semiseparable.hpp>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <vector>

using namespace mamba2;

namespace {

using demo::fill;
using demo::Random;
using demo::relative_difference;
using demo::yes;

// One layer of the 130M model, counted as in equation @eqref{eq:layer_cost}.

void cost() {
  const double d_model = 768, d_inner = 1536, d_in_proj = 3352, N = 128, P = 64, H = 24, Q = 64;
  struct Item {
    const char* what;
    double count;
  };
  const std::vector<Item> items{
      {"input projection", d_in_proj * d_model}, {"output projection", d_inner * d_model},
      {"convolution", (d_inner + 2 * N) * 4},    {"scan: scores", Q * N},
      {"scan: mask times x", H * Q * P},         {"scan: into the state", H * N * P},
      {"scan: out of the state", H * N * P}};
  double total = 0;
  for (const Item& item : items) total += item.count;
  std::printf("multiply-adds of one token in one layer, Q = 64\n");
  for (const Item& item : items)
    std::printf("  %-24s %8.0f  %5.1f %%\n", item.what, item.count, 100 * item.count / total);
}

// Every entry of a mask, made as the scan makes it, in float and by its own exponential, and
// compared with double. If all steps decay alike, the exponential is off by the same each time, and
// its error adds up; so this is tried for weak decays and strong ones.

double error_of_mask(const Tensor<double, 1>& dA) {
  const std::size_t Q = dA.size();
  const Tensor<double, 2> exact = decay_mask(dA);
  std::vector<float> scores(Q * Q, 1.0F), M(Q * Q), a(dA.begin(), dA.end()), dt(Q, 1.0F), decay(Q);
  kernels<float>().exponential(a.data(), a.data(), Q);
  kernels<float>().masked_scores(scores.data(), Q, a.data(), dt.data(), decay.data(), M.data(), Q, Q);
  double worst = std::equal(decay.begin(), decay.end(), &M[(Q - 1) * Q]) ? 0 : 1;  // see above
  for (std::size_t i = 0; i < Q; ++i)
    for (std::size_t j = 0; j <= i; ++j)
      if (exact(i, j) > 1e-29)
        worst = std::max(worst, std::abs(static_cast<double>(M[i * Q + j]) / exact(i, j) - 1));
  return worst;
}

void mask() {
  const std::size_t Q = 64;
  Random random(1);
  auto dA = zeros<double>(Q);
  for (double& entry : dA) entry = -static_cast<float>(std::exp(random(-8, 2)));
  const double mixed = error_of_mask(dA);
  double alike = 0;
  for (double decay = 0.001; decay < 4; decay *= 1.01) {
    dA.fill(-static_cast<float>(decay));
    alike = std::max(alike, error_of_mask(dA));
  }
  std::printf("exponentials in a mask of %zu rows: one an entry %zu, one a row %zu\n", Q,
              Q * (Q - 1) / 2, Q);
  std::printf("entries in float and in double, relative to their size\n");
  std::printf("  steps that decay differently: agree to 5e-6: %s\n", yes(mixed < 5e-6));
  std::printf("  steps that all decay alike:   agree to 2e-5: %s\n", yes(alike < 2e-5));
}

// The operator with everything at once: two groups, a ragged last chunk, an initial state, packed
// sequences.

void operators() {
  const std::size_t batch = 2, seqlen = 83, nheads = 6, headdim = 5, ngroups = 2, d_state = 7;
  Random random(2);
  ScanInput<double> in;
  fill(in.x = zeros<double>(batch, seqlen, nheads, headdim), random);
  fill(in.dt = zeros<double>(batch, seqlen, nheads), random);
  in.A = Tensor<double, 1>{-1, -2, -4, -8, -0.5, -16};
  fill(in.B = zeros<double>(batch, seqlen, ngroups, d_state), random);
  fill(in.C = zeros<double>(batch, seqlen, ngroups, d_state), random);
  in.initial_state = zeros<double>(batch, nheads, headdim, d_state);
  fill(*in.initial_state, random);
  in.seq_idx = Tensor<std::int64_t, 2>({batch, seqlen}, 0);
  for (std::size_t t = 50; t < seqlen; ++t) (*in.seq_idx)(1, t) = 1;
  const auto slow = ssd(in, {.algorithm = Algorithm::recurrent});
  for (const std::size_t Q : {4, 16, 100}) {
    const auto fast = fast_ssd(in, {.chunk_size = Q});
    std::printf("the wide scan, Q = %3zu, equals the recurrence to 1e-13: %s\n", Q,
                yes(std::max(relative_difference(fast.y, slow.y),
                             relative_difference(fast.last_state, slow.last_state)) < 1e-13));
  }
  set_num_threads(1);
  const auto alone = fast_ssd(in);
  set_num_threads(3);
  const auto together = fast_ssd(in);
  std::printf("one thread and three give the same to 1e-13: %s\n",
              yes(relative_difference(together.y, alone.y) < 1e-13));
}

// And a whole block, on the plain table and on the fast one.

void blocks() {
  Mamba2Config config;
  config.d_model = 32;
  config.d_state = 12;
  config.headdim = 8;
  config.ngroups = 2;
  Mamba2Block<double> block(config, 3);
  Random random(4);
  auto u = zeros<double>(2, 45, 32);
  fill(u, random);
  const auto plain = block.forward(u);
  block.use(fast_operations<double>());
  const auto fast = block.forward(u);
  std::printf("a block on the fast operations gives the same to 1e-12: %s\n",
              yes(relative_difference(fast.y, plain.y) < 1e-12));
}

// What one token costs in bytes, for the 130M model: all parameters, and the states of its layers
// read and written.

void bytes() {
  const LanguageModelConfig config = demo::mamba2_130m();
  const auto MB = [&](double width, std::size_t batch) {
    return step_bytes(config, width, batch) / 1e6;
  };
  std::printf("one token reads and writes, in MB (10^6 bytes)\n");
  std::printf("  %.1f for the weights, %.1f for the states, %.1f in all\n", MB(4, 0), MB(0, 1),
              MB(4, 1));
  std::printf("eight sequences at once: %.1f, for %.1f times the tokens of one at most\n", MB(4, 8),
              8 * MB(4, 1) / MB(4, 8));
}

}  // namespace

int main() {
  std::printf("[cost]\n");
  cost();
  std::printf("[mask]\n");
  mask();
  std::printf("[operators]\n");
  operators();
  std::printf("[blocks]\n");
  blocks();
  std::printf("[bytes]\n");
  bytes();
}

// The mask first:
//
// @output mask
//
// Then the scan and the block:
//
// @output operators
//
// @output blocks
//
// ## Step by step {#fast_steps}
//
// Here are the numbers behind @figref{ladder}, measured while this book is built, on the machine
// that builds it. (Where other programs run meanwhile, every rate is lower, and those of several
// threads most of all: they are as fast as the slowest of them.)
//
// @measured operator
//
// The recurrence does about as much arithmetic as the others and is slow, because each number of
// the state is loaded, changed and stored for every token. The chunked scan of
// @chapter{real_sequences} trades that for products. The third bar is this chapter's code with a
// group for every head: the mask by @eqref{eq:mask_row}, loops that widen, memory that is set aside
// once, but every product one head wide and the scores computed for every head. The fourth has all
// heads in one group again; nothing else has changed, and it is the largest step of one thread
// after the first. Newer instructions bring next to nothing: BLAS had them all along, and the loops
// in between are no longer where the time goes. Threads come last, and bring as much as there are
// cores free.
//
// What does the chunk length do? @eqref{eq:layer_cost} says: shorter is less work. The machine
// says: a product with a short side is a slow product. In between lies a wide valley.
//
// ::: figure chunk_length
// Time per token against the chunk length Q, one thread: the scan, its own products, and what the
// multiply-adds alone would take at the product peak.
// :::
//
// And does the time per token grow with the length of the prompt? It must not; that was the promise
// of @chapter{chunked_scan}. Nor does the memory: beyond inputs and outputs the scan needs what one
// chunk needs.
//
// ::: figure length
// Microseconds per token against the length of the sequence, one thread, four heads. The recurrence
// and the wide scan are nearly flat, and @chapter{real_sequences}'s scan is once the products have
// their full size: this is what linear cost looks like. (The recurrence is not made to wait for the
// longest.)
// :::
//
// ## What writing costs {#fast_decoding}
//
// When the model writes, each token needs every weight once. So count bytes:
//
// @output bytes
//
// Divide by the read bandwidth of the machine, and you have the limit of one sequence. The loop of
// *Reading weights once* is measured here on a single large weight:
//
// ::: figure reading
// Products of 67 million weights with one token, per second. The dashed lines are how often that
// many floats can be read, by one thread and by all.
// :::
//
// @measured reading
//
// BLAS's product of two matrices is not made for this: it copies a matrix into an order of its own
// before it begins. Between the second and the third line nothing has changed but *which* four rows
// are taken. A second thread brings little where one of them can ask for nearly all that memory
// gives; how much that is, is a matter of the machine. No cleverness gets past the limit, except
// reading less. (The last column is relative to reading with
// one thread; the last lines read with all threads.)
//
// Several sequences at once share what is read:
//
// ::: figure batch
// The same weight with 1 to 8 vectors at once, all threads: how many products with a vector per
// second, beside the limit of reading the weight for each vector alone. The line bends after four:
// the loop takes four vectors at a time, and the fifth costs another pass.
// :::
//
// Eight sequences do not write eight times as much text as one. Each has states of its own to read
// and write, as the last line above says. And the multiplications, eight for every weight that is
// read, take as long as the reading by now.
//
// ## A whole model {#fast_model}
//
// All of it put together is @figref{model}: a model with the widths of the 130M one but half of its
// layers and of its vocabulary, so that this build need not wait for it. A prompt of 512 tokens is
// held against the product peak, writing against the read bandwidth, each measured right before and
// after.
//
// For models of your own, and for the full sizes, there is a command. It prints such a table, with
// the limits measured between the runs:
//
// ```
// build/bin/mamba2 bench --size 130m --prefill 512,2048 --decode 32
// ```
//
// What is between the bars and the line? In a prompt: the scan, whose products are small; and the
// convolution, the norms and the gate, which are little arithmetic, but every number they touch
// comes from memory and goes back there. In writing, the short loops around the products, between
// which the threads wait for each other.
//
// Some things were tried and left out. Pages of 2 MB instead of 4 kB, which often help to read
// memory faster, gave hardly anything once every thread reads four long streams. Keeping all
// tensors between the projections from layer to layer, to spare the system from handing out memory,
// gave nothing in a prompt of 512 tokens. oneDNN for the scan's products is slower than BLAS: they
// are small, and it takes longer to begin.
//
// ## What has not changed {#fast_unchanged}
//
// Not one result, up to rounding: the tests hold the fast operations to the golden data with the
// tolerances of the plain ones. Not the state, not the cache, not the checkpoint. The plain forms
// stay, as oracles and as the explanation. A program that links the whole library computes with the
// fast table; one line goes back:
//
// ```cpp
// model.use(mamba2::plain_operations<float>());
// ```
//
// ## Exercises {#fast_exercises}
//
// ::: exercise 1 The best chunk
// The time of a chunk is not its multiply-adds alone. A simple model: a token costs
// @eqref{eq:layer_cost}'s scan terms, $QN + H(QP + 2NP)$ multiply-adds, and each chunk costs,
// besides, as much as `overhead` multiply-adds (for copying matrices into BLAS's order). Find the
// power of two from 1 to 1024 with the smallest cost per token.
// :::
//
// ::: exercise 2 A parallel loop that is wrong
// Twelve lines that look like *Threads that share a list*, with four mistakes in them. The stub
// shows them. Find all four; a test that passes once proves nothing here.
// :::
//
// ::: exercise 3 All heads in one product
// Write a chunk of the wide scan: outputs and the state after it, for all heads of a group, with a
// product that you are given. Its calls are counted. For $H$ heads $H + 3$ are enough; a function
// with four for each head is right, and refused.
// :::
//
// ## Further reading {#fast_further_reading}
//
// - Section 6 of the paper [@dao2024] for the chunked algorithm, and part IV of the authors' posts
//   [@blog] for how it is split over GPUs.
// - Goto and van de Geijn, *Anatomy of high-performance matrix multiplication* (2008), on what BLAS
//   does between your call and its result.
// - Williams, Waterman and Patterson, *Roofline* (2009), on the two limits and how to see which one
//   binds.
