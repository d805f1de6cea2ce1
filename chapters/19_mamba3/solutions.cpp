// Our solutions.
#include "exercises.hpp"

#include <cmath>
#include <numbers>

namespace exercises {

//: 1
mamba2::Tensor<double, 2> trapezoid_mask(const std::vector<double>& a, const std::vector<double>& now,
                                         const std::vector<double>& next) {
  auto M = mamba2::zeros<double>(a.size(), a.size());
  for (std::size_t j = 0; j < a.size(); ++j) {
    double log_decay = 0;
    M(j, j) = now[j];
    for (std::size_t i = j + 1; i < a.size(); ++i) {
      log_decay += a[i];
      M(i, j) = std::exp(log_decay) * (now[j] + next[j]);
    }
  }
  return M;
}
//: end

//: 2
mamba2::Tensor<double, 2> count_by_turning(const std::vector<int>& tokens, std::size_t k) {
  auto points = mamba2::zeros<double>(tokens.size(), 2);
  double angle = 0;
  for (std::size_t t = 0; t < tokens.size(); ++t) {
    angle += tokens[t] * 2 * std::numbers::pi / static_cast<double>(k);
    points(t, 0) = std::cos(angle);
    points(t, 1) = std::sin(angle);
  }
  return points;
}
//: end

//: 3
std::vector<double> angle_gradient(const mamba2::Tensor<double, 2>& x, const std::vector<double>& phi,
                                   const std::vector<double>& dt, const mamba2::Tensor<double, 2>& dy) {
  std::vector<double> asked(phi.size()), dphi(phi.size());
  double theta = 0;
  for (std::size_t t = 0; t < phi.size(); ++t) {
    theta += std::numbers::pi * std::tanh(phi[t]) * dt[t];
    const double y0 = std::cos(theta) * x(t, 0) - std::sin(theta) * x(t, 1);
    const double y1 = std::sin(theta) * x(t, 0) + std::cos(theta) * x(t, 1);
    asked[t] = y0 * dy(t, 1) - y1 * dy(t, 0);
  }
  double later = 0;  // of this token and all that follow
  for (std::size_t t = phi.size(); t-- > 0;) {
    later += asked[t];
    const double slope = 1 - std::tanh(phi[t]) * std::tanh(phi[t]);
    dphi[t] = std::numbers::pi * slope * dt[t] * later;
  }
  return dphi;
}
//: end

}  // namespace exercises
