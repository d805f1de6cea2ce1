// ## A model of it {#mamba3_model}
//
// What is left for whole models is to give the mixer words in configurations, and a row in the
// table of those that can be run backwards. Both tables are choices (@chapter{language_model}),
// made anew by the files `choices/known_mixers.cpp` and `choices/known_gradients.cpp` of this
// chapter. The words are the reference's. One is ours, `A_activation`, and is written only where
// it is not the default.

//: fold Reading and writing
#include <mamba2/error.hpp>
#include <mamba2/json.hpp>
#include <mamba2/mamba3.hpp>
#include <mamba2/mixer_kinds.hpp>

#include <nlohmann/json.hpp>

#include <string>

namespace mamba2 {
namespace {

using Json = nlohmann::ordered_json;

MixerConfig read_mamba3(const JsonEntry& options, std::size_t d_model) {
  Mamba3Config block{.d_model = d_model};
  read_option(options.at("d_state"), block.d_state);
  read_option(options.at("expand"), block.expand);
  read_option(options.at("headdim"), block.headdim);
  read_option(options.at("ngroups"), block.ngroups);
  read_option(options.at("rope_fraction"), block.rope_fraction);
  read_option(options.at("dt_min"), block.dt_min);
  read_option(options.at("dt_max"), block.dt_max);
  read_option(options.at("dt_init_floor"), block.dt_init_floor);
  read_option(options.at("A_floor"), block.A_floor);
  read_option(options.at("is_outproj_norm"), block.is_outproj_norm);
  read_option(options.at("is_mimo"), block.is_mimo);
  read_option(options.at("mimo_rank"), block.mimo_rank);
  read_option(options.at("chunk_size"), block.chunk_size);
  const JsonEntry activation = options.at("A_activation");
  if (!activation.null()) {
    const std::string name = activation.text();
    if (name != "heavy_tail" && name != "softplus")
      activation.expected("\"heavy_tail\" or \"softplus\"");
    block.A_activation = name == "softplus" ? RateActivation::softplus : RateActivation::heavy_tail;
  }
  for (const char* harmless : {"layer", "device", "dtype", "dropout"}) options.at(harmless);
  for (const std::string& key : options.unasked())
    options.at(key).refuse("an option that is not known");
  return block;
}

Json write_mamba3(const MixerConfig& mixer) {
  const auto& block = mixer.as<Mamba3Config>();
  Json ssm = {{"d_state", block.d_state},
              {"expand", block.expand},
              {"headdim", block.headdim},
              {"ngroups", block.ngroups},
              {"rope_fraction", block.rope_fraction},
              {"dt_min", block.dt_min},
              {"dt_max", block.dt_max},
              {"dt_init_floor", block.dt_init_floor},
              {"A_floor", block.A_floor},
              {"is_outproj_norm", block.is_outproj_norm},
              {"is_mimo", block.is_mimo},
              {"mimo_rank", block.mimo_rank},
              {"chunk_size", block.chunk_size}};
  if (block.A_activation == RateActivation::softplus) ssm["A_activation"] = "softplus";
  return ssm;
}

}  // namespace

// Hugging Face has no model of Mamba-3, so there are no words of that dialect.

MixerKind mamba3_kind() {
  return {"Mamba3", nullptr, nullptr, read_mamba3, write_mamba3, nullptr, nullptr};
}

}  // namespace mamba2

// Two models are published that have such layers, `mamba3-siso-187m` and `mamba3-mimo-187m`: twelve
// layers of width 768, each followed by a gated MLP. From their configurations the number of
// parameters follows, without a file of weights:
//
// @output published
