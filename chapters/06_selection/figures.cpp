// The data of this chapter's figures.
#include <demo/figure.hpp>
#include <mamba2/activation.hpp>
#include <mamba2/mamba1.hpp>
#include <mamba2/selection.hpp>
#include <mamba2/ssd.hpp>
#include <mamba2/ssm.hpp>

#include <cmath>
#include <string>

using namespace mamba2;

namespace {

// Forty tokens of the task: t, value, mark, target, selective model, best constant model.
void latch(demo::Table out) {
  Random random(4);
  double target = 0, selective = 0, constant = 0;
  for (int t = 0; t < 40; ++t) {
    const double value = random.uniform() < 0.5 ? -1 : 1;
    const bool marked = random.uniform() < 0.25;
    const double dt = softplus(36.0 * marked - 24);
    if (marked) target = value;
    selective = std::exp(-dt) * selective + dt / 12 * value;
    constant = 0.75 * constant + 0.25 * value;
    out.row(t, value, marked, target, selective, constant);
  }
}

// What 24 fresh heads remember after k tokens: k, then one column for each head.
void memory(demo::Table out) {
  Random random(0);
  Tensor<double, 1> dt_bias = zeros<double>(24), A_log = dt_bias;
  for (double& value : dt_bias) value = initial_dt_bias(1e-3, 0.1, 1e-4, random);
  for (double& value : A_log) value = initial_A_log(1, 16, random);
  const auto A = rates(A_log);
  for (double k = 0.1; k < 10000; k *= 1.12) {
    auto left = zeros<double>(24);
    for (std::size_t h = 0; h < 24; ++h) left(h) = std::exp(k * softplus(dt_bias(h)) * A(h));
    out.row(k, left);
  }
}

// Kernels: k, a hump of two exponentials, a tail 1 / (1 + k/4) of sixteen, a single one.
void kernels(demo::Table out) {
  for (int k = 0; k <= 60; ++k) {
    const double hump = 2.1 * (std::exp(-k / 16.0) - std::exp(-k / 5.0));
    double tail = 0;  // 1 / (1 + u) is the integral of e^(-s) e^(-s u) over s, taken at s = e^v
    for (int n = 0; n < 16; ++n) {
      const double v = -7 + 0.6 * n, s = std::exp(v);
      tail += 0.6 * s * std::exp(-s) * std::exp(-s * k / 4.0);
    }
    out.row(k, hump, tail, std::exp(-k / 8.0));
  }
}

template <std::size_t N>
Tensor<float, N> noise(const std::array<std::size_t, N>& shape, Random& random, double low = -1,
                       double high = 1) {
  Tensor<float, N> tensor(shape);
  for (auto& value : tensor) value = static_cast<float>(random.uniform(low, high));
  return tensor;
}

// Microseconds for each token of a layer of 256 channels: d_state, selective scan, chunked scan.
void cost(demo::Table out) {
  const std::size_t seqlen = 512, d_inner = 256, headdim = 64, nheads = d_inner / headdim;
  Random random(2);
  for (const std::size_t d_state : {4, 8, 16, 32, 64, 128}) {
    const SelectiveScanInput<float> channels{noise<3>({1, seqlen, d_inner}, random),
                                             noise<3>({1, seqlen, d_inner}, random, 0.001, 0.1),
                                             noise<2>({d_inner, d_state}, random, -16, -1),
                                             noise<3>({1, seqlen, d_state}, random),
                                             noise<3>({1, seqlen, d_state}, random),
                                             noise<1>({d_inner}, random)};
    ScanInput<float> heads;
    heads.x = noise<4>({1, seqlen, nheads, headdim}, random);
    heads.dt = noise<3>({1, seqlen, nheads}, random, -6, -2);
    heads.A = noise<1>({nheads}, random, -16, -1);
    heads.B = noise<4>({1, seqlen, 1, d_state}, random);
    heads.C = noise<4>({1, seqlen, 1, d_state}, random);
    const double one = demo::seconds([&] { selective_scan(channels); });
    const double two = demo::seconds([&] { ssd(heads, {.chunk_size = 64}); });
    out.row(d_state, 1e6 * one / seqlen, 1e6 * two / seqlen);
  }
}

}  // namespace

int main(int, char** arguments) {
  const std::string folder = std::string(arguments[1]) + "/";
  latch(demo::Table(folder + "latch.dat"));
  memory(demo::Table(folder + "memory.dat"));
  kernels(demo::Table(folder + "kernels.dat"));
  cost(demo::Table(folder + "cost.dat"));
}
