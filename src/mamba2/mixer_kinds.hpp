/// \file mixer_kinds.hpp
/// \brief The words of each kind of mixer in configurations, read and written. Explained in @chapter{language_model}.
#pragma once

#include <mamba2/json.hpp>
#include <mamba2/mixer_config.hpp>

#include <nlohmann/json_fwd.hpp>

#include <cstddef>
#include <initializer_list>
#include <span>

namespace mamba2 {

//: kind
/// \brief The words of one kind of mixer in configurations.
struct MixerKind {
  const char* layer;       ///< what the reference calls such a layer, such as "Mamba2"; as MixerTraits::name
  const char* model_type;  ///< what Hugging Face calls a model of such layers, such as "mamba2"; null where it has none
  const char* architecture;  ///< what it calls its class, such as "Mamba2ForCausalLM"; null likewise

  /// \brief From the reference's `ssm_cfg`. \param options its keys \param d_model width of the model \return the options
  MixerConfig (*read_reference)(const JsonEntry& options, std::size_t d_model);
  /// \brief To the reference's `ssm_cfg`, without `layer`. \param mixer of this kind \return its keys
  nlohmann::ordered_json (*write_reference)(const MixerConfig& mixer);
  /// \brief From Hugging Face's file. \param file its keys \param d_model width of the model \param norm_eps of all norms
  /// \return the options
  MixerConfig (*read_hugging_face)(const JsonEntry& file, std::size_t d_model, double norm_eps);
  /// \brief To Hugging Face's file. \param mixer of this kind \param norm_eps of all norms \param file receives keys
  void (*write_hugging_face)(const MixerConfig& mixer, double norm_eps, nlohmann::ordered_json& file);
};
//: end

/// \brief The kinds that can be read and written.
/// \return a table that lives as long as the program; the last chapter that adds a kind defines it
std::span<const MixerKind> mixer_kinds();

/// \brief Blocks of Mamba-2. \return their words
MixerKind mamba2_kind();
/// \brief Blocks of Mamba-1. \return their words
MixerKind mamba1_kind();

/// \brief What a key says is taken over; where it is missing or null, the default stays.
/// \param entry of a file \param size receives a number of at most 2^24
void read_option(const JsonEntry& entry, std::size_t& size);
/// \copydoc read_option(const JsonEntry&,std::size_t&)
void read_option(const JsonEntry& entry, bool& size);
/// \copydoc read_option(const JsonEntry&,std::size_t&)
void read_option(const JsonEntry& entry, double& size);
/// \brief The same for a pair. \param entry of a file \param low receives the first number \param high the second
void read_option(const JsonEntry& entry, double& low, double& high);

/// \brief A value that goes by several names. \param file the object \param names any of them
/// \return the entry, null where there is none \throws FileError for two that say different things
JsonEntry one_of(const JsonEntry& file, std::initializer_list<const char*> names);

/// \brief Refuse an `intermediate_size` that is not expand times hidden_size.
/// \param file Hugging Face's \param d_inner expand times hidden_size \throws FileError if it disagrees
void check_intermediate_size(const JsonEntry& file, std::size_t d_inner);

}  // namespace mamba2
