#include <mamba2/model_gradient.hpp>
#include <support/adjoints.hpp>
#include <support/testing.hpp>
#include <support/training_run.hpp>

#include <cmath>
#include <functional>
#include <string>
#include <vector>

using namespace mamba2;
using testing::load_golden;
using testing::message_of;

namespace {

using Ids = Tensor<std::int64_t, 2>;

// A model in which every size differs; no parameter is at a round number.
LanguageModelConfig small_config(bool tied = true) {
  return {.n_layer = 2,
          .vocab_size = 7,
          .pad_vocab_size_multiple = 3,
          .tie_embeddings = tied,
          .norm_eps = 1e-3,
          .mixer = Mamba2Config{.d_model = 4, .d_state = 3, .d_conv = 3, .headdim = 2, .ngroups = 2, .chunk_size = 4}};
}

LanguageModelParameters<double> small_parameters(const LanguageModelConfig& config, std::uint64_t seed = 1) {
  auto parameters = zero_parameters<double>(config);
  testing::Random random(seed);
  for (const auto& span : parameter_spans(parameters))
    for (double& value : span) value = random.uniform(-0.7, 0.7);
  return parameters;
}

Ids some_ids(std::size_t batch, std::size_t seqlen, std::uint64_t seed) {
  Ids ids({batch, seqlen});
  testing::Random random(seed);
  for (auto& id : ids) id = static_cast<std::int64_t>(random.uniform(0, 7));
  return ids;
}

std::vector<double> joined_values(const LanguageModelParameters<double>& parameters) {
  std::vector<double> all;
  for (const auto& span : parameter_spans(parameters)) all.insert(all.end(), span.begin(), span.end());
  return all;
}

// The gradient of a mean, from nothing.
std::vector<double> gradient_of(const LanguageModel<double>& model, const Ids& ids, const Ids& targets,
                                const GradientOptions& options = {}, LanguageModelCache<double>* cache = nullptr) {
  auto gradients = zero_parameters<double>(model.config());
  loss_and_gradients(model, ids, targets, gradients, options, cache);
  return joined_values(gradients);
}

// The mean as prefill and forward pass know it, going on from a cache that stays as it is.
double mean_loss(const LanguageModel<double>& model, const Ids& ids, const Ids& targets,
                 const LanguageModelCache<double>* cache = nullptr) {
  auto copy = cache ? *cache : model.empty_cache(ids.shape(0));
  return cross_entropy(model.forward(ids, copy), targets).mean();
}

// The slope of the loss along a direction in all parameters at once, by central differences.
double slope_along(const LanguageModelConfig& config, const std::vector<double>& direction, const Ids& ids,
                   const Ids& targets, const LanguageModelCache<double>* cache = nullptr) {
  const auto there = [&](double step) {
    auto parameters = small_parameters(config);
    std::size_t i = 0;
    for (const auto& span : parameter_spans(parameters))
      for (double& value : span) value += step * direction[i++];
    return mean_loss({config, parameters}, ids, targets, cache);
  };
  return (there(1e-5) - there(-1e-5)) / 2e-5;
}

}  // namespace

TEMPLATE_TEST_CASE("loss and gradients of a model are the golden ones", "[model_gradient]", float, double) {
  const bool narrow = std::is_same_v<TestType, float>;
  const LanguageModel<TestType> model(testing::training_config(), testing::training_parameters<TestType>("init"));
  const auto [ids, targets] = testing::training_batch(0);
  for (const bool recompute : {false, true}) {
    auto gradients = zero_parameters<TestType>(model.config());
    const auto loss = loss_and_gradients(model, ids, targets, gradients, {.recompute = recompute});
    const double want = load_golden<double, 1>("train", "losses")(0);
    CHECK(std::abs(loss.mean() - want) / want < (narrow ? 1e-6 : 1e-12));
    CHECK(testing::parameter_distance(testing::training_config(), gradients,
                                      testing::training_parameters<double>("first_gradient")) <
          testing::gradient_tolerance<TestType>);
  }
}

TEST_CASE("gradients of a model are central differences, in every parameter", "[model_gradient]") {
  const auto ids = some_ids(2, 6, 1), targets = some_ids(2, 6, 2);
  for (const bool tied : {true, false}) {
    const auto config = small_config(tied);
    auto parameters = small_parameters(config);
    const auto got = gradient_of({config, parameters}, ids, targets);
    std::vector<double> want;
    for (const auto& span : parameter_spans(parameters)) {
      const auto part =
          testing::central_differences(span, [&] { return mean_loss({config, parameters}, ids, targets); });
      want = testing::joined(want, part);
    }
    CHECK(testing::relative_difference(got, want) < 1e-8);
  }
}

