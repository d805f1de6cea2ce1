/// \file compact_limits.hpp
/// \brief What this machine can do at best with weights in fewer bytes. Explained in @chapter{fewer_bytes}.
#pragma once

#include <mamba2/limits.hpp>
#include <mamba2/weight_type.hpp>

namespace mamba2 {

/// \brief How fast the machine multiplies matrices, by the library that the projections use.
/// \param threads how many at the same time
/// \param type    of the weight; tokens and results are float
/// \return floating-point operations per second, a multiply-add counted as two
double measure_product_peak(std::size_t threads, WeightType type);

/// \brief The least time for a prompt, by the product peaks of this machine, which are measured for it.
/// \param config  sizes
/// \param tokens  how many go through the layers
/// \param scored  after how many of them the scores are computed
/// \param threads how many
/// \param type    of the weights in projections and head; all other arithmetic is in float
/// \return seconds
double least_prompt_seconds(const LanguageModelConfig& config, std::size_t tokens, std::size_t scored,
                            std::size_t threads, WeightType type);

}  // namespace mamba2
