// ## Backwards {#mamba3_gradient}
//
// @Chapter{backward} ran the scan of Mamba-2 backwards, and nothing of that has to be derived
// again. A Mamba-3 block is that scan with altered inputs. So its gradient is the gradient of that
// scan, and then a chain back through the alterations: trapezoid, rotation, angles, norms, biases.
// Each link is short. We walk along them from the output to the input.

#include <mamba2/activation.hpp>
#include <mamba2/activation_gradient.hpp>
#include <mamba2/adjoints.hpp>
#include <mamba2/error.hpp>
#include <mamba2/mamba3_gradient.hpp>
#include <mamba2/scan_gradient.hpp>
#include <mamba2/ssd.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <numbers>
#include <span>
#include <utility>
#include <vector>

namespace mamba2 {
namespace {

template <class A, class B>
double dot(const A* a, const B* b, std::size_t count) {
  double sum = 0;
  for (std::size_t i = 0; i < count; ++i) sum += static_cast<double>(a[i]) * b[i];
  return sum;
}

template <class Real>
void add_times(double factor, const Real* from, std::size_t count, Real* to) {
  for (std::size_t i = 0; i < count; ++i) to[i] += static_cast<Real>(factor * from[i]);
}

// ### The trapezoid, backwards {#mamba3_gradient_trapezoid}
//
// The scan was given $X = (\gamma_t + \nu_t)\, V$, and then each token was put right
// (@eqref{eq:mamba3_put_right}), with a product of a weight, a score and an input for each pair of
// slots.
//
// Each factor's gradient is the product of the others, as in every product so far.

template <class Real>
void put_right_gradient(const TrapezoidHead<Real>& head, ReadMatrix<Real> dY,
                        const TrapezoidGradient<Real>& d) {
  const std::size_t R = head.rank, N = head.K.columns, P = head.V.columns;
  for (std::size_t t = 0; t < head.a.size(); ++t) {
    for (std::size_t i = 0; i < R * R; ++i) {
      const std::size_t r = t * R + i / R, s = t * R + i % R;
      const double w = s > r ? head.now[t] : -head.next[t];
      const double score = dot(head.Q[r], head.K[s], N), asked = dot(dY[r], head.V[s], P);
      add_times(w * score, dY[r], P, d.V[s]);
      add_times(w * asked, head.K[s], N, d.Q[r]);
      add_times(w * asked, head.Q[r], N, d.K[s]);
      if (s > r)
        d.now[t] += score * asked;
      else
        d.next[t] -= score * asked;
    }
  }
}

// The rest is the scan of @chapter{backward}. Only the first slot of a token decays; the others
// stand at the same moment. $\gamma$ and $\nu$ have been added before they were multiplied, so both
// receive the same.

/// What the scan is given, from what the head has.
template <class Real>
struct Slots {
  Tensor<Real, 2> X, dX;
  std::vector<Real> a;
  std::vector<double> da;
  explicit Slots(const TrapezoidHead<Real>& head)
      : X(zeros<Real>(head.V.rows, head.V.columns)), dX(X), a(head.V.rows, Real(0)), da(a.size(), 0.0) {
    for (std::size_t i = 0; i < a.size(); ++i) {
      const std::size_t t = i / head.rank;
      if (i % head.rank == 0) a[i] = static_cast<Real>(head.a[t]);
      add_times(head.now[t] + head.next[t], head.V[i], head.V.columns, &X(i, 0));
    }
  }
};

}  // namespace

template <class Real>
void trapezoid_gradient(const TrapezoidHead<Real>& head, ReadMatrix<Real> dY, std::size_t chunk_size,
                        MatrixRef<const double> before, MatrixRef<double> dstate,
                        const TrapezoidGradient<Real>& d) {
  if (head.a.empty()) return;
  put_right_gradient<Real>(head, dY, d);
  Slots<Real> slots(head);
  chunked_gradient<Real>({as_matrix(slots.X), slots.a, head.K, head.Q}, dY, chunk_size * head.rank,
                         before, dstate, {as_matrix(slots.dX), slots.da, d.K, d.Q});
  for (std::size_t i = 0; i < slots.a.size(); ++i) {
    const std::size_t t = i / head.rank, P = head.V.columns;
    const double weight = dot(&slots.dX(i, 0), head.V[i], P);
    d.now[t] += weight;
    d.next[t] += weight;
    add_times(head.now[t] + head.next[t], &slots.dX(i, 0), P, d.V[i]);
    if (i % head.rank == 0) d.a[t] += slots.da[i];
  }
}

namespace {

// ### The rotation, backwards {#mamba3_gradient_rotation}
//
// A rotation by $\theta$ takes a pair $(x, y)$ to $(x', y')$. Its adjoint is the rotation back, by
// $-\theta$: what the loss asks of $(x', y')$, turned back, is what it asks of $(x, y)$. And the
// angle itself? A little more of it moves $(x', y')$ at a right angle, in the direction $(-y',
// x')$. So
//
// $$ \nabla \theta = x'\, \nabla y' - y'\, \nabla x' . $$ {#eq:mamba3_angle_gradient}
//
// ::: keyidea
// The gradient of an angle is a cross product: how much of what is asked of the rotated pair points
// *round*, and not in or out. The decay $e^{a}$ has taken the other half, what points outwards.
// Together they are the gradient of one complex number.
// :::
//
// The code reads the rotated pair and needs no cosine for the second part.

/// From the gradient of a rotated row to that of the row, in place; adds to those of the angles.
template <class Real>
void rotation_gradient(const Mamba3Sizes& s, std::span<const double> angles, const Real* rotated,
                       Real* d, std::span<double> dangles) {
  for (std::size_t j = 0; j < angles.size(); ++j) {
    const auto [x, y] = rotated_pair(s, j);
    const double c = std::cos(angles[j]), sine = std::sin(angles[j]);
    const double dx = d[x], dy = d[y];
    dangles[j] += rotated[x] * dy - rotated[y] * dx;
    d[x] = static_cast<Real>(c * dx + sine * dy);
    d[y] = static_cast<Real>(c * dy - sine * dx);
  }
}

// ### Rates and angles, backwards {#mamba3_gradient_rates}
//
// The step size of a token is used four times: in the decay, in both weights, and in the angle. So
// its gradient has four terms. The angle is a running sum,
//
// $$ \theta_t = \theta_{t-1} + \pi \tanh(\phi_t)\, \Delta_t , $$
//
// and every later token is rotated by what this one has added. So the gradient of an increment is
// the sum of $\nabla \theta$ over this token and all that follow. It is a running sum as well, from
// the end.
//
// ::: warning
// Two sums are easily forgotten. All heads share the raw angles $\phi$, each with its own step
// size: $\nabla \phi$ is a sum over heads. And B and C of a token are rotated by the same angle:
// $\nabla \theta$ is a sum over both, and over the slots.
// :::

/// The slope of the rate of decay; 0 where the floor holds it.
double rate_derivative(const Mamba3Config& config, double raw) {
  const bool heavy = config.A_activation == RateActivation::heavy_tail;
  const double rate = heavy ? heavy_tail(raw) : softplus(raw);
  if (rate < config.A_floor) return 0;
  if (!heavy) return softplus_derivative(raw);
  return raw >= 0 ? 1 : rate * rate;
}

/// What the scan has found out about a head's tokens, on its way to what they were made from.
struct RateGradient {
  std::vector<double> a, now, next;
  Tensor<double, 2> angles;
  double first = 0;  // of what the first token adds of the one before it
};

template <class Real>
void rates_gradient(const Mamba3Pass<Real>& pass, const Mamba3Head<Real>& tokens, const RateGradient& d,
                    const Mamba3Columns<Real>& din, Mamba3Parameters<Real>& parameters) {
  const Mamba3Sizes& s = pass.sizes;
  const auto in = split_columns(s, as_matrix(pass.kept.projected));
  const std::size_t h = tokens.h;
  const Mamba3Stretch& where = tokens.where;
  std::vector<double> later(s.num_angles, 0.0);  // the sum from the end
  double dbias = 0;
  for (std::size_t t = where.count; t-- > 0;) {
    const std::size_t row = where.first + t;
    const double lambda = tokens.lambda[t], dt = tokens.dt[t];
    const double dprevious = t > 0 ? d.next[t - 1] : d.first;
    double ddt = tokens.A[t] * d.a[t] + lambda * d.now[t] + (1 - lambda) * dprevious;
    for (std::size_t j = 0; j < s.num_angles; ++j) {
      later[j] += d.angles(t, j);
      const double turn = std::tanh(static_cast<double>(in.angle(row, j)));
      ddt += std::numbers::pi * turn * later[j];
      din.angle(row, j) += static_cast<Real>(std::numbers::pi * (1 - turn * turn) * dt * later[j]);
    }
    const double draw = ddt * softplus_derivative(tokens.raw_dt[t]);
    dbias += draw;
    din.dt(row, h) = static_cast<Real>(draw);
    din.A(row, h) = static_cast<Real>(-dt * d.a[t] * rate_derivative(s.config, in.A(row, h)));
    din.trap(row, h) = static_cast<Real>(lambda * (1 - lambda) * dt * (d.now[t] - dprevious));
  }
  parameters.dt_bias(h) += static_cast<Real>(dbias);
}

// What the first token has added of the one before it goes the same way: to its weight.

template <class Real>
void before_gradient(const Mamba3Pass<Real>& pass, const Mamba3Head<Real>& tokens,
                     const Tensor<double, 2>& dstate, RateGradient& d,
                     Mamba3Parameters<Real>& parameters) {
  const Mamba3Sizes& s = pass.sizes;
  const std::size_t b = tokens.where.entry, h = tokens.h;
  for (std::size_t r = 0; r < s.rank; ++r)
    for (std::size_t i = 0; i < s.config.headdim; ++i) {
      const double asked = dot(&dstate(i, 0), &tokens.before->k_state(b, r, h, 0), s.config.d_state) *
                           tokens.before->v_state(b, h, i);
      d.first += asked * slot_weight(s, pass.parameters.mimo_x, h, r, i);
      if (s.config.is_mimo)
        parameters.mimo_x(h, r, i) += static_cast<Real>(asked * (1 - tokens.lambda[0]) * tokens.dt[0]);
    }
}

// ### One head {#mamba3_gradient_head}
//
// The parts in reverse order: skip, scan, rotation, biases, and the inputs' weights. The norms wait
// until all heads of a group have added what they ask of its B and C.

template <class Real>
void head_gradient(const Mamba3Pass<Real>& pass, const Mamba3Stretch& where, std::size_t h,
                   MatrixRef<const Real> dy, const Mamba3Columns<Real>& din,
                   Mamba3Parameters<Real>& parameters) {
  const Mamba3Sizes& s = pass.sizes;
  const std::size_t R = s.rank, N = s.config.d_state, P = s.config.headdim;
  const Mamba3Head<Real> tokens(s, pass.parameters, as_matrix(pass.kept.projected), where, pass.before,
                                h);
  const std::size_t group = group_of_head(h, s.nheads, s.config.ngroups);
  const MatrixRef<const Real> dY =
      column_block(row_block(dy, where.first * R, where.count * R), h * P, P);
  auto dV = zeros<Real>(where.count * R, P), dK = zeros<Real>(where.count * R, N), dQ = dK;
  RateGradient d{std::vector<double>(where.count), std::vector<double>(where.count),
                 std::vector<double>(where.count), zeros<double>(where.count, s.num_angles)};

  double dD = 0;
  for (std::size_t i = 0; i < dV.shape(0); ++i) {
    dD += dot(dY[i], &tokens.V(i, 0), P);
    add_times(pass.parameters.D(h), dY[i], P, &dV(i, 0));
  }
  parameters.D(h) += static_cast<Real>(dD);

  const Tensor<double, 2> before = xt::cast<double>(tokens.state);
  auto dstate = zeros<double>(P, N);
  trapezoid_gradient<Real>(tokens.scan(), dY, s.config.chunk_size, as_matrix(before), as_matrix(dstate),
                           {as_matrix(dV), as_matrix(dK), as_matrix(dQ), d.a, d.now, d.next});

  const auto in = split_columns(s, as_matrix(pass.kept.projected));
  for (std::size_t t = 0; t < where.count; ++t) {
    const std::span<const double> angles(tokens.angles.data() + t * s.num_angles, s.num_angles);
    const std::span<double> dangles(d.angles.data() + t * s.num_angles, s.num_angles);
    for (std::size_t r = 0; r < R; ++r) {
      const std::size_t slot = t * R + r, row = where.first + t,
                        place = (r * s.config.ngroups + group) * N;
      rotation_gradient<Real>(s, angles, &tokens.K(slot, 0), &dK(slot, 0), dangles);
      rotation_gradient<Real>(s, angles, &tokens.Q(slot, 0), &dQ(slot, 0), dangles);
      add_times(1, &dK(slot, 0), N, &parameters.B_bias(h, r, 0));
      add_times(1, &dQ(slot, 0), N, &parameters.C_bias(h, r, 0));
      add_times(1, &dK(slot, 0), N, &din.B(row, place));
      add_times(1, &dQ(slot, 0), N, &din.C(row, place));
      for (std::size_t i = 0; i < P; ++i) {
        din.x(row, h * P + i) += dV(slot, i) * slot_weight(s, pass.parameters.mimo_x, h, r, i);
        if (s.config.is_mimo) parameters.mimo_x(h, r, i) += dV(slot, i) * in.x(row, h * P + i);
      }
    }
  }
  if (tokens.before && where.count > 0) before_gradient(pass, tokens, dstate, d, parameters);
  rates_gradient(pass, tokens, d, din, parameters);
}

// ### Gate and norms, backwards {#mamba3_gradient_gate}

template <class Real>
void gate_gradient(const Mamba3Pass<Real>& pass, MatrixRef<const Real> dmerged, MatrixRef<Real> dy,
                   const Mamba3Columns<Real>& din, Mamba3Parameters<Real>& parameters) {
  const Mamba3Sizes& s = pass.sizes;
  const auto in = split_columns(s, as_matrix(pass.kept.projected));
  const Mamba3Parameters<Real>& p = pass.parameters;
  const GatedNorm<Real> how = gate_of(s, p);
  auto z = zeros<Real>(dmerged.rows, s.d_inner), dz = z, out = z, dout = z;
  const auto weight = [&](const Tensor<Real, 3>& m, std::size_t r, std::size_t i) {
    return slot_weight(s, m, i / s.config.headdim, r, i % s.config.headdim);
  };
  for (std::size_t r = 0; r < s.rank; ++r) {
    const MatrixRef<const Real> y = slot_rows(as_matrix(pass.kept.y), s.rank, r);
    for (std::size_t t = 0; t < z.shape(0); ++t)
      for (std::size_t i = 0; i < s.d_inner; ++i) {
        z(t, i) = in.z(t, i) * weight(p.mimo_z, r, i);
        dout(t, i) = dmerged(t, i) * weight(p.mimo_o, r, i);
      }
    gated_norm<Real>(y, as_matrix(std::as_const(z)), how, as_matrix(out));
    gated_norm_gradient<Real>(y, as_matrix(std::as_const(z)), how, as_matrix(std::as_const(dout)),
                              slot_rows(dy, s.rank, r), as_matrix(dz),
                              {parameters.norm_weight.data(), parameters.norm_weight.size()});
    for (std::size_t t = 0; t < z.shape(0); ++t)
      for (std::size_t i = 0; i < s.d_inner; ++i) {
        din.z(t, i) += dz(t, i) * weight(p.mimo_z, r, i);
        if (!s.config.is_mimo) continue;
        parameters.mimo_z(i / s.config.headdim, r, i % s.config.headdim) += dz(t, i) * in.z(t, i);
        parameters.mimo_o(i / s.config.headdim, r, i % s.config.headdim) += dmerged(t, i) * out(t, i);
      }
  }
}

template <class Real>
void norms_gradient(const Mamba3Pass<Real>& pass, const Mamba3Columns<Real>& din,
                    Mamba3Parameters<Real>& parameters) {
  const Mamba3Sizes& s = pass.sizes;
  const auto in = split_columns(s, as_matrix(pass.kept.projected));
  for (std::size_t block = 0; block < s.rank * s.config.ngroups; ++block) {
    const auto part = [&](auto m) {
      return column_block(m, block * s.config.d_state, s.config.d_state);
    };
    rms_norm_gradient<Real>(part(in.B), as_span(pass.parameters.B_norm_weight), 1e-5,
                            part(MatrixRef<const Real>(din.B)), part(din.B),
                            {parameters.B_norm_weight.data(), s.config.d_state});
    rms_norm_gradient<Real>(part(in.C), as_span(pass.parameters.C_norm_weight), 1e-5,
                            part(MatrixRef<const Real>(din.C)), part(din.C),
                            {parameters.C_norm_weight.data(), s.config.d_state});
  }
}

}  // namespace

// ### All of it {#mamba3_gradient_all}

template <class Real>
void mamba3_gradient(const Mamba3Pass<Real>& pass, MatrixRef<const Real> dy,
                     Mamba3Parameters<Real>& parameters, MatrixRef<Real> du) {
  const Mamba3Sizes& s = pass.sizes;
  check_shapes(s, parameters);
  require_size("dy", dy, {pass.input.u.rows, s.config.d_model}, "(batch * seqlen, d_model)");
  auto dprojected = zeros<Real>(dy.rows, s.d_in_proj), dmerged = zeros<Real>(dy.rows, s.d_inner),
       dslots = zeros<Real>(dy.rows * s.rank, s.d_inner);
  const Mamba3Columns<Real> din = split_columns(s, as_matrix(dprojected));
  linear_gradient<Real>(as_matrix(pass.kept.merged), as_matrix(pass.parameters.out_proj_weight), dy,
                        as_matrix(dmerged), as_matrix(parameters.out_proj_weight), {});
  gate_gradient<Real>(pass, as_matrix(std::as_const(dmerged)), as_matrix(dslots), din, parameters);
  for (const Mamba3Stretch& where : stretches(pass.input.batch, dy.rows, pass.input.seq_idx))
    for (std::size_t h = 0; h < s.nheads; ++h)
      head_gradient<Real>(pass, where, h, as_matrix(std::as_const(dslots)), din, parameters);
  norms_gradient(pass, din, parameters);
  linear_gradient<Real>(pass.input.u, as_matrix(pass.parameters.in_proj_weight),
                        as_matrix(std::as_const(dprojected)), du, as_matrix(parameters.in_proj_weight),
                        {});
}

template <class Real>
MixerGradient<Real> mamba3_backward() {
  const auto backward = [](const MixerPass<Real>& pass, MatrixRef<const Real> dy,
                           MixerParameters<Real>& parameters, MatrixRef<Real> du) {
    auto* const cache = dynamic_cast<CacheOf<Real, Mamba3Cache<Real>>*>(pass.before);
    const Mamba3Sizes sizes(pass.config.template as<Mamba3Config>());
    mamba3_gradient<Real>({.sizes = sizes,
                           .parameters = pass.parameters.template as<Mamba3Parameters<Real>>(),
                           .input = pass.input,
                           .kept = std::any_cast<const Mamba3Activations<Real>&>(pass.kept),
                           .before = cache ? &cache->cache : nullptr},
                          dy, parameters.template as<Mamba3Parameters<Real>>(), du);
  };
  return {MixerTraits<Mamba3Config>::name, backward};
}

#define MAMBA2_INSTANTIATE(Real)                                                              \
  template void trapezoid_gradient(const TrapezoidHead<Real>&, ReadMatrix<Real>, std::size_t, \
                                   MatrixRef<const double>, MatrixRef<double>,                \
                                   const TrapezoidGradient<Real>&);                           \
  template void mamba3_gradient(const Mamba3Pass<Real>&, MatrixRef<const Real>,               \
                                Mamba3Parameters<Real>&, MatrixRef<Real>);                    \
  template MixerGradient<Real> mamba3_backward();
MAMBA2_INSTANTIATE(float)
MAMBA2_INSTANTIATE(double)
#undef MAMBA2_INSTANTIATE

}  // namespace mamba2
