// ## Cutting the text {#training_batches}
//
// A text of a million tokens is cut into pieces of, say, 256. A few pieces make a batch, and a
// batch makes a step. Neighbouring pieces are of one subject, and a batch from one page of the book
// would pull the model towards that page. So the pieces come in random order, once each; that is an
// *epoch*. Then comes another order.
//
// Random, but not by chance. An order that nobody can have again makes every experiment one of its
// kind, and a training that goes on after an interruption would read some pieces twice and others
// never. So the order is a *function* of two numbers, the seed and the epoch. To go on, one needs
// to know the number of the step, and nothing else.

#include <mamba2/batches.hpp>
#include <mamba2/error.hpp>
#include <mamba2/random.hpp>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <string>
#include <utility>

namespace mamba2 {

namespace {

/// Random numbers of an epoch: others for its neighbours, and for neighbouring seeds.
Random random_of(std::uint64_t seed, std::uint64_t epoch) {
  return Random(Random(seed).bits() ^ Random(~epoch).bits());
}

/// A number below `count`, which is small beside 2^53.
std::size_t below(std::size_t count, Random& random) {
  return static_cast<std::size_t>(random.uniform() * static_cast<double>(count));
}

std::vector<std::size_t> shuffled(std::size_t count, Random& random) {
  std::vector<std::size_t> order(count);
  std::iota(order.begin(), order.end(), std::size_t{0});
  for (std::size_t i = count; i > 1; --i) std::swap(order[i - 1], order[below(i, random)]);
  return order;
}

}  // namespace

std::vector<std::size_t> shuffled(std::size_t count, std::uint64_t seed, std::uint64_t epoch) {
  Random random = random_of(seed, epoch);
  return shuffled(count, random);
}

// A piece of $T$ tokens needs $T + 1$ of them, for its last token, too, is asked what comes next.
// Neighbouring pieces share that one. What does not fill a piece is left over, and to leave over
// the same tokens each time would be a pity: in each epoch the first piece begins at another place.

Batches::Batches(std::vector<std::int64_t> tokens, const BatchOptions& options)
    : tokens_(std::move(tokens)), options_(options) {
  options.check();
  const std::size_t batch = options.batch, seqlen = options.seqlen;
  const std::size_t pieces = tokens_.empty() ? 0 : (tokens_.size() - 1) / seqlen;
  per_epoch_ = pieces / batch;
  require(per_epoch_ > 0, "text",
          "at least " + std::to_string(batch * seqlen + 1) + " tokens, for a batch of " +
              std::to_string(batch) + " pieces of " + std::to_string(seqlen),
          std::to_string(tokens_.size()));
}

void Batches::begin(std::uint64_t epoch) {
  if (epoch == epoch_) return;
  Random random = random_of(options_.seed, epoch);
  const std::size_t pieces = (tokens_.size() - 1) / options_.seqlen;
  const std::size_t used = options_.in_order ? per_epoch_ * options_.batch : pieces;
  if (!options_.in_order) order_ = shuffled(pieces, random);
  offset_ = below(tokens_.size() - used * options_.seqlen, random);
  epoch_ = epoch;
}

// There is another way to read. A state space model carries all it knows of the past in a state of
// fixed size, so why begin each piece with an empty one? Cut the text into as many long stretches
// as a batch has rows, and let each row read its own stretch from the beginning to the end. Then
// each batch goes on where the last one ended, and the state can be handed over.

std::size_t Batches::piece(std::size_t row, std::uint64_t index) const {
  const auto i = static_cast<std::size_t>(index), n = static_cast<std::size_t>(per_epoch_);
  return options_.in_order ? row * n + i : order_[i * options_.batch + row];
}

Batch Batches::at(std::uint64_t step) {
  begin(step / per_epoch_);
  const std::uint64_t index = step % per_epoch_;
  const std::size_t seqlen = options_.seqlen;
  auto ids = Tensor<std::int64_t, 2>::from_shape({options_.batch, seqlen});
  Batch batch{ids, ids, options_.in_order && index > 0};
  for (std::size_t row = 0; row < options_.batch; ++row) {
    const std::int64_t* const from = tokens_.data() + offset_ + piece(row, index) * seqlen;
    std::copy_n(from, seqlen, batch.ids.data() + row * seqlen);
    std::copy_n(from + 1, seqlen, batch.targets.data() + row * seqlen);
  }
  return batch;
}

void BatchOptions::check() const {
  require(batch > 0, "batch", "at least 1", "0");
  require(seqlen > 0, "seqlen", "at least 1", "0");
}

// What does a model of the text know of texts it has not seen? To find out, the end of the text is
// kept away from training. It is one stretch, not a page here and a page there: a page whose
// neighbours were learnt by heart is hardly new. To read a long stretch quickly, it is laid in
// rows, which are read side by side.

TextParts split_text(std::vector<std::int64_t> tokens, double share) {
  require(share >= 0 && share <= 1, "validation", "a share of the text, 0 to 1", std::to_string(share));
  const auto size = static_cast<double>(tokens.size());
  const auto kept = static_cast<std::ptrdiff_t>(std::floor(size * (1 - share)));
  TextParts parts;
  parts.validation.assign(tokens.begin() + kept, tokens.end());
  tokens.resize(static_cast<std::size_t>(kept));
  parts.training = std::move(tokens);
  return parts;
}

Tensor<std::int64_t, 2> in_rows(std::span<const std::int64_t> tokens, std::size_t rows) {
  require(rows > 0, "rows", "at least 1", "0");
  auto ids = Tensor<std::int64_t, 2>::from_shape({rows, tokens.size() / rows});
  std::copy_n(tokens.begin(), ids.size(), ids.begin());
  return ids;
}

}  // namespace mamba2
