// ## A product, and a table {#mamba2_block_operations}
//
// What is left is machinery: a table of operations, a way to hold weights, parameters with names.
// Who wants to see first what the block does may go on at "Every option, seen" and come back.
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
// the place of a real one, and this chapter's program one that rounds.

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

//: fold A weight that is kept as it is
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
