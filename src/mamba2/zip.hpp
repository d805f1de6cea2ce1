/// \file zip.hpp
/// \brief Zip archives of uncompressed files, the container of PyTorch's checkpoints. Explained in @chapter{checkpoints}.
#pragma once

#include <mamba2/mapped_file.hpp>

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace mamba2 {

/// \brief One file inside an archive.
struct ZipEntry {
  std::string name;    ///< its path inside the archive
  std::size_t offset;  ///< where its bytes begin in the archive
  std::size_t size;    ///< how many there are
};

/// \brief Read an archive's central directory and check it against the entries themselves.
/// \param file the archive; plain or zip64
/// \return its files, in the order of their bytes
/// \throws FileError naming archive, entry or offset, and the reason: truncated, compressed, encrypted, overlapping, a name twice, a
///         local header that says another thing than the directory
std::vector<ZipEntry> read_zip(const InputFile& file);

/// \brief The check sum of zip files.
/// \param bytes what to sum up
/// \param crc   the sum of what came before
/// \return CRC-32 of all so far
std::uint32_t crc32(std::span<const std::byte> bytes, std::uint32_t crc = 0);

/// \brief Writes an archive of uncompressed files, their bytes aligned to 64.
class ZipWriter {
 public:
  /// \brief Begin an archive.
  /// \param file receives it; commit() stays with the caller
  explicit ZipWriter(NewFile& file) : file_(file) {}
  /// \brief Begin the next file.
  /// \param name its path inside the archive
  void begin(const std::string& name);
  /// \brief Append to the file begun last.
  /// \param bytes what to append
  void append(std::span<const std::byte> bytes);
  /// \brief Complete the archive: write the central directory.
  void finish();

 private:
  struct Entry {
    std::string name;
    std::size_t header;  // where its local header lies
    std::size_t size;
    std::uint32_t crc;
  };
  void end();  // completes the file begun last
  NewFile& file_;
  std::vector<Entry> entries_;
  bool open_ = false;
};

}  // namespace mamba2
