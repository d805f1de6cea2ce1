// The grader of this chapter.
#include "exercises.hpp"

#include <exercises/grader.hpp>
#include <mamba2/cache.hpp>
#include <mamba2/conv.hpp>

#include <algorithm>
#include <array>
#include <cmath>
#include <string>
#include <vector>

using mamba2::MatrixRef;
using mamba2::Tensor;
using mamba2::zeros;

namespace {

template <std::size_t N>
Tensor<double, N> noise(const std::array<std::size_t, N>& shape, std::uint64_t seed) {
  mamba2::Random random(seed);
  Tensor<double, N> tensor(shape);
  for (auto& value : tensor) value = random.uniform(-1, 1);
  return tensor;
}

}  // namespace

GRADE(1, "a window that does not move") {
  for (const std::size_t width : {4, 3}) {
    const std::size_t seqlen = 11;
    const auto x = noise<1>({seqlen}, 1), taps = noise<1>({width}, 2), before = noise<1>({width}, 3);
    const double bias = 0.25;
    auto expected = zeros<double>(seqlen), yours = zeros<double>(seqlen);
    mamba2::short_convolution<double>({.x = {x.data(), seqlen, 1, 1},
                                       .batch = 1,
                                       .weight = {taps.data(), 1, width, width},
                                       .bias = std::span(&bias, 1),
                                       .initial_state = {before.data(), 1, width, width},
                                       .silu = false},
                                      {expected.data(), seqlen, 1, 1});
    exercises::Ring ring{zeros<double>(width),
                         1};  // the newest lies at place 1, so the oldest at place 2
    for (std::size_t i = 0; i < width; ++i) ring.inputs((i + 2) % width) = before(i);
    for (std::size_t t = 0; t < seqlen; ++t) yours(t) = exercises::ring_step(x(t), taps, bias, ring);
    grader::expect_close(yours, expected, "outputs of 11 steps, window of " + std::to_string(width));
    grader::expect(ring.newest < width, "after the steps `newest` must still be a place in the ring");
    grader::expect_close(ring.inputs(ring.newest), x(seqlen - 1), "the newest input in the ring");
  }
}

namespace {

// To the nearest number with so many bits, by looking at both neighbours.
double nearest(double value, int bits) {
  const double unit = std::exp2(std::floor(std::log2(value)) + 1 - bits);
  const double below = std::floor(value / unit), rest = value / unit - below;
  const bool up = rest > 0.5 || (rest == 0.5 && std::fmod(below, 2) == 1);
  return (below + up) * unit;
}

}  // namespace

GRADE(2, "when a state freezes") {
  for (const auto& [bits, r] :
       {std::pair{8, 0.001}, {8, 0.002}, {8, 0.003}, {11, 0.0003}, {16, 0.00001}, {16, 0.000013}}) {
    double state = 1, before = 0;
    while (state != before) {
      before = state;
      state = nearest(std::exp(-r) * state, bits);
    }
    grader::expect_close(exercises::frozen_at(bits, r), state,
                         "where a state comes to rest, with " + std::to_string(bits) +
                             " bits and r = " + grader::detail::number_text(r));
  }
}

namespace {

constexpr std::size_t nheads = 2, headdim = 3, d_state = 4, conv_dim = nheads * headdim + 2 * d_state;

struct Ran {
  Tensor<double, 4> y, ssm_state;
  Tensor<double, 3> conv_state;
};

// Convolution, then scan, of a batch.
Ran run(const Tensor<double, 3>& xBC, const Tensor<double, 3>& dt) {
  const std::size_t batch = xBC.shape(0), seqlen = xBC.shape(1);
  const auto taps = noise<2>({conv_dim, 4}, 71);
  const auto bias = noise<1>({conv_dim}, 72);
  const mamba2::ShortConvolution<double> convolution{
      .x = mamba2::as_rows(xBC), .batch = batch, .weight = mamba2::as_matrix(taps), .bias = bias};
  auto convolved = zeros<double>(batch, seqlen, conv_dim);
  mamba2::short_convolution<double>(convolution, mamba2::as_rows(convolved));
  mamba2::ScanInput<double> in;
  in.x = zeros<double>(batch, seqlen, nheads, headdim);
  in.B = in.C = zeros<double>(batch, seqlen, 1, d_state);
  for (std::size_t b = 0; b < batch; ++b)
    for (std::size_t t = 0; t < seqlen; ++t) {
      const double* row = &convolved(b, t, 0);
      std::copy_n(row, nheads * headdim, &in.x(b, t, 0, 0));
      std::copy_n(row + nheads * headdim, d_state, &in.B(b, t, 0, 0));
      std::copy_n(row + nheads * headdim + d_state, d_state, &in.C(b, t, 0, 0));
    }
  in.dt = dt;
  in.dt_bias = Tensor<double, 1>{0.4, -0.3};
  in.A = Tensor<double, 1>{-0.5, -1.5};
  const auto out = mamba2::ssd(in);
  return {out.y, out.last_state, mamba2::convolution_state(convolution)};
}

}  // namespace

