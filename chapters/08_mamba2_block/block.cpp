// ## What computes {#mamba2_block_computes}
//
// Parameters are numbers; something has to compute with them. It need not own them. An optimiser
// holds parameters, too, and so does whoever loads a file; and a block whose weights are rounded
// has nothing left that could be called parameters. So the class that computes only *refers* to
// them, and owns what follows from them. For a block that is $A$, which is computed from `A_log`
// once and not for every token.
//
// @quote src/mamba2/block.hpp#computes
//
// It is called a mixer because that is what it is to a model: vectors go in, one for each token,
// and vectors of the same width come out; token can speak to token on the way. It takes a whole
// piece of text at once, or one token, and both times it may go on from a *cache*, which is what an
// earlier piece has left behind. (The cache and the step are @chapter{one_token_at_a_time}.)

#include <mamba2/block.hpp>
#include <mamba2/error.hpp>
#include <mamba2/selection.hpp>

#include <memory>
#include <string>
#include <utility>

namespace mamba2 {

template <class Real>
Mamba2Mixer<Real>::Mamba2Mixer(const Mamba2Sizes& sizes, Mamba2Parameters<Real>& parameters,
                               const KeepWeight<Real>& keep)
    : sizes_(sizes), parameters_(&parameters) {
  check_shapes(sizes, parameters);
  in_proj_ = keep(parameters.in_proj_weight);
  out_proj_ = keep(parameters.out_proj_weight);
  A_ = rates(parameters.A_log);
}

// ## The way in {#mamba2_block_in}
//
// The pass comes in three pieces, because @chapter{one_token_at_a_time} will need the first and the
// last again: the way in, the middle, the way out. The way in is the projection, and room for what
// comes after it. Nothing is laid out for the scan: the convolution will write one matrix, and the
// scan finds $x$, $B$ and $C$ in its columns and the step sizes in those of the projection
// (scan_ref(), in block.hpp).

template <class Real>
void Mamba2Mixer<Real>::enter(MatrixRef<const Real> u, const Operations<Real>& operations,
                              Mamba2Activations<Real>& a) const {
  a.make_room(sizes_, u.rows);
  in_proj_->multiply(u, parameters_->in_proj_bias, as_matrix(a.zxbcdt), operations);
}

// $D$ is one number for each head or, with `D_has_hdim`, one for each channel. The scan takes both.
//
// ## The way out {#mamba2_block_out}
//
// After the scan: gate and norm, side by side with the channels that went round, then the output
// projection. gated_norm() without a weight is a gate and nothing else, which serves twice: for
// $\silu(z_0) \odot x_0$, and for blocks with `rmsnorm = false`, whose `norm.weight` is empty.

template <class Real>
void Mamba2Mixer<Real>::leave(const Operations<Real>& operations, Mamba2Activations<Real>& a,
                              MatrixRef<Real> y) const {
  const Columns<Real> in = split_columns(sizes_, as_matrix(a.zxbcdt));
  const MatrixRef<Real> merged = as_matrix(a.merged);
  const GatedNorm<Real> gate_only;
  operations.gated_norm(in.x0, in.z0, gate_only, column_block(merged, 0, sizes_.d_mlp));
  operations.gated_norm(as_matrix(a.y), in.z, norm_of(sizes_, *parameters_),
                        column_block(merged, sizes_.d_mlp, sizes_.d_ssm));
  out_proj_->multiply(merged, parameters_->out_proj_bias, y, operations);
}

// `norm_over_all_channels` is not an option of the reference. Hugging Face's plain implementation
// takes one mean square over all channels even where there are groups
// (@chapter{convolution_and_norm}), and a model that was trained with it wants to be run with it.
// For a single group there is no difference.
//
// ## The middle {#mamba2_block_middle}
//
// In between: a look at the cache, whether it is one of this block; and the two operations. What
// they read is put together in block.hpp: convolution_ref(), scan_ref(), and scan_options() with
// the limits of the step sizes, which the scan applies after the softplus
// (@chapter{real_sequences}).

template <class Real>
void Mamba2Mixer<Real>::check_cache(const Mamba2Cache<Real>& cache, std::size_t batch) const {
  const Mamba2Sizes& s = sizes_;
  require_shape("conv_state", cache.conv_state, {batch, s.conv_dim, s.d_conv},
                "(batch, conv_dim, d_conv)");
  require_shape("ssm_state", cache.ssm_state, {batch, s.nheads, s.headdim, s.d_state},
                "(batch, nheads, headdim, d_state)");
}

template <class Real>
void Mamba2Mixer<Real>::forward(const MixerInput<Real>& input, Cache* cache,
                                const Operations<Real>& operations, Activations& a,
                                MatrixRef<Real> y) const {
  if (cache) check_cache(*cache, input.batch);
  Cache fresh = cache ? Cache() : empty_cache(input.batch);
  Cache& remembered = cache ? *cache : fresh;
  const MatrixRef<Real> conv_state = as_rows<1>(remembered.conv_state);

  enter(input.u, operations, a);
  ShortConvolution<Real> convolution = convolution_ref(sizes_, *parameters_, input.batch, a);
  convolution.initial_state = conv_state;
  convolution.seq_idx = input.seq_idx;
  operations.short_convolution(convolution, as_matrix(a.xBC));
  ScanRef<Real> scan = scan_ref(sizes_, *parameters_, A_, input.batch, a);
  scan.seq_idx = input.seq_idx;
  operations.scan(scan, scan_options(sizes_.config, operations, input.algorithm, input.chunk_size),
                  remembered.scan_state(), as_matrix(a.y));
  unchecked::convolution_state<Real>(convolution, conv_state);
  leave(operations, a, y);
}

template <class Real>
Mamba2Cache<Real> empty_cache(const Mamba2Sizes& s, std::size_t batch) {
  return {zeros<Real>(batch, s.conv_dim, s.d_conv), zeros<Real>(batch, s.nheads, s.headdim, s.d_state)};
}

// ## The block {#mamba2_block_block}
//
// Last, for everyday use: the mixer and its parameters in one object, with tensors in and out.
// Whoever wants to change the parameters, such as an optimiser, does it inside
// Mamba2Block::update(), after which the mixer is made anew and $A$ with it.

template <class Real>
Mamba2Block<Real>::Mamba2Block(const Mamba2Config& config, std::uint64_t seed) : sizes_(config) {
  Random random(seed);
  parameters_ = std::make_unique<Mamba2Parameters<Real>>(initial_parameters<Real>(sizes_, random));
  bind();
}

template <class Real>
Mamba2Block<Real>::Mamba2Block(const Mamba2Sizes& sizes, Mamba2Parameters<Real> parameters)
    : sizes_(sizes), parameters_(std::make_unique<Mamba2Parameters<Real>>(std::move(parameters))) {
  bind();
}

template <class Real>
Mamba2Output<Real> Mamba2Block<Real>::forward(const Tensor<Real, 3>& u,
                                              const ForwardOptions<Real>& options) const {
  const std::size_t batch = u.shape(0), seqlen = u.shape(1);
  require_shape("u", u, {batch, seqlen, sizes_.d_model}, "(batch, seqlen, d_model)");
  MixerInput<Real> input{.u = as_rows(u),
                         .batch = batch,
                         .algorithm = options.algorithm,
                         .chunk_size = options.chunk_size};
  if (options.seq_idx) {
    require_shape("seq_idx", *options.seq_idx, {batch, seqlen}, "(batch, seqlen)");
    input.seq_idx = {options.seq_idx->data(), options.seq_idx->size()};
  }
  Mamba2Output<Real> output{Tensor<Real, 3>::from_shape({batch, seqlen, sizes_.d_model}),
                            options.cache ? *options.cache : empty_cache(batch)};
  Mamba2Activations<Real> dropped;
  mixer_->forward(input, &output.cache, *operations_, options.keep ? *options.keep : dropped,
                  as_rows(output.y));
  return output;
}

#define MAMBA2_INSTANTIATE(Real)                                                              \
  template Mamba2Mixer<Real>::Mamba2Mixer(const Mamba2Sizes&, Mamba2Parameters<Real>&,        \
                                          const KeepWeight<Real>&);                           \
  template void Mamba2Mixer<Real>::enter(MatrixRef<const Real>, const Operations<Real>&,      \
                                         Mamba2Activations<Real>&) const;                     \
  template void Mamba2Mixer<Real>::leave(const Operations<Real>&, Mamba2Activations<Real>&,   \
                                         MatrixRef<Real>) const;                              \
  template void Mamba2Mixer<Real>::check_cache(const Mamba2Cache<Real>&, std::size_t) const;  \
  template void Mamba2Mixer<Real>::forward(const MixerInput<Real>&, Mamba2Cache<Real>*,       \
                                           const Operations<Real>&, Mamba2Activations<Real>&, \
                                           MatrixRef<Real>) const;                            \
  template Mamba2Cache<Real> empty_cache(const Mamba2Sizes&, std::size_t);                    \
  template Mamba2Block<Real>::Mamba2Block(const Mamba2Config&, std::uint64_t);                \
  template Mamba2Block<Real>::Mamba2Block(const Mamba2Sizes&, Mamba2Parameters<Real>);        \
  template Mamba2Output<Real> Mamba2Block<Real>::forward(const Tensor<Real, 3>&,              \
                                                         const ForwardOptions<Real>&) const;
MAMBA2_INSTANTIATE(float)
MAMBA2_INSTANTIATE(double)
#undef MAMBA2_INSTANTIATE

}  // namespace mamba2

