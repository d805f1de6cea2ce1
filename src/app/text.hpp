// What the commands that handle texts share: texts and ids on the command line.
#pragma once

#include <mamba2/tokenizer.hpp>

#include <cstdint>
#include <string>
#include <vector>

namespace app {

// A text from the command line: itself, or all of standard input for "-".
std::string text_of_argument(const std::string& argument);

// The ids of "12,7,99", with commas or white space between them. Throws CLI::ValidationError, naming the option, for anything else.
std::vector<std::int64_t> ids_of_argument(const std::string& option, const std::string& argument);

}  // namespace app
