// Mamba-1 as a mixer, and language models of it.
#include <mamba2/language_model.hpp>
#include <mamba2/model_directory.hpp>
#include <support/files.hpp>
#include <support/models.hpp>
#include <support/testing.hpp>

#include <algorithm>
#include <limits>
#include <string>
#include <type_traits>

using namespace mamba2;
using namespace testing;

namespace {

template <class Real>
Mamba1Parameters<Real> golden_parameters(const Mamba1Config& config) {
  Mamba1Parameters<Real> p;
  with_tensors(config, p, [](const ParameterInfo& info, auto& tensor) {
    constexpr std::size_t axes = std::tuple_size_v<std::decay_t<decltype(tensor.shape())>>;
    if (info.present()) tensor = load_golden<Real, axes>("mamba1", info.name);
  });
  return p;
}

const Mamba1Config golden_config{.d_model = 16, .d_state = 8};

// No size like another, all that may be there is there.
const Mamba1Config full_config{.d_model = 10, .d_state = 3, .d_conv = 5, .expand = 3, .dt_rank = 4, .bias = true};

Mamba1Parameters<double> full_parameters(const Mamba1Config& config) {
  Mamba1Parameters<double> p;
  set_zero(config, p);
  mamba2::Random random(5);
  walk(config, [&](const ParameterInfo& info, std::span<double> values) { draw<double>(info, random, values); }, p);
  for (const auto& values : parameter_spans(p))
    for (double& value : values) value += random.uniform(-0.2, 0.2);
  return p;
}

template <class Real>
Tensor<Real, 3> outputs(const Mamba1Mixer<Real>& mixer, const Tensor<Real, 3>& u,
                        std::type_identity_t<Mamba1Cache<Real>*> cache = nullptr,
                        std::span<const std::int64_t> seq_idx = {}) {
  auto y = Tensor<Real, 3>::from_shape(u.shape());
  Mamba1Activations<Real> a;
  mixer.forward({.u = as_rows(u), .batch = u.shape(0), .seq_idx = seq_idx}, cache, default_operations<Real>(), a,
                as_rows(y));
  return y;
}

template <class Real>
Tensor<Real, 3> piece(const Tensor<Real, 3>& u, std::size_t first, std::size_t last) {
  return xt::view(u, xt::all(), xt::range(first, last));
}

}  // namespace

TEMPLATE_TEST_CASE("the Mamba-1 mixer gives the golden outputs and state", "[mamba1]", float, double) {
  auto p = golden_parameters<TestType>(golden_config);
  const Mamba1Mixer<TestType> mixer(golden_config, p);
  const auto u = load_golden<TestType, 3>("mamba1", "u");
  auto cache = mixer.empty_cache(u.shape(0));
  CHECK(relative_error(outputs(mixer, u, &cache), load_golden<double, 3>("mamba1", "y")) < golden_tolerance<TestType>);
  CHECK(relative_error(cache.ssm_state, load_golden<double, 3>("mamba1", "ssm_state")) < golden_tolerance<TestType>);
}

TEST_CASE("the Mamba-1 mixer equals the plain block, with and without biases", "[mamba1]") {
  for (const bool bias : {false, true}) {
    auto config = full_config;
    config.bias = config.conv_bias = bias;
    auto p = full_parameters(config);
    const Mamba1Mixer<double> mixer(config, p);
    const auto u = random_tensor<double, 3>({2, 11, 10}, 3);
    auto cache = mixer.empty_cache(2);
    const auto [y, state] = mamba1_block(p, u);
    CHECK(relative_error(outputs(mixer, u, &cache), y) < 1e-13);
    CHECK(relative_error(cache.ssm_state, state) < 1e-13);
  }
}

TEST_CASE("a text in pieces and token by token gives what Mamba-1 gives at once", "[mamba1]") {
  auto p = full_parameters(full_config);
  const Mamba1Mixer<double> mixer(full_config, p);
  const auto u = random_tensor<double, 3>({2, 14, 10}, 4);
  const auto want = outputs(mixer, u);
  for (const std::size_t first : {0, 1, 3, 6})
    for (const std::size_t second : {6, 7, 11}) {
      CAPTURE(first, second);
      auto cache = mixer.empty_cache(2);
      auto y = zeros<double>(2, 14, 10);
      xt::view(y, xt::all(), xt::range(0, first)) = outputs(mixer, piece(u, 0, first), &cache);
      for (std::size_t t = first; t < second; ++t) {
        const Tensor<double, 2> token = xt::view(u, xt::all(), t);
        auto one = zeros<double>(2, 10);
        mixer.step(as_matrix(token), cache, default_operations<double>(), as_matrix(one));
        xt::view(y, xt::all(), t) = one;
      }
      xt::view(y, xt::all(), xt::range(second, 14)) = outputs(mixer, piece(u, second, 14), &cache);
      CHECK(relative_error(y, want) < 1e-13);
    }
}

