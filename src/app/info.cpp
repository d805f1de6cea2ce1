// mamba2 info: what a model is, and whether its weights are sound.
#include "commands.hpp"
#include "loading.hpp"

#include <mamba2/mixer_kinds.hpp>

#include <nlohmann/json.hpp>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <iostream>
#include <map>
#include <memory>
#include <vector>

namespace app {

namespace {

using Json = nlohmann::ordered_json;

// What reading every number of the weights finds out.
struct Scan {
  std::size_t nan = 0, infinite = 0;
  std::vector<std::string> unsound;  // tensors with any of these
};

Scan scan(const mamba2::ModelDirectory& source, std::size_t total) {
  ProgressLine progress("reading the weights");
  Scan result;
  std::size_t done = 0;
  std::vector<float> numbers;
  for (const auto& entry : source.checkpoint.tensors()) {
    std::size_t size = 0, nan = 0, infinite = 0;
    mamba2::element_count(entry.shape, size);
    numbers.resize(size);
    source.checkpoint.read(entry, std::span(numbers));
    for (const float number : numbers) {
      nan += std::isnan(number) ? 1 : 0;
      infinite += std::isinf(number) ? 1 : 0;
    }
    if (nan + infinite > 0) result.unsound.push_back(entry.name);
    result.nan += nan;
    result.infinite += infinite;
    progress.show(done += size, total);
  }
  return result;
}

// How the numbers are stored: "float32", or several of them.
std::string stored_as(const mamba2::Checkpoint& checkpoint) {
  std::string names;
  for (const auto& entry : checkpoint.tensors())
    if (const std::string name = element_name(entry.type); names.find(name) == std::string::npos)
      names.append(names.empty() ? "" : ", ").append(name);
  return names;
}

Json number(double value) {
  return std::isinf(value) ? Json(value > 0 ? "infinity" : "-infinity") : Json(value);
}

Json config_of(const mamba2::LanguageModelConfig& config) {
  Json json = {{"d_model", config.d_model()},
               {"n_layer", config.n_layer},
               {"layer", config.mixer->name()},
               {"d_intermediate", config.d_intermediate},
               {"vocab_size", config.vocab_size},
               {"padded_vocab_size", config.padded_vocab_size()},
               {"tie_embeddings", config.tie_embeddings},
               {"norm_eps", config.norm_eps}};
  const auto* const block = config.mixer.find<mamba2::Mamba2Config>();
  if (block == nullptr) {  // in the reference's words
    for (const mamba2::MixerKind& kind : mamba2::mixer_kinds())
      if (json["layer"] == kind.layer) json.update(kind.write_reference(config.mixer));
    return json;
  }
  const mamba2::Mamba2Sizes sizes = *block;
  json.update({{"d_state", block->d_state},
               {"d_conv", block->d_conv},
               {"expand", block->expand},
               {"headdim", block->headdim},
               {"nheads", sizes.nheads},
               {"d_ssm", sizes.d_ssm},
               {"ngroups", block->ngroups},
               {"chunk_size", block->chunk_size},
               {"D_has_hdim", block->D_has_hdim},
               {"rmsnorm", block->rmsnorm},
               {"norm_before_gate", block->norm_before_gate},
               {"bias", block->bias},
               {"conv_bias", block->conv_bias},
               {"dt_limit", {number(block->dt_limit_min), number(block->dt_limit_max)}}});
  return json;
}

Json describe(const std::string& directory) {
  const mamba2::ModelDirectory source = mamba2::open_model(directory);
  const mamba2::LanguageModelConfig& config = source.config;
  const std::size_t parameters = parameter_count(config);
  const Scan found = scan(source, parameters);
  std::size_t state = 0;
  for (const auto& branch : config.branches()) state += branch.mixer->remembered();
  return {{"model", directory},
          {"config", config_of(config)},
          {"parameters", parameters},
          {"tensors", source.checkpoint.tensors().size()},
          {"stored_as", stored_as(source.checkpoint)},
          {"bytes_on_disk", source.checkpoint.bytes()},
          {"bytes_in_memory_float32", parameters * sizeof(float)},
          {"bytes_of_state_per_text_float32", state * sizeof(float)},
          {"nan", found.nan},
          {"infinite", found.infinite},
          {"unsound_tensors", found.unsound}};
}

// 128989632 as "128,989,632".
std::string grouped(std::size_t value) {
  const std::string digits = std::to_string(value);
  std::string text;
  for (std::size_t i = 0; i < digits.size(); ++i) {
    if (i > 0 && (digits.size() - i) % 3 == 0) text += ',';
    text += digits[i];
  }
  return text;
}

std::string bytes(std::size_t value) {
  constexpr const char* units[] = {"bytes", "KB", "MB", "GB"};
  auto size = static_cast<double>(value);
  std::size_t unit = 0;
  for (; size >= 1000 && unit < 3; ++unit) size /= 1000;
  char text[40];
  std::snprintf(text, sizeof(text), unit == 0 ? "%.0f %s" : "%.1f %s", size, units[unit]);
  return text;
}

void print(const Json& about) {
  const auto line = [](const std::string& name, const std::string& value) {
    std::cout << name << std::string(name.size() < 20 ? 20 - name.size() : 1, ' ') << value << "\n";
  };
  line("model", about["model"].get<std::string>());
  line("parameters", grouped(about["parameters"].get<std::size_t>()));
  line("stored as", about["stored_as"].get<std::string>() + ", " + std::to_string(about["tensors"].get<std::size_t>()) +
                        " tensors, " + bytes(about["bytes_on_disk"].get<std::size_t>()));
  line("in memory", bytes(about["bytes_in_memory_float32"].get<std::size_t>()) + " as float32, and " +
                        bytes(about["bytes_of_state_per_text_float32"].get<std::size_t>()) +
                        " of state for each text, however long");
  const auto nan = about["nan"].get<std::size_t>(), infinite = about["infinite"].get<std::size_t>();
  if (nan + infinite == 0) {
    line("weights", "all finite");
  } else {
    line("weights", std::string("NOT SOUND: ") + grouped(nan) + " NaN, " + grouped(infinite) + " infinite");
    for (const auto& name : about["unsound_tensors"]) line("", name.get<std::string>());
  }
  std::cout << "\n";
  for (const auto& [name, value] : about["config"].items())
    line("  " + name, value.is_string() ? value.get<std::string>() : value.dump());
}

}  // namespace

void add_info(CLI::App& cli) {
  struct Info {
    std::string model;
    bool json = false;
  };
  CLI::App* command = cli.add_subcommand("info", "Say what a model is, and whether its weights are sound");
  command->description(
      "Say what a model is: its configuration, how many parameters it has, how they are stored, what memory it needs.\n"
      "Every number of the weights is looked at, and NaN and infinite ones are reported.\n\n"
      "  mamba2 info --model mamba2-130m\n");
  const auto info = std::make_shared<Info>();
  add_model_option(*command, info->model);
  command->add_flag("--json", info->json, "As JSON, for programs");
  command->callback([info] {
    const Json about = describe(info->model);
    info->json ? void(std::cout << about.dump(2, ' ', false, Json::error_handler_t::replace) << "\n") : print(about);
  });
}

}  // namespace app
