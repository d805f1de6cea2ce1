// Our solutions.
#include "exercises.hpp"

#include <mamba2/activation.hpp>

#include <algorithm>
#include <cmath>
#include <limits>

namespace exercises {

using mamba2::zeros;

//: 1
double ring_step(double x, const Tensor<double, 1>& taps, double bias, Ring& ring) {
  const std::size_t width = taps.size();
  ring.newest = (ring.newest + 1) % width;  // right of the newest lies the oldest
  ring.inputs(ring.newest) = x;
  double sum = bias;
  for (std::size_t k = 0; k < width; ++k) {  // k steps back
    sum += taps(width - 1 - k) * ring.inputs((ring.newest + width - k) % width);
  }
  return sum;
}
//: end

//: 2
double rounded(double value, int bits) {
  int exponent = 0;
  const double fraction = std::frexp(value, &exponent);  // in [1/2, 1)
  return std::ldexp(std::nearbyint(std::ldexp(fraction, bits)), exponent - bits);
}

double frozen_at(int bits, double r) {
  double state = 1, before = 0;
  while (state != before) {
    before = state;
    state = rounded(std::exp(-r) * state, bits);
  }
  return state;
}
//: end

//: 3
Batch pad_left(const std::vector<Text>& texts) {
  std::size_t longest = 0;
  for (const Text& text : texts) longest = std::max(longest, text.xBC.shape(0));
  const std::size_t conv_dim = texts[0].xBC.shape(1), nheads = texts[0].dt.shape(1);
  // Inputs of zero are what a window finds before the first token anyway; but the convolution's bias
  // makes something of them. A step of zero, after bias and softplus, keeps that out of the state.
  Batch batch{
      zeros<double>(texts.size(), longest, conv_dim),
      Tensor<double, 3>({texts.size(), longest, nheads}, -std::numeric_limits<double>::infinity())};
  for (std::size_t i = 0; i < texts.size(); ++i) {
    const std::size_t first = longest - texts[i].xBC.shape(0);
    xt::view(batch.xBC, i, xt::range(first, longest)) = texts[i].xBC;
    xt::view(batch.dt, i, xt::range(first, longest)) = texts[i].dt;
  }
  return batch;
}
//: end

//: 4
// Copies stand at multiples of sixteen tokens, and one at the end.
constexpr std::size_t every = 16, most = 6;

void advance(const mamba2::Mamba2Block<double>& block, History& h, const Tensor<double, 2>& u,
             Tensor<double, 2>& y) {
  if (h.copies.empty()) h.copies.push_back({0, block.empty_cache(1)});
  if (h.length % every == 0) h.copies.push_back(h.copies.back());  // the old one stays where it is
  y = block.step(u, h.copies.back().second);
  h.copies.back().first = ++h.length;
  while (h.copies.size() > most) h.copies.erase(h.copies.begin());
}

Tensor<double, 2> add_token(const mamba2::Mamba2Block<double>& block, History& history,
                            const Tensor<double, 2>& u) {
  Tensor<double, 2> y;
  advance(block, history, u, y);
  history.tokens.push_back(u);
  if (history.tokens.size() > 2 * most * every) history.tokens.pop_front();
  return y;
}

void take_back(const mamba2::Mamba2Block<double>& block, History& history, std::size_t count) {
  if (count == 0) return;
  const std::size_t length = history.length - count;
  history.copies.pop_back();  // the one at the end
  while (history.copies.back().first > length) history.copies.pop_back();
  history.tokens.resize(history.tokens.size() - count);
  history.length = history.copies.back().first;
  Tensor<double, 2> y;
  const std::size_t again = length - history.length;
  for (std::size_t i = history.tokens.size() - again; i < history.tokens.size(); ++i)
    advance(block, history, history.tokens[i], y);
}
//: end

}  // namespace exercises
