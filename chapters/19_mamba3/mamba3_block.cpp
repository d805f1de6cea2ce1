// ## The block {#mamba3_block}
//
// The rest is a mixer as @chapter{language_model} wants it: what there is to say of its parameters,
// what one head reads, a forward pass, a cache. The projection gives eight things at once, in the
// order $z$, $x$, $B$, $C$, and then for each head a step size, a rate and a share, and last the
// angles, which all heads share.
//
// ### Several inputs per head {#mamba3_mimo}
//
// When a model writes, it has one token at a time. For each it fetches the whole state from memory,
// multiplies it by a number, adds an outer product, and multiplies by $C$: some two operations for
// each number that is fetched. A processor can do a hundred in that time. So let a head have $R$
// inputs and $R$ outputs that share one state: $R$ outer products are added and $R$ queries
// answered, and the state is still fetched once.
//
// The inputs are not $R$ projections, which would cost too many weights. They are one $x$,
// weighted in $R$ ways, channel by channel (`mimo_x`). So is the gate (`mimo_z`), and the outputs
// are weighted (`mimo_o`) and added.
//
//: fold What a configuration must not be, and the sizes
#include <mamba2/activation.hpp>
#include <mamba2/cache.hpp>
#include <mamba2/error.hpp>
#include <mamba2/mamba3.hpp>
#include <mamba2/selection.hpp>

#include <algorithm>
#include <cmath>
#include <numbers>
#include <string>
#include <utility>

