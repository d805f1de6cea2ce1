// The data of this chapter's figures: decay.dat, hold.dat, gain.dat, buckets.dat and the drawing matrices.svg.
#include <demo/six_tokens.hpp>
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
    std::fprintf(stderr, "figures_01: cannot write %s\n", path.c_str());
    std::exit(1);
  }
  return file;
}

// A model with one state and one channel, B = C = 1.
Tensor<double, 2> run(const Tensor<double, 2>& x, double A_bar, double B_bar) {
  const std::size_t T = x.shape(0);
  auto A = zeros<double>(T);
  auto B = zeros<double>(T, 1), C = zeros<double>(T, 1);
  A.fill(A_bar);
  B.fill(B_bar);
  C.fill(1);
  return mamba2::ssm_recurrent(x, A, B, C);
}

// What is left of an impulse after t steps of length 0.1, for five rates.
void decay(const std::string& path) {
  const File file = create(path);
  const std::size_t T = 81;
  auto x = zeros<double>(T, 1);
  x(0, 0) = 1;
  const std::array<double, 5> rates{0, -0.1, -0.3, -1, -4};
  for (std::size_t t = 0; t < T; ++t) {
    std::fprintf(file.get(), "%zu", t);
    for (const double A : rates)
      std::fprintf(file.get(), " %.6f", run(x, mamba2::discretize_mamba2(A, 0.1).A_bar, 1)(t, 0));
    std::fprintf(file.get(), "\n");
  }
}

// A staircase goes into h' = A h + x with steps so long that Euler's rule shows what it is. The
// first block holds the exact solution between the steps (the zero-order hold over a part of the
// step), the second the three rules after each step.
void hold(const std::string& path) {
  const File file = create(path);
  const double A = -1.5, dt = 1;
  const Tensor<double, 2> x{{1}, {1}, {1}, {0}, {0}, {0.5}, {0.5}, {-0.5}, {0}, {0}};
  const std::size_t T = x.shape(0);
  const auto step = mamba2::discretize_zero_order_hold(A, dt);
  const Tensor<double, 2> exact = run(x, step.A_bar, step.B_bar);
  const Tensor<double, 2> euler = run(x, 1 + dt * A, dt);
  const Tensor<double, 2> ours = run(x, step.A_bar, mamba2::discretize_mamba2(A, dt).B_bar);
  for (std::size_t t = 0; t < T; ++t)
    for (int part = 0; part < 20; ++part) {
      const auto piece = mamba2::discretize_zero_order_hold(A, dt * part / 20);
      const double before = t == 0 ? 0 : exact(t - 1, 0);
      std::fprintf(file.get(), "%.3f %.5f %.5f\n", double(t) + part / 20.0,
                   piece.A_bar * before + piece.B_bar * x(t, 0), x(t, 0));
    }
  std::fprintf(file.get(), "\n\n");
  for (std::size_t t = 0; t < T; ++t)
    std::fprintf(file.get(), "%zu %.5f %.5f %.5f\n", t + 1, exact(t, 0), euler(t, 0), ours(t, 0));
}

// The weight of a new token against the step size, A = -1.
void gain(const std::string& path) {
  const File file = create(path);
  for (int i = 0; i <= 120; ++i) {
    const double dt = 0.025 * i;
    const auto exact = mamba2::discretize_zero_order_hold(-1.0, dt),
               ours = mamba2::discretize_mamba2(-1.0, dt);
    std::fprintf(file.get(), "%.3f %.5f %.5f %.5f\n", dt, exact.B_bar, ours.B_bar, ours.A_bar);
  }
}