GRADE(3, "a ragged batch") {
  for (const std::vector<std::size_t>& lengths : {std::vector<std::size_t>{5}, {3, 7}, {2, 9, 1, 6}}) {
    std::vector<exercises::Text> texts;
    for (std::size_t i = 0; i < lengths.size(); ++i)
      texts.push_back(
          {noise<2>({lengths[i], conv_dim}, 80 + i), noise<2>({lengths[i], nheads}, 90 + i)});
    const auto batch = exercises::pad_left(texts);
    const std::size_t longest = *std::max_element(lengths.begin(), lengths.end());
    grader::expect(batch.xBC.shape() == std::array<std::size_t, 3>{lengths.size(), longest, conv_dim} &&
                       batch.dt.shape() == std::array<std::size_t, 3>{lengths.size(), longest, nheads},
                   "xBC has the shape (texts, longest, conv_dim), dt (texts, longest, nheads)");
    const Ran together = run(batch.xBC, batch.dt);
    for (std::size_t i = 0; i < lengths.size(); ++i) {
      const std::size_t n = lengths[i];
      const std::string of = " of a text of " + std::to_string(n) + " tokens in a batch as long as " +
                             std::to_string(longest);
      Tensor<double, 3> xBC({1, n, conv_dim}), dt({1, n, nheads});
      std::copy(texts[i].xBC.begin(), texts[i].xBC.end(), xBC.begin());
      std::copy(texts[i].dt.begin(), texts[i].dt.end(), dt.begin());
      const Ran alone = run(xBC, dt);
      const Tensor<double, 3> y = xt::view(together.y, i, xt::range(longest - n, longest)),
                              expected = xt::view(alone.y, 0);
      grader::expect_close(y, expected, "outputs" + of);
      grader::expect_close(Tensor<double, 3>(xt::view(together.ssm_state, i)),
                           Tensor<double, 3>(xt::view(alone.ssm_state, 0)), "state of the scan" + of);
      grader::expect_close(Tensor<double, 2>(xt::view(together.conv_state, i)),
                           Tensor<double, 2>(xt::view(alone.conv_state, 0)),
                           "state of the convolution" + of);
    }
  }
}

GRADE(4, "take it back") {
  static std::size_t rows = 0;  // through linear layers: two for each token
  static const auto plain = mamba2::plain_operations<double>();
  static const auto counting = [] {
    auto table = plain;
    table.linear = [](auto x, auto weight, auto bias, auto y) {
      rows += x.rows;
      plain.linear(x, weight, bias, y);
    };
    return table;
  }();
  const std::size_t d_model = 6;
  mamba2::Mamba2Block<double> block({.d_model = d_model, .d_state = 4, .headdim = 4, .chunk_size = 16},
                                    7);
  block.use(counting);
  exercises::History history;
  std::vector<Tensor<double, 2>> text;
  mamba2::Random random(11);
  std::size_t written = 0, erased = 0, again = 0, most = 0, longest = 0;
  for (std::size_t round = 0; round < 24; ++round) {
    const std::size_t write = round == 0 ? 70 : 1 + std::size_t(40 * random.uniform());
    for (std::size_t i = 0; i < write; ++i) {
      text.push_back(noise<2>({1, d_model}, 100 + written++));
      rows = 0;
      const auto yours = exercises::add_token(block, history, text.back());
      grader::expect(rows <= 2, "to add a token, one token is computed, yours computes " +
                                    std::to_string(rows / 2));
      longest = std::max(longest, text.size());
      most = std::max(most, history.copies.size());
      grader::expect(most <= 6, "right so far, but " + std::to_string(most) +
                                    " copies of the cache are kept, and six are allowed");
      auto whole = zeros<double>(1, text.size(), d_model);
      for (std::size_t t = 0; t < text.size(); ++t) xt::view(whole, 0, t) = xt::view(text[t], 0);
      if (i > 2 && i + 1 < write) continue;  // the first few after a way back, and the last
      const auto y = block.forward(whole).y;
      const Tensor<double, 2> expected = xt::view(y, xt::all(), text.size() - 1);
      grader::expect_close(yours, expected,
                           "output for token " + std::to_string(text.size()) + ", after " +
                               std::to_string(erased) + " tokens have been taken back");
    }
    // Sometimes as far as it goes, sometimes not at all.
    const std::size_t furthest = std::min(text.size(), text.size() + 64 - longest);
    const std::size_t count =
        round % 4 == 0 ? furthest : std::size_t(double(furthest) * random.uniform());
    rows = 0;
    exercises::take_back(block, history, count);
    grader::expect(rows <= 32, "right so far, but to take back " + std::to_string(count) +
                                   " tokens of " + std::to_string(text.size()) + ", " +
                                   std::to_string(rows / 2) +
                                   " are read again, and sixteen are allowed");
    again += rows / 2;
    erased += count;
    text.resize(text.size() - count);
  }
  grader::show(std::to_string(written) + " tokens written, " + std::to_string(erased) +
               " taken back, " + std::to_string(again) + " read again, never more than " +
               std::to_string(most) + " copies.");
}
