// Steps of training: accumulation, the state carried on, divergence; a run kept in files goes on bit for bit.
#include <mamba2/cross_entropy.hpp>
#include <mamba2/model_gradient.hpp>
#include <mamba2/training.hpp>
#include <mamba2/training_checkpoint.hpp>
#include <support/files.hpp>
#include <support/training.hpp>

#include <cstring>

using namespace mamba2;
using namespace testing;

namespace {

const TrainingOptions quick{.adamw = {},
                            .schedule = {.peak = 0.02, .last = 0.1, .warmup = 5},
                            .batches = {.batch = 3, .seqlen = 13, .seed = 4}};

template <class Real>
void advance(TrainingRun<Real>& run, Batches& batches, std::uint64_t until) {
  while (run.state.moments.steps < until) {
    const std::uint64_t step = run.state.moments.steps;
    const auto list = batches_of_step(batches, step, run.options);
    run.watch.add(training_step<Real>(run.state, list, static_cast<double>(step) / 80, run.options).loss);
  }
}

template <class Real>
TrainingRun<Real> fresh(const TrainingOptions& options) {
  return {.state = TrainingState<Real>(LanguageModel<Real>(small_training_config(), 1)), .options = options};
}

// Bits, not values: -0 is not 0.
template <class Real>
bool same_bits(const LanguageModelParameters<Real>& a, const LanguageModelParameters<Real>& b) {
  bool same = true;
  walk(
      small_training_config(),
      [&](const ParameterInfo&, std::span<const Real> x, std::span<const Real> y) {
        same = same && std::memcmp(x.data(), y.data(), x.size_bytes()) == 0;
      },
      a, b);
  return same;
}

}  // namespace

TEST_CASE("a small model learns a text that is easy to foretell", "[training]") {
  auto run = fresh<float>(quick);
  Batches batches(small_text(400), quick.batches);
  advance(run, batches, 1);
  const double before = run.watch.smoothed;
  CHECK(before == Approx(std::log(12.0)).margin(0.1));
  advance(run, batches, 80);
  CHECK(run.watch.smoothed < 0.5 * before);
  CHECK(run.watch.good());
}

TEST_CASE("batches that are added up make the step of one large batch", "[training]") {
  TrainingOptions options = quick;
  TrainingState<double> one(LanguageModel<double>(small_training_config(), 1)), three = one;
  Batch all{zeros<std::int64_t>(6, 13), zeros<std::int64_t>(6, 13), false};
  std::vector<Batch> parts;
  Batches batches(small_text(300), {.batch = 2, .seqlen = 13, .seed = 3});
  for (std::size_t i = 0; i < 3; ++i) {
    parts.push_back(batches.at(i));
    std::copy(parts[i].ids.begin(), parts[i].ids.end(), all.ids.data() + i * 26);
    std::copy(parts[i].targets.begin(), parts[i].targets.end(), all.targets.data() + i * 26);
  }
  const StepReport a = training_step<double>(one, std::span(&all, 1), 0, options);
  const StepReport b = training_step<double>(three, parts, 0, options);
  CHECK(a.loss == Approx(b.loss).epsilon(1e-13));
  CHECK(a.gradient_norm == Approx(b.gradient_norm).epsilon(1e-11));
  CHECK(parameter_distance(small_training_config(), three.moments.mean, one.moments.mean) < 1e-11);
  CHECK_THROWS_AS(training_step<double>(one, {}, 0, options), ValueError);
}

