#include <mamba2/pytorch_file.hpp>
#include <mamba2/safetensors.hpp>

#include <array>

namespace mamba2 {

std::span<const CheckpointFormat> checkpoint_formats() {
  static const std::array formats{safetensors_format(), pytorch_format()};
  return formats;
}

}  // namespace mamba2
