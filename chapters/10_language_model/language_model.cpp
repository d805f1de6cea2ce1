// # The language model {#ch_language_model}
// @summary Embedding, residual stream and head; checkpoints of both kinds read byte by byte, and trusted in nothing.
//
// A block turns a sequence of vectors into another one. It knows nothing of words. To make a
// language model of it takes surprisingly little: a table with a vector for each token in front, a
// stack of blocks in between, and a table of scores behind. All of it, with the loops, is the first
// fifth of this chapter.
//
// The other four fifths are about files. The models that one wants to run were trained elsewhere,
// in another language, at a price of many thousand hours of GPU time, and what is left of that is a
// directory: a configuration of a few lines and some hundred million numbers. If one of the numbers
// goes to the wrong place, nothing crashes. The model simply writes nonsense, and nobody can say
// why. So this chapter reads the published checkpoints byte by byte, checks every claim that they
// make, and ends with logits equal to the reference's.
//
// There is a second reason to be careful. A checkpoint is a file from a stranger, and one of the
// two formats in use is a *program*. We shall read it without running it.
//
// ## What it builds on {#language_model_builds_on}
//
// @Chapter{mamba2_block} for mamba2::Mamba2Block and the table of operations;
// @chapter{convolution_and_norm} for rms_norm(); @chapter{one_token_at_a_time} for the caches and
// step(); @chapter{selection} for mamba2::Random and the initial values inside a block.
//
// ## Shapes {#language_model_shapes}
//
// ::: shapes
// | name | shape | what it is |
// |---|---|---|
// | `ids` | (batch, seqlen) | numbers of tokens, from 0 |
// | `embedding_weight` $E$ | (padded_vocab_size, d_model) | a row for each token |
// | $x$ | (batch, seqlen, d_model) | the residual stream |
// | `norm_weight`, `norm_f_weight` | (d_model) | of the norm before each block, and of the last one |
// | `lm_head_weight` | (padded_vocab_size, d_model) | a row for each token; the same as $E$ where tied |
// | `logits` | (batch, seqlen, padded_vocab_size) | a score for every token that could come next |
// :::
//
// ## Tokens in, scores out {#language_model_idea}
//
// A tokenizer, the subject of @chapter{text}, cuts a text into pieces and numbers them. For now a
// text is a row of integers. The model's one task is this: after each token, say how likely every
// token of the vocabulary is to be the next. It says so by a score, the *logit*; the softmax of the
// scores are the probabilities.
//
// ::: figure stream
// The whole model. The residual stream runs through from the embedding to the head; each block
// reads a normed copy of it and adds its output to it. No arrow leads from a later token to an
// earlier one, because no block has one.
// :::
//
// In formulas, with the token $t$ and the layers $i = 1 \dots n$:
//
// $$ x^{(0)} = E_t, \qquad x^{(i)} = x^{(i-1)} + \mathrm{mixer}_i(\mathrm{norm}_i(x^{(i-1)})), \qquad \mathrm{logits} = H\, \mathrm{norm}_f(x^{(n)}). $$ {#eq:language_model}
//
// Everything that mixes tokens is inside the mixers. The rest treats each token by itself.
//
// ## The vocabulary and its padding {#language_model_vocabulary}
//
// The vocabulary of the published models has 50277 tokens, and their embedding has 50288 rows. The
// eleven rows in between belong to no token. They are there because matrix products like sizes with
// small factors: the reference rounds the vocabulary up to a multiple of `pad_vocab_size_multiple`,
// 16 in these models.

#include <mamba2/error.hpp>
#include <mamba2/language_model.hpp>

#include <algorithm>
#include <array>
#include <cmath>
#include <string>
#include <type_traits>
#include <utility>

