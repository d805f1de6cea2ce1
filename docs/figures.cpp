// The drawing of the title page: one sequence through the four faces of the operator. `figures_book FOLDER` writes
// FOLDER/four_faces.svg. Each panel shows what that form really computes with; each curve is what that form returned.

#include <mamba2/mamba2.hpp>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <fstream>
#include <stdexcept>
#include <string>
#include <vector>

namespace {

using mamba2::Tensor;
using mamba2::zeros;

constexpr std::size_t T = 32, N = 8, Q = 8;  // length, size of the state, chunk

/// A sequence of three events, far apart, and a model that attends to them.
struct Sequence {
  Tensor<double, 2> x = zeros<double>(T, 1);  // inputs times their step size, (seqlen, headdim)
  Tensor<double, 1> dA = zeros<double>(T);    // log-decay of each step, (seqlen)
  Tensor<double, 2> B = zeros<double>(T, N);  // how an input enters the state, (seqlen, d_state)
  Tensor<double, 2> C = zeros<double>(T, N);  // how the state is read, (seqlen, d_state)

  Sequence() {
    std::uint32_t seed = 11;
    const auto random = [&] {  // a small linear congruential generator: the same drawing everywhere
      seed = seed * 1664525u + 1013904223u;
      return double(seed >> 8) / double(1u << 24) * 2 - 1;
    };
    for (std::size_t t = 0; t < T; ++t) {
      x(t, 0) = 0.35 * random() + (t % 11 == 3 ? 1.4 : 0);
      dA(t) = -0.07 - (t % 11 == 2 ? 0.8 : 0) - 0.05 * (1 + random());
      for (std::size_t n = 0; n < N; ++n) {
        B(t, n) = std::cos(0.19 * double((n + 1) * t) + double(n)) + 0.5 * random();
        C(t, n) = std::cos(0.19 * double((n + 1) * t) + double(n)) + 0.5 * random();
      }
    }
  }

  Tensor<double, 1> A_bar() const {
    auto factors = zeros<double>(T);
    for (std::size_t t = 0; t < T; ++t) factors(t) = std::exp(dA(t));
    return factors;
  }
};

/// Squares of one colour, as one path for each of a few strengths: small in the page, sharp at any size.
class Cells {
 public:
  Cells(double left, double top, double side) : left_(left), top_(top), side_(side) {}

  void add(std::size_t row, std::size_t column, double value, const char* colour) {
    const int strength = static_cast<int>(std::lround(levels * std::min(1.0, std::sqrt(std::abs(value)))));
    if (strength == 0) return;
    auto& path = paths_.at(static_cast<std::size_t>(strength - 1)).at(std::string(colour) == "--plot-1" ? 0 : 1);
    char move[64];
    std::snprintf(move, sizeof move, "M%.4g %.4gh%.3gv%.3gh-%.3gz", left_ + side_ * double(column),
                  top_ + side_ * double(row), side_ * 0.9, side_ * 0.9, side_ * 0.9);
    path += move;
  }

  std::string svg() const {
    std::string out;
    for (std::size_t level = 0; level < levels; ++level)
      for (std::size_t colour = 0; colour < 2; ++colour)
        if (!paths_[level][colour].empty())
          out += "<path style=\"fill:var(" + std::string(colour == 0 ? "--plot-1" : "--plot-2") +
                 ")\" fill-opacity=\"" + std::to_string(double(level + 1) / levels).substr(0, 4) + "\" d=\"" +
                 paths_[level][colour] + "\"/>\n";
    return out;
  }

