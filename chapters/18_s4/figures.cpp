// The data of this chapter's figures: the drawing split.svg; tables planes, swing, clock, recall,
// basis, rates, losses, learnt.
#include <demo/delay.hpp>
#include <demo/demo.hpp>
#include <demo/figure.hpp>
#include <mamba2/fourier.hpp>
#include <mamba2/hippo.hpp>
#include <mamba2/parallel.hpp>
#include <mamba2/s4_kernel.hpp>
#include <mamba2/s4d.hpp>
#include <mamba2/ssm.hpp>

#include <algorithm>
#include <array>
#include <cmath>
#include <numbers>
#include <string>
#include <vector>

using mamba2::Complex;
using mamba2::Tensor;
using mamba2::zeros;

namespace {

constexpr double pi = std::numbers::pi;

// A piece of the left half plane and its images under the rules: a block for each line, first those
// of equal decay, then those of equal frequency. Four pairs of columns: the plane, Euler's rule,
// the zero-order hold, the bilinear rule.
void planes(const std::string& path) {
  demo::Table table(path);
  const auto line = [&](Complex from, Complex to, int parts) {
    for (int i = 0; i <= parts; ++i) {
      const Complex z = from + (to - from) * (double(i) / parts);
      const Complex hold = mamba2::discretize_zero_order_hold(z, 1).A_bar,
                    bilinear = mamba2::discretize_bilinear(z, 1).A_bar;
      table.row(z.real(), z.imag(), 1 + z.real(), z.imag(), hold.real(), hold.imag(), bilinear.real(),
                bilinear.imag());
    }
    table.next_block();
  };
  for (int i = 0; i <= 4; ++i) line({-0.75 * i, -pi}, {-0.75 * i, pi}, 20);
  for (int i = -4; i <= 4; ++i) line({-3, pi * i / 4}, {0, pi * i / 4}, 8);
}

// A spring after one push: exact between the steps, and the three rules after each step.
void swing(const std::string& path) {
  demo::Table table(path);
  const mamba2::LinearSystem<double> spring{{{0, 1}, {-4, -0.2}}, {0, 1}, {1, 0}};
  const double dt = 0.6;
  const std::size_t T = 16, parts = 12;
  const auto fine =
      mamba2::linear_kernel(mamba2::discretize_zero_order_hold(spring, dt / double(parts)), T * parts);
  // The push lasts one whole step.
  for (std::size_t i = 0; i < T * parts; ++i) {
    double q = 0;
    for (std::size_t k = 0; k < parts && k <= i; ++k) q += fine(i - k);
    table.row(double(i + 1) / double(parts), q);
  }
  table.next_block();
  auto euler = spring;
  euler.A = dt * spring.A + xt::eye<double>(2);
  euler.B = dt * spring.B;
  const auto hold = mamba2::linear_kernel(mamba2::discretize_zero_order_hold(spring, dt), T),
             bilinear = mamba2::linear_kernel(mamba2::discretize_bilinear(spring, dt), T),
             eulers = mamba2::linear_kernel(euler, T);
  for (std::size_t t = 0; t < T; ++t) table.row(t + 1, hold(t), bilinear(t), eulers(t));
}

mamba2::S4DParameters first_values(const mamba2::S4DConfig& config) {
  mamba2::S4DParameters p;
  set_zero(config, p);
  mamba2::Random random(2);
  walk(
      config,
      [&](const mamba2::ParameterInfo& info, std::span<double> values) { draw(info, random, values); },
      p);
  return p;
}

// Seconds of one channel: recurrence, direct sum, transform.
void clock(const std::string& path) {
  demo::Table table(path);
  const auto p = first_values({});
  demo::Random random;
  for (std::size_t T = 256; T <= 65536; T *= 4) {
    const auto x = demo::random_tensor<double>({1, T}, random);
    const Tensor<double, 1> inputs = xt::row(x, 0);
    const double recurrent = demo::seconds([&] { mamba2::s4d_recurrent(p, x); });
    const double transform = demo::seconds([&] {
      const Tensor<double, 1> K = xt::row(mamba2::s4d_kernel(p, T), 0);
      mamba2::fft_convolution(inputs, K);
    });
    const Tensor<double, 2> column = xt::view(inputs, xt::all(), xt::newaxis());
    double direct = std::nan("");
    if (T <= 4096)
      direct = demo::seconds([&] {
        const Tensor<double, 1> K = xt::row(mamba2::s4d_kernel(p, T), 0);
        mamba2::causal_convolution(column, K);
      });
    const Tensor<double, 1> K = xt::row(mamba2::s4d_kernel(p, T), 0);
    const double alone = demo::seconds([&] { mamba2::fft_convolution(inputs, K); });
    table.row(T, 1e3 * recurrent, 1e3 * direct, 1e3 * transform, 1e3 * alone);
  }
}

void recall(const std::string& path) {
  demo::Table table(path);
  const std::size_t T = 600;
  auto x = zeros<double>(T);
  for (std::size_t t = 0; t < T; ++t) {
    const double s = double(t) / double(T);
    x(t) = std::sin(9 * s) + 0.6 * std::sin(31 * s * s + 1) + (s > 0.3 && s < 0.36 ? 0.8 : 0);
  }
  for (std::size_t t = 0; t < T; t += 4) table.row(t, x(t));
  for (const std::size_t N : {8u, 32u}) {
    const auto c = mamba2::legs_memory(x, N);
    for (const std::size_t now : {300u, 600u}) {
      table.next_block();
      const Tensor<double, 1> row = xt::row(c, int(now) - 1), drawn = mamba2::recall(row, 60);
      for (std::size_t i = 0; i < 60; ++i) table.row((double(i) + 0.5) * double(now) / 60, drawn(i));
    }
  }
}

// What the first numbers of the state keep of an impulse: LegS's, and springs of Lin.
void basis(const std::string& path) {
  demo::Table table(path);
  const auto A = mamba2::s4d_rates(mamba2::S4DInitial::linear, 8);
  for (int i = 0; i <= 64; ++i) {
    const double s = 5 * std::pow(i / 64.0, 1.5);
    const Tensor<double, 1> p = std::exp(-s) * mamba2::legendre(4, 2 * std::exp(-s) - 1);
    table.row(s, p, std::exp(A(1) * s).real(), std::exp(A(2) * s).real());
  }
}

void split(const std::string& path) {
  const std::size_t N = 8;
  const auto A = mamba2::legs_matrix(N);
  const auto B = mamba2::legs_input(N);
  Tensor<double, 2> low_rank = A;
  for (std::size_t n = 0; n < N; ++n)
    for (std::size_t k = 0; k < N; ++k) low_rank(n, k) = B(n) * B(k) / 2;
  const Tensor<double, 2> normal = A + low_rank;
  demo::Drawing draw(path, 680, 240);
  const double side = 192, cell = side / double(N), largest = demo::largest_of(A);
  const std::array<const Tensor<double, 2>*, 3> matrices{&A, &normal, &low_rank};
  const std::array<const char*, 3> titles{"LegS", "normal", "low rank"};
  for (std::size_t k = 0; k < 3; ++k) {
    const double left = 8 + 236 * double(k);
    draw.entries(*matrices[k], left, 8, cell, largest, 0.6);
    draw.frame(left, 8, side, side);
    draw.text(left + side / 2, 226, titles[k], 14);
    if (k > 0) draw.text(left - 22, 8 + side / 2 + 6, k == 1 ? "=" : "−", 22);
  }
}

void rates(const std::string& path) {
  demo::Table table(path);
  using enum mamba2::S4DInitial;
  for (const auto initial : {legs, inverse, linear, real}) {
    const auto A = mamba2::s4d_rates(initial, 64);
    std::vector<double> frequencies;
    for (const Complex& a : A) frequencies.push_back(a.imag());
    std::sort(frequencies.begin(), frequencies.end());
    for (std::size_t n = 0; n < 32; ++n)
      table.row(n + 1, initial == real ? A(n).real() : -0.5, frequencies[n]);
    table.next_block();
  }
}

void learnt(const std::string& losses_path, const std::string& kernels_path) {
  demo::Table losses(losses_path), kernels(kernels_path);
  const auto batches = demo::delays(250);
  std::vector<std::vector<double>> errors;
  for (const auto& beginning : demo::beginnings()) {
    demo::DelayLearner learner(config_of(beginning));
    const auto before = learner.kernel();
    errors.emplace_back();
    for (const auto& batch : batches) errors.back().push_back(learner.step(batch));
    const bool lin = beginning.initial == mamba2::S4DInitial::linear && beginning.dt < 0.1;
    if (!lin && beginning.initial != mamba2::S4DInitial::real) continue;
    const auto after = learner.kernel();
    for (std::size_t k = 0; k < demo::Delay::seqlen;
         k += beginning.initial == mamba2::S4DInitial::real ? 8 : 3)
      kernels.row(k, before(k), after(k));
    kernels.next_block();
  }
  for (std::size_t i = 0; i + 5 <= batches.size(); i += 5) {  // five steps in one
    std::array<double, 5> mean{};
    for (std::size_t run = 0; run < 5; ++run)
      for (std::size_t k = 0; k < 5; ++k) mean[run] += errors[run][i + k] / 5;
    losses.row(i + 3, mean[0], mean[1], mean[2], mean[3], mean[4]);
  }
}

}  // namespace

int main(int, char** arguments) {
  const mamba2::OneThread alone;
  const std::string out = arguments[1];
  planes(out + "/planes.dat");
  swing(out + "/swing.dat");
  clock(out + "/clock.dat");
  recall(out + "/recall.dat");
  basis(out + "/basis.dat");
  split(out + "/split.svg");
  rates(out + "/rates.dat");
  learnt(out + "/losses.dat", out + "/learnt.dat");
}