TEST_CASE("packed sequences do not see each other in Mamba-1", "[mamba1]") {
  auto p = full_parameters(full_config);
  const Mamba1Mixer<double> mixer(full_config, p);
  const auto u = random_tensor<double, 3>({1, 9, 10}, 6);
  const std::vector<std::int64_t> seq_idx{0, 0, 0, 0, 5, 5, 0, 0, 0};
  const auto packed = outputs(mixer, u, nullptr, seq_idx);
  for (const auto& [first, last] : {std::pair{0, 4}, std::pair{4, 6}, std::pair{6, 9}})
    CHECK(relative_error(piece(packed, first, last), outputs(mixer, piece(u, first, last))) < 1e-13);
}

TEMPLATE_TEST_CASE("the golden logits of a Mamba-1 model, from each layout", "[mamba1][language_model]", float,
                   double) {
  const auto ids = load_golden<std::int64_t, 2>("lm/mamba1", "input_ids");
  const auto want = load_golden<double, 3>("lm/mamba1", "logits");
  for (const std::string& name : golden_directories("lm/mamba1")) {
    const auto model = load_language_model<TestType>(golden_path(name));
    CAPTURE(name);
    CHECK(relative_error(model.forward(ids), want) < golden_tolerance<TestType>);
  }
}

TEMPLATE_TEST_CASE("a Mamba-1 model goes on as the golden one does", "[mamba1][language_model]", float, double) {
  const auto want = load_golden<std::int64_t, 2>("lm/mamba1", "greedy");
  const auto model = load_language_model<TestType>(golden_path("lm/mamba1-hf"));
  auto prompt = Tensor<std::int64_t, 2>::from_shape({1, 31});
  std::copy_n(want.data(), 31, prompt.data());
  auto cache = model.empty_cache(1);
  auto logits = model.prefill(prompt, cache, {.piece = 10});
  for (std::size_t t = 31; t < want.size(); ++t) {
    CAPTURE(t);
    REQUIRE(std::max_element(logits.begin(), logits.begin() + 157) - logits.begin() == want.data()[t]);
    logits = model.step(Tensor<std::int64_t, 1>{want.data()[t]}, cache);
  }
}

TEST_CASE("the published Mamba-1 sizes have the published numbers of parameters", "[mamba1][config]") {
  const auto count = [](const std::string& text) { return parameter_count(parse_config(text, "c")); };
  CHECK(count(R"({"d_model": 768, "n_layer": 24, "vocab_size": 50277, "ssm_cfg": {}, "rms_norm": true,
                  "residual_in_fp32": true, "fused_add_norm": true, "pad_vocab_size_multiple": 8})") == 129'135'360);
  CHECK(count(R"({"architectures": ["MambaForCausalLM"], "bos_token_id": 0, "conv_kernel": 4, "d_inner": 1536,
                  "d_model": 768, "eos_token_id": 0, "expand": 2, "fused_add_norm": true, "hidden_act": "silu",
                  "hidden_size": 768, "initializer_range": 0.1, "intermediate_size": 1536, "layer_norm_epsilon": 1e-05,
                  "model_type": "mamba", "n_layer": 24, "num_hidden_layers": 24, "pad_token_id": 0,
                  "pad_vocab_size_multiple": 8, "rescale_prenorm_residual": false, "residual_in_fp32": true,
                  "rms_norm": true, "ssm_cfg": {}, "state_size": 16, "time_step_floor": 0.0001,
                  "time_step_init_scheme": "random", "time_step_max": 0.1, "time_step_min": 0.001,
                  "time_step_rank": 48, "time_step_scale": 1.0, "torch_dtype": "float32",
                  "transformers_version": "4.39.0.dev0", "use_bias": false, "use_cache": true, "use_conv_bias": true,
                  "vocab_size": 50280})") == 129'135'360);
}

TEST_CASE("sizes that a file states twice have to agree", "[mamba1][config][hostile]") {
  const auto refused = [](const std::string& more) {
    return message_of<FileError>([&] {
      parse_config(
          R"({"model_type": "mamba", "hidden_size": 8, "num_hidden_layers": 1, "vocab_size": 9, )" + more + "}", "c");
    });
  };
  CHECK(refused(R"("d_model": 9)").starts_with("c: d_model: says another thing than 'hidden_size'"));
  CHECK(refused(R"("n_layer": 2)").starts_with("c: n_layer: says another thing"));
  CHECK(refused(R"("d_inner": 17)") == "c: d_inner: 17 is not expand times hidden_size, 16");
  CHECK(refused(R"("intermediate_size": 8)") == "c: intermediate_size: 8 is not expand times hidden_size, 16");
}

