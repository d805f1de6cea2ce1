// ## The program {#convolution_and_norm_program}

#include <demo/demo.hpp>
#include <mamba2/activation.hpp>
#include <mamba2/conv.hpp>
#include <mamba2/norm.hpp>
#include <mamba2/random.hpp>
#include <mamba2/ssd.hpp>
#include <mamba2/ssm.hpp>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <string>
#include <vector>

using demo::difference;
using demo::yes;
using mamba2::as_matrix;
using mamba2::MatrixRef;
using mamba2::Tensor;
using mamba2::zeros;

namespace {

// **Three pairs.** A word is a number, and a direction in each of $x$, $B$ and $C$: the row of a
// projection's output for it is three times a one among zeros. The convolution gets these rows; its
// taps are zero but for one, and only that of $B$ is ever moved.

const std::vector<std::string> words{"cat", "meow", "dog", "woof", "owl", "hoot"};

std::vector<std::string> answers(std::size_t tap_of_B) {
  const std::vector<std::size_t> text{0, 1, 2, 3, 4, 5, 0, 2, 4};  // told three pairs, asked for each
  const std::size_t T = text.size(), V = words.size();
  auto rows = zeros<double>(T, 3 * V), taps = zeros<double>(3 * V, 4), xBC = rows;
  for (std::size_t t = 0; t < T; ++t)
    for (std::size_t kind = 0; kind < 3; ++kind) rows(t, kind * V + text[t]) = 1;
  for (std::size_t c = 0; c < 3 * V; ++c) taps(c, c / V == 1 ? tap_of_B : 3) = 1;
  mamba2::short_convolution<double>({.x = as_matrix(rows), .batch = 1, .weight = as_matrix(taps)},
                                    as_matrix(xBC));

  mamba2::ScanInput<double> scan;
  scan.x = scan.B = scan.C = zeros<double>(1, T, 1, V);
  for (std::size_t t = 0; t < T; ++t)
    for (std::size_t v = 0; v < V; ++v) {
      scan.x(0, t, 0, v) = xBC(t, v);
      scan.B(0, t, 0, v) = xBC(t, V + v);
      scan.C(0, t, 0, v) = xBC(t, 2 * V + v);
    }
  scan.dt = Tensor<double, 3>({1, T, 1}, 1.0);
  scan.A = Tensor<double, 1>({1}, -0.01);
  const auto y = mamba2::ssd(scan).y;
  std::vector<std::string> said;
  for (std::size_t t = 6; t < T; ++t) {  // the questions
    const double* const row = &y(0, t, 0, 0);
    said.push_back(words[std::size_t(std::max_element(row, row + V) - row)]);
  }
  return said;
}

void print_answers(std::size_t tap_of_B) {
  const auto said = answers(tap_of_B);
  std::printf("told: cat meow, dog woof, owl hoot\n");
  std::printf("cat? %s   dog? %s   owl? %s\n", said[0].c_str(), said[1].c_str(), said[2].c_str());
}

// For the rest, numbers without a meaning do.

//: fold Noise, and the library's convolution
Tensor<double, 2> noise(std::size_t rows, std::size_t columns, std::uint64_t seed) {
  mamba2::Random random(seed);
  auto m = zeros<double>(rows, columns);
  for (auto& value : m) value = random.uniform(-1, 1);
  return m;
}

constexpr std::size_t seqlen = 10, channels = 3, d_conv = 4;

Tensor<double, 2> convolve(const mamba2::ShortConvolution<double>& in) {
  auto y = zeros<double>(in.x.rows, in.x.columns);
  mamba2::short_convolution<double>(in, as_matrix(y));
  return y;
}

// Change token 4 and see which outputs move.

void causal() {
  auto x = noise(seqlen, channels, 1);
  const auto w = noise(channels, d_conv, 2);
  const auto before = convolve({.x = as_matrix(x), .batch = 1, .weight = as_matrix(w)});
  for (std::size_t c = 0; c < channels; ++c) x(4, c) += 1;
  const auto after = convolve({.x = as_matrix(x), .batch = 1, .weight = as_matrix(w)});
  std::printf("token 4 changes the outputs at");
  for (std::size_t t = 0; t < seqlen; ++t) {
    double change = 0;
    for (std::size_t c = 0; c < channels; ++c)
      change = std::max(change, std::abs(after(t, c) - before(t, c)));
    if (change > 0) std::printf(" %zu", t);
  }
  std::printf("\n");
}

// The loop by itself, and the library's convolution against it.

void loop() {
  const auto x = noise(seqlen, channels, 1), w = noise(channels, d_conv, 2);
  auto y = zeros<double>(seqlen, channels);
  //: loop
  for (std::size_t t = 0; t < seqlen; ++t)
    for (std::size_t c = 0; c < channels; ++c) {
      double sum = 0;                                            // or the bias of the channel
      for (std::size_t k = 0; k < std::min(t + 1, d_conv); ++k)  // k tokens back
        sum += w(c, d_conv - 1 - k) * x(t - k, c);
      y(t, c) = mamba2::silu(sum);
    }
  //: end
  const auto convolved = convolve({.x = as_matrix(x), .batch = 1, .weight = as_matrix(w)});
  std::printf("short_convolution and the loop agree to 1e-12: %s\n",
              yes(difference(convolved, y) < 1e-12));
}

// @Chapter{state_space}'s convolution has one kernel for all channels, its newest tap first.

void same() {
  const auto x = noise(seqlen, channels, 1);
  const std::array taps{0.1, -0.4, 0.3, 0.8};
  auto w = zeros<double>(channels, d_conv);
  auto K = zeros<double>(seqlen);
  for (std::size_t k = 0; k < d_conv; ++k) {
    for (std::size_t c = 0; c < channels; ++c) w(c, k) = taps[k];
    K(d_conv - 1 - k) = taps[k];
  }
  const auto y = convolve({.x = as_matrix(x), .batch = 1, .weight = as_matrix(w), .silu = false});
  std::printf("short_convolution and the plain causal_convolution agree to 1e-12: %s\n",
              yes(difference(y, mamba2::causal_convolution(x, K)) < 1e-12));
}

// Cut the sequence after each token in turn and carry the state over.

//: fold All cuts
void cut() {
  const auto x = noise(seqlen, channels, 3), w = noise(channels, d_conv, 4);
  const auto whole = convolve({.x = as_matrix(x), .batch = 1, .weight = as_matrix(w)});
  const auto rows = [&](std::size_t first, std::size_t count) {
    return MatrixRef<const double>{x.data() + first * channels, count, channels, channels};
  };
  double largest = 0;
  for (std::size_t at = 0; at <= seqlen; ++at) {
    const mamba2::ShortConvolution<double> head{.x = rows(0, at), .batch = 1, .weight = as_matrix(w)};
    const auto state = mamba2::convolution_state(head);
    mamba2::ShortConvolution<double> tail = head;
    tail.x = rows(at, seqlen - at);
    tail.initial_state = mamba2::as_rows<1>(state);
    auto y = zeros<double>(seqlen, channels);
    const auto first = convolve(head), second = convolve(tail);
    std::copy(first.begin(), first.end(), y.begin());
    std::copy(second.begin(), second.end(), y.begin() + static_cast<std::ptrdiff_t>(at * channels));
    largest = std::max(largest, difference(y, whole));
  }
  std::printf("cut after 0, 1, ... %zu tokens: the same outputs to 1e-12: %s\n", seqlen,
              yes(largest < 1e-12));
}

// A row whose gates are all turned down, under both orders.

double size(const Tensor<double, 2>& row) {
  double sum = 0;
  for (const double value : row) sum += value * value;
  return std::sqrt(sum / static_cast<double>(row.size()));
}

void gate() {
  const auto y = noise(1, 8, 5);
  const Tensor<double, 1> weight({8}, 1.0);
  std::printf(
      "root mean square of the row, all gates at z:\n     z   silu(z)   norm(y silu(z))   norm(y) "
      "silu(z)\n");
  for (const double z : {4.0, 1.0, 0.1}) {
    const Tensor<double, 2> gates({1, 8}, z);
    auto after = zeros<double>(1, 8), before = zeros<double>(1, 8);
    mamba2::gated_norm<double>(as_matrix(y), as_matrix(gates), {.weight = weight}, as_matrix(after));
    mamba2::gated_norm<double>(as_matrix(y), as_matrix(gates),
                               {.weight = weight, .norm_before_gate = true}, as_matrix(before));
    std::printf("  %4.1f   %7.3f   %15.2f   %15.2f\n", z, mamba2::silu(z), size(after), size(before));
  }
}

}  // namespace

