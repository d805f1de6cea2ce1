// ## The whole block {#backward_block}
//
// Now the parts are put together, in the reverse of the order in which @chapter{mamba2_block} put
// them together. Nothing new has to be derived. What has to be decided is what the forward pass
// should *keep*.
//
// Look at the parts again. The projection wants its input, the norm its input and the gate, the
// scan $x$, $\Delta$, $B$ and $C$, the convolution what it has read. All of these are tensors that
// the forward pass has written anyway, and Mamba2Mixer::forward() writes them into a
// mamba2::Mamba2Activations, for whoever holds on to it. What the parts compute inside, such as the
// states of the scan, they compute again.
//
// The gradients of those tensors have their shapes. So they are a mamba2::Mamba2Activations, too,
// as the gradients of a block's parameters are mamba2::Mamba2Parameters and those of its states a
// mamba2::Mamba2Cache. For none of them a type has to be invented.

#include <mamba2/adjoints.hpp>
#include <mamba2/block_gradient.hpp>
#include <mamba2/error.hpp>
#include <mamba2/scan_gradient.hpp>
#include <mamba2/selection.hpp>

#include <utility>

namespace mamba2 {

namespace {

template <class Real>
std::span<Real> to_add(Tensor<Real, 1>& v) {
  return {v.data(), v.size()};
}

// ### Out, backwards {#backward_block_out}
//
// The last step comes first: the output projection, then norm and gate, and beside them the
// channels that passed the scan by.

/// From the block's outputs to those of the scan, and to both gates.
template <class Real>
void leave_gradient(const Mamba2Pass<Real>& pass, MatrixRef<const Real> dy,
                    Mamba2Parameters<Real>& parameters, Mamba2Activations<Real>& d) {
  const Mamba2Sizes& s = pass.sizes;
  const Columns<const Real> in = split_columns(s, as_matrix(pass.kept.zxbcdt));
  const Columns<Real> din = split_columns(s, as_matrix(d.zxbcdt));
  const MatrixRef<Real> dmerged = as_matrix(d.merged);
  linear_gradient(as_matrix(pass.kept.merged), as_matrix(pass.parameters.out_proj_weight), dy, dmerged,
                  as_matrix(parameters.out_proj_weight), to_add(parameters.out_proj_bias));
  gated_norm_gradient<Real>(in.x0, in.z0, {}, column_block(dmerged, 0, s.d_mlp), din.x0, din.z0, {});
  gated_norm_gradient<Real>(as_matrix(pass.kept.y), in.z, norm_of(s, pass.parameters),
                            column_block(dmerged, s.d_mlp, s.d_ssm), as_matrix(d.y), din.z,
                            to_add(parameters.norm_weight));
}

// ### The middle, backwards {#backward_block_middle}
//
// The scan's gradients go straight to where they belong: those of $x$, $B$ and $C$ are columns of
// one matrix, that of the step sizes is a column of another. One link is missing. What is learnt is
// not $A$ but its logarithm, $A = -e^{A_{\log}}$, whose slope is $A$ itself. So
// $\nabla A_{\log} = A \odot \nabla A$.

/// From the scan's outputs to what the convolution gave, and to the step sizes.
template <class Real>
void scan_part_gradient(const Mamba2Pass<Real>& pass, Mamba2Cache<Real>& dcache,
                        Mamba2Parameters<Real>& parameters, Mamba2Activations<Real>& d) {
  const Mamba2Sizes& s = pass.sizes;
  const Tensor<Real, 1> A = rates(pass.parameters.A_log);
  Tensor<Real, 1> dA(A.shape(), Real(0));
  ScanRef<Real> scan = scan_ref(s, pass.parameters, A, pass.input.batch, pass.kept);
  scan.seq_idx = pass.input.seq_idx;
  const MatrixRef<Real> dxBC = as_matrix(d.xBC);
  const ScanGradientRef<Real> gradient{.x = column_block(dxBC, 0, s.d_ssm),
                                       .dt = split_columns(s, as_matrix(d.zxbcdt)).dt,
                                       .A = to_add(dA),
                                       .B = column_block(dxBC, s.d_ssm, s.d_bc),
                                       .C = column_block(dxBC, s.d_ssm + s.d_bc, s.d_bc),
                                       .D = to_add(parameters.D),
                                       .dt_bias = to_add(parameters.dt_bias)};
  unchecked::scan_gradient<Real>(
      scan,
      scan_options(s.config, default_operations<Real>(), pass.input.algorithm, pass.input.chunk_size),
      pass.before ? as_rows<1>(pass.before->ssm_state) : MatrixRef<const Real>(), as_matrix(d.y),
      as_rows<1>(dcache.ssm_state), gradient);
  for (std::size_t h = 0; h < A.size(); ++h) parameters.A_log(h) += A(h) * dA(h);
}

/// From what the convolution gave to what it has read.
template <class Real>
void convolution_part_gradient(const Mamba2Pass<Real>& pass, Mamba2Cache<Real>& dcache,
                               Mamba2Parameters<Real>& parameters, Mamba2Activations<Real>& d) {
  const Tensor<Real, 3> dlast = dcache.conv_state;
  ShortConvolution<Real> convolution =
      convolution_ref(pass.sizes, pass.parameters, pass.input.batch, pass.kept);
  convolution.seq_idx = pass.input.seq_idx;
  if (pass.before) convolution.initial_state = as_rows<1>(pass.before->conv_state);
  short_convolution_gradient<Real>(convolution, as_matrix(std::as_const(d.xBC)), as_rows<1>(dlast),
                                   {.x = split_columns(pass.sizes, as_matrix(d.zxbcdt)).xBC,
                                    .weight = as_rows<1>(parameters.conv1d_weight),
                                    .bias = to_add(parameters.conv1d_bias),
                                    .initial_state = as_rows<1>(dcache.conv_state)});
}

}  // namespace

// ### In, backwards {#backward_block_in}
//
// By now every column of the projection's output has its gradient: both gates, the channels that
// pass by, $x$, $B$ and $C$ through the convolution, the step sizes. One product with the weight
// brings them back to the input, another one makes the gradient of the weight.

template <class Real>
void block_gradient(const Mamba2Pass<Real>& pass, MatrixRef<const Real> dy, Mamba2Cache<Real>* dcache,
                    Mamba2Parameters<Real>& parameters, MatrixRef<Real> du) {
  const Mamba2Sizes& s = pass.sizes;
  check_shapes(s, parameters);
  require_size("dy", dy, {pass.input.u.rows, s.d_model}, "(batch * seqlen, d_model)");
  Mamba2Cache<Real> nothing = empty_cache<Real>(s, dcache ? 0 : pass.input.batch);
  Mamba2Cache<Real>& states = dcache ? *dcache : nothing;
  require_shape("conv_state", states.conv_state, {pass.input.batch, s.conv_dim, s.d_conv},
                "(batch, conv_dim, d_conv)");
  require_shape("ssm_state", states.ssm_state, {pass.input.batch, s.nheads, s.headdim, s.d_state},
                "(batch, nheads, headdim, d_state)");

  Mamba2Activations<Real> d;
  d.make_room(s, dy.rows);
  leave_gradient(pass, dy, parameters, d);
  scan_part_gradient(pass, states, parameters, d);
  convolution_part_gradient(pass, states, parameters, d);
  linear_gradient<Real>(pass.input.u, as_matrix(pass.parameters.in_proj_weight), as_matrix(d.zxbcdt),
                        du, as_matrix(parameters.in_proj_weight), to_add(parameters.in_proj_bias));
}

// For a block that stands alone there is a front door with tensors, which runs the forward pass
// itself:

template <class Real>
Mamba2Gradient<Real> block_gradient(const Mamba2Block<Real>& block, const Tensor<Real, 3>& u,
                                    const Tensor<Real, 3>& dy, const ForwardOptions<Real>& options,
                                    const Mamba2Cache<Real>* dcache) {
  const Mamba2Sizes& s = block.sizes();
  const std::size_t batch = u.shape(0);
  Mamba2Activations<Real> kept;
  ForwardOptions<Real> keeping = options;
  keeping.keep = &kept;
  block.forward(u, keeping);
  require_shape("dy", dy, u.shape(), "(batch, seqlen, d_model)");

  Mamba2Gradient<Real> gradient{Tensor<Real, 3>::from_shape(u.shape()), zero_parameters<Real>(s),
                                dcache ? *dcache : empty_cache<Real>(s, batch)};
  Mamba2Pass<Real> pass{.sizes = s,
                        .parameters = block.parameters(),
                        .input = {.u = as_rows(u),
                                  .batch = batch,
                                  .algorithm = options.algorithm,
                                  .chunk_size = options.chunk_size},
                        .kept = kept,
                        .before = options.cache};
  if (options.seq_idx) pass.input.seq_idx = {options.seq_idx->data(), options.seq_idx->size()};
  block_gradient(pass, as_rows(dy), &gradient.cache, gradient.parameters, as_rows(gradient.u));
  return gradient;
}

// The states have gradients, too. A text that was read in two pieces can be differentiated in two
// pieces, the second one first: the gradient of the states that it began with is the gradient of
// those that the first one left. So the cache travels backwards as it has travelled forwards, and
// the pieces give what the whole gives:
//
// @output block
//
// ### A gated MLP {#backward_mlp}
//
// Between the mixers of some models stands an MLP of the form @eqref{eq:gated_mlp}. Its adjoint is
// made of parts that we have.

template <class Real>
void gated_mlp_gradient(const GatedMlpConfig& config, const GatedMlpParameters<Real>& weights,
                        MatrixRef<const Real> u, const GatedMlpActivations<Real>& kept,
                        MatrixRef<const Real> dy, GatedMlpParameters<Real>& parameters,
                        MatrixRef<Real> du) {
  check_shapes(config, parameters);
  GatedMlpActivations<Real> d;
  d.make_room(config, dy.rows);
  const std::size_t hidden = config.hidden();
  const MatrixRef<const Real> both = as_matrix(kept.both);
  const MatrixRef<Real> dboth = as_matrix(d.both), dgated = as_matrix(d.gated);
  linear_gradient(as_matrix(kept.gated), as_matrix(weights.fc2_weight), dy, dgated,
                  as_matrix(parameters.fc2_weight), {});
  gated_norm_gradient<Real>(column_block(both, 0, hidden), column_block(both, hidden, hidden), {},
                            dgated, column_block(dboth, 0, hidden), column_block(dboth, hidden, hidden),
                            {});
  linear_gradient<Real>(u, as_matrix(weights.fc1_weight), dboth, du, as_matrix(parameters.fc1_weight),
                        {});
}

#define MAMBA2_INSTANTIATE(Real)                                                                    \
  template void block_gradient(const Mamba2Pass<Real>&, MatrixRef<const Real>, Mamba2Cache<Real>*,  \
                               Mamba2Parameters<Real>&, MatrixRef<Real>);                           \
  template Mamba2Gradient<Real> block_gradient(const Mamba2Block<Real>&, const Tensor<Real, 3>&,    \
                                               const Tensor<Real, 3>&, const ForwardOptions<Real>&, \
                                               const Mamba2Cache<Real>*);                           \
  template void gated_mlp_gradient(const GatedMlpConfig&, const GatedMlpParameters<Real>&,          \
                                   MatrixRef<const Real>, const GatedMlpActivations<Real>&,         \
                                   MatrixRef<const Real>, GatedMlpParameters<Real>&, MatrixRef<Real>);
MAMBA2_INSTANTIATE(float)
MAMBA2_INSTANTIATE(double)
#undef MAMBA2_INSTANTIATE

}  // namespace mamba2
