// The data of this chapter's figures: rates.dat, forms.dat and the drawing three_matrices.svg.
#include <demo/demo.hpp>
#include <demo/figure.hpp>
#include <mamba2/duality.hpp>
#include <mamba2/semiseparable.hpp>

#include <algorithm>
#include <cmath>
#include <string>
#include <utility>
#include <vector>

using demo::seconds;
using mamba2::as_matrix;
using mamba2::Tensor;
using mamba2::zeros;

namespace {

demo::Random draw(5);

template <class Real>
Tensor<Real, 2> random_matrix(std::size_t rows, std::size_t columns) {
  return demo::random_tensor<Real>({rows, columns}, draw);
}

template <class Real>
Tensor<Real, 1> random_decay(std::size_t seqlen) {
  return demo::random_tensor<Real>({seqlen}, draw, -0.2, 0);
}

void loops(const Tensor<float, 2>& A, const Tensor<float, 2>& B, Tensor<float, 2>& C) {
  const std::size_t n = A.shape(0);
  for (std::size_t i = 0; i < n; ++i)
    for (std::size_t j = 0; j < n; ++j) {
      float sum = 0;
      for (std::size_t k = 0; k < n; ++k) sum += A(i, k) * B(k, j);
      C(i, j) = sum;
    }
}

// Billions of multiply-adds per second: n, three loops, multiply().
void rates(const std::string& path) {
  demo::Table table(path);
  for (const std::size_t n : std::vector<std::size_t>{4, 8, 16, 32, 64, 128, 256, 512, 1024}) {
    const auto A = random_matrix<float>(n, n), B = random_matrix<float>(n, n);
    auto C = zeros<float>(n, n);
    const double count = static_cast<double>(n * n * n) * 1e-9;
    const double plain = n <= 512 ? count / seconds([&] { loops(A, B, C); }) : std::nan("");
    const double blas =
        count / seconds([&] { mamba2::multiply<float>(as_matrix(A), as_matrix(B), 0, as_matrix(C)); });
    table.row(n, plain, blas);
  }
}

// Milliseconds of one head: seqlen, quadratic, linear, and the two counts at the rate of the linear
// mode.
void forms(const std::string& path) {
  const std::size_t headdim = 64, d_state = 128;
  struct Row {
    std::size_t seqlen;
    double quadratic, linear, quadratic_count, linear_count;
  };
  std::vector<Row> rows;
  double time_of_one = 1e9;  // milliseconds for a multiply-add of the linear mode, at its best
  for (const std::size_t seqlen : std::vector<std::size_t>{32, 64, 128, 256, 512, 1024, 2048, 4096}) {
    const auto X = random_matrix<float>(seqlen, headdim), B = random_matrix<float>(seqlen, d_state),
               C = random_matrix<float>(seqlen, d_state);
    const auto dA = random_decay<float>(seqlen);
    const double T = static_cast<double>(seqlen);
    rows.push_back({seqlen, 1e3 * seconds([&] { mamba2::dual_quadratic(X, dA, B, C); }),
                    1e3 * seconds([&] { mamba2::dual_linear(X, dA, B, C); }),
                    mamba2::cost_quadratic(T, d_state, headdim).multiply_adds,
                    mamba2::cost_linear(T, d_state, headdim).multiply_adds});
    time_of_one = std::min(time_of_one, rows.back().linear / rows.back().linear_count);
  }
  demo::Table table(path);
  for (const Row& row : rows)
    table.row(row.seqlen, row.quadratic, row.linear, row.quadratic_count * time_of_one,
              row.linear_count * time_of_one);
}

void three_matrices(const std::string& path) {
  const std::size_t seqlen = 16, d_state = 4;
  const auto B = random_matrix<double>(seqlen, d_state), C = random_matrix<double>(seqlen, d_state);
  Tensor<double, 1> dA = random_decay<double>(seqlen);
  dA(5) = -2.5;
  const Tensor<double, 2> L = mamba2::decay_mask(dA);
  auto G = zeros<double>(seqlen, seqlen);
  mamba2::multiply<double>(as_matrix(C), transpose(as_matrix(B)), 0, as_matrix(G));
  const Tensor<double, 2> M = L * G;
  demo::Drawing drawing(path, 660, 220);
  const double cell = 11, side = cell * static_cast<double>(seqlen), top = 32;
  const auto show = [&](const Tensor<double, 2>& m, double left, const char* label) {
    drawing.entries(m, left, top, cell, demo::largest_of(m), 0.7);
    drawing.frame(left, top, side, side);
    drawing.text(left + side / 2, top - 12, label);
  };
  show(L, 10, "mask <tspan font-style='italic'>L</tspan>");
  show(G, 242, "scores <tspan font-style='italic'>C B</tspan>ᵀ");
  show(M, 474, "matrix of the model");
  drawing.text(214, 126, "∘", 22);
  drawing.text(446, 126, "=", 22);
}

}  // namespace

int main(int, char** arguments) {
  const std::string folder = arguments[1];
  three_matrices(folder + "/three_matrices.svg");
  rates(folder + "/rates.dat");
  forms(folder + "/forms.dat");
}
