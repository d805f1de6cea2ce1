// ## Two dialects of configuration {#language_model_config}
//
// A checkpoint without its configuration is a heap of numbers. `config.json` says how many layers
// there are and how they are built, and there are two traditions of saying it. The reference writes
// the arguments of its constructors; what is not written has the default of the reference's code:
//
// ```json
// {"d_model": 768, "n_layer": 24, "vocab_size": 50277, "pad_vocab_size_multiple": 16, "tie_embeddings": true,
//  "ssm_cfg": {"layer": "Mamba2"}, "attn_layer_idx": [], "rms_norm": true, "residual_in_fp32": true, ...}
// ```
//
// Hugging Face's conversions have other names for the same things, and other defaults:
//
// | here and in the reference | Hugging Face | default there |
// |---|---|---|
// | `d_model` | `hidden_size` | |
// | `n_layer` | `num_hidden_layers` | |
// | `ssm_cfg.d_state`, `d_conv`, `expand` | `state_size`, `conv_kernel`, `expand` | 128, 4, 2 |
// | `ssm_cfg.headdim`, `ngroups` | `head_dim`, `n_groups` | 64, 8 |
// | `ssm_cfg.bias`, `conv_bias` | `use_bias`, `use_conv_bias` | false, true |
// | `ssm_cfg.dt_limit` | `time_step_limit` | 0 to infinity |
// | `tie_embeddings` | `tie_word_embeddings` | false |
// | `vocab_size` and `pad_vocab_size_multiple` | `vocab_size`, already padded | |
//
// Two rules keep this safe. **Nothing is ignored that would change a result**: an unknown key in
// `ssm_cfg`, an attention layer, another kind of norm, and the file is refused by name, rather than
// loaded into a model that computes something else. And **every size is bounded** before anything
// is multiplied or allocated.

#include <mamba2/error.hpp>
#include <mamba2/json.hpp>
#include <mamba2/language_model.hpp>

#include <nlohmann/json.hpp>

#include <algorithm>
#include <cmath>
#include <set>

namespace mamba2 {

namespace {

constexpr std::size_t largest_size = std::size_t{1} << 24;

// An object of the file, asked for its keys one by one. It remembers which ones it was asked for,
// so that afterwards it can name one that nobody wanted.

class Section {
 public:
  Section(const nlohmann::json& object, std::string where)
      : object_(object), where_(std::move(where)) {}

  [[noreturn]] void refuse(const std::string& key, const std::string& reason) const {
    throw FileError(where_ + ": " + key + ": " + reason);
  }
  // The value of a key; nullptr where it is missing or null, which Python writes for "the default".
  const nlohmann::json* find(const std::string& key) {
    asked_.insert(key);
    const auto found = object_.find(key);
    return found == object_.end() || found->is_null() ? nullptr : &*found;
  }
  void read(const std::string& key, std::size_t& size) {
    const auto* value = find(key);
    if (value == nullptr) return;
    if (!value->is_number_unsigned() || value->get<std::size_t>() > largest_size)
      refuse(key, "expected a whole number from 0 to " + std::to_string(largest_size) + ", got " +
                      shown(*value));
    size = value->get<std::size_t>();
  }
  void read(const std::string& key, bool& flag) {
    const auto* value = find(key);
    if (value == nullptr) return;
    if (!value->is_boolean()) refuse(key, "expected true or false, got " + shown(*value));
    flag = value->get<bool>();
  }
  void read(const std::string& key, double& number) {
    if (const auto* value = find(key)) number = real(key, *value);
  }
  void read(const std::string& key, double& low, double& high) {
    const auto* value = find(key);
    if (value == nullptr) return;
    if (!value->is_array() || value->size() != 2)
      refuse(key, "expected two numbers, got " + shown(*value));
    low = real(key, (*value)[0]);
    high = real(key, (*value)[1]);
  }
  void require(const std::string& key) {
    if (find(key) == nullptr) refuse(key, "missing");
  }
  // An option that may only have the one value that is built here.
  void require_value(const std::string& key, const nlohmann::json& only, const std::string& reason) {
    const auto* value = find(key);
    if (value != nullptr && *value != only) refuse(key, "is " + shown(*value) + ", but " + reason);
  }
  void refuse_others() const {
    for (const auto& [key, value] : object_.items())
      if (!asked_.contains(key)) refuse(key, "an option that is not known");
  }

