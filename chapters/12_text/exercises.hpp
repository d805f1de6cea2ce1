// The exercises of this chapter. The functions are declared here; you write them in exercises.cpp.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

namespace exercises {

// 1. The tokens that merging makes of a word.
//   word: letters of ASCII; merges: pairs of tokens that become one, the ones that were learnt
//     first in front
//   returns the tokens in order: as long as two neighbours are a pair of the list, the pair
//     that was learnt first is merged, and of several equal ones the leftmost
std::vector<std::string> merge(const std::string& word,
                               const std::vector<std::pair<std::string, std::string>>& merges);

// 2. The probabilities from which a token is drawn, if temperature and min-p act in one order and
// in the other.
//   logits: a score for each token; temperature: positive; p: above 0, at most 1
//   returns two lists: temperature first, min-p first; for each token its probability, 0 where it
//     is cut off
std::pair<std::vector<double>, std::vector<double>> two_orders(const std::vector<double>& logits,
                                                               double temperature, double p);

// 3. How good a model is on a text.
//   logits: for each place of the text a score for every token; next: the token that did come
//     there; bytes: for each token of the vocabulary what it stands for
//   returns bits per byte
double bits_per_byte(const std::vector<std::vector<double>>& logits,
                     const std::vector<std::size_t>& next, const std::vector<std::string>& bytes);

// 4. What a text shows that ends where a stop text begins.
//   pieces: the text as it comes; stop: not empty
//   returns one text for each piece, what is certain since it came not to belong to the stop
//     text, and one more for the end; nothing after the stop text
std::vector<std::string> show(const std::vector<std::string>& pieces, const std::string& stop);

// 5. The merges that are learnt from a text.
//   words: the different words and how often each occurs; most: how many merges
//   returns pairs of tokens, as text, in the order in which they were learnt: each time the most
//     frequent pair of neighbours, and of equally frequent ones the alphabetically first (by the
//     left token, then by the right one); it ends early where no pair comes twice
std::vector<std::pair<std::string, std::string>> learn(const std::map<std::string, std::int64_t>& words,
                                                       std::size_t most);

}  // namespace exercises
