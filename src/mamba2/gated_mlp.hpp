/// \file gated_mlp.hpp
/// \brief A gated MLP, which mixes the channels of each token by itself. Explained in @chapter{language_model}.
#pragma once

#include <mamba2/linear.hpp>
#include <mamba2/mixer_input.hpp>
#include <mamba2/operations.hpp>
#include <mamba2/parameters.hpp>

#include <array>
#include <tuple>
#include <vector>

namespace mamba2 {

/// \brief The sizes of a gated MLP, as the reference has it: no biases.
struct GatedMlpConfig {
  std::size_t d_model = 0;         ///< width of what comes in and goes out
  std::size_t d_intermediate = 0;  ///< width inside, as a configuration says it
  std::size_t multiple_of = 128;   ///< it is rounded up to a multiple of this

  /// \brief Width inside. \return d_intermediate, rounded up
  std::size_t hidden() const { return (d_intermediate + multiple_of - 1) / multiple_of * multiple_of; }
  /// \brief Refuse sizes that make no MLP.
  /// \throws ValueError naming the field, what it may be and what it is
  void check() const;
  /// \brief Whether two are the same. \return true if all fields are equal
  bool operator==(const GatedMlpConfig&) const = default;
};

/// \brief The parameters of a gated MLP.
template <class Real>
struct GatedMlpParameters {
  using value_type = Real;     ///< of the numbers
  Tensor<Real, 2> fc1_weight;  ///< first what is gated, then the gate, (2 hidden, d_model)
  Tensor<Real, 2> fc2_weight;  ///< (d_model, hidden)

  /// \brief All of them. \param p parameters, const or not \return references, in the order of describe(const GatedMlpConfig&)
  template <class Self>
  static auto tensors(Self& p) {
    return std::tie(p.fc1_weight, p.fc2_weight);
  }
};

/// \brief What there is to say of each parameter of a gated MLP.
/// \param config sizes
/// \return in the order of a checkpoint
std::vector<ParameterInfo> describe(const GatedMlpConfig& config);

/// \brief How many numbers it remembers of a sequence. \return none
inline std::size_t state_size(const GatedMlpConfig&) {
  return 0;
}

/// \brief The tensors in between.
template <class Real>
struct GatedMlpActivations {
  Tensor<Real, 2> both;   ///< what fc1 gives, (tokens, 2 hidden)
  Tensor<Real, 2> gated;  ///< what fc2 reads, (tokens, hidden)

  /// \brief Make room, where there is not enough already. \param config sizes \param tokens how many
  void make_room(const GatedMlpConfig& config, std::size_t tokens) {
    both.resize({tokens, 2 * config.hidden()});
    gated.resize({tokens, config.hidden()});
  }
};

/// \brief What a gated MLP remembers: nothing.
template <class Real>
struct GatedMlpCache {
  GatedMlpActivations<Real> room = {};  ///< where a step computes

  /// \brief What is remembered. \return no references
  template <class Self>
  static std::tuple<> tensors(Self&) {
    return {};
  }
  /// \brief What those are called. \return no names
  static std::array<const char*, 0> names() { return {}; }
};

/// \brief \f$y = W_2\,(v \odot \silu(g))\f$ with \f$[v; g] = W_1 u\f$, each token by itself; as it computes.
template <class Real>
class GatedMlp {
 public:
  using Cache = GatedMlpCache<Real>;              ///< what it remembers
  using Activations = GatedMlpActivations<Real>;  ///< what it keeps for gradients

  /// \brief An MLP that computes from given parameters.
  /// \param config     sizes
  /// \param parameters they must outlive it, but for those that `keep` uses up
  /// \param keep       how to keep the two weights
  /// \throws ValueError if the configuration makes no MLP
  /// \throws ShapeError naming the parameter whose shape disagrees
  GatedMlp(const GatedMlpConfig& config, GatedMlpParameters<Real>& parameters,
           const KeepWeight<Real>& keep = full_weight<Real>);

  /// \brief Every token. \param input tokens \param operations what to compute with \param a receives the tensors in between
  /// \param y receives the outputs, (batch * seqlen, d_model)
  void forward(const MixerInput<Real>& input, Cache*, const Operations<Real>& operations, Activations& a,
               MatrixRef<Real> y) const {
    compute(input.u, operations, a, y);
  }
  /// \brief One token. \param u of each sequence, (batch, d_model) \param cache where to compute
  /// \param operations what to compute with \param y receives the outputs, (batch, d_model)
  void step(MatrixRef<const Real> u, Cache& cache, const Operations<Real>& operations, MatrixRef<Real> y) const {
    compute(u, operations, cache.room, y);
  }
  /// \brief A cache. \return nothing
  Cache empty_cache(std::size_t) const { return {}; }

 private:
  void compute(MatrixRef<const Real> u, const Operations<Real>& operations, Activations& a, MatrixRef<Real> y) const;

  GatedMlpConfig config_;
  WeightPtr<Real> fc1_, fc2_;
};

}  // namespace mamba2
