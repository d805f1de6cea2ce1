// ## The program {#selection_program}
//
// The program does the task of the first section with both models, then proves what the chapter
// said of gates, biases and scans.

#include <demo/demo.hpp>
#include <mamba2/activation.hpp>
#include <mamba2/mamba1.hpp>
#include <mamba2/selection.hpp>
#include <mamba2/ssd.hpp>
#include <mamba2/ssm.hpp>

#include <algorithm>
#include <cmath>
#include <cstdio>

using demo::difference;
using demo::yes;
using mamba2::Tensor;
using mamba2::zeros;

namespace {

// The task: values, marks, and what should be said. The best constant model is a state space model
// itself, so @chapter{state_space}'s recurrence runs it.

constexpr double p = 0.25;  // how often a token is marked

struct Task {
  Tensor<double, 2> value, mark, target;  // (seqlen, 1)
};

Task make_task(std::size_t seqlen) {
  Task task{zeros<double>(seqlen, 1), zeros<double>(seqlen, 1), zeros<double>(seqlen, 1)};
  mamba2::Random random(8);
  double latest = 0;
  for (std::size_t t = 0; t < seqlen; ++t) {
    task.value(t, 0) = random.uniform() < 0.5 ? -1 : 1;
    task.mark(t, 0) = random.uniform() < p ? 1 : 0;
    if (task.mark(t, 0) == 1) latest = task.value(t, 0);
    task.target(t, 0) = latest;
  }
  return task;
}

// Both constant models are the same recurrence; the second is given marked values only.

Tensor<double, 2> constant_decay(const Tensor<double, 2>& x, double B_bar) {
  const std::size_t seqlen = x.shape(0);
  const Tensor<double, 1> A_bar({seqlen}, 1 - p);
  const Tensor<double, 2> B({seqlen, 1}, B_bar), C({seqlen, 1}, 1.0);
  return mamba2::ssm_recurrent(x, A_bar, B, C);
}

// The selective model is one head with one channel and one state. Its raw step size is a linear
// function of the token, $36\,m_t$, plus a bias of $-24$.

Tensor<double, 2> selective_model(const Task& task) {
  const std::size_t seqlen = task.value.shape(0);
  mamba2::ScanInput<double> input;
  input.x = zeros<double>(1, seqlen, 1, 1);
  input.dt = zeros<double>(1, seqlen, 1);
  for (std::size_t t = 0; t < seqlen; ++t) {
    input.x(0, t, 0, 0) = task.value(t, 0);
    input.dt(0, t, 0) = 36 * task.mark(t, 0);
  }
  input.dt_bias = Tensor<double, 1>({1}, -24.0);
  input.A = Tensor<double, 1>({1}, -1.0);
  input.B = Tensor<double, 4>({1, seqlen, 1, 1}, 1.0 / 12);
  input.C = Tensor<double, 4>({1, seqlen, 1, 1}, 1.0);
  const auto output = mamba2::ssd(input);
  Tensor<double, 2> y = zeros<double>(seqlen, 1);
  for (std::size_t t = 0; t < seqlen; ++t) y(t, 0) = output.y(0, t, 0, 0);
  return y;
}

double squared_error(const Tensor<double, 2>& y, const Tensor<double, 2>& target) {
  double sum = 0;
  for (std::size_t t = 0; t < y.size(); ++t) sum += (y(t, 0) - target(t, 0)) * (y(t, 0) - target(t, 0));
  return sum / static_cast<double>(y.size());
}

void task() {
  const std::size_t seqlen = 200000;
  const Task task = make_task(seqlen);
  const Tensor<double, 2> marked = task.value * task.mark;
  const auto row = [&](const char* name, const Tensor<double, 2>& y, double formula) {
    std::printf("  %-32s %9.3f   %14.3f\n", name, squared_error(y, task.target), formula);
  };
  std::printf("%zu tokens, mean squared error   measured   by the formula\n", seqlen);
  row("saying zero", zeros<double>(seqlen, 1), 1);
  row("nothing selected", constant_decay(task.value, p), 1 - p / (2 - p));
  row("writing selected", constant_decay(marked, 1), (1 - p) / (2 - p));
  row("forgetting selected as well", selective_model(task), 0);
}

// The identity of equation @eqref{eq:gate}, and the weight of the input under both rules.

void gate() {
  std::printf("    z    dt = softplus(z)   e^-dt   1 - sigmoid(z)   1 - e^-dt\n");
  double largest = 0;
  for (const double z : {-6.0, -2.0, 0.0, 2.0, 6.0}) {
    const double dt = mamba2::softplus(z), one_minus_sigmoid = 1 - 1 / (1 + std::exp(-z));
    std::printf("  %4.0f   %16.4f   %5.3f   %14.3f   %9.3f\n", z, dt, std::exp(-dt), one_minus_sigmoid,
                1 - std::exp(-dt));
    largest = std::max(largest, std::abs(std::exp(-dt) - one_minus_sigmoid));
  }
  std::printf("e^-softplus(z) and 1 - sigmoid(z) agree to 1e-12: %s\n", yes(largest < 1e-12));
}

// A fresh layer of the 130M model: 24 heads.

void start() {
  mamba2::Random random(0);
  Tensor<double, 1> dt_bias = zeros<double>(24), A_log = dt_bias;
  for (double& value : dt_bias) value = mamba2::initial_dt_bias(1e-3, 0.1, 1e-4, random);
  for (double& value : A_log) value = mamba2::initial_A_log(1, 16, random);
  const auto A = mamba2::rates(A_log);
  auto memory = zeros<double>(24);  // tokens until a head has forgotten all but 1/e
  for (std::size_t h = 0; h < 24; ++h) memory(h) = 1 / (mamba2::softplus(dt_bias(h)) * -A(h));
  std::sort(memory.begin(), memory.end());
  std::printf(
      "24 fresh heads remember for %.1f tokens (the shortest), %.0f (the middle one), %.0f (the "
      "longest)\n",
      memory(0), memory(12), memory(23));
  double largest = 0;
  for (const double dt : {1e-6, 1e-3, 0.1, 1.0, 10.0, 1000.0}) {
    largest = std::max(largest, std::abs(mamba2::softplus(mamba2::inverse_softplus(dt)) / dt - 1));
  }
  std::printf("softplus(inverse_softplus(dt)) is dt again to 1e-8, from 1e-6 to 1000: %s\n",
              yes(largest < 1e-8));
}

// Mamba-1's scan with its rates tied: channel $d$ belongs to head $d / P$, takes that head's rate
// for all its states, and that head's step size.

//: fold Tied rates
void same() {
  const std::size_t seqlen = 40, nheads = 3, headdim = 2, d_state = 5;
  mamba2::Random random(1);
  const auto fill = [&](auto& tensor) {
    for (auto& value : tensor) value = random.uniform(-1, 1);
  };
  mamba2::ScanInput<double> heads;
  fill(heads.x = zeros<double>(1, seqlen, nheads, headdim));
  fill(heads.dt = zeros<double>(1, seqlen, nheads));
  fill(heads.B = zeros<double>(1, seqlen, 1, d_state));
  fill(heads.C = zeros<double>(1, seqlen, 1, d_state));
  heads.A = {-0.5, -1.0, -4.0};

  mamba2::SelectiveScanInput<double> channels{
      zeros<double>(1, seqlen, nheads * headdim), zeros<double>(1, seqlen, nheads * headdim),
      zeros<double>(nheads * headdim, d_state),   zeros<double>(1, seqlen, d_state),
      zeros<double>(1, seqlen, d_state),          zeros<double>(nheads * headdim)};
  for (std::size_t d = 0; d < nheads * headdim; ++d) {
    for (std::size_t t = 0; t < seqlen; ++t) {
      channels.x(0, t, d) = heads.x(0, t, d / headdim, d % headdim);
      channels.dt(0, t, d) = mamba2::softplus(heads.dt(0, t, d / headdim));
    }
    for (std::size_t n = 0; n < d_state; ++n) channels.A(d, n) = heads.A(d / headdim);
  }
  std::copy(heads.B.begin(), heads.B.end(), channels.B.begin());
  std::copy(heads.C.begin(), heads.C.end(), channels.C.begin());

  const auto one = mamba2::selective_scan(channels);
  auto two = zeros<double>(1, seqlen, nheads * headdim);
  const auto y = mamba2::ssd(heads).y;
  std::copy(y.begin(), y.end(), two.begin());
  std::printf("Mamba-1's scan with tied rates and Mamba-2's operator agree to 1e-12: %s\n",
              yes(difference(one.y, two) < 1e-12));
}

// The bill, by counting: a decay needs an exponential; a number of state needs three multiply-adds
// (fade, write, read).

void bill(const char* name, std::size_t state, std::size_t exponentials) {
  std::printf("%-24s %10zu %14zu %14zu\n", name, state, exponentials, 3 * state);
}

void count() {
  const std::size_t d_inner = 1536, headdim = 64;
  std::printf("one token, one layer         state   exponentials  multiply-adds\n");
  bill("Mamba-1, d_state = 16", d_inner * 16, d_inner * 16);
  bill("Mamba-2, d_state = 128", d_inner * 128, d_inner / headdim);
  bill("Mamba-1, were it as large", d_inner * 128, d_inner * 128);
}

}  // namespace

