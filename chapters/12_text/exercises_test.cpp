// The grader of this chapter.
#include "exercises.hpp"

#include <exercises/grader.hpp>
#include <mamba2/bpe.hpp>
#include <mamba2/cross_entropy.hpp>
#include <mamba2/generation.hpp>
#include <mamba2/sampling.hpp>
#include <mamba2/tokenizer.hpp>

#include <fstream>
#include <iterator>
#include <map>
#include <set>

namespace {

using Pairs = std::vector<std::pair<std::string, std::string>>;

std::string list(const std::vector<std::string>& texts) {
  std::string all;
  for (const auto& text : texts) all += (all.empty() ? "" : " | ") + text;
  return all;
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

void same_orders(const std::vector<double>& logits, double temperature, double p) {
  const auto probabilities = [&](bool temperature_first) {
    auto tokens = mamba2::candidates(std::span<const double>(logits));
    if (temperature_first) mamba2::apply_temperature(tokens, temperature);
    mamba2::keep_min_p(tokens, p);
    if (!temperature_first) mamba2::apply_temperature(tokens, temperature);
    const auto kept = mamba2::probabilities(tokens);
    std::vector<double> all(logits.size(), 0.0);
    for (std::size_t i = 0; i < tokens.size(); ++i)
      all[static_cast<std::size_t>(tokens[i].id)] = kept[i];
    return all;
  };
  const auto [first, second] = exercises::two_orders(logits, temperature, p);
  const std::string at = " at temperature " + std::to_string(temperature) + ", p " + std::to_string(p);
  grader::expect_close(first, probabilities(true), "temperature first: probabilities" + at);
  grader::expect_close(second, probabilities(false), "min-p first: probabilities" + at);
}

void same_show(const std::vector<std::string>& pieces, const std::string& stop) {
  mamba2::StopTexts library({stop});
  std::vector<std::string> want;
  for (const auto& piece : pieces) want.push_back(library.push(piece));
  want.push_back(library.finish());
  const auto yours = exercises::show(pieces, stop);
  grader::expect(yours.size() == want.size(),
                 "for " + std::to_string(pieces.size()) + " pieces there should be " +
                     std::to_string(want.size()) + " texts, yours are " + std::to_string(yours.size()));
  std::string so_far;
  for (std::size_t i = 0; i < want.size(); ++i) {
    if (i < pieces.size()) so_far += (i == 0 ? "'" : "', '") + pieces[i];
    grader::expect_equal(yours[i], want[i],
                         "stop text '" + stop + "', after the pieces " + so_far + "'" +
                             (i < pieces.size() ? "" : ", at the end") + ", what is shown");
  }
}

using Words = std::map<std::string, std::int64_t>;

std::string text_of(const Pairs& merges) {
  std::string text;
  for (const auto& [left, right] : merges) text += "'" + left + "' + '" + right + "'\n";
  return text;
}

void same_learn(const Words& words, std::size_t most) {
  const Pairs want = mamba2::learn_merges(words, most), yours = exercises::learn(words, most);
  for (std::size_t i = 0; i < std::min(want.size(), yours.size()); ++i)
    grader::expect_equal(text_of({yours[i]}), text_of({want[i]}), "merge " + std::to_string(i + 1));
  grader::expect_close(yours.size(), want.size(), "how many merges are learnt");
}

}  // namespace

GRADE(1, "merge") {
  const Pairs few = {{"t", "h"}, {"r", "e"}, {"th", "e"}, {"e", "r"}};
  for (const char* word : {"there", "other", "three", "her", "t", "xyz", "ththere"})
    same_merge(word, few);
  same_merge("", few);
  const Pairs runs = {{"a", "a"}, {"aa", "a"}, {"b", "aa"}, {"aa", "aa"}};
  for (const char* word : {"aaa", "aaaa", "aaaaaaa", "baaab", "baaaaa"}) same_merge(word, runs);
  // Learnt in one order, possible in another: after a merge all of the list has to be looked at.
  const Pairs turned = {{"ab", "c"}, {"a", "b"}, {"c", "abc"}, {"b", "abc"}};
  for (const char* word : {"abc", "cabc", "abcab", "babccabc"}) same_merge(word, turned);
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

GRADE(2, "two orders") {
  const std::vector<double> logits = {1.5, -0.5, 3.1, 0.2, 2.5, -2.0, 1.4, -1.0};
  for (const double temperature : {1.0, 0.4, 2.5})
    for (const double p : {1.0, 0.61, 0.3, 0.07, 0.004}) same_orders(logits, temperature, p);
  same_orders({800, 801, 799.5}, 1.5, 0.3);  // e^800 is infinite
  same_orders({-3}, 2, 0.2);
}

GRADE(3, "bits per byte") {
  const std::vector<std::string> bytes = {"a", " the", "\u00e9", "\n", "ing", " \u00e9t\u00e9"};
  Chance chance;
  for (const std::size_t length : {1u, 7u, 40u})
    for (const double shift : {0.0, 800.0, -900.0}) {
      auto logits = mamba2::Tensor<double, 3>::from_shape({1, length, bytes.size()});
      auto targets = mamba2::Tensor<std::int64_t, 2>::from_shape({1, length});
      std::vector<std::vector<double>> rows(length);
      std::vector<std::size_t> next;
      std::size_t size = 0;
      for (std::size_t t = 0; t < length; ++t) {
        for (std::size_t v = 0; v < bytes.size(); ++v)
          rows[t].push_back(logits(0, t, v) = shift + 0.01 * static_cast<double>(chance.below(700)));
        next.push_back(chance.below(bytes.size()));
        targets(0, t) = static_cast<std::int64_t>(next.back());
        size += bytes[next.back()].size();
      }
      grader::expect_close(exercises::bits_per_byte(rows, next, bytes),
                           mamba2::cross_entropy(logits, targets).bits_per_byte(size),
                           "bits per byte of a text of " + std::to_string(length) + " tokens");
    }
}

GRADE(4, "stop texts across tokens") {
  same_show({"Paris", ".", "\n", "Quest", "ion", ": who"}, "\nQuestion:");
  same_show({"a ", "Quest", " for the ", "Question", "", "s: none"}, "Question:");
  same_show({"aa", "a", "b", "c"}, "aab");  // one that begins within another beginning
  same_show({"so far", "###", " nothing", " more"}, "##");
  same_show({"ends with #"}, "##");
  same_show({}, "x");
  Chance chance;
  for (int round = 0; round < 300; ++round) {
    std::string stop = "a";
    for (std::size_t i = chance.below(4); i > 0; --i) stop += chance.below(2) == 0 ? 'a' : 'b';
    std::vector<std::string> pieces(6);
    for (std::string& piece : pieces)
      for (std::size_t i = chance.below(4); i > 0; --i) piece += chance.below(2) == 0 ? 'a' : 'b';
    same_show(pieces, stop);
  }
}

GRADE(5, "learn merges: small texts") {
  same_learn({{"hug", 10}, {"pug", 5}, {"pun", 12}, {"bun", 4}, {"hugs", 5}}, 10);
  same_learn({{"aaaa", 3}, {"aaa", 1}, {"baaa", 2}}, 10);     // a pair that overlaps with itself
  same_learn({{"ab", 2}, {"cd", 2}, {"b", 9}, {"", 4}}, 10);  // equally frequent ones; no pair at all
  same_learn({{"once", 1}}, 10);
  Chance chance;
  for (int round = 0; round < 20; ++round) {
    Words words;
    while (words.size() < 12) {
      std::string word;
      for (std::size_t i = 1 + chance.below(9); i > 0; --i)
        word += static_cast<char>('a' + chance.below(4));
      words[word] = 1 + static_cast<std::int64_t>(chance.below(5));
    }
    same_learn(words, 30);
  }
}

GRADE(5, "learn merges: ten thousand words") {
  grader::if_too_slow(
      "right for small texts, but a merge changes few words: do not count all pairs again each time");
  Words words;
  Chance chance;
  std::vector<std::string> parts;
  for (int i = 0; i < 400; ++i) {
    std::string part;
    for (std::size_t k = 2 + chance.below(3); k > 0; --k)
      part += static_cast<char>('a' + chance.below(26));
    parts.push_back(part);
  }
  while (words.size() < 10000) {
    std::string word;
    for (std::size_t k = 2 + chance.below(3); k > 0; --k) word += parts[chance.below(parts.size())];
    words[word] = 1 + static_cast<std::int64_t>(chance.below(30));
  }
  const Pairs yours = exercises::learn(words, 3000), want = mamba2::learn_merges(words, 40);
  grader::expect_close(yours.size(), std::size_t{3000}, "how many merges are learnt");
  for (std::size_t i = 0; i < want.size(); ++i)
    grader::expect_equal(text_of({yours[i]}), text_of({want[i]}), "merge " + std::to_string(i + 1));
  for (std::size_t i = 1; i < yours.size(); ++i)
    grader::expect(yours[i] != yours[i - 1], "a pair is learnt twice: " + text_of({yours[i]}));
}

GRADE(5, "learn merges: this chapter") {
  std::string path = __FILE__;
  path.replace(path.rfind('/') + 1, std::string::npos, "text.cpp");
  std::ifstream file(path);
  const std::string text{std::istreambuf_iterator<char>(file), {}};
  Words words;
  for (const std::string_view word : mamba2::split_words(text)) ++words[std::string(word)];
  const Pairs yours = exercises::learn(words, 300);
  grader::expect_equal(text_of(yours), text_of(mamba2::learn_merges(words, 300)),
                       "the merges of this chapter's first page");
  if (yours.size() < 300) return;
  std::size_t tokens = 0;
  for (const auto& [word, count] : words)
    tokens += library_merge(word, yours).size() * static_cast<std::size_t>(count);
  std::string longest;
  for (std::size_t i = 0; i < yours.size(); ++i) {
    const std::string token = yours[i].first + yours[i].second;
    if (token.size() > 6) longest += " '" + token + "'";
  }
  grader::show("From the first page of this chapter your 300 merges make " + std::to_string(tokens) +
               " tokens of its " + std::to_string(text.size()) + " bytes. The longest tokens:\n" +
               longest);
}
