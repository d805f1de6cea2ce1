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

#include <mamba2/error.hpp>
#include <mamba2/half.hpp>
#include <mamba2/language_model.hpp>

#include <algorithm>
#include <cmath>

namespace mamba2 {
namespace {

template <class Real>
void round_to_bfloat16(const Tensor<Real, 2>& weight, CompactWeight& compact) {
  compact.bfloat16 = Tensor<bfloat16_bits, 2>::from_shape(weight.shape());
  std::transform(weight.begin(), weight.end(), compact.bfloat16.begin(),
                 [](Real w) { return float_to_bfloat16(static_cast<float>(w)); });
}

template <class Real>
void round_to_int8(const Tensor<Real, 2>& weight, CompactWeight& compact) {
  const std::size_t rows = weight.shape(0), columns = weight.shape(1);
  compact.int8 = Tensor<std::int8_t, 2>({rows, columns}, 0);
  compact.scale = Tensor<float, 1>::from_shape({rows});
  for (std::size_t i = 0; i < rows; ++i) {
    double largest = 0, sum = 0;
    for (std::size_t j = 0; j < columns; ++j) {
      const double size = std::abs(static_cast<double>(weight(i, j)));
      largest = std::max(largest, size), sum += size;
    }
    const double scale = largest / 127;
    compact.scale(i) = static_cast<float>(std::isfinite(sum) ? scale : std::nan(""));
    if (!std::isfinite(sum) || scale == 0) continue;
    for (std::size_t j = 0; j < columns; ++j)
      compact.int8(i, j) =
          static_cast<std::int8_t>(std::lround(static_cast<double>(weight(i, j)) / scale));
  }
}

}  // namespace

std::size_t bytes_of(WeightType type) {
  return type == WeightType::full ? 4 : type == WeightType::bfloat16 ? 2 : 1;
}

const char* name_of(WeightType type) {
  return type == WeightType::full ? "float32" : type == WeightType::bfloat16 ? "bfloat16" : "int8";
}

template <class Real>
CompactWeight compact(Tensor<Real, 2>& weight, WeightType type) {
  require(type != WeightType::full, "type", "bfloat16 or int8", "full");
  CompactWeight compact;
  type == WeightType::bfloat16 ? round_to_bfloat16(weight, compact) : round_to_int8(weight, compact);
  weight = Tensor<Real, 2>();
  return compact;
}

namespace {

template <class Real>
void require_compact(const Operations<Real>& operations) {
  require(operations.linear_compact && operations.compact_row, "operations",
          "some that can read weights in fewer bytes", "others");
}

}  // namespace

template <class Real>
void Mamba2Block<Real>::keep_weights(WeightType type) {
  require_compact(*operations_);
  if (in_proj_compact_.empty()) in_proj_compact_ = compact(parameters_.in_proj_weight, type);
  if (out_proj_compact_.empty()) out_proj_compact_ = compact(parameters_.out_proj_weight, type);
}

template <class Real>
void LanguageModel<Real>::keep_weights(WeightType type) {
  require_compact(*operations_);
  if (weight_type_ != WeightType::full) return;
  for (Layer<Real>& layer : layers) layer.mixer.keep_weights(type);
  if (embedding_compact_.empty()) embedding_compact_ = compact(embedding_weight, type);
  if (!config_.tie_embeddings && lm_head_compact_.empty())
    lm_head_compact_ = compact(lm_head_weight, type);
  weight_type_ = type;
}

template CompactWeight compact(Tensor<float, 2>&, WeightType);
template CompactWeight compact(Tensor<double, 2>&, WeightType);
template void Mamba2Block<float>::keep_weights(WeightType);
template void Mamba2Block<double>::keep_weights(WeightType);
template void LanguageModel<float>::keep_weights(WeightType);
template void LanguageModel<double>::keep_weights(WeightType);

}  // namespace mamba2