TEST_CASE("batches that ask about some places count those", "[training]") {
  TrainingState<double> one(LanguageModel<double>(small_training_config(), 1)), two = one;
  Batches batches(small_text(300), {.batch = 2, .seqlen = 13, .seed = 3});
  Batch all = batches.at(0);
  for (std::size_t t = 2; t < 13; ++t) all.targets(1, t) = not_asked;
  std::vector<Batch> rows;  // of 13 places and of 2
  for (std::size_t row = 0; row < 2; ++row)
    rows.push_back({xt::view(all.ids, xt::range(row, row + 1)), xt::view(all.targets, xt::range(row, row + 1)), false});
  auto gradient = zero_parameters<double>(small_training_config());
  loss_and_gradients(one.model, all.ids, all.targets, gradient);
  const StepReport a = training_step<double>(one, std::span(&all, 1), 0, quick);
  const StepReport b = training_step<double>(two, rows, 0, quick);
  CHECK(a.gradient_norm == Approx(gradient_norm<double>(small_training_config(), gradient)).epsilon(1e-12));
  CHECK(a.loss == Approx(b.loss).epsilon(1e-13));
  CHECK(parameter_distance(small_training_config(), two.moments.mean, one.moments.mean) < 1e-11);
  all.targets.fill(not_asked);
  CHECK_THROWS_AS(training_step<double>(one, std::span(&all, 1), 0, quick), ValueError);
  CHECK(one.moments.steps == 1);
}

TEST_CASE("the state is carried on from batch to batch, and begins anew with each epoch", "[training]") {
  TrainingOptions options = quick;
  options.batches.in_order = true;
  options.schedule.peak = 1e-300;  // the model stays as it is
  options.adamw.weight_decay = 0;
  Batches batches(small_text(13 * 3 * 4 + 1), options.batches);
  REQUIRE(batches.per_epoch() == 4);
  TrainingState<double> state(LanguageModel<double>(small_training_config(), 1));
  double sum = 0;
  for (std::uint64_t step = 0; step < 4; ++step)
    sum += training_step<double>(state, batches_of_step(batches, step, options), 0, options).loss;
  const auto rows = in_rows(std::span(batches.tokens()).first(13 * 3 * 4), 3);
  auto expected = CrossEntropy{};
  for (std::size_t row = 0; row < 3; ++row) {  // each row in one go, its last target included
    auto ids = Tensor<std::int64_t, 2>::from_shape({1, 13 * 4 + 1});
    std::copy_n(batches.tokens().data() + row * 52, 53, ids.begin());
    expected += cross_entropy(state.model, ids);
  }
  CHECK(sum / 4 == Approx(expected.mean()).epsilon(1e-12));
  const double first = training_step<double>(state, batches_of_step(batches, 4, options), 0, options).loss;
  TrainingState<double> again(LanguageModel<double>(small_training_config(), 1));
  CHECK(training_step<double>(again, batches_of_step(batches, 4, options), 0, options).loss == first);
}

TEST_CASE("a model that is not finite any more is left as it was", "[training]") {
  TrainingState<float> state(LanguageModel<float>(small_training_config(), 1));
  state.model.update([](auto& p) { p.norm_f_weight(2) = std::numeric_limits<float>::quiet_NaN(); });
  const auto before = state.model.parameters();
  Batches batches(small_text(300), quick.batches);
  const Batch batch = batches.at(0);
  CHECK_THROWS_AS(training_step<float>(state, std::span(&batch, 1), 0, quick), Error);
  CHECK(same_bits(state.model.parameters(), before));
  CHECK(state.moments.steps == 0);
}

TEST_CASE("a loss that runs away is seen, one bad batch is not taken for it", "[training]") {
  LossWatch watch;
  for (int i = 0; i < 50; ++i) watch.add(2);
  CHECK(watch.smoothed == Approx(2));
  watch.add(9);
  CHECK_FALSE(watch.diverged());
  for (int i = 0; i < 5; ++i) watch.add(9);
  CHECK(watch.diverged());
  CHECK_FALSE(watch.good());
  LossWatch falling;
  for (int i = 0; i < 50; ++i) {
    falling.add(5 - 0.05 * i);
    CHECK(falling.good());
  }
}