 private:
  static std::string shown(const nlohmann::json& value) {
    return value.dump(-1, ' ', true).substr(0, 60);
  }

  // A number, or one of the ways in which Python's writers spell an infinite one.
  double real(const std::string& key, const nlohmann::json& value) const {
    const nlohmann::json& spelled =
        value.is_object() && value.size() == 1 && value.contains("__float__") ? value["__float__"]
                                                                              : value;
    if (spelled == "Infinity") return HUGE_VAL;
    if (spelled == "-Infinity") return -HUGE_VAL;
    if (!value.is_number()) refuse(key, "expected a number, got " + shown(value));
    return value.get<double>();
  }

  const nlohmann::json& object_;
  std::string where_;
  std::set<std::string> asked_;
};

// ### The reference's dialect {#language_model_config_reference}
//
// `ssm_cfg` holds arguments of the block's constructor. Without `"layer": "Mamba2"` it means a
// Mamba-1 block: the reference's default is older than Mamba-2.

void read_block_options(Section section, Mamba2Config& block) {
  const auto* layer = section.find("layer");
  if (layer == nullptr || *layer != "Mamba2")
    section.refuse("layer", layer == nullptr
                                ? "missing, which means Mamba1; only Mamba2 is built here"
                                : layer->dump().substr(0, 60) + ", but only \"Mamba2\" is built here");
  section.read("d_state", block.d_state);
  section.read("d_conv", block.d_conv);
  section.read("conv_init", block.conv_init);
  section.read("expand", block.expand);
  section.read("headdim", block.headdim);
  section.read("d_ssm", block.d_ssm);
  section.read("ngroups", block.ngroups);
  section.read("A_init_range", block.A_init_min, block.A_init_max);
  section.read("D_has_hdim", block.D_has_hdim);
  section.read("rmsnorm", block.rmsnorm);
  section.read("norm_before_gate", block.norm_before_gate);
  section.read("dt_min", block.dt_min);
  section.read("dt_max", block.dt_max);
  section.read("dt_init_floor", block.dt_init_floor);
  section.read("dt_limit", block.dt_limit_min, block.dt_limit_max);
  section.read("bias", block.bias);
  section.read("conv_bias", block.conv_bias);
  section.read("chunk_size", block.chunk_size);
  for (const char* harmless : {"use_mem_eff_path", "device", "dtype"}) section.find(harmless);
  section.refuse_others();
}

void require_only_mamba_layers(Section& section, const std::string& key) {
  const auto* layers = section.find(key);
  if (layers != nullptr && !layers->empty())
    section.refuse(key, "layers of attention are not built here");
}

LanguageModelConfig read_reference(const nlohmann::json& json, const std::string& where) {
  Section section(json, where);
  LanguageModelConfig config{.n_layer = 0, .vocab_size = 0, .mixer = {.d_model = 0}};
  for (const char* key : {"d_model", "n_layer", "vocab_size", "ssm_cfg"}) section.require(key);
  section.read("d_model", config.mixer.d_model);
  section.read("n_layer", config.n_layer);
  section.read("vocab_size", config.vocab_size);
  section.read("pad_vocab_size_multiple", config.pad_vocab_size_multiple);
  section.read("tie_embeddings", config.tie_embeddings);
  section.require_value("d_intermediate", 0, "layers with an MLP are not built here");
  section.require_value("rms_norm", true, "only RMS norms are built here");
  require_only_mamba_layers(section, "attn_layer_idx");
  const auto* block = section.find("ssm_cfg");
  if (!block->is_object()) section.refuse("ssm_cfg", "expected an object");
  read_block_options(Section(*block, where + ": ssm_cfg"), config.mixer);
  return config;
}

// ### Hugging Face's dialect {#language_model_config_hugging_face}
//
// Here keys of other kinds of models and of the training are everywhere, and are passed over. One
// key is a trap: `norm_before_gate`. Conversions write `true` or `false`, but their model's code
// multiplies by the gate first, whatever the file says. We do what the code does.

LanguageModelConfig read_hugging_face(const nlohmann::json& json, const std::string& where,
                                      bool head_stored) {
  Section section(json, where);
  LanguageModelConfig config{
      .n_layer = 0, .vocab_size = 0, .pad_vocab_size_multiple = 1, .mixer = {.d_model = 0}};
  Mamba2Config& block = config.mixer;
  for (const char* key : {"hidden_size", "num_hidden_layers", "vocab_size"}) section.require(key);
  section.require_value("model_type", "mamba2", "only mamba2 is built here");
  section.require_value("hidden_act", "silu", "only SiLU is built here");
  section.require_value("rms_norm", true, "only RMS norms are built here");
  section.read("hidden_size", block.d_model);
  section.read("num_hidden_layers", config.n_layer);
  section.read("vocab_size", config.vocab_size);
  block.ngroups = 8;
  section.read("state_size", block.d_state);
  section.read("conv_kernel", block.d_conv);
  section.read("expand", block.expand);
  section.read("head_dim", block.headdim);
  section.read("n_groups", block.ngroups);
  section.read("use_bias", block.bias);
  section.read("use_conv_bias", block.conv_bias);
  section.read("chunk_size", block.chunk_size);
  section.read("time_step_limit", block.dt_limit_min, block.dt_limit_max);
  section.read("layer_norm_epsilon", config.norm_eps);
  block.norm_eps = config.norm_eps;
  config.tie_embeddings = !head_stored;
  section.read("tie_word_embeddings", config.tie_embeddings);
  if (const auto* eos = section.find("eos_token_id"); eos != nullptr && eos->is_number_integer())
    config.eos_token_id = eos->get<std::int64_t>();
  std::size_t nheads = 0;
  section.read("num_heads", nheads);
  if (nheads != 0 && (block.headdim == 0 || nheads != block.nheads()))
    section.refuse("num_heads",
                   std::to_string(nheads) + " times head_dim " + std::to_string(block.headdim) +
                       " is not expand times hidden_size, " + std::to_string(block.d_inner()));
  return config;
}

}  // namespace

LanguageModelConfig parse_config(std::string_view text, const std::string& where, bool head_stored) {
  const auto json = parse_json(text, where, {.bytes = std::size_t{1} << 20, .values = 100'000});
  if (!json.is_object()) throw FileError(where + ": expected an object");
  const bool hugging_face = json.contains("hidden_size");
  if (!hugging_face && !json.contains("d_model"))
    throw FileError(where + ": neither d_model nor hidden_size; no configuration of a Mamba-2 model");
  const LanguageModelConfig config =
      hugging_face ? read_hugging_face(json, where, head_stored) : read_reference(json, where);
  try {
    config.check();
  } catch (const ValueError& error) {
    throw FileError(where + ": " + error.what());
  }
  return config;
}

// ### Writing them {#language_model_config_write}
//
// What is written must be read back as the same configuration; the tests walk through every option.
// Hugging Face's dialect has no words for some options of the reference's block, and then it is an
// error to write it.

namespace {

nlohmann::ordered_json limits(
    double low, double high) {  // an infinite limit is written in words, and unquoted below
  nlohmann::ordered_json pair = {low, high};
  if (std::isinf(high)) pair[1] = "Infinity";
  return pair;
}

std::string dump(const nlohmann::ordered_json& json) {
  std::string text = json.dump(1);
  for (std::size_t at = 0; (at = text.find("\"Infinity\"", at)) != std::string::npos;)
    text.replace(at, 10, "Infinity");
  return text + "\n";
}

std::string reference_text(const LanguageModelConfig& config) {
  const Mamba2Config& block = config.mixer;
  require(config.norm_eps == 1e-5 && block.norm_eps == 1e-5, "norm_eps",
          "1e-5 in the reference's layout", std::to_string(config.norm_eps));
  require(!block.norm_over_all_channels, "norm_over_all_channels", "false in the reference's layout",
          "true");
  nlohmann::ordered_json ssm = {{"layer", "Mamba2"},
                                {"d_state", block.d_state},
                                {"d_conv", block.d_conv},
                                {"expand", block.expand},
                                {"headdim", block.headdim},
                                {"ngroups", block.ngroups},
                                {"A_init_range", {block.A_init_min, block.A_init_max}},
                                {"D_has_hdim", block.D_has_hdim},
                                {"rmsnorm", block.rmsnorm},
                                {"norm_before_gate", block.norm_before_gate},
                                {"dt_min", block.dt_min},
                                {"dt_max", block.dt_max},
                                {"dt_init_floor", block.dt_init_floor},
                                {"dt_limit", limits(block.dt_limit_min, block.dt_limit_max)},
                                {"bias", block.bias},
                                {"conv_bias", block.conv_bias},
                                {"chunk_size", block.chunk_size}};
  if (block.d_ssm != 0) ssm["d_ssm"] = block.d_ssm;
  if (block.conv_init > 0) ssm["conv_init"] = block.conv_init;
  return dump({{"d_model", block.d_model},
               {"d_intermediate", 0},
               {"n_layer", config.n_layer},
               {"vocab_size", config.vocab_size},
               {"ssm_cfg", ssm},
               {"attn_layer_idx", nlohmann::ordered_json::array()},
               {"attn_cfg", nlohmann::ordered_json::object()},
               {"rms_norm", true},
               {"residual_in_fp32", true},
               {"fused_add_norm", true},
               {"pad_vocab_size_multiple", config.pad_vocab_size_multiple},
               {"tie_embeddings", config.tie_embeddings}});
}

std::string hugging_face_text(const LanguageModelConfig& config) {
  const Mamba2Config& block = config.mixer;
  require(block.d_mlp() == 0, "d_ssm", "all channels in Hugging Face's layout",
          std::to_string(block.d_ssm));
  require(!block.D_has_hdim, "D_has_hdim", "false in Hugging Face's layout", "true");
  require(block.rmsnorm, "rmsnorm", "true in Hugging Face's layout", "false");
  require(!block.norm_before_gate, "norm_before_gate", "false in Hugging Face's layout", "true");
  require(block.norm_eps == config.norm_eps, "norm_eps", "the same for all norms",
          std::to_string(block.norm_eps));
  nlohmann::ordered_json json = {{"architectures", {"Mamba2ForCausalLM"}},
                                 {"model_type", "mamba2"},
                                 {"hidden_size", block.d_model},
                                 {"num_hidden_layers", config.n_layer},
                                 {"vocab_size", config.padded_vocab_size()},
                                 {"state_size", block.d_state},
                                 {"conv_kernel", block.d_conv},
                                 {"expand", block.expand},
                                 {"head_dim", block.headdim},
                                 {"num_heads", block.nheads()},
                                 {"n_groups", block.ngroups},
                                 {"chunk_size", block.chunk_size},
                                 {"time_step_limit", limits(block.dt_limit_min, block.dt_limit_max)},
                                 {"layer_norm_epsilon", config.norm_eps},
                                 {"use_bias", block.bias},
                                 {"use_conv_bias", block.conv_bias},
                                 {"hidden_act", "silu"},
                                 {"rms_norm", true},
                                 {"norm_before_gate", false},
                                 {"residual_in_fp32", true},
                                 {"tie_word_embeddings", config.tie_embeddings}};
  if (config.eos_token_id) json["eos_token_id"] = *config.eos_token_id;
  return dump(json);
}

}  // namespace

std::string config_text(const LanguageModelConfig& config, CheckpointLayout layout) {
  config.check();
  return layout == CheckpointLayout::reference ? reference_text(config) : hugging_face_text(config);
}

}  // namespace mamba2
