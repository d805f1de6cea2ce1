// The grader of this chapter.
#include "exercises.hpp"

#include <exercises/grader.hpp>
#include <mamba2/bpe.hpp>
#include <mamba2/sampling.hpp>
#include <mamba2/utf8.hpp>

#include <map>

namespace {

using Pairs = std::vector<std::pair<std::string, std::string>>;

std::string list(const std::vector<std::string>& texts) {
  std::string all;
  for (const auto& text : texts) all += (all.empty() ? "" : " | ") + text;
  return all;
}

// The bytes of a text as they can be read: e2 82 ac.
std::string hex(const std::string& bytes) {
  const char* digits = "0123456789abcdef";
  std::string text;
  for (const char c : bytes) {
    const auto byte = static_cast<unsigned char>(c);
    text += (text.empty() ? "" : " ") + std::string{digits[byte >> 4], digits[byte & 15]};
  }
  return text.empty() ? "nothing" : text;
}

// What the library makes of a word: letters and tokens get numbers, in the order in which they are
// met.
std::vector<std::string> library_merge(const std::string& word, const Pairs& merges) {
  std::map<std::string, std::int64_t> numbers;
  std::vector<std::string> names;
  const auto number = [&](const std::string& name) {
    const auto place = numbers.try_emplace(name, static_cast<std::int64_t>(names.size()));
    if (place.second) names.push_back(name);
    return place.first->second;
  };
  mamba2::MergeTable table;
  for (const auto& [left, right] : merges) table.add(number(left), number(right), number(left + right));
  std::vector<std::int64_t> letters;
  for (const char letter : word) letters.push_back(number(std::string(1, letter)));
  std::vector<std::string> tokens;
  for (const std::int64_t id : mamba2::merge_pairs(letters, table))
    tokens.push_back(names[static_cast<std::size_t>(id)]);
  return tokens;
}

void same_merge(const std::string& word, const Pairs& merges) {
  const auto want = library_merge(word, merges), yours = exercises::merge(word, merges);
  grader::expect(yours == want,
                 "'" + word + "' should become " + list(want) + ", yours is " + list(yours));
}

class Chance {
 public:
  std::size_t below(std::size_t count) {
    state_ = state_ * 6364136223846793005u + 1442695040888963407u;
    return static_cast<std::size_t>(state_ >> 33) % count;
  }

 private:
  unsigned long long state_ = 11;
};

void same_top_p(const std::vector<double>& logits, double temperature, double p) {
  auto tokens = mamba2::candidates(std::span<const double>(logits));
  mamba2::apply_temperature(tokens, temperature);
  mamba2::keep_top_p(tokens, p);
  const auto kept = mamba2::probabilities(tokens);
  std::vector<double> want(logits.size(), 0.0);
  for (std::size_t i = 0; i < tokens.size(); ++i)
    want[static_cast<std::size_t>(tokens[i].id)] = kept[i];
  grader::expect_close(
      exercises::top_p(logits, temperature, p), want,
      "probabilities at temperature " + std::to_string(temperature) + ", p " + std::to_string(p));
}

void same_show(const std::vector<std::string>& pieces) {
  std::vector<std::string> want;
  mamba2::Utf8Stream stream;
  for (const auto& piece : pieces) want.push_back(stream.push(piece));
  want.push_back(stream.finish());
  const auto yours = exercises::show(pieces);
  grader::expect(yours.size() == want.size(),
                 "for " + std::to_string(pieces.size()) + " pieces there should be " +
                     std::to_string(want.size()) + " texts, yours are " + std::to_string(yours.size()));
  for (std::size_t i = 0; i < want.size(); ++i)
    grader::expect(yours[i] == want[i],
                   (i < pieces.size() ? "after piece " + std::to_string(i + 1) + ", the bytes " +
                                            hex(pieces[i]) + ", the bytes "
                                      : "at the end the bytes ") +
                       hex(want[i]) + " should be shown, yours are " + hex(yours[i]));
}

}  // namespace

GRADE(1, "merge") {
  const Pairs few = {{"t", "h"}, {"r", "e"}, {"th", "e"}, {"e", "r"}};
  for (const char* word : {"there", "other", "three", "her", "t", "xyz", "ththere"})
    same_merge(word, few);
  same_merge("", few);
  const Pairs runs = {{"a", "a"}, {"aa", "a"}, {"b", "aa"}, {"aa", "aa"}};
  for (const char* word : {"aaa", "aaaa", "aaaaaaa", "baaab", "baaaaa"}) same_merge(word, runs);
  Chance chance;
  for (int round = 0; round < 60; ++round) {
    Pairs merges;
    std::vector<std::string> tokens = {"a", "b", "c"};
    while (merges.size() < 8) {
      const std::pair pair(tokens[chance.below(tokens.size())], tokens[chance.below(tokens.size())]);
      if (std::find(merges.begin(), merges.end(), pair) != merges.end()) continue;
      merges.push_back(pair);
      tokens.push_back(pair.first + pair.second);
    }
    std::string word;
    for (int i = 0; i < 14; ++i) word += tokens[chance.below(3)];
    same_merge(word, merges);
  }
}

GRADE(2, "top-p") {
  const std::vector<double> logits = {1.5, -0.5, 3.0, 0.0, 2.5, -2.0, 1.5, -1.0, 700.0 - 699.0};
  for (const double temperature : {1.0, 0.6, 2.5})
    for (const double p : {1.0, 0.95, 0.7, 0.5, 0.3, 0.01}) same_top_p(logits, temperature, p);
  same_top_p({800, 801, 799.5}, 1, 0.9);  // e^800 is infinite
  same_top_p({-3}, 1, 0.2);
}

GRADE(3, "never half a character") {
  same_show({"a", "\xf0", "\x9f", "\x90", "\x8d", "!"});
  same_show({"caf\xc3", "\xa9 \xe2\x82", "\xac"});
  same_show({"\xe2\x82", "x", "\xff", "y"});        // broken by what follows, and by itself
  same_show({"\xe2\x82", "\xe2\x82\xac"});          // broken by the beginning of the next
  same_show({"", "ok \xf0\x9f", ""});               // the end comes too early
  same_show({"\xed\xa0\x80", "\x80", "\xc0\xaf"});  // never the beginning of a character
  same_show({});
}
