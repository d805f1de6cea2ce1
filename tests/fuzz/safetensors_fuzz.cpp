// A safetensors file.
#include "tables.hpp"

#include <mamba2/safetensors.hpp>

FUZZ_TARGET(safetensors) {
  fuzz::check_table(mamba2::read_safetensors(mamba2::InputFile(fuzz::file, fuzz::as_bytes(bytes))), bytes.size());
}
