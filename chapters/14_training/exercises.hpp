// The exercises of this chapter.
#pragma once

#include <mamba2/language_model.hpp>
#include <mamba2/random.hpp>
#include <mamba2/tensor.hpp>

#include <cstddef>
#include <cstdint>
#include <vector>

namespace exercises {

using mamba2::Tensor;

// 1. The learning rate of a step, from 0, of `steps` in all: in a straight line up to `peak`, which the last of the `warmup` first
// steps has; level; and in the last `decay` steps in a straight line down, so that the last step of all has peak / decay.
double trapezoid(std::size_t step, std::size_t steps, std::size_t warmup, std::size_t decay,
                 double peak);

// 2. One step of AdamW for several parameters, clipped together. All tensors of a parameter are equally long.
struct Parameter {
  Tensor<double, 1> value, gradient, mean, square;
  bool decays;
};
struct Options {
  double rate, beta1, beta2, eps, weight_decay;
  double clip_norm;  // the most that all gradients, taken as one vector, may be long
};
//   step:       from 1
//   parameters: value, mean and square change
void adamw(std::vector<Parameter>& parameters, std::size_t step, const Options& options);

// 3. The gradient of the mean loss over all places of some batches, each of which gives the gradient of its own mean.
struct Part {
  Tensor<double, 1> gradient;  // of the mean loss over the places of this batch
  std::size_t places;          // how many it has, at least 1
};
Tensor<double, 1> accumulate(const std::vector<Part>& parts);

// 4. A task of your own, and a model that has learnt it.
struct Sequence {
  std::vector<std::int64_t>
      tokens;  // from 0, below the model's vocab_size; 2 to 64 of them, the same number in each sequence
  std::vector<bool> known;  // for each token: whether it can be known from those before it
};
Sequence draw(mamba2::Random& random);
mamba2::LanguageModel<float> teach();

}  // namespace exercises
