/// \file block.hpp
/// \brief The Mamba-2 block with every option of the reference. Explained in @chapters{mamba2_block and one_token_at_a_time}.
#pragma once

#include <mamba2/operations.hpp>
#include <mamba2/random.hpp>
#include <mamba2/ssd.hpp>
#include <mamba2/tensor.hpp>

#include <cstdint>
#include <limits>
#include <vector>

namespace mamba2 {

/// \brief The sizes and options of a Mamba-2 block, under the names of the reference.
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

  /// \brief Width inside the block. \return expand * d_model
  std::size_t d_inner() const { return expand * d_model; }
  /// \brief Channels that go through the scan. \return d_ssm, or d_inner() where that is 0
  std::size_t ssm_channels() const { return d_ssm == 0 ? d_inner() : d_ssm; }
  /// \brief Channels that pass the scan by. \return d_inner() - ssm_channels()
  std::size_t d_mlp() const { return d_inner() - ssm_channels(); }
  /// \brief Number of heads. \return ssm_channels() / headdim
  std::size_t nheads() const { return ssm_channels() / headdim; }
  /// \brief Numbers in the B (or the C) of one token. \return ngroups * d_state
  std::size_t d_bc() const { return ngroups * d_state; }
  /// \brief Channels of the convolution: x, B and C. \return ssm_channels() + 2 d_bc()
  std::size_t conv_dim() const { return ssm_channels() + 2 * d_bc(); }
  /// \brief Rows of the input projection: z0, x0, z, x, B, C, dt. \return 2 d_inner() + 2 d_bc() + nheads()
  std::size_t d_in_proj() const { return 2 * d_inner() + 2 * d_bc() + nheads(); }

  /// \brief Refuse sizes and options that make no block.
  /// \throws ValueError naming the field, what it may be and what it is
  void check() const;
  /// \brief Whether two blocks are built alike. \return true if all fields are equal
  bool operator==(const Mamba2Config&) const = default;
};

/// \brief The parameters of one block. Each has the shape that checkpoints store; those that the configuration does without are empty.
template <class Real>
struct Mamba2Parameters {
  Tensor<Real, 1> dt_bias;          ///< (nheads)
  Tensor<Real, 1> A_log;            ///< (nheads)
  Tensor<Real, 1> D;                ///< (nheads), or (nheads * headdim) with D_has_hdim
  Tensor<Real, 2> in_proj_weight;   ///< (d_in_proj, d_model)
  Tensor<Real, 1> in_proj_bias;     ///< (d_in_proj), empty without bias
  Tensor<Real, 3> conv1d_weight;    ///< (conv_dim, 1, d_conv)
  Tensor<Real, 1> conv1d_bias;      ///< (conv_dim), empty without conv_bias
  Tensor<Real, 1> norm_weight;      ///< (ssm_channels), empty without rmsnorm
  Tensor<Real, 2> out_proj_weight;  ///< (d_model, d_inner)
  Tensor<Real, 1> out_proj_bias;    ///< (d_model), empty without bias

  /// \brief Walk over the parameters that are there, in the order and under the names of a checkpoint.
  /// \param visitor called as visitor(name, tensor) for each, name such as "in_proj.weight"; takes tensors of any rank
  template <class Visitor>
  void visit(Visitor&& visitor) {
    walk(*this, visitor);
  }
  /// \copydoc visit(Visitor&&)
  template <class Visitor>
  void visit(Visitor&& visitor) const {
    walk(*this, visitor);
  }

 private:
  template <class Self, class Visitor>
  static void walk(Self& self, Visitor& visitor) {
    const auto call = [&](const char* name, auto& tensor) {
      if (tensor.size() > 0) visitor(name, tensor);
    };
    call("dt_bias", self.dt_bias);
    call("A_log", self.A_log);
    call("D", self.D);
    call("in_proj.weight", self.in_proj_weight);
    call("in_proj.bias", self.in_proj_bias);
    call("conv1d.weight", self.conv1d_weight);
    call("conv1d.bias", self.conv1d_bias);
    call("norm.weight", self.norm_weight);
    call("out_proj.weight", self.out_proj_weight);
    call("out_proj.bias", self.out_proj_bias);
  }
};

