// The text that the small models of chapter `training` learn: a nursery rhyme that grows by a line with each verse.
#pragma once

#include <demo/demo.hpp>

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace demo {

//: rhyme
inline constexpr std::array lines{"the house that Jack built",
                                  "the malt that lay in",
                                  "the rat that ate",
                                  "the cat that killed",
                                  "the dog that worried",
                                  "the cow with the crumpled horn that tossed",
                                  "the maiden all forlorn that milked",
                                  "the man all tattered and torn that kissed",
                                  "the priest all shaven and shorn that married",
                                  "the cock that crowed in the morn that woke",
                                  "the farmer sowing his corn that kept"};

inline std::string rhyme() {
  std::string text;
  for (std::size_t verse = 0; verse < lines.size(); ++verse) {
    text += "This is";
    for (std::size_t line = verse + 1; line-- > 0;) text += std::string(" ") + lines[line];
    text += ".\n";
  }
  return text;
}
//: end

// A token for each byte, below 128.
inline std::vector<std::int64_t> tokens_of(const std::string& text) {
  return {text.begin(), text.end()};
}
inline std::string text_of(const std::vector<std::int64_t>& tokens) {
  std::string text;
  for (const std::int64_t token : tokens) text += static_cast<char>(token);
  return visible(std::move(text));
}

}  // namespace demo
