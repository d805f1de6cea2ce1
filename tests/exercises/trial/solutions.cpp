// The lines that a verdict has to name are marked: // HERE n.
#include "exercises.hpp"

#include <mamba2/tensor.hpp>

#include <algorithm>
#include <cstddef>
#include <stdexcept>
#include <vector>

namespace exercises {

volatile int sink = 0;

void out_of_range() {
  const std::vector<int> v(3);
  sink = v.at(5);  // HERE 1
}

void null_pointer() {
  volatile int* p = nullptr;
  sink = 1;
  *p = 1;  // HERE 2
}

void endless() {
  for (;;) sink = sink + 1;  // HERE 3
}

int recursion(int n) {
  return n == -7 ? 0 : n + recursion(n + 1);  // HERE 4
}

void throws_number() {
  throw 5;  // HERE 5
}

int divides(int n) {
  return 5 / n;  // HERE 6
}

void too_much() {
  std::vector<double> v;
  v.reserve(static_cast<std::size_t>(-1) / 64);  // HERE 7
  sink = static_cast<int>(v.capacity());
}

double tensor_index() {
  const mamba2::Tensor<double, 2> t({2, 3});
  return t(1, 3 + sink);  // HERE 8
}

namespace {

int check(int value) {
  if (value > 1) throw std::runtime_error("more than one");  // HERE 9
  return value;
}

}  // namespace

void from_within() {
  std::vector<int> v = {3, 1, 2};
  try {
    sink = v.at(7);
  } catch (const std::exception&) {
    sink = 0;  // an exception that is caught is none
  }
  std::sort(v.begin(), v.end(), [](int a, int b) { return check(a) < check(b); });
}

void wrong_number(int& result) {
  result = 1;
}

}  // namespace exercises
