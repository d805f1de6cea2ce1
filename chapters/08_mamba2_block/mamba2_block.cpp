// # The Mamba-2 block {#ch_mamba2_block}
// @summary Projections, convolution, scan and norm put together, in the reference’s order and with every one of its options.
//
// All parts are on the table: a scan, what feeds it, a short convolution, a norm with a gate. This
// chapter screws them together. There is little left to invent and much to get right, for the aim
// is strict: given the weights of a published model, the block must give the published model's
// numbers, with every option that the reference implementation has.
//
// "Much to get right" means order. In which order do the parts of the big projection lie in memory?
// What happens first, norm or gate, softplus or limit? A block with two rows exchanged runs without
// complaint. It trains, even. It only fails to read anybody else's weights. So the tests of this
// chapter hold it to numbers, case by case, and the text says for each decision what it is.
//
// ## What it builds on {#mamba2_block_builds_on}
//
// @Chapter{duality}'s multiply(), @chapter{real_sequences}'s ssd(), @chapter{selection}'s rates and
// initial values, @chapter{convolution_and_norm}'s short_convolution() and gated_norm().
//
// ## Shapes {#mamba2_block_shapes}
//
// With the sizes of the 130M model, where $d_{model}$ is 768:
//
// ::: shapes
// | name | shape | 130M |
// |---|---|---|
// | $u$, the input | (batch, seqlen, d_model) | 768 |
// | `in_proj.weight` | (d_in_proj, d_model) | 3352 × 768 |
// | `conv1d.weight` | (conv_dim, 1, d_conv) | 1792 × 1 × 4 |
// | `dt_bias`, `A_log`, `D` | (nheads) | 24 |
// | $x$ | (batch, seqlen, nheads, headdim) | 24 × 64 |
// | $B$, $C$ | (batch, seqlen, ngroups, d_state) | 1 × 128 |
// | `norm.weight` | (d_ssm) | 1536 |
// | `out_proj.weight` | (d_model, d_inner) | 768 × 1536 |
// :::
//
// ## From one end to the other {#mamba2_block_overview}
//
// ::: figure block
// The Mamba-2 block. One projection makes everything at once; $x$, $B$ and $C$ go through the short
// convolution, $z$ and $\Delta$ do not. The dashed branch is only there when `d_ssm` is smaller
// than `d_inner`.
// :::
//
// Compare it with Mamba-1's block in @chapter{selection}. There the scan's parameters were computed
// from the convolved $x$: a second and a third projection in the middle of the block. Here they are
// computed from the input, beside $x$, in one product with one matrix. The scan's inputs are ready
// as soon as the convolution is, and no second projection stands between the two.
//
// The projection's output has its parts side by side in this order: **z, x, B, C, dt**. If `d_ssm`
// is smaller than $d_{inner}$, some channels go round the scan: a plain gated unit,
// $\silu(z_0) \odot x_0$. Their two parts come first, **z0, x0, z, x, B, C, dt**, and in the
// block's output as well they stand in front.
//
// ::: figure columns
// The rows of `in_proj.weight` for the 130M model, to scale. Nearly all of them make $z$ and $x$;
// $B$ and $C$ are thin, and $\Delta$ is a line at the end: 24 rows of 3352.
// :::
//
// This thinness is @chapter{selection}'s bargain seen from another side: one $\Delta$ for each
// head, one $B$ and $C$ for each group of heads.
//
// ## A product, and a table {#mamba2_block_operations}
//
// The linear layer is @chapter{duality}'s product with the weight transposed, because checkpoints
// store weights as (out, in):

#include <mamba2/block.hpp>
#include <mamba2/error.hpp>
#include <mamba2/selection.hpp>

#include <algorithm>
#include <array>
#include <cmath>
#include <sstream>
#include <string>
#include <utility>

