// The data of this chapter's figures.
#include <demo/figure.hpp>
#include <mamba2/norm.hpp>
#include <mamba2/random.hpp>

#include <cmath>
#include <string>

using namespace mamba2;

namespace {

double size(const Tensor<double, 2>& row) {
  double sum = 0;
  for (const double value : row) sum += value * value;
  return std::sqrt(sum / static_cast<double>(row.size()));
}

// Root mean square of a row whose gates all have the value silu(z): z, normed after the gate,
// normed before.
void gate_order(demo::Table out) {
  Random random(5);
  auto y = zeros<double>(1, 8);
  for (auto& value : y) value = random.uniform(-1, 1);
  const Tensor<double, 1> weight({8}, 1.0);
  for (double z = 1e-4; z < 9; z *= 1.1) {
    const Tensor<double, 2> gates({1, 8}, z);
    auto after = zeros<double>(1, 8), before = zeros<double>(1, 8);
    gated_norm<double>(as_matrix(y), as_matrix(gates), {.weight = weight}, as_matrix(after));
    gated_norm<double>(as_matrix(y), as_matrix(gates), {.weight = weight, .norm_before_gate = true},
                       as_matrix(before));
    out.row(z, size(after), size(before));
  }
}

// Sixteen channels in four groups of different strength: channel, before, normed as one group,
// normed as four.
void groups(demo::Table out) {
  Random random(8);
  auto y = zeros<double>(1, 16), one = y, four = y;
  for (std::size_t i = 0; i < 16; ++i)
    y(0, i) = std::pow(0.45, static_cast<double>(i / 4)) * random.uniform(0.5, 2);
  const Tensor<double, 2> open({1, 16}, 1.2784645427610738);  // where silu is 1
  const Tensor<double, 1> weight({16}, 1.0);
  gated_norm<double>(as_matrix(y), as_matrix(open), {.weight = weight}, as_matrix(one));
  gated_norm<double>(as_matrix(y), as_matrix(open), {.weight = weight, .groups = 4}, as_matrix(four));
  for (std::size_t i = 0; i < 16; ++i) out.row(i, y(0, i), one(0, i), four(0, i));
}

}  // namespace

int main(int, char** arguments) {
  const std::string folder = std::string(arguments[1]) + "/";
  gate_order(demo::Table(folder + "gate_order.dat"));
  groups(demo::Table(folder + "groups.dat"));
}
