// Models as directories: configurations of both kinds, weights that fit and weights that do not, saving and loading again.
#include <mamba2/error.hpp>
#include <mamba2/json.hpp>
#include <mamba2/model_directory.hpp>
#include <mamba2/safetensors.hpp>
#include <support/files.hpp>
#include <support/models.hpp>
#include <support/testing.hpp>

#include <nlohmann/json.hpp>

#include <algorithm>
#include <cmath>
#include <csignal>
#include <functional>
#include <map>

#include <sys/resource.h>
#include <sys/stat.h>

using namespace mamba2;
using namespace testing;
using namespace std::string_literals;
namespace fs = std::filesystem;

namespace {

void contains(const std::string& text, const std::string& part) {
  INFO(text);
  CHECK(text.find(part) != std::string::npos);
}

LanguageModelConfig small_config() {
  return {.n_layer = 2,
          .vocab_size = 45,
          .pad_vocab_size_multiple = 8,
          .mixer = Mamba2Config{.d_model = 12, .d_state = 5, .headdim = 3, .chunk_size = 7}};
}

template <class Real>
bool same_parameters(const LanguageModel<Real>& a, const LanguageModel<Real>& b) {
  bool same = true;
  const auto compare = [&](const auto&, auto of_a, auto of_b) {
    same = same && std::equal(of_a.begin(), of_a.end(), of_b.begin());
  };
  walk(a.config(), compare, a.parameters(), b.parameters());
  return same;
}

std::string refused_config(const std::string& text) {
  const std::string message = message_of<FileError>([&] { parse_config(text, "config.json"); });
  CHECK(message.find("config.json: ") == 0);
  return message;
}

std::string refused_model(const fs::path& directory) {
  return message_of<FileError>([&] { load_language_model<float>(directory); });
}

const std::string reference_config = read_file(golden_path("lm/tiny/config.json"));
const std::string hugging_face_config = read_file(golden_path("lm/tiny-hf/config.json"));

std::string replaced(std::string text, const std::string& what, const std::string& with) {
  const std::size_t at = text.find(what);
  REQUIRE(at != std::string::npos);
  return text.replace(at, what.size(), with);
}

// A directory with the small model, all of whose files may be spoilt.
struct SavedModel {
  explicit SavedModel(CheckpointLayout layout = CheckpointLayout::hugging_face) : model(small_config(), 11) {
    save_language_model(model, directory.path(), layout);
  }
  std::vector<NamedTensor<float>> tensors() const {
    std::vector<NamedTensor<float>> list;
    walk(
        model.config(),
        [&](const ParameterInfo& info, auto values) { list.push_back({info.name, info.shape, values}); },
        model.parameters());
    return list;
  }
  TemporaryDirectory directory;
  LanguageModel<float> model;
};

}  // namespace

TEST_CASE("both dialects of the golden configuration say the same", "[config]") {
  const auto a = parse_config(reference_config, "a"), b = parse_config(hugging_face_config, "b");
  for (const auto& config : {a, b}) {
    CHECK(config.n_layer == 3);
    CHECK(config.padded_vocab_size() == 624);
    CHECK(config.tie_embeddings);
    CHECK(block_of(config).d_model == 32);
    CHECK(block_of(config).d_state == 16);
    CHECK(block_of(config).headdim == 8);
    CHECK(block_of(config).ngroups == 1);
    CHECK(block_of(config).chunk_size == 16);
    CHECK(Mamba2Sizes(block_of(config)).nheads == 8);
    CHECK(std::isinf(block_of(config).dt_limit_max));
    CHECK(config.norm_eps == 1e-5);
  }
  CHECK(a.vocab_size == 623);
  CHECK(b.eos_token_ids == std::vector<std::int64_t>{0});
  CHECK(a.eos_token_ids.empty());
}

TEST_CASE("the published reference configuration is read", "[config]") {
  const auto config = parse_config(
      R"({"d_model": 768, "d_intermediate": 0, "n_layer": 24, "vocab_size": 50277, "ssm_cfg": {"layer": "Mamba2"},
          "attn_layer_idx": [], "attn_cfg": {}, "rms_norm": true, "residual_in_fp32": true, "fused_add_norm": true,
          "pad_vocab_size_multiple": 16, "tie_embeddings": true})",
      "config.json");
  CHECK(parameter_count(config) == 128'989'632);
}

TEST_CASE("every option of ssm_cfg is honoured", "[config]") {
  const auto with = [](const std::string& option) {
    return block_of(parse_config(replaced(reference_config, "\"headdim\": 8", "\"headdim\": 8, " + option), "c"));
  };
  CHECK(with("\"d_ssm\": 32").d_ssm == 32);
  CHECK(with("\"D_has_hdim\": true").D_has_hdim);
  CHECK(!with("\"rmsnorm\": false").rmsnorm);
  CHECK(with("\"norm_before_gate\": true").norm_before_gate);
  CHECK(with("\"bias\": true").bias);
  CHECK(!with("\"conv_bias\": false").conv_bias);
  CHECK(with("\"conv_init\": 0.5").conv_init == 0.5);
  CHECK(with("\"conv_init\": null").conv_init == 0);
  CHECK(with("\"A_init_range\": [2, 3]").A_init_max == 3);
  CHECK(with("\"dt_min\": 0.01, \"dt_max\": 0.2, \"dt_init_floor\": 0.001").dt_max == 0.2);
  CHECK(with("\"dt_limit\": [0.5, 1.5]").dt_limit_min == 0.5);
  CHECK(with("\"dt_limit\": [0.5, 1.5]").dt_limit_max == 1.5);
  CHECK(std::isinf(with("\"dt_limit\": [0.0, Infinity]").dt_limit_max));
  CHECK(std::isinf(with(R"("dt_limit": [0.0, {"__float__": "Infinity"}])").dt_limit_max));
  contains(refused_config(replaced(reference_config, "\"headdim\": 8", "\"headdim\": 8, \"d_sate\": 3")),
           "ssm_cfg.d_sate: an option that is not known");
}

