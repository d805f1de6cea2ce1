// Language models of Mamba-3.
#include <mamba2/language_model.hpp>
#include <mamba2/mamba3.hpp>
#include <mamba2/model_directory.hpp>
#include <mamba2/model_gradient.hpp>
#include <support/adjoints.hpp>
#include <support/files.hpp>
#include <support/models.hpp>
#include <support/testing.hpp>

#include <algorithm>
#include <string>

using namespace mamba2;
using namespace testing;

namespace {

std::string published(bool mimo) {
  return std::string(R"({"d_model": 768, "d_intermediate": )") + (mimo ? "1264" : "1536") +
         R"(, "n_layer": 12, "vocab_size": 128256, "ssm_cfg": {"layer": "Mamba3", "d_state": 128, "expand": 2,
         "headdim": 64, "ngroups": 1, "rope_fraction": 0.5, "is_outproj_norm": false, "dt_min": 0.001, "dt_max": 0.1,
         "dt_init_floor": 0.0001, "chunk_size": 64, "is_mimo": )" +
         (mimo ? R"(true, "mimo_rank": 4)" : "false") +
         R"(}, "attn_layer_idx": [], "attn_cfg": {}, "rms_norm": true, "residual_in_fp32": true, "fused_add_norm": true,
         "pad_vocab_size_multiple": 16, "tie_embeddings": true})";
}

}  // namespace

TEMPLATE_TEST_CASE("the golden logits of a Mamba-3 model", "[mamba3][language_model]", float, double) {
  const auto model = load_language_model<TestType>(golden_path("lm/mamba3_mlp"));
  CHECK(relative_error(model.forward(load_golden<std::int64_t, 2>("lm/mamba3_mlp", "input_ids")),
                       load_golden<double, 3>("lm/mamba3_mlp", "logits")) < golden_tolerance<TestType>);
}

TEMPLATE_TEST_CASE("a Mamba-3 model goes on as the golden one does", "[mamba3][language_model]", float, double) {
  const auto want = load_golden<std::int64_t, 2>("lm/mamba3_mlp", "greedy");
  const auto model = load_language_model<TestType>(golden_path("lm/mamba3_mlp"));
  auto prompt = Tensor<std::int64_t, 2>::from_shape({1, 29});
  std::copy_n(want.data(), 29, prompt.data());
  auto cache = model.empty_cache(1);
  auto logits = model.prefill(prompt, cache, {.piece = 10});
  for (std::size_t t = 29; t < want.size(); ++t) {
    CAPTURE(t);
    REQUIRE(std::max_element(logits.begin(), logits.begin() + 157) - logits.begin() == want.data()[t]);
    logits = model.step(Tensor<std::int64_t, 1>{want.data()[t]}, cache);
  }
}

TEST_CASE("the published Mamba-3 sizes have the published number of parameters and names", "[mamba3][config]") {
  CHECK(parameter_count(parse_config(published(false), "c")) == 186'849'600);
  const auto config = parse_config(published(true), "c");
  const auto list = parameter_list(config);
  const auto find = [&](const std::string& name) {
    const auto at =
        std::find_if(list.begin(), list.end(), [&](const ParameterInfo& info) { return info.name == name; });
    return at == list.end() ? std::vector<std::size_t>{} : at->shape;
  };
  using Shape = std::vector<std::size_t>;
  CHECK(find("backbone.layers.11.mixer.in_proj.weight") == Shape{4200, 768});
  CHECK(find("backbone.layers.0.mixer.B_bias") == Shape{24, 4, 128});
  CHECK(find("backbone.layers.0.mixer.mimo_o") == Shape{24, 4, 64});
  CHECK(find("backbone.layers.0.mlp.fc1.weight") == Shape{2 * 1280, 768});
  CHECK(find("backbone.embedding.weight") == Shape{128256, 768});
  CHECK(find("lm_head.weight") == Shape{});
}

TEST_CASE("a Mamba-3 model that is saved loads with the same configuration and numbers", "[mamba3][directory]") {
  for (const int option : {0, 1, 2}) {
    Mamba3Config block{.d_model = 12, .d_state = 8, .headdim = 4, .ngroups = 2};
    if (option == 1) block.is_mimo = true, block.mimo_rank = 3, block.is_outproj_norm = true;
    if (option == 2) block.A_activation = RateActivation::softplus, block.rope_fraction = 1, block.A_floor = 0;
    const LanguageModelConfig config{.n_layer = 2, .vocab_size = 45, .mixer = block, .d_intermediate = 20};
    const LanguageModel<float> model(config, 3);
    const TemporaryDirectory directory;
    save_language_model(model, directory.path(), CheckpointLayout::reference);
    const auto again = load_language_model<float>(directory.path());
    CAPTURE(option);
    CHECK(again.config() == config);
    bool same = true;
    walk(
        config, [&](const auto&, auto a, auto b) { same = same && std::equal(a.begin(), a.end(), b.begin()); },
        model.parameters(), again.parameters());
    CHECK(same);
  }
}

TEST_CASE("a whole Mamba-3 model has the gradients that differences say", "[mamba3][model_gradient]") {
  const LanguageModelConfig config{.n_layer = 2,
                                   .vocab_size = 5,
                                   .mixer = Mamba3Config{.d_model = 4, .d_state = 4, .headdim = 4, .chunk_size = 2},
                                   .d_intermediate = 3};
  LanguageModel<double> model(config, 3);
  const Tensor<std::int64_t, 2> ids{{0, 3, 1, 4, 2}}, targets{{3, 1, 4, 2, 0}};
  auto gradients = zero_parameters<double>(config);
  loss_and_gradients(model, ids, targets, gradients);
  auto p = model.parameters();
  auto& bias = p.branches[0].mixer.as<Mamba3Parameters<double>>().dt_bias;
  const auto want = central_differences(
      numbers(bias), [&] { return cross_entropy(LanguageModel<double>(config, p).forward(ids), targets).mean(); });
  CHECK(relative_difference(values(gradients.branches[0].mixer.as<Mamba3Parameters<double>>().dt_bias), want) < 1e-6);
}

TEST_CASE("options of Mamba-3 that are not known are refused", "[mamba3][config][hostile]") {
  const auto refused = [](const std::string& more) {
    return message_of<FileError>([&] {
      parse_config(
          R"({"d_model": 8, "n_layer": 1, "vocab_size": 9, "ssm_cfg": {"layer": "Mamba3", "d_state": 8, "headdim": 8, )" +
              more + "}}",
          "c");
    });
  };
  CHECK(refused(R"("d_conv": 4)").starts_with("c: ssm_cfg.d_conv: an option that is not known"));
  CHECK(refused(R"("A_activation": "relu")").starts_with("c: ssm_cfg.A_activation: expected \"heavy_tail\""));
  CHECK(refused(R"("rope_fraction": 0.25)").find("rope_fraction: expected 0.5 or 1") != std::string::npos);
}
