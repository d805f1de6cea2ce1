#include "exercises.hpp"

#include <exercises/grader.hpp>

GRADE(1, "how long until half is forgotten") {
  grader::expect_close(exercises::half_life(-1.0, 0.5), 1.386294361119891, "the half life for A = -1, dt = 0.5");
}

GRADE(2, "an outer product: three by two") {
  const mamba2::Tensor<double, 1> a{1, 2, 3}, b{4, 5};
  const mamba2::Tensor<double, 2> expected{{4, 5}, {8, 10}, {12, 15}};
  grader::given("a", a, "b", b, "large", mamba2::zeros<double>(5, 6));
  grader::expect_close(exercises::outer(a, b), expected, "a bᵀ");
}
