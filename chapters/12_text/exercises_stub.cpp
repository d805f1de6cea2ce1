// The exercises: replace each throw by your code, then run ./book check text
#include "exercises.hpp"

#include <exercises/not_implemented.hpp>
#include <mamba2/utf8.hpp>

#include <algorithm>
#include <cmath>
#include <numeric>

namespace exercises {

// 1. Begin with one token for each letter. Look at all pairs of neighbours for the one that is
// first in the list; merge it; look again, until there is none.
std::vector<std::string> merge(const std::string& word,
                               const std::vector<std::pair<std::string, std::string>>& merges) {
  throw not_implemented(1);
}

// 2. Softmax of the scores divided by the temperature; then the likeliest tokens until they
// reach p together. What is left sums to 1 again.
std::vector<double> top_p(const std::vector<double>& logits, double temperature, double p) {
  throw not_implemented(2);
}

// 3. mamba2::next_character(bytes, at) says of a place whether a character there is whole,
// broken or cut off. What is broken is shown as U+FFFD, mamba2::utf8(0xfffd). What is cut off
// waits for the next piece.
std::vector<std::string> show(const std::vector<std::string>& pieces) {
  throw not_implemented(3);
}

}  // namespace exercises
