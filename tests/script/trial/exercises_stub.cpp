#include "exercises.hpp"

#include <exercises/not_implemented.hpp>

namespace exercises {

double half_life(double A, double dt) {
  throw exercises::not_implemented(1);
}

mamba2::Tensor<double, 2> outer(const mamba2::Tensor<double, 1>& a, const mamba2::Tensor<double, 1>& b) {
  throw exercises::not_implemented(2);
}

}  // namespace exercises