TEST_CASE("Hugging Face's options are honoured, and what its code ignores is ignored", "[config]") {
  const auto with = [](const std::string& what, const std::string& instead, bool head = false) {
    return parse_config(replaced(hugging_face_config, what, instead), "c", head);
  };
  CHECK(block_of(with("\"use_bias\": false", "\"use_bias\": true")).bias);
  CHECK(!block_of(with("\"use_conv_bias\": true", "\"use_conv_bias\": false")).conv_bias);
  CHECK(block_of(with("Infinity", "2.5")).dt_limit_max == 2.5);
  CHECK(std::isinf(block_of(with("Infinity", R"({"__float__": "Infinity"})")).dt_limit_max));
  CHECK(block_of(with("1e-05", "1e-06")).norm_eps == 1e-6);
  CHECK(!block_of(with("\"norm_before_gate\": false", "\"norm_before_gate\": true")).norm_before_gate);
  CHECK(!with("\"tie_word_embeddings\": true", "\"tie_word_embeddings\": false").tie_embeddings);
  CHECK(with("\"tie_word_embeddings\": true,", "").tie_embeddings);
  CHECK(!with("\"tie_word_embeddings\": true,", "", true).tie_embeddings);
  CHECK(block_of(with("\"n_groups\": 1", "\"n_groups\": 2")).ngroups == 2);
  CHECK(block_of(with("\"n_groups\": 1,", "")).ngroups == 8);
}

TEST_CASE("configurations that cannot be right are refused with their key", "[config][hostile]") {
  const auto reference = [](const std::string& what, const std::string& with) {
    return refused_config(replaced(reference_config, what, with));
  };
  const auto hugging_face = [](const std::string& what, const std::string& with) {
    return refused_config(replaced(hugging_face_config, what, with));
  };
  contains(refused_config("{}"), "neither d_model nor hidden_size");
  contains(refused_config("[1]"), "config.json: expected an object, got [1]");
  contains(refused_config("{\"d_model\": 3"), "not valid JSON near byte");
  contains(refused_config("{\"d_model\": 3}"), "n_layer: missing");
  contains(refused_config("{\"hidden_size\": 3}"), "num_hidden_layers: missing");
  contains(refused_config(replaced(reference_config, "\"n_layer\"", "\"d_model\"")), "key 'd_model' comes twice");
  contains(refused_config(std::string(2'000'000, ' ')), "bytes of JSON, more than");
  contains(reference("32,", "-32,"), "d_model: expected a whole number");
  contains(reference("32,", "3.5,"), "d_model: expected a whole number");
  contains(reference("32,", "\"32\","), "d_model: expected a whole number");
  contains(reference("32,", "99999999999999999999,"), "d_model: expected a whole number");
  contains(reference("32,", "1000000000,"), "d_model: expected a whole number from 0 to 16777216, got 1000000000");
  contains(reference("32,", "0,"), "d_model");
  contains(reference("32,", "33,"), "headdim");
  contains(reference("\"n_layer\": 3", "\"n_layer\": 1000000"), "n_layer: expected 1 to 4096, got 1000000");
  contains(reference("\"Mamba2\"", "\"Mamba9\""),
           "layer: is \"Mamba9\", but only these are built here: Mamba2, Mamba1");
  contains(reference("\"Mamba2\"", "3"), "layer: expected");
  contains(reference("\"Mamba2\"", "\"Mamba1\""), "ssm_cfg.chunk_size: an option that is not known");
  contains(reference("\"layer\": \"Mamba2\",", ""), "ssm_cfg.chunk_size: an option that is not known");
  contains(reference("\"attn_layer_idx\": []", "\"attn_layer_idx\": [3]"), "attn_layer_idx: layers of attention");
  contains(reference("\"rms_norm\": true", "\"rms_norm\": false"), "rms_norm: is false, but only RMS norms");
  contains(reference("\"tie_embeddings\": true", "\"tie_embeddings\": 1"),
           "tie_embeddings: expected true or false, got 1");
  contains(reference("\"headdim\": 8", "\"headdim\": 8, \"dt_limit\": 3"), "dt_limit: expected two numbers");
  contains(reference("\"headdim\": 8", "\"headdim\": 8, \"dt_limit\": [\"a\", 3]"),
           "dt_limit[0]: expected a number, got \"a\"");
  contains(reference("\"headdim\": 8", "\"headdim\": 8, \"dt_limit\": [3, 1]"), "dt_limit");
  contains(reference("\"ngroups\": 1", "\"ngroups\": 3"), "ngroups");
  contains(hugging_face("\"num_heads\": 8", "\"num_heads\": 4"),
           "num_heads: 4 times head_dim 8 is not expand times hidden_size, 64");
  contains(hugging_face("\"head_dim\": 8", "\"head_dim\": 0"), "num_heads");
  contains(hugging_face("\"mamba2\"", "\"llama\""),
           "model_type: is \"llama\", but only these are built here: mamba2, mamba");
  contains(hugging_face("\"silu\"", "\"gelu\""), "hidden_act: is \"gelu\", but only SiLU");
}

