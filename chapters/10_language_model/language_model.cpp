// # The language model {#ch_language_model}
// @summary Embedding, residual stream and head, a measure of how good they are, and checkpoints read byte by byte, trusted in nothing.
//
// A block turns a sequence of vectors into another one. It knows nothing of words. To make a
// language model of it takes surprisingly little: a table with a vector for each token in front, a
// stack of blocks in between, and a table of scores behind. All of it, with the loops, is the first
// part of this chapter; the second asks how good such a model is.
//
// The rest is about files. The models that one wants to run were trained elsewhere, in another
// language, at a price of many thousand hours of GPU time, and what is left of that is a directory:
// a configuration of a few lines and some hundred million numbers. If one of the numbers goes to
// the wrong place, nothing crashes. The model simply writes nonsense, and nobody can say why. So
// this chapter reads a checkpoint byte by byte and checks every claim that it makes.
//
// ## What it builds on {#language_model_builds_on}
//
// @Chapter{mamba2_block} for mamba2::Mamba2Mixer, for parameters that are described once, and for
// the table of operations, the norm among them; @chapter{one_token_at_a_time} for the cache and the
// step of a block; @chapter{selection} for mamba2::Random and Mamba-1's scan,
// @chapter{convolution_and_norm} for the convolution before it, and @chapter{real_sequences} for
// softplus().
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
// ## The same numbers {#language_model_result}
//
// This is where the chapter leads: a model that others have saved is loaded, and the scores that it
// gives are theirs. Four of the scores after one of the texts, and all of them together:
//
// @output reference
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
// $$ \begin{aligned} x^{(0)} &= E_t, \\ x^{(i)} &= x^{(i-1)} + \mathrm{mixer}_i(\mathrm{norm}_i(x^{(i-1)})), \\ \mathrm{logits} &= H\, \mathrm{norm}_f(x^{(n)}). \end{aligned} $$ {#eq:language_model}
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
  at_least_one("d_intermediate", std::max<std::size_t>(d_intermediate, 1), std::size_t{1} << 24);
  require(norm_eps >= 0 && norm_eps < 1, "norm_eps", "a small positive number",
          std::to_string(norm_eps));
  mixer->check();
  for (const auto& [layer, other] : other_mixers) {
    require(layer < n_layer, "layer of another mixer", "less than " + std::to_string(n_layer),
            std::to_string(layer));
    other->check();
    require(other->d_model() == d_model(), "d_model", std::to_string(d_model()) + " in every layer",
            std::to_string(other->d_model()));
  }
}

// ## Layers of any kind {#language_model_layers}
//
// Look at the formula again: it does not say what a mixer is. Vectors go in, one for each token,
// and vectors of the same width come out; token can speak to token on the way. That is all a model
// need know, and the layers of one model may even differ. So here is what it may ask of a mixer, of
// whatever kind:
//
// @quote src/mamba2/mixer.hpp#mixer
//
// mamba2::Mamba2Mixer can do all this already, with types of its own for what it remembers and
// keeps. mamba2::MixerOf and mamba2::CacheOf put any such class behind the interface; no mixer has
// to know of it. Besides, a configuration has to say *which* mixer a layer has, with which options.
// A mamba2::MixerConfig holds the options of any kind, and can make the parameters and the mixer
// that belong to them. It learns what those are from a few lines beside each mixer:
//
// @quote src/mamba2/mixers.hpp#traits
//
// So the model that follows need not be touched when a mixer is added. The tests give it one that
// exists nowhere else.
//
// Many models put a second branch into each layer, behind the first: once more a norm, then a small
// network that works on every token by itself, an *MLP*. Where a mixer of the first kind mixes
// tokens, this one mixes channels; to the residual stream it is one more term, and here it is one
// more mixer, that has nothing to remember. The published Mamba-2 models have none
// (`d_intermediate` is 0).

