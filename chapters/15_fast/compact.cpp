// ## Fewer bytes {#fast_compact}
//
// For a single token nothing counts but bytes. So store the large weights in fewer of them. Only
// four matrices are worth it, as they are all but two thousandths of the 130M model: the two
// projections of each block, the embedding and the head. Everything else stays as it is.
//
// *bfloat16* is the upper half of a float: eight bits of precision instead of twenty-four, in half
// the memory. What this costs is the rounding of each weight, once, by at most one part in 256.
//
// *int8* is a whole number from −127 to 127, and a scale for each row of the weight, chosen so that
// the largest weight of the row just fits. A quarter of the memory. Now the rounding is a step of
// the row's largest weight, the same for its small weights as for its large ones; so a row with one
// weight that sticks out is rounded coarsely as a whole.
//
// What else is rounded depends on how many tokens come together. For a few, up to eight, weights of
// two bytes are widened to floats on their way to the multiplication, and nothing else is rounded.
// With weights of one byte the token is rounded to whole numbers as well, far more finely. With
// many tokens it depends on the processor: one that multiplies bfloat16 has the tokens rounded to
// that, too.
//
// Is the rounding too much? A model averages over many weights, and their roundings point in all
// directions. How far the scores move, the program prints, under *What writing costs*.

#include <mamba2/compact.hpp>
#include <mamba2/error.hpp>
#include <mamba2/half.hpp>
#include <mamba2/kernels.hpp>
#include <mamba2/products.hpp>
#include <mamba2/row_shares.hpp>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

namespace mamba2 {

std::size_t bytes_of(WeightType type) {
  return type == WeightType::full ? 4 : type == WeightType::bfloat16 ? 2 : 1;
}

const char* name_of(WeightType type) {
  return type == WeightType::full ? "float32" : type == WeightType::bfloat16 ? "bfloat16" : "int8";
}

// A weight is an interface since @chapter{mamba2_block}: a product with tokens, and a row. So each
// way to keep one is a class, and nothing else in the program need know of it. In two bytes:

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
                          kernels<Real>().rows_dot_bfloat16(W.data, W.stride, W.rows, W.columns, x.data,
                                                            x.stride, x.rows, out.data, out.stride);
                        });
  }
  void row(std::size_t i, std::span<Real> out) const override {
    kernels<Real>().widen_bfloat16(&numbers_(i, 0), out.data(), out.size());
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
    kernels<Real>().widen_int8(&numbers_(i, 0), out.data(), out.size());
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
    largest = std::max(largest, size), sum += size;
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
    scale[i] = kernels<Real>().to_int16(x[i], x.columns, &whole(i, 0));
  deal_out_rows<Real>(x, as_matrix(numbers_), bias, y,
                      [&](std::size_t first, MatrixRef<const std::int8_t> W, MatrixRef<Real> out) {
                        const float* w_scale = scale_.data() + first;
                        if (few)
                          return kernels<Real>().rows_dot_int8(
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

// A model of such weights is the same predictor, bound with another way to keep them. It is a type
// of its own, since it has given up what a LanguageModel has: there are no parameters that could be
// trained or saved. It is made from a model, weight by weight, so that the two are never in memory
// together,

template <class Real>
CompactLanguageModel<Real>::CompactLanguageModel(LanguageModel<Real>&& model, WeightType type)
    : type_(type) {
  const LanguageModelConfig config = model.config();
  small_ = std::move(model).release();
  this->bind(config, small_,
             [type](Tensor<Real, 2>& numbers) { return compact_weight(numbers, type); });
}

// or while it is loaded. Then no more than one layer, and the tables of the vocabulary, ever stand
// in memory in full.

template <class Real>
CompactLanguageModel<Real>::CompactLanguageModel(const LanguageModelConfig& config,
                                                 const Source& source, WeightType type)
    : type_(type) {
  const std::vector<ParameterInfo> list = parameter_list(config);
  const auto branches = config.branches();
  const auto filled = [&](const ParameterInfo& info, auto tensor) {
    source(info, {tensor.data(), tensor.size()});
    return tensor;
  };
  const std::size_t rows = config.padded_vocab_size(), d_model = config.d_model();
  const std::size_t heads = config.tie_embeddings ? 0 : 1;
  small_.embedding_weight = filled(list.front(), zeros<Real>(rows, d_model));
  small_.norm_f_weight = filled(list[list.size() - 1 - heads], zeros<Real>(d_model));
  if (!config.tie_embeddings) small_.lm_head_weight = filled(list.back(), zeros<Real>(rows, d_model));
  small_.branches.resize(branches.size());
  auto next = list.begin() + 1;
  this->bind(
      config, small_, [type](Tensor<Real, 2>& numbers) { return compact_weight(numbers, type); },
      [&](std::size_t i) {
        small_.branches[i].norm_weight = filled(*next++, zeros<Real>(d_model));
        branches[i].mixer->set_zero(small_.branches[i].mixer);
        for (const std::span<Real> values : small_.branches[i].mixer.spans()) source(*next++, values);
      });
}

template WeightPtr<float> compact_weight(Tensor<float, 2>&, WeightType);
template WeightPtr<double> compact_weight(Tensor<double, 2>&, WeightType);
template class CompactLanguageModel<float>;
template class CompactLanguageModel<double>;

}  // namespace mamba2