TEST_CASE("configurations that are published are read", "[config]") {
  // As transformers wrote them: Codestral Mamba, and a conversion of mamba2-2.7b.
  const auto codestral = parse_config(
      R"({"_name_or_path": "/raid/codestral-hf-good/", "architectures": ["Mamba2ForCausalLM"], "bos_token_id": 0,
          "chunk_size": 256, "conv_kernel": 4, "eos_token_id": 0, "expand": 2, "head_dim": 64, "hidden_act": "silu",
          "hidden_size": 4096, "initializer_range": 0.1, "intermediate_size": 8192, "layer_norm_epsilon": 1e-05,
          "model_type": "mamba2", "n_groups": 8, "norm_before_gate": true, "num_heads": 128, "num_hidden_layers": 64,
          "pad_token_id": 0, "rescale_prenorm_residual": false, "residual_in_fp32": true, "rms_norm": true,
          "state_size": 128, "tie_word_embeddings": false, "time_step_floor": 0.0001, "time_step_init_scheme": "random",
          "time_step_limit": [0.0, Infinity], "time_step_max": 0.1, "time_step_min": 0.001, "time_step_rank": 256,
          "time_step_scale": 1.0, "torch_dtype": "bfloat16", "transformers_version": "4.44.0.dev0", "use_bias": false,
          "use_cache": true, "use_conv_bias": true, "vocab_size": 32768})",
      "codestral");
  CHECK(block_of(codestral).ngroups == 8);
  CHECK(!codestral.tie_embeddings);
  CHECK(parameter_count(codestral) == 7'285'403'648);
  const auto converted = parse_config(
      R"({"bos_token_id": 0, "chunk_size": 256, "conv_kernel": 4, "dtype": "float32", "eos_token_id": 0, "expand": 2,
          "head_dim": 64, "hidden_act": "silu", "hidden_size": 2560, "initializer_range": 0.1, "layer_norm_epsilon": 1e-05,
          "model_type": "mamba2", "n_groups": 1, "num_heads": 80, "num_hidden_layers": 64, "output_hidden_states": false,
          "pad_token_id": 0, "rescale_prenorm_residual": false, "residual_in_fp32": true, "rms_norm": true,
          "state_size": 128, "tie_word_embeddings": true, "time_step_floor": 0.0001,
          "time_step_limit": [0.0, {"__float__": "Infinity"}], "time_step_max": 0.1, "time_step_min": 0.001,
          "time_step_rank": "auto", "transformers_version": "5.0.0", "use_bias": false, "use_cache": true,
          "use_conv_bias": true, "vocab_size": 50288})",
      "converted");
  CHECK(parameter_count(converted) == 2'702'599'680);
}

TEST_CASE("names that libraries for training give to the same values are read", "[config]") {
  const std::string base = R"("model_type": "mamba2", "hidden_size": 12, "num_hidden_layers": 2, "vocab_size": 48,
    "head_dim": 3, "n_groups": 1, "state_size": 5, "attn": null, "fuse_norm": true, "fuse_cross_entropy": true,
    "use_l2warp": false, "initializer_range": 0.02, "hidden_dropout": 0.0, "max_position_embeddings": 2048)";
  const auto with = [&](const std::string& more) { return parse_config("{" + base + ", " + more + "}", "c"); };
  for (const char* name : {"norm_eps", "layer_norm_epsilon", "norm_epsilon", "rms_norm_eps"}) {
    const auto config = with("\"" + std::string(name) + "\": 1e-3");
    CHECK(config.norm_eps == 1e-3);
    CHECK(block_of(config).norm_eps == 1e-3);
  }
  CHECK(with("\"norm_eps\": 1e-3, \"layer_norm_epsilon\": 0.001").norm_eps == 1e-3);
  const auto other = block_of(with(R"("dt_limit": [0.25, 3.0], "dt_min": 0.01, "dt_max": 0.5, "dt_init_floor": 0.02,
    "A_init_range": [2, 9], "conv_init": 0.5, "D_has_hdim": true, "rmsnorm": false, "norm_before_gate": true)"));
  CHECK(other.dt_limit_min == 0.25);
  CHECK(other.dt_limit_max == 3);
  CHECK(other.dt_min == 0.01);
  CHECK(other.dt_max == 0.5);
  CHECK(other.dt_init_floor == 0.02);
  CHECK(other.A_init_max == 9);
  CHECK(other.conv_init == 0.5);
  CHECK(other.D_has_hdim);
  CHECK(!other.rmsnorm);
  CHECK(other.norm_before_gate);
  contains(refused_config("{" + base + R"(, "norm_eps": 1e-3, "layer_norm_epsilon": 1e-5})"),
           "norm_eps: says another thing than 'layer_norm_epsilon'");
  contains(refused_config("{" + base + R"(, "dt_limit": [0, 1], "time_step_limit": [0, 2]})"),
           "dt_limit: says another thing than 'time_step_limit'");
}

