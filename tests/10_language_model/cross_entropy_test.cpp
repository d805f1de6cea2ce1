// Cross-entropy against its definition, in pieces, and against the golden losses.
#include <mamba2/cross_entropy.hpp>
#include <mamba2/model_directory.hpp>
#include <support/testing.hpp>

#include <numbers>

using namespace mamba2;
using namespace testing;

namespace {

using Ids = Tensor<std::int64_t, 2>;

Ids some_targets(std::size_t batch, std::size_t seqlen, std::size_t vocab) {
  auto ids = Ids::from_shape({batch, seqlen});
  for (std::size_t i = 0; i < ids.size(); ++i) ids.data()[i] = static_cast<std::int64_t>((i * i * 5 + 3 * i) % vocab);
  return ids;
}

template <class T, std::size_t N>
Tensor<T, N> places(const Tensor<T, N>& all, std::size_t begin, std::size_t end) {
  return xt::view(all, xt::all(), xt::range(begin, end));
}

}  // namespace

TEMPLATE_TEST_CASE("cross-entropy is the mean of minus the logarithm of the softmax", "[cross_entropy]", float,
                   double) {
  const auto logits = random_tensor<TestType, 3>({2, 5, 7}, 3, -4, 4);
  const Ids targets = some_targets(2, 5, 7);
  double nats = 0;
  for (std::size_t b = 0; b < 2; ++b)
    for (std::size_t t = 0; t < 5; ++t) {
      double sum = 0;
      for (std::size_t v = 0; v < 7; ++v) sum += std::exp(static_cast<double>(logits(b, t, v)));
      nats -= std::log(std::exp(static_cast<double>(logits(b, t, static_cast<std::size_t>(targets(b, t))))) / sum);
    }
  const CrossEntropy found = cross_entropy(logits, targets);
  CHECK(found.tokens == 10);
  CHECK(std::abs(found.nats - nats) < 1e-12 * nats);
  CHECK(std::abs(found.mean() - nats / 10) < 1e-12);
  CHECK(std::abs(found.perplexity() - std::exp(nats / 10)) < 1e-12 * std::exp(nats / 10));
  CHECK(std::abs(found.bits_per_byte(37) - nats / std::log(2.0) / 37) < 1e-12);

  CrossEntropy pieces = cross_entropy(places(logits, 0, 3), places(targets, 0, 3));
  pieces += cross_entropy(places(logits, 3, 5), places(targets, 3, 5));
  CHECK(pieces.tokens == found.tokens);
  CHECK(std::abs(pieces.nats - found.nats) < 1e-12 * nats);
}

TEMPLATE_TEST_CASE("equal scores, of any size, are as hard to guess as the vocabulary is large", "[cross_entropy]",
                   float, double) {
  for (const double score : {0.0, 1.5, -3e4, 3e38}) {
    const Tensor<TestType, 3> logits({1, 4, 11}, static_cast<TestType>(score));
    const CrossEntropy found = cross_entropy(logits, some_targets(1, 4, 11));
    CAPTURE(score);
    CHECK(std::abs(found.mean() - std::log(11.0)) < 1e-14);
    CHECK(std::abs(found.perplexity() - 11) < 1e-12);
    CHECK(std::abs(found.bits_per_byte(4) - std::log2(11.0)) < 1e-14);
  }
}

TEMPLATE_TEST_CASE("huge scores cost what they should", "[cross_entropy]", float, double) {
  const auto cost = [](std::vector<TestType> scores, std::int64_t target) {
    Tensor<TestType, 3> logits({1, 1, scores.size()});
    std::copy(scores.begin(), scores.end(), logits.begin());
    return cross_entropy(logits, Ids{{target}}).nats;
  };
  constexpr auto infinity = std::numeric_limits<TestType>::infinity();
  CHECK(cost({8192, 0, -8192}, 0) == 0);
  CHECK(cost({8192, 0, -8192}, 1) == 8192);
  CHECK(cost({8192, 0, -8192}, 2) == 16384);
  CHECK(std::abs(cost({8192, 8192, -8192}, 1) - std::numbers::ln2) < 1e-15);
  CHECK(cost({0, -infinity}, 0) == 0);                                        // impossible, and did not come
  CHECK(cost({0, -infinity}, 1) == std::numeric_limits<double>::infinity());  // impossible, and came
}

TEST_CASE("the terms of a large vocabulary are summed in double", "[cross_entropy]") {
  const std::size_t vocab = 50288;
  Tensor<float, 3> logits({1, 1, vocab}, 0.0F);
  logits(0, 0, 0) = 17.0F;  // then each other term is less than half a float's last place of the sum
  const double want = std::log(std::exp(17.0) + static_cast<double>(vocab - 1));
  CHECK(std::abs(cross_entropy(logits, Ids{{5}}).nats - want) < 1e-10);
}

