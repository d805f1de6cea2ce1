// The data of this chapter's figures: chunk_size.dat, three_forms.dat, measured.txt and the
// drawing blocks.svg.
#include <demo/demo.hpp>
#include <demo/figure.hpp>
#include <mamba2/chunked_scan.hpp>
#include <mamba2/ssm.hpp>

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

using demo::seconds;
using mamba2::Tensor;
using mamba2::zeros;

namespace {

demo::Random draw(9);

template <class Real>
struct Head {
  Tensor<Real, 2> X, B, C;
  Tensor<Real, 1> dA;

  Head(std::size_t seqlen, std::size_t headdim, std::size_t d_state)
      : X(zeros<Real>(seqlen, headdim)),
        B(zeros<Real>(seqlen, d_state)),
        C(zeros<Real>(seqlen, d_state)),
        dA(zeros<Real>(seqlen)) {
    for (Tensor<Real, 2>* tensor : {&X, &B, &C}) demo::fill(*tensor, draw);
    demo::fill(dA, draw, -0.2, 0);
  }
};

constexpr std::size_t kHeaddim = 64, kState = 128;

// Multiply-adds per token with the passing of the state counted.
double count(double chunk_size) {
  return mamba2::cost_chunked(1, kState, kHeaddim, chunk_size).multiply_adds +
         kState * kHeaddim / chunk_size;
}

// Milliseconds for 4096 tokens: chunk size, measured, by count at the rate of the last. The sizes
// that are best go to measured.txt.
void chunk_size(const std::string& path, const std::string& measured) {
  demo::Table table(path);
  const Head<float> h(4096, kHeaddim, kState);
  const std::vector<std::size_t> sizes{1, 2, 4, 8, 16, 32, 64, 128, 256, 512};
  std::vector<double> times;
  for (const std::size_t Q : sizes)
    times.push_back(1e3 * seconds([&] { mamba2::chunked_scan(h.X, h.dA, h.B, h.C, Q); }));
  const double rate = times.back() / count(static_cast<double>(sizes.back()));
  for (std::size_t k = 0; k < sizes.size(); ++k)
    table.row(sizes[k], times[k], rate * count(static_cast<double>(sizes[k])));

  const auto fastest = std::min_element(times.begin(), times.end());
  auto text = demo::create(measured);
  text << "[best_chunk]\nfastest                  Q = "
       << sizes[static_cast<std::size_t>(fastest - times.begin())] << "\nat most a fifth slower   Q =";
  for (std::size_t k = 0; k < sizes.size(); ++k)
    if (times[k] <= 1.2 * *fastest) text << ' ' << sizes[k];
  text << '\n';
}

// Milliseconds: length, recurrence, quadratic, chunked.
void three_forms(const std::string& path) {
  demo::Table table(path);
  for (std::size_t seqlen = 32; seqlen <= 16384; seqlen *= 2) {
    const Head<float> h(seqlen, kHeaddim, kState);
    const double linear = seconds([&] { mamba2::dual_linear(h.X, h.dA, h.B, h.C); });
    const double quadratic =
        seqlen <= 4096 ? seconds([&] { mamba2::dual_quadratic(h.X, h.dA, h.B, h.C); }) : std::nan("");
    const double chunked = seconds([&] { mamba2::chunked_scan(h.X, h.dA, h.B, h.C, 64); });
    table.row(seqlen, 1e3 * linear, 1e3 * quadratic, 1e3 * chunked);
  }
}

// ---- the matrix in blocks, and one block in its factors

void blocks(const std::string& path) {
  const std::size_t seqlen = 16, Q = 4, d_state = 2, row = 12,
                    column = 4;  // the block of chunk 3 looking at chunk 1
  Head<double> h(seqlen, 1, d_state);
  const Tensor<double, 1> A_bar = xt::exp(h.dA);
  const Tensor<double, 2> M = mamba2::ssm_matrix(A_bar, h.B, h.C);
  auto left = zeros<double>(Q, d_state), right = zeros<double>(d_state, Q), block = zeros<double>(Q, Q);
  double l = 0, r = 0;
  for (std::size_t k = 0; k < Q; ++k) {
    l += h.dA(row + k);
    for (std::size_t n = 0; n < d_state; ++n) left(k, n) = std::exp(l) * h.C(row + k, n);
    for (std::size_t n = 0; n < d_state; ++n)
      right(n, Q - 1 - k) = std::exp(r) * h.B(column + Q - 1 - k, n);
    r += h.dA(column + Q - 1 - k);
    for (std::size_t j = 0; j < Q; ++j) block(k, j) = M(row + k, column + j);
  }

  demo::Drawing drawing(path, 680, 300);
  const auto entries = [&](const Tensor<double, 2>& m, double left_edge, double top, double cell,
                           double largest, const char* colour) {
    drawing.entries(m, left_edge, top, cell, largest, 0.6, colour, colour);
  };
  const double x = 12, y = 34, cell = 15, side = cell * static_cast<double>(seqlen),
               width = cell * static_cast<double>(Q);
  const double largest = demo::largest_of(M);
  for (std::size_t i = 0; i < seqlen / Q; ++i)
    for (std::size_t j = 0; j <= i; ++j) {
      Tensor<double, 2> part = xt::view(M, xt::range(i * Q, i * Q + Q), xt::range(j * Q, j * Q + Q));
      const double left_edge = x + width * static_cast<double>(j),
                   top = y + width * static_cast<double>(i);
      entries(part, left_edge, top, cell, i == j ? largest : 1.4 * largest,
              i == j ? demo::amber : demo::ink);
      drawing.frame(left_edge, top, width, width, demo::grid, 0.7);
    }
  drawing.frame(x, y, side, side, demo::grid, 1);
  const double block_x = x + cell * static_cast<double>(column),
               block_y = y + cell * static_cast<double>(row);
  drawing.frame(block_x, block_y, width, width, demo::ink, 2.2);
  drawing.text(x + side / 2, y - 13, "M, cut into chunks of four", 15, demo::ink);

  const double big = 24, tall = big * static_cast<double>(Q),
               narrow = big * static_cast<double>(d_state), top = 112;
  const double x0 = 304, x1 = x0 + tall + 30, x2 = x1 + narrow + 26, x3 = x2 + big + 26,
               middle = top + tall / 2;
  entries(block, x0, top, big, 1.4 * demo::largest_of(block), demo::ink);
  drawing.frame(x0, top, tall, tall, demo::ink, 2.2);
  entries(left, x1, top, big, demo::largest_of(left), demo::blue);
  drawing.frame(x1, top, narrow, tall, demo::blue, 1.4);
  drawing.rectangle(
      x2, middle - big / 2, big, big,
      std::string("fill-opacity='0.6' fill='") + demo::purple + "' stroke='" + demo::purple + "'");
  entries(right, x3, middle - narrow / 2, big, demo::largest_of(right), demo::green);
  drawing.frame(x3, middle - narrow / 2, tall, narrow, demo::green, 1.4);
  drawing.text(x1 - 15, middle + 7, "=", 20, demo::ink);
  drawing.text(x2 - 13, middle + 5, "·", 20, demo::ink);
  drawing.text(x3 - 13, middle + 5, "·", 20, demo::ink);
  drawing.text(x1 + narrow / 2, top - 32, "left: C, faded from", 14, demo::blue);
  drawing.text(x1 + narrow / 2, top - 14, "its chunk’s start", 14, demo::blue);
  drawing.text(x2 + big / 2, middle + 84, "centre: the decay", 14, demo::purple);
  drawing.text(x2 + big / 2, middle + 102, "of the chunk between", 14, demo::purple);
  drawing.text(x3 + tall / 2 - 4, middle - narrow / 2 - 32, "right: B, faded to", 14, demo::green);
  drawing.text(x3 + tall / 2 - 4, middle - narrow / 2 - 14, "its chunk’s end", 14, demo::green);
  drawing.line(x2 + big / 2, middle + big / 2 + 5, x2 + big / 2, middle + 68, demo::purple,
               "stroke-width='1'");
  drawing.line(block_x + width + 3, block_y + width / 2, x0 - 6, top + tall - 4, demo::grid,
               "stroke-width='1' stroke-dasharray='4 4'");
}

}  // namespace

int main(int, char** arguments) {
  const std::string folder = arguments[1];
  blocks(folder + "/blocks.svg");
  chunk_size(folder + "/chunk_size.dat", folder + "/measured.txt");
  three_forms(folder + "/three_forms.dat");
}
