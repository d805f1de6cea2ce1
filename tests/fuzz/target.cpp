#include "target.hpp"

#include <mamba2/error.hpp>

#include <algorithm>

namespace fuzz {

namespace {

void check_message(const std::string& message) {
  const std::string begin = "'" + message.substr(0, 200) + "'";
  promise(message.find(file) != std::string::npos, "a refusal that does not name the file: " + begin);
  promise(message.size() <= 10'000, "a refusal of " + std::to_string(message.size()) + " bytes: " + begin);
  const bool printable = std::all_of(message.begin(), message.end(), [](char c) {
    return c == '\n' || (static_cast<unsigned char>(c) >= 0x20 && c != 0x7f);
  });
  promise(printable, "a refusal that would control the terminal: " + begin);
}

}  // namespace

bool accepted(Target target, std::string_view bytes, std::string* message) {
  try {
    target(bytes);
    return true;
  } catch (const mamba2::Error& error) {
    check_message(error.what());
    if (message != nullptr) *message = error.what();
    return false;
  }
}

std::map<std::string, Target>& targets() {
  static std::map<std::string, Target> all;
  return all;
}

bool add(const std::string& name, Target target) {
  return targets().emplace(name, target).second;
}

}  // namespace fuzz
