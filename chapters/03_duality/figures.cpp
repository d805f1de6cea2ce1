// The data of this chapter's figures: rates.dat, forms.dat, capacity.dat, measured.txt and the drawing three_matrices.svg.
#include <demo/demo.hpp>
#include <mamba2/duality.hpp>
#include <mamba2/semiseparable.hpp>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

// All of the figures' times are of one thread. OpenBLAS has this function, other libraries may lack
// it.
extern "C" [[gnu::weak]] void openblas_set_num_threads(int);

using mamba2::as_matrix;
using mamba2::Tensor;
using mamba2::zeros;

namespace {

using File = std::unique_ptr<std::FILE, int (*)(std::FILE*)>;

File create(const std::string& path) {
  File file(std::fopen(path.c_str(), "w"), std::fclose);
  if (!file) {
    std::fprintf(stderr, "figures_03: cannot write %s\n", path.c_str());
    std::exit(1);
  }
  return file;
}

demo::Random next_random(5);

template <class Real>
Tensor<Real, 2> random_matrix(std::size_t rows, std::size_t columns) {
  auto m = zeros<Real>(rows, columns);
  for (Real& entry : m) entry = static_cast<Real>(next_random(-1, 1));
  return m;
}

template <class Real>
Tensor<Real, 1> random_decay(std::size_t seqlen) {
  auto dA = zeros<Real>(seqlen);
  for (Real& entry : dA) entry = static_cast<Real>(next_random(-0.2, 0));
  return dA;
}

// The processor's time for this thread: what other programs take does not count.
double now() {
  timespec time;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
}

// The shortest of several runs, in seconds.
double seconds(const std::function<void()>& work) {
  double best = 1e9, spent = 0;
  for (int runs = 0; runs < 3 || (spent < 0.04 && runs < 2000); ++runs) {
    const double start = now();
    work();
    const double time = now() - start;
    best = std::min(best, time);
    spent += time;
    if (spent > 0.4) break;
  }
  return best;
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
  const File file = create(path);
  for (const std::size_t n : std::vector<std::size_t>{4, 8, 16, 32, 64, 128, 256, 512, 1024}) {
    const auto A = random_matrix<float>(n, n), B = random_matrix<float>(n, n);
    auto C = zeros<float>(n, n);
    const double count = static_cast<double>(n * n * n) * 1e-9;
    const double plain = n <= 512 ? count / seconds([&] { loops(A, B, C); }) : std::nan("");
    const double blas =
        count / seconds([&] { mamba2::multiply<float>(as_matrix(A), as_matrix(B), 0, as_matrix(C)); });
    std::fprintf(file.get(), "%zu %g %g\n", n, plain, blas);
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
  const File file = create(path);
  for (const Row& row : rows)
    std::fprintf(file.get(), "%.0f %g %g %g %g\n", row.seqlen, row.quadratic, row.linear,
                 row.quadratic_count * time_of_one, row.linear_count * time_of_one);

  const Row& last = rows.back();
  const double advantage = last.linear / last.linear_count / (last.quadratic / last.quadratic_count);
  double crossing = std::nan("");  // between two lengths, on the straight line in logarithms
  for (std::size_t i = 0; i + 1 < rows.size(); ++i) {
    const double before = std::log(rows[i].quadratic / rows[i].linear),
                 after = std::log(rows[i + 1].quadratic / rows[i + 1].linear);
    if (before <= 0 && after > 0) crossing = rows[i].seqlen * std::exp2(-before / (after - before));
  }
  const File text = create(measured);
  const double per_advantage = 3.0 * d_state * headdim / (d_state + headdim);
  std::fprintf(text.get(), "[crossing]\n");
  std::fprintf(text.get(), "multiply-adds, product against loop   k = %.1f\n", advantage);
  std::fprintf(text.get(), "the square wins, by the formula       up to %.0f tokens\n",
               advantage * per_advantage);
  std::fprintf(text.get(), "the square wins, by the clock         up to %.0f tokens\n", crossing);
}

// Facts at random addresses, each asked for once: the number of facts, and for each size of the
// state the error of the answers beside the size of the values.
void capacity(const std::string& path) {
  const File file = create(path);
  const std::vector<std::size_t> states{4, 16, 64, 128};
  for (std::size_t K = 1; K <= 128; K = std::max(K + 1, K * 5 / 4)) {
    std::fprintf(file.get(), "%zu", K);
    for (const std::size_t N : states) {
      double wrong = 0, size = 0;
      for (int trial = 0; trial < 200; ++trial) {
        Tensor<double, 2> B = random_matrix<double>(2 * K, N), C = B;
        auto X = zeros<double>(2 * K, 1);
        for (std::size_t k = 0; k < K; ++k) {
          double length = 0;
          for (std::size_t n = 0; n < N; ++n) length += B(k, n) * B(k, n);
          X(k, 0) = next_random(-1, 1);
          for (std::size_t n = 0; n < N; ++n) C(K + k, n) = B(k, n) /= std::sqrt(length);
        }
        const auto Y = mamba2::dual_linear(X, zeros<double>(2 * K), B, C);
        for (std::size_t k = 0; k < K; ++k) {
          wrong += std::pow(Y(K + k, 0) - X(k, 0), 2);
          size += std::pow(X(k, 0), 2);
        }
      }
      std::fprintf(file.get(), " %.4f", std::sqrt(wrong / size));
    }
    std::fprintf(file.get(), "\n");
  }
}

// A matrix as squares: blue where positive, red where negative, the stronger the larger.
void squares(std::FILE* file, const Tensor<double, 2>& m, int left, int top, double cell,
             const char* label) {
  double largest = 0;
  for (const double entry : m) largest = std::max(largest, std::abs(entry));
  const double side = cell * static_cast<double>(m.shape(0));
  for (std::size_t i = 0; i < m.shape(0); ++i)
    for (std::size_t j = 0; j < m.shape(1); ++j) {
      const double strength = std::pow(std::abs(m(i, j)) / largest, 0.7);
      if (strength < 0.004) continue;
      std::fprintf(file,
                   "<rect x=\"%.2f\" y=\"%.2f\" width=\"%.2f\" height=\"%.2f\" fill=\"%s\" "
                   "fill-opacity=\"%.3f\"/>\n",
                   left + cell * static_cast<double>(j), top + cell * static_cast<double>(i), cell,
                   cell, m(i, j) > 0 ? "#0a0b01" : "#0a0b02", strength);
    }
  std::fprintf(
      file,
      "<rect x=\"%d\" y=\"%d\" width=\"%.2f\" height=\"%.2f\" fill=\"none\" stroke=\"#808080\"/>\n",
      left, top, side, side);
  std::fprintf(
      file,
      "<text x=\"%.1f\" y=\"%d\" text-anchor=\"middle\" fill=\"#010203\" font-size=\"15\">%s</text>\n",
      left + side / 2, top - 12, label);
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
  const File file = create(path);
  std::fprintf(file.get(),
               "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"660\" height=\"220\" viewBox=\"0 0 "
               "660 220\">\n");
  squares(file.get(), L, 10, 32, 11, "mask <tspan font-style=\"italic\">L</tspan>");
  squares(file.get(), G, 242, 32, 11, "scores <tspan font-style=\"italic\">C B</tspan>ᵀ");
  squares(file.get(), M, 474, 32, 11, "matrix of the model");
  for (const auto& [x, sign] : {std::pair(214, "∘"), {446, "="}})
    std::fprintf(
        file.get(),
        "<text x=\"%d\" y=\"126\" text-anchor=\"middle\" fill=\"#010203\" font-size=\"22\">%s</text>\n",
        x, sign);
  std::fprintf(file.get(), "</svg>\n");
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fprintf(stderr, "usage: figures_03 FOLDER\n");
    return 2;
  }
  if (openblas_set_num_threads) openblas_set_num_threads(1);
  const std::string folder = argv[1];
  three_matrices(folder + "/three_matrices.svg");
  rates(folder + "/rates.dat");
  forms(folder + "/forms.dat", folder + "/measured.txt");
  capacity(folder + "/capacity.dat");
}
