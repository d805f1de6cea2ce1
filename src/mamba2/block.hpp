/// \file block.hpp
/// \brief The Mamba-2 block with every option of the reference. Explained in @chapters{mamba2_block and one_token_at_a_time}.
#pragma once

#include <mamba2/linear.hpp>
#include <mamba2/mixer_input.hpp>
#include <mamba2/operations.hpp>
#include <mamba2/parameters.hpp>
#include <mamba2/random.hpp>
#include <mamba2/ssd.hpp>
#include <mamba2/tensor.hpp>

#include <array>
#include <cstdint>
#include <limits>
#include <memory>
#include <span>
#include <tuple>
#include <vector>

namespace mamba2 {

//: config
/// \brief The options of a Mamba-2 block, under the names of the reference. What follows from them is in Mamba2Sizes.
struct Mamba2Config {
  std::size_t d_model = 0;    ///< width of what comes in and goes out
  std::size_t d_state = 128;  ///< state size N
  std::size_t d_conv = 4;     ///< taps of the short convolution
  std::size_t expand = 2;     ///< d_inner = expand * d_model
  std::size_t headdim = 64;   ///< channels of a head, P
  std::size_t d_ssm = 0;    ///< channels that go through the scan; 0 means all d_inner, the rest is a gated linear unit
  std::size_t ngroups = 1;  ///< sets of B and C; each serves nheads / ngroups heads
  std::size_t chunk_size = 256;  ///< Q of the chunked scan; changes speed, never results
  double A_init_min = 1;         ///< rates start between this
  double A_init_max = 16;        ///< and this
  double dt_min = 1e-3;          ///< step sizes start between this
  double dt_max = 0.1;           ///< and this,
  double dt_init_floor = 1e-4;   ///< but no lower than this
  double conv_init = 0;          ///< taps start between -conv_init and conv_init; 0 means 1 / sqrt(d_conv)
  double dt_limit_min = 0;       ///< step sizes are raised to this, always
  double dt_limit_max = std::numeric_limits<double>::infinity();  ///< step sizes are lowered to this, always
  double norm_eps = 1e-5;                                         ///< added to the mean square in the gated norm
  bool D_has_hdim = false;        ///< a skip weight for each channel rather than for each head
  bool rmsnorm = true;            ///< norm and gate after the scan; without it the gate alone
  bool norm_before_gate = false;  ///< norm(y) * silu(z) rather than norm(y * silu(z))
  bool norm_over_all_channels =
      false;              ///< one mean square for all groups together, as Hugging Face's model computes it
  bool bias = false;      ///< whether the two projections have biases
  bool conv_bias = true;  ///< whether the convolution has a bias

  /// \brief Refuse sizes and options that make no block.
  /// \throws ValueError naming the field, what it may be and what it is
  void check() const;
  /// \brief Whether two blocks are built alike. \return true if all fields are equal
  bool operator==(const Mamba2Config&) const = default;
};
//: end

//: sizes
/// \brief The options of a block and all sizes that follow from them.
struct Mamba2Sizes {
  /// \brief The sizes of a whole block.
  /// \param config options
  /// \throws ValueError if the configuration makes no block
  Mamba2Sizes(const Mamba2Config& config);

  Mamba2Config config;    ///< the options
  std::size_t d_model;    ///< width of what comes in and goes out
  std::size_t d_inner;    ///< width inside: d_mlp + d_ssm
  std::size_t d_mlp;      ///< channels that pass the scan by
  std::size_t d_ssm;      ///< channels that go through the scan: nheads * headdim
  std::size_t nheads;     ///< heads
  std::size_t headdim;    ///< channels of a head, P
  std::size_t ngroups;    ///< groups of heads that share B and C
  std::size_t d_state;    ///< state size N
  std::size_t d_conv;     ///< taps of the convolution
  std::size_t d_bc;       ///< numbers in the B (or the C) of one token: ngroups * d_state
  std::size_t conv_dim;   ///< channels of the convolution, x, B and C: d_ssm + 2 d_bc
  std::size_t d_in_proj;  ///< rows of the input projection, z0, x0, z, x, B, C, dt: 2 d_mlp + d_ssm + conv_dim + nheads

