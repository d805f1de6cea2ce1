// ## Half the bytes {#fast_bfloat16}
//
// For a single token nothing counts but bytes. So store the large weights in bfloat16: eight bits of a float's precision instead of twenty-four, in half the memory. Only four matrices are worth it, as they
// are all but two thousandths of the 130M model: the two projections of each block, the embedding and the head. Everything else stays as it is, and so does the arithmetic: a weight is widened to a
// float on its way to the multiplication. What this costs is the rounding of each weight, once, by at most one part in 256.
//
// Is that too much? A model averages over many weights, and their roundings point in all directions. How far the scores move, the program prints, under
// *What writing costs*.

#include <mamba2/error.hpp>
#include <mamba2/half.hpp>
#include <mamba2/kernels.hpp>
#include <mamba2/language_model.hpp>

#include <algorithm>

namespace mamba2 {
namespace {

// Takes the weight's place: the weight itself is gone afterwards, so that the two are never all in memory together.
template <class Real>
Tensor<bfloat16_bits, 2> rounded(Tensor<Real, 2>& weight) {
  auto half = zeros<bfloat16_bits>(weight.shape(0), weight.shape(1));
  std::transform(weight.begin(), weight.end(), half.begin(),
                 [](Real w) { return float_to_bfloat16(static_cast<float>(w)); });
  weight = Tensor<Real, 2>();
  return half;
}

template <class Real>
void require_bfloat16(const Operations<Real>& operations) {
  require(operations.linear_bfloat16 != nullptr, "operations", "some that can read weights in bfloat16",
          "others");
}

}  // namespace

template <class Real>
void Mamba2Block<Real>::keep_bfloat16() {
  require_bfloat16(*operations_);
  if (in_proj_bfloat16_.size() > 0) return;
  in_proj_bfloat16_ = rounded(parameters_.in_proj_weight);
  out_proj_bfloat16_ = rounded(parameters_.out_proj_weight);
}

template <class Real>
void LanguageModel<Real>::keep_bfloat16() {
  require_bfloat16(*operations_);
  if (keeps_bfloat16()) return;
  for (Layer<Real>& layer : layers) layer.mixer.keep_bfloat16();
  embedding_bfloat16_ = rounded(embedding_weight);
  if (!config_.tie_embeddings) lm_head_bfloat16_ = rounded(lm_head_weight);
}

template void Mamba2Block<float>::keep_bfloat16();
template void Mamba2Block<double>::keep_bfloat16();
template void LanguageModel<float>::keep_bfloat16();
template void LanguageModel<double>::keep_bfloat16();

}  // namespace mamba2