namespace mamba2 {

std::size_t LanguageModelConfig::padded_vocab_size() const {
  const std::size_t multiple = pad_vocab_size_multiple;
  return (vocab_size + multiple - 1) / multiple * multiple;
}

// Padding rows cost nothing but a trap: they have scores like any other row, and a program that
// samples from all 50288 will one day choose a token that does not exist. @Chapter{text} never
// does. Here they are part of the result, since the reference's logits contain them, and who
// compares logits compares those too.
//
// A configuration checks itself before anything is built from it. Sizes that no model has are
// refused at once, rather than when memory is gone.

void LanguageModelConfig::check() const {
  const auto at_least_one = [](const char* name, std::size_t value, std::size_t most) {
    require(value >= 1 && value <= most, name, "1 to " + std::to_string(most), std::to_string(value));
  };
  at_least_one("n_layer", n_layer, 4096);
  at_least_one("vocab_size", vocab_size, std::size_t{1} << 24);
  at_least_one("pad_vocab_size_multiple", pad_vocab_size_multiple, std::size_t{1} << 24);
  require(norm_eps >= 0 && norm_eps < 1, "norm_eps", "a small positive number",
          std::to_string(norm_eps));
  mixer.check();
}

// ## The embedding {#language_model_embedding}
//
// To *embed* a token is to look up its row. As a matrix product it would be a row of zeros with a
// single one, times $E$; as code it is a copy. It is also the only place where an integer from
// outside becomes an index, so it is the place to check it. The message says which token of which
// text it was.

template <class Real>
void LanguageModel<Real>::check_ids(const Tensor<std::int64_t, 2>& ids) const {
  const std::size_t seqlen = ids.shape(1), vocabulary = config_.padded_vocab_size();
  for (std::size_t i = 0; i < ids.size(); ++i) {
    const std::int64_t id = ids.data()[i];
    if (id >= 0 && static_cast<std::size_t>(id) < vocabulary) continue;
    require(false, "ids", "0 to " + std::to_string(vocabulary - 1),
            std::to_string(id) + " at " + shape_text(std::array{i / seqlen, i % seqlen}));
  }
}

template <class Real>
Tensor<Real, 3> LanguageModel<Real>::embed(const Tensor<std::int64_t, 2>& ids) const {
  const std::size_t d_model = config_.mixer.d_model;
  auto x = Tensor<Real, 3>::from_shape({ids.shape(0), ids.shape(1), d_model});
  for (std::size_t i = 0; i < ids.size(); ++i) {
    const auto row = static_cast<std::size_t>(ids.data()[i]);
    if (embedding_compact_.empty())
      std::copy_n(&embedding_weight(row, 0), d_model, x.data() + i * d_model);
    else
      operations_->compact_row(embedding_compact_, row, {x.data() + i * d_model, d_model});
  }
  return x;
}

// ## The residual stream {#language_model_residual}
//
// Now the loop over the layers. It deserves a close look, because it is so plain. A block does not
// *replace* $x$, it *adds* to it. So after $n$ layers, by @eqref{eq:language_model},
//
// $$ x^{(n)} = E_t + \sum_{i=1}^{n} \mathrm{mixer}_i(\ldots), $$
//
// and every block's contribution reaches the head directly. In training this means that the
// gradient reaches every block directly, too, which is why stacks of 64 blocks can be trained at
// all. In reading a model it means that one may think of the stream as a blackboard of `d_model`
// numbers for each token: blocks read from it and write to it, in turn.
//
// What grows is the blackboard's scale: each block adds something, and a sum of many terms is
// larger than each of them. The program of this chapter prints how much. So each block looks at the
// stream through a norm, which gives it inputs of one size whatever has been added before. The norm
// stands *before* the block, on the branch, and not on the stream itself: the sum above stays a
// sum.
//
// The reference keeps the stream in float32 even where everything else is in half precision
// (`residual_in_fp32`). Adding a small number to a large one is where few digits hurt: in bfloat16,
// with its two and a half digits, a contribution of a thousandth of what is there would vanish
// whole. Here `Real` is float or double throughout, so this comes for free.

template <class Real>
Tensor<Real, 3> LanguageModel<Real>::residual_stream(const Tensor<std::int64_t, 2>& ids,
                                                     LanguageModelCache<Real>* cache,
                                                     const LanguageModelOptions& options) const {
  Tensor<Real, 3> x = embed(ids);  // (batch, seqlen, d_model)
  auto normed = Tensor<Real, 3>::from_shape(x.shape());
  for (std::size_t i = 0; i < layers.size(); ++i) {
    operations_->rms_norm(as_rows(std::as_const(x)), layers[i].norm_weight, config_.norm_eps,
                          as_rows(normed));
    Mamba2Output<Real> output =
        layers[i].mixer.forward(normed, {.cache = cache ? &(*cache)[i] : nullptr,
                                         .algorithm = options.algorithm,
                                         .chunk_size = options.chunk_size});
    for (std::size_t k = 0; k < x.size(); ++k) x.data()[k] += output.y.data()[k];
    if (cache) (*cache)[i] = std::move(output.cache);
  }
  return x;
}

// `cache` is null where nothing came before and nothing will follow. Otherwise each layer goes on
// from its own cache and leaves it as the next piece of text needs it.
//
// ## The head, tied and untied {#language_model_head}
//
// At the end one more norm, and then the scores: one dot product of the stream with a row of the
// head for each token of the vocabulary. This is the largest single product of the small models:
// more than a quarter of all multiplications in `mamba2-130m`, and as many weights as ten of its
// layers.
//
// The published models save these weights. Their head *is* the embedding, $H = E$: the weights are
// **tied**. It is less odd than it looks. A row of $E$ says where on the blackboard a token is
// written when it comes; a row of $H$ says in which direction to look to see whether it is
// expected. With one table for both, "write" and "expect" speak the same language. For a small
// model it is a matter of size, too: for `mamba2-130m` a second table would be another 38.6 million
// parameters, three for every ten that there are.

template <class Real>
void LanguageModel<Real>::score(MatrixRef<const Real> x, MatrixRef<Real> logits) const {
  auto normed = Tensor<Real, 2>::from_shape({x.rows, x.columns});
  operations_->rms_norm(x, norm_f_weight, config_.norm_eps, as_matrix(normed));
  const auto& head = config_.tie_embeddings ? embedding_weight : lm_head_weight;
  const auto& compact = config_.tie_embeddings ? embedding_compact_ : lm_head_compact_;
  if (!compact.empty())
    return operations_->linear_compact(as_matrix(std::as_const(normed)), compact, {}, logits);
  operations_->linear(as_matrix(std::as_const(normed)), as_matrix(head), {}, logits);
}

// ## Three ways to ask {#language_model_ways}
//
// The forward pass gives the scores after every token. Training needs all of them, and so do
// comparisons.

template <class Real>
Tensor<Real, 3> LanguageModel<Real>::forward(const Tensor<std::int64_t, 2>& ids,
                                             const LanguageModelOptions& options) const {
  check_ids(ids);
  const Tensor<Real, 3> x = residual_stream(ids, nullptr, options);
  auto logits = Tensor<Real, 3>::from_shape({ids.shape(0), ids.shape(1), config_.padded_vocab_size()});
  score(as_rows(x), as_rows(logits));
  return logits;
}

// To continue a text only the last token's scores matter. A prompt of 2000 tokens would otherwise
// cost 2000 rows of 50288 scores, 400 megabytes, of which one row is used. So prefill() runs the
// layers over all tokens and the head over the last one: its rows lie one sequence apart in memory,
// and a mamba2::MatrixRef can say so without a copy.
//
// The tensors between the layers would still grow with the prompt. But
// @chapter{one_token_at_a_time} has shown that a text may be cut anywhere, if the cache goes from
// piece to piece. So a long prompt goes through in pieces of 512 tokens: enough for the products to
// be large, and however long the prompt is, the memory is that of one piece.

template <class Real>
Tensor<Real, 2> LanguageModel<Real>::prefill(const Tensor<std::int64_t, 2>& ids,
                                             LanguageModelCache<Real>& cache,
                                             const LanguageModelOptions& options) const {
  require(ids.shape(1) > 0, "ids", "at least one token", "none");
  require(options.piece > 0, "piece", "at least 1", "0");
  check_cache(cache);
  check_ids(ids);
  const std::size_t batch = ids.shape(0), seqlen = ids.shape(1), d_model = config_.mixer.d_model;
  auto logits = Tensor<Real, 2>::from_shape({batch, config_.padded_vocab_size()});
  for (std::size_t first = 0; first < seqlen; first += options.piece) {
    const std::size_t count = std::min(options.piece, seqlen - first);
    const Tensor<std::int64_t, 2> piece = xt::view(ids, xt::all(), xt::range(first, first + count));
    const Tensor<Real, 3> x = residual_stream(piece, &cache, options);
    if (first + count < seqlen) continue;
    score({x.data() + (count - 1) * d_model, batch, d_model, count * d_model}, as_matrix(logits));
  }
  return logits;
}

// After that, one token at a time, by the step of @chapter{one_token_at_a_time}. No shape in it
// depends on how many tokens came before.

template <class Real>
Tensor<Real, 2> LanguageModel<Real>::step(const Tensor<std::int64_t, 1>& ids,
                                          LanguageModelCache<Real>& cache) const {
  check_cache(cache);
  const std::size_t batch = ids.shape(0), d_model = config_.mixer.d_model;
  Tensor<std::int64_t, 2> column = Tensor<std::int64_t, 2>::from_shape({batch, 1});
  std::copy(ids.begin(), ids.end(), column.begin());
  check_ids(column);
  const Tensor<Real, 3> embedded = embed(column);
  auto x = Tensor<Real, 2>::from_shape({batch, d_model});
  std::copy(embedded.begin(), embedded.end(), x.begin());
  auto normed = Tensor<Real, 2>::from_shape({batch, d_model});
  for (std::size_t i = 0; i < layers.size(); ++i) {
    operations_->rms_norm(as_rows(std::as_const(x)), layers[i].norm_weight, config_.norm_eps,
                          as_matrix(normed));
    const Tensor<Real, 2> y = layers[i].mixer.step(normed, cache[i]);
    for (std::size_t k = 0; k < x.size(); ++k) x.data()[k] += y.data()[k];
  }
  auto logits = Tensor<Real, 2>::from_shape({batch, config_.padded_vocab_size()});
  score(as_rows(std::as_const(x)), as_matrix(logits));
  return logits;
}

template <class Real>
LanguageModelCache<Real> LanguageModel<Real>::empty_cache(std::size_t batch) const {
  LanguageModelCache<Real> cache;
  for (const auto& layer : layers) cache.push_back(layer.mixer.empty_cache(batch));
  return cache;
}

template <class Real>
void LanguageModel<Real>::check_cache(const LanguageModelCache<Real>& cache) const {
  if (cache.size() != layers.size())
    throw ShapeError("cache: expected one for each of " + std::to_string(layers.size()) +
                     " layers, got " + std::to_string(cache.size()));
}

template <class Real>
void LanguageModel<Real>::use(const Operations<Real>& operations) {
  for (auto& layer : layers) layer.mixer.use(operations);
  operations_ = &operations;
}

// ## Where a model starts {#language_model_start}
//
// A model whose parameters are zero is made first; whoever loads a checkpoint fills it through
// visit(), the walk over all parameters under their names. The names are those of the reference,
// since they are what checkpoints hold.

template <class Real>
LanguageModel<Real>::LanguageModel(const LanguageModelConfig& config) : config_(config) {
  config.check();
  const std::size_t d_model = config.mixer.d_model, rows = config.padded_vocab_size();
  embedding_weight = zeros<Real>(rows, d_model);
  for (std::size_t i = 0; i < config.n_layer; ++i)
    layers.push_back({zeros<Real>(d_model), {config.mixer, zero_parameters<Real>(config.mixer)}});
  norm_f_weight = zeros<Real>(d_model);
  if (!config.tie_embeddings) lm_head_weight = zeros<Real>(rows, d_model);
}

// Fresh parameters are drawn as the reference draws them. The embedding is normal with deviation
// 0.02: small, so that a tied head begins with scores near zero, and every token is about equally
// likely. Blocks begin as in @chapters{selection and mamba2_block}, with one change. If every block
// wrote to the blackboard with full strength, the variance of the stream would grow with the number
// of layers. So the weights by which a block writes, its output projection, are divided by
// $\sqrt{n}$; the sum of $n$ such contributions then has the size of one. Projections with a bias
// begin with a bias of zero.

template <class Real>
LanguageModel<Real>::LanguageModel(const LanguageModelConfig& config, std::uint64_t seed)
    : LanguageModel(config) {
  Random random(seed);
  for (Real& weight : embedding_weight) weight = static_cast<Real>(0.02 * random.normal());
  const auto shrink = static_cast<Real>(1 / std::sqrt(static_cast<double>(config.n_layer)));
  for (auto& layer : layers) {
    layer.norm_weight.fill(1);
    auto& p = layer.mixer.parameters();
    p = initial_parameters<Real>(config.mixer, random);
    for (Real& weight : p.out_proj_weight) weight *= shrink;
    p.in_proj_bias.fill(0);
    p.out_proj_bias.fill(0);
  }
  norm_f_weight.fill(1);
  const double bound = 1 / std::sqrt(static_cast<double>(config.mixer.d_model));
  for (Real& weight : lm_head_weight) weight = static_cast<Real>(random.uniform(-bound, bound));
}

// ## Counting {#language_model_count}
//
// How many parameters has `mamba2-130m`? The answer follows from the configuration alone, and it is
// worth having without building the model: it is what a checkpoint is checked against, before a
// byte of memory is set aside. This list says it all, name by name.

std::vector<ParameterShape> parameter_shapes(const LanguageModelConfig& config) {
  config.check();
  const Mamba2Config& c = config.mixer;
  const std::size_t vocab = config.padded_vocab_size();
  std::vector<ParameterShape> shapes = {{"backbone.embedding.weight", {vocab, c.d_model}}};
  for (std::size_t i = 0; i < config.n_layer; ++i) {
    const std::string layer = "backbone.layers." + std::to_string(i) + ".", mixer = layer + "mixer.";
    const auto add = [&](const std::string& name, std::vector<std::size_t> shape, bool present = true) {
      if (present) shapes.push_back({name, std::move(shape)});
    };
    add(layer + "norm.weight", {c.d_model});
    add(mixer + "dt_bias", {c.nheads()});
    add(mixer + "A_log", {c.nheads()});
    add(mixer + "D", {c.D_has_hdim ? c.ssm_channels() : c.nheads()});
    add(mixer + "in_proj.weight", {c.d_in_proj(), c.d_model});
    add(mixer + "in_proj.bias", {c.d_in_proj()}, c.bias);
    add(mixer + "conv1d.weight", {c.conv_dim(), 1, c.d_conv});
    add(mixer + "conv1d.bias", {c.conv_dim()}, c.conv_bias);
    add(mixer + "norm.weight", {c.ssm_channels()}, c.rmsnorm);
    add(mixer + "out_proj.weight", {c.d_model, c.d_inner()});
    add(mixer + "out_proj.bias", {c.d_model}, c.bias);
  }
  shapes.push_back({"backbone.norm_f.weight", {c.d_model}});
  if (!config.tie_embeddings) shapes.push_back({"lm_head.weight", {vocab, c.d_model}});
  return shapes;
}

std::size_t parameter_count(const LanguageModelConfig& config) {
  std::size_t sum = 0;
  for (const auto& [name, shape] : parameter_shapes(config)) {
    std::size_t product = 1;
    for (const std::size_t extent : shape)
      require(!__builtin_mul_overflow(product, extent, &product), "parameters", "a number that fits",
              shape_text(shape));
    require(!__builtin_add_overflow(sum, product, &sum), "parameters", "a number that fits", name);
  }
  return sum;
}

// Summed up for the published sizes, with `expand` 2, `headdim` 64, `d_state` 128, four taps and
// one group:
//
// @output sizes
//
// The names on the left are rounded versions of the numbers on the right.

template class LanguageModel<float>;
template class LanguageModel<double>;

}  // namespace mamba2
