#include "numbers.hpp"

#include <mamba2/error.hpp>
#include <mamba2/parallel.hpp>

#include <algorithm>
#include <cctype>
#include <charconv>
#include <cmath>
#include <cstdio>

namespace app {

namespace {

[[noreturn]] void refuse(const std::string& option, const std::string& expected, std::string_view text) {
  constexpr std::size_t most = 40;  // of what came, that much is shown
  const std::string got = mamba2::presentable(std::string(text.substr(0, most)));
  throw CLI::ValidationError(option, "expected " + expected + ", got '" + got + (text.size() > most ? "...'" : "'"));
}

std::string written(double value) {
  char text[32];
  std::snprintf(text, sizeof text, "%g", value);
  return text;
}

// The number that is all of a text.
template <class Number>
bool read(std::string_view text, Number& number) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  return error == std::errc() && end == text.data() + text.size();
}

}  // namespace

std::uint64_t whole_of(const std::string& option, std::string_view text, std::uint64_t least, std::uint64_t most) {
  std::uint64_t number = 0;
  if (!read(text, number) || number < least || number > most)
    refuse(option, "a whole number from " + std::to_string(least) + " to " + std::to_string(most), text);
  return number;
}

CLI::Option* add_real(CLI::App& command, const std::string& name, double& number, const std::string& help, double least,
                      double most, bool least_too) {
  const std::string option = name.substr(name.find("--"));
  const auto take = [=, &number](const std::string& text) {
    double value = 0;
    const bool inside = read(text, value) && (least_too ? value >= least : value > least) && value <= most;
    const std::string range = least_too ? "from " + written(least) + " to " : "above " + written(least) + ", at most ";
    if (!inside) refuse(option, "a number " + range + written(most), text);
    number = value;
  };
  return command.add_option_function<std::string>(name, take, help)->type_name("X");
}

std::vector<std::int64_t> ids_of(const std::string& option, std::string_view text) {
  std::vector<std::int64_t> ids;
  const auto separates = [](char c) { return c == ',' || std::isspace(static_cast<unsigned char>(c)) != 0; };
  auto at = text.begin();
  while ((at = std::find_if_not(at, text.end(), separates)) != text.end()) {
    const auto next = std::find_if(at, text.end(), separates);
    std::int64_t id = 0;
    if (!read(std::string_view(at, next), id)) refuse(option, "whole numbers such as 12,7,99", text);
    ids.push_back(id);
    at = next;
  }
  return ids;
}

void add_threads_option(CLI::App& command, std::size_t& threads) {
  add_whole(command, "--threads", threads, "How many threads compute; as many as processors\nunless told", 1, 1024);
}

}  // namespace app
