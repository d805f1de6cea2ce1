// The data of this chapter's figures: rates.dat, forms.dat, capacity.dat, measured.txt and the
// drawing three_matrices.svg.
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
// mode. What follows from it goes to measured.txt: the advantage k of products, and the length at
// which the two modes take the same time, by the formula and by the clock.
void forms(const std::string& path, const std::string& measured) {
  const std::size_t headdim = 64, d_state = 128;
  struct Row {
    double seqlen, quadratic, linear, quadratic_count, linear_count;
  };
  std::vector<Row> rows;
  double time_of_one = 1e9;  // milliseconds for a multiply-add of the linear mode, at its best
  for (const std::size_t seqlen : std::vector<std::size_t>{32, 64, 128, 256, 512, 1024, 2048, 4096}) {
    const auto X = random_matrix<float>(seqlen, headdim), B = random_matrix<float>(seqlen, d_state),
               C = random_matrix<float>(seqlen, d_state);
    const auto dA = random_decay<float>(seqlen);
    const double T = static_cast<double>(seqlen);
    rows.push_back({T, 1e3 * seconds([&] { mamba2::dual_quadratic(X, dA, B, C); }),
                    1e3 * seconds([&] { mamba2::dual_linear(X, dA, B, C); }),
                    mamba2::cost_quadratic(T, d_state, headdim).multiply_adds,
                    mamba2::cost_linear(T, d_state, headdim).multiply_adds});
    time_of_one = std::min(time_of_one, rows.back().linear / rows.back().linear_count);
  }
  demo::Table table(path);
  for (const Row& row : rows)
    table.row(row.seqlen, row.quadratic, row.linear, row.quadratic_count * time_of_one,
              row.linear_count * time_of_one);

  // Where products show most of it: the longest squares leave the cache.
  double advantage = 0;
  for (const Row& row : rows)
    advantage =
        std::max(advantage, row.linear / row.linear_count / (row.quadratic / row.quadratic_count));
  double crossing = std::nan("");  // between two lengths, on the straight line in logarithms
  for (std::size_t i = 0; i + 1 < rows.size(); ++i) {
    const double before = std::log(rows[i].quadratic / rows[i].linear),
                 after = std::log(rows[i + 1].quadratic / rows[i + 1].linear);
    if (before <= 0 && after > 0) crossing = rows[i].seqlen * std::exp2(-before / (after - before));
  }
  const double per_advantage = 3.0 * d_state * headdim / (d_state + headdim);
  demo::create(measured) << "[crossing]\n"
                         << "multiply-adds, product against loop   k = "
                         << std::round(10 * advantage) / 10
                         << "\nthe square wins, by the formula       up to "
                         << std::lround(advantage * per_advantage) << " tokens"
                         << "\nthe square wins, by the clock         up to " << std::round(crossing)
                         << " tokens\n";
}

// Facts at random addresses, each asked for once: the number of facts, and for each size of the
// state the error of the answers beside the size of the values.
void capacity(const std::string& path) {
  demo::Table table(path);
  for (std::size_t K = 1; K <= 128; K = std::max(K + 1, K * 5 / 4)) {
    Tensor<double, 1> errors{4, 16, 64, 128};  // the sizes of the state, for a start
    for (double& error : errors) {
      const auto N = static_cast<std::size_t>(error);
      double wrong = 0, size = 0;
      for (int trial = 0; trial < 100; ++trial) {
        Tensor<double, 2> B = random_matrix<double>(2 * K, N), C = B;
        auto X = zeros<double>(2 * K, 1);
        for (std::size_t k = 0; k < K; ++k) {
          double length = 0;
          for (std::size_t n = 0; n < N; ++n) length += B(k, n) * B(k, n);
          X(k, 0) = draw(-1, 1);
          for (std::size_t n = 0; n < N; ++n) {
            B(k, n) /= std::sqrt(length);
            C(K + k, n) = B(k, n);
          }
        }
        const auto Y = mamba2::dual_linear(X, zeros<double>(2 * K), B, C);
        for (std::size_t k = 0; k < K; ++k) {
          wrong += std::pow(Y(K + k, 0) - X(k, 0), 2);
          size += std::pow(X(k, 0), 2);
        }
      }
      error = std::sqrt(wrong / size);
    }
    table.row(K, errors);
  }
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
  forms(folder + "/forms.dat", folder + "/measured.txt");
  capacity(folder + "/capacity.dat");
}