namespace mamba2 {

void Mamba3Config::check() const {
  const auto positive = [](const char* field, std::size_t value) {
    require(value > 0, field, "at least 1", std::to_string(value));
  };
  positive("d_model", d_model);
  positive("d_state", d_state);
  positive("expand", expand);
  positive("headdim", headdim);
  positive("ngroups", ngroups);
  positive("chunk_size", chunk_size);
  if (is_mimo) positive("mimo_rank", mimo_rank);
  require(expand * d_model % headdim == 0, "headdim",
          "a divisor of expand * d_model = " + std::to_string(expand * d_model),
          std::to_string(headdim));
  require(expand * d_model / headdim % ngroups == 0, "ngroups",
          "a divisor of the number of heads, " + std::to_string(expand * d_model / headdim),
          std::to_string(ngroups));
  require(rope_fraction == 0.5 || rope_fraction == 1, "rope_fraction", "0.5 or 1",
          std::to_string(rope_fraction));
  require(rope_fraction * static_cast<double>(d_state) >= 2, "d_state",
          "enough for a pair that turns, 2 / rope_fraction", std::to_string(d_state));
  require(!is_mimo || d_state % 2 == 0, "d_state", "an even number with is_mimo",
          std::to_string(d_state));
  require(dt_min > 0 && dt_max >= dt_min && std::isfinite(dt_max), "dt_max",
          "a finite number of at least dt_min = " + std::to_string(dt_min) + ", which is above 0",
          std::to_string(dt_max));
  require(dt_init_floor >= 0, "dt_init_floor", "at least 0", std::to_string(dt_init_floor));
  require(A_floor >= 0 && std::isfinite(A_floor), "A_floor", "a finite number of at least 0",
          std::to_string(A_floor));
}

namespace {

Mamba3Config checked(const Mamba3Config& c) {
  c.check();
  return c;
}

}  // namespace

Mamba3Sizes::Mamba3Sizes(const Mamba3Config& c)
    : config(checked(c)),
      d_inner(c.expand * c.d_model),
      nheads(d_inner / c.headdim),
      rank(c.is_mimo ? c.mimo_rank : 1),
      num_angles(static_cast<std::size_t>(static_cast<double>(c.d_state) * c.rope_fraction) / 2),
      d_bc(rank * c.ngroups * c.d_state),
      d_in_proj(2 * d_inner + 2 * d_bc + 3 * nheads + num_angles) {}

std::size_t state_size(const Mamba3Config& config) {
  const Mamba3Sizes s(config);
  return s.nheads * (s.num_angles + (config.headdim + s.rank) * config.d_state + config.headdim);
}

// ### Norms and biases {#mamba3_norms}
//
// B and C are normed, each with an RMS norm over the $N$ numbers of the state, as keys and queries
// are in newer attention. Then each head adds a bias of its own, which starts as ones. With a
// bias, a part of what a head writes and reads does not depend on the token at all: an ordinary
// filter over its inputs, beside the selection. It is the second half of what the short
// convolution did.
//
// Split over machines, each has some of the heads. Groups of B and C go with theirs.

namespace {

std::vector<ParameterInfo> describe_heads(const Mamba3Sizes& s) {
  using enum Split::How;
  const Split heads{cut, 0, {{s.nheads}}};
  const std::size_t several = s.config.is_mimo ? s.nheads : 0;
  const std::vector<std::size_t> bias{s.nheads, s.rank, s.config.d_state};
  const std::vector<std::size_t> weights{several, several ? s.rank : 0, several ? s.config.headdim : 0};
  const double share = 1 / static_cast<double>(s.rank);
  const auto per_slot = [&](const char* name, double value) {
    return ParameterInfo{name,  weights,        "(nheads, mimo_rank, headdim)", Role::other, true,
                         heads, constant(value)};
  };
  return {
      {.name = "dt_bias",
       .shape = {s.nheads},
       .axes = "(nheads)",
       .split = heads,
       .initial =
           [c = s.config](Random& random, std::size_t) {
             return initial_dt_bias(c.dt_min, c.dt_max, c.dt_init_floor, random);
           }},
      {"B_bias", bias, "(nheads, rank, d_state)", Role::other, false, heads, constant(1)},
      {"C_bias", bias, "(nheads, rank, d_state)", Role::other, false, heads, constant(1)},
      per_slot("mimo_x", share),
      per_slot("mimo_z", 1),
      per_slot("mimo_o", share),
      {.name = "D", .shape = {s.nheads}, .axes = "(nheads)", .split = heads, .initial = constant(1)}};
}

}  // namespace

//: fold All parameters
std::vector<ParameterInfo> describe(const Mamba3Sizes& s) {
  using enum Split::How;
  const Section inner{s.nheads, s.config.headdim}, heads{s.nheads};
  const auto evenly_over = [](std::size_t d_in) {
    return evenly(1 / std::sqrt(static_cast<double>(d_in)));
  };
  const auto norm = [](const char* name, std::size_t size, const char* axes, const Split& split) {
    return ParameterInfo{name, {size}, axes, Role::other, false, split, constant(1)};
  };
  std::vector<Section> sections{inner, inner};
  for (std::size_t i = 0; i < 2 * s.rank; ++i) sections.push_back({s.config.ngroups, s.config.d_state});
  for (std::size_t i = 0; i < 3; ++i) sections.push_back(heads);
  sections.push_back({1, s.num_angles});
  std::vector<ParameterInfo> list = describe_heads(s);
  list.push_back({"in_proj.weight",
                  {s.d_in_proj, s.config.d_model},
                  "(d_in_proj, d_model)",
                  Role::weight,
                  true,
                  {cut, 0, sections},
                  evenly_over(s.config.d_model)});
  list.push_back(norm("B_norm.weight", s.config.d_state, "(d_state)", {}));
  list.push_back(norm("C_norm.weight", s.config.d_state, "(d_state)", {}));
  list.push_back(
      norm("norm.weight", s.config.is_outproj_norm ? s.d_inner : 0, "(d_inner)", {cut, 0, {inner}}));
  list.push_back({"out_proj.weight",
                  {s.config.d_model, s.d_inner},
                  "(d_model, d_inner)",
                  Role::output_weight,
                  true,
                  {cut, 1, {inner}},
                  evenly_over(s.d_inner)});
  return list;
}

// ### What a head reads {#mamba3_head}
//
// A piece of text may hold several sequences, and each begins anew: with a state of zeros, and with
// no predecessor for its first token.

std::vector<Mamba3Stretch> stretches(std::size_t batch, std::size_t rows,
                                     std::span<const std::int64_t> seq_idx) {
  std::vector<Mamba3Stretch> all;
  const std::size_t seqlen = batch == 0 ? 0 : rows / batch;
  for (std::size_t b = 0; b < batch; ++b) {
    std::vector<std::size_t> bounds{0, seqlen};
    if (!seq_idx.empty()) bounds = sequence_bounds(seq_idx.subspan(b * seqlen, seqlen));
    for (std::size_t i = 0; i + 1 < bounds.size(); ++i)
      all.push_back({b, b * seqlen + bounds[i], bounds[i + 1] - bounds[i], i > 0});
  }
  return all;
}

// One row of B or C: norm, bias, and then each pair is turned.

namespace {

template <class Real>
void read_row(const Mamba3Sizes& s, MatrixRef<const Real> from, const Tensor<Real, 1>& norm,
              const Real* bias, const double* angles, MatrixRef<Real> to) {
  unchecked::rms_norm<Real>(from, as_span(norm), 1e-5, to);
  for (std::size_t n = 0; n < to.columns; ++n) to.data[n] += bias[n];
  for (std::size_t j = 0; j < s.num_angles; ++j) {
    const auto [i, k] = rotated_pair(s, j);
    const double c = std::cos(angles[j]), sine = std::sin(angles[j]);
    const double x = to.data[i], y = to.data[k];
    to.data[i] = static_cast<Real>(c * x - sine * y);
    to.data[k] = static_cast<Real>(sine * x + c * y);
  }
}

/// One slot of one token: its input, its B, its C.
template <class Real>
void read_slot(const Mamba3Sizes& s, const Mamba3Parameters<Real>& p,
               const Mamba3Columns<const Real>& in, std::size_t t, std::size_t r,
               Mamba3Head<Real>& head) {
  const std::size_t row = head.where.first + t, slot = t * s.rank + r, N = s.config.d_state;
  const std::size_t group = group_of_head(head.h, s.nheads, s.config.ngroups);
  const std::size_t place = (r * s.config.ngroups + group) * N;
  for (std::size_t i = 0; i < s.config.headdim; ++i)
    head.V(slot, i) = in.x(row, head.h * s.config.headdim + i) * slot_weight(s, p.mimo_x, head.h, r, i);
  const double* const angles = head.angles.data() + t * s.num_angles;
  const auto part = [&](MatrixRef<const Real> m) {
    return column_block(row_block(m, row, 1), place, N);
  };
  read_row<Real>(s, part(in.B), p.B_norm_weight, &p.B_bias(head.h, r, 0), angles,
                 {&head.K(slot, 0), 1, N, N});
  read_row<Real>(s, part(in.C), p.C_norm_weight, &p.C_bias(head.h, r, 0), angles,
                 {&head.Q(slot, 0), 1, N, N});
}

/// The state before the first token, with what that token adds of the one before it.
template <class Real>
void continue_state(const Mamba3Sizes& s, const Mamba3Parameters<Real>& p, Mamba3Head<Real>& head) {
  const Mamba3Cache<Real>& before = *head.before;
  const std::size_t b = head.where.entry, h = head.h;
  const double weight = (1 - head.lambda[0]) * head.dt[0];
  for (std::size_t i = 0; i < s.config.headdim; ++i)
    for (std::size_t n = 0; n < s.config.d_state; ++n) {
      double sum = before.ssm_state(b, h, i, n);
      for (std::size_t r = 0; r < s.rank; ++r)
        sum += weight * before.v_state(b, h, i) * slot_weight(s, p.mimo_x, h, r, i) *
               before.k_state(b, r, h, n);
      head.state(i, n) = static_cast<Real>(sum);
    }
}

}  // namespace

// And a head: rates and angles in double, since angles are sums of many terms.

template <class Real>
Mamba3Head<Real>::Mamba3Head(const Mamba3Sizes& s, const Mamba3Parameters<Real>& p,
                             MatrixRef<const Real> projected, const Mamba3Stretch& stretch,
                             const Mamba3Cache<Real>* cache, std::size_t head)
    : h(head),
      rank(s.rank),
      where(stretch),
      before(stretch.begins ? nullptr : cache),
      next(stretch.count, 0.0),
      angles(zeros<double>(stretch.count, s.num_angles)),
      V(zeros<Real>(stretch.count * s.rank, s.config.headdim)),
      K(zeros<Real>(stretch.count * s.rank, s.config.d_state)),
      Q(K),
      state(zeros<Real>(s.config.headdim, s.config.d_state)) {
  const auto in = split_columns(s, projected);
  std::vector<double> turned(s.num_angles, 0.0);
  for (std::size_t j = 0; before && j < s.num_angles; ++j)
    turned[j] = before->angle_state(where.entry, h, j);
  for (std::size_t t = 0; t < where.count; ++t) {
    const std::size_t row = where.first + t;
    raw_dt.push_back(static_cast<double>(in.dt(row, h)) + p.dt_bias(h));
    dt.push_back(softplus(raw_dt[t]));
    A.push_back(-decay_rate(s.config, in.A(row, h)));
    lambda.push_back(1 / (1 + std::exp(-static_cast<double>(in.trap(row, h)))));
    a.push_back(dt[t] * A[t]);
    now.push_back(lambda[t] * dt[t]);
    if (t > 0) next[t - 1] = (1 - lambda[t]) * dt[t];
    for (std::size_t j = 0; j < s.num_angles; ++j) {
      constexpr double round = 2 * std::numbers::pi;
      turned[j] += std::numbers::pi * std::tanh(static_cast<double>(in.angle(row, j))) * dt[t];
      turned[j] -= round * std::floor(turned[j] / round);
      angles(t, j) = turned[j];
    }
    for (std::size_t r = 0; r < rank; ++r) read_slot(s, p, in, t, r, *this);
  }
  if (before && where.count > 0) continue_state(s, p, *this);
}

// ### Forward {#mamba3_forward}
//
// Each head scans, adds its skip, and leaves its four states behind.

template <class Real>
Mamba3Mixer<Real>::Mamba3Mixer(const Mamba3Config& config, Mamba3Parameters<Real>& parameters,
                               const KeepWeight<Real>& keep)
    : sizes_(config), parameters_(&parameters) {
  check_shapes(sizes_, parameters);
  in_proj_ = keep(parameters.in_proj_weight);
  out_proj_ = keep(parameters.out_proj_weight);
}

template <class Real>
void Mamba3Mixer<Real>::scan_head(const Mamba3Head<Real>& head, std::size_t chunk_size, Cache* cache,
                                  Activations& a) const {
  const Mamba3Sizes& s = sizes_;
  const std::size_t P = s.config.headdim, R = s.rank, b = head.where.entry, h = head.h;
  if (head.where.count == 0) return;
  Tensor<Real, 2> state = head.state;
  const MatrixRef<Real> y =
      column_block(row_block(as_matrix(a.y), head.where.first * R, head.where.count * R), h * P, P);
  trapezoid_scan<Real>(head.scan(), chunk_size, as_matrix(state), y);
  for (std::size_t i = 0; i < y.rows; ++i)
    for (std::size_t p = 0; p < P; ++p) y(i, p) += parameters_->D(h) * head.V(i, p);
  if (!cache) return;
  const std::size_t last = head.where.count - 1, row = head.where.first + last;
  std::copy_n(state.data(), state.size(), &cache->ssm_state(b, h, 0, 0));
  for (std::size_t j = 0; j < s.num_angles; ++j)
    cache->angle_state(b, h, j) = static_cast<Real>(head.angles(last, j));
  for (std::size_t r = 0; r < R; ++r)
    std::copy_n(&head.K(last * R + r, 0), s.config.d_state, &cache->k_state(b, r, h, 0));
  const auto in = split_columns(s, as_matrix(std::as_const(a.projected)));
  std::copy_n(&in.x(row, h * P), P, &cache->v_state(b, h, 0));
}

// Then the gate, for each slot. The norm before it, where there is one, is of each head by itself.

template <class Real>
GatedNorm<Real> gate_of(const Mamba3Sizes& s, const Mamba3Parameters<Real>& p) {
  if (!s.config.is_outproj_norm) return {};
  return {.weight = as_span(p.norm_weight), .groups = s.nheads, .norm_before_gate = true};
}

template <class Real>
void Mamba3Mixer<Real>::leave(const Operations<Real>& operations, Activations& a) const {
  const Mamba3Sizes& s = sizes_;
  const std::size_t tokens = a.merged.shape(0), P = s.config.headdim;
  const auto in = split_columns(s, as_matrix(std::as_const(a.projected)));
  if (!s.config.is_mimo) {
    operations.gated_norm(as_matrix(std::as_const(a.y)), in.z, gate_of(s, *parameters_),
                          as_matrix(a.merged));
    return;
  }
  auto z = zeros<Real>(tokens, s.d_inner), out = z;
  std::fill(a.merged.begin(), a.merged.end(), Real(0));
  for (std::size_t r = 0; r < s.rank; ++r) {
    for (std::size_t t = 0; t < tokens; ++t)
      for (std::size_t i = 0; i < s.d_inner; ++i)
        z(t, i) = in.z(t, i) * slot_weight(s, parameters_->mimo_z, i / P, r, i % P);
    operations.gated_norm(slot_rows(as_matrix(std::as_const(a.y)), s.rank, r),
                          as_matrix(std::as_const(z)), gate_of(s, *parameters_), as_matrix(out));
    for (std::size_t t = 0; t < tokens; ++t)
      for (std::size_t i = 0; i < s.d_inner; ++i)
        a.merged(t, i) += out(t, i) * slot_weight(s, parameters_->mimo_o, i / P, r, i % P);
  }
}

// A token by itself is a text of one token, so there is no other code for it.

template <class Real>
void Mamba3Mixer<Real>::forward(const MixerInput<Real>& input, Cache* cache,
                                const Operations<Real>& operations, Activations& a,
                                MatrixRef<Real> y) const {
  if (cache) check_cache(*cache, input.batch);
  const std::size_t seqlen = input.batch == 0 ? 0 : input.u.rows / input.batch;
  std::size_t chunk = input.chunk_size ? input.chunk_size : sizes_.config.chunk_size;
  if (input.algorithm == Algorithm::recurrent) chunk = 1;
  if (input.algorithm == Algorithm::quadratic) chunk = std::max<std::size_t>(seqlen, 1);
  a.make_room(sizes_, input.u.rows);
  in_proj_->multiply(input.u, {}, as_matrix(a.projected), operations);
  const MatrixRef<const Real> projected = as_matrix(std::as_const(a.projected));
  for (const Mamba3Stretch& where : stretches(input.batch, input.u.rows, input.seq_idx))
    for (std::size_t h = 0; h < sizes_.nheads; ++h)
      scan_head(Mamba3Head<Real>(sizes_, *parameters_, projected, where, cache, h), chunk, cache, a);
  leave(operations, a);
  out_proj_->multiply(as_matrix(std::as_const(a.merged)), {}, y, operations);
}

// The cache has four tensors.

//: fold The cache
template <class Real>
Mamba3Cache<Real> Mamba3Mixer<Real>::empty_cache(std::size_t batch) const {
  const std::size_t H = sizes_.nheads, P = sizes_.config.headdim, N = sizes_.config.d_state;
  return {zeros<Real>(batch, H, sizes_.num_angles), zeros<Real>(batch, H, P, N),
          zeros<Real>(batch, sizes_.rank, H, N), zeros<Real>(batch, H, P)};
}

template <class Real>
void Mamba3Mixer<Real>::check_cache(const Cache& cache, std::size_t batch) const {
  const std::size_t H = sizes_.nheads, P = sizes_.config.headdim, N = sizes_.config.d_state;
  require_shape("angle_state", cache.angle_state, {batch, H, sizes_.num_angles},
                "(batch, nheads, num_angles)");
  require_shape("ssm_state", cache.ssm_state, {batch, H, P, N}, "(batch, nheads, headdim, d_state)");
  require_shape("k_state", cache.k_state, {batch, sizes_.rank, H, N}, "(batch, rank, nheads, d_state)");
  require_shape("v_state", cache.v_state, {batch, H, P}, "(batch, nheads, headdim)");
}

#define MAMBA2_INSTANTIATE(Real)    \
  template struct Mamba3Head<Real>; \
  template class Mamba3Mixer<Real>; \
  template GatedNorm<Real> gate_of(const Mamba3Sizes&, const Mamba3Parameters<Real>&);
MAMBA2_INSTANTIATE(float)
MAMBA2_INSTANTIATE(double)
#undef MAMBA2_INSTANTIATE
template class OneMixerConfig<Mamba3Config>;

}  // namespace mamba2