TEST_CASE("unknown keys pass if their names say nothing of what is computed, and are refused if they do", "[config]") {
  const std::string rest = hugging_face_config.substr(hugging_face_config.find('{') + 1);
  const std::string reference_rest = reference_config.substr(reference_config.find('{') + 1);
  for (const char* key : {"wandb_project", "seed", "training_steps", "batch_size", "learning_rate", "_commit_hash",
                          "auto_map", "torch_dtype", "model_size", "use_cache", "weight_decay", "warmup_steps",
                          "gradient_checkpointing", "tokenizer_class", "embedding_init_std", "max_seq_len"})
    for (const auto& text : {rest, reference_rest}) {
      CAPTURE(key);
      if (text == rest && std::string(key) == "torch_dtype") continue;  // there already
      CHECK_NOTHROW(parse_config("{\"" + std::string(key) + "\": 1, " + text, "c"));
    }
  for (const char* key :
       {"residual_scale", "norm_type", "embedding_multiplier", "rope_theta", "attn_window", "dtLimit2", "num_kv_heads",
        "mlp_ratio_dim", "logits_scaling", "quantization_config", "n_layers", "layerNormEps", "activation_fn",
        "timestep_bound", "mamba2_head_dim", "final_logit_softcap", "RMS_NORM_EPS"})
    for (const auto& text : {rest, reference_rest}) {
      contains(refused_config("{\"" + std::string(key) + "\": 1, " + text),
               std::string(key) + ": a key that is not known");
      CHECK_NOTHROW(parse_config("{\"" + std::string(key) + "\": null, " + text, "c"));  // switched off
      CHECK_NOTHROW(parse_config("{\"" + std::string(key) + "\": [], " + text, "c"));
    }
  // Options of the block at the top, and the other dialect's names.
  for (const char* key : {"d_state", "headdim", "ngroups", "dt_limit", "norm_eps", "norm_epsilon", "rmsnorm"})
    contains(refused_config("{\"" + std::string(key) + "\": 1, " + reference_rest), std::string(key) + ": a key that");
  for (const char* key : {"ssm_cfg", "d_intermediate"})
    contains(refused_config("{\"" + std::string(key) + "\": 1, " + rest), std::string(key) + ": a key that");
}

TEST_CASE("a configuration may name several tokens that end a text, in two files", "[config][directory]") {
  using Ids = std::vector<std::int64_t>;
  const auto with = [](const std::string& value) {
    return parse_config(replaced(hugging_face_config, "\"eos_token_id\": 0", "\"eos_token_id\": " + value), "c")
        .eos_token_ids;
  };
  CHECK(with("5") == Ids{5});
  CHECK(with("[5, 7, 5]") == Ids{5, 7});
  CHECK(with("[]").empty());
  CHECK(with("null").empty());
  const auto refused = [](const std::string& value) {
    return refused_config(replaced(hugging_face_config, "\"eos_token_id\": 0", "\"eos_token_id\": " + value));
  };
  contains(refused("\"5\""), "eos_token_id: expected a whole number from 0 to 623, got \"5\"");
  contains(refused("[1, -2]"), "eos_token_id[1]: expected a whole number from 0 to 623, got -2");
  contains(refused("2.5"), "eos_token_id: expected a whole number");
  contains(refused("true"), "eos_token_id: expected a whole number");
  contains(refused("{\"a\": 1}"), "eos_token_id: expected a whole number");
  contains(refused("624"), "eos_token_id: expected a whole number from 0 to 623, got 624");

  for (const auto layout : layouts()) {
    const SavedModel saved(layout);
    const fs::path file = saved.directory / "generation_config.json";
    CHECK(!fs::exists(file));
    write_file(file, R"({"eos_token_id": [4, 44], "temperature": 0.7, "do_sample": true})");
    CHECK(open_model(saved.directory.path()).config.eos_token_ids == Ids{4, 44});
    CHECK(load_language_model<float>(saved.directory.path()).config().eos_token_ids == Ids{4, 44});
    write_file(file, R"({"eos_token_id": 48})");
    contains(refused_model(saved.directory.path()),
             "generation_config.json: eos_token_id: expected a whole number from 0 to 47");
    write_file(file, "<html>");
    contains(refused_model(saved.directory.path()), "generation_config.json: is a web page");
  }
  const SavedModel saved;
  const fs::path config = saved.directory / "config.json";
  write_file(config, replaced(read_file(config), "{", "{\"eos_token_id\": 9,"));
  write_file(saved.directory / "generation_config.json", R"({"eos_token_id": [4, 9]})");
  CHECK(open_model(saved.directory.path()).config.eos_token_ids == Ids{9, 4});
}