/// \brief Parameters of the shapes that a configuration asks for, all zero.
/// \param config sizes and options
/// \return parameters to be filled through their visitor
/// \throws ValueError if the configuration makes no block
template <class Real>
Mamba2Parameters<Real> zero_parameters(const Mamba2Config& config);

/// \brief Parameters as training starts from, drawn as in the reference.
/// \param config sizes and options
/// \param random where the numbers come from
/// \return parameters
/// \throws ValueError if the configuration makes no block
template <class Real>
Mamba2Parameters<Real> initial_parameters(const Mamba2Config& config, Random& random);

/// \brief All that a block remembers of the tokens it has seen: of the same size after one token and after a million.
template <class Real>
struct Mamba2Cache {
  Tensor<Real, 3>
      conv_state;             ///< the last d_conv inputs of the convolution, the newest last, (batch, conv_dim, d_conv)
  Tensor<Real, 4> ssm_state;  ///< the state of the scan, (batch, nheads, headdim, d_state)
  /// What rounding has taken from ssm_state, of each head of each sequence, (batch * nheads); may be left empty.
  std::vector<std::vector<Real>> ssm_remainder = {};

  /// \brief The state of the scan with its remainders. \return references
  ScanState<Real> scan_state() {
    const std::size_t batch = ssm_state.shape(0), nheads = ssm_state.shape(1);
    ssm_remainder.resize(batch * nheads);
    return {as_rows<1>(ssm_state), {ssm_remainder.data(), batch, nheads, nheads}};
  }
};

/// \brief A cache that has seen nothing: zeros.
/// \param config sizes
/// \param batch  how many sequences
/// \return a cache for step() and forward()
template <class Real>
Mamba2Cache<Real> empty_cache(const Mamba2Config& config, std::size_t batch);

/// \brief The columns of what the input projection gives, in their order.
/// \tparam Real float or double, const where they are only read
template <class Real>
struct Columns {
  MatrixRef<Real> z0;   ///< gate of the channels that pass the scan by, (tokens, d_mlp)
  MatrixRef<Real> x0;   ///< the channels that pass the scan by, (tokens, d_mlp)
  MatrixRef<Real> z;    ///< gate of the scan's output, (tokens, ssm_channels)
  MatrixRef<Real> xBC;  ///< what goes through the convolution, (tokens, conv_dim)
  MatrixRef<Real> dt;   ///< step sizes before bias and softplus, (tokens, nheads)
};

/// \brief Cut the output of the input projection into its parts, without moving a number.
/// \param config sizes
/// \param zxbcdt (tokens, d_in_proj)
/// \return references to its columns
template <class Real>
Columns<Real> split_columns(const Mamba2Config& config, MatrixRef<Real> zxbcdt) {
  std::size_t first = 0;
  const auto next = [&](std::size_t count) { return column_block(zxbcdt, (first += count) - count, count); };
  return {.z0 = next(config.d_mlp()),
          .x0 = next(config.d_mlp()),
          .z = next(config.ssm_channels()),
          .xBC = next(config.conv_dim()),
          .dt = next(config.nheads())};
}

/// \brief The tensors between the two projections, for those who look inside or compute gradients.
template <class Real>
struct Mamba2Activations {
  Tensor<Real, 2> zxbcdt;  ///< what the input projection gives: z0, x0, z, x, B, C, dt, (batch * seqlen, d_in_proj)
  Tensor<Real, 2> xBC;     ///< what the convolution gives and the scan reads: x, B, C, (batch * seqlen, conv_dim)
  Tensor<Real, 2> y;       ///< what the scan gives, (batch * seqlen, ssm_channels)
  Tensor<Real, 2>
      merged;  ///< what the output projection reads: silu(z0) * x0, gated and normed y, (batch * seqlen, d_inner)
};