// It prints in this order:

//: fold The order
int main() {
  std::printf("[alone]\n");
  print_answers(/* tap_of_B = */ 3);
  std::printf("[recall]\n");
  print_answers(/* tap_of_B = */ 2);
  std::printf("[causal]\n");
  causal();
  std::printf("[same]\n");
  loop();
  same();
  std::printf("[cut]\n");
  cut();
  std::printf("[gate]\n");
  gate();
}

// ## What has not changed {#convolution_and_norm_unchanged}
//
// Time runs one way: every output still depends on its own token and earlier ones only. Convolution
// and norm treat all tokens alike, with weights that do not depend on them, so they select nothing;
// that remains the scan's part. And what must be carried from token to token is still of fixed
// size: the state of the scan, and now four numbers for each channel.
//
// ## Exercises {#convolution_and_norm_exercises}
//
// ::: exercise 1 One channel
// Convolve one channel with its taps, causally, with the inputs that came before given in a state
// of `d_conv` numbers, the newest last. No SiLU. Return the outputs.
// :::
//
// ::: exercise 2 The state that is left
// For the same channel, return the state after the last token. The piece may be shorter than the
// window, or empty.
// :::
//
// ::: exercise 3 One number over the wire
// A layer with a single group is split over several machines all the same: each has some of the
// channels of one token. They may exchange one number each. Write both halves of the gated norm:
// which number a machine sends, and what it makes of its own channels when it has been told the sum
// of all that was sent.
// :::
//
// ::: exercise 4 What the cat says
// For an evening. A text of whole sentences, "the cat says meow", "the dog hears meow", noise in
// between, and then "what says the dog ?". Set by hand what each word brings to $x$, $B$, $C$ and
// $\Delta$, and the taps and biases of the convolution, so that the word under the question mark is
// answered. What an animal only *hears* must not be stored: for that you need the SiLU. The grader
// reads your layer texts that it has not shown you, in a vocabulary of its own, and prints what it
// says.
// :::
//
// ## Further reading {#convolution_and_norm_further}
//
// - The Mamba-2 paper [@dao2024], section 7, where the norm before the output projection is added
//   and why.
// - Mamba-1 [@gu2023], section 3.4, for the block that the convolution comes from.
// - On what a shift by one token is worth: the H3 paper [@fu2023], whose "shift SSM" is the
//   ancestor of this convolution.