TEST_CASE("gradients go through layers with a gated MLP", "[model_gradient]") {
  auto config = small_config();
  config.d_intermediate = 100;
  const auto ids = some_ids(2, 6, 1), targets = some_ids(2, 6, 2);
  const auto gradient = gradient_of({config, small_parameters(config)}, ids, targets);
  auto direction = gradient;
  testing::Random random(5);
  for (double& value : direction) value = random.uniform();
  CHECK(slope_along(config, direction, ids, targets) == Approx(testing::dot(gradient, direction)).epsilon(1e-7));
}

TEST_CASE("what is computed once more is the same", "[model_gradient]") {
  const auto config = small_config();
  const LanguageModel<double> model(config, small_parameters(config));
  const auto ids = some_ids(2, 9, 1), targets = some_ids(2, 9, 2);
  auto kept = model.empty_cache(2);
  model.prefill(some_ids(2, 5, 3), kept);
  auto again = kept;
  CHECK(gradient_of(model, ids, targets, {}, &kept) == gradient_of(model, ids, targets, {.recompute = true}, &again));
}

TEST_CASE("a text goes on from the cache, and its gradient stops there", "[model_gradient]") {
  const auto config = small_config();
  const LanguageModel<double> model(config, small_parameters(config));
  const auto ids = some_ids(2, 12, 1), targets = some_ids(2, 12, 2);
  const auto piece = [](const Ids& of, std::size_t first, std::size_t last) {
    return Ids(xt::view(of, xt::all(), xt::range(first, last)));
  };
  auto cache = model.empty_cache(2);
  auto gradients = zero_parameters<double>(config);
  auto loss = loss_and_gradients(model, piece(ids, 0, 5), piece(targets, 0, 5), gradients, {}, &cache);
  const auto before = cache;
  const auto second = gradient_of(model, piece(ids, 5, 12), piece(targets, 5, 12), {}, &cache);

  auto whole = model.empty_cache(2);
  loss += loss_and_gradients(model, piece(ids, 5, 12), piece(targets, 5, 12), gradients, {}, &(cache = before));
  CHECK(loss.mean() == Approx(mean_loss(model, ids, targets)).epsilon(1e-12));
  const auto next = some_ids(2, 1, 7);
  model.prefill(ids, whole);
  const Tensor<double, 2> a = model.prefill(next, whole), b = model.prefill(next, cache);
  CHECK(testing::relative_error(b, a) < 1e-12);

  // With the cache held fast, the gradient of the second piece is that of its loss.
  auto direction = second;
  testing::Random random(5);
  for (double& value : direction) value = random.uniform();
  CHECK(slope_along(config, direction, piece(ids, 5, 12), piece(targets, 5, 12), &before) ==
        Approx(testing::dot(second, direction)).epsilon(1e-7));
}

TEST_CASE("a step may be shared among calls", "[model_gradient]") {
  const auto config = small_config();
  const LanguageModel<double> model(config, small_parameters(config));
  const auto ids = some_ids(3, 6, 1), targets = some_ids(3, 6, 2);
  const auto whole = gradient_of(model, ids, targets);
  auto gradients = zero_parameters<double>(config);
  CrossEntropy loss;
  for (const auto& [first, last] : {std::pair{0, 1}, std::pair{1, 3}}) {
    const Ids some = xt::view(ids, xt::range(first, last)), came = xt::view(targets, xt::range(first, last));
    loss += loss_and_gradients(model, some, came, gradients, {.weight = 1.0 / 18});
  }
  CHECK(loss.tokens == 18);
  CHECK(testing::relative_difference(joined_values(gradients), whole) < 1e-13);
}

