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

#include <mamba2/error.hpp>
#include <mamba2/operations.hpp>

#include <algorithm>
#include <array>
#include <memory>
#include <string>

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
  static const Operations<Real> table{.linear = linear<Real>,
                                      .short_convolution = unchecked::short_convolution<Real>,
                                      .rms_norm = unchecked::rms_norm<Real>,
                                      .gated_norm = unchecked::gated_norm<Real>,
                                      .scan = unchecked::scan<Real>};
  return table;
}

// Nor does the block need to know in which form the numbers of a weight are kept. Nearly all of a
// model's parameters are matrices of linear layers. They may be floats, as in a checkpoint; they
// may be rounded to two bytes each, or one; tomorrow to half of one. What the block wants is the
// product. So a weight is an interface, with two things to ask for: its product with some tokens,
// and, because an embedding needs it, one row.
//
// @quote src/mamba2/linear.hpp#weight
//
// The full form refers to a tensor that somebody else holds, and leaves the product to the table.

namespace {

template <class Real>
class FullWeight final : public Weight<Real> {
 public:
  explicit FullWeight(MatrixRef<const Real> numbers) : numbers_(numbers) {}
  std::size_t rows() const override { return numbers_.rows; }
  std::size_t columns() const override { return numbers_.columns; }
  void multiply(MatrixRef<const Real> x, std::span<const Real> bias, MatrixRef<Real> y,
                const Operations<Real>& operations) const override {
    operations.linear(x, numbers_, bias, y);
  }
  void row(std::size_t i, std::span<Real> out) const override {
    std::copy_n(numbers_[i], out.size(), out.begin());
  }

 private:
  MatrixRef<const Real> numbers_;
};

}  // namespace

template <class Real>
WeightPtr<Real> full_weight(Tensor<Real, 2>& numbers) {
  return std::make_shared<const FullWeight<Real>>(as_matrix(numbers));
}

template void linear(MatrixRef<const float>, MatrixRef<const float>, std::span<const float>,
                     MatrixRef<float>);
template void linear(MatrixRef<const double>, MatrixRef<const double>, std::span<const double>,
                     MatrixRef<double>);
template const Operations<float>& plain_operations<float>();
template const Operations<double>& plain_operations<double>();
template WeightPtr<float> full_weight(Tensor<float, 2>&);
template WeightPtr<double> full_weight(Tensor<double, 2>&);

}  // namespace mamba2

// ### Which table to start with {#mamba2_block_default}
//
// A block has to start with some table. That is a choice, and not one for this chapter to make for
// all that follow. So default_operations() is declared beside the table and defined in a file of
// its own, in the folder `choices` of this chapter. A chapter with something faster brings a file
// of the same name, and a program is linked with the last one that its chapters have.