// Two options deserve a word. A *cache* holds what an earlier piece of the text left behind: the
// inputs that the convolution remembers and the state of the scan. With it the pass goes on where
// the other one stopped. That is @chapter{one_token_at_a_time}. With `seq_idx`, several texts lie
// one after another in one row, and neither scan nor convolution reaches from one into the next:
//
// @output packed
//
// Whichever form of the scan is chosen, the block gives the same:
//
// @output equal
//
// ## Every option, seen {#mamba2_block_options}
//
// An option that does nothing is worse than none. The program switches on each in turn and looks at
// the parameters' number and at what comes out.
//
// @output options
//
// ## Which of the reference's three is the real one? {#mamba2_block_variants}
//
// Who opens the reference repository finds three files that all look like Mamba-2.
//
// | file | what it is |
// |---|---|
// | `modules/mamba2.py` | The block. Language models and all published checkpoints use this one. It has every option named here. |
// | `modules/mamba2_simple.py` | An earlier, shorter block for reading and experiments: no `d_ssm`, no `D_has_hdim`, no `norm_before_gate`, the norm always on and never grouped, other defaults (`d_state` 64, `headdim` 128), and a learnable initial state that the other lacks. |
// | `modules/ssd_minimal.py` | Not a block: the operator alone, the paper's Listing 1. Lengths must be a multiple of the chunk; no $D$, no gate, no groups. |
//
// The first is the real one, and the one that our numbers are held to.
//
// ## Why do two implementations give different logits? {#mamba2_block_differ}
//
// They never agree to the last bit, and should not be expected to. The question is by how much they
// may differ. Some causes are innocent: sums taken in another order, another length of chunk,
// weights rounded to fewer bits. Others are errors. The two kinds can mostly be told apart by size.
//
// @output differ
//
// ::: figure rounding
// A stack of 24 blocks with random weights, each adding its output to its input. How far float32
// strays from float64 after each layer, in the chunked and in the recurrent form (the two lie on
// each other); and how far float64 strays if only the weights are rounded to bfloat16. Rounding
// grows slowly with depth and keeps its distance from a real mistake.
// :::
//
// So when your logits are off by a part in a million, it is arithmetic. By a few parts in a
// thousand: somebody rounded, in bfloat16 very likely, or a GPU used its short matrix format. By
// more: it is a bug, and the list of suspects is short. The order z, x, B, C, dt. The norm's place
// and its groups. Taps reversed. Softplus forgotten, or the bias added after it. Prompts padded on
// the left, without the padding being kept out of the state. One culprit hides among the innocent:
// an $\epsilon$ of 1e-6 where 1e-5 is meant does no more than rounding does, and can be found only
// by reading.
