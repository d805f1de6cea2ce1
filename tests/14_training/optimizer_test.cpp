// AdamW by hand, and against 20 golden steps; clipping; the rate over time.
#include <mamba2/optimizer.hpp>
#include <mamba2/training.hpp>
#include <support/models.hpp>
#include <support/testing.hpp>
#include <support/training.hpp>

#include <set>

using namespace mamba2;
using namespace testing;

TEST_CASE("AdamW is its formula, step by step", "[optimizer]") {
  const AdamWOptions options{.beta1 = 0.8, .beta2 = 0.9, .eps = 1e-3, .weight_decay = 0.25};
  const double gradients[] = {0.5, -2.0, 0.0, 1e-4};
  double w[] = {3.0}, m[] = {0.0}, v[] = {0.0};
  double expected = 3.0, sum = 0, squares = 0;
  for (int t = 1; t <= 4; ++t) {
    const double g[] = {gradients[t - 1]}, rate = 0.1 * t;
    adamw_update<double>({w, g, m, v}, static_cast<std::uint64_t>(t), rate, true, options);
    expected -= rate * 0.25 * expected;
    sum = squares = 0;  // the means, from their definition
    for (int s = 1; s <= t; ++s) {
      sum += std::pow(0.8, t - s) * 0.2 * gradients[s - 1] / (1 - std::pow(0.8, t));
      squares += std::pow(0.9, t - s) * 0.1 * gradients[s - 1] * gradients[s - 1] / (1 - std::pow(0.9, t));
    }
    expected -= rate * sum / (std::sqrt(squares) + 1e-3);
    CHECK(w[0] == Approx(expected).epsilon(1e-13));
  }
}

TEST_CASE("a parameter that does not decay keeps still without a gradient, another shrinks", "[optimizer]") {
  float w[] = {2.0f, -4.0f}, m[] = {0, 0}, v[] = {0, 0};
  const float g[] = {0, 0};
  adamw_update<float>({w, g, m, v}, 1, 0.5, false, {});
  CHECK((w[0] == 2.0f && w[1] == -4.0f));
  adamw_update<float>({w, g, m, v}, 2, 0.5, true, {.weight_decay = 0.5});
  CHECK((w[0] == 1.5f && w[1] == -3.0f));
}

TEST_CASE("AdamW refuses numbers of different lengths, and a step before the first", "[optimizer]") {
  double w[2] = {}, g[1] = {}, m[2] = {}, v[2] = {};
  CHECK_THROWS_AS(adamw_update<double>({w, g, m, v}, 1, 0.1, true), ShapeError);
  CHECK_THROWS_AS(adamw_update<double>({w, m, m, v}, 0, 0.1, true), ValueError);
  CHECK_THROWS_AS(AdamWOptions{.beta1 = 1}.check(), ValueError);
  CHECK_THROWS_AS(AdamWOptions{.beta2 = -0.1}.check(), ValueError);
  CHECK_THROWS_AS(AdamWOptions{.eps = 0}.check(), ValueError);
  CHECK_THROWS_AS(AdamWOptions{.weight_decay = std::nan("")}.check(), ValueError);
}

TEST_CASE("the parameters that decay are those of the golden run", "[optimizer]") {
  const std::set<std::string> expected = golden_training_decayed();
  std::set<std::string> got;
  for (const ParameterInfo& info : parameter_list(training_config()))
    if (info.decays) got.insert(info.name);
  CHECK(got == expected);
}

TEST_CASE("the length of the golden gradient, before and after clipping", "[optimizer]") {
  const LanguageModelConfig config = training_config();
  const double norm = load_golden<double, 1>("train", "gradient_norms")(0);
  auto gradient = training_parameters<double>("first_gradient");
  CHECK(gradient_norm(config, gradient) == Approx(norm).epsilon(1e-12));
  const auto before = gradient;
  REQUIRE(norm > 0.5);
  CHECK(clip_gradient(config, gradient, 2 * norm) == Approx(norm).epsilon(1e-12));
  CHECK(parameter_distance(config, gradient, before) == 0);
  CHECK(clip_gradient(config, gradient, 0.5) == Approx(norm).epsilon(1e-12));
  CHECK(gradient_norm(config, gradient) == Approx(0.5).epsilon(1e-6));
  CHECK(gradient_norm(config, gradient) <= 0.5);
  double cosine = 0;  // times both lengths
  walk(
      config,
      [&](const ParameterInfo&, std::span<double> a, std::span<const double> b) {
        for (std::size_t i = 0; i < a.size(); ++i) cosine += a[i] * b[i];
      },
      gradient, before);
  CHECK(cosine == Approx(gradient_norm(config, gradient) * norm).epsilon(1e-12));
  CHECK_THROWS_AS(clip_gradient(config, gradient, 0.0), ValueError);
}

TEST_CASE("the rate goes up in a straight line, and down along half a cosine", "[optimizer]") {
  const Schedule schedule{.peak = 0.4, .last = 0.25, .warmup = 4};
  CHECK(schedule.rate(0, 0) == Approx(0.1));
  CHECK(schedule.rate(1, 0) == Approx(0.2));
  CHECK(schedule.rate(3, 0) == Approx(0.4));
  CHECK(schedule.rate(1000, 0) == Approx(0.4));
  CHECK(schedule.rate(1000, 0.5) == Approx(0.25));
  CHECK(schedule.rate(1000, 1) == Approx(0.1));
  CHECK(schedule.rate(1000, 7) == Approx(0.1));
  CHECK(Schedule{.peak = 0.4, .warmup = 0}.rate(0, 0) == Approx(0.4));
  CHECK_THROWS_AS(Schedule{.peak = 0}.check(), ValueError);
  CHECK_THROWS_AS(Schedule{.last = 1.5}.check(), ValueError);
}

namespace {

// The 20 golden steps: losses, lengths of gradients, and where the parameters end.
template <class Real>
void check_golden_steps(double tolerance) {
  const auto losses = load_golden<double, 1>("train", "losses"),
             norms = load_golden<double, 1>("train", "gradient_norms");
  const LanguageModelConfig config = training_config();
  TrainingState<Real> state(LanguageModel<Real>(config, training_parameters<Real>("init")));
  const TrainingOptions options = golden_training_options();
  for (std::size_t step = 0; step < losses.size(); ++step) {
    const Batch batch = golden_batch(step);
    const StepReport report = training_step(state, std::span(&batch, 1), 0, options);
    CHECK(report.loss == Approx(losses(step)).epsilon(tolerance));
    CHECK(report.gradient_norm == Approx(norms(step)).epsilon(tolerance));
  }
  const auto final = training_parameters<double>("final");
  CHECK(parameter_distance(config, state.model.parameters(), final) < tolerance);
  CHECK(state.moments.steps == losses.size());
}

}  // namespace

TEST_CASE("20 golden steps in double", "[optimizer]") {
  check_golden_steps<double>(1e-9);
}

TEST_CASE("20 golden steps in float", "[optimizer]") {
  check_golden_steps<float>(1e-3);
}
