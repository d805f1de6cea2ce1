// ## From scores to a choice {#text_scores}
//
// The model has read the text and gives back a score $s_v$ for each token $v$. Their softmax are
// the model's probabilities,
//
// $$ p_v = \frac{e^{s_v}}{\sum_w e^{s_w}}, $$ {#eq:softmax}
//
// and the honest thing is to draw a token by them. Done again and again, this gives texts as likely
// as the model thinks they are. It also goes wrong in a way that is easy to explain. Fifty thousand
// tokens have probabilities near zero, each wrong in its own way, and together they are not near
// zero at all. Once in every few words one of them is drawn; the text stumbles, and from there the
// model goes on with a text that stumbles.
//
// The other extreme is to take the likeliest token every time, *greedily*. It never stumbles, and
// it runs in circles: a sentence that has come twice is likely to come a third time. Good text is
// neither as unlikely as chance nor as likely as possible [@holtzman2020]. Everything that follows
// are ways between the two, and each of them is a few lines that take a list of candidates and
// change it.

//: fold An order of candidates
#include <mamba2/error.hpp>
#include <mamba2/sampling.hpp>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <limits>
#include <string>

namespace mamba2 {

namespace {

/// The likelier one first; of equal ones the lower number, so that the result never depends on a sort.
bool likelier(const Candidate& a, const Candidate& b) {
  return a.score != b.score ? a.score > b.score : a.id < b.id;
}

std::string text_of(double value) {
  char text[32];
  std::snprintf(text, sizeof text, "%g", value);  // never three hundred digits
  return text;
}

}  // namespace

// Scores come from a model, and a model can be broken. A NaN among the scores would pass through
// every comparison that follows and come out as some token or other, and a program that shows text
// from a broken model as if it were text is worse than one that stops. So NaN and infinity are
// refused by name. A score of $-\infty$ is a way to say *never*, and such tokens are no candidates.

template <class Real>
std::vector<Candidate> candidates(std::span<const Real> logits) {
  std::vector<Candidate> tokens;
  tokens.reserve(logits.size());
  for (std::size_t v = 0; v < logits.size(); ++v) {
    const auto score = static_cast<double>(logits[v]);
    if (!(score < std::numeric_limits<double>::infinity()))  // NaN too
      throw ValueError("logits: expected numbers, got " +
                       std::string(std::isnan(score) ? "NaN" : "infinity") + " for token " +
                       std::to_string(v) + "; are the weights sound?");
    if (std::isfinite(score)) tokens.push_back({static_cast<std::int64_t>(v), score});
  }
  require(!tokens.empty(), "logits", "a score above -infinity", "none");
  return tokens;
}

template std::vector<Candidate> candidates(std::span<const float> logits);
template std::vector<Candidate> candidates(std::span<const double> logits);

// What is *not* here is the padding of @chapter{language_model}, the rows of the embedding that
// belong to no token. Whoever calls hands over only the scores of tokens that exist.
//
// ### Temperature {#text_temperature}
//
// Divide all scores by a number $\tau$ before the softmax. Probabilities become $p_v^{1/\tau}$, but
// for their sum: below 1 the likely tokens gain, above 1 the unlikely ones do. At $\tau \to 0$
// everything goes to the likeliest token. So 0 is taken to mean just that, and is never divided by.
//
// ::: figure temperature
// One small distribution at three temperatures. The order of the tokens never changes, only how
// much lies between them.
// :::
//
// The scores are measured from the highest one. It changes no probability, and keeps a very low
// temperature from making infinity of a score.

void apply_temperature(std::vector<Candidate>& tokens, double temperature) {
  double highest = -std::numeric_limits<double>::infinity();
  for (const Candidate& token : tokens) highest = std::max(highest, token.score);
  for (Candidate& token : tokens) token.score = (token.score - highest) / temperature;
}

std::vector<double> probabilities(const std::vector<Candidate>& tokens) {
  double highest = -std::numeric_limits<double>::infinity(), sum = 0;
  for (const Candidate& token : tokens) highest = std::max(highest, token.score);
  std::vector<double> p;
  p.reserve(tokens.size());
  for (const Candidate& token : tokens) sum += p.emplace_back(std::exp(token.score - highest));
  for (double& value : p) value /= sum;
  return p;
}

// ### Three ways to cut off the tail {#text_filters}
//
// The tail of unlikely tokens is what makes a text stumble. Where does it begin? There are three
// answers in use.
//
// **Top-k** says: behind the $k$-th token. It is simple, and wrong in both directions. Where one
// token is certain, $k = 40$ lets 39 bad ones in; where five hundred are equally good, say the
// first word of a story, it throws most of them out.

void keep_top_k(std::vector<Candidate>& tokens, std::size_t k) {
  if (k == 0 || k >= tokens.size()) return;
  const auto end = tokens.begin() + static_cast<std::ptrdiff_t>(k);
  std::nth_element(tokens.begin(), end, tokens.end(), likelier);
  tokens.erase(end, tokens.end());
}

// **Top-p** [@holtzman2020] says: when enough is there. The likeliest tokens are taken, one after
// the other, until their probabilities reach $p$ together. Where the model is certain, one is
// enough; where it is not, there are many. The token that crosses the border is still in: without
// it the sum would not reach $p$, and if a single token has more than $p$, nothing at all would be
// left.
//
// There is no need to sort fifty thousand tokens for that. A *heap* is built in linear time and
// hands out the likeliest ones until it is enough.

void keep_top_p(std::vector<Candidate>& tokens, double p) {
  if (p >= 1) return;
  struct Likely {
    double probability;
    Candidate token;
  };
  const std::vector<double> all = probabilities(tokens);
  std::vector<Likely> heap;
  for (std::size_t i = 0; i < tokens.size(); ++i) heap.push_back({all[i], tokens[i]});
  const auto below = [](const Likely& a, const Likely& b) { return likelier(b.token, a.token); };
  std::make_heap(heap.begin(), heap.end(), below);
  tokens.clear();
  for (double sum = 0; sum < p && !heap.empty(); heap.pop_back()) {
    std::pop_heap(heap.begin(), heap.end(), below);
    sum += heap.back().probability;
    tokens.push_back(heap.back().token);
  }
}

// **Min-p** [@minh2024] says: where a token is much less likely than the likeliest. It asks each
// token by itself, with no sum and no order: is $p_v$ at least $p$ times the largest probability?
// In scores, that is a difference of at most $\log(1/p)$, and so the softmax is not even needed.

void keep_min_p(std::vector<Candidate>& tokens, double p) {
  if (p <= 0) return;
  double highest = -std::numeric_limits<double>::infinity();
  for (const Candidate& token : tokens) highest = std::max(highest, token.score);
  const double lowest = highest + std::log(p);
  std::erase_if(tokens, [&](const Candidate& token) { return token.score < lowest; });
}

// ::: warning
// The largest probability is that of *this* distribution, after the temperature and the other
// filters. The reference's own min-p compares the scores with $p$ times the score of token 0, which
// is neither the largest nor a probability. It is easy to get wrong, since the text that comes out
// looks fine.
// :::
//
// ::: figure filters
// The three filters on two distributions: one in which the model is nearly certain, and one in
// which it is not. Full bars stay, pale ones go. Top-k keeps four in both; the other two look at
// what they cut.
// :::
//
// ### Not the same again {#text_penalty}
//
// The last one works against running in circles, and is the oldest: tokens that have been seen
// become less likely [@keskar2019]. The paper divides their scores by the penalty. That makes a
// negative score *higher*, so what is used today divides positive scores and multiplies negative
// ones; both become lower. It looks crude, and it is. The scores of a model mean something only in
// their differences: add 10 to all of them, and the probabilities stay, but the penalty does
// something else. It is here because everybody has it.

void penalize_repetition(std::vector<Candidate>& tokens, const std::unordered_set<std::int64_t>& seen,
                         double penalty) {
  if (penalty == 1) return;
  for (Candidate& token : tokens)
    if (seen.contains(token.id))
      token.score = token.score > 0 ? token.score / penalty : token.score * penalty;
}

// A token counts once, however often it was seen; those of the prompt count too.
//
// ### Chance {#text_chance}
//
// To draw by probabilities, lay them end to end on a line of length 1, throw a dart at it, and see
// in which one it sticks. Rounding can leave a tiny gap at the end of the line, and a dart in the
// gap belongs to the last token.

std::int64_t draw(const std::vector<Candidate>& tokens, Random& random) {
  const std::vector<double> p = probabilities(tokens);
  double dart = random.uniform();
  for (std::size_t i = 0; i + 1 < tokens.size(); ++i)
    if ((dart -= p[i]) < 0) return tokens[i].id;
  return tokens.back().id;
}

std::int64_t likeliest(const std::vector<Candidate>& tokens) {
  return std::min_element(tokens.begin(), tokens.end(), likelier)->id;
}

// Now the order, and it matters. The penalty changes the scores that the model gave, so it comes
// first, before temperature stretches them; the filters look at the distribution that will be drawn
// from, so they come after. It is the order of Hugging Face's library [@huggingface].
//
// Settings that were found elsewhere have to be read with care all the same. That library keeps the
// 50 likeliest tokens unless it is told `top_k=0`, so a text written "with top-p only" was written
// with both. And llama.cpp applies the temperature last: its filters see the model's own
// distribution, and a high temperature cannot let tokens in that they have cut off. How much that
// changes is the question of @exercise{2}.

template <class Real>
std::int64_t Sampler::choose(std::span<const Real> logits) {
  std::vector<Candidate> tokens = candidates(logits);
  penalize_repetition(tokens, seen_, options_.repetition_penalty);
  std::int64_t chosen = 0;
  if (options_.temperature == 0) {
    chosen = likeliest(tokens);
  } else {
    apply_temperature(tokens, options_.temperature);
    keep_top_k(tokens, options_.top_k);
    keep_top_p(tokens, options_.top_p);
    keep_min_p(tokens, options_.min_p);
    chosen = draw(tokens, random_);
  }
  seen_.insert(chosen);
  return chosen;
}

template std::int64_t Sampler::choose(std::span<const float> logits);
template std::int64_t Sampler::choose(std::span<const double> logits);

Sampler::Sampler(const SamplingOptions& options, std::uint64_t seed)
    : options_(options), random_(seed) {
  options.check();
}

void Sampler::saw(std::span<const std::int64_t> ids) {
  seen_.insert(ids.begin(), ids.end());
}

// Options check themselves. Written this way round, each comparison also refuses NaN. A penalty has
// bounds: it multiplies scores, and what is left of them after one of $10^{300}$ chooses nonsense.

void SamplingOptions::check() const {
  const double most = std::numeric_limits<double>::max();
  require(temperature >= 0 && temperature <= most, "temperature", "0 or a positive number",
          text_of(temperature));
  require(top_p > 0 && top_p <= 1, "top_p", "above 0, at most 1", text_of(top_p));
  require(min_p >= 0 && min_p <= 1, "min_p", "0 to 1", text_of(min_p));
  require(repetition_penalty >= 1e-6 && repetition_penalty <= 1e6, "repetition_penalty",
          "0.000001 to 1000000", text_of(repetition_penalty));
}

}  // namespace mamba2

// The program takes a distribution of eight tokens through all of it. The first line is what the
// model says, each of the others is one filter alone, with what is left made to sum to 1 again:
//
// @output filters
//
// And it draws from one of them a hundred thousand times and counts:
//
// @output draws
