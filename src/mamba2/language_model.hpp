/// \file language_model.hpp
/// \brief The language model: embedding, residual stream, head. Explained in @chapter{language_model}.
#pragma once

#include <mamba2/mixer_config.hpp>
#include <mamba2/mixers.hpp>
#include <mamba2/tensor.hpp>

#include <any>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace mamba2 {

/// \brief A branch of the residual stream, \f$x \leftarrow x + \mathrm{mixer}(\mathrm{norm}(x))\f$. A layer has one or two.
struct Branch {
  std::string norm;   ///< name of the norm's parameters in checkpoints, such as "backbone.layers.0.norm."
  std::string name;   ///< name of the mixer's, such as "backbone.layers.0.mixer."
  MixerConfig mixer;  ///< what it adds to the stream
};

/// \brief The sizes and options of a language model.
struct LanguageModelConfig {
  std::size_t n_layer;                      ///< number of layers
  std::size_t vocab_size;                   ///< number of tokens
  std::size_t pad_vocab_size_multiple = 8;  ///< the embedding has rows for the next multiple of this
  bool tie_embeddings = true;               ///< whether the head's weights are the embedding's
  double norm_eps = 1e-5;                   ///< added to the mean square in the norms before each mixer and the head
  MixerConfig mixer;                        ///< of every layer but those in other_mixers; its d_model is the model's
  std::map<std::size_t, MixerConfig> other_mixers = {};  ///< of single layers, by their numbers from 0
  std::size_t d_intermediate = 0;  ///< width of a gated MLP that follows each mixer, see GatedMlpConfig; 0 for none
  std::vector<std::int64_t> eos_token_ids = {};  ///< the tokens that end a text, where the configuration names any

  /// \brief Width of the residual stream. \return the mixers' d_model
  std::size_t d_model() const { return mixer->d_model(); }
  /// \brief Rows of embedding and head. \return vocab_size, rounded up to a multiple of pad_vocab_size_multiple
  std::size_t padded_vocab_size() const;
  /// \brief The branches of all layers. \return in the order in which they add to the stream
  std::vector<Branch> branches() const;
  /// \brief Refuse sizes and options that make no model.
  /// \throws ValueError naming the field, what it may be and what it is
  void check() const;
  /// \brief Whether two models are built alike. \return true if all fields are equal
  bool operator==(const LanguageModelConfig&) const = default;
};

/// \brief The two ways in which directories of models are written.
enum class CheckpointLayout {
  reference,    ///< `config.json` with `d_model` and `ssm_cfg`, weights in `pytorch_model.bin`
  hugging_face  ///< `config.json` with `hidden_size`, weights in `model.safetensors`
};

/// \brief Read a `config.json` of either kind.
/// \param text        its contents
/// \param where       its name, for messages
/// \param head_stored whether the weights hold a head of their own; decides about tied weights where the file does not
/// \return the configuration, checked
/// \throws FileError naming file, key and reason: not JSON, a missing key, a value of the wrong kind, another model, a key that is
///         not known and may change a result
LanguageModelConfig parse_config(std::string_view text, const std::string& where, bool head_stored = false);

/// \brief Write a `config.json`.
/// \param config what to write
/// \param layout which kind
/// \return its contents; parse_config() reads the same configuration from it
/// \throws ValueError naming an option that this kind of file cannot say; in the reference's layout eos_token_ids is one
std::string config_text(const LanguageModelConfig& config, CheckpointLayout layout);

/// \brief Read a `generation_config.json`, which may name tokens that end a text.
/// \param config its eos_token_ids receive those that are not among them yet
/// \param text   the contents of the file
/// \param where  its name, for messages
/// \throws FileError naming file, key and reason
void add_generation_config(LanguageModelConfig& config, std::string_view text, const std::string& where);

/// \brief Write a `generation_config.json`.
/// \param config its eos_token_ids are written
/// \return its contents
std::string generation_config_text(const LanguageModelConfig& config);

/// \brief All parameters of a model, without making it.
/// \param config sizes and options
/// \return what there is to say of each, in the order of a checkpoint
/// \throws ValueError if the configuration makes no model
std::vector<ParameterInfo> parameter_list(const LanguageModelConfig& config);

/// \brief How many numbers a model learns; tied weights count once.
/// \param config sizes and options
/// \return the sum over parameter_list()
/// \throws ValueError if the configuration makes no model, or the sum does not fit
std::size_t parameter_count(const LanguageModelConfig& config);

