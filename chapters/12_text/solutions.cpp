// Our solutions.
#include "exercises.hpp"

#include <algorithm>
#include <cmath>
#include <unordered_map>

namespace exercises {

//: 1
std::vector<std::string> merge(const std::string& word,
                               const std::vector<std::pair<std::string, std::string>>& merges) {
  std::vector<std::string> tokens;
  for (const char letter : word) tokens.emplace_back(1, letter);
  for (;;) {
    std::size_t best = merges.size(), place = 0;
    for (std::size_t i = 0; i + 1 < tokens.size(); ++i) {
      const auto found = std::find(merges.begin(), merges.end(), std::pair(tokens[i], tokens[i + 1]));
      const auto rank = static_cast<std::size_t>(found - merges.begin());
      if (rank < best) {
        best = rank;
        place = i;
      }
    }
    if (best == merges.size()) return tokens;
    tokens[place] += tokens[place + 1];
    tokens.erase(tokens.begin() + static_cast<std::ptrdiff_t>(place) + 1);
  }
}
//: end

//: 2
std::pair<std::vector<double>, std::vector<double>> two_orders(const std::vector<double>& logits,
                                                               double temperature, double p) {
  const double highest = *std::max_element(logits.begin(), logits.end());
  const auto drawn_from = [&](double lowest) {  // of the scores, measured from the highest
    std::vector<double> result(logits.size(), 0.0);
    double sum = 0;
    for (std::size_t v = 0; v < logits.size(); ++v)
      if (logits[v] - highest >= lowest)
        sum += result[v] = std::exp((logits[v] - highest) / temperature);
    for (double& value : result) value /= sum;
    return result;
  };
  // After the temperature p is asked of s / T, before it of s.
  return {drawn_from(temperature * std::log(p)), drawn_from(std::log(p))};
}
//: end

//: 3
double bits_per_byte(const std::vector<std::vector<double>>& logits,
                     const std::vector<std::size_t>& next, const std::vector<std::string>& bytes) {
  double nats = 0, size = 0;
  for (std::size_t t = 0; t < next.size(); ++t) {
    const double highest = *std::max_element(logits[t].begin(), logits[t].end());
    double sum = 0;
    for (const double score : logits[t]) sum += std::exp(score - highest);
    nats += std::log(sum) + highest - logits[t][next[t]];
    size += static_cast<double>(bytes[next[t]].size());
  }
  return nats / std::log(2.0) / size;
}
//: end

//: 4
std::vector<std::string> show(const std::vector<std::string>& pieces, const std::string& stop) {
  std::vector<std::string> shown;
  std::string held;  // may be the beginning of the stop text
  bool found = false;
  for (const std::string& piece : pieces) {
    if (!found) held += piece;
    std::size_t certain = held.find(stop);
    if (certain != std::string::npos) {
      found = true;
      held.resize(certain);
    } else {
      std::size_t begun = std::min(held.size(), stop.size() - 1);
      while (!held.ends_with(stop.substr(0, begun))) --begun;
      certain = held.size() - begun;
    }
    shown.push_back(held.substr(0, certain));
    held.erase(0, certain);
  }
  shown.push_back(held);
  return shown;
}
//: end

//: 5
namespace {

using Tokens = std::vector<std::uint64_t>;

class Learner {
 public:
  explicit Learner(const std::map<std::string, std::int64_t>& words) {
    for (int byte = 0; byte < 256; ++byte) names_.emplace_back(1, static_cast<char>(byte));
    for (const auto& [word, count] : words) {
      Tokens tokens;
      for (const char byte : word) tokens.push_back(static_cast<unsigned char>(byte));
      words_.push_back(tokens);
      times_.push_back(count);
      add(words_.size() - 1, 1);
    }
  }

  bool learn(std::vector<std::pair<std::string, std::string>>& merges) {
    const auto best = std::max_element(pairs_.begin(), pairs_.end(), [&](const auto& a, const auto& b) {
      if (a.second.count != b.second.count) return a.second.count < b.second.count;
      return names_of(a.first) > names_of(b.first);
    });
    if (best == pairs_.end() || best->second.count < 2) return false;
    const std::uint64_t pair = best->first;
    merges.push_back(names_of(pair));
    names_.push_back(merges.back().first + merges.back().second);
    const auto touched = best->second.words;  // a word may stand there that has the pair no more
    for (const std::size_t word : touched) {
      const Tokens merged = merge(words_[word], pair);
      if (merged == words_[word]) continue;
      add(word, -1);
      words_[word] = merged;
      add(word, 1);
    }
    return true;
  }

 private:
  struct Counted {
    std::int64_t count = 0;
    std::vector<std::size_t> words;  // in which the pair occurs, each once or several times
  };

  std::pair<std::string, std::string> names_of(std::uint64_t pair) const {
    return {names_[pair >> 32], names_[pair & 0xffffffff]};
  }
  void add(std::size_t word, std::int64_t sign) {
    for (std::size_t i = 0; i + 1 < words_[word].size(); ++i) {
      const std::uint64_t pair = words_[word][i] << 32 | words_[word][i + 1];
      Counted& counted = pairs_[pair];
      auto& in = counted.words;
      if (sign > 0 && (in.empty() || in.back() != word)) in.push_back(word);
      if ((counted.count += sign * times_[word]) == 0) pairs_.erase(pair);
    }
  }
  Tokens merge(const Tokens& tokens, std::uint64_t pair) const {
    Tokens merged;
    for (std::size_t i = 0; i < tokens.size(); ++i) {
      const bool both = i + 1 < tokens.size() && (tokens[i] << 32 | tokens[i + 1]) == pair;
      merged.push_back(both ? names_.size() - 1 : tokens[i]);
      if (both) ++i;
    }
    return merged;
  }

  std::vector<std::string> names_;  // of tokens; the first 256 are the bytes
  std::vector<Tokens> words_;
  std::vector<std::int64_t> times_;  // that each word occurs
  std::unordered_map<std::uint64_t, Counted>
      pairs_;  // left token in the upper half, right in the lower
};

}  // namespace

std::vector<std::pair<std::string, std::string>> learn(const std::map<std::string, std::int64_t>& words,
                                                       std::size_t most) {
  Learner learner(words);
  std::vector<std::pair<std::string, std::string>> merges;
  while (merges.size() < most && learner.learn(merges)) continue;
  return merges;
}
//: end

}  // namespace exercises
