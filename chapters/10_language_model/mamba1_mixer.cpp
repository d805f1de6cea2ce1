// ## Mamba-1 in the same place {#language_model_mamba1}
//
// The models before this book's are Mamba-1 models: the same embedding, stream and head, with the
// block of @chapter{selection} in every layer. Many are published, and with mixers behind an
// interface they cost no more than a mixer. The block of @chapter{selection} was written to be
// read, though. It begins from nothing, and takes time quadratic in the length. This one has a
// cache and a step, and computes with the table.
//
// Its parameters, described once. $A_{\log}$ starts as $\log 1, \log 2, \dots, \log N$ in every
// channel: each channel begins with the same $N$ rates, spread out. `dt_proj` spreads the
// bottleneck's numbers over the channels, and its bias is what `dt_bias` is in Mamba-2. It keeps
// its first values, though it is the bias of a projection.

#include <mamba2/activation.hpp>
#include <mamba2/cache.hpp>
#include <mamba2/error.hpp>
#include <mamba2/mamba1_mixer.hpp>
#include <mamba2/mixers.hpp>
#include <mamba2/selection.hpp>

#include <cmath>
#include <string>

namespace mamba2 {

// What makes no block is refused first.

//: fold What a configuration must not be, and the rates
void Mamba1Config::check() const {
  const auto positive = [](const char* field, std::size_t value) {
    require(value > 0, field, "at least 1", std::to_string(value));
  };
  positive("d_model", d_model);
  positive("d_state", d_state);
  positive("d_conv", d_conv);
  positive("expand", expand);
  require(dt_min > 0 && dt_max >= dt_min && std::isfinite(dt_max), "dt_max",
          "a finite number of at least dt_min = " + std::to_string(dt_min) + ", which is above 0",
          std::to_string(dt_max));
  require(dt_init_floor >= 0, "dt_init_floor", "at least 0", std::to_string(dt_init_floor));
  require(dt_scale > 0, "dt_scale", "above 0", std::to_string(dt_scale));
}

namespace {

double root(std::size_t n) {
  return 1 / std::sqrt(static_cast<double>(n));
}

std::vector<ParameterInfo> describe_pace(const Mamba1Config& c, const Split& channels) {
  const std::size_t N = c.d_state;
  return {{.name = "A_log",
           .shape = {c.d_inner(), N},
           .axes = "(d_inner, d_state)",
           .split = channels,
           .initial = [N](Random&, std::size_t i) { return std::log(static_cast<double>(i % N + 1)); }},
          {.name = "D",
           .shape = {c.d_inner()},
           .axes = "(d_inner)",
           .split = channels,
           .initial = constant(1)}};
}

// The way to the step size: through a bottleneck of `dt_rank` numbers.

//: fold The step size
std::vector<ParameterInfo> describe_step_size(const Mamba1Config& c, const Split& channels) {
  const double bound = c.dt_scale * root(c.rank());
  return {{.name = "x_proj.weight",
           .shape = {c.rank() + 2 * c.d_state, c.d_inner()},
           .axes = "(dt_rank + 2 d_state, d_inner)",
           .role = Role::weight,
           .decays = true,
           .split = {Split::How::cut, 1, channels.sections},
           .initial = evenly(root(c.d_inner()))},
          {.name = "dt_proj.weight",
           .shape = {c.d_inner(), c.rank()},
           .axes = "(d_inner, dt_rank)",
           .role = Role::weight,
           .decays = true,
           .split = channels,
           .initial = c.dt_init_constant ? constant(bound) : evenly(bound)},
          {.name = "dt_proj.bias",
           .shape = {c.d_inner()},
           .axes = "(d_inner)",
           .split = channels,
           .initial = [c](Random& random, std::size_t) {
             return initial_dt_bias(c.dt_min, c.dt_max, c.dt_init_floor, random);
           }}};
}

}  // namespace

// All of them, in the order of a checkpoint. Split over machines, each has some of the inner
// channels.

//: fold All parameters
std::vector<ParameterInfo> describe(const Mamba1Config& c) {
  using enum Split::How;
  c.check();
  const Section inner{c.d_inner()};
  const Split channels{cut, 0, {inner}}, both{cut, 0, {inner, inner}};
  std::vector<ParameterInfo> list = describe_pace(c, channels);
  list.push_back({"in_proj.weight",
                  {2 * c.d_inner(), c.d_model},
                  "(2 d_inner, d_model)",
                  Role::weight,
                  true,
                  both,
                  evenly(root(c.d_model))});
  list.push_back({"in_proj.bias",
                  {c.bias ? 2 * c.d_inner() : 0},
                  "(2 d_inner)",
                  Role::bias,
                  false,
                  both,
                  evenly(root(c.d_model))});
  list.push_back({"conv1d.weight",
                  {c.d_inner(), 1, c.d_conv},
                  "(d_inner, 1, d_conv)",
                  Role::other,
                  true,
                  channels,
                  evenly(root(c.d_conv))});
  list.push_back({"conv1d.bias",
                  {c.conv_bias ? c.d_inner() : 0},
                  "(d_inner)",
                  Role::other,
                  false,
                  channels,
                  evenly(root(c.d_conv))});
  for (ParameterInfo& info : describe_step_size(c, channels)) list.push_back(std::move(info));
  list.push_back({"out_proj.weight",
                  {c.d_model, c.d_inner()},
                  "(d_model, d_inner)",
                  Role::output_weight,
                  true,
                  {cut, 1, {inner}},
                  evenly(root(c.d_inner()))});
  list.push_back({"out_proj.bias",
                  {c.bias ? c.d_model : 0},
                  "(d_model)",
                  Role::bias,
                  false,
                  {added_once},
                  evenly(root(c.d_inner()))});
  return list;
}

// The rates are derived once. Only the two outer projections are large enough to be kept in fewer
// bytes.

template <class Real>
Mamba1Mixer<Real>::Mamba1Mixer(const Mamba1Config& config, Mamba1Parameters<Real>& parameters,
                               const KeepWeight<Real>& keep)
    : config_(config), parameters_(&parameters) {
  check_shapes(config, parameters);
  in_proj_ = keep(parameters.in_proj_weight);
  x_proj_ = full_weight(parameters.x_proj_weight);
  dt_proj_ = full_weight(parameters.dt_proj_weight);
  out_proj_ = keep(parameters.out_proj_weight);
  A_ = -xt::exp(parameters.A_log);
}

// The pass has the convolution in the middle: what comes before it, and what after it, is the same
// for a text and for one token.

template <class Real>
void Mamba1Mixer<Real>::enter(MatrixRef<const Real> u, const Operations<Real>& operations,
                              Activations& a) const {
  a.make_room(config_, u.rows);
  in_proj_->multiply(u, parameters_->in_proj_bias, as_matrix(a.xz), operations);
}

template <class Real>
void Mamba1Mixer<Real>::leave(std::size_t batch, std::span<const std::int64_t> seq_idx,
                              MatrixRef<Real> state, const Operations<Real>& operations, Activations& a,
                              MatrixRef<Real> y) const {
  const std::size_t d_inner = config_.d_inner(), rank = config_.rank(), N = config_.d_state;
  const MatrixRef<const Real> x = as_matrix(a.x), dtBC = as_matrix(a.dtBC);
  x_proj_->multiply(x, {}, as_matrix(a.dtBC), operations);
  dt_proj_->multiply(column_block(dtBC, 0, rank), parameters_->dt_proj_bias, as_matrix(a.dt),
                     operations);
  for (Real& step : a.dt) step = softplus(step);
  unchecked::selective_scan<Real>({.batch = batch,
                                   .x = x,
                                   .dt = as_matrix(a.dt),
                                   .A = as_matrix(A_),
                                   .B = column_block(dtBC, rank, N),
                                   .C = column_block(dtBC, rank + N, N),
                                   .D = as_span(parameters_->D),
                                   .seq_idx = seq_idx},
                                  state, as_matrix(a.y));
  const MatrixRef<const Real> z = column_block(as_matrix(a.xz), d_inner, d_inner);
  operations.gated_norm(as_matrix(a.y), z, {}, as_matrix(a.gated));
  out_proj_->multiply(as_matrix(a.gated), parameters_->out_proj_bias, y, operations);
}

// A text convolves and leaves the convolution's state behind; a token convolves with that state.

template <class Real>
void Mamba1Mixer<Real>::forward(const MixerInput<Real>& input, Cache* cache,
                                const Operations<Real>& operations, Activations& a,
                                MatrixRef<Real> y) const {
  if (cache) check_cache(*cache, input.batch);
  Cache fresh = cache ? Cache() : empty_cache(input.batch);
  Cache& past = cache ? *cache : fresh;
  enter(input.u, operations, a);
  const ShortConvolution<Real> convolution{.x = column_block(as_matrix(a.xz), 0, config_.d_inner()),
                                           .batch = input.batch,
                                           .weight = taps(),
                                           .bias = parameters_->conv1d_bias,
                                           .initial_state = as_rows<1>(past.conv_state),
                                           .seq_idx = input.seq_idx};
  operations.short_convolution(convolution, as_matrix(a.x));
  unchecked::convolution_state<Real>(convolution, as_rows<1>(past.conv_state));
  leave(input.batch, input.seq_idx, as_rows<1>(past.ssm_state), operations, a, y);
}

template <class Real>
void Mamba1Mixer<Real>::step(MatrixRef<const Real> u, Cache& cache, const Operations<Real>& operations,
                             MatrixRef<Real> y) const {
  check_cache(cache, u.rows);
  Activations& a = cache.room;
  enter(u, operations, a);
  const auto convolve =
      operations.convolution_step ? operations.convolution_step : unchecked::convolution_step<Real>;
  convolve(column_block(as_matrix(a.xz), 0, config_.d_inner()), taps(), parameters_->conv1d_bias,
           as_rows<1>(cache.conv_state), as_matrix(a.x));
  leave(u.rows, {}, as_rows<1>(cache.ssm_state), operations, a, y);
}

// The cache has two tensors, whose sizes do not depend on how much has been read.

//: fold The cache
template <class Real>
Mamba1Cache<Real> Mamba1Mixer<Real>::empty_cache(std::size_t batch) const {
  return {zeros<Real>(batch, config_.d_inner(), config_.d_conv),
          zeros<Real>(batch, config_.d_inner(), config_.d_state)};
}

template <class Real>
void Mamba1Mixer<Real>::check_cache(const Cache& cache, std::size_t batch) const {
  require_shape("conv_state", cache.conv_state, {batch, config_.d_inner(), config_.d_conv},
                "(batch, d_inner, d_conv)");
  require_shape("ssm_state", cache.ssm_state, {batch, config_.d_inner(), config_.d_state},
                "(batch, d_inner, d_state)");
}

template class Mamba1Mixer<float>;
template class Mamba1Mixer<double>;
template class OneMixerConfig<Mamba1Config>;

}  // namespace mamba2