TEST_CASE("what cannot be judged is refused, with its place", "[cross_entropy]") {
  Tensor<float, 3> logits({2, 3, 4}, 0.0F);
  Ids targets({2, 3}, 1);
  for (const std::int64_t wrong : {-2, 4}) {
    targets(1, 2) = wrong;
    CHECK(message_of<ValueError>([&] { cross_entropy(logits, targets); }) ==
          "targets: expected 0 to 3 or -1, got " + std::to_string(wrong) + " at (1, 2)");
  }
  targets(1, 2) = 3;
  for (const float wrong : {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()})
    for (const std::size_t v : {0U, 2U}) {
      auto others = logits;
      others(1, 0, v) = wrong;
      CHECK(message_of<ValueError>([&] { cross_entropy(others, targets); }) ==
            "logits: expected finite scores, got NaN or infinity at (1, 0)");
    }
  CHECK(message_of<ShapeError>([&] { cross_entropy(logits, Ids({2, 2}, 0)); }) ==
        "targets: expected shape (batch, seqlen) = (2, 3), got (2, 2)");
  CHECK_THROWS_AS(cross_entropy(Tensor<float, 3>({1, 1, 0}), Ids({1, 1}, 0)), ValueError);
  CHECK_THROWS_AS(CrossEntropy{}.mean(), ValueError);
  CHECK_THROWS_AS(CrossEntropy{}.perplexity(), ValueError);
  CHECK_THROWS_AS(cross_entropy(logits, targets).bits_per_byte(0), ValueError);
}

TEMPLATE_TEST_CASE("a place that is not asked about costs nothing", "[cross_entropy]", float, double) {
  auto logits = random_tensor<TestType, 3>({2, 5, 7}, 3, -4, 4);
  Ids targets = some_targets(2, 5, 7), others = targets;
  const CrossEntropy all = cross_entropy(logits, targets);
  for (const auto& [b, t] : {std::pair{0, 0}, std::pair{0, 3}, std::pair{1, 4}}) {
    targets(b, t) = not_asked;
    logits(b, t, 2) = std::numeric_limits<TestType>::quiet_NaN();  // nobody looks
  }
  CHECK(places_asked(targets) == 7);
  const CrossEntropy found = cross_entropy(logits, targets);
  CHECK(found.tokens == 7);
  CrossEntropy rest;  // the places left out, alone
  const auto whole = random_tensor<TestType, 3>({2, 5, 7}, 3, -4, 4);
  for (std::size_t b = 0; b < 2; ++b)
    for (std::size_t t = 0; t < 5; ++t)
      if (targets(b, t) == not_asked)
        rest += cross_entropy(Tensor<TestType, 3>(xt::view(whole, xt::range(b, b + 1), xt::range(t, t + 1), xt::all())),
                              Ids{{others(b, t)}});
  CHECK(rest.tokens == 3);
  CHECK(std::abs(found.nats + rest.nats - all.nats) < 1e-12 * all.nats);
  targets.fill(not_asked);
  CHECK(cross_entropy(logits, targets).tokens == 0);
}

TEMPLATE_TEST_CASE("the loss that the golden training begins with", "[cross_entropy]", float, double) {
  const LanguageModelConfig config{.n_layer = 2,
                                   .vocab_size = 32,
                                   .mixer = Mamba2Config{.d_model = 24, .d_state = 8, .headdim = 8, .chunk_size = 16}};
  auto parameters = zero_parameters<TestType>(config);
  walk(
      config,
      [](const ParameterInfo& info, std::span<TestType> values) {
        const auto array = read_npy<double>(golden_path("train/init") / (info.name + ".npy"));
        REQUIRE(array.values.size() == values.size());
        std::transform(array.values.begin(), array.values.end(), values.begin(),
                       [](double value) { return static_cast<TestType>(value); });
      },
      parameters);
  const LanguageModel<TestType> model(config, std::move(parameters));
  const auto tokens = load_golden<std::int64_t, 3>("train", "tokens");  // (20, 4, 33)
  const Ids first = xt::view(tokens, 0, xt::all(), xt::all());
  const double want = load_golden<double, 1>("train", "losses")(0);
  const CrossEntropy whole = cross_entropy(model, first);
  CHECK(whole.tokens == 4 * 32);
  CHECK(std::abs(whole.mean() / want - 1) < golden_tolerance<TestType>);
  for (const std::size_t piece : {1U, 5U, 32U}) {
    const CrossEntropy pieces = cross_entropy(model, first, {.piece = piece});
    CAPTURE(piece);
    CHECK(pieces.tokens == whole.tokens);
    CHECK(std::abs(pieces.nats / whole.nats - 1) < golden_tolerance<TestType>);
  }
  CHECK(cross_entropy(model, Ids(xt::view(first, xt::all(), xt::range(0, 1)))).tokens == 0);
  CHECK_THROWS_AS(cross_entropy(model, first, {.piece = 0}), ValueError);
}

TEMPLATE_TEST_CASE("forward with a cache goes on where it stopped", "[language_model]", float, double) {
  const auto model = load_language_model<TestType>(golden_path("lm/tiny-hf"));
  const auto ids = load_golden<std::int64_t, 2>("lm/tiny", "input_ids");
  const auto want = load_golden<TestType, 3>("lm/tiny", "logits");
  auto cache = model.empty_cache(2);
  CHECK(relative_error(model.forward(places(ids, 0, 19), cache), places(want, 0, 19)) < golden_tolerance<TestType>);
  CHECK(relative_error(model.forward(places(ids, 19, 45), cache), places(want, 19, 45)) < golden_tolerance<TestType>);
  auto other = model.empty_cache(1);
  CHECK_THROWS_AS(model.forward(places(ids, 0, 1), other), ShapeError);
}
