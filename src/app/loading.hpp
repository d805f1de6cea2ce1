// What the commands share: the options that name a model and an algorithm, and loading with a sign of life.
#pragma once

#include <CLI/CLI.hpp>
#include <mamba2/compact.hpp>
#include <mamba2/model_directory.hpp>

#include <memory>
#include <string>

namespace app {

// The book's own model: beside the installed command, else in the folder of the book. Empty if it is in neither.
std::string shipped_model();

// --model DIR; without it, the book's own model.
void add_model_option(CLI::App& command, std::string& directory);

// --algorithm NAME
void add_algorithm_option(CLI::App& command, mamba2::Algorithm& algorithm);

// --dtype TYPE
void add_dtype_option(CLI::App& command, mamba2::WeightType& type);

// Loads a model and keeps its weights as asked for. While a large one is loaded, a terminal sees on standard error how far it is.
std::unique_ptr<mamba2::Predictor<float>> load(const std::string& directory, mamba2::WeightType type);

// A model with its weights kept as asked for.
std::unique_ptr<mamba2::Predictor<float>> keep(mamba2::LanguageModel<float> model, mamba2::WeightType type);

// Shows how far something is, on standard error, if that is a terminal and there is much to do; removes itself when done.
class ProgressLine {
 public:
  explicit ProgressLine(std::string what) : what_(std::move(what)) {}
  ~ProgressLine();
  ProgressLine(const ProgressLine&) = delete;
  ProgressLine& operator=(const ProgressLine&) = delete;
  void show(std::size_t done, std::size_t total);

 private:
  std::string what_;
  int percent_ = -1;
};

}  // namespace app
