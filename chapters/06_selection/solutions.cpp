// Our solutions.
#include "exercises.hpp"

#include <mamba2/activation.hpp>
#include <mamba2/selection.hpp>
#include <mamba2/ssm.hpp>

#include <cmath>

namespace exercises {

//: 1
double bias_for_half_life(double A, double tokens) {
  const double dt = std::log(2.0) / (-A * tokens);  // e^(tokens dt A) = 1/2
  return mamba2::inverse_softplus(dt);
}
//: end

//: 2
Tensor<double, 1> gated_recurrence(const Tensor<double, 1>& x, const Tensor<double, 1>& z, double h0) {
  Tensor<double, 1> states = mamba2::zeros<double>(x.size());
  double h = h0;
  for (std::size_t t = 0; t < x.size(); ++t) {
    const auto [A_bar, B_bar] =
        mamba2::discretize_zero_order_hold(/* A = */ -1.0, mamba2::softplus(z(t)));
    h = A_bar * h + B_bar * x(t);
    states(t) = h;
  }
  return states;
}
//: end

//: 3
Tensor<double, 2> selective_scan_from(const Tensor<double, 2>& x, const Tensor<double, 2>& dt,
                                      const Tensor<double, 2>& A, const Tensor<double, 2>& B,
                                      const Tensor<double, 2>& C, const Tensor<double, 1>& D,
                                      Tensor<double, 2>& state) {
  Tensor<double, 2> y(x.shape());
  for (std::size_t t = 0; t < x.shape(0); ++t) {
    for (std::size_t d = 0; d < x.shape(1); ++d) {
      y(t, d) = D(d) * x(t, d);
      for (std::size_t n = 0; n < A.shape(1); ++n) {
        state(d, n) = std::exp(dt(t, d) * A(d, n)) * state(d, n) + dt(t, d) * B(t, n) * x(t, d);
        y(t, d) += C(t, n) * state(d, n);
      }
    }
  }
  return y;
}
//: end

//: 4
Untied untie(const Tensor<double, 1>& A_log, const Tensor<double, 1>& dt_bias,
             const Tensor<double, 2>& dt, std::size_t headdim, std::size_t d_state) {
  const std::size_t seqlen = dt.shape(0), d_inner = dt.shape(1) * headdim;
  Untied untied{mamba2::zeros<double>(d_inner, d_state), mamba2::zeros<double>(seqlen, d_inner)};
  for (std::size_t d = 0; d < d_inner; ++d) {
    const std::size_t h = d / headdim;  // the channels of a head are neighbours
    for (std::size_t n = 0; n < d_state; ++n) untied.A(d, n) = -std::exp(A_log(h));
    for (std::size_t t = 0; t < seqlen; ++t) untied.dt(t, d) = mamba2::softplus(dt(t, h) + dt_bias(h));
  }
  return untied;
}
//: end

}  // namespace exercises
