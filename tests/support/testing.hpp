// What the tests of the library share: golden data, random tensors, errors of results.
#pragma once

#include <mamba2/error.hpp>
#include <mamba2/tensor.hpp>
#include <support/catch.hpp>

#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <limits>
#include <string>
#include <type_traits>

namespace testing {

inline std::filesystem::path golden_path(const std::string& folder) {
  return std::filesystem::path(GOLDEN_DIR) / folder;
}

inline bool has_golden(const std::string& folder, const std::string& name) {
  return std::filesystem::exists(golden_path(folder) / (name + ".npy"));
}

// load_golden<double, 4>("ssd/ragged_length", "x"): the array of tests/golden/ssd/ragged_length/x.npy. The files hold float64
// or, for whole numbers, int64; the values are converted to T. The number of axes must be N.
template <class T, std::size_t N>
mamba2::Tensor<T, N> load_golden(const std::string& folder, const std::string& name) {
  using Stored = std::conditional_t<std::is_integral_v<T>, std::int64_t, double>;
  const std::string file = (golden_path(folder) / (name + ".npy")).string();
  const xt::xarray<Stored> stored = xt::load_npy<Stored>(file);
  if (stored.dimension() != N)
    throw mamba2::FileError(file + ": expected " + std::to_string(N) + " axes, got shape " +
                            mamba2::shape_text(stored.shape()));
  std::array<std::size_t, N> shape;
  for (std::size_t axis = 0; axis < N; ++axis) shape[axis] = stored.shape(axis);
  mamba2::Tensor<T, N> tensor(shape);
  for (std::size_t i = 0; i < tensor.size(); ++i) tensor.data()[i] = static_cast<T>(stored.data()[i]);
  return tensor;
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

// ‖got − want‖ / ‖want‖ over all entries, in double: 0 for equal tensors, infinite for other shapes, for NaN, and where all of
// want is zero and got is not.
template <class A, class B, std::size_t N>
double relative_error(const mamba2::Tensor<A, N>& got, const mamba2::Tensor<B, N>& want) {
  constexpr double infinity = std::numeric_limits<double>::infinity();
  if (got.shape() != want.shape()) return infinity;
  double difference = 0, size = 0;
  for (std::size_t i = 0; i < want.size(); ++i) {
    const double d = static_cast<double>(got.data()[i]) - static_cast<double>(want.data()[i]);
    const double w = static_cast<double>(want.data()[i]);
    difference += d * d;
    size += w * w;
  }
  if (difference == 0) return 0;
  const double error = std::sqrt(difference / size);
  return std::isnan(error) ? infinity : error;
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