std::vector<Branch> LanguageModelConfig::branches() const {
  std::vector<Branch> all;
  for (std::size_t i = 0; i < n_layer; ++i) {
    const std::string layer = "backbone.layers." + std::to_string(i) + ".";
    const auto other = other_mixers.find(i);
    all.push_back({.norm = layer + "norm.",
                   .name = layer + "mixer.",
                   .mixer = other == other_mixers.end() ? mixer : other->second});
    if (d_intermediate > 0)
      all.push_back({.norm = layer + "norm2.",
                     .name = layer + "mlp.",
                     .mixer = GatedMlpConfig{.d_model = d_model(), .d_intermediate = d_intermediate}});
  }
  return all;
}

// ## What is learnt {#language_model_parameters}
//
// The parameters of a model stand apart from the model that computes with them. They are a struct
// of tensors, as those of a block are; only what belongs to a mixer is held in a box, since each
// kind has parameters of its own.
//
// @quote src/mamba2/language_model.hpp#parameters
//
// Gradients are numbers of the same shapes, and so are the moments that an optimiser keeps. They
// need no new type: they are sets of parameters, too.
//
// What there is to say of each parameter follows from the configuration alone, and it is worth
// having without building the model: it is what a checkpoint is checked against, before a byte of
// memory is set aside. The names are those of the reference, since they are what checkpoints hold.

namespace {

ParameterInfo norm_info(const std::string& name, std::size_t d_model) {
  return {.name = name + "weight", .shape = {d_model}, .axes = "(d_model)", .initial = constant(1)};
}

ParameterInfo table_info(const std::string& name, const LanguageModelConfig& config, Initial initial) {
  const std::size_t rows = config.padded_vocab_size();
  return {.name = name,
          .shape = {rows, config.d_model()},
          .axes = "(padded_vocab_size, d_model)",
          .role = Role::weight,
          .decays = true,
          .split = {Split::How::cut, 0, {{rows}}},
          .initial = std::move(initial)};
}

}  // namespace

// The list itself goes through the model from the embedding to the head.

std::vector<ParameterInfo> parameter_list(const LanguageModelConfig& config) {
  config.check();
  const auto branches = config.branches();
  const double quiet = 1 / std::sqrt(static_cast<double>(branches.size()));
  std::vector<ParameterInfo> list = {
      table_info("backbone.embedding.weight", config,
                 [](Random& random, std::size_t) { return 0.02 * random.normal(); })};
  for (const Branch& branch : branches) {
    list.push_back(norm_info(branch.norm, config.d_model()));
    for (ParameterInfo& info : branch.mixer->parameters()) {
      info.name = branch.name + info.name;
      if (info.role == Role::bias) info.initial = constant(0);
      if (info.role == Role::output_weight)
        info.initial = [quiet, loud = info.initial](Random& random, std::size_t i) {
          return quiet * loud(random, i);
        };
      list.push_back(std::move(info));
    }
  }
  list.push_back(norm_info("backbone.norm_f.", config.d_model()));
  if (!config.tie_embeddings)
    list.push_back(table_info("lm_head.weight", config,
                              evenly(1 / std::sqrt(static_cast<double>(config.d_model())))));
  return list;
}

// The initial values are the reference's. The embedding is normal with deviation 0.02: small, so
// that a tied head begins with scores near zero, and every token is about equally likely. Mixers
// begin as in @chapters{selection and mamba2_block}, with two changes. If every mixer wrote to the
// stream with full strength, the variance of the stream would grow with the number of branches. So
// the weight by which a mixer writes, its output projection, is divided by $\sqrt{n}$; the sum of
// $n$ such contributions then has the size of one. And projections with a bias begin with a bias of
// zero.
//
// All else is a walk. A set of zeros:

template <class Real>
LanguageModelParameters<Real> zero_parameters(const LanguageModelConfig& config) {
  config.check();
  const std::size_t d_model = config.d_model(), rows = config.padded_vocab_size();
  LanguageModelParameters<Real> parameters;
  parameters.embedding_weight = zeros<Real>(rows, d_model);
  for (const Branch& branch : config.branches()) {
    parameters.branches.push_back({zeros<Real>(d_model), {}});
    branch.mixer->set_zero(parameters.branches.back().mixer);
  }
  parameters.norm_f_weight = zeros<Real>(d_model);
  if (!config.tie_embeddings) parameters.lm_head_weight = zeros<Real>(rows, d_model);
  return parameters;
}

