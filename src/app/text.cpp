#include "text.hpp"

#include <mamba2/error.hpp>

#include <filesystem>
#include <fstream>
#include <iostream>
#include <iterator>

#include <unistd.h>

namespace app {

std::string text_of_argument(const std::string& argument) {
  if (argument != "-") return argument;
  return {std::istreambuf_iterator<char>(std::cin), {}};
}

std::string text_of_file(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) throw mamba2::FileError(path + ": cannot be opened");
  if (std::filesystem::is_directory(path)) throw mamba2::FileError(path + ": is a directory");
  std::string text{std::istreambuf_iterator<char>(file), {}};
  if (file.bad()) throw mamba2::FileError(path + ": cannot be read");
  return text;
}

std::string without_last_newline(std::string text) {
  if (text.ends_with('\n')) text.pop_back();
  if (text.ends_with('\r')) text.pop_back();
  return text;
}

namespace {

// Control characters as pictures, those of the second set (U+0080 to U+009F) as U+FFFD; line breaks and tabs stay.
std::string without_controls(std::string_view text) {
  std::string shown;
  for (std::size_t at = 0; at < text.size();) {
    const mamba2::Utf8Character character = mamba2::next_character(text, at);
    std::uint32_t code = character.code_point;
    if (code < 0x20 && code != '\n' && code != '\t') code += 0x2400;
    if (code == 0x7f) code = 0x2421;
    if (code >= 0x80 && code < 0xa0) code = 0xfffd;
    shown += mamba2::utf8(code);
    at += character.length;
  }
  return shown;
}

void require_directory(const std::string& directory) {
  if (!std::filesystem::is_directory(directory)) throw mamba2::FileError(directory + ": is not a directory");
}

}  // namespace

void show(std::string_view text) {
  static const bool terminal = ::isatty(STDOUT_FILENO) != 0;
  terminal ? std::cout << without_controls(text) : std::cout << text;
}

mamba2::Tokenizer tokenizer_of(const std::string& directory) {
  require_directory(directory);
  return mamba2::load_tokenizer(directory);
}

std::optional<mamba2::Tokenizer> tokenizer_if_any(const std::string& directory) {
  require_directory(directory);
  if (!std::filesystem::exists(std::filesystem::path(directory) / "tokenizer.json")) return std::nullopt;
  return mamba2::load_tokenizer(directory);
}

}  // namespace app
