// The example that runs through Part I, introduced in chapter `state_space`: two buckets and six tokens.
#pragma once

#include <mamba2/tensor.hpp>

#include <array>

namespace demo {

//: six_tokens
// One channel, two states: the buckets a and b. Each token names a bucket. It opens a tap into it
// for a while, or only looks how much is in it, which takes no time.
struct SixTokens {
  std::array<const char*, 6> says{"pour a", "pour b", "look a", "pour a", "look b", "look a"};
  mamba2::Tensor<double, 2> x{{8}, {12}, {0}, {3}, {0}, {0}};  // how far the tap is open
  mamba2::Tensor<double, 1> dt{1, 1, 0, 2, 0, 0};              // how long the step takes
  double A = -0.69314718055994531;                             // -ln 2: half is lost in one unit of time
  mamba2::Tensor<double, 2> B{{1, 0}, {0, 1}, {1, 0}, {1, 0}, {0, 1}, {1, 0}};  // where to write
  mamba2::Tensor<double, 2> C = B;                                              // where to read
};
//: end

}  // namespace demo
