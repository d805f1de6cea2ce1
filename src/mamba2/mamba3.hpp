/// \file mamba3.hpp
/// \brief Mamba-3 as a mixer: a trapezoid instead of the convolution, a state that turns, several inputs per head. Explained in @chapter{mamba3}.
#pragma once

#include <mamba2/linear.hpp>
#include <mamba2/mixer_config.hpp>
#include <mamba2/mixer_input.hpp>
#include <mamba2/mixer_kinds.hpp>
#include <mamba2/norm.hpp>
#include <mamba2/operations.hpp>
#include <mamba2/parameters.hpp>
#include <mamba2/tensor.hpp>

#include <array>
#include <cstddef>
#include <span>
#include <tuple>
#include <vector>

namespace mamba2 {

/// \brief How a raw number becomes a rate of decay. Which one a checkpoint was trained with does not stand in its configuration.
enum class RateActivation {
  heavy_tail,  ///< heavy_tail(): the reference since June 2026
  softplus     ///< softplus(): the reference before
};

/// \brief The options of a Mamba-3 block, under the names of the reference.
struct Mamba3Config {
  std::size_t d_model = 0;                                   ///< width of what comes in and goes out
  std::size_t d_state = 128;                                 ///< state size N
  std::size_t expand = 2;                                    ///< d_inner = expand * d_model
  std::size_t headdim = 64;                                  ///< channels of a head, P
  std::size_t ngroups = 1;                                   ///< groups of heads that share B and C
  double rope_fraction = 0.5;                                ///< the share of the state that turns, 0.5 or 1
  double dt_min = 1e-3;                                      ///< step sizes start between this
  double dt_max = 0.1;                                       ///< and this,
  double dt_init_floor = 1e-4;                               ///< but no lower than this
  double A_floor = 1e-4;                                     ///< no rate of decay is smaller than this
  bool is_outproj_norm = false;                              ///< whether a norm stands before the gate
  bool is_mimo = false;                                      ///< whether a head has several inputs
  std::size_t mimo_rank = 4;                                 ///< how many, if it has several
  std::size_t chunk_size = 64;                               ///< Q of the chunked form, in tokens
  RateActivation A_activation = RateActivation::heavy_tail;  ///< what makes rates of raw numbers

  /// \brief Refuse sizes and options that make no block.
  /// \throws ValueError naming the field, what it may be and what it is
  void check() const;
  /// \brief Whether two blocks are built alike. \return true if all fields are equal
  bool operator==(const Mamba3Config&) const = default;
};

/// \brief The sizes of a Mamba-3 block.
struct Mamba3Sizes {
  /// \brief Those of a configuration. \param c options \throws ValueError if it makes no block
  Mamba3Sizes(const Mamba3Config& c);

  Mamba3Config config;     ///< the options
  std::size_t d_inner;     ///< width inside: nheads * headdim
  std::size_t nheads;      ///< heads
  std::size_t rank;        ///< inputs of a head, R: 1 or mimo_rank
  std::size_t num_angles;  ///< pairs of the state that turn
  std::size_t d_bc;        ///< numbers in the B (or the C) of one token: R * ngroups * d_state
  std::size_t d_in_proj;   ///< rows of the input projection
};

/// \brief The parameters of a Mamba-3 block.
template <class Real>
struct Mamba3Parameters {
  using value_type = Real;          ///< of the numbers
  Tensor<Real, 1> dt_bias;          ///< (nheads)
  Tensor<Real, 3> B_bias;           ///< added to B after its norm, (nheads, R, d_state)
  Tensor<Real, 3> C_bias;           ///< added to C after its norm, (nheads, R, d_state)
  Tensor<Real, 3> mimo_x;           ///< weights of a head's inputs, (nheads, R, headdim); empty for one input
  Tensor<Real, 3> mimo_z;           ///< of their gates, (nheads, R, headdim); empty for one input
  Tensor<Real, 3> mimo_o;           ///< of their outputs, (nheads, R, headdim); empty for one input
  Tensor<Real, 1> D;                ///< (nheads)
  Tensor<Real, 2> in_proj_weight;   ///< z, x, B, C, dt, A, trap, angle: (d_in_proj, d_model)
  Tensor<Real, 1> B_norm_weight;    ///< (d_state)
  Tensor<Real, 1> C_norm_weight;    ///< (d_state)
  Tensor<Real, 1> norm_weight;      ///< (d_inner), empty without is_outproj_norm
  Tensor<Real, 2> out_proj_weight;  ///< (d_model, d_inner)

