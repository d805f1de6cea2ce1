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
// Two rules keep this safe. **Nothing is passed over that would change a result**: an unknown
// option of the block, an attention layer, another kind of norm, and the file is refused by name,
// rather than loaded into a model that computes something else. And **every size is bounded**
// before anything is multiplied or allocated.

#include <mamba2/error.hpp>
#include <mamba2/json.hpp>
#include <mamba2/language_model.hpp>

#include <nlohmann/json.hpp>

#include <algorithm>
#include <cctype>
#include <cmath>
#include <initializer_list>
#include <set>
#include <utility>

namespace mamba2 {

namespace {

using namespace std::string_literals;

constexpr std::size_t largest_size = std::size_t{1} << 24;

// What a key says is taken over; where it is missing, or null, the default stays.

void read(const JsonEntry& entry, std::size_t& size) {
  if (!entry.null()) size = entry.whole(largest_size);
}

void read(const JsonEntry& entry, bool& flag) {
  if (!entry.null()) flag = entry.flag();
}

void read(const JsonEntry& entry, double& number) {
  if (!entry.null()) number = entry.real();
}

void read(const JsonEntry& entry, double& low, double& high) {
  if (entry.null()) return;
  if (!entry.value().is_array() || entry.array().size() != 2) entry.expected("two numbers");
  low = entry.element(0).real();
  high = entry.element(1).real();
}

// Some options may only have the one value that is built here.

void require_value(const JsonEntry& entry, const nlohmann::json& only, const std::string& reason) {
  if (!entry.null() && entry.value() != only)
    entry.refuse("is " + entry.value().dump(-1, ' ', true).substr(0, 60) + ", but " + reason);
}

// ### Keys that nobody knows {#language_model_config_unknown}
//
// And a key that is not known at all? In `ssm_cfg` the answer is easy: its keys are arguments of
// one constructor, and one that the constructor does not have is a mistake. Around it, and in
// Hugging Face's files, anybody may write anything: when the file was made, with which version, how
// fast the model learned. To refuse all that would be to refuse most files.
//
// But not everything there is harmless. One library for training writes the same files and calls
// the number in the norm `norm_eps`, where Hugging Face says `layer_norm_epsilon`. A reader that
// passes over the name computes with the default, and nobody notices that the scores are a little
// wrong. So an unknown key is passed over only if its *name* says nothing about what is computed.
// Names are taken apart into words, and there are three lists.

const std::set<std::string> words_of_meaning = {
    "act",       "activation",    "attention",  "attn",      "bias",         "block",
    "cap",       "chunk",         "clamp",      "conv",      "dconv",        "dim",
    "dinner",    "dmodel",        "dstate",     "dt",        "embd",         "embed",
    "embedding", "eps",           "epsilon",    "expand",    "expert",       "ffn",
    "gate",      "gated",         "group",      "head",      "headdim",      "hidden",
    "inner",     "intermediate",  "layer",      "layernorm", "logit",        "mixer",
    "mlp",       "moe",           "multiplier", "ngroup",    "nhead",        "nlayer",
    "norm",      "normalization", "position",   "quant",     "quantization", "quantized",
    "residual",  "rms",           "rmsnorm",    "rope",      "rotary",       "scale",
    "scaling",   "softcap",       "softplus",   "ssm",       "state",        "theta",
    "tie",       "tied",          "timestep",   "vocab",     "width",        "window"};

// A key with one of these says how the model was trained, or how fast it is computed.
const std::set<std::string> words_of_training = {
    "batch", "cache", "dataset",  "dropout",   "fuse",  "fused",    "init",  "initializer",
    "loss",  "lr",    "learning", "optimizer", "train", "training", "warmup"};

// And these have a word of meaning, but none here.
const std::set<std::string> keys_without_meaning = {"attn_cfg",
                                                    "chunk_size_feed_forward",
                                                    "max_position_embeddings",
                                                    "norm_before_gate",
                                                    "num_logits_to_keep",
                                                    "output_attentions",
                                                    "output_hidden_states",
                                                    "rescale_prenorm_residual",
                                                    "residual_in_fp32",
                                                    "time_step_rank",
                                                    "time_step_scale",
                                                    "use_mem_eff_path"};

// The words of a key, in lower case, with and without the s of a plural; and two neighbours as one,
// so that `time_step` and `timestep` are the same.

std::set<std::string> words_of(const std::string& key) {
  std::set<std::string> words;
  std::string word, last;
  const auto end_word = [&] {
    if (word.empty()) return;
    words.insert({word, last + word});
    if (word.ends_with('s')) words.insert(word.substr(0, word.size() - 1));
    last = std::exchange(word, "");
  };
  bool small = false;  // whether the letter before was
  for (const char character : key) {
    const auto c = static_cast<unsigned char>(character);
    if (std::isalpha(c) == 0 || (small && std::isupper(c) != 0)) end_word();
    if (std::isalpha(c) != 0) word += static_cast<char>(std::tolower(c));
    small = std::islower(c) != 0;
  }
  end_word();
  return words;
}

void refuse_unknown_meaning(const JsonEntry& file) {
  for (const std::string& key : file.unasked()) {
    const JsonEntry entry = file.at(key);
    if (entry.null() || entry.value().empty() || keys_without_meaning.contains(key)) continue;
    const std::set<std::string> words = words_of(key);
    const auto has_one_of = [&](const std::set<std::string>& list) {
      return std::any_of(words.begin(), words.end(), [&](const auto& w) { return list.contains(w); });
    };
    if (has_one_of(words_of_meaning) && !has_one_of(words_of_training))
      entry.refuse("a key that is not known, and by its name could change what is computed");
  }
}

// ### The reference's dialect {#language_model_config_reference}
//
// `ssm_cfg` holds arguments of the block's constructor. Without `"layer": "Mamba2"` it means a
// Mamba-1 block: the reference's default is older than Mamba-2.

void read_block_options(const JsonEntry& options, Mamba2Config& block) {
  const JsonEntry layer = options.at("layer");
  if (layer.null()) layer.refuse("missing, which means Mamba1; only Mamba2 is built here");
  require_value(layer, "Mamba2", "only \"Mamba2\" is built here");
  read(options.at("d_state"), block.d_state);
  read(options.at("d_conv"), block.d_conv);
  read(options.at("conv_init"), block.conv_init);
  read(options.at("expand"), block.expand);
  read(options.at("headdim"), block.headdim);
  read(options.at("d_ssm"), block.d_ssm);
  read(options.at("ngroups"), block.ngroups);
  read(options.at("A_init_range"), block.A_init_min, block.A_init_max);
  read(options.at("D_has_hdim"), block.D_has_hdim);
  read(options.at("rmsnorm"), block.rmsnorm);
  read(options.at("norm_before_gate"), block.norm_before_gate);
  read(options.at("dt_min"), block.dt_min);
  read(options.at("dt_max"), block.dt_max);
  read(options.at("dt_init_floor"), block.dt_init_floor);
  read(options.at("dt_limit"), block.dt_limit_min, block.dt_limit_max);
  read(options.at("bias"), block.bias);
  read(options.at("conv_bias"), block.conv_bias);
  read(options.at("chunk_size"), block.chunk_size);
  for (const char* harmless : {"use_mem_eff_path", "device", "dtype"}) options.at(harmless);
  for (const std::string& key : options.unasked())
    options.at(key).refuse("an option that is not known");
}

LanguageModelConfig read_reference(const JsonEntry& file) {
  LanguageModelConfig config{.n_layer = 0, .vocab_size = 0, .mixer = {}};
  Mamba2Config block;
  read(file.require("d_model"), block.d_model);
  read(file.require("n_layer"), config.n_layer);
  read(file.require("vocab_size"), config.vocab_size);
  read(file.at("pad_vocab_size_multiple"), config.pad_vocab_size_multiple);
  read(file.at("tie_embeddings"), config.tie_embeddings);
  read(file.at("d_intermediate"), config.d_intermediate);
  require_value(file.at("rms_norm"), true, "only RMS norms are built here");
  const JsonEntry attention = file.at("attn_layer_idx");
  if (!attention.null() && !attention.array().empty())
    attention.refuse("layers of attention are not built here");
  read_block_options(file.require("ssm_cfg"), block);
  config.mixer = block;
  return config;
}

// ### Hugging Face's dialect {#language_model_config_hugging_face}
//
// Here some values go by several names: Hugging Face's own, and those of libraries for training
// that write the same files. Any of them is read; two that say different things are not.

JsonEntry one_of(const JsonEntry& file, std::initializer_list<const char*> names) {
  JsonEntry found = file.at(*names.begin());
  for (const char* name : names) {
    const JsonEntry entry = file.at(name);
    if (!found.null() && !entry.null() && found.value() != entry.value())
      entry.refuse("says another thing than '" + std::string(*names.begin()) +
                   "' or another name of it, " + found.value().dump(-1, ' ', true).substr(0, 60));
    if (!entry.null()) found = entry;
  }
  return found;
}

// One key is a trap: `norm_before_gate`. Conversions write `true` or `false`, but Hugging Face's
// code multiplies by the gate first, whatever the file says. We do what that code does. Only where
// the file has `rmsnorm` as well was it written by code that means it.

void read_hugging_face_block(const JsonEntry& file, Mamba2Config& block) {
  block.ngroups = 8;
  read(file.at("state_size"), block.d_state);
  read(file.at("conv_kernel"), block.d_conv);
  read(file.at("expand"), block.expand);
  read(file.at("head_dim"), block.headdim);
  read(file.at("n_groups"), block.ngroups);
  read(file.at("use_bias"), block.bias);
  read(file.at("use_conv_bias"), block.conv_bias);
  read(file.at("chunk_size"), block.chunk_size);
  read(one_of(file, {"time_step_limit", "dt_limit"}), block.dt_limit_min, block.dt_limit_max);
  read(one_of(file, {"time_step_min", "dt_min"}), block.dt_min);
  read(one_of(file, {"time_step_max", "dt_max"}), block.dt_max);
  read(one_of(file, {"time_step_floor", "dt_init_floor"}), block.dt_init_floor);
  read(one_of(file, {"A_init_range", "A_initializer_range"}), block.A_init_min, block.A_init_max);
  read(one_of(file, {"conv_init", "conv_initializer_range"}), block.conv_init);
  read(file.at("D_has_hdim"), block.D_has_hdim);
  read(file.at("norm_over_all_channels"), block.norm_over_all_channels);
  read(file.at("rmsnorm"), block.rmsnorm);
  if (!file.at("rmsnorm").null()) read(file.at("norm_before_gate"), block.norm_before_gate);
}

// Two sizes are given twice, and have to agree with themselves.

void check_sizes(const JsonEntry& file, const Mamba2Config& block) {
  const std::size_t expanded = block.expand * block.d_model;
  std::size_t nheads = 0, d_inner = expanded;
  read(file.at("num_heads"), nheads);
  if (nheads != 0 && (block.headdim == 0 || nheads != expanded / block.headdim))
    file.at("num_heads")
        .refuse(std::to_string(nheads) + " times head_dim " + std::to_string(block.headdim) +
                " is not expand times hidden_size, " + std::to_string(expanded));
  read(file.at("intermediate_size"), d_inner);
  if (d_inner != expanded)
    file.at("intermediate_size")
        .refuse(std::to_string(d_inner) + " is not expand times hidden_size, " +
                std::to_string(expanded));
}

// `vocab_size` is the number of rows here, padding included, and the number of tokens is not
// written. We write it ourselves, under two names that are passed over elsewhere.

void read_vocabulary(const JsonEntry& file, LanguageModelConfig& config) {
  config.vocab_size = file.require("vocab_size").whole(largest_size);
  const std::size_t rows = config.vocab_size;
  const JsonEntry tokens = file.at("unpadded_vocab_size");
  read(tokens, config.vocab_size);
  config.pad_vocab_size_multiple = 1;
  read(file.at("pad_vocab_size_multiple"), config.pad_vocab_size_multiple);
  const bool fits = config.pad_vocab_size_multiple > 0 && config.padded_vocab_size() == rows;
  if (tokens.null() && !fits) config.pad_vocab_size_multiple = 1;  // the rows are what they are
  if (!tokens.null() && !fits)
    tokens.refuse(std::to_string(config.vocab_size) + " tokens, padded to a multiple of " +
                  std::to_string(config.pad_vocab_size_multiple) + ", are not vocab_size, " +
                  std::to_string(rows));
}

LanguageModelConfig read_hugging_face(const JsonEntry& file, bool head_stored) {
  LanguageModelConfig config{.n_layer = 0, .vocab_size = 0, .mixer = {}};
  Mamba2Config block;
  read(file.require("hidden_size"), block.d_model);
  read(file.require("num_hidden_layers"), config.n_layer);
  read_vocabulary(file, config);
  require_value(file.at("model_type"), "mamba2", "only mamba2 is built here");
  if (file.at("hidden_act").value() != "swish")  // another name of it
    require_value(file.at("hidden_act"), "silu", "only SiLU is built here");
  require_value(file.at("rms_norm"), true, "only RMS norms are built here");
  read_hugging_face_block(file, block);
  read(one_of(file, {"layer_norm_epsilon", "norm_eps", "norm_epsilon", "rms_norm_eps"}),
       config.norm_eps);
  block.norm_eps = config.norm_eps;
  config.tie_embeddings = !head_stored;
  read(file.at("tie_word_embeddings"), config.tie_embeddings);
  check_sizes(file, block);
  config.mixer = block;
  return config;
}

// ### Where a text ends {#language_model_config_end}
//
// A text can end in more than one way: with the end of a document, with the end of an answer. So
// `eos_token_id` is a number or a list of them. A number that no token has would never come, and
// the text would never end.

void read_ends_of_text(const JsonEntry& file, LanguageModelConfig& config) {
  const JsonEntry entry = file.at("eos_token_id");
  const auto add = [&](const JsonEntry& number) {
    const auto id = static_cast<std::int64_t>(number.whole(config.padded_vocab_size() - 1));
    auto& known = config.eos_token_ids;
    if (std::find(known.begin(), known.end(), id) == known.end()) known.push_back(id);
  };
  if (entry.value().is_array())
    for (std::size_t i = 0; i < entry.array().size(); ++i) add(entry.element(i));
  else if (!entry.null())
    add(entry);
}

}  // namespace

LanguageModelConfig parse_config(std::string_view text, const std::string& where, bool head_stored) {
  const auto json = parse_json(text, where, {.bytes = std::size_t{1} << 20, .values = 100'000});
  const JsonEntry file(json, where + ": ");
  const bool hugging_face = file.object().contains("hidden_size");
  if (!hugging_face && !file.object().contains("d_model"))
    file.refuse("neither d_model nor hidden_size; no configuration of a Mamba-2 model");
  LanguageModelConfig config =
      hugging_face ? read_hugging_face(file, head_stored) : read_reference(file);
  try {
    config.check();
  } catch (const ValueError& error) {
    file.refuse(error.what());
  }
  read_ends_of_text(file, config);
  refuse_unknown_meaning(file);
  return config;
}

// These tokens may also stand in a file of their own, `generation_config.json`, beside settings for
// sampling. All of them count. The reference's configuration has no word for them; there they can
// stand in that file only.

void add_generation_config(LanguageModelConfig& config, std::string_view text,
                           const std::string& where) {
  const auto json = parse_json(text, where, {.bytes = std::size_t{1} << 20, .values = 100'000});
  read_ends_of_text(JsonEntry(json, where + ": "), config);
}

// ### Writing them {#language_model_config_write}
//
// What is written must be read back as the same configuration; the tests walk through every option.
// The reference's constructors refuse keys that they do not know, so what they have no words for
// cannot be written for them. Hugging Face's pass over such keys. What changes no result there goes
// in under our own names: where fresh parameters start, how many tokens there are. What would
// change one must not be passed over, and is an error.

namespace {

using Json = nlohmann::ordered_json;

Json limits(double low, double high) {  // an infinite limit is written in words, and unquoted below
  Json pair = {low, high};
  if (std::isinf(high)) pair[1] = "Infinity";
  return pair;
}

std::string dump(const Json& json) {
  std::string text = json.dump(1);
  for (std::size_t at = 0; (at = text.find("\"Infinity\"", at)) != std::string::npos;)
    text.replace(at, 10, "Infinity");
  return text + "\n";
}

Json ids_json(const std::vector<std::int64_t>& ids) {
  return ids.size() == 1 ? Json(ids.front()) : Json(ids);
}

std::string reference_text(const LanguageModelConfig& config) {
  const auto& block = config.mixer.as<Mamba2Config>();
  const char* layout = " in the reference's layout";
  require(config.norm_eps == 1e-5 && block.norm_eps == 1e-5, "norm_eps", "1e-5"s + layout,
          Json(config.norm_eps).dump());
  require(!block.norm_over_all_channels, "norm_over_all_channels", "false"s + layout, "true");
  require(config.eos_token_ids.empty(), "eos_token_ids",
          "none, but in generation_config_text(),"s + layout, Json(config.eos_token_ids).dump());
  Json ssm = {{"layer", "Mamba2"},
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
               {"d_intermediate", config.d_intermediate},
               {"n_layer", config.n_layer},
               {"vocab_size", config.vocab_size},
               {"ssm_cfg", ssm},
               {"attn_layer_idx", Json::array()},
               {"attn_cfg", Json::object()},
               {"rms_norm", true},
               {"residual_in_fp32", true},
               {"fused_add_norm", true},
               {"pad_vocab_size_multiple", config.pad_vocab_size_multiple},
               {"tie_embeddings", config.tie_embeddings}});
}

void require_hugging_face_words(const LanguageModelConfig& config) {
  const auto& block = config.mixer.as<Mamba2Config>();
  const char* layout = " in Hugging Face's layout";
  require(config.d_intermediate == 0, "d_intermediate", "0"s + layout,
          std::to_string(config.d_intermediate));
  require(block.d_ssm == 0, "d_ssm", "0, all channels,"s + layout, std::to_string(block.d_ssm));
  require(!block.D_has_hdim, "D_has_hdim", "false"s + layout, "true");
  require(block.rmsnorm, "rmsnorm", "true"s + layout, "false");
  require(!block.norm_before_gate, "norm_before_gate", "false"s + layout, "true");
  require(block.norm_eps == config.norm_eps, "norm_eps", "the same for all norms"s + layout,
          Json(block.norm_eps).dump() + " in the block and " + Json(config.norm_eps).dump());
}

std::string hugging_face_text(const LanguageModelConfig& config) {
  require_hugging_face_words(config);
  const Mamba2Config &block = config.mixer.as<Mamba2Config>(), usual;
  Json json = {{"architectures", {"Mamba2ForCausalLM"}},
               {"model_type", "mamba2"},
               {"hidden_size", block.d_model},
               {"num_hidden_layers", config.n_layer},
               {"vocab_size", config.padded_vocab_size()},
               {"state_size", block.d_state},
               {"conv_kernel", block.d_conv},
               {"expand", block.expand},
               {"head_dim", block.headdim},
               {"num_heads", Mamba2Sizes(block).nheads},
               {"n_groups", block.ngroups},
               {"chunk_size", block.chunk_size},
               {"time_step_limit", limits(block.dt_limit_min, block.dt_limit_max)},
               {"time_step_min", block.dt_min},
               {"time_step_max", block.dt_max},
               {"time_step_floor", block.dt_init_floor},
               {"layer_norm_epsilon", config.norm_eps},
               {"use_bias", block.bias},
               {"use_conv_bias", block.conv_bias},
               {"hidden_act", "silu"},
               {"rms_norm", true},
               {"norm_before_gate", false},
               {"residual_in_fp32", true},
               {"tie_word_embeddings", config.tie_embeddings}};
  if (!config.eos_token_ids.empty()) json["eos_token_id"] = ids_json(config.eos_token_ids);
  if (config.vocab_size != config.padded_vocab_size()) json["unpadded_vocab_size"] = config.vocab_size;
  if (config.pad_vocab_size_multiple != 1)
    json["pad_vocab_size_multiple"] = config.pad_vocab_size_multiple;
  if (block.norm_over_all_channels) json["norm_over_all_channels"] = true;  // as their code does
  if (block.A_init_min != usual.A_init_min || block.A_init_max != usual.A_init_max)
    json["A_init_range"] = {block.A_init_min, block.A_init_max};
  if (block.conv_init > 0) json["conv_init"] = block.conv_init;
  return dump(json);
}

}  // namespace

std::string config_text(const LanguageModelConfig& config, CheckpointLayout layout) {
  config.check();
  return layout == CheckpointLayout::reference ? reference_text(config) : hugging_face_text(config);
}

std::string generation_config_text(const LanguageModelConfig& config) {
  return dump({{"eos_token_id", ids_json(config.eos_token_ids)}});
}

}  // namespace mamba2
