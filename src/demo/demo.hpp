// What the programs of the chapters share: test data, differences, verdicts. Introduced in chapter `state_space`.
#pragma once

#include <mamba2/tensor.hpp>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <string>

namespace demo {

//: random
// Numbers without a pattern, the same on every machine: multiply, add, keep the upper bits.
class Random {
 public:
  explicit Random(std::uint64_t seed = 1) : state_(seed) {}

  double operator()(double low = -1, double high = 1) {  // in [low, high)
    state_ = state_ * 6364136223846793005u + 1442695040888963407u;
    return low + (high - low) * static_cast<double>(state_ >> 11) * 0x1p-53;
  }

 private:
  std::uint64_t state_;
};

// Each entry of a tensor drawn anew.
template <class AnyTensor>
void fill(AnyTensor& tensor, Random& random, double low = -1, double high = 1) {
  for (auto& entry : tensor) entry = static_cast<typename AnyTensor::value_type>(random(low, high));
}
//: end

// A tensor of random numbers: random_tensor<double>({45, 3}, random).
template <class Real, std::size_t N>
mamba2::Tensor<Real, N> random_tensor(const std::size_t (&sizes)[N], Random& random, double low = -1, double high = 1) {
  std::array<std::size_t, N> shape{};
  std::copy(sizes, sizes + N, shape.begin());
  mamba2::Tensor<Real, N> tensor(shape);
  fill(tensor, random, low, high);
  return tensor;
}

inline constexpr double infinity = std::numeric_limits<double>::infinity();

//: agree
// The largest difference of two entries. Infinite for other shapes, and where one of the two is not a number.
template <class A, class B>
double difference(const A& a, const B& b) {
  if (!std::equal(a.shape().begin(), a.shape().end(), b.shape().begin(), b.shape().end())) return infinity;
  double largest = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    const double one = std::abs(static_cast<double>(a.data()[i]) - static_cast<double>(b.data()[i]));
    if (std::isnan(one)) return infinity;
    largest = std::max(largest, one);
  }
  return largest;
}

// A text on one line: ends of lines as slashes, what cannot be shown as dots.
inline std::string visible(std::string text) {
  for (char& c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 32 || byte == 127) c = c == '\n' ? '/' : '.';
  }
  return text;
}

inline const char* yes(bool so) {
  return so ? "yes" : "no";
}

// Whether two results are equal but for rounding.
template <class A, class B>
const char* agree(const A& a, const B& b, double tolerance = 1e-12) {
  return yes(difference(a, b) < tolerance);
}
//: end

// The length of the difference beside the length of what it is held against, all entries taken as one vector.
template <class A, class B>
double relative_difference(const A& got, const B& want) {
  if (!std::equal(got.shape().begin(), got.shape().end(), want.shape().begin(), want.shape().end())) return infinity;
  double squares = 0, size = 0;
  for (std::size_t i = 0; i < want.size(); ++i) {
    const double one = static_cast<double>(got.data()[i]) - static_cast<double>(want.data()[i]);
    squares += one * one;
    size += static_cast<double>(want.data()[i]) * static_cast<double>(want.data()[i]);
  }
  return std::sqrt(squares / size);
}

}  // namespace demo
