// Writes a model with random weights: random_checkpoint DIR reference|hugging_face float32|float16|bfloat16 D_MODEL N_LAYER VOCAB
#include <mamba2/model_directory.hpp>

#include <iostream>
#include <map>

int main(int argc, char** argv) {
  const std::map<std::string, mamba2::CheckpointLayout> layouts = {
      {"reference", mamba2::CheckpointLayout::reference}, {"hugging_face", mamba2::CheckpointLayout::hugging_face}};
  const std::map<std::string, mamba2::ElementType> types = {{"float32", mamba2::ElementType::float32},
                                                            {"float16", mamba2::ElementType::float16},
                                                            {"bfloat16", mamba2::ElementType::bfloat16}};
  if (argc != 7 || !layouts.contains(argv[2]) || !types.contains(argv[3])) {
    std::cerr << "random_checkpoint DIR reference|hugging_face float32|float16|bfloat16 D_MODEL N_LAYER VOCAB\n";
    return 2;
  }
  const auto number = [&](int i) { return static_cast<std::size_t>(std::stoul(argv[i])); };
  const mamba2::LanguageModelConfig config{.n_layer = number(5),
                                           .vocab_size = number(6),
                                           .pad_vocab_size_multiple = 16,
                                           .mixer = mamba2::Mamba2Config{.d_model = number(4)}};
  const mamba2::LanguageModel<float> model(config, 1);
  save_language_model(model, argv[1], layouts.at(argv[2]), types.at(argv[3]));
  std::cout << parameter_count(config) << "\n";
}
