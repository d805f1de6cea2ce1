// The grader of this chapter.
#include "exercises.hpp"

#include <exercises/grader.hpp>
#include <mamba2/optimizer.hpp>

#include <algorithm>
#include <cmath>
#include <set>
#include <string>

using exercises::Parameter;
using exercises::Part;
using mamba2::Tensor;

GRADE(1, "a schedule") {
  const auto rate = [](std::size_t step) { return exercises::trapezoid(step, 100, 10, 20, 0.5); };
  grader::expect_close(rate(0), 0.05, "the rate of the first step");
  grader::expect_close(rate(4), 0.25, "half way up");
  for (const std::size_t step : {9UL, 10UL, 50UL, 80UL})
    grader::expect_close(rate(step), 0.5, "the highest rate");
  grader::expect_close(rate(81), 0.475, "one step down");
  grader::expect_close(rate(90), 0.25, "half way down");
  grader::expect_close(rate(99), 0.025, "the rate of the last step");
  grader::expect_close(exercises::trapezoid(0, 7, 0, 0, 2.0), 2.0, "no way up");
  grader::expect_close(exercises::trapezoid(6, 7, 0, 0, 2.0), 2.0, "no way down");
}

namespace {

std::vector<Parameter> two_parameters() {
  return {{.value = {1.5, -2.0, 0.25},
           .gradient = {3.0, -0.5, 1e-3},
           .mean = {0.1, 0.2, -0.3},
           .square = {0.5, 0.02, 0.1},
           .decays = true},
          {.value = {2.0, 0.7},
           .gradient = {-4.0, 0.2},
           .mean = {-0.1, 0.0},
           .square = {1.0, 0.03},
           .decays = false}};
}

// What the library makes of them, with gradients that are scaled first.
std::vector<Parameter> expected(std::size_t step, const exercises::Options& o) {
  std::vector<Parameter> parameters = two_parameters();
  double squares = 0;
  for (const Parameter& p : parameters)
    for (const double g : p.gradient) squares += g * g;
  for (Parameter& p : parameters) {
    for (double& g : p.gradient) g *= std::min(1.0, o.clip_norm / std::sqrt(squares));
    mamba2::adamw_update<double>(
        {{p.value.data(), p.value.size()},
         {p.gradient.data(), p.gradient.size()},
         {p.mean.data(), p.mean.size()},
         {p.square.data(), p.square.size()}},
        step, o.rate, p.decays,
        {.beta1 = o.beta1, .beta2 = o.beta2, .eps = o.eps, .weight_decay = o.weight_decay});
  }
  return parameters;
}

}  // namespace

GRADE(2, "AdamW, clipped") {
  exercises::Options o{
      .rate = 0.1, .beta1 = 0.9, .beta2 = 0.8, .eps = 0.05, .weight_decay = 0.5, .clip_norm = 100};
  for (const double clip_norm : {100.0, 1.0})
    for (const std::size_t step : {1UL, 4UL}) {
      o.clip_norm = clip_norm;
      std::vector<Parameter> yours = two_parameters();
      exercises::adamw(yours, step, o);
      const std::vector<Parameter> want = expected(step, o);
      const std::string when = std::string(clip_norm > 1 ? ", without" : ", with") +
                               " clipping, step " + std::to_string(step) + ", ";
      for (std::size_t i = 0; i < want.size(); ++i) {
        const std::string of = when + (want[i].decays ? "of a parameter that decays"
                                                      : "of one that does not, such as A_log");
        grader::expect_close(yours[i].mean, want[i].mean, "the mean" + of);
        grader::expect_close(yours[i].square, want[i].square, "the mean of squares" + of);
        grader::expect_close(yours[i].value, want[i].value, "the values" + of);
      }
    }
}

GRADE(3, "accumulate") {
  const Part one{{1.0, -2.0, 4.0}, 3}, two{{5.0, 0.5, -1.0}, 1}, three{{-3.0, 8.0, 0.0}, 6};
  grader::expect_close(exercises::accumulate({one}), one.gradient, "one batch");
  grader::expect_close(exercises::accumulate({one, two}), Tensor<double, 1>{2.0, -1.375, 2.75},
                       "batches of 3 and 1 places");
  grader::expect_close(exercises::accumulate({one, two, three}), Tensor<double, 1>{-1.0, 4.25, 1.1},
                       "batches of 3, 1 and 6 places");
}

namespace {

// The share that a model knows of the tokens that can be known, in sequences that it has not seen.
double accuracy(const mamba2::LanguageModel<float>& model,
                const std::vector<exercises::Sequence>& sequences) {
  std::size_t right = 0, all = 0;
  for (const auto& sequence : sequences) {
    auto ids = Tensor<std::int64_t, 2>::from_shape({1, sequence.tokens.size()});
    std::copy(sequence.tokens.begin(), sequence.tokens.end(), ids.begin());
    const auto logits = model.forward(ids);
    for (std::size_t t = 1; t < sequence.tokens.size(); ++t) {
      if (!sequence.known[t]) continue;
      const float* const row = &logits(0, t - 1, 0);
      right += std::max_element(row, row + model.config().vocab_size) - row == sequence.tokens[t];
      ++all;
    }
  }
  return static_cast<double>(right) / static_cast<double>(std::max<std::size_t>(all, 1));
}

}  // namespace

GRADE(4, "a task of your own") {
  mamba2::Random random(777);
  std::vector<exercises::Sequence> sequences;
  for (int i = 0; i < 50; ++i) sequences.push_back(exercises::draw(random));
  std::set<std::vector<std::int64_t>> different;
  std::size_t known = 0;
  for (const auto& sequence : sequences) {
    const std::size_t length = sequence.tokens.size();
    grader::expect(length >= 2 && length <= 64, "a sequence has fewer than 2 or more than 64 tokens");
    grader::expect(length == sequences[0].tokens.size(), "sequences of different lengths");
    grader::expect(sequence.known.size() == length,
                   "known says something of each token, no more and no less");
    different.insert(sequence.tokens);
    known +=
        static_cast<std::size_t>(std::count(sequence.known.begin() + 1, sequence.known.end(), true));
  }
  grader::expect(different.size() >= 40, "50 sequences that were drawn are nearly all the same");
  grader::expect(known >= 50, "there is less than one token for each sequence that can be known");
  const mamba2::LanguageModel<float> model = exercises::teach();
  for (const auto& sequence : sequences)
    for (const std::int64_t token : sequence.tokens)
      grader::expect(token >= 0 && token < static_cast<std::int64_t>(model.config().vocab_size),
                     "a token is not in the model's vocabulary");
  const double before = accuracy(mamba2::LanguageModel<float>(model.config(), 99), sequences);
  const double after = accuracy(model, sequences);
  const auto percent = [](double share) {
    return std::to_string(static_cast<int>(100 * share)) + " %";
  };
  grader::expect(before < 0.6, "a model that has learnt nothing knows " + percent(before) +
                                   " already: that is no task");
  grader::expect(after >= 0.9, "your model knows " + percent(after) +
                                   " of the tokens that can be known, expected 90 %");
  grader::show("before: " + percent(before) + " of what can be known, after: " + percent(after));
}