// The levels of the two buckets while the six tokens go by: time, a, b. What is poured arrives at the end of a step. A second
// block holds the looks: time and level.
void buckets(const std::string& path) {
  const File file = create(path);
  const demo::SixTokens example;
  std::array<double, 2> level{0, 0};
  double time = 0;
  std::string looks;
  for (std::size_t t = 0; t < 6; ++t) {
    const double dt = example.dt(t);
    for (int part = 0; part <= 40; ++part) {
      const double left = std::exp(example.A * dt * part / 40);
      std::fprintf(file.get(), "%.4f %.4f %.4f\n", time + dt * part / 40, level[0] * left,
                   level[1] * left);
    }
    time += dt;
    double seen = 0;
    for (std::size_t n = 0; n < 2; ++n) {
      level[n] = level[n] * std::exp(example.A * dt) + dt * example.x(t, 0) * example.B(t, n);
      seen += level[n] * example.C(t, n);
    }
    if (dt == 0) looks += std::to_string(time) + " " + std::to_string(seen) + "\n";
  }
  std::fprintf(file.get(), "%.4f %.4f %.4f\n", time, level[0], level[1]);
  std::fprintf(file.get(), "\n\n%s", looks.c_str());
}

// One square for each entry of M: blue for positive entries, red for negative ones, the stronger
// the larger.
void draw_matrix(std::FILE* file, const Tensor<double, 2>& M, double left, double top, double cell) {
  const std::size_t T = M.shape(0);
  double largest = 0;
  for (const double entry : M) largest = std::max(largest, std::abs(entry));
  for (std::size_t i = 0; i < T; ++i)
    for (std::size_t j = 0; j <= i; ++j) {
      const double strength = std::abs(M(i, j)) / largest;
      if (strength < 0.004) continue;
      std::fprintf(file,
                   "<rect x=\"%.2f\" y=\"%.2f\" width=\"%.2f\" height=\"%.2f\" fill=\"%s\" "
                   "fill-opacity=\"%.3f\"/>\n",
                   left + double(j) * cell, top + double(i) * cell, cell, cell,
                   M(i, j) > 0 ? "#0a0b01" : "#0a0b02", std::sqrt(strength));
    }
  std::fprintf(
      file,
      "<rect x=\"%.2f\" y=\"%.2f\" width=\"%.2f\" height=\"%.2f\" fill=\"none\" stroke=\"#808080\"/>\n",
      left, top, double(T) * cell, double(T) * cell);
}

// The matrix of one model under three decays: none, the same at every step, and one that depends on
// the step.
void matrices(const std::string& path) {
  const std::size_t T = 32, N = 4;
  auto B = zeros<double>(T, N), C = zeros<double>(T, N);
  for (std::size_t t = 0; t < T; ++t)
    for (std::size_t n = 0; n < N; ++n) {
      B(t, n) = std::sin(0.37 * double((t + 1) * (n + 1)) + double(n));
      C(t, n) = std::cos(0.53 * double((t + 2) * (n + 1)));
    }
  const auto with_decay = [&](const std::function<double(std::size_t)>& A_bar) {
    auto A = zeros<double>(T);
    for (std::size_t t = 0; t < T; ++t) A(t) = A_bar(t);
    return mamba2::ssm_matrix(A, B, C);
  };
  const File file = create(path);
  std::fprintf(
      file.get(),
      "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"680\" height=\"262\" viewBox=\"0 0 680 262\" "
      "shape-rendering=\"crispEdges\">\n");
  const double side = 208, cell = side / double(T);
  const std::array<const char*, 3> titles{"no decay", "one decay for all steps",
                                          "a decay for each step"};
  const std::array<std::function<double(std::size_t)>, 3> decays{
      [](std::size_t) { return 1.0; }, [](std::size_t) { return 0.8; },
      [](std::size_t t) { return t == 11 || t == 22 ? 0.03 : 0.97; }};
  for (std::size_t k = 0; k < 3; ++k) {
    const double left = 12 + double(k) * 224;
    draw_matrix(file.get(), with_decay(decays[k]), left, 10, cell);
    std::fprintf(file.get(),
                 "<text x=\"%.1f\" y=\"242\" font-size=\"14\" text-anchor=\"middle\" "
                 "fill=\"#010203\">%s</text>\n",
                 left + side / 2, titles[k]);
  }
  std::fprintf(file.get(), "</svg>\n");
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fprintf(stderr, "usage: figures_01 OUTDIR\n");
    return 2;
  }
  const std::string out = argv[1];
  decay(out + "/decay.dat");
  hold(out + "/hold.dat");
  gain(out + "/gain.dat");
  buckets(out + "/buckets.dat");
  matrices(out + "/matrices.svg");
}
