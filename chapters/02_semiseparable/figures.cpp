// The data of this chapter's figures: cancellation.dat, singular.dat and the drawing masks.svg.
#include <demo/demo.hpp>
#include <mamba2/semiseparable.hpp>
#include <mamba2/ssm.hpp>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <memory>
#include <string>

using mamba2::Tensor;
using mamba2::zeros;

namespace {

using File = std::unique_ptr<std::FILE, int (*)(std::FILE*)>;

File create(const std::string& path) {
  File file(std::fopen(path.c_str(), "w"), std::fclose);
  if (!file) {
    std::fprintf(stderr, "figures_02: cannot write %s\n", path.c_str());
    std::exit(1);
  }
  return file;
}

demo::Random next_random;

// For each row from the 4th on, the largest relative error of exp(S) among the 4 entries left of
// the diagonal.
double row_error(const Tensor<float, 2>& S, const Tensor<float, 1>& dA, std::size_t i) {
  double sum = 0, worst = 0;
  for (std::size_t j = i; j-- > i - 4;) {
    sum += static_cast<double>(dA(j + 1));
    worst = std::max(worst, std::abs(std::expm1(static_cast<double>(S(i, j)) - sum)));
  }
  return worst;
}

void cancellation(const std::string& path) {
  const File file = create(path);
  const std::size_t T = 2048;
  auto dA = zeros<float>(T);
  for (float& a : dA) a = static_cast<float>(next_random(-2, 0));
  const Tensor<float, 2> naive = mamba2::segsum_naive(dA), stable = mamba2::segsum(dA);
  for (std::size_t i = 4; i < T; i += 8)
    std::fprintf(file.get(), "%zu %.3e %.3e\n", i, row_error(naive, dA, i),
                 std::max(row_error(stable, dA, i), 1.1e-8));
}

void singular(const std::string& path) {
  const File file = create(path);
  const std::size_t T = 32, cut = 16, shown = 16;
  std::array<Tensor<double, 1>, 4> values;
  const std::array<std::size_t, 4> states{1, 2, 4, 8};
  for (std::size_t k = 0; k < 4; ++k) {
    const std::size_t N = states[k];
    auto A_bar = zeros<double>(T);
    auto B = zeros<double>(T, N), C = zeros<double>(T, N);
    for (double& a : A_bar) a = std::exp(next_random(-0.2, 0));
    for (double& b : B) b = next_random(-1, 1);
    for (double& c : C) c = next_random(-1, 1);
    const Tensor<double, 2> M = mamba2::ssm_matrix(A_bar, B, C);
    values[k] =
        mamba2::singular_values(Tensor<double, 2>(xt::view(M, xt::range(cut, T), xt::range(0, cut))));
  }
  for (std::size_t i = 0; i < shown; ++i) {
    std::fprintf(file.get(), "%zu", i + 1);
    for (const auto& s : values) std::fprintf(file.get(), " %.3e", std::max(s(i) / s(0), 1e-19));
    std::fprintf(file.get(), "\n");
  }
}

// One square for each entry of L, the stronger the larger.
void draw_mask(std::FILE* file, const Tensor<double, 2>& L, double left, double top, double cell) {
  const std::size_t T = L.shape(0);
  for (std::size_t i = 0; i < T; ++i)
    for (std::size_t j = 0; j <= i; ++j)
      if (L(i, j) > 0.004)
        std::fprintf(file,
                     "<rect x=\"%.2f\" y=\"%.2f\" width=\"%.2f\" height=\"%.2f\" fill=\"#0a0b01\" "
                     "fill-opacity=\"%.3f\"/>\n",
                     left + double(j) * cell, top + double(i) * cell, cell, cell, L(i, j));
  std::fprintf(
      file,
      "<rect x=\"%.2f\" y=\"%.2f\" width=\"%.2f\" height=\"%.2f\" fill=\"none\" stroke=\"#808080\"/>\n",
      left, top, double(T) * cell, double(T) * cell);
}

void masks(const std::string& path) {
  const std::size_t T = 32;
  const File file = create(path);
  std::fprintf(
      file.get(),
      "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"680\" height=\"262\" viewBox=\"0 0 680 262\" "
      "shape-rendering=\"crispEdges\">\n");
  const double side = 208;
  const std::array<const char*, 3> titles{"linear attention", "RetNet", "Mamba-2"};
  const std::array<std::function<double(std::size_t)>, 3> log_decays{
      [](std::size_t) { return 0.0; }, [](std::size_t) { return std::log(0.85); },
      [](std::size_t t) { return t == 7 || t == 19 ? -2.5
                                 : t == 24         ? -1.0
                                                   : next_random(-0.08, 0); }};
  for (std::size_t k = 0; k < 3; ++k) {
    auto dA = zeros<double>(T);
    for (std::size_t t = 0; t < T; ++t) dA(t) = log_decays[k](t);
    const double left = 12 + double(k) * 224;
    draw_mask(file.get(), mamba2::decay_mask(dA), left, 10, side / double(T));
    std::fprintf(file.get(),
                 "<text x=\"%.1f\" y=\"242\" font-size=\"15\" text-anchor=\"middle\" "
                 "fill=\"#010203\">%s</text>\n",
                 left + side / 2, titles[k]);
  }
  std::fprintf(file.get(), "</svg>\n");
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fprintf(stderr, "usage: figures_02 OUTDIR\n");
    return 2;
  }
  const std::string out = argv[1];
  cancellation(out + "/cancellation.dat");
  singular(out + "/singular.dat");
  masks(out + "/masks.svg");
}
