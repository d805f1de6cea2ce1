// The grader of this chapter.
#include "exercises.hpp"

#include <exercises/grader.hpp>
#include <mamba2/conv.hpp>
#include <mamba2/norm.hpp>
#include <mamba2/random.hpp>
#include <mamba2/ssd.hpp>

#include <algorithm>
#include <array>
#include <string>
#include <vector>

using mamba2::MatrixRef;
using mamba2::Tensor;
using mamba2::zeros;

namespace {

Tensor<double, 1> noise(std::size_t size, std::uint64_t seed) {
  mamba2::Random random(seed);
  Tensor<double, 1> tensor = zeros<double>(size);
  for (auto& value : tensor) value = random.uniform(-1, 1);
  return tensor;
}

MatrixRef<const double> column(const Tensor<double, 1>& x) {
  return {x.data(), x.size(), 1, 1};
}

MatrixRef<const double> row(const Tensor<double, 1>& x) {
  return {x.data(), 1, x.size(), x.size()};
}

// One channel through the library's convolution.
Tensor<double, 1> convolve(const Tensor<double, 1>& x, const Tensor<double, 1>& taps, double bias,
                           const Tensor<double, 1>& state) {
  auto y = zeros<double>(x.size());
  mamba2::short_convolution<double>({.x = column(x),
                                     .batch = 1,
                                     .weight = row(taps),
                                     .bias = std::span(&bias, 1),
                                     .initial_state = row(state),
                                     .silu = false},
                                    {y.data(), y.size(), 1, 1});
  return y;
}

}  // namespace

GRADE(1, "one channel") {
  const auto taps = noise(4, 1), state = noise(4, 2);
  const Tensor<double, 1> nothing = zeros<double>(4);
  for (const std::size_t seqlen : {9, 2}) {
    const auto x = noise(seqlen, 3);
    const std::string length = " of " + std::to_string(seqlen) + " tokens";
    grader::given("x", x, "taps", taps, "state", nothing);
    grader::expect_close(exercises::convolve_channel(x, taps, 0, nothing),
                         convolve(x, taps, 0, nothing), "outputs" + length + ", nothing before them");
    grader::given("x", x, "taps", taps, "bias", 0.5, "state", state);
    grader::expect_close(exercises::convolve_channel(x, taps, 0.5, state),
                         convolve(x, taps, 0.5, state),
                         "outputs" + length + " with a bias, from a state");
  }
}

GRADE(1, "a window of another width") {
  const auto taps = noise(3, 4), state = noise(3, 5), x = noise(7, 6);
  grader::given("x", x, "taps", taps, "state", state);
  grader::expect_close(exercises::convolve_channel(x, taps, 0, state), convolve(x, taps, 0, state),
                       "outputs, three taps");
}

GRADE(2, "the state that is left") {
  const auto taps = noise(4, 1), state = noise(4, 2);
  for (const std::size_t seqlen : {6, 4, 1, 3, 0}) {
    const auto x = noise(seqlen, 3);
    const auto after = mamba2::convolution_state<double>(
        {.x = column(x), .batch = 1, .weight = row(taps), .initial_state = row(state)});
    Tensor<double, 1> expected = zeros<double>(4);
    std::copy(after.begin(), after.end(), expected.begin());
    grader::given("x", x, "state", state);
    grader::expect_close(exercises::state_after(x, state), expected,
                         "the state after " + std::to_string(seqlen) + " tokens");
  }
}

GRADE(3, "one number over the wire") {
  const std::size_t features = 12;
  const auto y = noise(features, 7), z = noise(features, 8), weight = noise(features, 9);
  for (const bool norm_before_gate : {false, true}) {
    Tensor<double, 1> expected = zeros<double>(features);
    mamba2::gated_norm<double>(row(y), row(z),
                               {.weight = weight, .norm_before_gate = norm_before_gate, .eps = 0.01},
                               {expected.data(), 1, features, features});
    for (const std::vector<std::size_t>& cuts :
         {std::vector<std::size_t>{0, 12}, {0, 5, 12}, {0, 1, 7, 12}}) {
      const auto part = [&](const Tensor<double, 1>& whole, std::size_t i) -> Tensor<double, 1> {
        return xt::view(whole, xt::range(cuts[i], cuts[i + 1]));
      };
      double total = 0;
      for (std::size_t i = 0; i + 1 < cuts.size(); ++i)
        total += exercises::tell(part(y, i), part(z, i), norm_before_gate);
      for (std::size_t i = 0; i + 1 < cuts.size(); ++i)
        grader::expect_close(exercises::finish(part(y, i), part(z, i), part(weight, i),
                                               norm_before_gate, total, features, 0.01),
                             part(expected, i),
                             std::string(norm_before_gate ? "norm before gate" : "gate before norm") +
                                 ", machine " + std::to_string(i + 1) + " of " +
                                 std::to_string(cuts.size() - 1));
    }
  }
}

namespace {

using exercises::Word;

// A vocabulary and texts in it; what stands where is the grader's secret.
struct Tale {
  std::vector<std::string> names;
  std::vector<Word> words;
  std::vector<std::size_t> text, asked, expected;  // where the question marks are, and what is right

