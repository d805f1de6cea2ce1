// Mixers of any kind in a model: a toy that exists only here, a gated MLP, layers of different kinds.
#include <mamba2/activation.hpp>
#include <mamba2/language_model.hpp>
#include <support/models.hpp>
#include <support/testing.hpp>

#include <algorithm>
#include <array>
#include <tuple>

using namespace mamba2;
using namespace testing;

namespace toy {

// y_t = w ∘ (u_0 + ... + u_t): a mixer that adds up.
struct Config {
  std::size_t d_model = 0;
  void check() const { require(d_model > 0, "d_model", "at least 1", "0"); }
  bool operator==(const Config&) const = default;
};

template <class Real>
struct Parameters {
  using value_type = Real;
  Tensor<Real, 1> w;
  template <class Self>
  static auto tensors(Self& p) {
    return std::tie(p.w);
  }
};

std::vector<ParameterInfo> describe(const Config& config) {
  return {{.name = "w", .shape = {config.d_model}, .axes = "(d_model)", .initial = constant(0.5)}};
}

std::size_t state_size(const Config& config) {
  return config.d_model;
}

template <class Real>
struct Adds {
  struct Cache {
    Tensor<Real, 2> sum;
    template <class Self>
    static auto tensors(Self& cache) {
      return std::tie(cache.sum);
    }
    static std::array<const char*, 1> names() { return {"sum"}; }
  };
  struct Activations {
    std::size_t tokens = 0;
  };

  Adds(const Config& c, Parameters<Real>& p, const KeepWeight<Real>&) : config(c), parameters(&p) {
    check_shapes(c, p);
  }
  Cache empty_cache(std::size_t batch) const { return {zeros<Real>(batch, config.d_model)}; }
  void forward(const MixerInput<Real>& input, Cache* cache, const Operations<Real>& operations, Activations& a,
               MatrixRef<Real> y) const {
    a.tokens = input.u.rows;
    Cache fresh = empty_cache(input.batch);
    const std::size_t seqlen = input.batch == 0 ? 0 : input.u.rows / input.batch;
    Cache& sums = cache ? *cache : fresh;
    for (std::size_t b = 0; b < input.batch; ++b)
      for (std::size_t t = 0; t < seqlen; ++t) add(input.u[b * seqlen + t], &sums.sum(b, 0), y[b * seqlen + t]);
    (void)operations;
  }
  void step(MatrixRef<const Real> u, Cache& cache, const Operations<Real>&, MatrixRef<Real> y) const {
    for (std::size_t b = 0; b < u.rows; ++b) add(u[b], &cache.sum(b, 0), y[b]);
  }
  void add(const Real* u, Real* sum, Real* y) const {
    for (std::size_t k = 0; k < config.d_model; ++k) y[k] = parameters->w(k) * (sum[k] += u[k]);
  }

  Config config;
  const Parameters<Real>* parameters;
};

}  // namespace toy

namespace mamba2 {
template <>
struct MixerTraits<toy::Config> {
  static constexpr const char* name = "Toy";
  template <class Real>
  using Parameters = toy::Parameters<Real>;
  template <class Real>
  using Computes = toy::Adds<Real>;
};
}  // namespace mamba2

namespace {

Tensor<std::int64_t, 2> some_ids(std::size_t batch, std::size_t seqlen) {
  auto ids = Tensor<std::int64_t, 2>::from_shape({batch, seqlen});
  for (std::size_t i = 0; i < ids.size(); ++i) ids.data()[i] = static_cast<std::int64_t>((i * 31 + i * i * 7) % 45);
  return ids;
}

// Toys, a Mamba-2 block in the middle, and an MLP in every layer.
LanguageModelConfig mixed() {
  return {.n_layer = 3,
          .vocab_size = 45,
          .mixer = toy::Config{10},
          .other_mixers = {{1, Mamba2Config{.d_model = 10, .d_state = 3, .headdim = 5, .chunk_size = 4}}},
          .d_intermediate = 7};
}

template <class Real>
LanguageModel<Real> shaken(const LanguageModelConfig& config) {
  LanguageModel<Real> model(config, 3);
  model.update([](auto& p) {
    testing::Random random(4);
    for (const auto& values : parameter_spans(p))
      for (Real& value : values) value += static_cast<Real>(random.uniform(-0.2, 0.2));
  });
  return model;
}

}  // namespace

