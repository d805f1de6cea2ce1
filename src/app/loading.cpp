#include "loading.hpp"

#include <mamba2/limits.hpp>

#include <cstdio>
#include <filesystem>
#include <map>
#include <system_error>

#include <unistd.h>

namespace app {

std::string shipped_model() {
  using std::filesystem::path;
  std::error_code unknown;  // where the command lies, if the system does not say
  const path command = std::filesystem::read_symlink("/proc/self/exe", unknown);
  for (const path& place : {command.parent_path().parent_path() / MAMBA2_INSTALLED_MODELS, path(MAMBA2_MODELS)})
    if (std::filesystem::exists(place / "book/config.json")) return (place / "book").string();
  return {};
}

void add_model_option(CLI::App& command, std::string& directory) {
  directory = shipped_model();
  CLI::Option* const option = command
                                  .add_option("-m,--model", directory,
                                              "Directory of the model: config.json and the weights;\n"
                                              "the book's own unless told")
                                  ->type_name("DIR");
  if (directory.empty()) option->required();
}

void add_algorithm_option(CLI::App& command, mamba2::Algorithm& algorithm) {
  const std::map<std::string, mamba2::Algorithm> names = {{"recurrent", mamba2::Algorithm::recurrent},
                                                          {"quadratic", mamba2::Algorithm::quadratic},
                                                          {"chunked", mamba2::Algorithm::chunked}};
  command
      .add_option_function<std::string>(
          "--algorithm", [names, &algorithm](const std::string& name) { algorithm = names.at(name); },
          "Which of the equal forms of the scan: recurrent (one token\n"
          "after the other), quadratic (like attention), chunked (both;\n"
          "the fastest, and what is taken without this option)")
      ->check(CLI::IsMember(names).description(""))
      ->type_name("recurrent|quadratic|chunked");
}

void add_dtype_option(CLI::App& command, mamba2::WeightType& type) {
  std::map<std::string, mamba2::WeightType> names;
  for (const auto each : {mamba2::WeightType::full, mamba2::WeightType::bfloat16, mamba2::WeightType::int8})
    names[mamba2::name_of(each)] = each;
  command
      .add_option_function<std::string>(
          "--dtype", [names, &type](const std::string& name) { type = names.at(name); },
          "How the weights are kept: float32 (without this option),\n"
          "bfloat16 (half the memory, faster, rounded by 1/256), int8\n"
          "(a quarter of the memory, rounded more)")
      ->check(CLI::IsMember(names).description(""))
      ->type_name("float32|bfloat16|int8");
}

std::unique_ptr<mamba2::Predictor<float>> load(const std::string& directory, mamba2::WeightType type) {
  ProgressLine progress("loading " + directory);
  const auto show = [&](std::size_t done, std::size_t total) { progress.show(done, total); };
  if (type == mamba2::WeightType::full)
    return std::make_unique<mamba2::LanguageModel<float>>(mamba2::load_language_model<float>(directory, show));
  const mamba2::ModelDirectory source = mamba2::open_model(directory);
  return std::make_unique<mamba2::CompactLanguageModel<float>>(source.config,
                                                               mamba2::parameter_source<float>(source, show), type);
}

std::unique_ptr<mamba2::Predictor<float>> keep(mamba2::LanguageModel<float> model, mamba2::WeightType type) {
  mamba2::keep_memory();  // what is given back is needed again for the next prompt or piece
  if (type == mamba2::WeightType::full) return std::make_unique<mamba2::LanguageModel<float>>(std::move(model));
  return std::make_unique<mamba2::CompactLanguageModel<float>>(std::move(model), type);
}

void ProgressLine::show(std::size_t done, std::size_t total) {
  constexpr std::size_t much = 20'000'000;
  const int percent =
      total == 0 ? 100 : static_cast<int>(100 * (static_cast<double>(done) / static_cast<double>(total)));
  if (total < much || percent == percent_ || ::isatty(STDERR_FILENO) == 0) return;
  percent_ = percent;
  std::fprintf(stderr, "\r%s: %d %%", what_.c_str(), percent);
  std::fflush(stderr);
}

ProgressLine::~ProgressLine() {
  if (percent_ >= 0) std::fprintf(stderr, "\r\033[K");
}

}  // namespace app
