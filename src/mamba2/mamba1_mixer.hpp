/// \file mamba1_mixer.hpp
/// \brief Mamba-1 as a mixer: any piece of text, one token at a time. Explained in @chapter{language_model}.
#pragma once

#include <mamba2/linear.hpp>
#include <mamba2/mamba1.hpp>
#include <mamba2/mixer_input.hpp>
#include <mamba2/operations.hpp>
#include <mamba2/parameters.hpp>

#include <array>
#include <tuple>
#include <vector>

namespace mamba2 {

/// \brief The options of a Mamba-1 block, under the names of the reference.
struct Mamba1Config {
  std::size_t d_model = 0;   ///< width of what comes in and goes out
  std::size_t d_state = 16;  ///< numbers of state of each channel, N
  std::size_t d_conv = 4;    ///< taps of the short convolution
  std::size_t expand = 2;    ///< d_inner = expand * d_model
  std::size_t dt_rank = 0;   ///< width of the bottleneck that step sizes go through; 0 means d_model / 16, rounded up
  double dt_min = 1e-3;      ///< step sizes start between this
  double dt_max = 0.1;       ///< and this,
  double dt_init_floor = 1e-4;    ///< but no lower than this
  double dt_scale = 1;            ///< weights of dt_proj start between plus and minus this over the root of dt_rank
  bool dt_init_constant = false;  ///< they start at that value rather than below it
  bool bias = false;              ///< whether the two outer projections have biases
  bool conv_bias = true;          ///< whether the convolution has a bias

  /// \brief Width inside the block. \return expand * d_model
  std::size_t d_inner() const { return expand * d_model; }
  /// \brief Width of the bottleneck. \return dt_rank, or d_model / 16 rounded up where that is 0
  std::size_t rank() const { return dt_rank == 0 ? (d_model + 15) / 16 : dt_rank; }
  /// \brief Refuse sizes and options that make no block.
  /// \throws ValueError naming the field, what it may be and what it is
  void check() const;
  /// \brief Whether two blocks are built alike. \return true if all fields are equal
  bool operator==(const Mamba1Config&) const = default;
};

/// \brief What there is to say of each parameter of a Mamba-1 block.
/// \param config sizes and options
/// \return in the order of a checkpoint; with a 0 in its shape for one that is not there
std::vector<ParameterInfo> describe(const Mamba1Config& config);

/// \brief How many numbers a Mamba-1 block remembers of a sequence. \param c sizes \return those of both states
inline std::size_t state_size(const Mamba1Config& c) {
  return c.d_inner() * (c.d_conv + c.d_state);
}

/// \brief The tensors between the projections.
template <class Real>
struct Mamba1Activations {
  Tensor<Real, 2> xz;     ///< what the input projection gives, (tokens, 2 d_inner)
  Tensor<Real, 2> x;      ///< what the convolution gives, (tokens, d_inner)
  Tensor<Real, 2> dtBC;   ///< what is made from it, (tokens, rank + 2 d_state)
  Tensor<Real, 2> dt;     ///< step sizes, (tokens, d_inner)
  Tensor<Real, 2> y;      ///< what the scan gives, (tokens, d_inner)
  Tensor<Real, 2> gated;  ///< what the output projection reads, (tokens, d_inner)

  /// \brief Make room, where there is not enough already. \param c sizes \param tokens batch * seqlen
  void make_room(const Mamba1Config& c, std::size_t tokens) {
    xz.resize({tokens, 2 * c.d_inner()});
    dtBC.resize({tokens, c.rank() + 2 * c.d_state});
    for (auto* const tensor : {&x, &dt, &y, &gated}) tensor->resize({tokens, c.d_inner()});
  }
};

/// \brief All that a Mamba-1 block remembers of the tokens it has seen.
template <class Real>
struct Mamba1Cache {
  Tensor<Real, 3> conv_state;  ///< the last d_conv inputs of the convolution, the newest last, (batch, d_inner, d_conv)
  Tensor<Real, 3> ssm_state;   ///< the state of the scan, (batch, d_inner, d_state)
  Mamba1Activations<Real> room = {};  ///< where a step computes

  /// \brief What is remembered. \param cache const or not \return references
  template <class Self>
  static auto tensors(Self& cache) {
    return std::tie(cache.conv_state, cache.ssm_state);
  }
  /// \brief What those are called. \return names in the same order
  static std::array<const char*, 2> names() { return {"conv_state", "ssm_state"}; }
};

/// \brief A Mamba-1 block as it computes.
template <class Real>
class Mamba1Mixer {
 public:
  using Cache = Mamba1Cache<Real>;              ///< what it remembers
  using Activations = Mamba1Activations<Real>;  ///< what it keeps for gradients

  /// \brief A block that computes from given parameters.
  /// \param config     sizes and options
  /// \param parameters they must outlive the mixer, but for those that `keep` uses up
  /// \param keep       how to keep the weights of the two outer projections
  /// \throws ValueError if the configuration makes no block
  /// \throws ShapeError naming the parameter whose shape disagrees
  Mamba1Mixer(const Mamba1Config& config, Mamba1Parameters<Real>& parameters,
              const KeepWeight<Real>& keep = full_weight<Real>);

  /// \brief A whole piece of text at once, of any length.
  /// \param input      the tokens; there is only one form of the scan, whatever is asked for
  /// \param cache      what came before on entry, the tokens included on return; null: nothing did, and nothing will
  /// \param operations what to compute with
  /// \param a          receives the tensors in between
  /// \param y          receives the outputs, (batch * seqlen, d_model)
  /// \throws ShapeError for a cache of another batch or block
  void forward(const MixerInput<Real>& input, Cache* cache, const Operations<Real>& operations, Activations& a,
               MatrixRef<Real> y) const;
  /// \brief One token. After the first no memory is set aside.
  /// \param u          the token of each sequence, (batch, d_model)
  /// \param cache      what came before on entry, the token included on return
  /// \param operations what to compute with
  /// \param y          receives the outputs, (batch, d_model)
  /// \throws ShapeError for a cache of another batch or block
  void step(MatrixRef<const Real> u, Cache& cache, const Operations<Real>& operations, MatrixRef<Real> y) const;
  /// \brief A cache that has seen nothing. \param batch how many sequences \return zeros
  Cache empty_cache(std::size_t batch) const;

 private:
  /// What comes before the convolution, and what after it: from the convolved x to the outputs.
  void enter(MatrixRef<const Real> u, const Operations<Real>& operations, Activations& a) const;
  void leave(std::size_t batch, std::span<const std::int64_t> seq_idx, MatrixRef<Real> state,
             const Operations<Real>& operations, Activations& a, MatrixRef<Real> y) const;
  void check_cache(const Cache& cache, std::size_t batch) const;
  MatrixRef<const Real> taps() const {
    return {parameters_->conv1d_weight.data(), config_.d_inner(), config_.d_conv, config_.d_conv};
  }

  Mamba1Config config_;
  const Mamba1Parameters<Real>* parameters_;
  WeightPtr<Real> in_proj_, x_proj_, dt_proj_, out_proj_;
  Tensor<Real, 2> A_;  // from A_log, (d_inner, d_state)
};

}  // namespace mamba2