TEST_CASE("where the rows are padded already, the tokenizer says how many tokens there are", "[directory]") {
  const SavedModel saved;
  const fs::path config = saved.directory / "config.json", tokenizer = saved.directory / "tokenizer.json";
  write_file(config, replaced(replaced(read_file(config), "\"unpadded_vocab_size\": 45,", ""),
                              "\"pad_vocab_size_multiple\": 8", "\"seed\": 1"));
  const auto read = [&](const std::string& text) {
    write_file(tokenizer, text);
    const auto found = load_language_model<float>(saved.directory.path()).config();
    CHECK(found.padded_vocab_size() == 48);
    return std::pair(found.vocab_size, found.pad_vocab_size_multiple);
  };
  CHECK(open_model(saved.directory.path()).config.vocab_size == 48);
  CHECK(read(R"({"model": {"vocab": {"a": 0, "b": 41}}, "added_tokens": [{"id": 44}]})") ==
        std::pair<std::size_t, std::size_t>(45, 4));
  CHECK(read(R"({"model": {"vocab": {"a": 0, "b": 41}}})") == std::pair<std::size_t, std::size_t>(42, 8));
  CHECK(read(R"({"model": {"vocab": {"a": 0, "b": 18}}})") == std::pair<std::size_t, std::size_t>(19, 48));
  CHECK(read(R"({"model": {"vocab": [["a", -1.5], ["b", -2]]}})").first == 2);
  CHECK(read(R"({"model": {"vocab": {"a": 0, "b": 99}}})").first == 48);
  for (const char* no_tokenizer :
       {"", "{}", "<html>", R"({"model": {"vocab": {}}})", R"({"model": {"vocab": {"a": "b"}}})"})
    CHECK(read(no_tokenizer).first == 48);
}

TEST_CASE("the golden directory of Hugging Face's layout has as many tokens as its tokenizer", "[directory]") {
  const auto config = open_model(golden_path("lm/tiny-hf")).config;
  CHECK(config.vocab_size == 623);
  CHECK(config.padded_vocab_size() == 624);
}

// Every field that can be changed, to a value that is not the one it comes with.
const std::vector<std::pair<const char*, std::function<void(LanguageModelConfig&)>>> changes = {
    {"n_layer", [](auto& c) { c.n_layer = 3; }},
    {"vocab_size", [](auto& c) { c.vocab_size = 41; }},
    {"vocab_size without padding", [](auto& c) { c.vocab_size = 48; }},
    {"pad_vocab_size_multiple", [](auto& c) { c.pad_vocab_size_multiple = 1; }},
    {"pad_vocab_size_multiple of 7", [](auto& c) { c.pad_vocab_size_multiple = 7; }},
    {"tie_embeddings", [](auto& c) { c.tie_embeddings = false; }},
    {"norm_eps", [](auto& c) { c.norm_eps = edit_block(c).norm_eps = 1e-6; }},
    {"norm_eps of the block alone", [](auto& c) { edit_block(c).norm_eps = 1e-6; }},
    {"norm_eps outside the block", [](auto& c) { c.norm_eps = 1e-6; }},
    {"d_intermediate", [](auto& c) { c.d_intermediate = 7; }},
    {"eos_token_ids", [](auto& c) { c.eos_token_ids = {3}; }},
    {"several eos_token_ids", [](auto& c) { c.eos_token_ids = {3, 1}; }},
    {"d_model", [](auto& c) { edit_block(c).d_model = 18; }},
    {"d_state", [](auto& c) { edit_block(c).d_state = 6; }},
    {"d_conv", [](auto& c) { edit_block(c).d_conv = 3; }},
    {"expand", [](auto& c) { edit_block(c).expand = 3; }},
    {"headdim", [](auto& c) { edit_block(c).headdim = 6; }},
    {"d_ssm", [](auto& c) { edit_block(c).d_ssm = 18; }},
    {"d_ssm of all channels", [](auto& c) { edit_block(c).d_ssm = 24; }},
    {"ngroups", [](auto& c) { edit_block(c).ngroups = 2; }},
    {"chunk_size", [](auto& c) { edit_block(c).chunk_size = 9; }},
    {"A_init_min", [](auto& c) { edit_block(c).A_init_min = 2; }},
    {"A_init_max", [](auto& c) { edit_block(c).A_init_max = 9; }},
    {"dt_min", [](auto& c) { edit_block(c).dt_min = 0.002; }},
    {"dt_max", [](auto& c) { edit_block(c).dt_max = 0.3; }},
    {"dt_init_floor", [](auto& c) { edit_block(c).dt_init_floor = 0.0002; }},
    {"conv_init", [](auto& c) { edit_block(c).conv_init = 0.25; }},
    {"dt_limit_min", [](auto& c) { edit_block(c).dt_limit_min = 0.01; }},
    {"dt_limit_max", [](auto& c) { edit_block(c).dt_limit_max = 4; }},
    {"D_has_hdim", [](auto& c) { edit_block(c).D_has_hdim = true; }},
    {"rmsnorm", [](auto& c) { edit_block(c).rmsnorm = false; }},
    {"norm_before_gate", [](auto& c) { edit_block(c).norm_before_gate = true; }},
    {"norm_over_all_channels", [](auto& c) { edit_block(c).norm_over_all_channels = true; }},
    {"bias", [](auto& c) { edit_block(c).bias = true; }},
    {"conv_bias", [](auto& c) { edit_block(c).conv_bias = false; }}};