TEST_CASE("the mean is over the places that are asked about", "[model_gradient]") {
  const auto config = small_config();
  const LanguageModel<double> model(config, small_parameters(config));
  const auto ids = some_ids(2, 6, 1);
  auto targets = some_ids(2, 6, 2);
  for (std::size_t t = 3; t < 6; ++t) targets(0, t) = targets(1, t) = not_asked;  // what is read there matters to none
  const Ids begun = xt::view(ids, xt::all(), xt::range(0, 3)), came = xt::view(targets, xt::all(), xt::range(0, 3));
  auto gradients = zero_parameters<double>(config);
  CHECK(loss_and_gradients(model, ids, targets, gradients).tokens == 6);
  CHECK(testing::relative_difference(joined_values(gradients), gradient_of(model, begun, came)) < 1e-13);
  targets.fill(not_asked);
  auto none = zero_parameters<double>(config);
  CHECK(loss_and_gradients(model, ids, targets, none).tokens == 0);
  for (const double value : joined_values(none)) CHECK(value == 0);
  CHECK_THROWS_AS(loss_and_gradients(model, targets, ids, none), ValueError);
}

TEST_CASE("rows dealt out to threads give the gradients of the batch", "[model_gradient]") {
  const auto config = small_config();
  LanguageModel<double> model(config, small_parameters(config));
  const auto ids = some_ids(5, 6, 1), targets = some_ids(5, 6, 2);
  auto cache = model.empty_cache(5), before = cache;
  model.prefill(some_ids(5, 4, 3), before);
  cache = before;
  const auto want = gradient_of(model, ids, targets, {}, &cache);
  const auto after = model.prefill(some_ids(5, 1, 4), cache);

  Operations<double> threaded = plain_operations<double>();  // the last share comes first
  threaded.run_all = [](std::size_t count, const std::function<void(std::size_t)>& task) {
    while (count-- > 0) task(count);
  };
  model.use(threaded);
  for (const bool recompute : {false, true}) {
    cache = before;
    const auto got = gradient_of(model, ids, targets, {.recompute = recompute}, &cache);
    CHECK(testing::relative_difference(got, want) < 1e-13);
    CHECK(testing::relative_error(model.prefill(some_ids(5, 1, 4), cache), after) < 1e-13);
  }
  const auto two = some_ids(2, 6, 1);  // more shares than rows
  model.use(plain_operations<double>());
  const auto alone = gradient_of(model, two, two);
  model.use(threaded);
  CHECK(testing::relative_difference(gradient_of(model, two, two), alone) < 1e-13);
  auto beyond = ids;
  beyond(4, 2) = 9;
  auto gradients = zero_parameters<double>(config);
  CHECK(message_of<ValueError>([&] { loss_and_gradients(model, ids, beyond, gradients); }) ==
        "targets: expected 0 to 8 or -1, got 9 at (4, 2)");
}

TEST_CASE("gradients of a model do not depend on chunks", "[model_gradient]") {
  const auto config = small_config();
  const LanguageModel<double> model(config, small_parameters(config));
  const auto ids = some_ids(2, 13, 1), targets = some_ids(2, 13, 2);
  const auto want = gradient_of(model, ids, targets);
  for (const std::size_t chunk_size : {1u, 5u, 64u})
    CHECK(testing::relative_difference(gradient_of(model, ids, targets, {.chunk_size = chunk_size}), want) < 1e-12);
}

TEST_CASE("gradients of a model refuse what cannot be", "[model_gradient]") {
  auto config = small_config();
  const LanguageModel<double> model(config, small_parameters(config));
  const auto ids = some_ids(2, 4, 1);
  auto gradients = zero_parameters<double>(config);
  CHECK_THROWS_AS(loss_and_gradients(model, ids, some_ids(2, 3, 1), gradients), ShapeError);
  CHECK_THROWS_AS(loss_and_gradients(model, Ids({2, 0}), Ids({2, 0}), gradients), ValueError);
  auto beyond = ids;
  beyond(1, 2) = 9;
  CHECK_THROWS_AS(loss_and_gradients(model, beyond, ids, gradients), ValueError);
  CHECK_THROWS_AS(loss_and_gradients(model, ids, beyond, gradients), ValueError);
  auto one = model.empty_cache(1);
  CHECK_THROWS_AS(loss_and_gradients(model, ids, ids, gradients, {}, &one), ShapeError);
  gradients.branches.pop_back();
  CHECK_THROWS_AS(loss_and_gradients(model, ids, ids, gradients), ShapeError);

  config.other_mixers[1] = Mamba1Config{.d_model = 4, .d_state = 3};
  const LanguageModel<double> mixed(config, 1);
  auto zero = zero_parameters<double>(config);
  CHECK(message_of<ValueError>([&] { loss_and_gradients(mixed, ids, ids, zero); }) ==
        "mixer: expected one whose gradients are known, Mamba2 or a gated MLP, got Mamba1");
}
