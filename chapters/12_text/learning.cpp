// ### Making the list {#text_learn_merges}
//
// Where does the list come from? From a text and patience. What is counted are not the words of the
// text one after the other but the *different* words, each with the number of times it occurs: a
// million words of English have some thirty thousand different ones. Of two pairs that are equally
// frequent the alphabetically first is taken, so that the result never depends on chance.

//: fold One merge in one word
#include <mamba2/bpe.hpp>

#include <algorithm>
#include <map>
#include <optional>
#include <tuple>

namespace mamba2 {

namespace {

using Pair = std::pair<std::int64_t, std::int64_t>;  // of tokens

struct CountedWord {
  std::vector<std::int64_t> tokens;
  std::int64_t count;
};

/// In place of each pair, from the left, its merged token.
void merge_in(std::vector<std::int64_t>& tokens, Pair pair, std::int64_t merged) {
  std::size_t kept = 0;
  for (std::size_t i = 0; i < tokens.size(); ++i) {
    const bool both = i + 1 < tokens.size() && Pair(tokens[i], tokens[i + 1]) == pair;
    tokens[kept++] = both ? merged : tokens[i];
    if (both) ++i;
  }
  tokens.resize(kept);
}

bool contains(const std::vector<std::int64_t>& tokens, Pair pair) {
  for (std::size_t i = 0; i + 1 < tokens.size(); ++i)
    if (tokens[i] == pair.first && tokens[i + 1] == pair.second) return true;
  return false;
}

}  // namespace

// The plain way counts all pairs anew for each merge. But a merge changes few words. So the counts
// are kept: the pairs of a word that changes are taken out, and put in again when it has changed.

//: fold The learner
namespace {

class Learner {
 public:
  explicit Learner(const std::map<std::string, std::int64_t>& words) {
    for (int byte = 0; byte < 256; ++byte) names_.emplace_back(1, static_cast<char>(byte));
    for (const auto& [word, count] : words) {
      words_.push_back({{}, count});
      for (const char byte : word) words_.back().tokens.push_back(static_cast<unsigned char>(byte));
      count_pairs(words_.back(), count);
    }
  }

  /// The most frequent pair, as text; nothing if none comes twice. It is a token from now on.
  std::optional<std::pair<std::string, std::string>> learn() {
    const auto best = std::max_element(counts_.begin(), counts_.end(),
                                       [&](const auto& a, const auto& b) { return rarer(a, b); });
    if (best == counts_.end() || best->second < 2) return std::nullopt;
    const Pair pair = best->first;
    const auto merged = static_cast<std::int64_t>(names_.size());
    names_.push_back(name(pair.first) + name(pair.second));
    for (CountedWord& word : words_) {
      if (!contains(word.tokens, pair)) continue;
      count_pairs(word, -word.count);
      merge_in(word.tokens, pair, merged);
      count_pairs(word, word.count);
    }
    return std::pair(name(pair.first), name(pair.second));
  }

 private:
  const std::string& name(std::int64_t token) const { return names_[static_cast<std::size_t>(token)]; }
  void count_pairs(const CountedWord& word, std::int64_t times) {
    for (std::size_t i = 0; i + 1 < word.tokens.size(); ++i) {
      const auto place = counts_.try_emplace({word.tokens[i], word.tokens[i + 1]}, 0).first;
      if ((place->second += times) == 0) counts_.erase(place);
    }
  }
  bool rarer(const std::pair<const Pair, std::int64_t>& a,
             const std::pair<const Pair, std::int64_t>& b) const {
    if (a.second != b.second) return a.second < b.second;
    return std::tie(name(b.first.first), name(b.first.second)) <
           std::tie(name(a.first.first), name(a.first.second));
  }

  std::vector<std::string> names_;  // of tokens; the first 256 are the bytes
  std::vector<CountedWord> words_;
  std::map<Pair, std::int64_t> counts_;
};

}  // namespace

std::vector<std::pair<std::string, std::string>> learn_merges(
    const std::map<std::string, std::int64_t>& words, std::size_t most) {
  Learner learner(words);
  std::vector<std::pair<std::string, std::string>> merges;
  while (merges.size() < most) {
    const auto pair = learner.learn();
    if (!pair) break;
    merges.push_back(*pair);
  }
  return merges;
}

}  // namespace mamba2
