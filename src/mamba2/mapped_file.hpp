/// \file mapped_file.hpp
/// \brief A file that is read piece by piece; and one that appears whole or not at all. Explained in @chapter{language_model}.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>

namespace mamba2 {

/// \brief A file that is read piece by piece, where it is asked for. What is read is copied: nothing that happens to the file later
/// changes it.
class InputFile {
 public:
  /// \brief Open a file.
  /// \param path a regular file
  /// \throws FileError if it cannot be opened or is no regular file
  explicit InputFile(std::filesystem::path path);
  /// \brief Bytes that are in memory already, to be read like a file.
  /// \param name  what messages call them
  /// \param bytes live longer than this
  InputFile(std::string name, std::span<const std::byte> bytes);
  ~InputFile();
  InputFile(const InputFile&) = delete;
  InputFile& operator=(const InputFile&) = delete;

  /// \brief Where it lies. \return the path as given
  const std::filesystem::path& path() const { return path_; }
  /// \brief How long the file was when it was opened. \return bytes
  std::size_t size() const { return size_; }
  /// \brief Read a piece.
  /// \param offset its first byte
  /// \param out    receives as many bytes as it has
  /// \throws FileError if they do not lie within the file, or the file has become shorter, or cannot be read
  void read(std::size_t offset, std::span<std::byte> out) const;
  /// \brief Read a piece as text.
  /// \param offset its first byte
  /// \param length how many
  /// \return the bytes
  /// \throws FileError as read() does
  std::string text(std::size_t offset, std::size_t length) const;

 private:
  std::filesystem::path path_;
  std::size_t size_ = 0;
  int descriptor_ = -1;
  const std::byte* memory_ = nullptr;
};

/// \brief Refuse what lies in place of a file that did not come with the others: a pointer of Git LFS, or a web page.
/// \param beginning the first bytes of the file, a hundred or more where it has so many
/// \param where     the file's name, for messages
/// \throws FileError saying what it is and what to do
void refuse_stand_in(std::string_view beginning, const std::string& where);

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
