/// \file mamba2.hpp
/// \brief The whole library with one include.
#pragma once

#include <mamba2/activation.hpp>
#include <mamba2/block.hpp>
#include <mamba2/bpe.hpp>
#include <mamba2/cache.hpp>
#include <mamba2/checkpoint.hpp>
#include <mamba2/chunked_scan.hpp>
#include <mamba2/compact.hpp>
#include <mamba2/conv.hpp>
#include <mamba2/duality.hpp>
#include <mamba2/error.hpp>
#include <mamba2/fast.hpp>
#include <mamba2/generation.hpp>
#include <mamba2/half.hpp>
#include <mamba2/kernels.hpp>
#include <mamba2/language_model.hpp>
#include <mamba2/limits.hpp>
#include <mamba2/linear.hpp>
#include <mamba2/mamba1.hpp>
#include <mamba2/mapped_file.hpp>
#include <mamba2/matrix.hpp>
#include <mamba2/model_directory.hpp>
#include <mamba2/norm.hpp>
#include <mamba2/operations.hpp>
#include <mamba2/parallel.hpp>
#include <mamba2/pickle.hpp>
#include <mamba2/products.hpp>
#include <mamba2/pytorch_file.hpp>
#include <mamba2/random.hpp>
#include <mamba2/safetensors.hpp>
#include <mamba2/sampling.hpp>
#include <mamba2/selection.hpp>
#include <mamba2/semiseparable.hpp>
#include <mamba2/ssd.hpp>
#include <mamba2/ssm.hpp>
#include <mamba2/tensor.hpp>
#include <mamba2/tokenizer.hpp>
#include <mamba2/utf8.hpp>
#include <mamba2/zip.hpp>
#if __has_include(<nlohmann/json_fwd.hpp>)
#include <mamba2/json.hpp>
#endif
