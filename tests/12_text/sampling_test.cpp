// Sampling: each filter against the definition, what is drawn against exact probabilities, options that make no sense.
#include <mamba2/sampling.hpp>
#include <support/testing.hpp>

#include <functional>
#include <map>
#include <numeric>

using namespace mamba2;
using namespace testing;
using Ids = std::vector<std::int64_t>;

namespace {

const std::vector<double> eight = {1.5, -0.5, 3.0, 0.0, 2.5, -2.0, 1.5, -1.0};
constexpr double infinity = std::numeric_limits<double>::infinity();

std::vector<Candidate> all(const std::vector<double>& logits) {
  return candidates(std::span<const double>(logits));
}

std::vector<double> softmax(std::vector<double> scores) {
  double sum = 0;
  for (double& s : scores) sum += s = std::exp(s);
  for (double& s : scores) s /= sum;
  return scores;
}

// Probabilities of all tokens after the whole chain, by its definition: a full sort, and zeros for what is out.
std::vector<double> expected(std::vector<double> s, const SamplingOptions& o, const Ids& seen = {}) {
  for (std::size_t v = 0; v < s.size(); ++v)
    if (std::find(seen.begin(), seen.end(), static_cast<std::int64_t>(v)) != seen.end())
      s[v] = s[v] < 0 ? s[v] * o.repetition_penalty : s[v] / o.repetition_penalty;
  for (double& v : s) v /= o.temperature;
  std::vector<std::size_t> order(s.size());
  std::iota(order.begin(), order.end(), 0u);
  std::stable_sort(order.begin(), order.end(), [&](auto a, auto b) { return s[a] > s[b]; });
  for (std::size_t i = 0; i < s.size(); ++i)
    if (o.top_k != 0 && i >= o.top_k) s[order[i]] = -infinity;
  auto p = softmax(s);
  double before = 0;
  for (std::size_t i = 0; i < s.size(); ++i) {
    if (before >= o.top_p) s[order[i]] = -infinity;
    before += p[order[i]];
  }
  p = softmax(s);
  const double most = *std::max_element(p.begin(), p.end());
  for (std::size_t v = 0; v < s.size(); ++v)
    if (p[v] < o.min_p * most) s[v] = -infinity;
  return softmax(s);
}

// How far counts are from what probabilities say, in standard deviations of chi-square's distribution (mean k, variance 2 k).
double surprise(const std::vector<std::size_t>& counts, const std::vector<double>& p) {
  double total = 0, chi_square = 0, freedom = -1;
  for (const std::size_t count : counts) total += static_cast<double>(count);
  for (std::size_t v = 0; v < p.size(); ++v) {
    if (p[v] == 0 && counts[v] > 0) return infinity;
    if (p[v] == 0) continue;
    const double want = total * p[v], difference = static_cast<double>(counts[v]) - want;
    chi_square += difference * difference / want;
    ++freedom;
  }
  return freedom == 0 ? 0 : (chi_square - freedom) / std::sqrt(2 * freedom);
}

std::vector<std::size_t> counts(const std::vector<double>& logits, const SamplingOptions& options,
                                const Ids& seen = {}) {
  std::vector<std::size_t> result(logits.size(), 0);
  for (std::uint64_t seed = 0; seed < 200; ++seed) {
    for (std::uint64_t i = 0; i < 100; ++i) {  // a new sampler for each: what it chose would count as seen
      Sampler sampler(options, 1000 * seed + i);
      sampler.saw(seen);
      ++result[static_cast<std::size_t>(sampler.choose(std::span<const double>(logits)))];
    }
  }
  return result;
}

Ids ids_of(const std::vector<Candidate>& tokens) {
  Ids ids;
  for (const auto& token : tokens) ids.push_back(token.id);
  std::sort(ids.begin(), ids.end());
  return ids;
}

}  // namespace

TEST_CASE("what is drawn has the probabilities of its definition", "[sampling]") {
  const Ids seen = {2, 5, 2, 77};
  const std::vector<SamplingOptions> options = {
      {},
      {.temperature = 0.5},
      {.temperature = 2},
      {.top_k = 3},
      {.top_p = 0.7},
      {.min_p = 0.2},
      {.repetition_penalty = 1.8},
      {.temperature = 1.4, .top_k = 6, .top_p = 0.9, .min_p = 0.1, .repetition_penalty = 0.7},
      {.temperature = 0.8, .top_k = 5, .top_p = 0.8, .min_p = 0.05, .repetition_penalty = 1.3}};
  for (std::size_t i = 0; i < options.size(); ++i) {
    CAPTURE(i);
    const auto got = counts(eight, options[i], seen);
    CHECK(surprise(got, expected(eight, options[i], seen)) < 4);
    // The test can tell: what other options would have given is far off.
    const auto& other = options[(i + 1) % options.size()];
    CHECK(surprise(got, expected(eight, other, seen)) > 10);
  }
}