TEST_CASE("a model that is saved loads with the same configuration, or is not saved", "[config][directory]") {
  std::map<CheckpointLayout, std::string> not_saved;
  for (const auto& [name, change] : changes)
    for (const auto layout : layouts()) {
      CAPTURE(name, layout == CheckpointLayout::reference);
      auto config = small_config();
      change(config);
      const TemporaryDirectory directory;
      try {
        save_language_model(LanguageModel<float>(config, 3), directory.path(), layout);
      } catch (const ValueError& error) {
        not_saved[layout] += name + "\n"s;
        CHECK(fs::is_empty(directory.path()));
        continue;
      }
      CHECK(load_language_model<float>(directory.path()).config() == config);
    }
  CHECK(not_saved[CheckpointLayout::hugging_face] ==
        "norm_eps of the block alone\nnorm_eps outside the block\nd_intermediate\nd_ssm\nd_ssm of all channels\n"
        "D_has_hdim\nrmsnorm\nnorm_before_gate\n");
  if (layouts().size() > 1)
    CHECK(not_saved[CheckpointLayout::reference] ==
          "norm_eps\nnorm_eps of the block alone\nnorm_eps outside the block\nnorm_over_all_channels\n");
}

TEST_CASE("all options at once: what config_text() writes, parse_config() reads", "[config]") {
  auto config = small_config();
  config.tie_embeddings = false;
  config.d_intermediate = 77;
  edit_block(config).d_ssm = 18;
  edit_block(config).conv_init = 0.25;
  edit_block(config).A_init_min = 2;
  edit_block(config).A_init_max = 5;
  edit_block(config).dt_min = 0.002;
  edit_block(config).dt_max = 0.3;
  edit_block(config).dt_init_floor = 0.001;
  edit_block(config).dt_limit_min = 0.01;
  edit_block(config).dt_limit_max = 4;
  edit_block(config).D_has_hdim = edit_block(config).norm_before_gate = edit_block(config).bias = true;
  edit_block(config).rmsnorm = edit_block(config).conv_bias = false;
  edit_block(config).ngroups = 2;
  CHECK(parse_config(config_text(config, CheckpointLayout::reference), "c") == config);
  contains(config_text(small_config(), CheckpointLayout::reference), "Infinity");

  auto plain = small_config();
  plain.norm_eps = edit_block(plain).norm_eps = 1e-6;
  plain.eos_token_ids = {3, 7};
  edit_block(plain).bias = edit_block(plain).norm_over_all_channels = true;
  edit_block(plain).ngroups = 4;
  edit_block(plain).A_init_max = 5;
  edit_block(plain).dt_max = 0.3;
  CHECK(parse_config(config_text(plain, CheckpointLayout::hugging_face), "c") == plain);
}

TEST_CASE("a model is not saved beside a file that names other ends of a text", "[directory]") {
  auto config = small_config();
  config.eos_token_ids = {5};
  const LanguageModel<float> model(config, 3);
  for (const auto layout : layouts()) {
    const TemporaryDirectory directory;
    save_language_model(model, directory.path(), layout);
    save_language_model(model, directory.path(), layout);  // over itself
    const std::string mine = R"({"eos_token_id": [5], "temperature": 0.5})", other = R"({"eos_token_id": [5, 6]})";
    write_file(directory / "generation_config.json", mine);
    save_language_model(model, directory.path(), layout);
    CHECK(read_file(directory / "generation_config.json") == mine);
    write_file(directory / "generation_config.json", other);
    contains(message_of<FileError>([&] { save_language_model(model, directory.path(), layout); }),
             "generation_config.json: names other tokens that end a text than the model does");
  }
}

TEST_CASE("a file that becomes shorter while it is loaded is an error, and the process goes on",
          "[directory][hostile]") {
  for (const auto layout : layouts())
    for (const auto type : {ElementType::float32, ElementType::float16}) {
      const SavedModel saved(layout);
      const fs::path path =
          saved.directory / (layout == CheckpointLayout::reference ? "pytorch_model.bin" : "model.safetensors");
      save_language_model(saved.model, saved.directory.path(), layout, type);
      contains(message_of<FileError>([&] {
                 load_language_model<float>(saved.directory.path(),
                                            [&](std::size_t, std::size_t) { fs::resize_file(path, 100); });
               }),
               path.filename().string() + ": has become shorter while it was read");
    }
}

TEST_CASE("parameters are read one by one, in any order, as a model is loaded", "[directory]") {
  const SavedModel saved;
  const ModelDirectory source = open_model(saved.directory.path());
  std::size_t last = 0;
  const auto read = parameter_source<float>(source, [&](std::size_t done, std::size_t total) {
    CHECK(done > last);
    CHECK(total == parameter_count(small_config()));
    last = done;
  });
  auto list = parameter_list(source.config);
  const auto spans = parameter_spans(saved.model.parameters());
  for (std::size_t i = list.size(); i-- > 0;) {
    std::vector<float> values(spans[i].size());
    read(list[i], values);
    CAPTURE(list[i].name);
    CHECK(std::equal(values.begin(), values.end(), spans[i].begin(), spans[i].end()));
  }
  CHECK(last == parameter_count(small_config()));
}

TEMPLATE_TEST_CASE("a model saved in either layout loads as it was", "[directory]", float, double) {
  for (const bool tied : {true, false})
    for (const auto layout : layouts()) {
      auto config = small_config();
      config.tie_embeddings = tied;
      const LanguageModel<TestType> model(config, 12);
      const TemporaryDirectory directory;
      const auto type = std::is_same_v<TestType, double> ? ElementType::float64 : ElementType::float32;
      save_language_model(model, directory / "new/model", layout, type);
      std::size_t last = 0;
      const auto again =
          load_language_model<TestType>(directory / "new/model", [&](std::size_t done, std::size_t total) {
            CHECK(done > last);
            CHECK(total == parameter_count(config));
            last = done;
          });
      CHECK(same_parameters(model, again));
      CHECK(last == parameter_count(config));
      CHECK(again.config().tie_embeddings == tied);
      save_language_model(model, directory / "new/model", layout, type);  // over itself
      std::size_t files = 0;
      for (const auto& file : fs::directory_iterator(directory / "new/model")) {
        ++files;
        CHECK(file.path().string().find("partial") == std::string::npos);
      }
      CHECK(files == 2);
    }
}

