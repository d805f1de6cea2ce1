// Options that take numbers: read strictly, refused in one way. What is out of range is a wrong use of the command, and never
// another number than the one that was written.
#pragma once

#include <CLI/CLI.hpp>

#include <cstdint>
#include <limits>
#include <string>
#include <string_view>
#include <vector>

namespace app {

// A whole number of decimal digits from least to most. Throws CLI::ValidationError, naming the option, for anything else.
std::uint64_t whole_of(const std::string& option, std::string_view text, std::uint64_t least, std::uint64_t most);

// An option that takes such a number, and leaves `number` as it is where it is not given.
template <class Whole>
CLI::Option* add_whole(CLI::App& command, const std::string& name, Whole& number, const std::string& help,
                       std::uint64_t least = 0, std::uint64_t most = std::numeric_limits<Whole>::max()) {
  const std::string option = name.substr(name.find("--"));
  return command
      .add_option_function<std::string>(
          name,
          [=, &number](const std::string& text) { number = static_cast<Whole>(whole_of(option, text, least, most)); },
          help)
      ->type_name("N");
}

// An option that takes a number from least to most; without `least_too`, least itself is refused.
CLI::Option* add_real(CLI::App& command, const std::string& name, double& number, const std::string& help, double least,
                      double most, bool least_too = true);

// The ids of "12,7,99", with commas or white space between them. Throws CLI::ValidationError, naming the option, for anything else.
std::vector<std::int64_t> ids_of(const std::string& option, std::string_view text);

// --threads N
void add_threads_option(CLI::App& command, std::size_t& threads);

}  // namespace app