TEST_CASE("each filter keeps what its definition keeps", "[sampling]") {
  const auto kept = [](const std::function<void(std::vector<Candidate>&)>& filter) {
    auto tokens = all(eight);
    filter(tokens);
    return ids_of(tokens);
  };
  CHECK(kept([](auto& t) { keep_top_k(t, 3); }) == Ids{0, 2, 4});  // of 0 and 6, equally likely, the first
  CHECK(kept([](auto& t) { keep_top_k(t, 4); }) == Ids{0, 2, 4, 6});
  CHECK(kept([](auto& t) { keep_top_k(t, 0); }).size() == 8);
  CHECK(kept([](auto& t) { keep_top_k(t, 100); }).size() == 8);
  const auto p = softmax(eight);
  CHECK(kept([&](auto& t) { keep_top_p(t, p[2] - 1e-9); }) == Ids{2});
  CHECK(kept([&](auto& t) { keep_top_p(t, p[2] + 1e-9); }) == Ids{2, 4});  // the one that crosses is in
  CHECK(kept([&](auto& t) { keep_top_p(t, p[2] + p[4] + 1e-9); }) == Ids{0, 2, 4});
  CHECK(kept([](auto& t) { keep_top_p(t, 1e-300); }) == Ids{2});
  CHECK(kept([](auto& t) { keep_top_p(t, 1); }).size() == 8);
  CHECK(kept([](auto& t) { keep_min_p(t, std::exp(-1.5) - 1e-9); }) == Ids{0, 2, 4, 6});
  CHECK(kept([](auto& t) { keep_min_p(t, std::exp(-1.5) + 1e-9); }) == Ids{2, 4});
  CHECK(kept([](auto& t) { keep_min_p(t, 1); }) == Ids{2});
  CHECK(kept([](auto& t) { keep_min_p(t, 0); }).size() == 8);
  auto tokens = all(eight);
  penalize_repetition(tokens, {1, 2, 99}, 2);
  CHECK(tokens[1].score == -1);
  CHECK(tokens[2].score == 1.5);
  CHECK(tokens[0].score == 1.5);
}

TEST_CASE("temperature 0 takes the highest score, and ends of the range do no harm", "[sampling]") {
  Sampler greedy({.temperature = 0}, 1);
  CHECK(greedy.choose(std::span<const double>(eight)) == 2);
  const std::vector<float> tied = {1, 3, 3, 2};
  CHECK(greedy.choose(std::span<const float>(tied)) == 1);
  Sampler avoiding({.temperature = 0, .repetition_penalty = 5}, 1);
  CHECK(avoiding.choose(std::span<const double>(eight)) == 2);
  CHECK(avoiding.choose(std::span<const double>(eight)) == 4);  // 2 was chosen, and is seen from now on
  for (const double temperature : {1e-300, 1e-3}) {
    Sampler cold({.temperature = temperature, .top_p = 0.9}, 1);
    for (int i = 0; i < 50; ++i) CHECK(cold.choose(std::span<const double>(eight)) == 2);
  }
  const std::vector<double> huge = {1e300, -1e300, 1e300};
  std::map<std::int64_t, int> seen;
  Sampler warm({.temperature = 1e300}, 3);
  for (int i = 0; i < 100; ++i) ++seen[warm.choose(std::span<const double>(huge))];
  CHECK(seen.size() >= 2);
}

TEST_CASE("the same seed chooses the same tokens", "[sampling]") {
  const auto chosen = [](std::uint64_t seed) {
    Sampler sampler({}, seed);
    Ids ids;
    for (int i = 0; i < 40; ++i) ids.push_back(sampler.choose(std::span<const double>(eight)));
    return ids;
  };
  CHECK(chosen(7) == chosen(7));
  CHECK(chosen(7) != chosen(8));
}

TEST_CASE("scores that are no numbers are refused with the token", "[sampling][hostile]") {
  const auto refused = [](std::vector<double> logits) { return message_of<ValueError>([&] { all(logits); }); };
  CHECK(refused({1, std::nan(""), 2}) == "logits: expected numbers, got NaN for token 1; are the weights sound?");
  CHECK(refused({1, 0, infinity}) == "logits: expected numbers, got infinity for token 2; are the weights sound?");
  CHECK(refused({-infinity, -infinity}) == "logits: expected a score above -infinity, got none");
  CHECK(refused({}) == "logits: expected a score above -infinity, got none");
  CHECK(ids_of(all({1, -infinity, 2})) == Ids{0, 2});
}

TEST_CASE("options that make no sense are refused by name", "[sampling][hostile]") {
  const auto refused = [](const SamplingOptions& options) {
    return message_of<ValueError>([&] { Sampler(options, 0); });
  };
  const double nan = std::nan("");
  CHECK(refused({.temperature = -0.5}) == "temperature: expected 0 or a positive number, got -0.5");
  CHECK(refused({.temperature = nan}) == "temperature: expected 0 or a positive number, got nan");
  CHECK(refused({.temperature = infinity}) == "temperature: expected 0 or a positive number, got inf");
  CHECK(refused({.top_p = 0}) == "top_p: expected above 0, at most 1, got 0");
  CHECK(refused({.top_p = 1.5}) == "top_p: expected above 0, at most 1, got 1.5");
  CHECK(refused({.top_p = nan}) == "top_p: expected above 0, at most 1, got nan");
  CHECK(refused({.min_p = -0.1}) == "min_p: expected 0 to 1, got -0.1");
  CHECK(refused({.min_p = 2}) == "min_p: expected 0 to 1, got 2");
  CHECK(refused({.repetition_penalty = 0}) == "repetition_penalty: expected 0.000001 to 1000000, got 0");
  CHECK(refused({.repetition_penalty = nan}) == "repetition_penalty: expected 0.000001 to 1000000, got nan");
  for (const double penalty : {1e308, 1e-310, 1e7})  // they would multiply scores to nothing or infinity
    CHECK(refused({.repetition_penalty = penalty})
              .starts_with("repetition_penalty: expected 0.000001 to 1000000, got 1e"));
  CHECK(refused({.top_p = 1e300}) == "top_p: expected above 0, at most 1, got 1e+300");  // no three hundred digits
}