TEST_CASE("half formats lose what they must and no more", "[directory]") {
  const LanguageModel<float> model(small_config(), 13);
  for (const auto type : {ElementType::float16, ElementType::bfloat16}) {
    const TemporaryDirectory directory;
    save_language_model(model, directory.path(), CheckpointLayout::hugging_face, type);
    const auto again = load_language_model<float>(directory.path());
    const double error = relative_error(again.parameters().embedding_weight, model.parameters().embedding_weight);
    CHECK(error > 1e-6);
    CHECK(error < (type == ElementType::float16 ? 5e-4 : 4e-3));
  }
}

TEST_CASE("weights that do not fit the configuration are all reported", "[directory][hostile]") {
  const SavedModel saved;
  auto tensors = saved.tensors();
  const std::vector<float> extra = {1, 2, 3};
  tensors[0].shape = {12, 48};
  tensors[3].name = "backbone.layers.0.mixer.A_lag";
  tensors.push_back({"extra", {3}, extra});
  write_safetensors(saved.directory / "model.safetensors", tensors);
  const std::string message = refused_model(saved.directory.path());
  contains(message,
           saved.directory.path().string() + ": the weights are not those of the model that config.json describes");
  contains(message, "missing (1): backbone.layers.0.mixer.A_log");
  contains(message, "surplus (2): backbone.layers.0.mixer.A_lag, extra");
  contains(message, "misshapen (1): backbone.embedding.weight is (12, 48), should be (48, 12)");
}

TEST_CASE("a configuration that claims a huge model allocates nothing", "[directory][hostile]") {
  const SavedModel saved;
  const std::string config = read_file(saved.directory / "config.json");
  write_file(saved.directory / "config.json",
             replaced(replaced(config, "\"hidden_size\": 12", "\"hidden_size\": 16777215"), "\"num_heads\": 8,", ""));
  contains(refused_model(saved.directory.path()), "should be (48, 16777215)");
  write_file(
      saved.directory / "config.json",
      replaced(replaced(config, "\"vocab_size\": 48", "\"vocab_size\": 16000000"), "_size\": 45", "_size\": 15999995"));
  contains(refused_model(saved.directory.path()), "should be (16000000, 12)");
}

TEST_CASE("a tied head that is stored must be the embedding", "[directory]") {
  const SavedModel saved;
  auto tensors = saved.tensors();
  std::vector<float> head(tensors[0].data.begin(), tensors[0].data.end());
  tensors.push_back({"lm_head.weight", tensors[0].shape, head});
  write_safetensors(saved.directory / "model.safetensors", tensors);
  CHECK(same_parameters(load_language_model<float>(saved.directory.path()), saved.model));
  head[17] += 1;
  write_safetensors(saved.directory / "model.safetensors", tensors);
  contains(refused_model(saved.directory.path()), "their numbers differ in row 1");
}

TEST_CASE("weights split over several files are found by their index", "[directory]") {
  const SavedModel saved;
  fs::remove(saved.directory / "model.safetensors");
  const auto tensors = saved.tensors();
  for (const CheckpointFormat& format : checkpoint_formats()) {
    const std::string extension = fs::path(format.file).extension(), stem = fs::path(format.file).stem();
    std::vector<std::vector<NamedTensor<float>>> parts(3);
    nlohmann::json index;
    for (std::size_t i = 0; i < tensors.size(); ++i) {
      parts[i % 3].push_back(tensors[i]);
      index["weight_map"][tensors[i].name] = stem + "-" + std::to_string(i % 3) + extension;
    }
    for (std::size_t i = 0; i < 3; ++i) {
      const auto path = saved.directory / (stem + "-" + std::to_string(i) + extension);
      std::get<TensorWriter<float>>(format.write)(path, parts[i], ElementType::float32);
    }
    const fs::path file = saved.directory / (stem + extension + ".index.json");
    write_file(file, index.dump());
    CHECK(same_parameters(load_language_model<float>(saved.directory.path()), saved.model));
    const auto refused = [&](auto change) {
      nlohmann::json spoilt = index;
      change(spoilt);
      write_file(file, spoilt.dump());
      const std::string message = refused_model(saved.directory.path());
      write_file(file, index.dump());
      return message;
    };
    using Json = nlohmann::json;
    const std::string name = "backbone.norm_f.weight", first = tensors[0].name;
    for (const std::string& trick : {"../" + stem + "-0" + extension, "/etc/passwd"s, ".hidden"s, ""s, "a\\b"s,
                                     "sub/dir"s + extension, "nul\0byte"s})
      contains(refused([&](Json& j) { j["weight_map"][name] = trick; }), "expected the plain name of a file, got ");
    contains(refused([&](Json& j) { j["weight_map"][name] = 3; }), "weight_map." + name + ": expected a text, got 3");
    contains(refused([&](Json& j) { j["weight_map"][first] = "config.json"; }), "does not end in " + extension);
    contains(refused([&](Json& j) { j["weight_map"][first] = "missing" + extension; }),
             "missing" + extension + ": cannot be opened");
    contains(refused([&](Json& j) { j["weight_map"].erase(first); }),
             "tensor '" + first + "' is not here according to");
    contains(refused([&](Json& j) { j["weight_map"]["more"] = stem + "-0" + extension; }),
             "tensor 'more' is not in '" + stem + "-0" + extension + "'");
    contains(refused([&](Json& j) { j["weight_map"][first] = stem + "-1" + extension; }), "is not here according to");
    contains(refused([&](Json& j) { j.erase("weight_map"); }), "weight_map: missing");
    contains(refused([&](Json& j) { j["weight_map"] = Json::array(); }), "weight_map: expected an object, got []");
    fs::remove(file);
  }
}

