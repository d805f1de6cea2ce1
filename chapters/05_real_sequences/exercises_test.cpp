#include "exercises.hpp"

#include <demo/demo.hpp>
#include <exercises/grader.hpp>
#include <mamba2/chunked_scan.hpp>

#include <cmath>
#include <limits>
#include <string>
#include <vector>

using namespace mamba2;

namespace {

constexpr double inf = std::numeric_limits<double>::infinity();

template <std::size_t N>
Tensor<double, N> numbers(const std::size_t (&sizes)[N], double low, double high) {
  static demo::Random draw(55);
  return demo::random_tensor<double>(sizes, draw, low, high);
}

ScanInput<double> make_input(std::size_t seqlen) {
  const std::size_t batch = 2, nheads = 6, headdim = 4, ngroups = 3, d_state = 5;
  ScanInput<double> in;
  in.x = numbers<4>({batch, seqlen, nheads, headdim}, -1, 1);
  in.dt = numbers<3>({batch, seqlen, nheads}, -3, 1);
  in.A = numbers<1>({nheads}, -2, -0.1);
  in.B = numbers<4>({batch, seqlen, ngroups, d_state}, -1, 1);
  in.C = numbers<4>({batch, seqlen, ngroups, d_state}, -1, 1);
  in.D = numbers<2>({nheads, headdim}, -1, 1);
  in.z = numbers<4>({batch, seqlen, nheads, headdim}, -2, 2);
  in.dt_bias = numbers<1>({nheads}, -1, 1);
  in.initial_state = numbers<4>({batch, nheads, headdim, d_state}, -1, 1);
  return in;
}

}  // namespace

GRADE(1, "the step that is taken") {
  ScanInput<double> in;
  in.dt = numbers<3>({2, 7, 3}, -4, 3);
  in.dt_bias = numbers<1>({3}, -2, 2);
  grader::given("dt", in.dt, "dt_bias", *in.dt_bias);
  grader::expect_close(exercises::step_sizes(in.dt, *in.dt_bias, 0, inf), step_sizes(in, {}),
                       "step sizes without limits");
  grader::expect_close(exercises::step_sizes(in.dt, *in.dt_bias, 0.3, 1.5),
                       step_sizes(in, {.dt_min = 0.3, .dt_max = 1.5}), "step sizes held in [0.3, 1.5]");
  in.dt(1, 3, 0) = 900;
  grader::given("dt", in.dt, "dt_bias", *in.dt_bias);
  grader::expect_close(exercises::step_sizes(in.dt, *in.dt_bias, 0, inf), step_sizes(in, {}),
                       "step sizes, where one of the raw numbers is 900");
}

GRADE(2, "go on from there") {
  ScanInput<double> in = make_input(19);
  const ScanOutput<double> whole = ssd(in);
  for (const std::size_t cut :
       {std::size_t{7}, std::size_t{1}, std::size_t{18}, std::size_t{0}, std::size_t{19}}) {
    const exercises::InTwo yours = exercises::ssd_in_two(in, cut);
    const std::string where = ", cut at " + std::to_string(cut) + " of 19 tokens";
    grader::expect_close(yours.whole.y, whole.y, "y" + where);
    grader::expect_close(yours.whole.last_state, whole.last_state, "last state" + where);
    ScanInput<double> beginning = in;
    beginning.x = xt::view(in.x, xt::all(), xt::range(std::size_t{0}, cut));
    beginning.dt = xt::view(in.dt, xt::all(), xt::range(std::size_t{0}, cut));
    beginning.B = xt::view(in.B, xt::all(), xt::range(std::size_t{0}, cut));
    beginning.C = xt::view(in.C, xt::all(), xt::range(std::size_t{0}, cut));
    beginning.z = xt::view(*in.z, xt::all(), xt::range(std::size_t{0}, cut));
    grader::expect_close(yours.at_the_cut, ssd(beginning).last_state, "the state at the cut" + where);
  }
  in.initial_state.reset();
  in.z.reset();
  const ScanOutput<double> yours = exercises::ssd_in_two(in, 7).whole, fresh = ssd(in);
  grader::expect_close(yours.y, fresh.y, "y, for an input without z and without an initial state");
  grader::expect_close(yours.last_state, fresh.last_state,
                       "last state, for an input without z and without an initial state");
}

GRADE(3, "padding that leaves no trace") {
  for (const bool packed : {false, true})
    for (const std::size_t seqlen : {std::size_t{19}, std::size_t{24}, std::size_t{3}}) {
      ScanInput<double> in = make_input(seqlen);
      if (packed) {
        in.seq_idx = Tensor<std::int64_t, 2>({2, seqlen}, 4);
        for (std::size_t t = 2; t < seqlen; ++t) (*in.seq_idx)(1, t) = 9;
      }
      const std::string of =
          " (" + std::to_string(seqlen) + " tokens" + (packed ? ", packed" : "") + ", chunks of 8)";
      const ScanInput<double> padded = exercises::pad_to_multiple(in, 8);
      grader::expect_close(padded.x.shape(1), (seqlen + 7) / 8 * 8, "the new length" + of);
      const ScanOutput<double> yours = ssd(padded), expected = ssd(in);
      const Tensor<double, 4> y = xt::view(yours.y, xt::all(), xt::range(std::size_t{0}, seqlen));
      grader::expect_close(y, expected.y, "outputs of the old tokens" + of);
      grader::expect_close(yours.last_state, expected.last_state, "last state" + of);
    }
}

