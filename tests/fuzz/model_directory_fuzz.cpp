// A whole directory: configuration, index, files of weights. The bytes are the files one after the other, each behind a line
// "=== NAME". Whatever is accepted is loaded, and saved and loaded again.
#include "target.hpp"

#include <mamba2/model_directory.hpp>

#include <filesystem>
#include <fstream>

#include <unistd.h>

namespace fs = std::filesystem;

namespace {

// A place for this process alone, gone when it ends.
struct Scratch {
  const fs::path path = fs::temp_directory_path() / ("mamba2-fuzz-" + std::to_string(::getpid()));
  ~Scratch() {
    std::error_code ignored;
    fs::remove_all(path, ignored);
  }
};

fs::path fresh_directory(const std::string& name) {
  static const Scratch scratch;
  fs::remove_all(scratch.path / name);
  fs::create_directories(scratch.path / name);
  return scratch.path / name;
}

// Only these names; a case cannot write anywhere else.
bool allowed(std::string_view name) {
  for (const auto* known :
       {"config.json", "generation_config.json", "tokenizer.json", "model.safetensors", "model.safetensors.index.json",
        "pytorch_model.bin", "pytorch_model.bin.index.json", "a.safetensors", "b.safetensors", "a.bin", "b.bin"})
    if (name == known) return true;
  return false;
}

void unpack(std::string_view bytes, const fs::path& directory) {
  constexpr std::string_view mark = "=== ";
  while (bytes.starts_with(mark)) {
    bytes.remove_prefix(mark.size());
    const std::size_t line = std::min(bytes.find('\n'), bytes.size() - 1);
    const std::string name(bytes.substr(0, line));
    bytes.remove_prefix(std::min(line + 1, bytes.size()));
    const std::size_t next = bytes.find("\n=== ");
    const std::string_view contents = bytes.substr(0, next);
    if (allowed(name)) std::ofstream(directory / name, std::ios::binary) << contents;
    bytes.remove_prefix(next == std::string_view::npos ? bytes.size() : next + 1);
  }
}

std::vector<float> numbers(const mamba2::LanguageModel<float>& model) {
  std::vector<float> all;
  for (const auto& values : parameter_spans(model.parameters()))
    for (const float number : values) all.push_back(number == number ? number : 0.0f);  // NaN equals nothing
  return all;
}

}  // namespace

FUZZ_TARGET(model_directory) {
  const fs::path directory = fresh_directory(fuzz::file), copy = fresh_directory("copy");
  unpack(bytes, directory);
  const auto model = mamba2::load_language_model<float>(directory);
  const std::vector<float> before = numbers(model);
  fuzz::promise(before.size() <= bytes.size(), "more numbers than bytes");
  try {
    save_language_model(model, copy);
  } catch (const mamba2::ValueError&) {
    return;  // an option for which the layout has no words
  }
  fuzz::promise(numbers(mamba2::load_language_model<float>(copy)) == before, "a model that changes when it is saved");
}
