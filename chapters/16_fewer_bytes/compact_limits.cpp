// ## What it is held against {#fewer_bytes_limits}
//
// The limits are those of @chapter{fast}. Writing reads fewer bytes. A prompt multiplies by weights
// at the rate of large products with weights of the type, and does all else at the rate of floats.

#include <mamba2/compact_limits.hpp>
#include <mamba2/compact_products.hpp>
#include <mamba2/fast.hpp>

#include <vector>

namespace mamba2 {
namespace {

template <class Weight>
double product_rate(std::size_t threads) {
  constexpr std::size_t n = product_size;
  const std::vector<Weight> ones(n * n, Weight(1));
  const MatrixRef<const Weight> weight{ones.data(), n, n, n};
  return measure_products(
      threads, [&](MatrixRef<const float> x, MatrixRef<float> y) { product<float>(x, weight, y); });
}

}  // namespace

double measure_product_peak(std::size_t threads, WeightType type) {
  if (type == WeightType::bfloat16) return product_rate<bfloat16_bits>(threads);
  if (type == WeightType::int8) return product_rate<std::int8_t>(threads);
  return measure_product_peak(threads);
}

double least_prompt_seconds(const LanguageModelConfig& config, std::size_t tokens, std::size_t scored,
                            std::size_t threads, WeightType type) {
  const PromptFlops flops = prompt_flops(config, fast_operations<float>().chunk_size, tokens, scored);
  return flops.weights / measure_product_peak(threads, type) +
         flops.others / measure_product_peak(threads);
}

}  // namespace mamba2
