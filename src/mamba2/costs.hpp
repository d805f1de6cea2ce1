/// \file costs.hpp
/// \brief What a model computes, and what it reads, counted from its sizes. Explained in @chapter{fast}.
#pragma once

#include <mamba2/language_model.hpp>

#include <cstddef>

namespace mamba2 {

/// \brief What the scan computes for one token of one layer, a multiply-add counted as two.
/// \param config     sizes
/// \param chunk_size Q
/// \return floating-point operations
double scan_flops(const Mamba2Config& config, std::size_t chunk_size);

/// \brief What the two projections of all layers cost for one token.
/// \param config sizes
/// \return floating-point operations, a multiply-add counted as two
double projection_flops(const LanguageModelConfig& config);

/// \brief What one token costs in all layers, the head not counted: projections, scan and convolution.
/// \param config     sizes
/// \param chunk_size Q
/// \return floating-point operations, a multiply-add counted as two
double layer_flops(const LanguageModelConfig& config, std::size_t chunk_size);

/// \brief What the scores after one token cost.
/// \param config sizes
/// \return floating-point operations, a multiply-add counted as two
double head_flops(const LanguageModelConfig& config);

/// \brief What a prompt costs, a multiply-add counted as two.
struct PromptFlops {
  double weights;  ///< the products with weights: projections and head
  double others;   ///< all else that is counted: scan and convolution
};

/// \brief What a prompt costs.
/// \param config     sizes
/// \param chunk_size Q
/// \param tokens     how many go through the layers
/// \param scored     after how many of them the scores are computed
/// \return floating-point operations
PromptFlops prompt_flops(const LanguageModelConfig& config, std::size_t chunk_size, std::size_t tokens,
                         std::size_t scored);

/// \brief What a step has to read and write: all weights once, and the cache of each sequence, in float, both ways.
/// \param config       sizes
/// \param weight_bytes of each weight: 4 for float
/// \param batch        sequences that take the step together
/// \return bytes
double step_bytes(const LanguageModelConfig& config, double weight_bytes, std::size_t batch);

}  // namespace mamba2
