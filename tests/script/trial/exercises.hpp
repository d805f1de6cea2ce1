// The exercises of the trial chapter.
#pragma once

#include <mamba2/tensor.hpp>

namespace exercises {

// The time after which half of a state that decays at rate A, in steps of dt, is left.
double half_life(double A, double dt);

// a bᵀ.
mamba2::Tensor<double, 2> outer(const mamba2::Tensor<double, 1>& a, const mamba2::Tensor<double, 1>& b);

}  // namespace exercises
