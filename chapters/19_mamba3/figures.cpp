// The data of this chapter's figures: circle.svg, bands.svg.
#include <demo/demo.hpp>
#include <demo/figure.hpp>
#include <mamba2/tensor.hpp>

#include <cmath>
#include <numbers>
#include <string>
#include <vector>

namespace {

using mamba2::zeros;

// The same tokens on a circle and on a line.
void circle(const std::string& path) {
  const std::vector<int> tokens{1, 0, 1, 1, 1, 0, 1, 1, 1, 1};
  demo::Drawing drawing(path, 640, 300);
  const double x = 150, y = 150, radius = 90;
  for (int i = 0; i < 72; ++i) {
    const double from = std::numbers::pi * i / 36, to = std::numbers::pi * (i + 1) / 36;
    drawing.line(x + radius * std::cos(from), y - radius * std::sin(from), x + radius * std::cos(to),
                 y - radius * std::sin(to), demo::grid);
  }
  drawing.text(x, 24, "a half turn at each 1", 14);
  drawing.text(x + radius + 18, y + 5, "even", 14, demo::blue, "start");
  drawing.text(x - radius - 18, y + 5, "odd", 14, demo::red, "end");
  drawing.box(x + radius - 6, y - 6, 12, 12, demo::blue);
  drawing.box(x - radius - 6, y - 6, 12, 12, demo::red);
  drawing.line(x - radius + 10, y - 8, x + radius - 10, y - 8, demo::ink);
  drawing.line(x - radius + 10, y + 8, x + radius - 10, y + 8, demo::ink);

  const double left = 350, bottom = 240, width = 25, height = 170;
  drawing.text(left + 130, 24, "times 0.7, plus a number, at each 1", 14);
  drawing.line(left, bottom, left + 270, bottom, demo::grid);
  double state = 0;
  int ones = 0;
  for (std::size_t t = 0; t < tokens.size(); ++t) {
    if (tokens[t] == 1) state = 0.7 * state + 0.3;
    ones += tokens[t];
    const double at = left + 12 + width * static_cast<double>(t);
    drawing.line(at, bottom, at, bottom - height * state, demo::grid);
    drawing.box(at - 5, bottom - height * state - 5, 10, 10, ones % 2 == 0 ? demo::blue : demo::red);
    drawing.text(at, bottom + 20, std::to_string(tokens[t]), 14);
  }
}

void bands(const std::string& path) {
  const std::size_t T = 10;
  demo::Random random(3);
  auto B = zeros<double>(T, T), M = B;
  std::vector<double> a(T), now(T), next(T, 0.0);
  for (std::size_t t = 0; t < T; ++t) {
    const double dt = random(0.5, 1), lambda = random(0.3, 0.8);
    a[t] = -0.4 * dt;
    now[t] = lambda * dt;
    if (t > 0) next[t - 1] = (1 - lambda) * dt;
  }
  for (std::size_t j = 0; j < T; ++j) {
    B(j, j) = M(j, j) = now[j];
    double decay = 1;
    for (std::size_t i = j + 1; i < T; ++i) {
      decay *= std::exp(a[i]);
      if (i == j + 1) B(i, j) = next[j] * decay;
      M(i, j) = decay * (now[j] + next[j]);
    }
  }
  demo::Drawing drawing(path, 640, 300);
  const double cell = 22, side = cell * T;
  drawing.text(50 + side / 2, 26, "two bands", 14);
  drawing.entries(B, 50, 44, cell, 1, 0.8);
  drawing.frame(50, 44, side, side);
  drawing.text(370 + side / 2, 26, "with decays", 14);
  drawing.entries(M, 370, 44, cell, 1, 0.8);
  drawing.frame(370, 44, side, side);
}

}  // namespace

int main(int, char** arguments) {
  const std::string folder = arguments[1];
  circle(folder + "/circle.svg");
  bands(folder + "/bands.svg");
}
