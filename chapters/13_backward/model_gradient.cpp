// ## The whole model {#backward_model}
//
// A model is an embedding, branches that add to a stream, a norm and a head. Run backwards, it
// begins with the loss and the head. Then come the branches, the last one first, and last the
// embedding.
//
// ### Addition, and why depth does no harm {#backward_residual}
//
// The stream asks for one more adjoint, and it is the simplest of all. A branch computes
// $x' = x + f(x)$. So $x$ is used twice, and what comes back to it is a sum: $\nabla x'$ as it is,
// and what the branch sends back,
//
// $$ \nabla x = \nabla x' + J_f^\top\, \nabla x'. $$ {#eq:residual_gradient}
//
// The first term is the reason for the residual stream. Without it, the gradient that reaches the
// first layer would be a product of as many Jacobians as there are layers, and such products vanish
// or explode. With it, the gradient at the top reaches every layer unchanged, and each layer adds
// something to it.
//
// ### Mixers that can be run backwards {#backward_mixers}
//
// The model of @chapter{language_model} does not know what its mixers are, and its interface says
// nothing of gradients. It need not. A table beside it says for each kind of mixer how it is run
// backwards:
//
// @quote src/mamba2/model_gradient.hpp#mixer_gradient
//
// A kind that is not in the table can be run, loaded and saved, but not trained. A later chapter
// that adds a mixer may put it into a table of its own (`choices/known_gradients.cpp`), and nothing
// here is touched. These are the two rows that we have:

#include <mamba2/adjoints.hpp>
#include <mamba2/block_gradient.hpp>
#include <mamba2/error.hpp>
#include <mamba2/model_gradient.hpp>

#include <algorithm>
#include <any>
#include <array>
#include <string>
#include <utility>
#include <vector>