  /// \brief All of them. \param p parameters, const or not \return references, in the order of describe(const Mamba3Sizes&)
  template <class Self>
  static auto tensors(Self& p) {
    return std::tie(p.dt_bias, p.B_bias, p.C_bias, p.mimo_x, p.mimo_z, p.mimo_o, p.D, p.in_proj_weight, p.B_norm_weight,
                    p.C_norm_weight, p.norm_weight, p.out_proj_weight);
  }
};

/// \brief What there is to say of each parameter of a Mamba-3 block.
/// \param sizes of the block
/// \return in the order of a checkpoint; with a 0 in its shape for one that is not there
std::vector<ParameterInfo> describe(const Mamba3Sizes& sizes);

/// \brief How many numbers a Mamba-3 block remembers of a sequence. \param config sizes \return those of its four states
std::size_t state_size(const Mamba3Config& config);

/// \brief The columns of what the input projection gives.
template <class Real>
struct Mamba3Columns {
  MatrixRef<Real> z;      ///< the gate, (tokens, d_inner)
  MatrixRef<Real> x;      ///< inputs, (tokens, d_inner)
  MatrixRef<Real> B;      ///< how they enter the state, before the norm, (tokens, R * ngroups * d_state)
  MatrixRef<Real> C;      ///< how it is read, before the norm, (tokens, R * ngroups * d_state)
  MatrixRef<Real> dt;     ///< raw step sizes, (tokens, nheads)
  MatrixRef<Real> A;      ///< raw rates, (tokens, nheads)
  MatrixRef<Real> trap;   ///< raw shares of the token itself in the trapezoid, (tokens, nheads)
  MatrixRef<Real> angle;  ///< raw angles, (tokens, num_angles)
};

/// \brief Take a projection's output apart. \param s sizes \param m (tokens, d_in_proj) \return references to its columns
template <class Real>
Mamba3Columns<Real> split_columns(const Mamba3Sizes& s, MatrixRef<Real> m) {
  std::size_t at = 0;
  const auto next = [&](std::size_t width) {
    at += width;
    return column_block(m, at - width, width);
  };
  return {next(s.d_inner), next(s.d_inner), next(s.d_bc),   next(s.d_bc),
          next(s.nheads),  next(s.nheads),  next(s.nheads), next(s.num_angles)};
}

/// \brief A rate of decay without a limit.
/// \param x any number
/// \return \f$1 + x\f$ above 0, \f$1 / (1 - x)\f$ below: positive, with a slope of 1 at 0
double heavy_tail(double x);

/// \brief The rate of decay \f$-A\f$ of a token. \param config activation and floor \param raw what the projection gave
/// \return at least A_floor
double decay_rate(const Mamba3Config& config, double raw);

/// \brief The two numbers of a state that turn together. \param s sizes \param j which pair, less than num_angles
/// \return neighbours, 2j and 2j + 1, with one input per head; j and j + d_state / 2 with several
std::array<std::size_t, 2> rotated_pair(const Mamba3Sizes& s, std::size_t j);

/// \brief What the scan of one head reads of one sequence: a slot for each of the R inputs of a token.
template <class Real>
struct TrapezoidHead {
  std::size_t rank;             ///< slots of a token, R
  MatrixRef<const Real> V;      ///< inputs, (seqlen * R, headdim)
  MatrixRef<const Real> K;      ///< B, turned, (seqlen * R, d_state)
  MatrixRef<const Real> Q;      ///< C, turned, (seqlen * R, d_state)
  std::span<const double> a;    ///< log-decay of each token, \f$\Delta_t A_t\f$, (seqlen)
  std::span<const double> now;  ///< what a token adds of itself, \f$\gamma_t = \lambda_t \Delta_t\f$, (seqlen)
  /// what the token after it adds of it, \f$\nu_t = (1 - \lambda_{t+1}) \Delta_{t+1}\f$, (seqlen); 0 for the last
  std::span<const double> next;
};

/// \brief \f$h_t = e^{a_t} (h_{t-1} + \nu_{t-1} \sum_r V_{t-1,r} K_{t-1,r}^\top) + \gamma_t \sum_r V_{t,r} K_{t,r}^\top\f$ and
/// \f$Y_{t,r} = h_t Q_{t,r}\f$, by the chunked scan.
/// \param head       what is read; its sizes agree
/// \param chunk_size tokens of a chunk, at least 1
/// \param state      before the first token on entry, with what that token adds of the one before it but not decayed; after the
///                   last on return; (headdim, d_state)
/// \param Y          receives what each slot reads, (seqlen * R, headdim)
template <class Real>
void trapezoid_scan(const TrapezoidHead<Real>& head, std::size_t chunk_size, MatrixRef<Real> state, MatrixRef<Real> Y);

/// \brief The tensors between the projections.
template <class Real>
struct Mamba3Activations {
  Tensor<Real, 2> projected;  ///< what the input projection gives, see Mamba3Columns, (tokens, d_in_proj)
  Tensor<Real, 2> y;          ///< what each slot reads, with the skip, before norm and gate, (tokens * R, d_inner)
  Tensor<Real, 2> merged;     ///< what the output projection reads, (tokens, d_inner)

