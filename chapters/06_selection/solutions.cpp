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
Hump hump(double slow, double fast) {
  // The difference of the two vanishes at 0. At its top slow e^(slow k) = fast e^(fast k).
  const double top = std::log(fast / slow) / (slow - fast);
  const double height = std::exp(slow * top) - std::exp(fast * top);
  return {.slow = 1 / height, .fast = -1 / height, .top = top};
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

//: 5
Register cash_register(const std::string& characters) {
  using mamba2::zeros;
  const std::size_t count = characters.size();
  Register r{.x = zeros<double>(count, 2),
             .dt = zeros<double>(count, 2),
             .B = zeros<double>(count),
             .C = Tensor<double, 1>({count}, 1.0),  // whoever does not ask need not listen
             .dt_bias = {-40, -40},                 // a step of 4e-18: nothing enters, nothing fades
             .A_log = {0, 0}};
  // A price must enter in full and let nothing fade: a step that is tiny, and a B that makes up for it.
  const double raw = 10, step = mamba2::softplus(raw - 40);
  for (std::size_t i = 0; i < count; ++i) {
    const char c = characters[i];
    if (c >= '0' && c <= '9') {
      r.x(i, 0) = r.x(i, 1) = c - '0';
      r.dt(i, 0) = r.dt(i, 1) = raw;
      r.B(i) = 1 / step;
    }
    if (c == 'n' || c == 'd') r.dt(i, c == 'd') = 80;  // a step of 40 clears: e^-40
  }
  return r;
}
//: end

}  // namespace exercises
