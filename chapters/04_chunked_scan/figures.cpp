// The data of this chapter's figures: chunk_size.dat, three_forms.dat, measured.txt and the drawing blocks.svg.
#include <demo/demo.hpp>
#include <mamba2/chunked_scan.hpp>
#include <mamba2/ssm.hpp>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <functional>
#include <memory>
#include <string>
#include <vector>

// All of the figures' times are of one thread. OpenBLAS has this function, other libraries may lack
// it.
extern "C" [[gnu::weak]] void openblas_set_num_threads(int);

using mamba2::Tensor;
using mamba2::zeros;

namespace {

using File = std::unique_ptr<std::FILE, int (*)(std::FILE*)>;

File create(const std::string& path) {
  File file(std::fopen(path.c_str(), "w"), std::fclose);
  if (!file) {
    std::fprintf(stderr, "figures_04: cannot write %s\n", path.c_str());
    std::exit(1);
  }
  return file;
}

demo::Random next_random(9);

template <class Real>
struct Head {
  Tensor<Real, 2> X, B, C;
  Tensor<Real, 1> dA;

  Head(std::size_t seqlen, std::size_t headdim, std::size_t d_state)
      : X(zeros<Real>(seqlen, headdim)),
        B(zeros<Real>(seqlen, d_state)),
        C(zeros<Real>(seqlen, d_state)),
        dA(zeros<Real>(seqlen)) {
    for (Tensor<Real, 2>* tensor : {&X, &B, &C})
      for (Real& entry : *tensor) entry = static_cast<Real>(next_random(-1, 1));
    for (Real& entry : dA) entry = static_cast<Real>(next_random(-0.2, 0));
  }
};

// The processor's time for this thread: what other programs take does not count.
double now() {
  timespec time;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
}

// The shortest of several runs, in seconds.
double seconds(const std::function<void()>& work) {
  double best = 1e9, spent = 0;
  for (int runs = 0; runs < 3 || (spent < 0.04 && runs < 2000); ++runs) {
    const double start = now();
    work();
    const double time = now() - start;
    best = std::min(best, time);
    spent += time;
    if (spent > 0.4) break;
  }
  return best;
}

constexpr std::size_t kHeaddim = 64, kState = 128;

// Multiply-adds per token with the passing of the state counted.
double count(double chunk_size) {
  return mamba2::cost_chunked(1, kState, kHeaddim, chunk_size).multiply_adds +
         kState * kHeaddim / chunk_size;
}

// Milliseconds for 4096 tokens: chunk size, measured, by count at the rate of the last. The sizes
// that are best go to measured.txt.
void chunk_size(const std::string& path, const std::string& measured) {
  const File file = create(path);
  const Head<float> h(4096, kHeaddim, kState);
  const std::vector<std::size_t> sizes{1, 2, 4, 8, 16, 32, 64, 128, 256, 512};
  std::vector<double> times;
  for (const std::size_t Q : sizes)
    times.push_back(1e3 * seconds([&] { mamba2::chunked_scan(h.X, h.dA, h.B, h.C, Q); }));
  const double rate = times.back() / count(static_cast<double>(sizes.back()));
  for (std::size_t k = 0; k < sizes.size(); ++k)
    std::fprintf(file.get(), "%zu %g %g\n", sizes[k], times[k],
                 rate * count(static_cast<double>(sizes[k])));

  const auto fastest = std::min_element(times.begin(), times.end());
  const File text = create(measured);
  std::fprintf(text.get(), "[best_chunk]\nfastest                  Q = %zu\n",
               sizes[static_cast<std::size_t>(fastest - times.begin())]);
  std::fprintf(text.get(), "at most a fifth slower   Q =");
  for (std::size_t k = 0; k < sizes.size(); ++k)
    if (times[k] <= 1.2 * *fastest) std::fprintf(text.get(), " %zu", sizes[k]);
  std::fprintf(text.get(), "\n");
}

// Milliseconds: length, recurrence, quadratic, chunked.
void three_forms(const std::string& path) {
  const File file = create(path);
  for (std::size_t seqlen = 32; seqlen <= 16384; seqlen *= 2) {
    const Head<float> h(seqlen, kHeaddim, kState);
    const double linear = seconds([&] { mamba2::dual_linear(h.X, h.dA, h.B, h.C); });
    const double quadratic =
        seqlen <= 4096 ? seconds([&] { mamba2::dual_quadratic(h.X, h.dA, h.B, h.C); }) : std::nan("");
    const double chunked = seconds([&] { mamba2::chunked_scan(h.X, h.dA, h.B, h.C, 64); });
    std::fprintf(file.get(), "%zu %g %g %g\n", seqlen, 1e3 * linear, 1e3 * quadratic, 1e3 * chunked);
  }
}

// ---- the matrix in blocks, and one block in its factors

constexpr const char *kInk = "#010203", *kGrid = "#808080";
constexpr const char *kAmber = "#0a0b05", *kGreen = "#0a0b03", *kPurple = "#0a0b04", *kBlue = "#0a0b01";

struct Drawing {
  std::FILE* file;

