/// \file training_checkpoint.hpp
/// \brief A training that was interrupted, in files: going on gives the same numbers, bit for bit. Explained in @chapter{training}.
#pragma once

#include <mamba2/training.hpp>

#include <cstdint>
#include <filesystem>
#include <map>
#include <span>
#include <string>

namespace mamba2 {

/// \brief All that is needed to go on.
template <class Real>
struct TrainingRun {
  TrainingState<Real> state;  ///< model, moments, number of steps
  TrainingOptions options;    ///< how it is trained
  LossWatch watch = {};       ///< what the losses were like
  double seconds = 0;         ///< time spent so far
  std::uint64_t text = 0;     ///< fingerprint() of the text's tokens
  std::map<std::string, std::string> notes =
      {};  ///< what the program wants to know again, such as the names of its files
};

/// \brief A number that other bytes would hardly have (FNV-1a, 64 bits): finds damage, not malice.
/// \param bytes any
/// \param start the fingerprint of what came before
/// \return the fingerprint
std::uint64_t fingerprint(std::span<const std::byte> bytes, std::uint64_t start = 0xcbf29ce484222325u);

/// \brief Keep a training. The old one stays until the new one is complete.
/// \param run       what to keep
/// \param directory made if it is not there; `training.json` in it names the file with the numbers, `training-STEPS.safetensors`
/// \throws FileError if something cannot be written
template <class Real>
void save_training(const TrainingRun<Real>& run, const std::filesystem::path& directory);

/// \brief Whether there is a training to go on with. \param directory where \return true if there is a `training.json`
bool has_training(const std::filesystem::path& directory);

/// \brief Go on with a training.
/// \tparam Real float or double, as it was
/// \param directory where save_training() has kept it
/// \return all that was kept, bit for bit
/// \throws FileError naming the file and the reason: missing, not what save_training() writes, damaged
template <class Real>
TrainingRun<Real> load_training(const std::filesystem::path& directory);

}  // namespace mamba2
