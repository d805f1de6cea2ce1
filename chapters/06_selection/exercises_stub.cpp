// The exercises: replace each throw by your code, then run ./book check selection
#include "exercises.hpp"

#include <exercises/not_implemented.hpp>
#include <mamba2/activation.hpp>
#include <mamba2/selection.hpp>
#include <mamba2/ssm.hpp>

#include <cmath>

namespace exercises {

// 1. The dt_bias with which a head of rate A has forgotten half of a token after that many more of
// them. The tokens themselves add nothing to the raw step size.
double bias_for_half_life(double A, double tokens) {
  throw exercises::not_implemented(1);
}

// 2. h_t = (1 - sigma(z_t)) h_{t-1} + sigma(z_t) x_t, with mamba2::softplus and
// mamba2::discretize_zero_order_hold. No logistic function. Return all h_t.
Tensor<double, 1> gated_recurrence(const Tensor<double, 1>& x, const Tensor<double, 1>& z, double h0) {
  throw exercises::not_implemented(2);
}

// 3. Mamba-1's selective scan of one sequence, from the given state.
//      Leave the last state behind in `state`, return the outputs.
Tensor<double, 2> selective_scan_from(const Tensor<double, 2>& x, const Tensor<double, 2>& dt,
                                      const Tensor<double, 2>& A, const Tensor<double, 2>& B,
                                      const Tensor<double, 2>& C, const Tensor<double, 1>& D,
                                      Tensor<double, 2>& state) {
  throw exercises::not_implemented(3);
}

// 4. The rates of heads for each channel and state, and their step sizes for each channel.
//      Mamba-1's scan with them must give what Mamba-2's operator gives.
Untied untie(const Tensor<double, 1>& A_log, const Tensor<double, 1>& dt_bias,
             const Tensor<double, 2>& dt, std::size_t headdim, std::size_t d_state) {
  throw exercises::not_implemented(4);
}

}  // namespace exercises
