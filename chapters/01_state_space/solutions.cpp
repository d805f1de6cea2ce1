// Our solutions.
#include "exercises.hpp"

#include <cmath>
#include <limits>
#include <numbers>

namespace exercises {

using mamba2::zeros;

//: 1
// After k steps e^{k dt A} is left. Set it to 1/2 and solve for k.
double half_life(double A, double dt) {
  if (A == 0) return std::numeric_limits<double>::infinity();
  return -std::log(2.0) / (dt * A);
}
//: end

//: 2
// The factors on the state are those of the steps after j, up to and including i.
double matrix_entry(const Tensor<double, 1>& A_bar, const Tensor<double, 2>& B_bar,
                    const Tensor<double, 2>& C, std::size_t i, std::size_t j) {
  if (j > i) return 0;
  double entry = 0;
  for (std::size_t n = 0; n < B_bar.shape(1); ++n) entry += C(i, n) * B_bar(j, n);
  for (std::size_t k = j + 1; k <= i; ++k) entry *= A_bar(k);
  return entry;
}
//: end

//: 3
// A step of 0 keeps noise and questions out. What is stored must not erase what is there: so its
// step is tiny, too, and B makes up for it, since only their product is written.
Settings remember(const std::vector<Token>& tokens, double A) {
  const std::size_t T = tokens.size();
  const double step = 1e-6 / -A;  // erases a millionth
  Settings s{zeros<double>(T), zeros<double>(T, 3), zeros<double>(T, 3)};
  for (std::size_t t = 0; t < T; ++t) {
    const std::size_t name = tokens[t].name;
    if (tokens[t].wants == Wants::store) {
      s.dt(t) = step;
      s.B(t, name) = 1 / step;
    }
    if (tokens[t].wants == Wants::ask) s.C(t, name) = 1;
  }
  return s;
}
//: end

//: 4
// Two numbers are carried, one for each half-life. Each is a model of its own with one state: two
// heads, in Mamba-2's terms.
double two_half_lives(std::array<double, 2>& carried, double x, double a, double alpha, double b,
                      double beta) {
  carried[0] = a * carried[0] + x;
  carried[1] = b * carried[1] + x;
  return alpha * carried[0] + beta * carried[1];
}
//: end

//: 5
// The values with even indices and those with odd ones are transforms of half the length. An output
// of the whole is one of the first plus one of the second, turned by an angle of its own.
static void transform(std::vector<std::complex<double>>& values, double sign) {
  const std::size_t n = values.size();
  if (n == 1) return;
  std::vector<std::complex<double>> even(n / 2), odd(n / 2);
  for (std::size_t k = 0; k < n / 2; ++k) {
    even[k] = values[2 * k];
    odd[k] = values[2 * k + 1];
  }
  transform(even, sign);
  transform(odd, sign);
  for (std::size_t k = 0; k < n / 2; ++k) {
    const double angle = sign * 2 * std::numbers::pi * double(k) / double(n);
    const std::complex<double> turned = std::polar(1.0, angle) * odd[k];
    values[k] = even[k] + turned;
    values[k + n / 2] = even[k] - turned;
  }
}

std::vector<std::complex<double>> fourier(std::vector<std::complex<double>> values, bool inverse) {
  transform(values, inverse ? 1 : -1);
  if (inverse)
    for (auto& value : values) value /= double(values.size());
  return values;
}

// The transform's own convolution goes round in a circle. Zeros behind both keep the end of one
// from running into the beginning of the other.
Tensor<double, 1> convolve(const Tensor<double, 1>& x, const Tensor<double, 1>& K) {
  const std::size_t T = x.size();
  std::size_t room = 1;
  while (room < 2 * T) room *= 2;
  std::vector<std::complex<double>> a(room), b(room);
  for (std::size_t t = 0; t < T; ++t) {
    a[t] = x(t);
    b[t] = K(t);
  }
  a = fourier(a, false);
  b = fourier(b, false);
  for (std::size_t k = 0; k < room; ++k) a[k] *= b[k];
  a = fourier(a, true);
  auto y = zeros<double>(T);  // (seqlen)
  for (std::size_t t = 0; t < T; ++t) y(t) = a[t].real();
  return y;
}
//: end

}  // namespace exercises
