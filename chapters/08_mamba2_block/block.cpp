// ## The block {#mamba2_block_block}
//
// Last, for everyday use: the mixer and its parameters in one object, with tensors in and out.
// Whoever wants to change the parameters, such as an optimiser, does it inside
// Mamba2Block::update(), after which the mixer is made anew and $A$ with it.

#include <mamba2/block.hpp>
#include <mamba2/error.hpp>

#include <memory>
#include <utility>

namespace mamba2 {

// It is made of fresh parameters, or of given ones.

//: fold How it is made
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

// Its pass is the mixer's, with the shapes checked and room made for the result.

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

#define MAMBA2_INSTANTIATE(Real)                                                       \
  template Mamba2Block<Real>::Mamba2Block(const Mamba2Config&, std::uint64_t);         \
  template Mamba2Block<Real>::Mamba2Block(const Mamba2Sizes&, Mamba2Parameters<Real>); \
  template Mamba2Output<Real> Mamba2Block<Real>::forward(const Tensor<Real, 3>&,       \
                                                         const ForwardOptions<Real>&) const;
MAMBA2_INSTANTIATE(float)
MAMBA2_INSTANTIATE(double)
#undef MAMBA2_INSTANTIATE

}  // namespace mamba2

// What a pass may be told besides its input:
//
// @quote src/mamba2/block.hpp#forward_options
//
// A cache goes in and another comes out. That is @chapter{one_token_at_a_time}.
//
// ## Every option, seen {#mamba2_block_options}
//
// An option that does nothing is worse than none. The program switches on each in turn and looks at
// what comes out. So that the option alone can be the cause, both blocks have the same numbers for
// every weight that both have; where an option adds rows or takes rows away, the rest stay what
// they are.
//
// @output options
//
// Three options say "as without", and should: `D_has_hdim` starts with all of $D$ at one, whichever
// shape it has; one mean square for the one group there is looks at all channels anyway; and the
// chunk's size changes speed only.
//
// ## Which of the reference's three is the real one? {#mamba2_block_variants}
//
// Who opens the reference repository finds three files that all look like Mamba-2.
//
// | file | what it is |
// |---|---|
// | `modules/mamba2.py` | The block. Language models and all published checkpoints use this one. It has every option named here. |
// | `modules/mamba2_simple.py` | A shorter block for reading and experiments, from the same day: no `d_ssm`, no `D_has_hdim`, no `norm_before_gate`, the norm always on, no step for generation, other defaults (`d_state` 64, `headdim` 128), and a learnable initial state that the other lacks. With groups its two paths are two functions: the fused one norms by groups, the plain one (`use_mem_eff_path=False`) over all channels. |
// | `modules/ssd_minimal.py` | Not a block: the operator alone, the paper's Listing 1. Lengths must be a multiple of the chunk; no $D$, no gate, no groups. |
//
// The first is the real one, and the one that our numbers are held to.
//
// ## Why do two implementations give different logits? {#mamba2_block_differ}
//
// They never agree to the last bit, and should not be expected to. The question is by how much they
// may differ, and that depends on what they compute with. Some causes are innocent: sums taken in
// another order, another length of chunk, numbers kept in fewer bits. Others are errors.
//
// @output differ
//
// ::: figure rounding
// A stack of 24 blocks with random weights, each adding the output for its normed input to the
// stream. How far it strays from float64 after each layer: in float32, chunked and recurrent (the
// two lie on each other); with weights rounded to bfloat16; and with everything rounded that passes
// from one operation to the next. All grow slowly with depth.
// :::
//
// Look at the lists side by side. In sixteen bits rounding alone is as large as the effect of a
// wrong $\epsilon$, and not far below that of a forgotten `dt_bias`. In float32 there is nothing to
// confuse: rounding ends where the mistakes have not begun.
//
// So the first thing to do about different logits is to compute **both in float32**, and in the
// same order of chunks if that can be had. What then differs by parts in a million is arithmetic.
// What differs by a thousand times that, in a model as shallow as you can make it, is a mistake,
// and the list of suspects is short. The order z, x, B, C, dt. The norm's place, its groups, its
// $\epsilon$. Taps reversed. Softplus forgotten, or the bias added after it. Prompts padded on the
// left, without the padding being kept out of the state. @Exercise{4} hands you five such blocks.
//
// Only when both agree in float32 is it time to ask what sixteen bits do. Then a per cent is
// nothing to worry about.
