// The exercises: replace each throw by your code, then run ./book check training
#include "exercises.hpp"

#include <exercises/not_implemented.hpp>
#include <mamba2/training.hpp>

namespace exercises {

// 1. Up in a straight line, level, down in a straight line.
double trapezoid(std::size_t step, std::size_t steps, std::size_t warmup, std::size_t decay,
                 double peak) {
  throw not_implemented(1);
}

// 2. Clip, then one step of AdamW for each parameter.
void adamw(std::vector<Parameter>& parameters, std::size_t step, const Options& options) {
  throw not_implemented(2);
}

// 3. From gradients of means to the gradient of the mean of all.
Tensor<double, 1> accumulate(const std::vector<Part>& parts) {
  throw not_implemented(3);
}

// 4. A sequence of your task. Some of its tokens can be known from those before, others cannot.
Sequence draw(mamba2::Random& random) {
  throw not_implemented(4);
}

// 4. A model that has learnt the task, in a few seconds.
mamba2::LanguageModel<float> teach() {
  throw not_implemented(4);
}

}  // namespace exercises
