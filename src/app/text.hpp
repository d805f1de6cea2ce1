// What the commands that handle texts share: texts in, texts out, and the tokenizer in between.
#pragma once

#include <mamba2/tokenizer.hpp>

#include <optional>
#include <string>
#include <string_view>

namespace app {

// A text from the command line: itself, or all of standard input for "-".
std::string text_of_argument(const std::string& argument);

// All that a file holds, of whatever kind it is: a pipe and a device, too. Throws mamba2::FileError if it cannot be read.
std::string text_of_file(const std::string& path);

// A text without the end of its last line, which belongs to the file and not to the text.
std::string without_last_newline(std::string text);

// A text on standard output. A terminal gets no characters that would control it: they come as pictures, such as U+241B for
// escape. What is no terminal gets the text as it is.
void show(std::string_view text);

// The tokenizer of a model's directory. Throws mamba2::FileError if there is no such directory, or no tokenizer in it.
mamba2::Tokenizer tokenizer_of(const std::string& directory);
// The same where there is one, else nothing.
std::optional<mamba2::Tokenizer> tokenizer_if_any(const std::string& directory);

}  // namespace app