/// \brief The parameters of a branch.
template <class Real>
struct BranchParameters {
  Tensor<Real, 1> norm_weight;  ///< of the norm before the mixer, (d_model)
  MixerParameters<Real> mixer;  ///< the mixer's own
};

//: parameters
/// \brief The parameters of a model. Gradients and moments are sets of the same type.
template <class Real>
struct LanguageModelParameters {
  Tensor<Real, 2> embedding_weight;              ///< a row for each token, (padded_vocab_size, d_model)
  std::vector<BranchParameters<Real>> branches;  ///< in the order of LanguageModelConfig::branches()
  Tensor<Real, 1> norm_f_weight;                 ///< of the norm before the head, (d_model)
  Tensor<Real, 2> lm_head_weight;  ///< a row for each token, (padded_vocab_size, d_model); empty where tied
};
//: end

/// \brief Parameters of the shapes that a configuration asks for, all zero.
/// \param config sizes and options
/// \return parameters to be filled by a walk
/// \throws ValueError if the configuration makes no model
template <class Real>
LanguageModelParameters<Real> zero_parameters(const LanguageModelConfig& config);

/// \brief Parameters as training starts from, drawn as in the reference.
/// \param config sizes and options
/// \param random where the numbers come from
/// \return parameters
/// \throws ValueError if the configuration makes no model
template <class Real>
LanguageModelParameters<Real> initial_parameters(const LanguageModelConfig& config, Random& random);

/// \brief The numbers of a set of parameters.
/// \param parameters of a model
/// \return a span for each that is there, in the order of a checkpoint
template <class Real>
std::vector<std::span<Real>> parameter_spans(LanguageModelParameters<Real>& parameters);
/// \copydoc parameter_spans(LanguageModelParameters<Real>&)
template <class Real>
std::vector<std::span<const Real>> parameter_spans(const LanguageModelParameters<Real>& parameters);

/// \brief What a model remembers of the tokens it has seen: one cache for each branch; a value, which can be copied.
template <class Real>
class LanguageModelCache {
 public:
  /// \brief No branches.
  LanguageModelCache() = default;
  LanguageModelCache(const LanguageModelCache& other);
  LanguageModelCache& operator=(const LanguageModelCache& other) { return *this = LanguageModelCache(other); }
  LanguageModelCache(LanguageModelCache&&) noexcept = default;
  LanguageModelCache& operator=(LanguageModelCache&&) noexcept = default;
  ~LanguageModelCache() = default;

  /// \brief A cache of the same model that has seen nothing. \param texts how many \return the cache
  LanguageModelCache like(std::size_t texts) const;
  /// \brief Take over what another cache remembers of a text.
  /// \param row      a text of this cache
  /// \param from     another cache of the same model
  /// \param from_row a text of that one
  /// \throws ValueError for a row that is not there
  void take(std::size_t row, const LanguageModelCache& from, std::size_t from_row);
  /// \brief How many texts it is of. \return the batch
  std::size_t batch() const { return batch_; }
  /// \brief How many branches. \return their number
  std::size_t size() const { return branches_.size(); }
  /// \brief What a branch remembers. \param i its number \return its cache
  MixerCache<Real>& operator[](std::size_t i) { return *branches_[i]; }
  /// \copydoc operator[]()
  const MixerCache<Real>& operator[](std::size_t i) const { return *branches_[i]; }
  /// \brief The same as what it is. \tparam Cache such as Mamba2Cache<Real> \param i its number \return its cache
  /// \throws ValueError if it is of another mixer
  template <class Cache>
  Cache& as(std::size_t i) {
    auto* const cache = dynamic_cast<CacheOf<Real, Cache>*>(branches_[i].get());
    require(cache != nullptr, "cache", "one of another mixer", "this");
    return cache->cache;
  }

 private:
  template <class>
  friend class Predictor;
  std::size_t batch_ = 0;
  std::vector<std::unique_ptr<MixerCache<Real>>> branches_;
  Tensor<Real, 2> x_, normed_, y_;  // where a step computes, (batch, d_model)
};

/// \brief The tensors in between of a forward pass, for gradients.
template <class Real>
struct LanguageModelActivations {
  std::vector<Tensor<Real, 3>> streams;  ///< before each branch, and after the last one, (batch, seqlen, d_model)
  std::vector<std::any> branches;        ///< of each mixer, of its own kind, such as Mamba2Activations<Real>
  bool streams_only = false;             ///< asked for by the caller: what the mixers keep is left out
};

