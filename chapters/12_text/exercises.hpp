// The exercises of this chapter.
#pragma once

#include <cstddef>
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

// 2. The probabilities from which a token is drawn: temperature first, then top-p.
//   logits: a score for each token; temperature: positive; p: above 0, at most 1
//   returns for each token its probability, 0 where it is cut off; of equally likely tokens
//     those with lower numbers are kept first
std::vector<double> top_p(const std::vector<double>& logits, double temperature, double p);

// 3. What a stream of bytes shows.
//   pieces: bytes, which together should be UTF-8
//   returns one text for each piece, the characters that are whole (or broken beyond repair)
//     since it came, and one more for the end
std::vector<std::string> show(const std::vector<std::string>& pieces);

}  // namespace exercises
