// # Within reach of the machine {#ch_fast}
// @summary The same model, faster: what a token costs, wide products, a mask without exponentials, threads over heads, and reading every weight once.
//
// The model is finished and right, and it is slow. A chapter about speed could now show a list of
// tricks. This one asks a question first: how fast *could* it be? Two numbers of a machine decide.
// It multiplies matrices at a certain rate, with the best library at hand, and it reads memory at a
// certain rate. Both can be measured in a second. Divide the work of the model by the first and its
// bytes by the second, and you have a limit, in tokens per second, for this machine. After that the
// work is no longer open-ended. It consists of finding out where the time between the limit and the
// clock goes.
//
// This is how much of the limit the model reaches when the chapter is through:
//
// ::: figure model
// Tokens per second of half of the 130M model, as a share of the limit for as many threads. Beside
// each bar: the tokens per second. (A bar can pass the line a little: the limit is a measurement as
// well.)
// :::
//
// And this is the way there for the operator alone, from the recurrence to all threads:
//
// ::: figure ladder
// Thousands of tokens per second of the operator, with the sizes of the 130M model and a prompt of
// 2048 tokens. There are two limits for one thread: the scan's own products with nothing in
// between, and its multiply-adds at the product peak, which large square matrices reach and the
// scan's smaller ones do not.
// :::
//
// First the page counts and measures; then come the pieces, from the inside out: threads, loops,
// the scan, products, the rest of the block. *Step by step*, towards the end, tells what each of
// them bought. Nothing in this chapter changes what is computed. Each fast function stands beside a
// plain one from an earlier chapter, has the same interface, and is tested against it.
//
// ## What it builds on {#fast_builds_on}
//
// @Chapter{duality} for the matrix product on parts of tensors, @chapter{chunked_scan} for the
// chunk and its four steps, @chapter{real_sequences} for the operator with all its options,
// @chapter{convolution_and_norm} for convolution and norm, @chapter{mamba2_block} for the table of
// operations that the block computes with, @chapter{one_token_at_a_time} for the step of one token,
// @chapter{language_model} for the model that is measured, @chapter{selection} for random numbers.
//
// ## Shapes {#fast_shapes}
//
// ::: shapes
// | name | shape | what it is |
// |---|---|---|
// | `state` | (heads · headdim, d_state) | the states of all heads of a group, one under the other: *one* matrix |
// | `scores` | (length, length) | $CB^\top$ of a chunk: one for all heads of the group |
// | `X`, `Y` | (length, heads · headdim) | inputs and outputs of all heads, side by side |
// | `M` | (length, length) | scores times mask, for one head at a time |
// | `decay` | (length) | one row of the mask, times step sizes; grows by an entry with each row |
// | $W$ | (d_out, d_in) | a weight, as checkpoints store it |
// :::
//
// ## What a token costs {#fast_cost}
//
// Take one layer of the 130M model and count multiply-adds for one token, with chunks of $Q$. The
// two projections are products with fixed weights. In the scan, @chapter{chunked_scan} counted
// $QN + QP + 2NP$ for one head. But B and C belong to a *group* of heads, and so do their scores:
// with $H$ heads in the group the term $QN$ is paid once and not $H$ times. One layer costs
//
// $$ \underbrace{d_{\mathrm{in\_proj}} \, d_{\mathrm{model}} + d_{\mathrm{inner}} \, d_{\mathrm{model}}}_{\text{projections}}
//    + \underbrace{Q N}_{\text{scores}} + H \bigl( \underbrace{Q P}_{\text{mask}} + \underbrace{2 N P}_{\text{state, in and out}} \bigr) . $$ {#eq:layer_cost}
//
// @output cost
//
// Two things stand out. Most of the model is the two projections, which are ordinary matrix
// products. (The convolution is left out of the formula; as the list shows, it hardly counts.) And
// in the scan itself, the terms that grow with the chunk are small: most of the work is moving
// tokens into the state and out of it. All in all the scan is little more than a tenth of the
// arithmetic. Where it takes more than that of the *time*, its problem is not how much it computes
// but how.

#include <mamba2/costs.hpp>

namespace mamba2 {

// The same in code, from a model's sizes, a multiply-add counted as two operations:

double scan_flops(const Mamba2Config& config, std::size_t chunk_size) {
  const Mamba2Sizes s = config;
  const auto Q = static_cast<double>(chunk_size), N = static_cast<double>(s.d_state);
  const auto P = static_cast<double>(s.headdim), H = static_cast<double>(s.nheads);
  return 2 * (static_cast<double>(s.ngroups) * Q * N + H * (Q * P + 2 * N * P));
}

double projection_flops(const LanguageModelConfig& config) {
  std::size_t weights = 0;
  for (const Branch& branch : config.branches())
    for (const ParameterInfo& info : branch.mixer->parameters())
      if (info.role == Role::weight || info.role == Role::output_weight) weights += info.size();
  return 2 * static_cast<double>(weights);
}

double layer_flops(const LanguageModelConfig& config, std::size_t chunk_size) {
  double flops = projection_flops(config);
  for (const Branch& branch : config.branches()) {
    const auto* const block = branch.mixer.find<Mamba2Config>();
    if (block == nullptr) continue;
    const Mamba2Sizes s = *block;
    flops += 2 * static_cast<double>(s.conv_dim * s.d_conv) + scan_flops(*block, chunk_size);
  }
  return flops;
}

double head_flops(const LanguageModelConfig& config) {
  return 2 * static_cast<double>(config.padded_vocab_size() * config.d_model());
}

PromptFlops prompt_flops(const LanguageModelConfig& config, std::size_t chunk_size, std::size_t tokens,
                         std::size_t scored) {
  const double all = static_cast<double>(tokens) * layer_flops(config, chunk_size);
  const double projections = static_cast<double>(tokens) * projection_flops(config);
  return {.weights = projections + static_cast<double>(scored) * head_flops(config),
          .others = all - projections};
}

// And bytes. An embedding that is not the head as well is hardly read: one row for each token.

double step_bytes(const LanguageModelConfig& config, double weight_bytes, std::size_t batch) {
  const std::size_t rows = config.tie_embeddings ? 0 : config.padded_vocab_size();
  const auto weights = static_cast<double>(parameter_count(config) - rows * config.d_model());
  std::size_t states = 0;
  for (const Branch& branch : config.branches()) states += branch.mixer->remembered();
  return weight_bytes * weights + 2.0 * sizeof(float) * static_cast<double>(batch * states);
}

}  // namespace mamba2
