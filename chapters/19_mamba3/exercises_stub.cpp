// The exercises: replace each throw by your code, then run ./book check mamba3
#include "exercises.hpp"

#include <exercises/not_implemented.hpp>

namespace exercises {

// 1. The mask of the trapezoid, (T, T), for scores that are all 1: the decays between two tokens
// times what the earlier one adds in all; on the diagonal what a token adds of itself.
mamba2::Tensor<double, 2> trapezoid_mask(const std::vector<double>& a, const std::vector<double>& now,
                                         const std::vector<double>& next) {
  throw not_implemented(1);
}

// 2. The point after each token, (T, 2): it starts at (1, 0), and each 1 turns it by 2 pi / k, from
// the first axis to the second.
mamba2::Tensor<double, 2> count_by_turning(const std::vector<int>& tokens, std::size_t k) {
  throw not_implemented(2);
}

// 3. y_t is x_t turned by theta_t, and theta_t = theta_(t-1) + pi tanh(phi_t) dt_t. Given dy, what
// is the gradient of phi?
std::vector<double> angle_gradient(const mamba2::Tensor<double, 2>& x, const std::vector<double>& phi,
                                   const std::vector<double>& dt, const mamba2::Tensor<double, 2>& dy) {
  throw not_implemented(3);
}

}  // namespace exercises