  /// \brief Make room, where there is not enough already. \param s sizes \param tokens batch * seqlen
  void make_room(const Mamba3Sizes& s, std::size_t tokens) {
    projected.resize({tokens, s.d_in_proj});
    y.resize({tokens * s.rank, s.d_inner});
    merged.resize({tokens, s.d_inner});
  }
};

/// \brief All that a Mamba-3 block remembers of the tokens it has seen.
template <class Real>
struct Mamba3Cache {
  Tensor<Real, 3> angle_state;        ///< how far each pair has turned, in [0, 2π), (batch, nheads, num_angles)
  Tensor<Real, 4> ssm_state;          ///< the state of the scan, (batch, nheads, headdim, d_state)
  Tensor<Real, 4> k_state;            ///< the last token's B, turned, (batch, R, nheads, d_state)
  Tensor<Real, 3> v_state;            ///< the last token's x, (batch, nheads, headdim)
  Mamba3Activations<Real> room = {};  ///< where a step computes

  /// \brief What is remembered. \param cache const or not \return references
  template <class Self>
  static auto tensors(Self& cache) {
    return std::tie(cache.angle_state, cache.ssm_state, cache.k_state, cache.v_state);
  }
  /// \brief What those are called. \return names in the same order
  static std::array<const char*, 4> names() { return {"angle_state", "ssm_state", "k_state", "v_state"}; }
};

/// \brief Some neighbouring tokens of one sequence.
struct Mamba3Stretch {
  std::size_t entry;  ///< of the batch
  std::size_t first;  ///< row of the first token
  std::size_t count;  ///< how many
  bool begins;        ///< whether nothing came before it, whatever a cache says
};

/// \brief The sequences of a piece of text, each with its rows. \param batch entries \param rows of all of them
/// \param seq_idx which sequence each row is of; empty for one to each entry \return in the order of the rows
std::vector<Mamba3Stretch> stretches(std::size_t batch, std::size_t rows, std::span<const std::int64_t> seq_idx);

/// \brief One head of some tokens: what its scan reads, made from what the input projection gave.
template <class Real>
struct Mamba3Head {
  /// \brief Compute it. \param s sizes \param p parameters \param projected (tokens, d_in_proj) \param where the tokens
  /// \param before what came before a stretch that goes on; null: nothing \param head which, less than nheads
  Mamba3Head(const Mamba3Sizes& s, const Mamba3Parameters<Real>& p, MatrixRef<const Real> projected,
             const Mamba3Stretch& where, const Mamba3Cache<Real>* before, std::size_t head);
  /// \brief As the scan reads it. \return references
  TrapezoidHead<Real> scan() const { return {rank, as_matrix(V), as_matrix(K), as_matrix(Q), a, now, next}; }

  std::size_t h;                    ///< which head
  std::size_t rank;                 ///< slots of a token
  Mamba3Stretch where;              ///< the tokens
  const Mamba3Cache<Real>* before;  ///< what came before; null: nothing
  std::vector<double> raw_dt;       ///< dt + dt_bias
  std::vector<double> dt;           ///< step sizes
  std::vector<double> A;            ///< rates, negative
  std::vector<double> lambda;       ///< share of the token itself in the trapezoid
  std::vector<double> a;            ///< log-decays, as in TrapezoidHead
  std::vector<double> now;          ///< as in TrapezoidHead
  std::vector<double> next;         ///< as in TrapezoidHead
  Tensor<double, 2> angles;         ///< how far each pair has turned, (count, num_angles)
  Tensor<Real, 2> V;                ///< as in TrapezoidHead
  Tensor<Real, 2> K;                ///< as in TrapezoidHead
  Tensor<Real, 2> Q;                ///< as in TrapezoidHead
  Tensor<Real, 2> state;            ///< before the first token, as trapezoid_scan() takes it
};

/// \brief A Mamba-3 block as it computes.
template <class Real>
class Mamba3Mixer {
 public:
  using Cache = Mamba3Cache<Real>;              ///< what it remembers
  using Activations = Mamba3Activations<Real>;  ///< what it keeps for gradients

