// ### The words of each mixer {#language_model_mixer_kinds}
//
// What a layer is built of has words of its own in each dialect. They are kept apart from the rest
// of the file, in a table with a row for each kind of mixer:
//
// @quote src/mamba2/mixer_kinds.hpp#kind
//
// Which rows the table has is a choice that later chapters make anew when they bring a mixer
// (`choices/known_mixers.cpp`). These are the words of Mamba-2, first the reference's:

#include <mamba2/error.hpp>
#include <mamba2/mixer_kinds.hpp>
#include <mamba2/mixers.hpp>

#include <nlohmann/json.hpp>

#include <cmath>
#include <string>

namespace mamba2 {
namespace {

using namespace std::string_literals;
using Json = nlohmann::ordered_json;

void refuse_others(const JsonEntry& options) {
  for (const char* harmless : {"layer", "device", "dtype"}) options.at(harmless);
  for (const std::string& key : options.unasked())
    options.at(key).refuse("an option that is not known");
}

// In the reference's file all options have the names that they have here.

//: fold Reading
Json limits(double low, double high) {  // an infinite limit is written in words
  Json pair = {low, high};
  if (std::isinf(high)) pair[1] = "Infinity";
  return pair;
}

MixerConfig read_mamba2(const JsonEntry& options, std::size_t d_model) {
  Mamba2Config block{.d_model = d_model};
  read_option(options.at("d_state"), block.d_state);
  read_option(options.at("d_conv"), block.d_conv);
  read_option(options.at("conv_init"), block.conv_init);
  read_option(options.at("expand"), block.expand);
  read_option(options.at("headdim"), block.headdim);
  read_option(options.at("d_ssm"), block.d_ssm);
  read_option(options.at("ngroups"), block.ngroups);
  read_option(options.at("A_init_range"), block.A_init_min, block.A_init_max);
  read_option(options.at("D_has_hdim"), block.D_has_hdim);
  read_option(options.at("rmsnorm"), block.rmsnorm);
  read_option(options.at("norm_before_gate"), block.norm_before_gate);
  read_option(options.at("dt_min"), block.dt_min);
  read_option(options.at("dt_max"), block.dt_max);
  read_option(options.at("dt_init_floor"), block.dt_init_floor);
  read_option(options.at("dt_limit"), block.dt_limit_min, block.dt_limit_max);
  read_option(options.at("bias"), block.bias);
  read_option(options.at("conv_bias"), block.conv_bias);
  read_option(options.at("chunk_size"), block.chunk_size);
  options.at("use_mem_eff_path");
  refuse_others(options);
  return block;
}

// And back. What this file cannot say is refused.

//: fold Writing
Json write_mamba2(const MixerConfig& mixer) {
  const auto& block = mixer.as<Mamba2Config>();
  const char* layout = " in the reference's layout";
  require(block.norm_eps == 1e-5, "norm_eps", "1e-5"s + layout, Json(block.norm_eps).dump());
  require(!block.norm_over_all_channels, "norm_over_all_channels", "false"s + layout, "true");
  Json ssm = {{"d_state", block.d_state},
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
  return ssm;
}

// Then Hugging Face's. One key is a trap: `norm_before_gate`. Conversions write `true` or `false`,
// but Hugging Face's code multiplies by the gate first, whatever the file says. We do what that
// code does. Only where the file has `rmsnorm` as well was it written by code that means it.

//: fold Reading
MixerConfig read_hugging_face_mamba2(const JsonEntry& file, std::size_t d_model, double norm_eps) {
  Mamba2Config block{.d_model = d_model, .ngroups = 8, .norm_eps = norm_eps};
  read_option(file.at("state_size"), block.d_state);
  read_option(file.at("conv_kernel"), block.d_conv);
  read_option(file.at("expand"), block.expand);
  read_option(file.at("head_dim"), block.headdim);
  read_option(file.at("n_groups"), block.ngroups);
  read_option(file.at("use_bias"), block.bias);
  read_option(file.at("use_conv_bias"), block.conv_bias);
  read_option(file.at("chunk_size"), block.chunk_size);
  read_option(one_of(file, {"time_step_limit", "dt_limit"}), block.dt_limit_min, block.dt_limit_max);
  read_option(one_of(file, {"time_step_min", "dt_min"}), block.dt_min);
  read_option(one_of(file, {"time_step_max", "dt_max"}), block.dt_max);
  read_option(one_of(file, {"time_step_floor", "dt_init_floor"}), block.dt_init_floor);
  read_option(one_of(file, {"A_init_range", "A_initializer_range"}), block.A_init_min,
              block.A_init_max);
  read_option(one_of(file, {"conv_init", "conv_initializer_range"}), block.conv_init);
  read_option(file.at("D_has_hdim"), block.D_has_hdim);
  read_option(file.at("norm_over_all_channels"), block.norm_over_all_channels);
  read_option(file.at("rmsnorm"), block.rmsnorm);
  if (!file.at("rmsnorm").null()) read_option(file.at("norm_before_gate"), block.norm_before_gate);
  const std::size_t d_inner = block.expand * block.d_model;
  std::size_t nheads = 0;
  read_option(file.at("num_heads"), nheads);
  if (nheads != 0 && (block.headdim == 0 || nheads != d_inner / block.headdim))
    file.at("num_heads")
        .refuse(std::to_string(nheads) + " times head_dim " + std::to_string(block.headdim) +
                " is not expand times hidden_size, " + std::to_string(d_inner));
  check_intermediate_size(file, d_inner);
  return block;
}

// And back:

//: fold What cannot be said
void require_hugging_face_words(const Mamba2Config& block, double norm_eps) {
  const char* layout = " in Hugging Face's layout";
  require(block.d_ssm == 0, "d_ssm", "0, all channels,"s + layout, std::to_string(block.d_ssm));
  require(!block.D_has_hdim, "D_has_hdim", "false"s + layout, "true");
  require(block.rmsnorm, "rmsnorm", "true"s + layout, "false");
  require(!block.norm_before_gate, "norm_before_gate", "false"s + layout, "true");
  require(block.norm_eps == norm_eps, "norm_eps", "the same for all norms"s + layout,
          Json(block.norm_eps).dump() + " in the block and " + Json(norm_eps).dump());
}

// What it can say is written under its own names.

//: fold Writing
void write_hugging_face_mamba2(const MixerConfig& mixer, double norm_eps, Json& file) {
  const Mamba2Config &block = mixer.as<Mamba2Config>(), usual;
  require_hugging_face_words(block, norm_eps);
  file.update({{"state_size", block.d_state},
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
               {"use_bias", block.bias},
               {"use_conv_bias", block.conv_bias},
               {"norm_before_gate", false}});
  if (block.norm_over_all_channels) file["norm_over_all_channels"] = true;  // as their code does
  if (block.A_init_min != usual.A_init_min || block.A_init_max != usual.A_init_max)
    file["A_init_range"] = {block.A_init_min, block.A_init_max};
  if (block.conv_init > 0) file["conv_init"] = block.conv_init;
}

}  // namespace

MixerKind mamba2_kind() {
  return {"Mamba2",
          "mamba2",
          "Mamba2ForCausalLM",
          read_mamba2,
          write_mamba2,
          read_hugging_face_mamba2,
          write_hugging_face_mamba2};
}

// And Mamba-1's. The width of the bottleneck may be written as `"auto"`.

//: fold Words of their own
namespace {

void read_rank(const JsonEntry& entry, std::size_t& rank) {
  if (entry.null() || entry.value() == "auto") return;
  read_option(entry, rank);
  if (rank == 0) entry.expected("at least 1 or \"auto\"");
}

void read_scheme(const JsonEntry& entry, bool& constant) {
  if (entry.null()) return;
  const std::string scheme = entry.text();
  if (scheme != "random" && scheme != "constant") entry.expected("\"random\" or \"constant\"");
  constant = scheme == "constant";
}

Json rank_json(const Mamba1Config& block) {
  return block.dt_rank == 0 ? Json("auto") : Json(block.dt_rank);
}

// Then as before: read and write in the one dialect,

//: fold Reading and writing
MixerConfig read_mamba1(const JsonEntry& options, std::size_t d_model) {
  Mamba1Config block{.d_model = d_model};
  read_option(options.at("d_state"), block.d_state);
  read_option(options.at("d_conv"), block.d_conv);
  read_option(options.at("expand"), block.expand);
  read_rank(options.at("dt_rank"), block.dt_rank);
  read_option(options.at("dt_min"), block.dt_min);
  read_option(options.at("dt_max"), block.dt_max);
  read_scheme(options.at("dt_init"), block.dt_init_constant);
  read_option(options.at("dt_scale"), block.dt_scale);
  read_option(options.at("dt_init_floor"), block.dt_init_floor);
  read_option(options.at("bias"), block.bias);
  read_option(options.at("conv_bias"), block.conv_bias);
  options.at("use_fast_path");
  refuse_others(options);
  return block;
}

Json write_mamba1(const MixerConfig& mixer) {
  const auto& block = mixer.as<Mamba1Config>();
  return {{"d_state", block.d_state},
          {"d_conv", block.d_conv},
          {"expand", block.expand},
          {"dt_rank", rank_json(block)},
          {"dt_min", block.dt_min},
          {"dt_max", block.dt_max},
          {"dt_init", block.dt_init_constant ? "constant" : "random"},
          {"dt_scale", block.dt_scale},
          {"dt_init_floor", block.dt_init_floor},
          {"bias", block.bias},
          {"conv_bias", block.conv_bias}};
}

// and in the other.

//: fold Reading
MixerConfig read_hugging_face_mamba1(const JsonEntry& file, std::size_t d_model, double) {
  Mamba1Config block{.d_model = d_model};
  read_option(file.at("state_size"), block.d_state);
  read_option(file.at("conv_kernel"), block.d_conv);
  read_option(file.at("expand"), block.expand);
  read_rank(file.at("time_step_rank"), block.dt_rank);
  read_option(one_of(file, {"time_step_min", "dt_min"}), block.dt_min);
  read_option(one_of(file, {"time_step_max", "dt_max"}), block.dt_max);
  read_scheme(file.at("time_step_init_scheme"), block.dt_init_constant);
  read_option(file.at("time_step_scale"), block.dt_scale);
  read_option(one_of(file, {"time_step_floor", "dt_init_floor"}), block.dt_init_floor);
  read_option(file.at("use_bias"), block.bias);
  read_option(file.at("use_conv_bias"), block.conv_bias);
  check_intermediate_size(file, block.d_inner());
  return block;
}

// The last of the four.

//: fold Writing
void write_hugging_face_mamba1(const MixerConfig& mixer, double, Json& file) {
  const auto& block = mixer.as<Mamba1Config>();
  file.update({{"state_size", block.d_state},
               {"conv_kernel", block.d_conv},
               {"expand", block.expand},
               {"intermediate_size", block.d_inner()},
               {"time_step_rank", rank_json(block)},
               {"time_step_min", block.dt_min},
               {"time_step_max", block.dt_max},
               {"time_step_init_scheme", block.dt_init_constant ? "constant" : "random"},
               {"time_step_scale", block.dt_scale},
               {"time_step_floor", block.dt_init_floor},
               {"use_bias", block.bias},
               {"use_conv_bias", block.conv_bias}});
}

}  // namespace

MixerKind mamba1_kind() {
  return {"Mamba1",
          "mamba",
          "MambaForCausalLM",
          read_mamba1,
          write_mamba1,
          read_hugging_face_mamba1,
          write_hugging_face_mamba1};
}

}  // namespace mamba2
