// ## Pairs become tokens {#text_pairs}
//
// Now a word is a row of bytes, and we want few tokens of it. The idea was a method of compression
// before it became one of language [@sennrich2016]. To *make* a vocabulary, take a large text and
// do this over and over: count all pairs of neighbours, take the most frequent pair, call it a new
// token, and put it in place of the pair everywhere. After fifty thousand rounds the frequent words
// are single tokens. What is kept is the list of pairs in the order in which they were made, the
// **merges**.
//
// To *use* it, do the same with the word at hand: of all pairs of neighbours, take the one that was
// learnt first, merge it, and look again. Here is a list of four merges, and two words:
//
// ::: figure merges
// Four merges, in the order in which they were learnt, and what they make of two words. `there`
// ends as two tokens; in `other` no pair of neighbours is left that is on the list.
// :::
//
// The order is everything. In `there` one could also have read `t`, `he`, `re`, had `he` been
// learnt before `th`. With the order it is never a question. And what happens at the far end of a
// word decides about its beginning, because a merge with a lower number goes first wherever it is.
// So there is no way to read a word from left to right and be done.

//: fold The table of merges
#include <mamba2/bpe.hpp>

#include <queue>
#include <tuple>

namespace mamba2 {

namespace {

std::uint64_t key(std::int64_t left, std::int64_t right) {
  return static_cast<std::uint64_t>(left) << 32 | static_cast<std::uint64_t>(right);
}

}  // namespace

bool MergeTable::add(std::int64_t left, std::int64_t right, std::int64_t merged) {
  return merges_.try_emplace(key(left, right), Merge{merges_.size(), merged}).second;
}

const MergeTable::Merge* MergeTable::find(std::int64_t left, std::int64_t right) const {
  const auto place = merges_.find(key(left, right));
  return place == merges_.end() ? nullptr : &place->second;
}

// The plain way looks at all pairs for each merge: for a word of $n$ letters, $n$ times $n$ looks.
// For English words that is nothing. But a "word" is whatever the rule of the last section did not
// cut, and a megabyte of the letter `a` is one word. A quadratic loop would sit over it for days.
//
// So the pairs wait in a queue, the lowest rank in front, and of equal ranks the leftmost. The word
// is a chain, in which each token knows its neighbours: to merge two of them takes a few
// assignments, and makes at most two new pairs. Pairs that no longer exist stay in the queue, and
// are recognised when they come to the front: the tokens at their place are not what they were.
// With at most $3n$ entries in the queue, the whole takes time $n \log n$.

//: fold The chain and the queue
namespace {

struct Link {  // of the chain; the tokens that are left of a word
  std::int64_t token;
  std::size_t previous, next;  // places in the chain; none at its ends
};
constexpr auto none = static_cast<std::size_t>(-1);

struct Waiting {
  std::size_t rank, place;  // of the left one of the pair
  std::int64_t left, right;
  bool operator>(const Waiting& other) const {
    return std::tie(rank, place) > std::tie(other.rank, other.place);
  }
};

class Word {
 public:
  Word(const std::vector<std::int64_t>& tokens, const MergeTable& table) : table_(table) {
    for (std::size_t i = 0; i < tokens.size(); ++i)
      chain_.push_back({tokens[i], i == 0 ? none : i - 1, i + 1 == tokens.size() ? none : i + 1});
    for (std::size_t i = 0; i < tokens.size(); ++i) wait_for(i);
  }
  void merge() {
    while (!queue_.empty()) {
      const Waiting pair = queue_.top();
      queue_.pop();
      if (still_there(pair)) merge(pair);
    }
  }
  std::vector<std::int64_t> tokens() const {
    std::vector<std::int64_t> tokens;
    for (std::size_t i = chain_.empty() ? none : 0; i != none; i = chain_[i].next)
      tokens.push_back(chain_[i].token);
    return tokens;
  }

 private:
  // Put the pair that begins here into the queue, if there is one and it may be merged.
  void wait_for(std::size_t place) {
    if (place == none || chain_[place].next == none) return;
    const std::int64_t left = chain_[place].token, right = chain_[chain_[place].next].token;
    if (const auto* merge = table_.find(left, right)) queue_.push({merge->rank, place, left, right});
  }
  bool still_there(const Waiting& pair) const {
    const Link& link = chain_[pair.place];
    return link.token == pair.left && link.next != none && chain_[link.next].token == pair.right;
  }
  void merge(const Waiting& pair) {
    Link& link = chain_[pair.place];
    Link& gone = chain_[link.next];
    link.token = table_.find(pair.left, pair.right)->token;
    link.next = gone.next;
    if (gone.next != none) chain_[gone.next].previous = pair.place;
    gone.token = -1;  // no pair in the queue begins with it any more
    wait_for(link.previous);
    wait_for(pair.place);
  }

  const MergeTable& table_;
  std::vector<Link> chain_;
  std::priority_queue<Waiting, std::vector<Waiting>, std::greater<>> queue_;
};

}  // namespace

std::vector<std::int64_t> merge_pairs(const std::vector<std::int64_t>& tokens,
                                      const MergeTable& table) {
  Word word(tokens, table);
  word.merge();
  return word.tokens();
}

}  // namespace mamba2