// The order in which a set shows its numbers, which is that of the list above:

namespace {

template <class Real, class Set>
std::vector<std::span<Real>> spans_of(Set& parameters) {
  std::vector<std::span<Real>> spans;
  const auto add = [&](auto& tensor) { spans.emplace_back(tensor.data(), tensor.size()); };
  add(parameters.embedding_weight);
  for (auto& branch : parameters.branches) {
    add(branch.norm_weight);
    for (const auto& span : branch.mixer.spans()) spans.push_back(span);
  }
  add(parameters.norm_f_weight);
  if (parameters.lm_head_weight.size() > 0) add(parameters.lm_head_weight);
  return spans;
}

}  // namespace

template <class Real>
std::vector<std::span<Real>> parameter_spans(LanguageModelParameters<Real>& parameters) {
  return spans_of<Real>(parameters);
}
template <class Real>
std::vector<std::span<const Real>> parameter_spans(const LanguageModelParameters<Real>& parameters) {
  return spans_of<const Real>(parameters);
}

// Fresh ones:

template <class Real>
LanguageModelParameters<Real> initial_parameters(const LanguageModelConfig& config, Random& random) {
  auto parameters = zero_parameters<Real>(config);
  walk(
      config,
      [&](const ParameterInfo& info, std::span<Real> values) { draw<Real>(info, random, values); },
      parameters);
  return parameters;
}

// And their number, for which nothing need exist:

std::size_t parameter_count(const LanguageModelConfig& config) {
  std::size_t sum = 0;
  for (const ParameterInfo& info : parameter_list(config)) {
    std::size_t product = 1;
    for (const std::size_t extent : info.shape)
      require(!__builtin_mul_overflow(product, extent, &product), "parameters", "a number that fits",
              shape_text(info.shape));
    require(!__builtin_add_overflow(sum, product, &sum), "parameters", "a number that fits", info.name);
  }
  return sum;
}

// Summed up for the published sizes, with `expand` 2, `headdim` 64, `d_state` 128, four taps and
// one group:
//
// @output sizes
//
// The names on the left are rounded versions of the numbers on the right.
//
// ## What computes {#language_model_predictor}
//
// To compute, a model needs less than its parameters: something to look up rows in, something to
// multiply by, mixers. It need not know in which form their numbers are kept. This part is
// mamba2::Predictor: tokens in, scores out. mamba2::LanguageModel is a predictor that has all of
// its parameters, so that it can be trained and saved.
//
// A predictor is *bound* to parameters: each large one becomes a Weight, each mixer is made from
// its share. Here those are found to have the right shapes, or not.

template <class Real>
void Predictor<Real>::bind(const LanguageModelConfig& config, LanguageModelParameters<Real>& p,
                           const KeepWeight<Real>& keep,
                           const std::function<void(std::size_t)>& ready) {
  config.check();
  const std::array<std::size_t, 2> table{config.padded_vocab_size(), config.d_model()};
  const char* const axes = "(padded_vocab_size, d_model)";
  require_shape("embedding", p.embedding_weight, table, axes);
  require_shape("norm_f", p.norm_f_weight, {table[1]}, "(d_model)");
  if (!config.tie_embeddings) require_shape("lm_head", p.lm_head_weight, table, axes);
  const auto branches = config.branches();
  require(p.branches.size() == branches.size(), "branches", std::to_string(branches.size()),
          std::to_string(p.branches.size()));

  config_ = config;
  embedding_ = keep(p.embedding_weight);
  head_ = config.tie_embeddings ? embedding_ : keep(p.lm_head_weight);
  norm_f_weight_ = as_span(p.norm_f_weight);
  branches_.clear();
  for (std::size_t i = 0; i < branches.size(); ++i) {
    if (ready) ready(i);
    require_shape("norm", p.branches[i].norm_weight, {table[1]}, "(d_model)");
    branches_.push_back(
        {as_span(p.branches[i].norm_weight), branches[i].mixer->make(p.branches[i].mixer, keep)});
  }
}