namespace mamba2 {

template <class Real>
void linear(MatrixRef<const Real> x, MatrixRef<const Real> weight, std::span<const Real> bias,
            MatrixRef<Real> y) {
  if (weight.columns != x.columns || y.rows != x.rows || y.columns != weight.rows) {
    throw ShapeError(
        "linear: expected x (tokens, d_in), weight (d_out, d_in), y (tokens, d_out), got " +
        shape_text(std::array{x.rows, x.columns}) + ", " +
        shape_text(std::array{weight.rows, weight.columns}) + ", " +
        shape_text(std::array{y.rows, y.columns}));
  }
  if (!bias.empty() && bias.size() != y.columns) {
    throw ShapeError("bias: expected " + std::to_string(y.columns) + " values, got " +
                     std::to_string(bias.size()));
  }
  for (std::size_t t = 0; t < y.rows; ++t) {
    for (std::size_t i = 0; i < y.columns; ++i) y[t][i] = bias.empty() ? Real(0) : bias[i];
  }
  if (x.rows > 0) multiply<Real>(x, transpose(weight), /* beta = */ 1, y);
}

// The block will not call this function, nor the scan, the convolution or the norm, by name. It
// calls whatever stands in a small table. Today the table holds the clear forms of
// @chapters{duality to mamba2_block}. Another table can hold fast forms of the same operations, and
// the block above it does not change by a letter. It also lets a test put a counting operation in
// the place of a real one.

template <class Real>
const Operations<Real>& plain_operations() {
  static const Operations<Real> table{
      .linear = linear<Real>,
      .short_convolution = unchecked::short_convolution<Real>,
      .rms_norm = unchecked::rms_norm<Real>,
      .gated_norm = unchecked::gated_norm<Real>,
      .scan = unchecked::scan<Real>,
  };
  return table;
}

// Which table does a block start with? That is a choice, and not one for this chapter to make for
// all that follow. So default_operations() is declared beside the table and defined in a file of
// its own, `choices/default_operations.cpp` in this chapter's folder, of five lines that return the
// table above. A chapter with something faster brings a file of the same name, and a program is
// linked with the last that its chapters have.

// ## A configuration that checks itself {#mamba2_block_config}
//
// Sizes come from files that somebody wrote. A wrong one should be refused where it is read, with
// the name of the field and what it may be, not crash three functions later. What can be wrong? A
// size of zero; heads that do not divide the channels; groups that do not divide the heads; ranges
// the wrong way round; numbers that are none.
//
// @output refused

namespace {

std::string text(double value) {
  std::ostringstream out;
  out << value;
  return out.str();
}

void positive(const char* field, std::size_t value) {
  require(value > 0, field, "at least 1", std::to_string(value));
}

void divides(const char* field, std::size_t part, const std::string& whole_name, std::size_t whole) {
  require(part > 0 && whole % part == 0, field,
          "a divisor of " + whole_name + " = " + std::to_string(whole), std::to_string(part));
}

/// Written so that NaN is refused: every comparison with it is false.
void at_least(const char* field, double value, double least, const std::string& least_name = "") {
  require(value >= least, field, "at least " + least_name + text(least), text(value));
}

void above_zero(const char* field, double value) {
  require(value > 0, field, "above 0", text(value));
  require(std::isfinite(value), field, "a finite number", text(value));
}

}  // namespace

void Mamba2Config::check() const {
  positive("d_model", d_model);
  positive("d_state", d_state);
  positive("d_conv", d_conv);
  positive("expand", expand);
  positive("headdim", headdim);
  positive("chunk_size", chunk_size);
  require(d_ssm <= d_inner(), "d_ssm",
          "at most d_inner = expand * d_model = " + std::to_string(d_inner()), std::to_string(d_ssm));
  divides("headdim", headdim, "the channels of the scan", ssm_channels());
  divides("ngroups", ngroups, "the number of heads", nheads());
  above_zero("A_init_min", A_init_min);
  above_zero("A_init_max", A_init_max);
  at_least("A_init_max", A_init_max, A_init_min, "A_init_min = ");
  above_zero("dt_min", dt_min);
  above_zero("dt_max", dt_max);
  at_least("dt_max", dt_max, dt_min, "dt_min = ");
  at_least("dt_init_floor", dt_init_floor, 0);
  at_least("conv_init", conv_init, 0);
  at_least("dt_limit_min", dt_limit_min, 0);
  at_least("dt_limit_max", dt_limit_max, dt_limit_min, "dt_limit_min = ");
  at_least("norm_eps", norm_eps, 0);
}

// ## Parameters with names {#mamba2_block_parameters}
//
// The parameters are a plain struct of tensors. Each has the shape that a checkpoint stores, even
// where that is odd: `conv1d.weight` has an axis of length one in the middle, because PyTorch's
// convolution wants one. A parameter that the configuration does without is empty.
//
// Loading, saving, counting, updating in training: all these walk over the parameters and need
// their names. So the struct has one function, Mamba2Parameters::visit(), that shows each tensor
// with its checkpoint name to whoever asks, in the order in which checkpoints store them. (It is a
// template and lives in the header, block.hpp.)

template <class Real>
Mamba2Parameters<Real> zero_parameters(const Mamba2Config& config) {
  config.check();
  const auto& c = config;
  Mamba2Parameters<Real> p;
  p.dt_bias = zeros<Real>(c.nheads());
  p.A_log = zeros<Real>(c.nheads());
  p.D = zeros<Real>(c.D_has_hdim ? c.ssm_channels() : c.nheads());
  p.in_proj_weight = zeros<Real>(c.d_in_proj(), c.d_model);
  p.in_proj_bias = zeros<Real>(c.bias ? c.d_in_proj() : 0);
  p.conv1d_weight = zeros<Real>(c.conv_dim(), 1, c.d_conv);
  p.conv1d_bias = zeros<Real>(c.conv_bias ? c.conv_dim() : 0);
  p.norm_weight = zeros<Real>(c.rmsnorm ? c.ssm_channels() : 0);
  p.out_proj_weight = zeros<Real>(c.d_model, c.d_inner());
  p.out_proj_bias = zeros<Real>(c.bias ? c.d_model : 0);
  return p;
}

// How many numbers is that? The program asks the visitor:
//
// @output count
//
// Fresh parameters are drawn as the reference draws them. Pace comes from @chapter{selection}.
// Weights of the projections are uniform in $\pm 1/\sqrt{d_{in}}$, taps in $\pm 1/\sqrt{d_{conv}}$,
// which are the defaults of PyTorch's layers; biases likewise. $D$ and the norm's weights start at
// one. (A language model also divides `out_proj.weight` by the root of its number of layers. It
// knows that number, the block does not; see @chapter{language_model}.)

namespace {

/// Fill with numbers drawn evenly from [-bound, bound).
template <class T>
void fill_uniform(T& tensor, double bound, Random& random) {
  for (auto& value : tensor) value = static_cast<typename T::value_type>(random.uniform(-bound, bound));
}

}  // namespace

template <class Real>
Mamba2Parameters<Real> initial_parameters(const Mamba2Config& config, Random& random) {
  auto p = zero_parameters<Real>(config);
  const auto root = [](std::size_t n) { return 1 / std::sqrt(static_cast<double>(n)); };
  p.dt_bias = initial_dt_bias<Real>(config.nheads(), config.dt_min, config.dt_max, config.dt_init_floor,
                                    random);
  p.A_log = initial_A_log<Real>(config.nheads(), config.A_init_min, config.A_init_max, random);
  p.D.fill(1);
  p.norm_weight.fill(1);
  fill_uniform(p.in_proj_weight, root(config.d_model), random);
  fill_uniform(p.in_proj_bias, root(config.d_model), random);
  fill_uniform(p.conv1d_weight, config.conv_init > 0 ? config.conv_init : root(config.d_conv), random);
  fill_uniform(p.conv1d_bias, root(config.d_conv), random);
  fill_uniform(p.out_proj_weight, root(config.d_inner()), random);
  fill_uniform(p.out_proj_bias, root(config.d_inner()), random);
  return p;
}

template <class Real>
Mamba2Cache<Real> empty_cache(const Mamba2Config& c, std::size_t batch) {
  return {zeros<Real>(batch, c.conv_dim(), c.d_conv),
          zeros<Real>(batch, c.nheads(), c.headdim, c.d_state)};
}

template <class Real>
Mamba2Block<Real>::Mamba2Block(const Mamba2Config& config, std::uint64_t seed) : config_(config) {
  Random random(seed);
  parameters_ = initial_parameters<Real>(config, random);
}

template <class Real>
Mamba2Block<Real>::Mamba2Block(const Mamba2Config& config, Mamba2Parameters<Real> parameters)
    : config_(config), parameters_(std::move(parameters)) {
  config.check();
  const Mamba2Config& c = config_;
  const auto& p = parameters_;
  const std::size_t biased = c.bias ? 1 : 0;
  require_shape("dt_bias", p.dt_bias, {c.nheads()}, "(nheads)");
  require_shape("A_log", p.A_log, {c.nheads()}, "(nheads)");
  require_shape("D", p.D, {c.D_has_hdim ? c.ssm_channels() : c.nheads()},
                c.D_has_hdim ? "(d_ssm)" : "(nheads)");
  require_shape("in_proj.weight", p.in_proj_weight, {c.d_in_proj(), c.d_model}, "(d_in_proj, d_model)");
  require_shape("in_proj.bias", p.in_proj_bias, {biased * c.d_in_proj()},
                c.bias ? "(d_in_proj)" : "(none)");
  require_shape("conv1d.weight", p.conv1d_weight, {c.conv_dim(), 1, c.d_conv}, "(conv_dim, 1, d_conv)");
  require_shape("conv1d.bias", p.conv1d_bias, {c.conv_bias ? c.conv_dim() : 0},
                c.conv_bias ? "(conv_dim)" : "(none)");
  require_shape("norm.weight", p.norm_weight, {c.rmsnorm ? c.ssm_channels() : 0},
                c.rmsnorm ? "(d_ssm)" : "(none)");
  require_shape("out_proj.weight", p.out_proj_weight, {c.d_model, c.d_inner()}, "(d_model, d_inner)");
  require_shape("out_proj.bias", p.out_proj_bias, {biased * c.d_model},
                c.bias ? "(d_model)" : "(none)");
}

// ## The way in {#mamba2_block_in}
//
// Now the pass itself. It comes in three pieces, because @chapter{one_token_at_a_time} will need
// the first and the last again: the way in, the middle, the way out. The way in is the projection,
// and room for what comes after it. Nothing is laid out for the scan: the convolution will write
// one matrix, and the scan finds $x$, $B$ and $C$ in its columns and the step sizes in those of the
// projection (scan_ref(), in block.hpp).

template <class Real>
void Mamba2Block<Real>::project(MatrixRef<const Real> x, const Tensor<Real, 2>& weight,
                                const CompactWeight& compact, const Tensor<Real, 1>& bias,
                                MatrixRef<Real> y) const {
  if (compact.empty()) return operations_->linear(x, as_matrix(weight), bias, y);
  operations_->linear_compact(x, compact, bias, y);
}

template <class Real>
Mamba2Activations<Real> Mamba2Block<Real>::enter(MatrixRef<const Real> u) const {
  const auto room = [&](std::size_t columns) { return Tensor<Real, 2>::from_shape({u.rows, columns}); };
  Mamba2Activations<Real> a{.zxbcdt = room(config_.d_in_proj()),
                            .xBC = room(config_.conv_dim()),
                            .y = room(config_.ssm_channels()),
                            .merged = room(config_.d_inner())};
  project(u, parameters_.in_proj_weight, in_proj_compact_, parameters_.in_proj_bias,
          as_matrix(a.zxbcdt));
  return a;
}

// $D$ is one number for each head or, with `D_has_hdim`, one for each channel. The scan takes both.
//
// ## The way out {#mamba2_block_out}
//
// After the scan: gate and norm, side by side with the channels that went round, then the output
// projection. gated_norm() without a weight is a gate and nothing else, which serves twice: for
// $\silu(z_0) \odot x_0$, and for blocks with `rmsnorm = false`, whose `norm.weight` is empty.

template <class Real>
void Mamba2Block<Real>::leave(Mamba2Activations<Real>& a, MatrixRef<Real> y) const {
  const Mamba2Config& c = config_;
  const Columns<Real> in = split_columns(c, as_matrix(a.zxbcdt));
  const MatrixRef<Real> merged = as_matrix(a.merged);
  const GatedNorm<Real> gate_only, norm{.weight = parameters_.norm_weight,
                                        .groups = c.norm_over_all_channels ? 1 : c.ngroups,
                                        .norm_before_gate = c.norm_before_gate,
                                        .eps = c.norm_eps};
  operations_->gated_norm(in.x0, in.z0, gate_only, column_block(merged, 0, c.d_mlp()));
  operations_->gated_norm(as_matrix(a.y), in.z, norm,
                          column_block(merged, c.d_mlp(), c.ssm_channels()));
  project(merged, parameters_.out_proj_weight, out_proj_compact_, parameters_.out_proj_bias, y);
}

// `norm_over_all_channels` is not an option of the reference. Hugging Face's plain implementation
// takes one mean square over all channels even where there are groups
// (@chapter{convolution_and_norm}), and a model that was trained with it wants to be run with it.
// For a single group there is no difference.

template <class Real>
void Mamba2Block<Real>::check_cache(const Mamba2Cache<Real>& cache, std::size_t batch) const {
  const Mamba2Config& c = config_;
  require_shape("conv_state", cache.conv_state, {batch, c.conv_dim(), c.d_conv},
                "(batch, conv_dim, d_conv)");
  require_shape("ssm_state", cache.ssm_state, {batch, c.nheads(), c.headdim, c.d_state},
                "(batch, nheads, headdim, d_state)");
}

template <class Real>
ScanOptions Mamba2Block<Real>::scan_options(const ForwardOptions<Real>& options) const {
  const std::size_t suits = operations_->chunk_size > 0 ? operations_->chunk_size : config_.chunk_size;
  return {.dt_softplus = true,
          .dt_min = config_.dt_limit_min,
          .dt_max = config_.dt_limit_max,
          .chunk_size = options.chunk_size > 0 ? options.chunk_size : suits,
          .algorithm = options.algorithm};
}

// The limits for the step size are options of the scan, applied after the softplus:
// @chapter{real_sequences}.
//
// Which table is in use can be changed at any time, with one exception that @chapter{fast} brings:
// weights that have been rounded to fewer bytes need operations that can read them.

template <class Real>
void Mamba2Block<Real>::use(const Operations<Real>& operations) {
  require(in_proj_compact_.empty() || (operations.linear_compact && operations.compact_row),
          "operations", "some that can read weights in fewer bytes", "others");
  operations_ = &operations;
}

// ## The middle {#mamba2_block_middle}
//
// And the whole:

template <class Real>
Mamba2Output<Real> Mamba2Block<Real>::forward(const Tensor<Real, 3>& u,
                                              const ForwardOptions<Real>& options) const {
  const std::size_t batch = u.shape(0), seqlen = u.shape(1);
  require_shape("u", u, {batch, seqlen, config_.d_model}, "(batch, seqlen, d_model)");
  if (options.cache) check_cache(*options.cache, batch);

  if (options.seq_idx) require_shape("seq_idx", *options.seq_idx, {batch, seqlen}, "(batch, seqlen)");

  Mamba2Activations<Real> a = enter(as_rows(u));
  const Tensor<Real, 1> A = rates(parameters_.A_log);
  ShortConvolution<Real> convolution{.x = split_columns(config_, as_matrix(a.zxbcdt)).xBC,
                                     .batch = batch,
                                     .weight = taps(),
                                     .bias = parameters_.conv1d_bias};
  ScanRef<Real> scan = scan_ref(config_, parameters_, A, batch, a);
  Mamba2Output<Real> output{Tensor<Real, 3>::from_shape({batch, seqlen, config_.d_model}),
                            options.cache ? *options.cache : empty_cache(batch)};
  if (options.cache) convolution.initial_state = as_rows<1>(options.cache->conv_state);
  if (options.seq_idx) {
    scan.seq_idx = {options.seq_idx->data(), options.seq_idx->size()};
    convolution.seq_idx = scan.seq_idx;
  }

  operations_->short_convolution(convolution, as_matrix(a.xBC));
  operations_->scan(scan, scan_options(options), output.cache.scan_state(), as_matrix(a.y));
  unchecked::convolution_state<Real>(convolution, as_rows<1>(output.cache.conv_state));
  leave(a, as_rows(output.y));
  if (options.keep) *options.keep = std::move(a);
  return output;
}

template void linear(MatrixRef<const float>, MatrixRef<const float>, std::span<const float>,
                     MatrixRef<float>);
template void linear(MatrixRef<const double>, MatrixRef<const double>, std::span<const double>,
                     MatrixRef<double>);
template const Operations<float>& plain_operations<float>();
template const Operations<double>& plain_operations<double>();
template Mamba2Parameters<float> zero_parameters(const Mamba2Config&);
template Mamba2Parameters<double> zero_parameters(const Mamba2Config&);
template Mamba2Parameters<float> initial_parameters(const Mamba2Config&, Random&);
template Mamba2Parameters<double> initial_parameters(const Mamba2Config&, Random&);
template Mamba2Cache<float> empty_cache(const Mamba2Config&, std::size_t);
template Mamba2Cache<double> empty_cache(const Mamba2Config&, std::size_t);
template Mamba2Block<float>::Mamba2Block(const Mamba2Config&, std::uint64_t);
template Mamba2Block<float>::Mamba2Block(const Mamba2Config&, Mamba2Parameters<float>);
template void Mamba2Block<float>::project(MatrixRef<const float>, const Tensor<float, 2>&,
                                          const CompactWeight&, const Tensor<float, 1>&,
                                          MatrixRef<float>) const;
template void Mamba2Block<double>::project(MatrixRef<const double>, const Tensor<double, 2>&,
                                           const CompactWeight&, const Tensor<double, 1>&,
                                           MatrixRef<double>) const;
template Mamba2Activations<float> Mamba2Block<float>::enter(MatrixRef<const float>) const;
template void Mamba2Block<float>::leave(Mamba2Activations<float>&, MatrixRef<float>) const;
template void Mamba2Block<float>::use(const Operations<float>&);
template void Mamba2Block<double>::use(const Operations<double>&);
template void Mamba2Block<float>::check_cache(const Mamba2Cache<float>&, std::size_t) const;
template ScanOptions Mamba2Block<float>::scan_options(const ForwardOptions<float>&) const;
template Mamba2Output<float> Mamba2Block<float>::forward(const Tensor<float, 3>&,
                                                         const ForwardOptions<float>&) const;
template Mamba2Block<double>::Mamba2Block(const Mamba2Config&, std::uint64_t);
template Mamba2Block<double>::Mamba2Block(const Mamba2Config&, Mamba2Parameters<double>);
template Mamba2Activations<double> Mamba2Block<double>::enter(MatrixRef<const double>) const;
template void Mamba2Block<double>::leave(Mamba2Activations<double>&, MatrixRef<double>) const;
template void Mamba2Block<double>::check_cache(const Mamba2Cache<double>&, std::size_t) const;
template ScanOptions Mamba2Block<double>::scan_options(const ForwardOptions<double>&) const;
template Mamba2Output<double> Mamba2Block<double>::forward(const Tensor<double, 3>&,
                                                           const ForwardOptions<double>&) const;

}  // namespace mamba2

