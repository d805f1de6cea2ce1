// # The Mamba-2 block {#ch_mamba2_block}
// @summary Projections, convolution, scan and norm put together, in the reference’s order and with every one of its options.
//
// All parts are on the table: a scan, what feeds it, a short convolution, a norm with a gate. This
// chapter screws them together. There is little left to invent and much to get right, for the aim
// is strict: given the weights of a published model, the block must give the published model's
// numbers, with every option that the reference implementation has.
//
// "Much to get right" means order. In which order do the parts of the big projection lie in memory?
// What happens first, norm or gate, softplus or limit? A block with two rows exchanged runs without
// complaint. It trains, even. It only fails to read anybody else's weights. So the tests of this
// chapter hold it to numbers, case by case, and the text says for each decision what it is.
//
// ## What it builds on {#mamba2_block_builds_on}
//
// @Chapter{duality}'s multiply(), @chapter{real_sequences}'s ssd(), @chapter{selection}'s rates and
// initial values, @chapter{convolution_and_norm}'s short_convolution() and gated_norm().
//
// ## Shapes {#mamba2_block_shapes}
//
// With the sizes of the 130M model, where $d_{model}$ is 768:
//
// ::: shapes
// | name | shape | 130M |
// |---|---|---|
// | $u$, the input | (batch, seqlen, d_model) | 768 |
// | `in_proj.weight` | (d_in_proj, d_model) | 3352 × 768 |
// | `conv1d.weight` | (conv_dim, 1, d_conv) | 1792 × 1 × 4 |
// | `dt_bias`, `A_log`, `D` | (nheads) | 24 |
// | $x$ | (batch, seqlen, nheads, headdim) | 24 × 64 |
// | $B$, $C$ | (batch, seqlen, ngroups, d_state) | 1 × 128 |
// | `norm.weight` | (d_ssm) | 1536 |
// | `out_proj.weight` | (d_model, d_inner) | 768 × 1536 |
// :::
//
// ## Eight lines {#mamba2_block_overview}
//
// This is all that a block computes, for one token $u_t$ and, in the middle, for one head:
//
// $$
// \begin{aligned}
// (z, x, B, C, \delta)_t &= W_{\mathrm{in}}\, u_t && \text{project}
// \\ (x, B, C)_t &\leftarrow \silu\bigl(\mathrm{conv}(x, B, C)\bigr)_t && \text{convolve}
// \\ \Delta_t &= \softplus(\delta_t + b) && \text{step size}
// \\ h_t &= e^{\Delta_t A}\, h_{t-1} + \Delta_t\, x_t B_t^\top && \text{fade, write}
// \\ y_t &= h_t\, C_t && \text{read}
// \\ v_t &= y_t + D\, x_t && \text{skip}
// \\ n_t &= \mathrm{norm}\bigl(v_t \circ \silu(z_t)\bigr) && \text{gate, norm}
// \\ o_t &= W_{\mathrm{out}}\, n_t && \text{project}
// \end{aligned}
// $$ {#eq:block}
//
// Only the convolution and the state look at other tokens. Everything else is done to each token by
// itself. The rate $A = -e^{A_{\log}}$, the bias $b$ and the skip $D$ are numbers of the head.
//
// ::: figure block
// The Mamba-2 block. One projection makes everything at once; $x$, $B$ and $C$ go through the short
// convolution, $z$ and $\Delta$ do not. The scan is drawn in the colours of its four steps
// (@chapter{chunked_scan}): amber within a chunk, green into the state, purple from chunk to chunk,
// blue out of the state.
// :::
//
// Beside a block of attention, the lines read like this:
//
// | | Mamba-2 | attention |
// |:--|:--|:--|
// | made of $u_t$ by one projection | $C_t$, $B_t$, $x_t$, and $z_t$, $\Delta_t$ | $Q_t$, $K_t$, $V_t$ |
// | query, key, value | $C_t$, $B_t$, $x_t$ | $Q_t$, $K_t$, $V_t$ |
// | heads share | $C$ and $B$ | nothing, or $K$ and $V$ |
// | before they meet | four neighbours mixed, SiLU | positions put in |
// | weight of token $j$ for token $i$ | $C_i^\top B_j \cdot \Delta_j\, e^{A(\Delta_{j+1} + \dots + \Delta_i)}$ | softmax of $Q_i^\top K_j$ |
// | afterwards | skip, gate, norm | nothing |
// | back to the width of the model | $W_{\mathrm{out}}$ | $W_O$ |
// | kept of the past | $h$ and three tokens | all keys and values |
//
// The first line is what makes the block Mamba-2's. In Mamba-1's block (@chapter{selection}) the
// scan's parameters were computed from the convolved $x$: a second and a third projection in the
// middle. Here $B$, $C$ and $\Delta$ are made from the input, beside $x$, as keys and queries are:
// in one product with one matrix, and nothing stands between it and the scan but the convolution.
//
// **Where is the MLP?** A transformer's layer is attention and then a feed-forward network. A block
// of Mamba-2 stands alone: the gate $\silu(z)$ is the nonlinearity that a gated MLP has, and the
// width inside, `expand` = 2 times that of the model, is the room it works in. In weights: the two
// projections have $(2 \cdot 2 + 2)\, d_{model}^2 = 6\, d_{model}^2$ of them, and little else
// counts. Attention has four matrices of $d_{model}^2$ and the usual MLP eight, 12 in all. So two
// blocks weigh what one layer of a transformer weighs, and a model of Mamba-2 has twice as many
// layers as a transformer of its size. (An MLP can be added; @chapter{language_model} has it as an
// option.)[^mixer]
//
// [^mixer]: Names differ. What this book calls a block, the reference calls a *mixer*; there, a
//   block is the mixer with the norm in front and the sum behind it.
//
// ## The rows of one matrix {#mamba2_block_sizes}
//
// The projection's output has its parts side by side in this order: **z, x, B, C, dt**. If `d_ssm`
// is smaller than $d_{inner}$, some channels go round the scan: a plain gated unit,
// $\silu(z_0) \circ x_0$. Their two parts come first, **z0, x0, z, x, B, C, dt**, and in the
// block's output as well they stand in front.
//
// ::: figure columns
// The rows of `in_proj.weight` for the 130M model, to scale. Nearly all of them make $z$ and $x$;
// $B$ and $C$ are thin, and $\Delta$ is a line at the end: 24 rows of 3352.
// :::
//
// This thinness is @chapter{selection}'s bargain seen from another side: one $\Delta$ for each
// head, one $B$ and $C$ for each group of heads. In code, the order is one function, which cuts
// columns and moves nothing:
//
// @quote src/mamba2/block.hpp#split
//
// How wide each part is follows from the options. The sizes are needed everywhere, so they are
// computed once:
//
// @quote src/mamba2/block.hpp#sizes
//
// ## From one end to the other {#mamba2_block_computes}
//
// Parameters are numbers; something has to compute with them. It need not own them: an optimiser
// holds parameters, too, and so does whoever loads a file. So the class that computes, Mamba2Mixer,
// only *refers* to them, and owns what follows from them. For a block that is $A$, computed from
// `A_log` once and not for every token.