/// \brief How a model computes; changes speed, not results.
struct LanguageModelOptions {
  Algorithm algorithm = Algorithm::chunked;  ///< which of the equal forms of the scan
  std::size_t chunk_size = 0;                ///< Q of the chunked form; 0 for the one that suits the operations in use
  std::size_t piece = 512;  ///< prefill() reads a text in pieces of so many tokens, so that its memory does not grow
};

/// \brief What predicts: ids of tokens in, for each a score for every token that could come next out. A LanguageModel is one, and
/// others keep their weights in another form; this is all that writing and measuring need to know.
template <class Real>
class Predictor {
 public:
  Predictor(const Predictor&) = delete;
  Predictor& operator=(const Predictor&) = delete;
  virtual ~Predictor() = default;

  /// \brief The scores after every token.
  /// \param ids     tokens, (batch, seqlen)
  /// \param options the algorithm
  /// \param keep    receives the tensors in between; null: they are dropped
  /// \return logits, (batch, seqlen, padded_vocab_size)
  /// \throws ValueError for an id outside the vocabulary, with its place
  Tensor<Real, 3> forward(const Tensor<std::int64_t, 2>& ids, const LanguageModelOptions& options = {},
                          LanguageModelActivations<Real>* keep = nullptr) const;
  /// \brief Read a piece of text and keep what is needed to go on, with the scores after every token.
  /// \param ids     tokens, (batch, seqlen)
  /// \param cache   what came before on entry, the tokens included on return
  /// \param options the algorithm
  /// \param keep    receives the tensors in between; null: they are dropped
  /// \return logits, (batch, seqlen, padded_vocab_size)
  /// \throws ValueError for an id outside the vocabulary, with its place
  /// \throws ShapeError for a cache of another batch or model
  Tensor<Real, 3> forward(const Tensor<std::int64_t, 2>& ids, LanguageModelCache<Real>& cache,
                          const LanguageModelOptions& options = {},
                          LanguageModelActivations<Real>* keep = nullptr) const;
  /// \brief Read a piece of text and keep what is needed to go on: only the last token's scores are computed.
  /// \param ids     tokens, (batch, seqlen), at least one
  /// \param cache   what came before on entry, the tokens included on return
  /// \param options the algorithm
  /// \return logits after the last token, (batch, padded_vocab_size)
  /// \throws ValueError for an id outside the vocabulary, with its place, or for no tokens
  /// \throws ShapeError for a cache of another batch or model
  Tensor<Real, 2> prefill(const Tensor<std::int64_t, 2>& ids, LanguageModelCache<Real>& cache,
                          const LanguageModelOptions& options = {}) const;
  /// \brief One more token of each text.
  /// \param ids   tokens, (batch)
  /// \param cache what came before on entry, the tokens included on return
  /// \return logits after them, (batch, padded_vocab_size)
  /// \throws ValueError for an id outside the vocabulary
  /// \throws ShapeError for a cache of another batch or model
  Tensor<Real, 2> step(const Tensor<std::int64_t, 1>& ids, LanguageModelCache<Real>& cache) const;
  /// \brief The same into memory of the caller's: after the first step with a cache nothing is set aside.
  /// \param ids    tokens, one of each text
  /// \param cache  what came before on entry, the tokens included on return
  /// \param logits receives the scores, (batch, padded_vocab_size)
  /// \throws ValueError for an id outside the vocabulary
  /// \throws ShapeError for logits or a cache of another batch or model
  void step(std::span<const std::int64_t> ids, LanguageModelCache<Real>& cache, MatrixRef<Real> logits) const;
  /// \brief A cache that has seen nothing. \param batch how many texts \return zeros
  LanguageModelCache<Real> empty_cache(std::size_t batch) const;

  /// \brief Sizes and options. \return the configuration
  const LanguageModelConfig& config() const { return config_; }
  /// \brief The mixer of a branch, as it computes. \param branch its number \return a reference
  const Mixer<Real>& mixer(std::size_t branch) const { return *branches_.at(branch).mixer; }
  /// \brief Compute with other operations from now on. \param operations a table that outlives the model
  void use(const Operations<Real>& operations) { operations_ = &operations; }
  /// \brief What it computes with. \return the table
  const Operations<Real>& operations() const { return *operations_; }

