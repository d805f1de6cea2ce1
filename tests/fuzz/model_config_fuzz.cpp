// A config.json. Whatever is accepted has bounded sizes, and can be written and read again.
#include "target.hpp"

#include <mamba2/error.hpp>
#include <mamba2/language_model.hpp>

namespace {

void read_again(const mamba2::LanguageModelConfig& config, mamba2::CheckpointLayout layout) {
  std::string text;
  try {
    text = config_text(config, layout);
  } catch (const mamba2::ValueError&) {
    return;  // the layout has no words for one of the options
  }
  const auto again = mamba2::parse_config(text, fuzz::file);
  fuzz::promise(config_text(again, layout) == text, "a configuration that changes when it is written and read");
}

}  // namespace

FUZZ_TARGET(model_config) {
  for (const bool head_stored : {false, true}) {
    const auto config = mamba2::parse_config(bytes, fuzz::file, head_stored);
    fuzz::promise(parameter_list(config).size() <= 12 * config.n_layer + 3, "more parameters than a layer has");
    read_again(config, mamba2::CheckpointLayout::reference);
    read_again(config, mamba2::CheckpointLayout::hugging_face);
  }
}
