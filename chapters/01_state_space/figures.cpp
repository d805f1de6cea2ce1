// The data of this chapter's figures: decay.dat, hold.dat, gain.dat, buckets.dat and the drawing
// matrices.svg.
#include <demo/figure.hpp>
#include <demo/six_tokens.hpp>
#include <mamba2/ssm.hpp>

#include <array>
#include <cmath>
#include <functional>
#include <string>
#include <vector>

using mamba2::Tensor;
using mamba2::zeros;

namespace {

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
  demo::Table table(path);
  const std::size_t T = 81;
  auto x = zeros<double>(T, 1);
  x(0, 0) = 1;
  const std::array<double, 5> rates{0, -0.1, -0.3, -1, -4};
  std::array<Tensor<double, 2>, 5> left;
  for (std::size_t k = 0; k < 5; ++k)
    left[k] = run(x, mamba2::discretize_mamba2(rates[k], 0.1).A_bar, 1);
  for (std::size_t t = 0; t < T; ++t)
    table.row(t, left[0](t, 0), left[1](t, 0), left[2](t, 0), left[3](t, 0), left[4](t, 0));
}

// A staircase goes into h' = A h + x with steps so long that Euler's rule shows what it is. The
// first block holds the exact solution between the steps (the zero-order hold over a part of the
// step), the second the three rules after each step.
void hold(const std::string& path) {
  demo::Table table(path);
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
      table.row(double(t) + part / 20.0, piece.A_bar * before + piece.B_bar * x(t, 0), x(t, 0));
    }
  table.next_block();
  for (std::size_t t = 0; t < T; ++t) table.row(t + 1, exact(t, 0), euler(t, 0), ours(t, 0));
}

// The weight of a new token against the step size, A = -1.
void gain(const std::string& path) {
  demo::Table table(path);
  for (int i = 0; i <= 120; ++i) {
    const double dt = 0.025 * i;
    const auto exact = mamba2::discretize_zero_order_hold(-1.0, dt),
               ours = mamba2::discretize_mamba2(-1.0, dt);
    table.row(dt, exact.B_bar, ours.B_bar, ours.A_bar);
  }
}

// The levels of the two buckets while the six tokens go by: time, a, b. What is poured arrives at
// the end of a step. A second block holds the looks: time and level.
void buckets(const std::string& path) {
  demo::Table table(path);
  const demo::SixTokens example;
  std::array<double, 2> level{0, 0};
  double time = 0;
  std::vector<std::array<double, 2>> looks;
  for (std::size_t t = 0; t < 6; ++t) {
    const double dt = example.dt(t);
    for (int part = 0; part <= 40; ++part) {
      const double left = std::exp(example.A * dt * part / 40);
      table.row(time + dt * part / 40, level[0] * left, level[1] * left);
    }
    time += dt;
    double seen = 0;
    for (std::size_t n = 0; n < 2; ++n) {
      level[n] = level[n] * std::exp(example.A * dt) + dt * example.x(t, 0) * example.B(t, n);
      seen += level[n] * example.C(t, n);
    }
    if (dt == 0) looks.push_back({time, seen});
  }
  table.row(time, level[0], level[1]);
  table.next_block();
  for (const auto& [when, what] : looks) table.row(when, what);
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
  demo::Drawing draw(path, 680, 262);
  const double side = 208, cell = side / double(T);
  const std::array<const char*, 3> titles{"no decay", "one decay for all steps",
                                          "a decay for each step"};
  const std::array<std::function<double(std::size_t)>, 3> decays{
      [](std::size_t) { return 1.0; }, [](std::size_t) { return 0.8; },
      [](std::size_t t) { return t == 11 || t == 22 ? 0.03 : 0.97; }};
  for (std::size_t k = 0; k < 3; ++k) {
    const double left = 12 + double(k) * 224;
    const Tensor<double, 2> M = with_decay(decays[k]);
    draw.entries(M, left, 10, cell, demo::largest_of(M), 0.5);
    draw.frame(left, 10, side, side);
    draw.text(left + side / 2, 242, titles[k], 14);
  }
}

}  // namespace

int main(int, char** arguments) {
  const std::string out = arguments[1];
  decay(out + "/decay.dat");
  hold(out + "/hold.dat");
  gain(out + "/gain.dat");
  buckets(out + "/buckets.dat");
  matrices(out + "/matrices.svg");
}