// Two options deserve a word. A *cache* holds what an earlier piece of the text left behind: the
// inputs that the convolution remembers and the state of the scan. With it the pass goes on where
// the other one stopped. That is @chapter{one_token_at_a_time}. With `seq_idx`, several texts lie
// one after another in one row, and neither scan nor convolution reaches from one into the next:
//
// @output packed
//
// Whichever form of the scan is chosen, the block gives the same:
//
// @output equal
//
// ## Every option, seen {#mamba2_block_options}
//
// An option that does nothing is worse than none. The program switches on each in turn and looks at
// the parameters' number and at what comes out.
//
// @output options
//
// ## Which of the reference's three is the real one? {#mamba2_block_variants}
//
// Who opens the reference repository finds three files that all look like Mamba-2.
//
// | file | what it is |
// |---|---|
// | `modules/mamba2.py` | The block. Language models and all published checkpoints use this one. It has every option named here. |
// | `modules/mamba2_simple.py` | An earlier, shorter block for reading and experiments: no `d_ssm`, no `D_has_hdim`, no `norm_before_gate`, the norm always on and never grouped, other defaults (`d_state` 64, `headdim` 128), and a learnable initial state that the other lacks. |
// | `modules/ssd_minimal.py` | Not a block: the operator alone, the paper's Listing 1. Lengths must be a multiple of the chunk; no $D$, no gate, no groups. |
//
// The first is the real one, and the one that our numbers are held to.
//
// ## Why do two implementations give different logits? {#mamba2_block_differ}
//
// They never agree to the last bit, and should not be expected to. The question is by how much they
// may differ. Some causes are innocent: sums taken in another order, another length of chunk,
// weights rounded to fewer bits. Others are errors. The two kinds can mostly be told apart by size.
//
// @output differ
//
// ::: figure rounding
// A stack of 24 blocks with random weights, each adding its output to its input. How far float32
// strays from float64 after each layer, in the chunked and in the recurrent form (the two lie on
// each other); and how far float64 strays if only the weights are rounded to bfloat16. Rounding
// grows slowly with depth and keeps its distance from a real mistake.
// :::
//
// So when your logits are off by a part in a million, it is arithmetic. By a few parts in a
// thousand: somebody rounded, in bfloat16 very likely, or a GPU used its short matrix format. By
// more: it is a bug, and the list of suspects is short. The order z, x, B, C, dt. The norm's place
// and its groups. Taps reversed. Softplus forgotten, or the bias added after it. Prompts padded on
// the left, without the padding being kept out of the state. One culprit hides among the innocent:
// an $\epsilon$ of 1e-6 where 1e-5 is meant does no more than rounding does, and can be found only
// by reading.
