// The exercises of this chapter.
#pragma once

#include <mamba2/tensor.hpp>

#include <cstddef>

namespace exercises {

using mamba2::Tensor;

// 1. The gradients of a rate and a step size.
struct HoldGradient {
  double A = 0;
  double dt = 0;
};

// The adjoint of discretize_zero_order_hold(), A_bar = e^(dt A) and B_bar = (e^(dt A) - 1) / A.
//   A < 0, dt: where the derivatives are taken
//   dA_bar, dB_bar: gradients of the two results
HoldGradient hold_gradient(double A, double dt, double dA_bar, double dB_bar);

// 2. The gradients of what a gated norm reads.
struct NormGradient {
  Tensor<double, 1> y, z, weight;  // (features)
};

// The adjoint of the norm with the gate before it, for one token: u = y silu(z), out = weight u / r.
// Each group of features / groups neighbours has an r of its own, the root of mean(u^2) + eps.
//   y, z, weight: (features); dout: gradient of out, (features)
NormGradient norm_gradient(const Tensor<double, 1>& y, const Tensor<double, 1>& z,
                           const Tensor<double, 1>& weight, std::size_t groups, double eps,
                           const Tensor<double, 1>& dout);

// 3. The gradients of one head's inputs, step sizes and rate.
struct HeadGradient {
  Tensor<double, 2> x;   // (seqlen, headdim)
  Tensor<double, 1> dt;  // (seqlen)
  double A = 0;
};

// Back through X = dt x and a = dt A.
//   x: (seqlen, headdim); dt: (seqlen); A: the rate
//   dX: gradient of X, (seqlen, headdim); da: gradient of the log-decays a, (seqlen)
HeadGradient head_gradient(const Tensor<double, 2>& x, const Tensor<double, 1>& dt, double A,
                           const Tensor<double, 2>& dX, const Tensor<double, 1>& da);

// 4. The gradient of each log-decay of a head that began in an empty state, (seqlen).
//   X, dX: inputs and their gradients, (seqlen, headdim)
//   Y, dY: outputs and their gradients, (seqlen, headdim)
//   state, dstate: the last state and its gradient, (headdim, d_state)
Tensor<double, 1> decay_gradient(const Tensor<double, 2>& X, const Tensor<double, 2>& dX,
                                 const Tensor<double, 2>& Y, const Tensor<double, 2>& dY,
                                 const Tensor<double, 2>& state, const Tensor<double, 2>& dstate);

// 5. The gradient of the state at each border of the chunks: before chunk 0, 1, ..., and after the
// last one, (chunks + 1, headdim, d_state). The last chunk may be shorter; no tokens: one state.
//   dA: log-decays, (seqlen); C: (seqlen, d_state); dY: gradient of the outputs, (seqlen, headdim)
//   dlast: gradient of the state after the last token, (headdim, d_state)
Tensor<double, 3> state_gradients(const Tensor<double, 1>& dA, const Tensor<double, 2>& C,
                                  const Tensor<double, 2>& dY, const Tensor<double, 2>& dlast,
                                  std::size_t chunk_size);

// 6. What a recurrence of one channel reads, and the gradient of it, in the same shapes.
struct OwnInput {
  Tensor<double, 1> X;  // (seqlen)
  Tensor<double, 1> a;  // log-decays, negative, (seqlen)
  Tensor<double, 2> B;  // (seqlen, d_state)
  Tensor<double, 2> C;  // (seqlen, d_state)
};

// A recurrence of your own, from whatever state you like: its outputs, (seqlen).
Tensor<double, 1> own_scan(const OwnInput& in);

// Its gradient. dy: gradient of the outputs, (seqlen)
OwnInput own_scan_gradient(const OwnInput& in, const Tensor<double, 1>& dy);

}  // namespace exercises