 private:
  static constexpr std::size_t levels = 10;
  double left_, top_, side_;
  std::vector<std::array<std::string, 2>> paths_ = std::vector<std::array<std::string, 2>>(levels);
};

const char* colour_of(double value) {
  return value >= 0 ? "--plot-1" : "--plot-2";
}

double largest(const Tensor<double, 2>& values) {
  double most = 0;
  for (const double value : values) most = std::max(most, std::abs(value));
  return most;
}

/// A matrix as cells, in a panel of 160 × 160 with its corner at `left`.
std::string panel(double left, const Tensor<double, 2>& values, double scale) {
  const double side = 160.0 / double(std::max(values.shape(0), values.shape(1)));
  Cells cells(left, 34 + (160 - side * double(values.shape(0))) / 2, side);
  for (std::size_t i = 0; i < values.shape(0); ++i)
    for (std::size_t j = 0; j < values.shape(1); ++j) cells.add(i, j, values(i, j) / scale, colour_of(values(i, j)));
  return cells.svg();
}

std::string text(double x, double y, const std::string& words, const char* more = "") {
  return "<text x=\"" + std::to_string(x) + "\" y=\"" + std::to_string(y) +
         "\" text-anchor=\"middle\" fill=\"currentColor\" " + more + ">" + words + "</text>\n";
}

/// What a form returned, as bars around a line.
std::string outputs(double left, const Tensor<double, 2>& y) {
  const double scale = 26 / largest(y), step = 160.0 / double(T);
  std::string path;
  for (std::size_t t = 0; t < T; ++t) {
    char bar[64];
    std::snprintf(bar, sizeof bar, "M%.4g 240v%.4gh%.3gv%.4gz", left + step * double(t), -scale * y(t, 0), step * 0.7,
                  scale * y(t, 0));
    path += bar;
  }
  return "<path fill=\"currentColor\" fill-opacity=\"0.8\" d=\"" + path + "\"/>\n";
}

/// The states of the recurrence, one column for each step.
Tensor<double, 2> states(const Sequence& s) {
  auto h = zeros<double>(N, T);
  for (std::size_t t = 0; t < T; ++t)
    for (std::size_t n = 0; n < N; ++n)
      h(n, t) = (t > 0 ? std::exp(s.dA(t)) * h(n, t - 1) : 0.0) + s.B(t, n) * s.x(t, 0);
  return h;
}

void require_equal(const Tensor<double, 2>& y, const Tensor<double, 2>& expected, const char* which) {
  for (std::size_t t = 0; t < T; ++t)
    if (std::abs(y(t, 0) - expected(t, 0)) > 1e-12)
      throw std::runtime_error(std::string(which) + " disagrees with the recurrence");
}

std::string drawing() {
  const Sequence s;
  const Tensor<double, 2> M = mamba2::ssm_matrix(s.A_bar(), s.B, s.C);
  const double scale = largest(M);

  const Tensor<double, 2> recurrent = mamba2::ssm_recurrent(s.x, s.A_bar(), s.B, s.C);
  const Tensor<double, 2> quadratic = mamba2::ssm_quadratic(s.x, s.A_bar(), s.B, s.C);
  const Tensor<double, 2> dual = mamba2::dual_quadratic(s.x, s.dA, s.B, s.C);
  const Tensor<double, 2> chunked = mamba2::chunked_scan(s.x, s.dA, s.B, s.C, Q);
  require_equal(quadratic, recurrent, "the matrix");
  require_equal(dual, recurrent, "the masked attention");
  require_equal(chunked, recurrent, "the chunked scan");

  std::string out =
      "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 760 292\" width=\"760\" height=\"292\" "
      "font-size=\"14\">\n";
  const double left[] = {10, 203, 397, 590};

  // A recurrence: the state as it changes.
  const Tensor<double, 2> h = states(s);
  Cells state(left[0], 34, 160.0 / double(T));
  const double most = largest(h);
  for (std::size_t n = 0; n < N; ++n)
    for (std::size_t t = 0; t < T; ++t)
      for (std::size_t k = 0; k < 4; ++k) state.add(4 * n + k, t, h(n, t) / most, colour_of(h(n, t)));
  out += state.svg();

  // A matrix.
  out += panel(left[1], M, scale);

  // Attention: all scores, pale, and what the mask leaves of them.
  auto scores = zeros<double>(T, T);
  for (std::size_t i = 0; i < T; ++i)
    for (std::size_t j = 0; j < T; ++j)
      for (std::size_t n = 0; n < N; ++n) scores(i, j) += s.C(i, n) * s.B(j, n);
  out += "<g opacity=\"0.22\">" + panel(left[2], scores, largest(scores)) + "</g>" + panel(left[2], M, scale);

  // A chunked scan: full blocks on the diagonal; below it each block has rank N at most, and travels through a state.
  auto diagonal = zeros<double>(T, T);
  for (std::size_t i = 0; i < T; ++i)
    for (std::size_t j = i / Q * Q; j <= i; ++j) diagonal(i, j) = M(i, j);
  out += panel(left[3], diagonal, scale);
  const double block = 160.0 * double(Q) / double(T);
  for (std::size_t i = 0; i < T / Q; ++i)
    for (std::size_t j = 0; j < i; ++j) {
      double norm = 0;
      for (std::size_t a = 0; a < Q; ++a)
        for (std::size_t b = 0; b < Q; ++b) norm += M(i * Q + a, j * Q + b) * M(i * Q + a, j * Q + b);
      char box[200];
      std::snprintf(box, sizeof box,
                    "<rect x=\"%.4g\" y=\"%.4g\" width=\"%.4g\" height=\"%.4g\" rx=\"3\" style=\"fill:var(--plot-3)\" "
                    "fill-opacity=\"%.2f\"/>\n",
                    left[3] + block * double(j) + 1.5, 34 + block * double(i) + 1.5, block - 3, block - 3,
                    0.12 + 0.7 * std::min(1.0, std::sqrt(norm / double(Q * Q)) / scale * 2.5));
      out += box;
    }

  const char* names[] = {"a recurrence", "a matrix", "masked attention", "a chunked scan"};
  const Tensor<double, 2>* y[] = {&recurrent, &quadratic, &dual, &chunked};
  for (int k = 0; k < 4; ++k) {
    out += text(left[k] + 80, 20, names[k], "font-weight=\"600\"");
    out += outputs(left[k], *y[k]);
    if (k < 3) out += text(left[k] + 176.5, 245, "=", "font-size=\"18\"");
  }
  out += text(380, 284, "the same output, four ways to it", "fill-opacity=\"0.75\" font-size=\"13\"");
  return out + "</svg>\n";
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fputs("figures_book FOLDER\n", stderr);
    return 2;
  }
  std::ofstream file(std::string(argv[1]) + "/four_faces.svg");
  file << drawing();
  return file.flush() ? 0 : 1;
}