#include <mamba2/block.hpp>
#include <mamba2/error.hpp>
#include <mamba2/selection.hpp>

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

// (`keep` says how the two big weights are held: as they are, unless somebody asks for something
// else.) The pass over a text is the figure above, from top to bottom:

template <class Real>
void Mamba2Mixer<Real>::forward(const MixerInput<Real>& input, Cache* cache,
                                const Operations<Real>& operations, Activations& a,
                                MatrixRef<Real> y) const {
  if (cache) check_cache(*cache, input.batch);
  Cache fresh = cache ? Cache() : empty_cache(input.batch);
  Cache& past = cache ? *cache : fresh;

  project_in(input.u, operations, a);
  convolve(input, past, operations, a);
  scan(input, past, operations, a);
  gate_and_norm(operations, a);
  project_out(operations, a, y);
}

// Five functions, each of which finds its input where the one before has left it, in the
// *activations* `a`:
//
// @quote src/mamba2/block.hpp#five
//
// The *cache* is what an earlier piece of the text has left behind: the inputs that the convolution
// remembers, and the state of the scan. Where there is none, both are zeros. And `operations` is a
// table of functions, one for each kind of work; more of it below.
//
// ## In and out {#mamba2_block_in}
//
// The five are short. First line of @eqref{eq:block}, a row for each token:

template <class Real>
void Mamba2Mixer<Real>::project_in(MatrixRef<const Real> u, const Operations<Real>& operations,
                                   Activations& a) const {
  a.make_room(sizes_, u.rows);
  in_proj_->multiply(u, parameters_->in_proj_bias, as_matrix(a.zxbcdt), operations);
}

// Last line:

template <class Real>
void Mamba2Mixer<Real>::project_out(const Operations<Real>& operations, const Activations& a,
                                    MatrixRef<Real> y) const {
  out_proj_->multiply(as_matrix(a.merged), parameters_->out_proj_bias, y, operations);
}

// | tensor | shape | made by |
// |:--|:--|:--|
// | `a.zxbcdt` | (batch · seqlen, d_in_proj) | project_in |
// | `a.xBC` | (batch · seqlen, conv_dim) | convolve |
// | `a.y` | (batch · seqlen, d_ssm) | scan |
// | `a.merged` | (batch · seqlen, d_inner) | gate_and_norm |
//
// ## The middle {#mamba2_block_middle}
//
// The convolution reads its columns of `zxbcdt` and writes a matrix of its own. What the next piece
// of text needs of the inputs goes to the cache:

template <class Real>
void Mamba2Mixer<Real>::convolve(const MixerInput<Real>& input, Cache& cache,
                                 const Operations<Real>& operations, Activations& a) const {
  const MatrixRef<Real> state = as_rows<1>(cache.conv_state);
  ShortConvolution<Real> convolution = convolution_ref(sizes_, *parameters_, input.batch, a);
  convolution.initial_state = state;
  convolution.seq_idx = input.seq_idx;
  operations.short_convolution(convolution, as_matrix(a.xBC));
  unchecked::convolution_state<Real>(convolution, state);
}