TEST_CASE("a model takes a mixer that it has never heard of", "[mixer]") {
  const auto list = parameter_list(mixed());
  const auto has = [&](const char* name) {
    return std::any_of(list.begin(), list.end(), [&](const auto& info) { return info.name == name; });
  };
  CHECK(has("backbone.layers.0.mixer.w"));
  CHECK(has("backbone.layers.1.mixer.A_log"));
  CHECK(!has("backbone.layers.1.mixer.w"));
  CHECK(has("backbone.layers.2.mixer.w"));
  CHECK(has("backbone.layers.2.norm2.weight"));
  CHECK(has("backbone.layers.2.mlp.fc1.weight"));

  const auto model = shaken<double>(mixed());
  CHECK(model.parameters().branches[0].mixer.as<toy::Parameters<double>>().w(3) != 0.5);
  CHECK_THROWS_AS(model.parameters().branches[0].mixer.as<Mamba2Parameters<double>>(), ValueError);
  const auto ids = some_ids(2, 11);
  const auto want = model.forward(ids);
  auto cache = model.empty_cache(2);
  const Tensor<std::int64_t, 2> prompt = xt::view(ids, xt::all(), xt::range(0, 4));
  auto logits = model.prefill(prompt, cache, {.piece = 3});
  for (std::size_t t = 4; t < 11; ++t) {
    CHECK(relative_error(logits, Tensor<double, 2>(xt::view(want, xt::all(), t - 1))) < 1e-13);
    logits = model.step({ids(0, t), ids(1, t)}, cache);
  }
  CHECK(relative_error(logits, Tensor<double, 2>(xt::view(want, xt::all(), 10))) < 1e-13);

  // A copy is another continuation; and texts that were read apart go on together.
  auto copy = cache;
  CHECK(relative_error(model.step({1, 2}, copy), model.step({1, 2}, cache)) == 0);
  auto other = model.empty_cache(1), joined = other.like(2);
  model.step({9}, other);
  joined.take(0, cache, 1);
  joined.take(1, other, 0);
  const auto together = model.step({7, 8}, joined);
  const auto row = [&](const Tensor<double, 2>& m, std::size_t i) { return Tensor<double, 1>(xt::view(m, i)); };
  CHECK(relative_error(row(together, 0), row(model.step({6, 7}, cache), 1)) < 1e-14);
  CHECK(relative_error(row(together, 1), row(model.step({8}, other), 0)) < 1e-14);
  CHECK_THROWS_AS(joined.take(2, other, 0), ValueError);
}

TEST_CASE("a forward pass can keep what is in between", "[mixer]") {
  const auto model = shaken<float>(mixed());
  LanguageModelActivations<float> kept;
  const auto ids = some_ids(2, 5);
  const auto logits = model.forward(ids, {}, &kept);
  CHECK(relative_error(model.forward(ids), logits) == 0);
  REQUIRE(kept.branches.size() == 6);
  REQUIRE(kept.streams.size() == 7);
  CHECK(std::any_cast<const toy::Adds<float>::Activations&>(kept.branches[0]).tokens == 10);
  CHECK(std::any_cast<const Mamba2Activations<float>&>(kept.branches[2]).merged.shape(1) == 20);
  CHECK(std::any_cast<const GatedMlpActivations<float>&>(kept.branches[5]).gated.shape(1) == 128);
  for (std::size_t k = 0; k < 10; ++k)
    CHECK(kept.streams[0](1, 2, k) == model.parameters().embedding_weight(static_cast<std::size_t>(ids(1, 2)), k));
  // The last stream, normed, gives the logits.
  auto normed = Tensor<float, 3>::from_shape(kept.streams[6].shape());
  rms_norm<float>(as_rows(std::as_const(kept.streams[6])), as_span(model.parameters().norm_f_weight), 1e-5,
                  as_rows(normed));
  auto again = logits;
  linear<float>(as_rows(std::as_const(normed)), as_matrix(model.parameters().embedding_weight), {}, as_rows(again));
  CHECK(relative_error(again, logits) < 1e-6);
}

