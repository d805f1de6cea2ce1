// What programs print of a file that lies: what the lie is, and what the reader says to it.
#pragma once

#include <mamba2/error.hpp>

#include <cstddef>
#include <cstdio>
#include <string>

namespace demo {

// A text in lines that fit on a page, broken at spaces, each of them indented.
inline std::string wrapped(std::string text, std::size_t width = 84, const std::string& indent = "    ") {
  text.insert(0, indent);
  for (std::size_t begin = 0; text.size() - begin > width;) {
    const std::size_t space = text.rfind(' ', begin + width);
    if (space == std::string::npos || space <= begin + indent.size()) break;
    text.replace(space, 1, "\n" + indent);
    begin = space + 1;
  }
  return text;
}

template <class Read>
void show_refusal(const char* what, Read read) {
  try {
    read();
    std::printf("%s:\n    ACCEPTED\n", what);
  } catch (const mamba2::FileError& error) {
    std::printf("%s:\n%s\n", what, wrapped(error.what()).c_str());
  }
}

}  // namespace demo