TEST_CASE("a Mamba-1 model that is saved loads with the same configuration and numbers", "[mamba1][directory]") {
  for (const auto layout : layouts())
    for (const int option : {0, 1, 2, 3}) {
      auto block = full_config;
      if (option == 1) block.dt_rank = 0, block.bias = false;
      if (option == 2) block.dt_init_constant = true, block.dt_scale = 2, block.dt_min = 0.002;
      if (option == 3) block.conv_bias = false, block.dt_max = 0.3, block.dt_init_floor = 0.0005;
      const LanguageModelConfig config{.n_layer = 2, .vocab_size = 45, .mixer = block};
      const LanguageModel<float> model(config, 3);
      const TemporaryDirectory directory;
      save_language_model(model, directory.path(), layout);
      const auto again = load_language_model<float>(directory.path());
      CAPTURE(option, layout == CheckpointLayout::reference);
      CHECK(again.config() == config);
      bool same = true;
      walk(
          config, [&](const auto&, auto a, auto b) { same = same && std::equal(a.begin(), a.end(), b.begin()); },
          model.parameters(), again.parameters());
      CHECK(same);
    }
}

TEST_CASE("fresh Mamba-1 parameters are drawn as in the reference", "[mamba1]") {
  const LanguageModelConfig config{.n_layer = 2, .vocab_size = 45, .mixer = full_config};
  const LanguageModel<double> model(config, 9);
  const auto& p = model.parameters().branches[1].mixer.as<Mamba1Parameters<double>>();
  for (std::size_t d = 0; d < 30; ++d)
    for (std::size_t n = 0; n < 3; ++n) CHECK(p.A_log(d, n) == std::log(static_cast<double>(n + 1)));
  CHECK(xt::amax(xt::abs(p.dt_proj_weight))() <= 0.5);                      // 1 / sqrt(4)
  CHECK(xt::amin(p.dt_proj_bias)() >= std::log(std::expm1(0.001)) - 1e-9);  // not zero, though a bias
  CHECK(xt::amax(p.dt_proj_bias)() <= std::log(std::expm1(0.1)) + 1e-9);
  CHECK(xt::amax(xt::abs(p.out_proj_bias))() == 0);
  CHECK(xt::amin(p.D)() == 1);
}

TEST_CASE("what makes no Mamba-1 block is refused, by name", "[mamba1][config][hostile]") {
  const auto refusal = [](auto change) {
    auto config = full_config;
    change(config);
    return message_of<ValueError>([&] { config.check(); });
  };
  using C = Mamba1Config;
  CHECK(refusal([](C& c) { c.d_model = 0; }) == "d_model: expected at least 1, got 0");
  CHECK(refusal([](C& c) { c.d_state = 0; }) == "d_state: expected at least 1, got 0");
  CHECK(refusal([](C& c) { c.d_conv = 0; }) == "d_conv: expected at least 1, got 0");
  CHECK(refusal([](C& c) { c.expand = 0; }) == "expand: expected at least 1, got 0");
  CHECK(refusal([](C& c) { c.dt_max = 0; }).starts_with("dt_max: expected a finite number"));
  CHECK(refusal([](C& c) { c.dt_min = std::numeric_limits<double>::quiet_NaN(); }).starts_with("dt_max: expected"));
  CHECK(refusal([](C& c) { c.dt_init_floor = -1; }).starts_with("dt_init_floor: expected at least 0"));
  CHECK(refusal([](C& c) { c.dt_scale = 0; }).starts_with("dt_scale: expected above 0"));

  const auto refused = [](const std::string& ssm_cfg) {
    return message_of<FileError>(
        [&] { parse_config(R"({"d_model": 8, "n_layer": 1, "vocab_size": 9, "ssm_cfg": )" + ssm_cfg + "}", "c"); });
  };
  CHECK(refused(R"({"dt_rank": 0})").starts_with("c: ssm_cfg.dt_rank: expected at least 1 or \"auto\""));
  CHECK(refused(R"({"dt_rank": "wide"})").starts_with("c: ssm_cfg.dt_rank: expected"));
  CHECK(refused(R"({"dt_init": "zero"})").starts_with("c: ssm_cfg.dt_init: expected \"random\" or \"constant\""));
  CHECK(refused(R"({"headdim": 4})").starts_with("c: ssm_cfg.headdim: an option that is not known"));

  auto p = full_parameters(full_config);
  p.x_proj_weight = zeros<double>(3, 3);
  CHECK(message_of<ShapeError>([&] { Mamba1Mixer<double>(full_config, p); }) ==
        "x_proj.weight: expected shape (dt_rank + 2 d_state, d_inner) = (10, 30), got (3, 3)");
  p = full_parameters(full_config);
  const Mamba1Mixer<double> mixer(full_config, p);
  auto cache = mixer.empty_cache(3);
  CHECK_THROWS_AS(outputs(mixer, zeros<double>(2, 4, 10), &cache), ShapeError);
}
