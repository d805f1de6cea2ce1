// The data of this chapter's figures: crossing.svg, measured.txt.
#include <demo/demo.hpp>
#include <demo/figure.hpp>
#include <mamba2/chunked_scan.hpp>
#include <mamba2/scan_gradient.hpp>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <string>
#include <vector>

using mamba2::as_matrix;
using mamba2::as_span;
using mamba2::Tensor;
using mamba2::zeros;

namespace {

// W = ∇M ∘ M of sixteen tokens, a frame round what crosses one step, and the sums of all such
// frames.
void crossing(const std::string& path) {
  const std::size_t T = 16, P = 2, N = 2, step = 9;
  demo::Random random(21);
  const auto X = demo::random_tensor<double>({T, P}, random),
             dY = demo::random_tensor<double>({T, P}, random),
             B = demo::random_tensor<double>({T, N}, random, -0.3, 1),
             C = demo::random_tensor<double>({T, N}, random, -0.3, 1);
  const auto dA = demo::random_tensor<double>({T}, random, -0.3, 0);
  auto M = zeros<double>(T, T), W = M, dX = zeros<double>(T, P), dB = zeros<double>(T, N), dC = dB;
  mamba2::multiply<double>(as_matrix(C), transpose(as_matrix(B)), 0, as_matrix(M));
  mamba2::mask_scores<double>(as_span(dA), as_matrix(M));
  mamba2::multiply<double>(as_matrix(dY), transpose(as_matrix(X)), 0, as_matrix(W));
  W *= M;
  std::vector<double> ddA(T, 0.0);
  mamba2::diagonal_block_gradient<double>({as_matrix(X), as_span(dA), as_matrix(B), as_matrix(C)},
                                          as_matrix(dY),
                                          {as_matrix(dX), ddA, as_matrix(dB), as_matrix(dC)});

  demo::Drawing drawing(path, 640, 330);
  const double cell = 16, x = 40, y = 44, side = cell * T;
  drawing.entries(W, x, y, cell, demo::largest_of(W), 0.6);
  drawing.frame(x, y, side, side);
  drawing.frame(x, y + cell * step, cell * step, cell * (T - step), demo::ink, 2.2);
  drawing.text(x + side / 2, y - 26, "said by token j", 14);
  drawing.text(x + side + 8, y + 14, "heard by", 14, demo::ink, "start");
  drawing.text(x + side + 8, y + 31, "token i", 14, demo::ink, "start");
  for (const std::size_t t : {std::size_t{0}, step, T - 1}) {
    drawing.text(x + cell * (static_cast<double>(t) + 0.5), y - 6, std::to_string(t), 12);
    drawing.text(x - 6, y + cell * (static_cast<double>(t) + 0.5) + 4, std::to_string(t), 12, demo::ink,
                 "end");
  }

  const double zero = 480, largest = std::max(*std::max_element(ddA.begin(), ddA.end()),
                                              -*std::min_element(ddA.begin(), ddA.end()));
  drawing.text(zero, y - 26, "gradient of the log-decay", 14);
  drawing.line(zero, y, zero, y + side, demo::grid, "stroke-width='1'");
  for (std::size_t t = 0; t < T; ++t) {
    const double length = 80 * ddA[t] / largest, top = y + cell * static_cast<double>(t) + 3;
    const std::string colour = ddA[t] > 0 ? demo::blue : demo::red;
    drawing.rectangle(std::min(zero, zero + length), top, std::abs(length), cell - 6,
                      "fill='" + colour + "' fill-opacity='" + (t == step ? "1" : "0.55") + "'");
  }
  drawing.text(zero + 88, y + cell * (step + 0.5) + 5, "step " + std::to_string(step), 13, demo::ink,
               "start");
}

void ratio(const std::string& path) {
  demo::Random random(22);
  const std::size_t T = 1024, H = 2, P = 64, N = 128;
  mamba2::ScanInput<float> in;
  in.x = demo::random_tensor<float>({1, T, H, P}, random);
  in.dt = demo::random_tensor<float>({1, T, H}, random, -3, 0);
  in.A = demo::random_tensor<float>({H}, random, -2, -0.1);
  in.B = demo::random_tensor<float>({1, T, 1, N}, random);
  in.C = demo::random_tensor<float>({1, T, 1, N}, random);
  const auto dy = demo::random_tensor<float>({1, T, H, P}, random);
  const double forward = demo::seconds([&] { mamba2::ssd<float>(in); });
  const double backward = demo::seconds([&] { mamba2::ssd_gradient<float>(in, {}, dy); });
  char text[120];
  std::snprintf(text, sizeof text,
                "[ratio]\n1024 tokens, 2 heads, N = 128, P = 64, chunks of 64: backward takes %.1f "
                "times forward\n",
                backward / forward);
  demo::create(path) << text;
}

}  // namespace

int main(int, char** arguments) {
  const std::string folder = arguments[1];
  crossing(folder + "/crossing.svg");
  ratio(folder + "/measured.txt");
}
