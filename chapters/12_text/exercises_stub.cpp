// The exercises: replace each throw by your code, then run ./book check text
#include "exercises.hpp"

#include <exercises/not_implemented.hpp>

#include <algorithm>
#include <cmath>
#include <unordered_map>

namespace exercises {

// 1. Begin with one token for each letter. Look at all pairs of neighbours for the one that is
// first in the list; merge it; look again, until there is none.
std::vector<std::string> merge(const std::string& word,
                               const std::vector<std::pair<std::string, std::string>>& merges) {
  throw not_implemented(1);
}

// 2. Temperature divides the scores; min-p keeps the tokens that are at least p times as likely as
// the likeliest. What is left sums to 1 again.
std::pair<std::vector<double>, std::vector<double>> two_orders(const std::vector<double>& logits,
                                                               double temperature, double p) {
  throw not_implemented(2);
}

// 3. Each token costs the logarithm to base 2 of one over its probability. Divide the sum by the
// number of bytes that all these tokens stand for.
double bits_per_byte(const std::vector<std::vector<double>>& logits,
                     const std::vector<std::size_t>& next, const std::vector<std::string>& bytes) {
  throw not_implemented(3);
}

// 4. Keep what may still become the stop text until it has, or cannot any more. A stop text may
// begin in one piece and end in another.
std::vector<std::string> show(const std::vector<std::string>& pieces, const std::string& stop) {
  throw not_implemented(4);
}

// 5. Count the pairs of neighbours in all words; merge the most frequent one everywhere; again.
// Ten thousand words and three thousand merges should take a second or two.
std::vector<std::pair<std::string, std::string>> learn(const std::map<std::string, std::int64_t>& words,
                                                       std::size_t most) {
  throw not_implemented(5);
}

}  // namespace exercises