 protected:
  Predictor() = default;
  Predictor(Predictor&&) noexcept = default;
  Predictor& operator=(Predictor&&) noexcept = default;

  /// \brief Compute from parameters from now on.
  /// \param config     sizes and options
  /// \param parameters they must outlive the predictor, but for those that `keep` uses up
  /// \param keep       how to keep large weights
  /// \param ready      called with the number of each branch just before its parameters are needed; may be empty
  /// \throws ShapeError naming the parameter whose shape disagrees
  void bind(const LanguageModelConfig& config, LanguageModelParameters<Real>& parameters, const KeepWeight<Real>& keep,
            const std::function<void(std::size_t branch)>& ready = {});

 private:
  struct Bound {  // a branch as it computes
    std::span<const Real> norm_weight;
    std::unique_ptr<Mixer<Real>> mixer;
  };
  void check_ids(std::span<const std::int64_t> ids, std::size_t seqlen) const;
  void embed(std::span<const std::int64_t> ids, MatrixRef<Real> x) const;
  Tensor<Real, 3> residual_stream(const Tensor<std::int64_t, 2>& ids, LanguageModelCache<Real>* cache,
                                  const LanguageModelOptions& options, LanguageModelActivations<Real>* keep) const;
  void score(MatrixRef<const Real> x, MatrixRef<Real> normed, MatrixRef<Real> logits) const;
  Tensor<Real, 3> scores(const Tensor<Real, 3>& x) const;
  void check_cache(const LanguageModelCache<Real>& cache, std::size_t batch) const;

  LanguageModelConfig config_;
  WeightPtr<Real> embedding_, head_;
  std::vector<Bound> branches_;
  std::span<const Real> norm_f_weight_;
  const Operations<Real>* operations_ = &default_operations<Real>();
};

/// \brief A language model with parameters of its own: it can be trained and saved.
template <class Real>
class LanguageModel final : public Predictor<Real> {
 public:
  /// \brief A model with given parameters.
  /// \param config     sizes and options
  /// \param parameters tensors of the shapes that the configuration asks for
  /// \throws ValueError if the configuration makes no model
  /// \throws ShapeError naming the parameter whose shape disagrees
  LanguageModel(const LanguageModelConfig& config, LanguageModelParameters<Real> parameters);
  /// \brief A model with fresh parameters, drawn as in the reference.
  /// \param config sizes and options
  /// \param seed   the same seed gives the same parameters
  /// \throws ValueError if the configuration makes no model
  LanguageModel(const LanguageModelConfig& config, std::uint64_t seed);
  /// \brief A model of its own with the same parameters. \param other the model to copy
  LanguageModel(const LanguageModel& other) : LanguageModel(other.config(), other.parameters_) {
    this->use(other.operations());
  }
  LanguageModel& operator=(const LanguageModel& other) { return *this = LanguageModel(other); }
  LanguageModel(LanguageModel&&) noexcept = default;
  LanguageModel& operator=(LanguageModel&&) noexcept = default;
  ~LanguageModel() override = default;

  /// \brief The weights. \return a reference
  const LanguageModelParameters<Real>& parameters() const { return parameters_; }
  /// \brief Change the weights. What the model has derived from them is derived again afterwards.
  /// \param change called as change(parameters)
  /// \throws ShapeError naming a parameter that has another shape now
  template <class Change>
  void update(Change&& change) {
    change(parameters_);
    this->bind(this->config(), parameters_, full_weight<Real>);
  }
  /// \brief Take the weights out, for a model that keeps them in another form. \return all of them; the model is empty afterwards
  LanguageModelParameters<Real> release() && { return std::move(parameters_); }

 private:
  LanguageModelParameters<Real>
      parameters_;  // what the predictor refers to; its numbers stay in place when the model moves
};

/// \brief Walk in step over any number of sets of parameters of a model.
/// \param config what describes them
/// \param visit  called as visit(info, spans...) for each parameter, one span of its numbers for each set, in their order
/// \param sets   parameters, gradients, moments ...: const or not, of float or double
/// \throws ShapeError naming a parameter that has another number of numbers in one of the sets
template <class Visitor, class... Sets>
void walk(const LanguageModelConfig& config, Visitor&& visit, Sets&... sets) {
  walk_spans(parameter_list(config), visit, parameter_spans(sets)...);
}

}  // namespace mamba2