TEMPLATE_TEST_CASE("a gated MLP against a plain computation", "[mixer]", float, double) {
  const GatedMlpConfig config{.d_model = 6, .d_intermediate = 5, .multiple_of = 4};
  REQUIRE(config.hidden() == 8);
  GatedMlpParameters<TestType> p{random_tensor<TestType, 2>({16, 6}, 1), random_tensor<TestType, 2>({6, 8}, 2)};
  const auto u = random_tensor<TestType, 2>({7, 6}, 3);
  auto want = zeros<double>(7, 6);
  for (std::size_t t = 0; t < 7; ++t)
    for (std::size_t h = 0; h < 8; ++h) {
      double v = 0, g = 0;
      for (std::size_t k = 0; k < 6; ++k) {
        v += static_cast<double>(p.fc1_weight(h, k)) * static_cast<double>(u(t, k));
        g += static_cast<double>(p.fc1_weight(8 + h, k)) * static_cast<double>(u(t, k));
      }
      for (std::size_t k = 0; k < 6; ++k) want(t, k) += static_cast<double>(p.fc2_weight(k, h)) * v * silu(g);
    }
  const GatedMlp<TestType> mlp(config, p);
  const Operations<TestType>& operations = default_operations<TestType>();
  auto y = zeros<TestType>(7, 6), stepped = y;
  GatedMlpActivations<TestType> a;
  auto cache = mlp.empty_cache(7);
  mlp.forward({.u = as_matrix(u), .batch = 1}, nullptr, operations, a, as_matrix(y));
  mlp.step(as_matrix(u), cache, operations, as_matrix(stepped));
  CHECK(relative_error(y, want) < golden_tolerance<TestType>);
  CHECK(relative_error(stepped, want) < golden_tolerance<TestType>);
  p.fc2_weight = zeros<TestType>(6, 7);
  CHECK(message_of<ShapeError>([&] { GatedMlp<TestType>(config, p); }) ==
        "fc2.weight: expected shape (d_model, hidden) = (6, 8), got (6, 7)");
}

TEST_CASE("a model's walk goes through sets of different types in step", "[mixer]") {
  const auto model = shaken<float>(mixed());
  auto moments = zero_parameters<double>(mixed());
  std::size_t numbers = 0, decayed = 0;
  walk(
      mixed(),
      [&](const ParameterInfo& info, std::span<const float> from, std::span<double> to) {
        std::copy(from.begin(), from.end(), to.begin());
        numbers += info.size();
        decayed += info.decays ? info.size() : 0;
      },
      model.parameters(), moments);
  CHECK(numbers == parameter_count(mixed()));
  CHECK(decayed < numbers);
  const LanguageModel<double> exact(mixed(), std::move(moments));
  CHECK(relative_error(model.forward(some_ids(1, 6)), exact.forward(some_ids(1, 6))) < 2e-5);
}

TEST_CASE("a configuration of several mixers checks itself", "[mixer]") {
  const auto refusal = [](auto change) {
    auto config = mixed();
    change(config);
    return message_of<ValueError>([&] { config.check(); });
  };
  using C = LanguageModelConfig;
  CHECK(refusal([](C& c) { c.other_mixers[3] = toy::Config{10}; }) ==
        "layer of another mixer: expected less than 3, got 3");
  CHECK(refusal([](C& c) { c.other_mixers[0] = toy::Config{11}; }) == "d_model: expected 10 in every layer, got 11");
  CHECK(refusal([](C& c) { c.other_mixers[0] = toy::Config{0}; }) == "d_model: expected at least 1, got 0");
  CHECK(refusal([](C& c) { c.mixer = MixerConfig(); }) == "mixer: expected a configuration, got none");
  CHECK(message_of<ValueError>([] { mixed().mixer.as<Mamba2Config>(); }) == "mixer: expected Mamba2, got Toy");

  auto parameters = zero_parameters<float>(mixed());
  parameters.branches.pop_back();
  CHECK(message_of<ValueError>([&] { LanguageModel<float>(mixed(), parameters); }) == "branches: expected 6, got 5");
  parameters = zero_parameters<float>(mixed());
  std::swap(parameters.branches[0].mixer, parameters.branches[2].mixer);
  CHECK_THROWS_AS(LanguageModel<float>(mixed(), parameters), ValueError);
  auto cache = shaken<float>(mixed()).empty_cache(1);
  auto other = mixed();
  other.other_mixers.clear();
  CHECK_THROWS_AS(shaken<float>(other).step({1}, cache), ValueError);
}
