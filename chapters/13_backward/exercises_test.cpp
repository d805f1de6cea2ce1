// The grader of this chapter.
#include "exercises.hpp"

#include <exercises/grader.hpp>
#include <mamba2/activation_gradient.hpp>

GRADE(1, "a slope") {
  for (const double x : {0.0, -3.0, 7.5})
    grader::expect_close(exercises::slope(x), mamba2::softplus_derivative(x), "the slope");
}