 private:
  void add_up();  // the last three, from the others
  friend Mamba2Sizes part_of(const Mamba2Sizes& whole, std::size_t count);
};
//: end

/// \brief The sizes of each part of a block that is split over machines: all have as many heads.
/// \param whole the block
/// \param count how many parts
/// \return sizes of a part, to be filled by take_part() for each parameter
/// \throws ValueError if heads, or the channels that pass the scan by, cannot be dealt out evenly, or groups neither dealt out
///         nor shared
Mamba2Sizes part_of(const Mamba2Sizes& whole, std::size_t count);

/// \brief The parameters of one block. Each has the shape that checkpoints store; those that the configuration does without are empty.
template <class Real>
struct Mamba2Parameters {
  using value_type = Real;          ///< of the numbers
  Tensor<Real, 1> dt_bias;          ///< (nheads)
  Tensor<Real, 1> A_log;            ///< (nheads)
  Tensor<Real, 1> D;                ///< (nheads), or (nheads * headdim) with D_has_hdim
  Tensor<Real, 2> in_proj_weight;   ///< (d_in_proj, d_model)
  Tensor<Real, 1> in_proj_bias;     ///< (d_in_proj), empty without bias
  Tensor<Real, 3> conv1d_weight;    ///< (conv_dim, 1, d_conv)
  Tensor<Real, 1> conv1d_bias;      ///< (conv_dim), empty without conv_bias
  Tensor<Real, 1> norm_weight;      ///< (d_ssm), empty without rmsnorm
  Tensor<Real, 2> out_proj_weight;  ///< (d_model, d_inner)
  Tensor<Real, 1> out_proj_bias;    ///< (d_model), empty without bias

  /// \brief All of them. \param p parameters, const or not \return references, in the order of describe(const Mamba2Sizes&)
  template <class Self>
  static auto tensors(Self& p) {
    return std::tie(p.dt_bias, p.A_log, p.D, p.in_proj_weight, p.in_proj_bias, p.conv1d_weight, p.conv1d_bias,
                    p.norm_weight, p.out_proj_weight, p.out_proj_bias);
  }
};

/// \brief What there is to say of each parameter of a block.
/// \param sizes of a whole block or of a part
/// \return in the order of a checkpoint; with a 0 in its shape for one that is not there
std::vector<ParameterInfo> describe(const Mamba2Sizes& sizes);

/// \brief Parameters of the shapes that a configuration asks for, all zero.
/// \param sizes sizes and options
/// \return parameters to be filled by a walk
/// \throws ValueError if the configuration makes no block
template <class Real>
Mamba2Parameters<Real> zero_parameters(const Mamba2Sizes& sizes);

/// \brief Parameters as training starts from, drawn as in the reference.
/// \param sizes  sizes and options
/// \param random where the numbers come from
/// \return parameters
/// \throws ValueError if the configuration makes no block
template <class Real>
Mamba2Parameters<Real> initial_parameters(const Mamba2Sizes& sizes, Random& random);

//: split
/// \brief The columns of what the input projection gives, in their order.
/// \tparam Real float or double, const where they are only read
template <class Real>
struct Columns {
  MatrixRef<Real> z0;   ///< gate of the channels that pass the scan by, (tokens, d_mlp)
  MatrixRef<Real> x0;   ///< the channels that pass the scan by, (tokens, d_mlp)
  MatrixRef<Real> z;    ///< gate of the scan's output, (tokens, d_ssm)
  MatrixRef<Real> xBC;  ///< what goes through the convolution, (tokens, conv_dim)
  MatrixRef<Real> dt;   ///< step sizes before bias and softplus, (tokens, nheads)
};

/// \brief Cut the output of the input projection into its parts, without moving a number.
/// \param s      sizes
/// \param zxbcdt (tokens, d_in_proj)
/// \return references to its columns
template <class Real>
Columns<Real> split_columns(const Mamba2Sizes& s, MatrixRef<Real> zxbcdt) {
  std::size_t first = 0;
  const auto next = [&](std::size_t count) { return column_block(zxbcdt, (first += count) - count, count); };
  return {.z0 = next(s.d_mlp), .x0 = next(s.d_mlp), .z = next(s.d_ssm), .xBC = next(s.conv_dim), .dt = next(s.nheads)};
}
//: end

/// \brief The tensors between the two projections, for those who look inside or compute gradients.
template <class Real>
struct Mamba2Activations {
  Tensor<Real, 2> zxbcdt;  ///< what the input projection gives: z0, x0, z, x, B, C, dt, (batch * seqlen, d_in_proj)
  Tensor<Real, 2> xBC;     ///< what the convolution gives and the scan reads: x, B, C, (batch * seqlen, conv_dim)
  Tensor<Real, 2> y;       ///< what the scan gives, (batch * seqlen, d_ssm)
  Tensor<Real, 2>
      merged;  ///< what the output projection reads: silu(z0) * x0, gated and normed y, (batch * seqlen, d_inner)

