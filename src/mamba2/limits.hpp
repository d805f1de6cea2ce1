/// \file limits.hpp
/// \brief What this machine can do at best: the two limits that everything is measured against. Explained in @chapter{fast}.
#pragma once

#include <mamba2/costs.hpp>
#include <mamba2/weight_type.hpp>

#include <cstddef>
#include <functional>

namespace mamba2 {

/// \brief Keep the memory that the program gives back for its next need, instead of returning it to the system: pages that
/// come from the system are slow at their first touch. For programs that measure, or that read many prompts.
/// Does nothing where the C library is not GNU's.
void keep_memory();

/// \brief The time of a task, run several times: what disturbs a run only ever makes it longer, so the shortest counts.
/// \param runs how often
/// \param task what to run
/// \return seconds
double shortest_seconds(std::size_t runs, const std::function<void()>& task);

/// \brief Something to measure a scan with.
/// \param config  sizes
/// \param batch   sequences
/// \param seqlen  tokens of each
/// \return random numbers, the same each time, of sizes as in a model: step sizes up to 1, rates from −16 to −1
ScanInput<float> random_scan_input(const Mamba2Config& config, std::size_t batch, std::size_t seqlen);

/// \brief How fast the machine multiplies matrices: large square products, one per thread, by the library that the
/// projections use.
/// \param threads how many at the same time
/// \param type    of the weight; tokens and results are float
/// \return floating-point operations per second, a multiply-add counted as two
double measure_product_peak(std::size_t threads, WeightType type = WeightType::full);

/// \brief The scan's matrix products and nothing else, in one thread.
/// \param config     sizes
/// \param chunk_size Q
/// \return seconds for each token
double measure_scan_products(const Mamba2Config& config, std::size_t chunk_size);

/// \brief How fast the machine reads memory: a plain sum over an array that no cache holds, split among the threads.
/// \param threads how many read
/// \return bytes per second
double measure_read_bandwidth(std::size_t threads);

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
