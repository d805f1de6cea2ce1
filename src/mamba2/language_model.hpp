/// \file language_model.hpp
/// \brief The language model: embedding, residual stream, head. Explained in @chapter{language_model}.
#pragma once

#include <mamba2/block.hpp>
#include <mamba2/tensor.hpp>

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace mamba2 {

/// \brief The sizes and options of a language model.
struct LanguageModelConfig {
  std::size_t n_layer;                      ///< number of blocks
  std::size_t vocab_size;                   ///< number of tokens
  std::size_t pad_vocab_size_multiple = 8;  ///< the embedding has rows for the next multiple of this
  bool tie_embeddings = true;               ///< whether the head's weights are the embedding's
  double norm_eps = 1e-5;                   ///< added to the mean square in the norms before each block and the head
  Mamba2Config mixer;                       ///< each of the blocks; its d_model is the model's
  std::vector<std::int64_t> eos_token_ids = {};  ///< the tokens that end a text, where the configuration names any

  /// \brief Rows of embedding and head. \return vocab_size, rounded up to a multiple of pad_vocab_size_multiple
  std::size_t padded_vocab_size() const;
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

/// \brief A parameter's name in checkpoints of the reference, and its shape.
struct ParameterShape {
  std::string name;                ///< such as "backbone.layers.0.mixer.in_proj.weight"
  std::vector<std::size_t> shape;  ///< such as (3352, 768)
};

/// \brief All parameters of a model, without making it.
/// \param config sizes and options
/// \return names and shapes in the order of the model's visit()
/// \throws ValueError if the configuration makes no model
std::vector<ParameterShape> parameter_shapes(const LanguageModelConfig& config);

/// \brief How many numbers a model learns; tied weights count once.
/// \param config sizes and options
/// \return the sum over parameter_shapes()
/// \throws ValueError if the configuration makes no model, or the sum does not fit
std::size_t parameter_count(const LanguageModelConfig& config);

/// \brief One layer: \f$x \leftarrow x + \mathrm{mixer}(\mathrm{norm}(x))\f$.
template <class Real>
struct Layer {
  Tensor<Real, 1> norm_weight;  ///< of the norm before the block, (d_model)
  Mamba2Block<Real> mixer;      ///< the block
};

/// \brief What a model remembers of the tokens it has seen: one cache for each layer.
template <class Real>
using LanguageModelCache = std::vector<Mamba2Cache<Real>>;

/// \brief How a model computes; changes speed, not results.
struct LanguageModelOptions {
  Algorithm algorithm = Algorithm::chunked;  ///< which of the equal forms of the scan
  std::size_t chunk_size = 0;                ///< Q of the chunked form; 0 for the one that suits the operations in use
  std::size_t piece = 512;  ///< prefill() reads a text in pieces of so many tokens, so that its memory does not grow
};

/// \brief A language model: ids of tokens in, for each a score for every token that could come next out.
template <class Real>
class LanguageModel {
 public:
  /// \brief A model whose parameters are all zero, to be filled through visit().
  /// \param config sizes and options
  /// \throws ValueError if the configuration makes no model
  explicit LanguageModel(const LanguageModelConfig& config);
  /// \brief A model with fresh parameters, drawn as in the reference.
  /// \param config sizes and options
  /// \param seed   the same seed gives the same parameters
  /// \throws ValueError if the configuration makes no model
  LanguageModel(const LanguageModelConfig& config, std::uint64_t seed);

  /// \brief The scores after every token.
  /// \param ids     tokens, (batch, seqlen)
  /// \param options the algorithm
  /// \return logits, (batch, seqlen, padded_vocab_size)
  /// \throws ValueError for an id outside the vocabulary, with its place
  Tensor<Real, 3> forward(const Tensor<std::int64_t, 2>& ids, const LanguageModelOptions& options = {}) const;
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
  /// \brief A cache that has seen nothing. \param batch how many texts \return zeros
  LanguageModelCache<Real> empty_cache(std::size_t batch) const;

  /// \brief Sizes and options. \return the configuration
  const LanguageModelConfig& config() const { return config_; }
  /// \brief Compute with other operations from now on.
  /// \param operations a table that outlives the model
  /// \throws ValueError if the weights are kept in fewer bytes and the table cannot read those
  void use(const Operations<Real>& operations);
  /// \brief Round the weights of embedding, projections and head, and keep only those: a half or a quarter of the memory, and
  /// of the bytes for a step to read. visit() no longer shows these weights, and the model can no longer be saved.
  /// Products may round the tokens, too, see multiplies_bfloat16(). Explained in @chapter{fast}.
  /// \param type bfloat16 or int8; once they are rounded, nothing more is done
  /// \throws ValueError if the operations in use cannot read such weights, or for the type full
  void keep_weights(WeightType type);
  /// \brief How the large weights are kept. \return full until keep_weights() is called
  WeightType weight_type() const { return weight_type_; }

  /// \brief Walk over all parameters, in the order and under the names of the reference's checkpoints; tied weights come once.
  /// \param visitor called as visitor(name, tensor) for each; takes tensors of any rank
  template <class Visitor>
  void visit(Visitor&& visitor) {
    walk(*this, visitor);
  }
  /// \copydoc visit(Visitor&&)
  template <class Visitor>
  void visit(Visitor&& visitor) const {
    walk(*this, visitor);
  }

  Tensor<Real, 2> embedding_weight;  ///< a row for each token, (padded_vocab_size, d_model)
  std::vector<Layer<Real>> layers;   ///< the blocks and their norms
  Tensor<Real, 1> norm_f_weight;     ///< of the norm before the head, (d_model)
  Tensor<Real, 2> lm_head_weight;    ///< a row for each token, (padded_vocab_size, d_model); empty where tied

 private:
  template <class Self, class Visitor>
  static void walk(Self& self, Visitor& visitor) {
    visitor(std::string("backbone.embedding.weight"), self.embedding_weight);
    for (std::size_t i = 0; i < self.layers.size(); ++i) {
      const std::string prefix = "backbone.layers." + std::to_string(i) + ".";
      visitor(prefix + "norm.weight", self.layers[i].norm_weight);
      self.layers[i].mixer.parameters().visit(
          [&](const char* name, auto& tensor) { visitor(prefix + "mixer." + name, tensor); });
    }
    visitor(std::string("backbone.norm_f.weight"), self.norm_f_weight);
    if (self.lm_head_weight.size() > 0) visitor(std::string("lm_head.weight"), self.lm_head_weight);
  }
  void check_ids(const Tensor<std::int64_t, 2>& ids) const;
  Tensor<Real, 3> embed(const Tensor<std::int64_t, 2>& ids) const;
  Tensor<Real, 3> residual_stream(const Tensor<std::int64_t, 2>& ids, LanguageModelCache<Real>* cache,
                                  const LanguageModelOptions& options) const;
  void score(MatrixRef<const Real> x, MatrixRef<Real> logits) const;
  void check_cache(const LanguageModelCache<Real>& cache) const;

  LanguageModelConfig config_;
  WeightType weight_type_ = WeightType::full;
  CompactWeight embedding_compact_, lm_head_compact_;  // empty until keep_weights()
  const Operations<Real>* operations_ = &default_operations<Real>();
};

}  // namespace mamba2
