// A pytorch_model.bin: the archive and the pickle together.
#include "tables.hpp"

#include <mamba2/pytorch_file.hpp>

FUZZ_TARGET(pytorch_file) {
  fuzz::check_table(mamba2::read_pytorch_file(mamba2::InputFile(fuzz::file, fuzz::as_bytes(bytes))), bytes.size());
}