  /// \brief Make room, where there is not enough already. \param s sizes \param tokens batch * seqlen
  void make_room(const Mamba2Sizes& s, std::size_t tokens) {
    zxbcdt.resize({tokens, s.d_in_proj});
    xBC.resize({tokens, s.conv_dim});
    y.resize({tokens, s.d_ssm});
    merged.resize({tokens, s.d_inner});
  }
};

/// \brief What the convolution of a block reads, without a copy: columns of what the input projection gives.
/// \param s           sizes
/// \param parameters  taps and bias are referred to
/// \param batch       how many sequences
/// \param activations zxbcdt is referred to
/// \return references; they last as long as what they refer to
template <class Real>
ShortConvolution<Real> convolution_ref(const Mamba2Sizes& s, const Mamba2Parameters<Real>& parameters,
                                       std::size_t batch, const Mamba2Activations<Real>& activations) {
  return {.x = split_columns(s, as_matrix(activations.zxbcdt)).xBC,
          .batch = batch,
          .weight = as_rows<1>(parameters.conv1d_weight),
          .bias = as_span(parameters.conv1d_bias)};
}

/// \brief What the scan of a block reads, without a copy: x, B and C are columns of what the convolution gives, dt of what the
/// input projection gives.
/// \param s           sizes
/// \param parameters  D and dt_bias are referred to
/// \param A           rate of each head, (nheads)
/// \param batch       how many sequences
/// \param activations zxbcdt and xBC are referred to
/// \return references; they last as long as what they refer to
template <class Real>
ScanRef<Real> scan_ref(const Mamba2Sizes& s, const Mamba2Parameters<Real>& parameters, const Tensor<Real, 1>& A,
                       std::size_t batch, const Mamba2Activations<Real>& activations) {
  const MatrixRef<const Real> xBC = as_matrix(activations.xBC);
  const std::size_t seqlen = batch == 0 ? 0 : xBC.rows / batch;
  return {.sizes = {batch, seqlen, s.nheads, s.headdim, s.ngroups, s.d_state},
          .x = column_block(xBC, 0, s.d_ssm),
          .dt = split_columns(s, as_matrix(activations.zxbcdt)).dt,
          .A = as_span(A),
          .B = column_block(xBC, s.d_ssm, s.d_bc),
          .C = column_block(xBC, s.d_ssm + s.d_bc, s.d_bc),
          .D = as_span(parameters.D),
          .dt_bias = as_span(parameters.dt_bias)};
}

/// \brief The norm of a block behind its scan.
/// \param s          sizes
/// \param parameters norm_weight is referred to
/// \return weight, groups, order; they last as long as the parameters
template <class Real>
GatedNorm<Real> norm_of(const Mamba2Sizes& s, const Mamba2Parameters<Real>& parameters) {
  return {.weight = as_span(parameters.norm_weight),
          .groups = s.config.norm_over_all_channels ? 1 : s.ngroups,
          .norm_before_gate = s.config.norm_before_gate,
          .eps = s.config.norm_eps};
}

/// \brief How a block scans: the rules for its step sizes, and a form.
/// \param config     the limits, and the chunk where nothing else says
/// \param operations the chunk that suits them
/// \param algorithm  which form
/// \param chunk_size Q of the chunked form; 0 for the one that suits the operations
/// \return options
template <class Real>
ScanOptions scan_options(const Mamba2Config& config, const Operations<Real>& operations, Algorithm algorithm,
                         std::size_t chunk_size) {
  const std::size_t suits = operations.chunk_size > 0 ? operations.chunk_size : config.chunk_size;
  return {.dt_softplus = true,
          .dt_min = config.dt_limit_min,
          .dt_max = config.dt_limit_max,
          .chunk_size = chunk_size > 0 ? chunk_size : suits,
          .algorithm = algorithm};
}

/// \brief All that a block remembers of the tokens it has seen: of the same size after one token and after a million.
template <class Real>
struct Mamba2Cache {
  Tensor<Real, 3>
      conv_state;             ///< the last d_conv inputs of the convolution, the newest last, (batch, conv_dim, d_conv)
  Tensor<Real, 4> ssm_state;  ///< the state of the scan, (batch, nheads, headdim, d_state)
  /// What rounding has taken from ssm_state, of each head of each sequence, (batch * nheads); may be left empty.
  std::vector<std::vector<Real>> ssm_remainder = {};
  Mamba2Activations<Real> room = {};  ///< where a step computes, so that it need not ask for memory each time

