#include "text.hpp"

#include <CLI/CLI.hpp>

#include <algorithm>
#include <cctype>
#include <charconv>
#include <iostream>
#include <iterator>

namespace app {

std::string text_of_argument(const std::string& argument) {
  if (argument != "-") return argument;
  return {std::istreambuf_iterator<char>(std::cin), {}};
}

std::vector<std::int64_t> ids_of_argument(const std::string& option, const std::string& argument) {
  std::vector<std::int64_t> ids;
  const char* at = argument.data();
  const char* const end = at + argument.size();
  const auto separates = [](char c) { return c == ',' || std::isspace(static_cast<unsigned char>(c)) != 0; };
  while ((at = std::find_if_not(at, end, separates)) != end) {
    std::int64_t id = 0;
    const auto [next, error] = std::from_chars(at, end, id);
    if (error != std::errc() || (next != end && !separates(*next)))
      throw CLI::ValidationError(option, "expected whole numbers such as 12,7,99, got '" + argument + "'");
    ids.push_back(id);
    at = next;
  }
  return ids;
}

}  // namespace app