namespace mamba2 {

template <class Real>
MixerGradient<Real> mamba2_backward() {
  const auto backward = [](const MixerPass<Real>& pass, MatrixRef<const Real> dy,
                           MixerParameters<Real>& parameters, MatrixRef<Real> du) {
    auto* const cache = dynamic_cast<CacheOf<Real, Mamba2Cache<Real>>*>(pass.before);
    const Mamba2Sizes sizes(pass.config.template as<Mamba2Config>());
    block_gradient<Real>({.sizes = sizes,
                          .parameters = pass.parameters.template as<Mamba2Parameters<Real>>(),
                          .input = pass.input,
                          .kept = std::any_cast<const Mamba2Activations<Real>&>(pass.kept),
                          .before = cache ? &cache->cache : nullptr},
                         dy, nullptr, parameters.template as<Mamba2Parameters<Real>>(), du);
  };
  return {MixerTraits<Mamba2Config>::name, backward};
}

template <class Real>
MixerGradient<Real> gated_mlp_backward() {
  const auto backward = [](const MixerPass<Real>& pass, MatrixRef<const Real> dy,
                           MixerParameters<Real>& parameters, MatrixRef<Real> du) {
    gated_mlp_gradient<Real>(pass.config.template as<GatedMlpConfig>(),
                             pass.parameters.template as<GatedMlpParameters<Real>>(), pass.input.u,
                             std::any_cast<const GatedMlpActivations<Real>&>(pass.kept), dy,
                             parameters.template as<GatedMlpParameters<Real>>(), du);
  };
  return {MixerTraits<GatedMlpConfig>::name, backward};
}

namespace {

template <class Real>
const MixerGradient<Real>& find_gradient(const MixerConfig& config) {
  std::string known;
  for (const MixerGradient<Real>& kind : mixer_gradients<Real>()) {
    if (config->name() == std::string(kind.name)) return kind;
    known += (known.empty() ? "" : " or ") + std::string(kind.name);
  }
  throw ValueError("mixer: expected one whose gradients are known, " + known + ", got " +
                   config->name());
}

// ### What is kept {#backward_kept}
//
// The forward pass keeps the stream as each branch has found it. From that the norm before the
// mixer is computed again, which is cheap. What the mixer itself needs is much more than the
// stream: the output of the input projection alone is more than four times as wide. So there is a
// choice:
//
// - *Keep all of it.* The backward pass can begin at once. The memory grows with the number of
//   layers.
// - *Keep the stream alone*, and run each mixer forwards once more when its turn comes. That is one
//   more forward pass, so the whole takes about a third longer. But only one mixer's tensors are in
//   memory at a time.
//
// Counted in numbers, for each token:
//
// @output kept
//
// The gradients are the same to the last bit, for what is computed twice is computed in the same
// way:
//
// @output again

/// A pass of a model, from which its gradients are computed, the last branch first.
template <class Real>
struct ModelPass {
  const LanguageModel<Real>& model;
  std::vector<Branch> branches;
  LanguageModelOptions options;
  LanguageModelActivations<Real> kept;
  LanguageModelCache<Real> before;   // what came before the first token; of no branches if nothing did
  LanguageModelCache<Real> scratch;  // the same, for those who run forwards once more
};

/// What the norm of a branch or of the head has given its reader.
template <class Real>
Tensor<Real, 3> normed(const ModelPass<Real>& pass, const Tensor<Real, 3>& x,
                       const Tensor<Real, 1>& weight) {
  auto y = Tensor<Real, 3>::from_shape(x.shape());
  pass.model.operations().rms_norm(as_rows(x), as_span(weight), pass.model.config().norm_eps,
                                   as_rows(y));
  return y;
}

/// The same backwards: from dy, which is used up, to what is added to dx.
template <class Real>
void add_norm_gradient(const ModelPass<Real>& pass, const Tensor<Real, 3>& x,
                       const Tensor<Real, 1>& weight, Tensor<Real, 3>& dy, Tensor<Real, 1>& dweight,
                       Tensor<Real, 3>& dx) {
  rms_norm_gradient<Real>(as_rows(x), as_span(weight), pass.model.config().norm_eps,
                          as_rows(std::as_const(dy)), as_rows(dy), {dweight.data(), dweight.size()});
  for (std::size_t k = 0; k < dx.size(); ++k) dx.data()[k] += dy.data()[k];
}

// ### One branch {#backward_branch}
//
// `dx` is the gradient of the stream. Above the branch it is $\nabla x'$ of
// @eqref{eq:residual_gradient}; the branch adds its term. Then the branch's tensors are let go.

template <class Real>
void branch_gradient(ModelPass<Real>& pass, std::size_t i, BranchParameters<Real>& gradient,
                     Tensor<Real, 3>& dx) {
  const BranchParameters<Real>& parameters = pass.model.parameters().branches[i];
  const Tensor<Real, 3>& x = pass.kept.streams[i];
  const Tensor<Real, 3> u = normed(pass, x, parameters.norm_weight);
  auto du = Tensor<Real, 3>::from_shape(x.shape());
  std::any& kept = pass.kept.branches[i];
  const MixerInput<Real> input{.u = as_rows(u),
                               .batch = x.shape(0),
                               .algorithm = pass.options.algorithm,
                               .chunk_size = pass.options.chunk_size};
  if (!kept.has_value())  // du is free until the gradient is written there
    pass.model.mixer(i).forward(input, pass.scratch.size() ? &pass.scratch[i] : nullptr,
                                pass.model.operations(), &kept, as_rows(du));
  find_gradient<Real>(pass.branches[i].mixer)
      .backward({.config = pass.branches[i].mixer,
                 .parameters = parameters.mixer,
                 .input = input,
                 .kept = kept,
                 .before = pass.before.size() ? &pass.before[i] : nullptr},
                as_rows(std::as_const(dx)), gradient.mixer, as_rows(du));
  add_norm_gradient(pass, x, parameters.norm_weight, du, gradient.norm_weight, dx);
  kept.reset();
  pass.kept.streams.pop_back();
}

// ### The head {#backward_head}
//
// Where head and embedding are tied there is one table with two uses, so its gradient is a sum of
// two: a dense one from the head, in which every token's row gets something from every place, and a
// sparse one from the embedding. Since both functions add, this needs no code of its own.

template <class Real>
Tensor<Real, 3> head_gradient(ModelPass<Real>& pass, const Tensor<Real, 3>& dlogits,
                              LanguageModelParameters<Real>& gradients) {
  const LanguageModelParameters<Real>& p = pass.model.parameters();
  const bool tied = pass.model.config().tie_embeddings;
  const Tensor<Real, 3>& x = pass.kept.streams.back();
  const Tensor<Real, 3> read = normed(pass, x, p.norm_f_weight);
  auto dread = Tensor<Real, 3>::from_shape(x.shape());
  linear_gradient<Real>(as_rows(read), as_matrix(tied ? p.embedding_weight : p.lm_head_weight),
                        as_rows(dlogits), as_rows(dread),
                        as_matrix(tied ? gradients.embedding_weight : gradients.lm_head_weight), {});
  Tensor<Real, 3> dx(x.shape(), Real(0));
  add_norm_gradient(pass, x, p.norm_f_weight, dread, gradients.norm_f_weight, dx);
  pass.kept.streams.pop_back();
  return dx;
}

// ### From the loss to the embedding {#backward_pass}
//
// The pass in one piece. What comes out of one function is what the next one before it has to know.

template <class Real>
CrossEntropy add_gradients(const LanguageModel<Real>& model, const Tensor<std::int64_t, 2>& ids,
                           const Tensor<std::int64_t, 2>& targets,
                           LanguageModelParameters<Real>& gradients, const GradientOptions& options,
                           LanguageModelCache<Real>* cache) {
  ModelPass<Real> pass{.model = model,
                       .branches = model.config().branches(),
                       .options = {.chunk_size = options.chunk_size},
                       .kept = {.streams = {}, .branches = {}, .streams_only = options.recompute},
                       .before = cache ? *cache : LanguageModelCache<Real>(),
                       .scratch = {}};
  if (options.recompute) pass.scratch = pass.before;

  Tensor<Real, 3> logits = cache ? model.forward(ids, *cache, pass.options, &pass.kept)
                                 : model.forward(ids, pass.options, &pass.kept);
  const CrossEntropy loss = cross_entropy(logits, targets);
  cross_entropy_gradient<Real>(as_rows(std::as_const(logits)), {targets.data(), targets.size()},
                               options.weight, as_rows(logits));
  Tensor<Real, 3> dx = head_gradient(pass, logits, gradients);
  logits = Tensor<Real, 3>();
  for (std::size_t i = pass.branches.size(); i-- > 0;)
    branch_gradient(pass, i, gradients.branches[i], dx);
  embedding_gradient<Real>({ids.data(), ids.size()}, as_rows(std::as_const(dx)),
                           as_matrix(gradients.embedding_weight));
  return loss;
}

// ### Rows on several threads {#backward_threads}
//
// The rows of a batch do not see each other, forwards or backwards. So they can be dealt out to
// threads, if the table of operations has any. A share of the rows adds to a set of gradients of
// its own, and the sets are added up at the end, always in the same order. There are as many
// shares on one thread as on four: a sum that is rounded depends on how it is cut, and so the
// gradients, and all that is learnt from them, are the same to the last bit on any number of
// threads.

constexpr std::size_t most_shares = 4;  // each takes the memory of a gradient

template <class Real>
struct Share {
  Tensor<std::int64_t, 2> ids, targets;
  LanguageModelCache<Real> cache;
  LanguageModelParameters<Real> gradients;
  CrossEntropy loss;
};

template <class Real>
CrossEntropy add_in_shares(std::size_t count, const LanguageModel<Real>& model,
                           const Tensor<std::int64_t, 2>& ids, const Tensor<std::int64_t, 2>& targets,
                           LanguageModelParameters<Real>& gradients, const GradientOptions& options,
                           LanguageModelCache<Real>* cache) {
  const auto first = [&](std::size_t i) { return i * ids.shape(0) / count; };
  std::vector<Share<Real>> shares(count);
  model.operations().run_all(count, [&](std::size_t i) {
    Share<Real>& own = shares[i];
    own.ids = xt::view(ids, xt::range(first(i), first(i + 1)), xt::all());
    own.targets = xt::view(targets, xt::range(first(i), first(i + 1)), xt::all());
    if (cache) own.cache = cache->like(first(i + 1) - first(i));
    for (std::size_t row = first(i); cache && row < first(i + 1); ++row)
      own.cache.take(row - first(i), *cache, row);
    own.gradients = zero_parameters<Real>(model.config());
    own.loss = add_gradients(model, own.ids, own.targets, own.gradients, options,
                             cache ? &own.cache : nullptr);
  });
  CrossEntropy loss;
  for (std::size_t i = 0; i < count; ++i) {
    const auto add = [](const ParameterInfo&, std::span<Real> sum, std::span<const Real> part) {
      for (std::size_t k = 0; k < part.size(); ++k) sum[k] += part[k];
    };
    walk(model.config(), add, gradients, std::as_const(shares[i].gradients));
    for (std::size_t row = first(i); cache && row < first(i + 1); ++row)
      cache->take(row, shares[i].cache, row - first(i));
    loss += shares[i].loss;
  }
  return loss;
}

// What cannot be is refused before anything is computed, with the place in the whole batch.

void check_tokens(const char* name, const Tensor<std::int64_t, 2>& tokens, std::size_t vocabulary,
                  bool may_be_left_out) {
  for (std::size_t i = 0; i < tokens.size(); ++i) {
    const std::int64_t token = tokens.data()[i];
    if (token >= 0 && static_cast<std::size_t>(token) < vocabulary) continue;
    if (may_be_left_out && token == not_asked) continue;
    require(false, name, "0 to " + std::to_string(vocabulary - 1) + (may_be_left_out ? " or -1" : ""),
            std::to_string(token) + " at " +
                shape_text(std::array{i / tokens.shape(1), i % tokens.shape(1)}));
  }
}

template <class Real>
void check(const LanguageModel<Real>& model, const Tensor<std::int64_t, 2>& ids,
           const Tensor<std::int64_t, 2>& targets, LanguageModelParameters<Real>& gradients,
           const LanguageModelCache<Real>* cache) {
  const LanguageModelConfig& config = model.config();
  for (const Branch& branch : config.branches()) find_gradient<Real>(branch.mixer);
  require(ids.size() > 0, "ids", "at least one token", "none");
  require_shape("targets", targets, ids.shape(), "(batch, seqlen)");
  check_tokens("ids", ids, config.padded_vocab_size(), false);
  check_tokens("targets", targets, config.padded_vocab_size(), true);
  walk(config, [](const ParameterInfo&, std::span<Real>) {}, gradients);
  if (cache && (cache->batch() != ids.shape(0) || cache->size() != config.branches().size()))
    throw ShapeError("cache: expected one of this model and batch " + std::to_string(ids.shape(0)) +
                     ", got one of batch " + std::to_string(cache->batch()));
}

}  // namespace

// ### All of it {#backward_all}
//
// The loss is a mean over the places, or what the caller says that a place counts. A step that is
// too large for the memory can then be shared among several calls, each of which adds its part.
//
// A text may also be too long for one pass. Then it is read in pieces, and each goes on from the
// cache that the last one has left. The loss is exact: no word is read without what came before it.
// The gradient is not. It stops at the border of the piece, so that the model is never told how it
// should have *stored* something in an earlier piece to use it in this one. This is *truncated*
// backpropagation through time. It is the usual bargain, and here a cheap one: what a block learns
// to keep for 256 tokens it will often keep for longer.
//
// @output pieces

template <class Real>
CrossEntropy loss_and_gradients(const LanguageModel<Real>& model, const Tensor<std::int64_t, 2>& ids,
                                const Tensor<std::int64_t, 2>& targets,
                                LanguageModelParameters<Real>& gradients,
                                const GradientOptions& options, LanguageModelCache<Real>* cache) {
  check(model, ids, targets, gradients, cache);
  GradientOptions how = options;
  if (!(how.weight > 0))
    how.weight = 1 / static_cast<double>(std::max<std::size_t>(places_asked(targets), 1));
  const std::size_t shares = model.operations().run_all ? std::min(most_shares, ids.shape(0)) : 1;
  if (shares > 1) return add_in_shares(shares, model, ids, targets, gradients, how, cache);
  return add_gradients(model, ids, targets, gradients, how, cache);
}

#define MAMBA2_INSTANTIATE(Real)                                                                  \
  template MixerGradient<Real> mamba2_backward();                                                 \
  template MixerGradient<Real> gated_mlp_backward();                                              \
  template CrossEntropy loss_and_gradients(                                                       \
      const LanguageModel<Real>&, const Tensor<std::int64_t, 2>&, const Tensor<std::int64_t, 2>&, \
      LanguageModelParameters<Real>&, const GradientOptions&, LanguageModelCache<Real>*);
MAMBA2_INSTANTIATE(float)
MAMBA2_INSTANTIATE(double)
#undef MAMBA2_INSTANTIATE

}  // namespace mamba2