// They stand in the chapter in this order:

//: fold The order
int main() {
  std::printf("[task]\n");
  task();
  std::printf("[gate]\n");
  gate();
  std::printf("[start]\n");
  start();
  std::printf("[same]\n");
  same();
  std::printf("[count]\n");
  count();
}

// ## What has not changed {#selection_unchanged}
//
// The operator. Everything in this chapter happens before it: numbers that were inputs of
// mamba2::ssd in @chapter{real_sequences} now have a source. Nor has the cost of a step changed,
// nor the size of the state, nor causality: a token's $\Delta$, $B$ and $C$ are computed from that
// token, or where a short convolution stands in front, from that token and the three before it.
//
// What is gone is the convolution of @chapter{state_space}. A model whose numbers depend on the
// token has no kernel, and the fast Fourier transform that earlier state space models lived on does
// not apply. That is why the chunked scan had to be found.
//
// ## Exercises {#selection_exercises}
//
// ::: exercise 1 A head that remembers for so long
// Given a head's rate $A < 0$ and a number of tokens $n$, return the `dt_bias` with which the head
// has forgotten *half* of a token after $n$ more of them, as long as the tokens add nothing to the
// raw step size.
// :::
//
// ::: exercise 2 The gate by itself
// Run a gated recurrence, $h_t = (1 - \sigma(z_t))\, h_{t-1} + \sigma(z_t)\, x_t$, on state space
// terms only: use mamba2::softplus and mamba2::discretize_zero_order_hold, and no logistic
// function. Return all $h_t$. The state before the first token is given.
// :::
//
// ::: exercise 3 A hump from two heads
// One head has the kernel of a plain exponential. Take two, with constant parameters, and mix their
// outputs so that the kernel is a hump: nothing at once, a height of exactly 1 at its top, and then
// down again. Which two weights does the mixture need, and how many tokens back is the top?
// :::
//
// ::: exercise 4 Untie the rates
// A single head of Mamba-2 is a special Mamba-1. Write down its $A$ as Mamba-1 wants it, (d_inner,
// d_state), and its step sizes, (seqlen, d_inner), for all heads at once: from the raw step sizes
// of each head, `dt_bias`, and `A_log`.
// :::
//
// ::: exercise 5 A cash register
// For an evening. Set the weights of a layer by hand so that it keeps a shop's accounts. It reads
// characters. A digit is a price, and is added to the customer's bill and to the day's takings; `=`
// asks for the bill and `#` for the takings; `n` is the next customer, `d` the next day; everything
// else means nothing, however often it comes. Two heads with one $B$ and one $C$ are enough. The
// grader reads your register some rolls of paper that it has not shown you, and prints one.
// :::
//
// ## Further reading {#selection_further}
//
// - Mamba-1 [@gu2023], section 3: why selection, the copying tasks, and Theorem 1 on gates.
// - The Mamba-2 paper [@dao2024], section 7, on what the block does with all this, and its Figures
//   8 and 10 on what state size buys.
// - The Annotated S4 [@annotated_s4] for models whose parameters are constant, where all the art
//   lies in the choice of $A$.