// A model brings its parameters along, given or drawn.

template <class Real>
LanguageModel<Real>::LanguageModel(const LanguageModelConfig& config,
                                   LanguageModelParameters<Real> parameters)
    : parameters_(std::move(parameters)) {
  this->bind(config, parameters_, full_weight<Real>);
}

template <class Real>
LanguageModel<Real>::LanguageModel(const LanguageModelConfig& config, std::uint64_t seed) {
  Random random(seed);
  parameters_ = initial_parameters<Real>(config, random);
  this->bind(config, parameters_, full_weight<Real>);
}

// A copy is bound to its own parameters. Whoever changes a model's parameters does it inside
// LanguageModel::update(), which binds it again: what follows from a parameter, such as the rates
// $A$ of a block, is computed there and not for every token.
//
// ## The embedding {#language_model_embedding}
//
// To *embed* a token is to look up its row. As a matrix product it would be a row of zeros with a
// single one, times $E$; as code it is a copy. It is also the only place where an integer from
// outside becomes an index, so it is the place to check it. The message says which token of which
// text it was.

template <class Real>
void Predictor<Real>::check_ids(std::span<const std::int64_t> ids, std::size_t seqlen) const {
  const std::size_t vocabulary = embedding_->rows();
  for (std::size_t i = 0; i < ids.size(); ++i) {
    if (ids[i] >= 0 && static_cast<std::size_t>(ids[i]) < vocabulary) continue;
    require(false, "ids", "0 to " + std::to_string(vocabulary - 1),
            std::to_string(ids[i]) + " at " + shape_text(std::array{i / seqlen, i % seqlen}));
  }
}