  /// \brief A block that computes from given parameters.
  /// \param config     sizes and options
  /// \param parameters they must outlive the mixer, but for those that `keep` uses up
  /// \param keep       how to keep the weights of the two projections
  /// \throws ValueError if the configuration makes no block
  /// \throws ShapeError naming the parameter whose shape disagrees
  Mamba3Mixer(const Mamba3Config& config, Mamba3Parameters<Real>& parameters,
              const KeepWeight<Real>& keep = full_weight<Real>);

  /// \brief A whole piece of text at once, of any length.
  /// \param input      the tokens
  /// \param cache      what came before on entry, the tokens included on return; null: nothing did, and nothing will
  /// \param operations what to compute with
  /// \param a          receives the tensors in between
  /// \param y          receives the outputs, (batch * seqlen, d_model)
  /// \throws ShapeError for a cache of another batch or block
  void forward(const MixerInput<Real>& input, Cache* cache, const Operations<Real>& operations, Activations& a,
               MatrixRef<Real> y) const;
  /// \brief One token: a piece of text of one token.
  /// \param u          the token of each sequence, (batch, d_model)
  /// \param cache      what came before on entry, the token included on return
  /// \param operations what to compute with
  /// \param y          receives the outputs, (batch, d_model)
  /// \throws ShapeError for a cache of another batch or block
  void step(MatrixRef<const Real> u, Cache& cache, const Operations<Real>& operations, MatrixRef<Real> y) const {
    forward({.u = u, .batch = u.rows, .seq_idx = {}}, &cache, operations, cache.room, y);
  }
  /// \brief A cache that has seen nothing. \param batch how many sequences \return zeros
  Cache empty_cache(std::size_t batch) const;

 private:
  void check_cache(const Cache& cache, std::size_t batch) const;
  void scan_head(const Mamba3Head<Real>& head, std::size_t chunk_size, Cache* cache, Activations& a) const;
  void leave(const Operations<Real>& operations, Activations& a) const;

  Mamba3Sizes sizes_;
  const Mamba3Parameters<Real>* parameters_;
  WeightPtr<Real> in_proj_, out_proj_;
};

/// \brief The norm and gate of a block. \param s sizes \param p parameters \return with or without a norm, as configured
template <class Real>
GatedNorm<Real> gate_of(const Mamba3Sizes& s, const Mamba3Parameters<Real>& p);

/// \brief The weights of a slot. \param s sizes \param m mimo_x, mimo_z or mimo_o \param h head \param r slot \param i channel
/// \return the weight; 1 with one input per head
template <class Real>
Real slot_weight(const Mamba3Sizes& s, const Tensor<Real, 3>& m, std::size_t h, std::size_t r, std::size_t i) {
  return s.config.is_mimo ? m(h, r, i) : Real(1);
}

/// \brief One slot of every token. \param m (tokens * R, columns) \param rank R \param r which \return (tokens, columns)
template <class Real>
MatrixRef<Real> slot_rows(MatrixRef<Real> m, std::size_t rank, std::size_t r) {
  const std::size_t first = m.rows == 0 ? 0 : r * m.stride;  // without tokens there is nothing to point into
  return {m.data + first, m.rows / rank, m.columns, m.stride * rank};
}

/// \brief Mamba-3 as a mixer.
template <>
struct MixerTraits<Mamba3Config> {
  static constexpr const char* name = "Mamba3";  ///< in messages
  template <class Real>
  using Parameters = Mamba3Parameters<Real>;  ///< what it learns
  template <class Real>
  using Computes = Mamba3Mixer<Real>;  ///< how it computes
};
extern template class OneMixerConfig<Mamba3Config>;

/// \brief Blocks of Mamba-3. \return their words in configurations
MixerKind mamba3_kind();

}  // namespace mamba2
