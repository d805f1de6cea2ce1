// The exercises of this chapter.
#pragma once

#include <mamba2/tensor.hpp>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace exercises {

using mamba2::Tensor;

// 1. The float that a bfloat16 stands for, exactly.
float widen(std::uint16_t bits);

// 1. The bfloat16 nearest to a float; of two equally near ones the one whose last bit is 0. NaN stays NaN; what is too large
// becomes infinite.
std::uint16_t narrow(float value);

// The sizes of a language model, as in mamba2::Mamba2Config and mamba2::LanguageModelConfig, with all other options as they come.
struct Sizes {
  std::size_t d_model, n_layer, padded_vocab_size;
  std::size_t d_state = 128, d_conv = 4, expand = 2, headdim = 64, ngroups = 1;
  bool tie_embeddings = true;
};

// 2. How many numbers such a model learns.
std::size_t count_parameters(const Sizes& sizes);

// 3. The numbers of a tensor of dtype F32 in a safetensors file, last index fastest.
//   file: the bytes of the whole file; name: of the tensor
//   throws mamba2::FileError if the header does not lie in the file, if it has no such tensor, if the tensor's dtype is not F32, if its
//   range does not lie in the data, or if shape and range do not belong together
std::vector<double> read_tensor(const std::string& file, const std::string& name);

// A layer: the weights of its norm, (d_model), and its mixer, which makes (tokens, d_model) of (tokens, d_model).
struct Layer {
  Tensor<double, 1> norm;
  std::function<Tensor<double, 2>(const Tensor<double, 2>&)> mixer;
};

// 4. The scores of a model after each token of a text, its head tied to the embedding, padding left out.
//   ids: the tokens, each less than vocab_size
//   embedding: (padded_vocab_size, d_model), whose first vocab_size rows belong to tokens
//   norm_f: weights of the norm before the head, (d_model); eps: added to the mean square in every norm
//   returns (tokens, vocab_size)
Tensor<double, 2> scores(const std::vector<std::size_t>& ids, const Tensor<double, 2>& embedding,
                         const std::vector<Layer>& layers, const Tensor<double, 1>& norm_f, double eps,
                         std::size_t vocab_size);

}  // namespace exercises