/// \brief What the scan of a block reads, without a copy: x, B and C are columns of what the convolution gives, dt of what the
/// input projection gives.
/// \param config      sizes
/// \param parameters  D and dt_bias are referred to
/// \param A           rate of each head, (nheads)
/// \param batch       how many sequences
/// \param activations zxbcdt and xBC are referred to
/// \return references; they last as long as what they refer to
template <class Real>
ScanRef<Real> scan_ref(const Mamba2Config& config, const Mamba2Parameters<Real>& parameters, const Tensor<Real, 1>& A,
                       std::size_t batch, const Mamba2Activations<Real>& activations) {
  const MatrixRef<const Real> xBC = as_matrix(activations.xBC);
  const std::size_t channels = config.ssm_channels(), d_bc = config.d_bc(), seqlen = batch == 0 ? 0 : xBC.rows / batch;
  return {.sizes = {batch, seqlen, config.nheads(), config.headdim, config.ngroups, config.d_state},
          .x = column_block(xBC, 0, channels),
          .dt = split_columns(config, as_matrix(activations.zxbcdt)).dt,
          .A = as_span(A),
          .B = column_block(xBC, channels, d_bc),
          .C = column_block(xBC, channels + d_bc, d_bc),
          .D = as_span(parameters.D),
          .dt_bias = as_span(parameters.dt_bias)};
}

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

/// \brief What a forward pass gives back.
template <class Real>
struct Mamba2Output {
  Tensor<Real, 3> y;        ///< outputs, (batch, seqlen, d_model)
  Mamba2Cache<Real> cache;  ///< what the next token needs to know
};

/// \brief One Mamba-2 block.
template <class Real>
class Mamba2Block {
 public:
  /// \brief A block with fresh parameters, drawn as in the reference.
  /// \param config sizes and options
  /// \param seed   the same seed gives the same parameters
  /// \throws ValueError if the configuration makes no block
  Mamba2Block(const Mamba2Config& config, std::uint64_t seed);
  /// \brief A block with given parameters.
  /// \param config     sizes and options
  /// \param parameters tensors of the shapes that the configuration asks for
  /// \throws ValueError if the configuration makes no block
  /// \throws ShapeError naming the parameter whose shape disagrees
  Mamba2Block(const Mamba2Config& config, Mamba2Parameters<Real> parameters);

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
  Mamba2Cache<Real> empty_cache(std::size_t batch) const { return mamba2::empty_cache<Real>(config_, batch); }

  /// \brief Sizes and options. \return the configuration
  const Mamba2Config& config() const { return config_; }
  /// \brief The weights. \return a reference, for optimisers
  Mamba2Parameters<Real>& parameters() { return parameters_; }
  /// \brief The weights. \return a reference
  const Mamba2Parameters<Real>& parameters() const { return parameters_; }
  /// \brief Compute with other operations from now on.
  /// \param operations a table that outlives the block
  /// \throws ValueError if the weights are kept in fewer bytes and the table cannot read those
  void use(const Operations<Real>& operations);
  /// \brief Round the weights of the two projections and keep only those: fewer bytes for a step to read. From then on
  /// parameters() has both weights empty. Products may round the tokens, too, see multiplies_bfloat16(). Explained in @chapter{fast}.
  /// \param type bfloat16 or int8; once they are rounded, nothing more is done
  /// \throws ValueError if the operations in use cannot read such weights, or for the type full
  void keep_weights(WeightType type);

 private:
  /// The way in: the input projection, and room for what comes after it.
  Mamba2Activations<Real> enter(MatrixRef<const Real> u) const;
  /// The way out, from what the scan gave: gate and norm, then the output projection.
  void leave(Mamba2Activations<Real>& activations, MatrixRef<Real> y) const;
  /// One of the projections, from its weight or from what keep_weights() made of it.
  void project(MatrixRef<const Real> x, const Tensor<Real, 2>& weight, const CompactWeight& compact,
               const Tensor<Real, 1>& bias, MatrixRef<Real> y) const;
  /// Refuse a cache of other sizes.
  void check_cache(const Mamba2Cache<Real>& cache, std::size_t batch) const;
  /// The taps of the convolution, (conv_dim, d_conv).
  MatrixRef<const Real> taps() const {
    return {parameters_.conv1d_weight.data(), config_.conv_dim(), config_.d_conv, config_.d_conv};
  }
  /// The rules for step sizes, and how to scan.
  ScanOptions scan_options(const ForwardOptions<Real>& options = {}) const;

  Mamba2Config config_;
  Mamba2Parameters<Real> parameters_;
  CompactWeight in_proj_compact_, out_proj_compact_;  // empty until keep_weights()
  const Operations<Real>* operations_ = &default_operations<Real>();
};

}  // namespace mamba2
