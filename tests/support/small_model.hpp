// A small model in three groups of heads.
#pragma once

#include <mamba2/language_model.hpp>

namespace testing {

// Every size is different; rows are longer than a register and no multiple of one.
inline mamba2::LanguageModelConfig small_config(bool tied = true) {
  return {.n_layer = 2,
          .vocab_size = 61,
          .pad_vocab_size_multiple = 7,
          .tie_embeddings = tied,
          .mixer = mamba2::Mamba2Config{
              .d_model = 42, .d_state = 9, .headdim = 7, .ngroups = 3, .chunk_size = 16, .bias = true}};
}

inline mamba2::Tensor<std::int64_t, 2> small_ids(std::size_t batch, std::size_t seqlen) {
  auto ids = mamba2::Tensor<std::int64_t, 2>::from_shape({batch, seqlen});
  for (std::size_t i = 0; i < ids.size(); ++i) ids.data()[i] = static_cast<std::int64_t>((i * 31 + i * i * 7) % 61);
  return ids;
}

}  // namespace testing