TEST_CASE("directories without a model are refused, and nothing waits", "[directory][hostile]") {
  const TemporaryDirectory directory;
  contains(refused_model(directory / "none"), "none: is not a directory");
  contains(refused_model(directory.path()), "holds no weights (looked for model.safetensors");
  fs::create_directory(directory / "model.safetensors");
  contains(refused_model(directory.path()), "model.safetensors: is not a regular file");
  fs::remove(directory / "model.safetensors");
  REQUIRE(::mkfifo((directory / "model.safetensors").c_str(), 0600) == 0);  // a reader would wait for a writer
  contains(refused_model(directory.path()), "model.safetensors: is not a regular file");
  fs::remove(directory / "model.safetensors");
  write_file(directory / "model.safetensors", "");
  contains(refused_model(directory.path()), "model.safetensors: only 0 bytes");
  write_file(directory / "model.safetensors", little_endian(std::uint64_t{2}) + "{}");
  contains(refused_model(directory.path()), "config.json: cannot be opened");
}

TEST_CASE("a model with NaN among its weights loads, for others to report", "[directory]") {
  SavedModel saved;
  saved.model.update([](auto& p) { p.norm_f_weight(3) = std::nanf(""); });
  save_language_model(saved.model, saved.directory.path(), CheckpointLayout::hugging_face);
  CHECK(std::isnan(load_language_model<float>(saved.directory.path()).parameters().norm_f_weight(3)));
}

TEST_CASE("saving leaves the old model in place when it fails", "[directory]") {
  const SavedModel saved;
  const std::string before = read_file(saved.directory / "model.safetensors");
  LanguageModel<float> other(small_config(), 99);
  const auto save = [&](const fs::path& directory) {
    save_language_model(other, directory, CheckpointLayout::hugging_face);
  };
  write_file(saved.directory / "model.safetensors.index.json", "{}");
  contains(message_of<FileError>([&] { save(saved.directory.path()); }),
           "model.safetensors.index.json: other weights are already here");
  fs::remove(saved.directory / "model.safetensors.index.json");
  {
    NewFile file(saved.directory / "model.safetensors");
    file.write("half a file");
    CHECK(read_file(saved.directory / "model.safetensors") == before);
  }
  CHECK(read_file(saved.directory / "model.safetensors") == before);
  std::size_t files = 0;
  for ([[maybe_unused]] const auto& entry : fs::directory_iterator(saved.directory.path())) ++files;
  CHECK(files == 2);
  CHECK_THROWS_AS(save(saved.directory / "config.json"), FileError);
}

TEST_CASE("a disk that fills up while saving costs nothing", "[directory][hostile]") {
  const LanguageModel<float> other(small_config(), 99);
  for (const auto layout : layouts()) {
    const SavedModel saved(layout);
    rlimit before{};
    REQUIRE(::getrlimit(RLIMIT_FSIZE, &before) == 0);
    const auto old_handler = std::signal(SIGXFSZ, SIG_IGN);  // so that writing fails and nothing more
    const rlimit little{2000, before.rlim_max};              // bytes of a file; the weights need more
    REQUIRE(::setrlimit(RLIMIT_FSIZE, &little) == 0);
    std::string message;
    try {
      save_language_model(other, saved.directory.path(), layout);
    } catch (const FileError& error) {
      message = error.what();
    }
    ::setrlimit(RLIMIT_FSIZE, &before);
    std::signal(SIGXFSZ, old_handler);
    contains(message, "cannot be written: File too large");
    CHECK(same_parameters(load_language_model<float>(saved.directory.path()), saved.model));
    std::size_t files = 0;
    for ([[maybe_unused]] const auto& entry : fs::directory_iterator(saved.directory.path())) ++files;
    CHECK(files == 2);
  }
}

TEST_CASE("files that a signal interrupts can be removed", "[directory]") {
  const TemporaryDirectory directory;
  NewFile file(directory / "x");
  file.write("half");
  remove_unfinished_files();
  CHECK(fs::is_empty(directory.path()));
}

TEST_CASE("a layout whose weights are of a kind that is not known is not saved", "[directory]") {
  if (layouts().size() > 1) return;
  const TemporaryDirectory directory;
  CHECK(message_of<ValueError>([&] {
          save_language_model(LanguageModel<float>(small_config(), 3), directory.path(), CheckpointLayout::reference);
        }) == "layout: its weights are stored in pytorch_model.bin, a kind that is not known here");
  CHECK(fs::is_empty(directory.path()));
}
