// ## A class for each {#fewer_bytes_weights}
//
// A weight is an interface since @chapter{mamba2_block}: a product with tokens, and a row. So each
// way to keep one is a class, and nothing else in the program need know of it. Rows are dealt out
// to the threads as in @chapter{fast}. What is done with them depends on how many tokens come
// together: up to eight, the weights are read once, by the loops that come next; with more, a
// library multiplies.
//
// In two bytes:

#include <mamba2/compact.hpp>
#include <mamba2/compact_kernels.hpp>
#include <mamba2/compact_products.hpp>
#include <mamba2/error.hpp>
#include <mamba2/row_shares.hpp>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

namespace mamba2 {
namespace {

template <class Real>
class Bfloat16Weight final : public Weight<Real> {
 public:
  explicit Bfloat16Weight(const Tensor<Real, 2>& numbers)
      : numbers_(Tensor<bfloat16_bits, 2>::from_shape(numbers.shape())) {
    std::transform(numbers.begin(), numbers.end(), numbers_.begin(),
                   [](Real w) { return float_to_bfloat16(static_cast<float>(w)); });
  }
  std::size_t rows() const override { return numbers_.shape(0); }
  std::size_t columns() const override { return numbers_.shape(1); }
  void multiply(MatrixRef<const Real> x, std::span<const Real> bias, MatrixRef<Real> y,
                const Operations<Real>&) const override {
    deal_out_rows<Real>(x, as_matrix(numbers_), bias, y,
                        [&](std::size_t, MatrixRef<const bfloat16_bits> W, MatrixRef<Real> out) {
                          if (x.rows > few_tokens<bfloat16_bits>) return product(x, W, out);
                          compact_kernels<Real>().rows_dot_bfloat16(W.data, W.stride, W.rows, W.columns,
                                                                    x.data, x.stride, x.rows, out.data,
                                                                    out.stride);
                        });
  }
  void row(std::size_t i, std::span<Real> out) const override {
    compact_kernels<Real>().widen_bfloat16(&numbers_(i, 0), out.data(), out.size());
  }

 private:
  Tensor<bfloat16_bits, 2> numbers_;  // (d_out, d_in)
};

// In one byte there is a scale for each row. A few tokens become whole numbers first; many are
// multiplied as above, and the scales of the weight's rows are applied afterwards.

template <class Real>
class Int8Weight final : public Weight<Real> {
 public:
  explicit Int8Weight(const Tensor<Real, 2>& numbers)
      : numbers_(numbers.shape(), 0), scale_(Tensor<float, 1>::from_shape({numbers.shape(0)})) {
    for (std::size_t i = 0; i < rows(); ++i) round_row(i, numbers.data() + i * columns());
  }
  std::size_t rows() const override { return numbers_.shape(0); }
  std::size_t columns() const override { return numbers_.shape(1); }
  void multiply(MatrixRef<const Real> x, std::span<const Real> bias, MatrixRef<Real> y,
                const Operations<Real>&) const override;
  void row(std::size_t i, std::span<Real> out) const override {
    compact_kernels<Real>().widen_int8(&numbers_(i, 0), out.data(), out.size());
    for (Real& value : out) value *= static_cast<Real>(scale_(i));
  }

 private:
  void round_row(std::size_t i, const Real* row);
  Tensor<std::int8_t, 2> numbers_;  // (d_out, d_in)
  Tensor<float, 1> scale_;          // (d_out): the weight is this times the whole number
};

template <class Real>
void Int8Weight<Real>::round_row(std::size_t i, const Real* row) {
  double largest = 0, sum = 0;
  for (std::size_t j = 0; j < columns(); ++j) {
    const double size = std::abs(static_cast<double>(row[j]));
    largest = std::max(largest, size);
    sum += size;
  }
  const double scale = largest / 127;
  scale_(i) = static_cast<float>(std::isfinite(sum) ? scale : std::nan(""));
  if (!std::isfinite(sum) || scale == 0) return;
  for (std::size_t j = 0; j < columns(); ++j)
    numbers_(i, j) = static_cast<std::int8_t>(std::lround(static_cast<double>(row[j]) / scale));
}

template <class Real>
void Int8Weight<Real>::multiply(MatrixRef<const Real> x, std::span<const Real> bias, MatrixRef<Real> y,
                                const Operations<Real>&) const {
  const bool few = x.rows <= few_tokens<std::int8_t>;
  Tensor<std::int16_t, 2> whole({few ? x.rows : 0, x.columns});
  std::vector<Real> scale(whole.shape(0));
  for (std::size_t i = 0; i < scale.size(); ++i)
    scale[i] = compact_kernels<Real>().to_int16(x[i], x.columns, &whole(i, 0));
  deal_out_rows<Real>(x, as_matrix(numbers_), bias, y,
                      [&](std::size_t first, MatrixRef<const std::int8_t> W, MatrixRef<Real> out) {
                        const float* w_scale = scale_.data() + first;
                        if (few)
                          return compact_kernels<Real>().rows_dot_int8(
                              W.data, W.stride, w_scale, W.rows, W.columns, whole.data(), x.columns,
                              scale.data(), x.rows, out.data, out.stride);
                        product(x, W, out);
                        for (std::size_t i = 0; i < out.rows; ++i)
                          for (std::size_t j = 0; j < out.columns; ++j)
                            out[i][j] *= static_cast<Real>(w_scale[j]);
                      });
}

}  // namespace

template <class Real>
WeightPtr<Real> compact_weight(Tensor<Real, 2>& numbers, WeightType type) {
  require(type != WeightType::full, "type", "bfloat16 or int8", "full");
  WeightPtr<Real> weight;
  if (type == WeightType::bfloat16)
    weight = std::make_shared<const Bfloat16Weight<Real>>(numbers);
  else
    weight = std::make_shared<const Int8Weight<Real>>(numbers);
  numbers = Tensor<Real, 2>();
  return weight;
}

template WeightPtr<float> compact_weight(Tensor<float, 2>&, WeightType);
template WeightPtr<double> compact_weight(Tensor<double, 2>&, WeightType);

}  // namespace mamba2