  /// \brief The state of the scan with its remainders. \return references
  ScanState<Real> scan_state() {
    const std::size_t batch = ssm_state.shape(0), nheads = ssm_state.shape(1);
    ssm_remainder.resize(batch * nheads);
    return {as_rows<1>(ssm_state), {ssm_remainder.data(), batch, nheads, nheads}};
  }
  /// \brief What is remembered. \param cache const or not \return references
  template <class Self>
  static auto tensors(Self& cache) {
    return std::tie(cache.conv_state, cache.ssm_state);
  }
  /// \brief What those are called. \return names in the same order
  static std::array<const char*, 2> names() { return {"conv_state", "ssm_state"}; }
};

/// \brief How many numbers a block remembers of a sequence. \param s sizes \return those of both states
inline std::size_t state_size(const Mamba2Sizes& s) {
  return s.conv_dim * s.d_conv + s.d_ssm * s.d_state;
}

/// \brief A cache that has seen nothing: zeros.
/// \param sizes sizes
/// \param batch how many sequences
/// \return a cache for step() and forward()
template <class Real>
Mamba2Cache<Real> empty_cache(const Mamba2Sizes& sizes, std::size_t batch);

/// \brief A Mamba-2 block as it computes: it refers to parameters that somebody else holds, and owns what follows from them.
template <class Real>
class Mamba2Mixer {
 public:
  using Cache = Mamba2Cache<Real>;              ///< what it remembers
  using Activations = Mamba2Activations<Real>;  ///< what it keeps for gradients

  /// \brief A block that computes from given parameters.
  /// \param sizes      sizes and options, of a whole block or of a part
  /// \param parameters they must outlive the mixer, but for those that `keep` uses up
  /// \param keep       how to keep the weights of the two projections
  /// \throws ShapeError naming the parameter whose shape disagrees
  Mamba2Mixer(const Mamba2Sizes& sizes, Mamba2Parameters<Real>& parameters,
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
  /// \brief One token: the same as forward() with one more token, up to rounding. After the first no memory is set aside.
  /// \param u          the token of each sequence, (batch, d_model)
  /// \param cache      what came before on entry, the token included on return
  /// \param operations what to compute with
  /// \param y          receives the outputs, (batch, d_model)
  /// \throws ShapeError for a cache of another batch or block
  void step(MatrixRef<const Real> u, Cache& cache, const Operations<Real>& operations, MatrixRef<Real> y) const;
  /// \brief A cache that has seen nothing. \param batch how many sequences \return zeros
  Cache empty_cache(std::size_t batch) const { return mamba2::empty_cache<Real>(sizes_, batch); }

 private:
  //: five
  /// u -> z0, x0, z, x, B, C, dt: the input projection, and room for what comes after it.
  void project_in(MatrixRef<const Real> u, const Operations<Real>& operations, Activations& a) const;
  /// x, B, C -> x, B, C: the short convolution with its SiLU. What the next token needs goes to the cache.
  void convolve(const MixerInput<Real>& input, Cache& cache, const Operations<Real>& operations, Activations& a) const;
  /// x, B, C, dt -> y: the scan, from the state in the cache and to it.
  void scan(const MixerInput<Real>& input, Cache& cache, const Operations<Real>& operations, Activations& a) const;
  /// z0, x0, y, z -> silu(z0) * x0, gated and normed y, side by side.
  void gate_and_norm(const Operations<Real>& operations, Activations& a) const;
  /// And the output projection of those.
  void project_out(const Operations<Real>& operations, const Activations& a, MatrixRef<Real> y) const;
  //: end
  /// Refuse a cache of other sizes.
  void check_cache(const Cache& cache, std::size_t batch) const;

  Mamba2Sizes sizes_;
  const Mamba2Parameters<Real>* parameters_;  // but for the weights of the two projections, which are
  WeightPtr<Real> in_proj_, out_proj_;        // here
  Tensor<Real, 1> A_;                         // from A_log, (nheads)
};

//: forward_options
/// \brief What a forward pass may be told besides its input.
template <class Real>
struct ForwardOptions {
  const Mamba2Cache<Real>* cache = nullptr;  ///< what earlier tokens left; null: nothing came before
  /// Which sequence a token is of, (batch, seqlen): neither scan nor convolution reaches over a change. Null for one each.
  const Tensor<std::int64_t, 2>* seq_idx = nullptr;
  Algorithm algorithm = Algorithm::chunked;  ///< which of the equal forms of the scan
  std::size_t chunk_size = 0;                ///< Q of the chunked form; 0 for the one that suits the operations in use
  Mamba2Activations<Real>* keep = nullptr;   ///< receives the tensors in between; null: they are dropped
};
//: end

/// \brief What a forward pass gives back.
template <class Real>
struct Mamba2Output {
  Tensor<Real, 3> y;        ///< outputs, (batch, seqlen, d_model)
  Mamba2Cache<Real> cache;  ///< what the next token needs to know
};

/// \brief One Mamba-2 block with parameters of its own.
template <class Real>
class Mamba2Block {
 public:
  /// \brief A block with fresh parameters, drawn as in the reference.
  /// \param config sizes and options
  /// \param seed   the same seed gives the same parameters
  /// \throws ValueError if the configuration makes no block
  Mamba2Block(const Mamba2Config& config, std::uint64_t seed);
  /// \brief A block with given parameters.
  /// \param sizes      sizes and options; those of a part make a part of a block
  /// \param parameters tensors of the shapes that the sizes ask for
  /// \throws ValueError if the configuration makes no block
  /// \throws ShapeError naming the parameter whose shape disagrees
  Mamba2Block(const Mamba2Sizes& sizes, Mamba2Parameters<Real> parameters);
  /// \brief A block of its own with the same parameters. \param other the block to copy
  Mamba2Block(const Mamba2Block& other) : Mamba2Block(other.sizes_, *other.parameters_) {
    operations_ = other.operations_;
  }
  Mamba2Block& operator=(const Mamba2Block& other) { return *this = Mamba2Block(other); }
  Mamba2Block(Mamba2Block&&) noexcept = default;
  Mamba2Block& operator=(Mamba2Block&&) noexcept = default;
  ~Mamba2Block() = default;

