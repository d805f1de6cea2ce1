/// \file limits.hpp
/// \brief What this machine can do at best: the two limits that everything is measured against. Explained in chapter 14.
#pragma once

#include <mamba2/language_model.hpp>

#include <cstddef>

namespace mamba2 {

/// \brief How fast the machine multiplies matrices: large square products in float, one per thread.
/// \param threads how many at the same time
/// \return floating-point operations per second, a multiply-add counted as two
double measure_product_peak(std::size_t threads);

/// \brief How fast the machine reads memory: a sum over an array that no cache holds, split among the threads.
/// \param threads how many read
/// \return bytes per second
double measure_read_bandwidth(std::size_t threads);

/// \brief What the scan computes for one token of one layer, a multiply-add counted as two.
/// \param config     sizes
/// \param chunk_size Q
/// \return floating-point operations
double scan_flops(const Mamba2Config& config, std::size_t chunk_size);

/// \brief What one token costs in all layers, the head not counted: products, scan and convolution.
/// \param config     sizes
/// \param chunk_size Q
/// \return floating-point operations, a multiply-add counted as two
double layer_flops(const LanguageModelConfig& config, std::size_t chunk_size);

/// \brief What the scores after one token cost.
/// \param config sizes
/// \return floating-point operations, a multiply-add counted as two
double head_flops(const LanguageModelConfig& config);

/// \brief What a step has to read and write: all weights once, and the cache of each sequence, in float, both ways.
/// \param config       sizes
/// \param weight_bytes of each weight: 4, or 2 for those that LanguageModel::keep_bfloat16() rounds
/// \param batch        sequences that take the step together
/// \return bytes
double step_bytes(const LanguageModelConfig& config, double weight_bytes, std::size_t batch);

}  // namespace mamba2
