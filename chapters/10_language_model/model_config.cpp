// ## Two dialects of configuration {#language_model_config}
//
// A checkpoint without its configuration is a heap of numbers. `config.json` says how many layers
// there are and how they are built, and there are two traditions of saying it. The reference writes
// the arguments of its constructors; what is not written has the default of the reference's code:
//
// ```json
// {"d_model": 768, "n_layer": 24, "vocab_size": 50277, "pad_vocab_size_multiple": 16,
// "tie_embeddings": true,  "ssm_cfg": {"layer": "Mamba2"}, "attn_layer_idx": [], "rms_norm": true,
// "residual_in_fp32": true, ...}
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
#include <mamba2/mixer_kinds.hpp>

#include <nlohmann/json.hpp>

#include <algorithm>
#include <cctype>
#include <cmath>
#include <initializer_list>
#include <set>
#include <string>
#include <string_view>
#include <utility>

namespace mamba2 {

namespace {

using namespace std::string_literals;

constexpr std::size_t largest_size = std::size_t{1} << 24;

}  // namespace

// What a key says is taken over; where it is missing, or null, the default stays.

void read_option(const JsonEntry& entry, std::size_t& size) {
  if (!entry.null()) size = entry.whole(largest_size);
}

void read_option(const JsonEntry& entry, bool& flag) {
  if (!entry.null()) flag = entry.flag();
}

void read_option(const JsonEntry& entry, double& number) {
  if (!entry.null()) number = entry.real();
}

void read_option(const JsonEntry& entry, double& low, double& high) {
  if (entry.null()) return;
  if (!entry.value().is_array() || entry.array().size() != 2) entry.expected("two numbers");
  low = entry.element(0).real();
  high = entry.element(1).real();
}

namespace {

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

//: fold Words of meaning
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
// `ssm_cfg` holds arguments of a mixer's constructor, and `layer` says of which. Without it, it
// means a Mamba-1 block: the reference's default is older than Mamba-2. What the arguments of each
// are called is a matter of its own, further down.

//: fold Which kind of layer
std::string layer_names() {
  std::string names;
  for (const MixerKind& kind : mixer_kinds())
    names += (names.empty() ? "" : ", ") + std::string(kind.layer);
  return names;
}

const MixerKind& kind_of_layer(const JsonEntry& layer) {
  const std::string name = layer.null() ? "Mamba1" : layer.text();
  for (const MixerKind& kind : mixer_kinds())
    if (name == kind.layer) return kind;
  layer.refuse("is \"" + name.substr(0, 60) + "\", but only these are built here: " + layer_names());
}

LanguageModelConfig read_reference(const JsonEntry& file) {
  LanguageModelConfig config{.n_layer = 0, .vocab_size = 0, .mixer = {}};
  std::size_t d_model = 0;
  read_option(file.require("d_model"), d_model);
  read_option(file.require("n_layer"), config.n_layer);
  read_option(file.require("vocab_size"), config.vocab_size);
  read_option(file.at("pad_vocab_size_multiple"), config.pad_vocab_size_multiple);
  read_option(file.at("tie_embeddings"), config.tie_embeddings);
  read_option(file.at("d_intermediate"), config.d_intermediate);
  require_value(file.at("rms_norm"), true, "only RMS norms are built here");
  const JsonEntry attention = file.at("attn_layer_idx");
  if (!attention.null() && !attention.array().empty())
    attention.refuse("layers of attention are not built here");
  const JsonEntry options = file.require("ssm_cfg");
  config.mixer = kind_of_layer(options.at("layer")).read_reference(options, d_model);
  return config;
}

// ### Hugging Face's dialect {#language_model_config_hugging_face}
//
// Here some values go by several names: Hugging Face's own, and those of libraries for training
// that write the same files. Any of them is read; two that say different things are not.

}  // namespace

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

// One size follows from two others and is written all the same. It has to agree with them.

//: fold Sizes that are said twice; which model
void check_intermediate_size(const JsonEntry& file, std::size_t d_inner) {
  for (const char* name : {"intermediate_size", "d_inner"}) {
    std::size_t stated = d_inner;
    read_option(file.at(name), stated);
    if (stated != d_inner)
      file.at(name).refuse(std::to_string(stated) + " is not expand times hidden_size, " +
                           std::to_string(d_inner));
  }
}

namespace {

const MixerKind& kind_of_model(const JsonEntry& model_type) {
  const std::string name = model_type.null() ? "mamba2" : model_type.text();
  std::string known;
  for (const MixerKind& kind : mixer_kinds()) {
    if (kind.model_type == nullptr) continue;
    if (name == kind.model_type) return kind;
    known += (known.empty() ? "" : ", ") + std::string(kind.model_type);
  }
  model_type.refuse("is \"" + name.substr(0, 60) + "\", but only these are built here: " + known);
}

// `vocab_size` is the number of rows here, padding included, and the number of tokens is not
// written. We write it ourselves, under two names that are passed over elsewhere.

//: fold Hugging Face's file
void read_vocabulary(const JsonEntry& file, LanguageModelConfig& config) {
  config.vocab_size = file.require("vocab_size").whole(largest_size);
  const std::size_t rows = config.vocab_size;
  const JsonEntry tokens = file.at("unpadded_vocab_size");
  read_option(tokens, config.vocab_size);
  config.pad_vocab_size_multiple = 1;
  read_option(file.at("pad_vocab_size_multiple"), config.pad_vocab_size_multiple);
  const bool fits = config.pad_vocab_size_multiple > 0 && config.padded_vocab_size() == rows;
  if (tokens.null() && !fits) config.pad_vocab_size_multiple = 1;  // the rows are what they are
  if (!tokens.null() && !fits)
    tokens.refuse(std::to_string(config.vocab_size) + " tokens, padded to a multiple of " +
                  std::to_string(config.pad_vocab_size_multiple) + ", are not vocab_size, " +
                  std::to_string(rows));
}

LanguageModelConfig read_hugging_face(const JsonEntry& file, bool head_stored) {
  LanguageModelConfig config{.n_layer = 0, .vocab_size = 0, .mixer = {}};
  std::size_t d_model = 0;
  for (const char* needed : {"hidden_size", "num_hidden_layers"}) file.require(needed);
  read_option(one_of(file, {"hidden_size", "d_model"}), d_model);
  read_option(one_of(file, {"num_hidden_layers", "n_layer"}), config.n_layer);
  read_vocabulary(file, config);
  const JsonEntry type = file.at("model_type");
  const MixerKind& kind = kind_of_model(type);
  if (file.at("hidden_act").value() != "swish")  // another name of it
    require_value(file.at("hidden_act"), "silu", "only SiLU is built here");
  require_value(file.at("rms_norm"), true, "only RMS norms are built here");
  read_option(one_of(file, {"layer_norm_epsilon", "norm_eps", "norm_epsilon", "rms_norm_eps"}),
              config.norm_eps);
  config.mixer = kind.read_hugging_face(file, d_model, config.norm_eps);
  config.tie_embeddings = !head_stored;
  read_option(file.at("tie_word_embeddings"), config.tie_embeddings);
  return config;
}

// ### Where a text ends {#language_model_config_end}
//
// A text can end in more than one way: with the end of a document, with the end of an answer. So
// `eos_token_id` is a number or a list of them. A number that no token has would never come, and
// the text would never end.

//: fold Ends of texts; both dialects
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
    file.refuse("neither d_model nor hidden_size; no configuration of a Mamba model");
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

const MixerKind& kind_of(const MixerConfig& mixer) {
  for (const MixerKind& kind : mixer_kinds())
    if (std::string_view(mixer->name()) == kind.layer) return kind;
  throw ValueError("mixer: expected one that files have words for, got "s + mixer->name());
}

// An infinite number is written in words by the mixers, and unquoted here.
std::string dump(const Json& json) {
  std::string text = json.dump(1);
  for (std::size_t at = 0; (at = text.find("\"Infinity\"", at)) != std::string::npos;)
    text.replace(at, 10, "Infinity");
  return text + "\n";
}

Json ids_json(const std::vector<std::int64_t>& ids) {
  return ids.size() == 1 ? Json(ids.front()) : Json(ids);
}

// The reference's file has a part for the mixer.

//: fold The reference's layout
std::string reference_text(const LanguageModelConfig& config) {
  const char* layout = " in the reference's layout";
  const MixerKind& kind = kind_of(config.mixer);
  require(config.norm_eps == 1e-5, "norm_eps", "1e-5"s + layout, Json(config.norm_eps).dump());
  require(config.eos_token_ids.empty(), "eos_token_ids",
          "none, but in generation_config_text(),"s + layout, Json(config.eos_token_ids).dump());
  require(config.other_mixers.empty(), "other_mixers", "none"s + layout, "some");
  Json ssm = {{"layer", kind.layer}};
  ssm.update(kind.write_reference(config.mixer));
  return dump({{"d_model", config.d_model()},
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

// Hugging Face's has one level.

//: fold Hugging Face's layout
std::string hugging_face_text(const LanguageModelConfig& config) {
  const char* layout = " in Hugging Face's layout";
  const MixerKind& kind = kind_of(config.mixer);
  require(kind.model_type != nullptr, "mixer", "one that there is a model of"s + layout, kind.layer);
  require(config.d_intermediate == 0, "d_intermediate", "0"s + layout,
          std::to_string(config.d_intermediate));
  require(config.other_mixers.empty(), "other_mixers", "none"s + layout, "some");
  Json json = {{"architectures", {kind.architecture}},
               {"model_type", kind.model_type},
               {"hidden_size", config.d_model()},
               {"num_hidden_layers", config.n_layer},
               {"vocab_size", config.padded_vocab_size()}};
  kind.write_hugging_face(config.mixer, config.norm_eps, json);
  json.update({{"layer_norm_epsilon", config.norm_eps},
               {"hidden_act", "silu"},
               {"rms_norm", true},
               {"residual_in_fp32", true},
               {"tie_word_embeddings", config.tie_embeddings}});
  if (!config.eos_token_ids.empty()) json["eos_token_id"] = ids_json(config.eos_token_ids);
  if (config.vocab_size != config.padded_vocab_size()) json["unpadded_vocab_size"] = config.vocab_size;
  if (config.pad_vocab_size_multiple != 1)
    json["pad_vocab_size_multiple"] = config.pad_vocab_size_multiple;
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
