// Our solutions.
#include "exercises.hpp"

#include <mamba2/utf8.hpp>

#include <algorithm>
#include <cmath>
#include <numeric>

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
std::vector<double> top_p(const std::vector<double>& logits, double temperature, double p) {
  const double highest = *std::max_element(logits.begin(), logits.end());
  std::vector<double> weights;
  for (const double score : logits) weights.push_back(std::exp((score - highest) / temperature));
  const double total = std::accumulate(weights.begin(), weights.end(), 0.0);

  std::vector<std::size_t> order(logits.size());
  std::iota(order.begin(), order.end(), 0u);
  std::stable_sort(order.begin(), order.end(), [&](auto a, auto b) { return logits[a] > logits[b]; });
  std::vector<double> result(logits.size(), 0.0);
  double sum = 0, kept = 0;
  for (const std::size_t token : order) {
    if (sum >= p) break;
    result[token] = weights[token];
    sum += weights[token] / total;
    kept += weights[token];
  }
  for (double& value : result) value /= kept;
  return result;
}
//: end

//: 3
std::vector<std::string> show(const std::vector<std::string>& pieces) {
  std::vector<std::string> shown;
  std::string waiting;
  for (const std::string& piece : pieces) {
    waiting += piece;
    std::string ready;
    std::size_t at = 0;
    while (at < waiting.size()) {
      const auto character = mamba2::next_character(waiting, at);
      if (character.kind == mamba2::Utf8Character::Kind::cut_off) break;
      ready += mamba2::utf8(character.code_point);
      at += character.length;
    }
    waiting = waiting.substr(at);
    shown.push_back(ready);
  }
  shown.push_back(waiting.empty() ? "" : mamba2::utf8(0xfffd));
  return shown;
}
//: end

}  // namespace exercises
