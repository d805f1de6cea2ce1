// A zip archive. Whatever is accepted has files that lie within it, one after the other.
#include "target.hpp"

#include <mamba2/zip.hpp>

FUZZ_TARGET(zip) {
  std::size_t end = 0;
  for (const auto& entry : mamba2::read_zip(mamba2::InputFile(fuzz::file, fuzz::as_bytes(bytes)))) {
    fuzz::promise(entry.offset >= end, "files that overlap");
    fuzz::promise(entry.offset <= bytes.size() && entry.size <= bytes.size() - entry.offset,
                  "a file beyond the archive");
    end = entry.offset + entry.size;
  }
}
