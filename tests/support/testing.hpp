// What the tests of the library share: golden data, random tensors, errors of results.
#pragma once

#include <mamba2/error.hpp>
#include <mamba2/tensor.hpp>
#include <support/catch.hpp>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <limits>
#include <string>
#include <type_traits>
#include <vector>

namespace testing {

std::filesystem::path golden_path(const std::string& folder);
bool has_golden(const std::string& folder, const std::string& name);

// An array of a file in NumPy's format, row-major.
template <class T>
struct Array {
  std::vector<std::size_t> shape;
  std::vector<T> values;
};
// read_npy<float>(path): for double, float and std::int64_t; the file has to hold that type.
template <class T>
Array<T> read_npy(const std::filesystem::path& path);

// An array as a tensor of as many axes, its values converted.
template <class T, std::size_t N, class Stored>
mamba2::Tensor<T, N> tensor_from(const std::string& name, const Array<Stored>& array) {
  if (array.shape.size() != N)
    throw mamba2::FileError(name + ": expected " + std::to_string(N) + " axes, got shape " +
                            mamba2::shape_text(array.shape));
  std::array<std::size_t, N> shape{};
  std::copy(array.shape.begin(), array.shape.end(), shape.begin());
  mamba2::Tensor<T, N> tensor(shape);
  for (std::size_t i = 0; i < tensor.size(); ++i) tensor.data()[i] = static_cast<T>(array.values[i]);
  return tensor;
}

// load_golden<double, 4>("ssd/ragged_length", "x"): the array of tests/golden/ssd/ragged_length/x.npy. The files hold float64
// or, for whole numbers, int64; the values are converted to T. The number of axes must be N.
template <class T, std::size_t N>
mamba2::Tensor<T, N> load_golden(const std::string& folder, const std::string& name) {
  using Stored = std::conditional_t<std::is_integral_v<T>, std::int64_t, double>;
  const auto file = golden_path(folder) / (name + ".npy");
  return tensor_from<T, N>(file.string(), read_npy<Stored>(file));
}

// The numbers 0, 1, 2, ... of a fixed sequence that looks random: the same on every machine (SplitMix64).
class Random {
 public:
  explicit Random(std::uint64_t seed) : state_(seed) {}

  // Uniform in [low, high).
  double uniform(double low = -1, double high = 1) {
    std::uint64_t z = (state_ += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    z ^= z >> 31;
    return low + (high - low) * (static_cast<double>(z >> 11) * 0x1p-53);
  }

 private:
  std::uint64_t state_;
};

// A tensor of that shape, its entries uniform in [low, high), the same at every call.
template <class Real, std::size_t N>
mamba2::Tensor<Real, N> random_tensor(const std::array<std::size_t, N>& shape, std::uint64_t seed, double low = -1,
                                      double high = 1) {
  Random random(seed);
  mamba2::Tensor<Real, N> tensor(shape);
  for (auto& entry : tensor) entry = static_cast<Real>(random.uniform(low, high));
  return tensor;
}

// A tensor in another precision.
template <class To, class From, std::size_t N>
mamba2::Tensor<To, N> convert(const mamba2::Tensor<From, N>& from) {
  mamba2::Tensor<To, N> to(from.shape());
  for (std::size_t i = 0; i < from.size(); ++i) to.data()[i] = static_cast<To>(from.data()[i]);
  return to;
}

// Same shape, same numbers. (Catch cannot take a tensor's == apart.)
template <class A, class B>
bool same(const A& a, const B& b) {
  return a.shape() == b.shape() && std::equal(a.begin(), a.end(), b.begin());
}

// ‖got − want‖ / ‖want‖ over all entries, in double: 0 for equal tensors, infinite where all of want is zero and got is not. For
// tensors of other shapes, and where one of them holds a NaN, it is NaN: neither below nor above anything.
template <class A, class B, std::size_t N>
double relative_error(const mamba2::Tensor<A, N>& got, const mamba2::Tensor<B, N>& want) {
  if (got.shape() != want.shape()) return std::numeric_limits<double>::quiet_NaN();
  double difference = 0, size = 0;
  for (std::size_t i = 0; i < want.size(); ++i) {
    const double d = static_cast<double>(got.data()[i]) - static_cast<double>(want.data()[i]);
    const double w = static_cast<double>(want.data()[i]);
    difference += d * d;
    size += w * w;
  }
  return difference == 0 ? 0 : std::sqrt(difference / size);
}

// The relative error that each type is held to, against the golden data.
template <class Real>
constexpr double golden_tolerance = std::is_same_v<Real, float> ? 2e-5 : 1e-12;
template <class Real>
constexpr double gradient_tolerance = std::is_same_v<Real, float> ? 1e-4 : 1e-10;

// The message of the Exception that the call throws; fails the test if it throws none or another.
template <class Exception, class Call>
std::string message_of(Call&& call) {
  try {
    call();
  } catch (const Exception& error) {
    return error.what();
  }
  FAIL("no exception was thrown");
  return "";
}

}  // namespace testing
