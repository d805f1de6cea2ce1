// The published model that programs and figures count with.
#pragma once

#include <mamba2/language_model.hpp>

namespace demo {

// mamba2-130m: all that is not said here is as the configuration has it by default.
inline mamba2::LanguageModelConfig mamba2_130m() {
  return {
      .n_layer = 24, .vocab_size = 50277, .pad_vocab_size_multiple = 16, .mixer = mamba2::Mamba2Config{.d_model = 768}};
}

}  // namespace demo