// Nothing is laid out for the scan. It finds $x$, $B$ and $C$ in the columns of that matrix and the
// raw step sizes in those of the projection. The skip is part of it, and $D$ is one number for each
// head or, with `D_has_hdim`, for each channel.

template <class Real>
void Mamba2Mixer<Real>::scan(const MixerInput<Real>& input, Cache& cache,
                             const Operations<Real>& operations, Activations& a) const {
  ScanRef<Real> in = scan_ref(sizes_, *parameters_, A_, input.batch, a);
  in.seq_idx = input.seq_idx;
  operations.scan(in, scan_options(sizes_.config, operations, input.algorithm, input.chunk_size),
                  cache.scan_state(), as_matrix(a.y));
}

// What both read is put together in block.hpp, where others can ask for it: convolution_ref(),
// scan_ref(), and scan_options() with the rules for step sizes, in the order bias, softplus, limits
// (@chapter{real_sequences}).
//
// ## Gate and norm {#mamba2_block_out}
//
// After the scan: gate and norm, side by side with the channels that went round. gated_norm()
// without a weight is a gate and nothing else, which serves twice: for $\silu(z_0) \circ x_0$, and
// for blocks with `rmsnorm = false`, whose `norm.weight` is empty.

template <class Real>
void Mamba2Mixer<Real>::gate_and_norm(const Operations<Real>& operations, Activations& a) const {
  const Columns<Real> in = split_columns(sizes_, as_matrix(a.zxbcdt));
  const MatrixRef<Real> merged = as_matrix(a.merged);
  const GatedNorm<Real> gate_only;
  operations.gated_norm(in.x0, in.z0, gate_only, column_block(merged, 0, sizes_.d_mlp));
  operations.gated_norm(as_matrix(a.y), in.z, norm_of(sizes_, *parameters_),
                        column_block(merged, sizes_.d_mlp, sizes_.d_ssm));
}

// norm_of() reads the norm's options off the configuration, the groups among them.
// `norm_over_all_channels` is not an option of the reference. Hugging Face's model takes one mean
// square over all channels even where there are groups (@chapter{convolution_and_norm}), and a
// model that is served by it wants to be run with it. For a single group there is no difference.
//
// And a cache is looked at before it is used: whether it is one of this block.

//: fold The check, and an empty cache
template <class Real>
void Mamba2Mixer<Real>::check_cache(const Mamba2Cache<Real>& cache, std::size_t batch) const {
  const Mamba2Sizes& s = sizes_;
  require_shape("conv_state", cache.conv_state, {batch, s.conv_dim, s.d_conv},
                "(batch, conv_dim, d_conv)");
  require_shape("ssm_state", cache.ssm_state, {batch, s.nheads, s.headdim, s.d_state},
                "(batch, nheads, headdim, d_state)");
}

template <class Real>
Mamba2Cache<Real> empty_cache(const Mamba2Sizes& s, std::size_t batch) {
  return {zeros<Real>(batch, s.conv_dim, s.d_conv), zeros<Real>(batch, s.nheads, s.headdim, s.d_state)};
}

#define MAMBA2_INSTANTIATE(Real)                                                                       \
  template Mamba2Mixer<Real>::Mamba2Mixer(const Mamba2Sizes&, Mamba2Parameters<Real>&,                 \
                                          const KeepWeight<Real>&);                                    \
  template void Mamba2Mixer<Real>::forward(const MixerInput<Real>&, Mamba2Cache<Real>*,                \
                                           const Operations<Real>&, Mamba2Activations<Real>&,          \
                                           MatrixRef<Real>) const;                                     \
  template void Mamba2Mixer<Real>::project_in(MatrixRef<const Real>, const Operations<Real>&,          \
                                              Mamba2Activations<Real>&) const;                         \
  template void Mamba2Mixer<Real>::gate_and_norm(const Operations<Real>&, Mamba2Activations<Real>&)    \
      const;                                                                                           \
  template void Mamba2Mixer<Real>::project_out(const Operations<Real>&,                                \
                                               const Mamba2Activations<Real>&, MatrixRef<Real>) const; \
  template void Mamba2Mixer<Real>::check_cache(const Mamba2Cache<Real>&, std::size_t) const;           \
  template Mamba2Cache<Real> empty_cache(const Mamba2Sizes&, std::size_t);
MAMBA2_INSTANTIATE(float)
MAMBA2_INSTANTIATE(double)
#undef MAMBA2_INSTANTIATE

}  // namespace mamba2

// That is the block. Whichever form of the scan is chosen, and whatever the length of its chunks,
// it gives the same:
//
// @output equal
//
// And with `seq_idx`, several texts lie one after another in one row, and neither scan nor
// convolution reaches from one into the next:
//
// @output packed
