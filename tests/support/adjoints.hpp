// What tests of gradients share: a backward pass against differences of the forward pass.
#pragma once

#include <support/testing.hpp>

#include <cmath>
#include <cstddef>
#include <functional>
#include <span>
#include <vector>

namespace testing {

// A function of some numbers and the adjoint that is claimed for it.
struct Adjoint {
  std::vector<std::span<double>> inputs;         // what the function reads; tests move it a little
  std::function<std::vector<double>()> forward;  // all outputs, of the inputs as they stand
  // For each input, the gradient of the sum of w times outputs.
  std::function<std::vector<std::vector<double>>(const std::vector<double>& w)> backward;
};

inline double dot(const std::vector<double>& a, const std::vector<double>& b) {
  double sum = 0;
  for (std::size_t i = 0; i < a.size(); ++i) sum += a[i] * b[i];
  return sum;
}

// ‖got − want‖ / ‖want‖.
inline double relative_difference(const std::vector<double>& got, const std::vector<double>& want) {
  std::vector<double> difference = got;
  for (std::size_t i = 0; i < want.size(); ++i) difference.at(i) -= want[i];
  return got.size() == want.size() && dot(difference, difference) == 0
             ? 0
             : std::sqrt(dot(difference, difference) / dot(want, want));
}

// The numbers of a tensor, to move or to keep.
template <class T>
std::span<double> numbers(T& tensor) {
  return {tensor.data(), tensor.size()};
}
template <class T>
std::vector<double> values(const T& tensor) {
  return {tensor.data(), tensor.data() + tensor.size()};
}
inline std::vector<double> joined(std::vector<double> a, const std::vector<double>& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

// The gradient of a loss by central differences, number by number.
template <class Loss>
std::vector<double> central_differences(std::span<double> numbers, const Loss& loss, double h = 1e-5) {
  std::vector<double> gradient;
  for (double& number : numbers) {
    const double here = number;
    number = here + h;
    const double above = loss();
    number = here - h;
    gradient.push_back((above - loss()) / (2 * h));
    number = here;
  }
  return gradient;
}

// The adjoint equals central differences in every number, and ⟨Jv, w⟩ = ⟨v, Jᵀw⟩ for a direction in all of them at once.
inline void check_adjoint(const Adjoint& a, double tolerance = 1e-8) {
  Random random(2026);
  std::vector<double> w(a.forward().size());
  for (double& weight : w) weight = random.uniform();
  const auto gradients = a.backward(w);
  REQUIRE(gradients.size() == a.inputs.size());
  for (std::size_t i = 0; i < a.inputs.size(); ++i) {
    CAPTURE(i);
    const auto want = central_differences(a.inputs[i], [&] { return dot(a.forward(), w); });
    CHECK(relative_difference(gradients[i], want) < tolerance);
  }

  std::vector<std::vector<double>> v;
  double backwards = 0;
  for (std::size_t i = 0; i < a.inputs.size(); ++i) {
    v.emplace_back(a.inputs[i].size());
    for (double& direction : v[i]) direction = random.uniform();
    backwards += dot(v[i], gradients[i]);
  }
  const auto along = [&](double step) {  // ⟨outputs, w⟩ where all inputs have moved a step in the direction v
    const auto move = [&](double by) {
      for (std::size_t i = 0; i < v.size(); ++i)
        for (std::size_t k = 0; k < v[i].size(); ++k) a.inputs[i][k] += by * v[i][k];
    };
    move(step);
    const double there = dot(a.forward(), w);
    move(-step);
    return there;
  };
  const double h = 1e-5, forwards = (along(h) - along(-h)) / (2 * h);
  CHECK(std::abs(forwards - backwards) < tolerance * (1 + std::abs(backwards)));
}

}  // namespace testing