TEST_CASE("a training that was kept goes on bit for bit", "[training]") {
  for (const bool in_order : {false, true}) {
    TrainingOptions options = quick;
    options.batches.in_order = in_order;
    options.accumulate = 2;
    Batches batches(small_text(200), options.batches);
    auto whole = fresh<float>(options);
    advance(whole, batches, 12);

    const TemporaryDirectory directory;
    auto first = fresh<float>(options);
    first.notes["text"] = "a \"name\"\n";
    first.text = 0xfedcba9876543210u;
    advance(first, batches, 5);
    save_training(first, directory / "run");
    advance(first, batches, 7);
    first.seconds = 1.0 / 3;
    save_training(first, directory / "run");
    CHECK_FALSE(std::filesystem::exists(directory / "run" / "training-5.safetensors"));
    auto second = load_training<float>(directory / "run");
    CHECK(second.options == options);
    CHECK(second.notes == first.notes);
    CHECK(second.text == first.text);
    CHECK(second.seconds == first.seconds);
    CHECK(second.watch.smoothed == first.watch.smoothed);
    CHECK(second.watch.lowest == first.watch.lowest);
    CHECK(second.state.model.config() == small_training_config());
    advance(second, batches, 12);
    CHECK(second.state.moments.steps == 12);
    CHECK(same_bits(second.state.model.parameters(), whole.state.model.parameters()));
    CHECK(same_bits(second.state.moments.mean, whole.state.moments.mean));
    CHECK(same_bits(second.state.moments.square, whole.state.moments.square));
  }
}

TEST_CASE("a training in double is kept in double", "[training]") {
  const TemporaryDirectory directory;
  auto run = fresh<double>(quick);
  Batches batches(small_text(200), quick.batches);
  advance(run, batches, 2);
  save_training(run, directory / "run");
  CHECK(same_bits(load_training<double>(directory / "run").state.model.parameters(), run.state.model.parameters()));
  CHECK_THROWS_AS(load_training<float>(directory / "run"), FileError);
}

namespace {

// What is said of a training after its description was changed.
std::string refusal(const std::filesystem::path& directory, const std::string& from, const std::string& to) {
  const std::string json = read_file(directory / "training.json");
  std::string changed = json;
  REQUIRE(changed.find(from) != std::string::npos);
  changed.replace(changed.find(from), from.size(), to);
  write_file(directory / "training.json", changed);
  const std::string message = message_of<Error>([&] { load_training<float>(directory); });
  write_file(directory / "training.json", json);
  return message;
}

bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

}  // namespace

TEST_CASE("a damaged training is refused", "[training]") {
  const TemporaryDirectory directory;
  CHECK_FALSE(has_training(directory.path()));
  CHECK_THROWS_AS(load_training<float>(directory.path()), FileError);
  auto run = fresh<float>(quick);
  Batches batches(small_text(200), quick.batches);
  advance(run, batches, 2);
  save_training(run, directory.path());
  REQUIRE(has_training(directory.path()));
  REQUIRE_NOTHROW(load_training<float>(directory.path()));

  CHECK(contains(refusal(directory.path(), "version 1", "version 7"), "format: expected mamba2 training, version 1"));
  CHECK(contains(refusal(directory.path(), "training-2.s", "../training-2.s"), "numbers: expected"));
  CHECK(contains(refusal(directory.path(), "training-2.s", "training-3.s"), "training-3.safetensors"));
  CHECK(contains(refusal(directory.path(), "\"steps\": 2", "\"steps\": -2"), "steps: expected"));
  CHECK(contains(refusal(directory.path(), "\"d_model\": 6", "\"d_model\": 600000"), "too short for the model"));
  CHECK(contains(refusal(directory.path(), "\"cache\": 0", "\"cache\": 60000"), "too short for the model"));
  CHECK(contains(refusal(directory.path(), "\"batch\": 3", "\"batch\": 0"), "batch: expected at least 1"));
  CHECK(contains(refusal(directory.path(), "\"beta1\"", "\"beta9\""), "beta1"));
  CHECK(contains(refusal(directory.path(), "\"format\"", "format"), "training.json"));

  const auto file = directory / "training-2.safetensors";
  const std::string numbers = read_file(file);
  std::string changed = numbers;
  changed.back() = static_cast<char>(changed.back() ^ 1);
  write_file(file, changed);
  CHECK(contains(message_of<FileError>([&] { load_training<float>(directory.path()); }), "is damaged"));
  write_file(file, numbers.substr(0, numbers.size() - 4));
  CHECK_THROWS_AS(load_training<float>(directory.path()), FileError);
  write_file(file, numbers);
  CHECK_NOTHROW(load_training<float>(directory.path()));
}