template <class Real>
void Predictor<Real>::embed(std::span<const std::int64_t> ids, MatrixRef<Real> x) const {
  for (std::size_t i = 0; i < ids.size(); ++i)
    embedding_->row(static_cast<std::size_t>(ids[i]), {x[i], x.columns});
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
// larger than each of them, as the program of this chapter shows. So each block looks at the
// stream through a norm, which gives it inputs of one size whatever has been added before. The norm
// stands *before* the block, on the branch, and not on the stream itself: the sum above stays a
// sum.
//
// The reference keeps the stream in float32 even where everything else is in half precision
// (`residual_in_fp32`). Adding a small number to a large one is where few digits hurt: in bfloat16,
// with its two and a half digits, a contribution of a thousandth of what is there would vanish
// whole. Here `Real` is float or double throughout, so this comes for free.

template <class Real>
Tensor<Real, 3> Predictor<Real>::residual_stream(const Tensor<std::int64_t, 2>& ids,
                                                 LanguageModelCache<Real>* cache,
                                                 const LanguageModelOptions& options,
                                                 LanguageModelActivations<Real>* keep) const {
  auto x = Tensor<Real, 3>::from_shape({ids.shape(0), ids.shape(1), config_.d_model()});
  auto normed = Tensor<Real, 3>::from_shape(x.shape()), y = normed;
  embed({ids.data(), ids.size()}, as_rows(x));
  if (keep) *keep = {{}, std::vector<std::any>(branches_.size()), keep->streams_only};
  for (std::size_t i = 0; i < branches_.size(); ++i) {
    if (keep) keep->streams.push_back(x);
    operations_->rms_norm(as_rows(std::as_const(x)), branches_[i].norm_weight, config_.norm_eps,
                          as_rows(normed));
    branches_[i].mixer->forward({.u = as_rows(std::as_const(normed)),
                                 .batch = ids.shape(0),
                                 .algorithm = options.algorithm,
                                 .chunk_size = options.chunk_size},
                                cache ? &(*cache)[i] : nullptr, *operations_,
                                keep && !keep->streams_only ? &keep->branches[i] : nullptr, as_rows(y));
    for (std::size_t k = 0; k < x.size(); ++k) x.data()[k] += y.data()[k];
  }
  if (keep) keep->streams.push_back(x);
  return x;
}

// `cache` is null where nothing came before and nothing will follow. Otherwise each mixer goes on
// from its own cache and leaves it as the next piece of text needs it. `keep` is for those who want
// gradients: it receives the stream as each branch has found it and, unless it asks for nothing but
// the streams, whatever the mixers keep.
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
void Predictor<Real>::score(MatrixRef<const Real> x, MatrixRef<Real> normed,
                            MatrixRef<Real> logits) const {
  operations_->rms_norm(x, norm_f_weight_, config_.norm_eps, normed);
  head_->multiply(normed, {}, logits, *operations_);
}

// ## Three ways to ask {#language_model_ways}
//
// The forward pass gives the scores after every token. Training needs all of them, and so do
// comparisons.

template <class Real>
Tensor<Real, 3> Predictor<Real>::scores(const Tensor<Real, 3>& x) const {
  auto normed = Tensor<Real, 3>::from_shape(x.shape());
  auto logits = Tensor<Real, 3>::from_shape({x.shape(0), x.shape(1), config_.padded_vocab_size()});
  score(as_rows(x), as_rows(normed), as_rows(logits));
  return logits;
}

template <class Real>
Tensor<Real, 3> Predictor<Real>::forward(const Tensor<std::int64_t, 2>& ids,
                                         const LanguageModelOptions& options,
                                         LanguageModelActivations<Real>* keep) const {
  check_ids({ids.data(), ids.size()}, ids.shape(1));
  return scores(residual_stream(ids, nullptr, options, keep));
}

// The same for a piece of a longer text: the cache brings what came before, and takes along what
// the next piece needs.

template <class Real>
Tensor<Real, 3> Predictor<Real>::forward(const Tensor<std::int64_t, 2>& ids,
                                         LanguageModelCache<Real>& cache,
                                         const LanguageModelOptions& options,
                                         LanguageModelActivations<Real>* keep) const {
  check_cache(cache, ids.shape(0));
  check_ids({ids.data(), ids.size()}, ids.shape(1));
  return scores(residual_stream(ids, &cache, options, keep));
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
Tensor<Real, 2> Predictor<Real>::prefill(const Tensor<std::int64_t, 2>& ids,
                                         LanguageModelCache<Real>& cache,
                                         const LanguageModelOptions& options) const {
  const std::size_t batch = ids.shape(0), seqlen = ids.shape(1), d_model = config_.d_model();
  require(seqlen > 0, "ids", "at least one token", "none");
  require(options.piece > 0, "piece", "at least 1", "0");
  check_cache(cache, batch);
  check_ids({ids.data(), ids.size()}, seqlen);
  auto logits = Tensor<Real, 2>::from_shape({batch, config_.padded_vocab_size()});
  auto normed = Tensor<Real, 2>::from_shape({batch, d_model});
  for (std::size_t first = 0; first < seqlen; first += options.piece) {
    const std::size_t count = std::min(options.piece, seqlen - first);
    const Tensor<std::int64_t, 2> piece = xt::view(ids, xt::all(), xt::range(first, first + count));
    const Tensor<Real, 3> x = residual_stream(piece, &cache, options, nullptr);
    if (first + count < seqlen) continue;
    score({x.data() + (count - 1) * d_model, batch, d_model, count * d_model}, as_matrix(normed),
          as_matrix(logits));
  }
  return logits;
}

// After that, one token at a time, by the mixers' steps. No shape in it depends on how many tokens
// came before. Nor does it ask for memory: whatever a step computes on its way lies in the cache,
// since the first step with it, and the scores go where the caller says. A program that writes a
// million tokens sets nothing aside after the first. The tests count.

template <class Real>
void Predictor<Real>::step(std::span<const std::int64_t> ids, LanguageModelCache<Real>& cache,
                           MatrixRef<Real> logits) const {
  const std::size_t batch = ids.size(), d_model = config_.d_model();
  check_cache(cache, batch);
  require_size("logits", logits, {batch, config_.padded_vocab_size()}, "(batch, padded_vocab_size)");
  check_ids(ids, 1);
  for (auto* const room : {&cache.x_, &cache.normed_, &cache.y_}) room->resize({batch, d_model});
  const MatrixRef<Real> x = as_matrix(cache.x_), normed = as_matrix(cache.normed_),
                        y = as_matrix(cache.y_);
  embed(ids, x);
  for (std::size_t i = 0; i < branches_.size(); ++i) {
    operations_->rms_norm(x, branches_[i].norm_weight, config_.norm_eps, normed);
    branches_[i].mixer->step(normed, cache[i], *operations_, y);
    for (std::size_t k = 0; k < batch * d_model; ++k) x.data[k] += y.data[k];
  }
  score(x, normed, logits);
}

template <class Real>
Tensor<Real, 2> Predictor<Real>::step(const Tensor<std::int64_t, 1>& ids,
                                      LanguageModelCache<Real>& cache) const {
  auto logits = Tensor<Real, 2>::from_shape({ids.size(), config_.padded_vocab_size()});
  step({ids.data(), ids.size()}, cache, as_matrix(logits));
  return logits;
}

// The cache of a model is a cache for each mixer. It is a value: a copy is another continuation of
// the same text. What a mixer remembers is its own business, so copying is asked of the mixers'
// caches: one like it, and then row by row, text by text.

template <class Real>
LanguageModelCache<Real> LanguageModelCache<Real>::like(std::size_t texts) const {
  LanguageModelCache cache;
  cache.batch_ = texts;
  for (const auto& branch : branches_) cache.branches_.push_back(branch->like(texts));
  return cache;
}

template <class Real>
LanguageModelCache<Real>::LanguageModelCache(const LanguageModelCache& other)
    : LanguageModelCache(other.like(other.batch_)) {
  for (std::size_t row = 0; row < batch_; ++row) take(row, other, row);
}

template <class Real>
void LanguageModelCache<Real>::take(std::size_t row, const LanguageModelCache& from,
                                    std::size_t from_row) {
  require(from.size() == size() && row < batch_ && from_row < from.batch_, "row",
          "one of a cache of the same model", std::to_string(from_row));
  for (std::size_t i = 0; i < size(); ++i) branches_[i]->take(row, from[i], from_row);
}

// An empty one asks each mixer for its own; and a cache of another model is refused.

template <class Real>
LanguageModelCache<Real> Predictor<Real>::empty_cache(std::size_t batch) const {
  LanguageModelCache<Real> cache;
  cache.batch_ = batch;
  for (const auto& branch : branches_) cache.branches_.push_back(branch.mixer->empty_cache(batch));
  return cache;
}

template <class Real>
void Predictor<Real>::check_cache(const LanguageModelCache<Real>& cache, std::size_t batch) const {
  if (cache.size() != branches_.size())
    throw ShapeError("cache: expected one for each of " + std::to_string(branches_.size()) +
                     " mixers, got " + std::to_string(cache.size()));
  if (cache.batch() != batch)
    throw ShapeError("cache: expected one of " + std::to_string(batch) + " texts, got one of " +
                     std::to_string(cache.batch()));
}

template LanguageModelParameters<float> zero_parameters(const LanguageModelConfig&);
template LanguageModelParameters<double> zero_parameters(const LanguageModelConfig&);
template LanguageModelParameters<float> initial_parameters(const LanguageModelConfig&, Random&);
template LanguageModelParameters<double> initial_parameters(const LanguageModelConfig&, Random&);
template std::vector<std::span<float>> parameter_spans(LanguageModelParameters<float>&);
template std::vector<std::span<double>> parameter_spans(LanguageModelParameters<double>&);
template std::vector<std::span<const float>> parameter_spans(const LanguageModelParameters<float>&);
template std::vector<std::span<const double>> parameter_spans(const LanguageModelParameters<double>&);
template class LanguageModelCache<float>;
template class LanguageModelCache<double>;
template class Predictor<float>;
template class Predictor<double>;
template class LanguageModel<float>;
template class LanguageModel<double>;

}  // namespace mamba2
