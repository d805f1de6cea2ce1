/// \file mapped_file.hpp
/// \brief A file as memory, read page by page when it is touched; and a file that appears whole or not at all. Explained in @chapter{language_model}.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>

namespace mamba2 {

/// \brief A file mapped into memory, read only.
///
/// Nothing is read until a byte is looked at; then the system fetches its page. forget() gives pages back.
class MappedFile {
 public:
  /// \brief Map a file.
  /// \param path a regular file
  /// \throws FileError if it cannot be opened or is no regular file
  explicit MappedFile(std::filesystem::path path);
  ~MappedFile();
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;

  /// \brief The file's bytes.
  /// \return all of them; valid as long as this object
  std::span<const std::byte> bytes() const { return {data_, size_}; }
  /// \brief Where it lies.
  /// \return the path as given
  const std::filesystem::path& path() const { return path_; }
  /// \brief Drop the pages that lie wholly inside a range from memory; looked at again, they are fetched again.
  /// \param offset first byte
  /// \param length number of bytes
  void forget(std::size_t offset, std::size_t length) const;

 private:
  std::filesystem::path path_;
  const std::byte* data_ = nullptr;
  std::size_t size_ = 0;
};

/// \brief Read a small text file.
/// \param path  a regular file
/// \param limit the most bytes that are read
/// \return its contents
/// \throws FileError if it cannot be read or is longer
std::string read_text_file(const std::filesystem::path& path, std::size_t limit = std::size_t{64} << 20);

/// \brief A file written aside and put in place only when it is complete.
///
/// Until commit() the path keeps what it held before. Without commit() the half-written file is removed. A link stays, and
/// what it leads to is replaced, keeping its permissions. What is no regular file, such as a pipe, a device or /dev/stdout,
/// cannot be replaced: it is written straight.
class NewFile {
 public:
  /// \brief Begin to write.
  /// \param path where the file shall appear
  /// \throws FileError if nothing can be written there
  explicit NewFile(std::filesystem::path path);
  ~NewFile();
  NewFile(const NewFile&) = delete;
  NewFile& operator=(const NewFile&) = delete;

  /// \brief Append bytes.
  /// \param bytes what to write
  /// \throws FileError if the device is full or fails
  void write(std::span<const std::byte> bytes);
  /// \brief Append text.
  /// \param text what to write
  /// \throws FileError if the device is full or fails
  void write(const std::string& text);
  /// \brief Overwrite bytes that were written before.
  /// \param offset their place
  /// \param bytes  what to write there
  /// \throws FileError if the device fails, or knows no places, as a pipe
  void overwrite(std::size_t offset, std::span<const std::byte> bytes);
  /// \brief How much has been written.
  /// \return number of bytes
  std::size_t size() const { return size_; }
  /// \brief Put the file in place, all at once.
  /// \throws FileError if it cannot be completed, or if something that is no regular file has come to stand there; what
  /// stood there before is unchanged then
  void commit();

 private:
  std::filesystem::path path_, end_, aside_;  // as given; behind all links; empty where it is written straight
  int descriptor_ = -1;
  std::size_t size_ = 0;
  int slot_ = -1;
};

/// \brief Remove what any NewFile has half written; for a handler of signals, just before the program ends.
///
/// Calls nothing but unlink(), which a signal handler may.
void remove_unfinished_files() noexcept;

}  // namespace mamba2