  std::size_t add(const std::string& name, Word word) {
    names.push_back(name);
    words.push_back(word);
    return words.size() - 1;
  }
};

// Facts in the order given, each with something heard and some noise around it; then the questions.
Tale tale(std::size_t facts, std::size_t noise_words, std::size_t first) {
  const char* const animals[] = {"cat", "dog", "owl", "cow", "pig", "bee"};
  const char* const sounds[] = {"meow", "woof", "hoot", "moo", "oink", "buzz"};
  Tale t;
  const std::size_t the = t.add("the", Word::other), stop = t.add(".", Word::other);
  std::vector<std::size_t> animal, sound;
  for (std::size_t i = 0; i < facts; ++i)
    animal.push_back(t.add(animals[(first + i) % 6], Word::animal));
  const std::size_t hears = t.add("hears", Word::hears), mark = t.add("?", Word::question);
  for (std::size_t i = 0; i < facts; ++i) sound.push_back(t.add(sounds[(first + i) % 6], Word::sound));
  const std::size_t says = t.add("says", Word::says), what = t.add("what", Word::other);
  const auto say = [&](std::initializer_list<std::size_t> words) {
    t.text.insert(t.text.end(), words);
  };
  for (std::size_t i = 0; i < facts; ++i) {
    say({the, animal[(i + 1) % facts], hears, sound[i], stop, the, animal[i], says, sound[i], stop});
    for (std::size_t n = 0; n < noise_words; ++n)
      say({n % 3 == 0 ? animal[n % facts] : n % 3 == 1 ? sound[n % facts] : the, stop, stop});
  }
  for (std::size_t i = facts; i-- > 0;) {
    say({what, says, the, animal[i], mark, stop});
    t.asked.push_back(t.text.size() - 2);
    t.expected.push_back(sound[i]);
  }
  return t;
}

std::string told(const Tale& t, const std::string& which) {
  const std::size_t V = t.words.size(), T = t.text.size();
  const exercises::Layer layer = exercises::what_the_cat_says(t.words);
  const std::size_t N = layer.B.shape(1);
  grader::expect(layer.x.shape() == std::array<std::size_t, 2>{V, V} && layer.B.shape(0) == V &&
                     layer.C.shape() == layer.B.shape() && N > 0 && layer.dt.size() == V &&
                     layer.x_taps.size() == 4 && layer.B_taps.size() == 4 && layer.C_taps.size() == 4,
                 "x has the shape (words, words), B and C (words, d_state), dt (words), taps (4)");
  grader::expect(layer.A < 0 && xt::amin(layer.dt)() >= 0, "A is negative, and no dt is");
  const auto through = [&](const Tensor<double, 2>& table, const Tensor<double, 1>& taps, double bias) {
    const std::size_t width = table.shape(1);
    auto in = zeros<double>(T, width), out = in, weight = zeros<double>(width, 4);
    for (std::size_t s = 0; s < T; ++s) xt::view(in, s) = xt::view(table, t.text[s]);
    for (std::size_t c = 0; c < width; ++c) xt::view(weight, c) = taps;
    const Tensor<double, 1> biases({width}, bias);
    mamba2::short_convolution<double>(
        {.x = mamba2::as_matrix(in), .batch = 1, .weight = mamba2::as_matrix(weight), .bias = biases},
        mamba2::as_matrix(out));
    Tensor<double, 4> four({1, T, 1, width}, 0.0);
    std::copy(out.begin(), out.end(), four.begin());
    return four;
  };
  mamba2::ScanInput<double> scan;
  scan.x = through(layer.x, layer.x_taps, layer.x_bias);
  scan.B = through(layer.B, layer.B_taps, layer.B_bias);
  scan.C = through(layer.C, layer.C_taps, layer.C_bias);
  scan.A = Tensor<double, 1>({1}, layer.A);
  scan.dt = zeros<double>(1, T, 1);
  for (std::size_t s = 0; s < T; ++s) scan.dt(0, s, 0) = layer.dt(t.text[s]);
  const auto y = mamba2::ssd(scan, {.dt_softplus = false}).y;
  std::string answers;
  for (std::size_t q = 0; q < t.asked.size(); ++q) {
    const double* const row = &y(0, t.asked[q], 0, 0);
    const std::size_t said = std::size_t(std::max_element(row, row + V) - row);
    const std::string animal = t.names[t.text[t.asked[q] - 1]];
    const std::string verdict = "what says the " + animal + " ?  (" + which + ")";
    grader::expect_equal(t.names[said], t.names[t.expected[q]], verdict);
    grader::expect(row[said] > 0.1,
                   verdict + "\nthe right word, but it has nearly faded: its channel holds " +
                       grader::detail::number_text(row[said]));
    for (std::size_t w = 0; w < V; ++w)
      grader::expect(w == said || row[w] < 0.01 * row[said],
                     verdict + "\nthe right word, but '" + t.names[w] + "' can be heard as well");
    answers += "    what says the " + animal + " ?  " + t.names[said] + "\n";
  }
  return answers;
}

}  // namespace

GRADE(4, "what the cat says") {
  told(tale(1, 0, 0), "one fact, nothing else but one that is heard");
  told(tale(3, 0, 2), "three facts, three that are heard");
  const Tale last = tale(6, 200, 3);
  const std::string answers = told(last, "six facts, six that are heard, much noise");
  grader::show("six facts in " + std::to_string(last.text.size()) + " words:\n" + answers);
}
