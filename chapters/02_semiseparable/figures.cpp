// The data of this chapter's figures: cancellation.dat, singular.dat and the drawing masks.svg.
#include <demo/demo.hpp>
#include <demo/figure.hpp>
#include <mamba2/semiseparable.hpp>
#include <mamba2/ssm.hpp>

#include <algorithm>
#include <array>
#include <cmath>
#include <functional>
#include <string>

using mamba2::Tensor;
using mamba2::zeros;

namespace {

demo::Random draw;

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
  demo::Table table(path);
  const std::size_t T = 2048;
  auto dA = zeros<float>(T);
  demo::fill(dA, draw, -2, 0);
  const Tensor<float, 2> naive = mamba2::segsum_naive(dA), stable = mamba2::segsum(dA);
  for (std::size_t i = 4; i < T; i += 8)
    table.row(i, row_error(naive, dA, i), std::max(row_error(stable, dA, i), 1.1e-8));
}

void singular(const std::string& path) {
  demo::Table table(path);
  const std::size_t T = 32, cut = 16, shown = 16;
  std::array<Tensor<double, 1>, 4> values;
  const std::array<std::size_t, 4> states{1, 2, 4, 8};
  for (std::size_t k = 0; k < 4; ++k) {
    const std::size_t N = states[k];
    auto A_bar = zeros<double>(T);
    auto B = zeros<double>(T, N), C = zeros<double>(T, N);
    for (double& a : A_bar) a = std::exp(draw(-0.2, 0));
    demo::fill(B, draw);
    demo::fill(C, draw);
    const Tensor<double, 2> M = mamba2::ssm_matrix(A_bar, B, C);
    values[k] =
        mamba2::singular_values(Tensor<double, 2>(xt::view(M, xt::range(cut, T), xt::range(0, cut))));
  }
  const auto share = [&](std::size_t k, std::size_t i) {
    return std::max(values[k](i) / values[k](0), 1e-19);
  };
  for (std::size_t i = 0; i < shown; ++i)
    table.row(i + 1, share(0, i), share(1, i), share(2, i), share(3, i));
}

void masks(const std::string& path) {
  const std::size_t T = 32;
  demo::Drawing drawing(path, 680, 262);
  const double side = 208;
  const std::array<const char*, 3> titles{"linear attention", "RetNet", "Mamba-2"};
  const std::array<std::function<double(std::size_t)>, 3> log_decays{
      [](std::size_t) { return 0.0; }, [](std::size_t) { return std::log(0.85); },
      [](std::size_t t) { return t == 7 || t == 19 ? -2.5
                                 : t == 24         ? -1.0
                                                   : draw(-0.08, 0); }};
  for (std::size_t k = 0; k < 3; ++k) {
    auto dA = zeros<double>(T);
    for (std::size_t t = 0; t < T; ++t) dA(t) = log_decays[k](t);
    const double left = 12 + double(k) * 224;
    drawing.entries(mamba2::decay_mask(dA), left, 10, side / double(T), 1, 1);
    drawing.frame(left, 10, side, side);
    drawing.text(left + side / 2, 242, titles[k]);
  }
}

}  // namespace

int main(int, char** arguments) {
  const std::string out = arguments[1];
  cancellation(out + "/cancellation.dat");
  singular(out + "/singular.dat");
  masks(out + "/masks.svg");
}