GRADE(4, "forget on purpose") {
  const std::size_t seqlen = 29;
  const Tensor<double, 2> X = numbers<2>({seqlen, 3}, -1, 1), B = numbers<2>({seqlen, 4}, -1, 1),
                          C = numbers<2>({seqlen, 4}, -1, 1);
  const Tensor<double, 1> dA = numbers<1>({seqlen}, -0.5, -0.01);
  const std::vector<std::size_t> bounds{0, 6, 7, 16, 29};
  const std::vector<std::int64_t> ids{3, 8, 3, -2};  // rising, falling, used again, negative
  Tensor<std::int64_t, 1> seq_idx({seqlen}, 0);
  Tensor<double, 2> expected = zeros<double>(seqlen, 3);
  for (std::size_t i = 0; i < ids.size(); ++i) {
    const auto rows = [&](const auto& t) -> std::decay_t<decltype(t)> {
      return xt::view(t, xt::range(bounds[i], bounds[i + 1]));
    };
    xt::view(seq_idx, xt::range(bounds[i], bounds[i + 1])) = ids[i];
    xt::view(expected, xt::range(bounds[i], bounds[i + 1])) =
        chunked_scan(rows(X), rows(dA), rows(B), rows(C), 8);
  }
  const Tensor<double, 1> yours = exercises::packed_decays(dA, seq_idx);
  grader::expect(yours.size() == seqlen, "there is a log-decay for each token");
  for (const std::size_t chunk_size : {std::size_t{8}, std::size_t{1}, std::size_t{64}})
    grader::expect_close(chunked_scan(X, yours, B, C, chunk_size), expected,
                         "outputs of four packed sequences, with your log-decays, chunks of " +
                             std::to_string(chunk_size));
}

namespace {

struct Fact {
  const char *animal, *sound;
};
constexpr Fact facts[] = {{"cat", "meow"}, {"dog", "woof"},  {"owl", "hoot"},
                          {"cow", "moo "}, {"pig", "oink"},  {"bee", "buzz"},
                          {"hen", "cluk"}, {"frog", "riba"}, {"mouse", "eek "}};

double number_of(char letter) {
  return letter == ' ' ? 0 : letter - 'a' + 1;
}

// Facts in the order given, each followed by noise, then a question for each; the answers as text.
std::string conversation(std::size_t nheads, std::size_t noise) {
  const std::size_t K = 3 * nheads;
  std::vector<exercises::Token> tokens;
  double k = 0;
  const auto hear = [&](exercises::Wants wants, std::size_t name) {
    exercises::Token token{wants, name, {}};
    for (std::size_t p = 0; p < 4; ++p)
      token.value[p] =
          wants == exercises::Wants::store ? number_of(facts[name].sound[p]) : 20 * std::sin(++k);
    tokens.push_back(token);
  };
  for (std::size_t name = 0; name < K; ++name) {
    hear(exercises::Wants::store, name);
    for (std::size_t i = 0; i < noise; ++i) hear(exercises::Wants::nothing, i % K);
  }
  const std::size_t first_question = tokens.size();
  for (std::size_t name = 0; name < K; ++name) hear(exercises::Wants::ask, K - 1 - name);

  const ScanInput<double> in = exercises::memory(tokens, nheads);
  const std::size_t T = tokens.size();
  grader::expect(in.x.shape() == std::array<std::size_t, 4>{1, T, nheads, 4} &&
                     in.dt.shape() == std::array<std::size_t, 3>{1, T, nheads} &&
                     in.A.shape() == std::array<std::size_t, 1>{nheads} &&
                     in.B.shape() == std::array<std::size_t, 4>{1, T, 1, 3} &&
                     in.C.shape() == in.B.shape(),
                 "x has the shape (1, seqlen, nheads, 4), dt (1, seqlen, nheads), A (nheads), B and C "
                 "(1, seqlen, 1, 3)");
  grader::expect(!in.D && !in.z && !in.dt_bias && !in.initial_state && !in.seq_idx,
                 "x, dt, A, B and C are all there is to set");
  for (std::size_t t = 0; t < T; ++t)
    for (std::size_t h = 0; h < nheads; ++h) {
      grader::expect(in.A(h) == -1, "the rate of every head is -1");
      for (std::size_t p = 0; p < 4; ++p)
        grader::expect(in.x(0, t, h, p) == tokens[t].value[p],
                       "x of every head is the token's value, noise included: a head is told not to "
                       "listen by its step");
    }
  const ScanOutput<double> out = ssd(in);
  std::string text;
  for (std::size_t t = first_question; t < T; ++t) {
    const Fact& fact = facts[tokens[t].name];
    std::string answer;
    for (std::size_t p = 0; p < 4; ++p) {
      const double number = out.y(0, t, tokens[t].name / 3, p);
      grader::expect(std::abs(number - number_of(fact.sound[p])) < 0.01,
                     std::string(fact.animal) + "? should be answered by " + fact.sound + ", letter " +
                         std::to_string(p) + " = " +
                         grader::detail::number_text(number_of(fact.sound[p])) + ", yours is " +
                         grader::detail::number_text(number) + " (" + std::to_string(K) + " facts, " +
                         std::to_string(nheads) + " heads, " + std::to_string(noise) +
                         " tokens of noise after each)");
      answer += fact.sound[p];
    }
    text += "    " + std::string(fact.animal) + "?  " + answer + "\n";
  }
  return text;
}

}  // namespace

GRADE(5, "a memory of nine") {
  conversation(1, 0);
  conversation(2, 1);
  const std::string text = conversation(3, 500);
  grader::show("nine facts, 4500 tokens of noise, three heads with one B and one C:\n" + text);
}
