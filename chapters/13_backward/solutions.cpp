// Our solutions.
#include "exercises.hpp"

#include <mamba2/activation.hpp>
#include <mamba2/chunked_scan.hpp>

#include <algorithm>
#include <cmath>
#include <vector>

namespace exercises {

using namespace mamba2;

//: 1
HoldGradient hold_gradient(double A, double dt, double dA_bar, double dB_bar) {
  const double A_bar = std::exp(dt * A), B_bar = std::expm1(dt * A) / A;
  return {.A = dt * A_bar * dA_bar + (dt * A_bar - B_bar) / A * dB_bar,
          .dt = A * A_bar * dA_bar + A_bar * dB_bar};
}
//: end

//: 2
NormGradient norm_gradient(const Tensor<double, 1>& y, const Tensor<double, 1>& z,
                           const Tensor<double, 1>& weight, std::size_t groups, double eps,
                           const Tensor<double, 1>& dout) {
  NormGradient gradient{y, z, weight};
  const std::size_t width = y.size() / groups;
  const auto features = static_cast<double>(width);
  for (std::size_t first = 0; first < y.size(); first += width) {
    double square = 0, along = 0;
    for (std::size_t i = first; i < first + width; ++i) {
      const double u = y(i) * silu(z(i));
      square += u * u;
      along += u * weight(i) * dout(i);
    }
    const double r2 = square / features + eps, r = std::sqrt(r2);
    for (std::size_t i = first; i < first + width; ++i) {
      const double sigma = 1 / (1 + std::exp(-z(i))), gate = z(i) * sigma, u = y(i) * gate;
      const double du = (weight(i) * dout(i) - u / r2 * along / features) / r;
      gradient.y(i) = gate * du;
      gradient.z(i) = y(i) * (sigma + gate * (1 - sigma)) * du;
      gradient.weight(i) = u / r * dout(i);
    }
  }
  return gradient;
}
//: end

//: 3
HeadGradient head_gradient(const Tensor<double, 2>& x, const Tensor<double, 1>& dt, double A,
                           const Tensor<double, 2>& dX, const Tensor<double, 1>& da) {
  HeadGradient gradient{x, dt, 0};
  for (std::size_t t = 0; t < dt.size(); ++t) {
    gradient.A += dt(t) * da(t);
    gradient.dt(t) = A * da(t);
    for (std::size_t p = 0; p < x.shape(1); ++p) {
      gradient.dt(t) += x(t, p) * dX(t, p);
      gradient.x(t, p) = dt(t) * dX(t, p);
    }
  }
  return gradient;
}
//: end

//: 4
Tensor<double, 1> decay_gradient(const Tensor<double, 2>& X, const Tensor<double, 2>& dX,
                                 const Tensor<double, 2>& Y, const Tensor<double, 2>& dY,
                                 const Tensor<double, 2>& state, const Tensor<double, 2>& dstate) {
  auto gradient = zeros<double>(X.shape(0));
  double crossing = 0;
  for (std::size_t i = 0; i < state.size(); ++i) crossing += state.data()[i] * dstate.data()[i];
  for (std::size_t t = X.shape(0); t-- > 0;) {
    for (std::size_t p = 0; p < X.shape(1); ++p) crossing += Y(t, p) * dY(t, p) - X(t, p) * dX(t, p);
    gradient(t) = crossing;
  }
  return gradient;
}
//: end

//: 5
Tensor<double, 3> state_gradients(const Tensor<double, 1>& dA, const Tensor<double, 2>& C,
                                  const Tensor<double, 2>& dY, const Tensor<double, 2>& dlast,
                                  std::size_t chunk_size) {
  const std::size_t seqlen = dA.size(), P = dlast.shape(0), N = dlast.shape(1);
  const std::size_t chunks = (seqlen + chunk_size - 1) / chunk_size;
  auto states = zeros<double>(chunks + 1, P, N);
  std::copy(dlast.begin(), dlast.end(), &states(chunks, 0, 0));
  for (std::size_t k = chunks; k-- > 0;) {
    const std::size_t first = k * chunk_size, length = std::min(chunk_size, seqlen - first);
    const Tensor<double, 1> left = decay_from_start(as_span(dA).subspan(first, length));
    const auto dY_faded = scale_rows<double>(left, row_block(as_matrix(dY), first, length));
    const MatrixRef<double> before{&states(k, 0, 0), P, N, N};
    multiply<double>(transpose(as_matrix(dY_faded)), row_block(as_matrix(C), first, length), 0, before);
    for (std::size_t p = 0; p < P; ++p)
      for (std::size_t n = 0; n < N; ++n) before(p, n) += left(length - 1) * states(k + 1, p, n);
  }
  return states;
}
//: end

//: 6
// The trapezoid: half of each input is poured in before the state fades over the next step, and
// half after. h_t = e^(a_t) (h_(t-1) + X_(t-1) B_(t-1) / 2) + X_t B_t / 2.
static Tensor<double, 2> poured(const OwnInput& in) {
  auto half = in.B;  // X_t B_t / 2
  for (std::size_t t = 0; t < half.shape(0); ++t)
    for (std::size_t n = 0; n < half.shape(1); ++n) half(t, n) = in.X(t) * in.B(t, n) / 2;
  return half;
}

static Tensor<double, 2> states(const OwnInput& in) {
  const Tensor<double, 2> half = poured(in);
  auto h = half;
  for (std::size_t t = 1; t < h.shape(0); ++t)
    for (std::size_t n = 0; n < h.shape(1); ++n)
      h(t, n) += std::exp(in.a(t)) * (h(t - 1, n) + half(t - 1, n));
  return h;
}

Tensor<double, 1> own_scan(const OwnInput& in) {
  const Tensor<double, 2> h = states(in);
  auto y = zeros<double>(h.shape(0));
  for (std::size_t t = 0; t < h.shape(0); ++t)
    for (std::size_t n = 0; n < h.shape(1); ++n) y(t) += in.C(t, n) * h(t, n);
  return y;
}

OwnInput own_scan_gradient(const OwnInput& in, const Tensor<double, 1>& dy) {
  const Tensor<double, 2> half = poured(in), h = states(in);
  const std::size_t T = h.shape(0), N = h.shape(1);
  OwnInput gradient{zeros<double>(T), zeros<double>(T), zeros<double>(T, N), zeros<double>(T, N)};
  std::vector<double> later(N, 0.0);  // what later tokens ask of h_t, and of the half that waits
  for (std::size_t t = T; t-- > 0;) {
    const double decay = std::exp(in.a(t));
    for (std::size_t n = 0; n < N; ++n) {
      gradient.C(t, n) = h(t, n) * dy(t);
      const double dh = later[n] + in.C(t, n) * dy(t);
      const double dhalf = dh + later[n];  // poured now, and waiting for the next step
      gradient.X(t) += dhalf * in.B(t, n) / 2;
      gradient.B(t, n) = dhalf * in.X(t) / 2;
      if (t > 0) gradient.a(t) += dh * decay * (h(t - 1, n) + half(t - 1, n));
      later[n] = decay * dh;
    }
  }
  return gradient;
}
//: end

}  // namespace exercises
