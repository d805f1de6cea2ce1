// Batches: every piece once an epoch, an order that can be had again, rows that go on.
#include <mamba2/batches.hpp>
#include <mamba2/error.hpp>
#include <support/testing.hpp>

#include <numeric>
#include <set>

using namespace mamba2;
using namespace testing;

namespace {

// The text 0, 1, 2, ...: a token says where it stands.
std::vector<std::int64_t> counting(std::size_t length) {
  std::vector<std::int64_t> tokens(length);
  std::iota(tokens.begin(), tokens.end(), 0);
  return tokens;
}

// The first token of each row.
std::vector<std::int64_t> begins(const Batch& batch) {
  std::vector<std::int64_t> list;
  for (std::size_t row = 0; row < batch.ids.shape(0); ++row) list.push_back(batch.ids(row, 0));
  return list;
}

}  // namespace

TEST_CASE("an order holds each number once, and is a function of seed and epoch", "[batches]") {
  const auto order = shuffled(1000, 3, 5);
  CHECK(std::set<std::size_t>(order.begin(), order.end()).size() == 1000);
  CHECK(*std::max_element(order.begin(), order.end()) == 999);
  CHECK(shuffled(1000, 3, 5) == order);
  CHECK(shuffled(1000, 3, 6) != order);
  CHECK(shuffled(1000, 4, 5) != order);
  CHECK(shuffled(1000, 5, 3) != order);
  CHECK(shuffled(0, 1, 1).empty());
  CHECK(shuffled(5, 0, 0) == shuffled(5, 0, 0));
}

TEST_CASE("every number comes at every place about equally often", "[batches]") {
  const std::size_t epochs = 3000, count = 5;
  std::vector<std::size_t> times(count * count, 0);
  for (std::size_t epoch = 0; epoch < epochs; ++epoch) {
    const auto order = shuffled(count, 9, epoch);
    for (std::size_t i = 0; i < count; ++i) ++times[i * count + order[i]];
  }
  for (const std::size_t n : times) CHECK(std::abs(static_cast<double>(n) - 600.0) < 5 * std::sqrt(600.0 * 0.8));
}

TEST_CASE("an epoch reads each piece once, with the token after each", "[batches]") {
  const std::size_t length = 7 * 11 + 5;  // 11 pieces of 7, 3 batches of 3 of them
  Batches batches(counting(length), {.batch = 3, .seqlen = 7, .seed = 2});
  REQUIRE(batches.per_epoch() == 3);
  std::set<std::int64_t> starts;
  for (std::uint64_t epoch = 0; epoch < 40; ++epoch) {
    std::set<std::int64_t> seen, residues;
    for (std::uint64_t i = 0; i < 3; ++i) {
      const Batch batch = batches.at(epoch * 3 + i);
      CHECK_FALSE(batch.continues);
      REQUIRE(batch.ids.shape() == std::array<std::size_t, 2>{3, 7});
      for (std::size_t k = 0; k < batch.ids.size(); ++k) {
        CHECK(batch.targets.data()[k] == batch.ids.data()[k] + 1);
        CHECK(batch.targets.data()[k] < static_cast<std::int64_t>(length));
      }
      for (const std::int64_t at : begins(batch)) {
        seen.insert(at);
        residues.insert(at % 7);
      }
    }
    CHECK(seen.size() == 9);
    CHECK(residues.size() == 1);
    starts.insert(residues.begin(), residues.end());
  }
  CHECK(starts == std::set<std::int64_t>{0, 1, 2, 3, 4});
}

TEST_CASE("a batch depends on the step alone, whatever was asked before", "[batches]") {
  for (const bool in_order : {false, true}) {
    const BatchOptions options{.batch = 2, .seqlen = 5, .seed = 7, .in_order = in_order};
    Batches one(counting(64), options), other(counting(64), options);
    std::vector<Batch> list;
    for (std::uint64_t step = 0; step < 30; ++step) list.push_back(one.at(step));
    for (std::uint64_t step = 30; step-- > 0;) {
      const Batch batch = other.at(step);
      CHECK(same(batch.ids, list[step].ids));
      CHECK(same(batch.targets, list[step].targets));
      CHECK(batch.continues == list[step].continues);
    }
    Batches third(counting(64), {.batch = 2, .seqlen = 5, .seed = 8, .in_order = in_order});
    CHECK_FALSE(same(third.at(0).ids, list[0].ids));
  }
}

TEST_CASE("in order, each row goes on where it ended", "[batches]") {
  Batches batches(counting(101), {.batch = 3, .seqlen = 6, .seed = 1, .in_order = true});
  REQUIRE(batches.per_epoch() == 5);
  std::set<std::int64_t> seen;
  for (std::uint64_t step = 0; step < 5; ++step) {
    const Batch batch = batches.at(step);
    CHECK(batch.continues == (step > 0));
    for (std::size_t row = 0; row < 3; ++row) {
      seen.insert(batch.ids(row, 0));
      CHECK(batch.targets(row, 5) < 101);
      if (step > 0) CHECK(batch.ids(row, 0) == batches.at(step - 1).targets(row, 5));
    }
  }
  CHECK(seen.size() == 15);
  CHECK_FALSE(batches.at(5).continues);
}

TEST_CASE("the shortest text that makes a batch, and one that is too short", "[batches]") {
  Batches batches(counting(13), {.batch = 3, .seqlen = 4});
  CHECK(batches.per_epoch() == 1);
  CHECK_NOTHROW(batches.at(5));
  CHECK(message_of<ValueError>([] { Batches(counting(12), {.batch = 3, .seqlen = 4}); }) ==
        "text: expected at least 13 tokens, for a batch of 3 pieces of 4, got 12");
  CHECK_THROWS_AS(Batches({}, {.batch = 3, .seqlen = 4}), ValueError);
  CHECK_THROWS_AS(Batches(counting(12), {.batch = 0}), ValueError);
  CHECK_THROWS_AS(Batches(counting(12), {.seqlen = 0}), ValueError);
}

TEST_CASE("the end of a text is kept for validation, and laid in rows", "[batches]") {
  const TextParts parts = split_text(counting(1115394), 0.1);
  CHECK(parts.training.size() == 1003854);
  CHECK(parts.validation.size() == 111540);
  CHECK(parts.validation.front() == 1003854);
  CHECK(split_text(counting(7), 0).validation.empty());
  CHECK(split_text(counting(7), 1).training.empty());
  CHECK_THROWS_AS(split_text(counting(7), 1.1), ValueError);
  CHECK_THROWS_AS(split_text(counting(7), -0.1), ValueError);
  const auto rows = in_rows(parts.training, 7);
  CHECK(rows.shape() == std::array<std::size_t, 2>{7, 143407});
  CHECK(rows(3, 5) == 3 * 143407 + 5);
  CHECK_THROWS_AS(in_rows(parts.training, 0), ValueError);
}
