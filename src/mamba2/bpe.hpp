/// \file bpe.hpp
/// \brief Byte-pair encoding: neighbours become one token, the oldest pairs first. Explained in @chapter{text}.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

namespace mamba2 {

/// \brief Which pairs of tokens become one, in the order in which they were learnt.
class MergeTable {
 public:
  /// \brief What a pair becomes.
  struct Merge {
    std::size_t rank;    ///< when it was learnt; lower goes first
    std::int64_t token;  ///< what the two become
  };
  /// \brief Learn a pair, after all others.
  /// \param left   the first token, below 2^32
  /// \param right  the second token, below 2^32
  /// \param merged what the two become
  /// \return false if the pair was known already; then nothing changes
  bool add(std::int64_t left, std::int64_t right, std::int64_t merged);
  /// \brief Look for a pair. \param left the first token \param right the second token
  /// \return what they become, or nullptr
  const Merge* find(std::int64_t left, std::int64_t right) const;
  /// \brief How many pairs there are. \return their number
  std::size_t size() const { return merges_.size(); }

 private:
  std::unordered_map<std::uint64_t, Merge> merges_;  // by left * 2^32 + right
};

/// \brief Merge until no pair of neighbours is in the table: each time the pair of lowest rank, of equal ones the leftmost.
/// \param tokens the letters of a word
/// \param table  what may be merged
/// \return the tokens of the word; for n letters in time n log n
std::vector<std::int64_t> merge_pairs(const std::vector<std::int64_t>& tokens, const MergeTable& table);

/// \brief Learn which pairs to merge: again and again the most frequent pair of neighbours becomes a token; of equally frequent
/// ones the alphabetically first.
/// \param words the different words of a text and how often each occurs; pairs do not reach from word to word
/// \param most  how many merges
/// \return the pairs, as bytes, in the order in which they were learnt; fewer than asked for where no pair is left that comes twice
std::vector<std::pair<std::string, std::string>> learn_merges(const std::map<std::string, std::int64_t>& words,
                                                              std::size_t most);

}  // namespace mamba2