  /// \brief A whole piece of text at once, of any length.
  /// \param u       inputs, (batch, seqlen, d_model)
  /// \param options what came before, sequence borders, the algorithm
  /// \return outputs, and the cache from which step() or another forward() goes on
  /// \throws ShapeError naming the argument whose shape disagrees
  Mamba2Output<Real> forward(const Tensor<Real, 3>& u, const ForwardOptions<Real>& options = {}) const;

  /// \brief One token. The same numbers, up to rounding, as forward() with one more token, in time that does not depend on how many came before.
  /// \param u     the token, (batch, d_model)
  /// \param cache what came before on entry, the token included on return
  /// \return outputs, (batch, d_model)
  /// \throws ShapeError naming the argument whose shape disagrees
  Tensor<Real, 2> step(const Tensor<Real, 2>& u, Mamba2Cache<Real>& cache) const;

  /// \brief A cache that has seen nothing. \param batch how many sequences \return zeros
  Mamba2Cache<Real> empty_cache(std::size_t batch) const { return mamba2::empty_cache<Real>(sizes_, batch); }

  /// \brief Options. \return the configuration
  const Mamba2Config& config() const { return sizes_.config; }
  /// \brief Options and what follows from them. \return the sizes
  const Mamba2Sizes& sizes() const { return sizes_; }
  /// \brief The weights. \return a reference
  const Mamba2Parameters<Real>& parameters() const { return *parameters_; }
  /// \brief Change the weights. What the block has derived from them is derived again afterwards.
  /// \param change called as change(parameters)
  /// \throws ShapeError naming a parameter that has another shape now
  template <class Change>
  void update(Change&& change) {
    change(*parameters_);
    bind();
  }
  /// \brief Compute with other operations from now on. \param operations a table that outlives the block
  void use(const Operations<Real>& operations) { operations_ = &operations; }

 private:
  void bind() { mixer_ = std::make_unique<Mamba2Mixer<Real>>(sizes_, *parameters_); }

  Mamba2Sizes sizes_;
  std::unique_ptr<Mamba2Parameters<Real>> parameters_;  // which stay in place when the block moves, as the mixer
  std::unique_ptr<Mamba2Mixer<Real>> mixer_;            // refers to them
  const Operations<Real>* operations_ = &default_operations<Real>();
};

}  // namespace mamba2