  void frame(double x, double y, double width, double height, const char* colour, double stroke) const {
    std::fprintf(
        file,
        "<rect x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\" fill=\"none\" stroke=\"%s\" "
        "stroke-width=\"%.1f\"/>\n",
        x, y, width, height, colour, stroke);
  }
  void text(double x, double y, const char* colour, double size, const std::string& words) const {
    std::fprintf(
        file,
        "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"middle\" fill=\"%s\" font-size=\"%.0f\">%s</text>\n",
        x, y, colour, size, words.c_str());
  }
  // The entries of a matrix, the stronger the larger.
  void entries(const Tensor<double, 2>& m, double x, double y, double cell, const char* colour,
               double largest) const {
    for (std::size_t i = 0; i < m.shape(0); ++i)
      for (std::size_t j = 0; j < m.shape(1); ++j) {
        const double strength = std::pow(std::min(1.0, std::abs(m(i, j)) / largest), 0.6);
        if (strength > 0.004)
          std::fprintf(file,
                       "<rect x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\" fill=\"%s\" "
                       "fill-opacity=\"%.3f\"/>\n",
                       x + cell * static_cast<double>(j), y + cell * static_cast<double>(i), cell, cell,
                       colour, strength);
      }
  }
};

double largest_of(const Tensor<double, 2>& m) {
  double largest = 0;
  for (const double entry : m) largest = std::max(largest, std::abs(entry));
  return largest;
}

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

  const File file = create(path);
  std::fprintf(file.get(),
               "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"680\" height=\"300\" viewBox=\"0 0 "
               "680 300\">\n");
  const Drawing draw{file.get()};
  const double x = 12, y = 34, cell = 15, side = cell * static_cast<double>(seqlen),
               width = cell * static_cast<double>(Q);
  const double largest = largest_of(M);
  for (std::size_t i = 0; i < seqlen / Q; ++i)
    for (std::size_t j = 0; j <= i; ++j) {
      Tensor<double, 2> part = xt::view(M, xt::range(i * Q, i * Q + Q), xt::range(j * Q, j * Q + Q));
      const double left_edge = x + width * static_cast<double>(j),
                   top = y + width * static_cast<double>(i);
      draw.entries(part, left_edge, top, cell, i == j ? kAmber : kInk,
                   i == j ? largest : 1.4 * largest);
      draw.frame(left_edge, top, width, width, kGrid, 0.7);
    }
  draw.frame(x, y, side, side, kGrid, 1);
  const double block_x = x + cell * static_cast<double>(column),
               block_y = y + cell * static_cast<double>(row);
  draw.frame(block_x, block_y, width, width, kInk, 2.2);
  draw.text(x + side / 2, y - 13, kInk, 15, "M, cut into chunks of four");

  const double big = 24, tall = big * static_cast<double>(Q),
               narrow = big * static_cast<double>(d_state), top = 112;
  const double x0 = 304, x1 = x0 + tall + 30, x2 = x1 + narrow + 26, x3 = x2 + big + 26,
               middle = top + tall / 2;
  draw.entries(block, x0, top, big, kInk, 1.4 * largest_of(block));
  draw.frame(x0, top, tall, tall, kInk, 2.2);
  draw.entries(left, x1, top, big, kBlue, largest_of(left));
  draw.frame(x1, top, narrow, tall, kBlue, 1.4);
  std::fprintf(file.get(),
               "<rect x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\" fill=\"%s\" "
               "fill-opacity=\"0.6\" stroke=\"%s\"/>\n",
               x2, middle - big / 2, big, big, kPurple, kPurple);
  draw.entries(right, x3, middle - narrow / 2, big, kGreen, largest_of(right));
  draw.frame(x3, middle - narrow / 2, tall, narrow, kGreen, 1.4);
  draw.text(x1 - 15, middle + 7, kInk, 20, "=");
  draw.text(x2 - 13, middle + 5, kInk, 20, "·");
  draw.text(x3 - 13, middle + 5, kInk, 20, "·");
  draw.text(x1 + narrow / 2, top - 32, kBlue, 14, "left: C, faded from");
  draw.text(x1 + narrow / 2, top - 14, kBlue, 14, "its chunk’s start");
  draw.text(x2 + big / 2, middle + 84, kPurple, 14, "centre: the decay");
  draw.text(x2 + big / 2, middle + 102, kPurple, 14, "of the chunk between");
  draw.text(x3 + tall / 2 - 4, middle - narrow / 2 - 32, kGreen, 14, "right: B, faded to");
  draw.text(x3 + tall / 2 - 4, middle - narrow / 2 - 14, kGreen, 14, "its chunk’s end");
  std::fprintf(file.get(),
               "<path d=\"M%.1f %.1f V%.1f\" stroke=\"%s\" stroke-width=\"1\" fill=\"none\"/>\n",
               x2 + big / 2, middle + big / 2 + 5, middle + 68, kPurple);
  std::fprintf(file.get(),
               "<path d=\"M%.1f %.1f L%.1f %.1f\" stroke=\"%s\" stroke-width=\"1\" "
               "stroke-dasharray=\"4 4\" fill=\"none\"/>\n",
               block_x + width + 3, block_y + width / 2, x0 - 6, top + tall - 4, kGrid);
  std::fprintf(file.get(), "</svg>\n");
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fprintf(stderr, "usage: figures_04 FOLDER\n");
    return 2;
  }
  if (openblas_set_num_threads) openblas_set_num_threads(1);
  const std::string folder = argv[1];
  blocks(folder + "/blocks.svg");
  chunk_size(folder + "/chunk_size.dat", folder + "/measured.txt");
  three_forms(folder + "/three_forms.dat");
}
