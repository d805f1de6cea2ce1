// The language model against the golden logits, its parts against each other.
#include <mamba2/language_model.hpp>
#include <mamba2/model_directory.hpp>
#include <support/models.hpp>
#include <support/testing.hpp>

#include <map>

using namespace mamba2;
using namespace testing;

namespace {

Tensor<std::int64_t, 2> golden_ids() {
  return load_golden<std::int64_t, 2>("lm/tiny", "input_ids");
}

// The model that the tests make themselves: every size different, none of them a multiple of another where it may be.
LanguageModelConfig small_config() {
  return {.n_layer = 2,
          .vocab_size = 45,
          .pad_vocab_size_multiple = 8,
          .mixer = Mamba2Config{.d_model = 12, .d_state = 5, .headdim = 3, .chunk_size = 7}};
}

Tensor<std::int64_t, 2> small_ids(std::size_t batch, std::size_t seqlen) {
  auto ids = Tensor<std::int64_t, 2>::from_shape({batch, seqlen});
  for (std::size_t i = 0; i < ids.size(); ++i) ids.data()[i] = static_cast<std::int64_t>((i * 31 + i * i * 7) % 45);
  return ids;
}

}  // namespace

TEMPLATE_TEST_CASE("the golden logits, from each layout and by each algorithm", "[language_model]", float, double) {
  const auto want = load_golden<double, 3>("lm/tiny", "logits");
  for (const std::string& name : golden_directories("lm/tiny")) {
    const auto model = load_language_model<TestType>(golden_path(name));
    for (const auto algorithm : {Algorithm::recurrent, Algorithm::quadratic, Algorithm::chunked}) {
      const double error = relative_error(model.forward(golden_ids(), {.algorithm = algorithm}), want);
      CAPTURE(name, static_cast<int>(algorithm), error);
      CHECK(error < golden_tolerance<TestType>);
    }
  }
}

TEST_CASE("the golden greedy continuation, token by token from the caches", "[language_model]") {
  const auto model = load_language_model<float>(golden_path("lm/tiny-hf"));
  const auto want = load_golden<std::int64_t, 2>("lm/tiny", "greedy");  // (1, 77): 45 of the prompt, then 32
  auto prompt = Tensor<std::int64_t, 2>::from_shape({1, 45});
  std::copy_n(want.data(), 45, prompt.data());
  auto cache = model.empty_cache(1);
  Tensor<float, 2> logits = model.prefill(prompt, cache);
  for (std::size_t t = 45; t < want.size(); ++t) {
    const auto best = std::max_element(logits.begin(), logits.begin() + 623) - logits.begin();
    CAPTURE(t);
    REQUIRE(best == want.data()[t]);
    logits = model.step(Tensor<std::int64_t, 1>{best}, cache);
  }
}

TEMPLATE_TEST_CASE("prefill and steps, in any mixture, equal one pass", "[language_model]", float, double) {
  const LanguageModel<TestType> model(small_config(), 3);
  const auto ids = small_ids(2, 23);
  const auto whole = model.forward(ids);
  const auto piece = [&](std::size_t begin, std::size_t end) {
    auto part = Tensor<std::int64_t, 2>::from_shape({2, end - begin});
    for (std::size_t b = 0; b < 2; ++b) std::copy(&ids(b, begin), &ids(b, begin) + (end - begin), &part(b, 0));
    return part;
  };
  const auto expected_after = [&](std::size_t t) {
    auto logits = Tensor<TestType, 2>::from_shape({2, whole.shape(2)});
    for (std::size_t b = 0; b < 2; ++b) std::copy_n(&whole(b, t, 0), whole.shape(2), &logits(b, 0));
    return logits;
  };
  auto cache = model.empty_cache(2);
  CHECK(relative_error(model.prefill(piece(0, 9), cache), expected_after(8)) < golden_tolerance<TestType>);
  for (std::size_t t = 9; t < 13; ++t) {
    const Tensor<std::int64_t, 1> token{ids(0, t), ids(1, t)};
    CHECK(relative_error(model.step(token, cache), expected_after(t)) < golden_tolerance<TestType>);
  }
  const auto logits = model.prefill(piece(13, 23), cache, {.algorithm = Algorithm::recurrent});
  CHECK(relative_error(logits, expected_after(22)) < golden_tolerance<TestType>);
}

TEMPLATE_TEST_CASE("a prompt read in pieces gives what it gives at once", "[language_model]", float, double) {
  const LanguageModel<TestType> model(small_config(), 3);
  const auto ids = small_ids(2, 23);
  auto cache = model.empty_cache(2);
  const auto want = model.prefill(ids, cache, {.piece = 23});
  for (const std::size_t piece : {1, 2, 7, 22, 500}) {
    CAPTURE(piece);
    auto other = model.empty_cache(2);
    CHECK(relative_error(model.prefill(ids, other, {.piece = piece}), want) < golden_tolerance<TestType>);
    for (std::size_t i = 0; i < cache.size(); ++i) {
      const auto &a = cache.template as<Mamba2Cache<TestType>>(i), &b = other.template as<Mamba2Cache<TestType>>(i);
      CHECK(relative_error(b.ssm_state, a.ssm_state) < golden_tolerance<TestType>);
      CHECK(relative_error(b.conv_state, a.conv_state) < golden_tolerance<TestType>);
    }
  }
  CHECK_THROWS_AS(model.prefill(ids, cache, {.piece = 0}), ValueError);
}

TEST_CASE("a later token changes no earlier logits", "[language_model]") {
  const LanguageModel<double> model(small_config(), 4);
  auto ids = small_ids(1, 20);
  const auto before = model.forward(ids);
  ids(0, 11) = (ids(0, 11) + 1) % 45;
  const auto after = model.forward(ids);
  for (std::size_t t = 0; t < 20; ++t) {
    double change = 0;
    for (std::size_t v = 0; v < 48; ++v) change = std::max(change, std::abs(before(0, t, v) - after(0, t, v)));
    CAPTURE(t);
    if (t < 11)
      CHECK(change == 0);
    else
      CHECK(change > 0);
  }
}

TEST_CASE("ids outside the vocabulary are refused with their place", "[language_model]") {
  const LanguageModel<float> model(small_config(), 5);
  auto ids = small_ids(2, 4);
  ids(1, 2) = 48;
  CHECK(message_of<ValueError>([&] { model.forward(ids); }) == "ids: expected 0 to 47, got 48 at (1, 2)");
  ids(1, 2) = -1;
  CHECK(message_of<ValueError>([&] { model.forward(ids); }) == "ids: expected 0 to 47, got -1 at (1, 2)");
  auto cache = model.empty_cache(1);
  CHECK_THROWS_AS(model.step({48}, cache), ValueError);
  CHECK_THROWS_AS(model.prefill(Tensor<std::int64_t, 2>::from_shape({1, 0}), cache), ValueError);
  auto untouched = model.empty_cache(2);
  CHECK_THROWS_AS(model.prefill(ids, untouched, {.piece = 1}), ValueError);  // found before the first piece is read
  for (const auto& state : untouched[0].states())
    for (const float value : state.values) CHECK(value == 0);
  CHECK_THROWS_AS(model.step({1, 2}, cache), ShapeError);
  auto deeper = small_config();
  deeper.n_layer = 3;
  cache = LanguageModel<float>(deeper, 5).empty_cache(1);
  CHECK_THROWS_AS(model.step({1}, cache), ShapeError);
}

TEST_CASE("no tokens give no logits", "[language_model]") {
  const LanguageModel<float> model(small_config(), 6);
  CHECK(model.forward(Tensor<std::int64_t, 2>::from_shape({3, 0})).shape() == std::array<std::size_t, 3>{3, 0, 48});
}

TEST_CASE("an untied head is another matrix than the embedding", "[language_model]") {
  auto config = small_config();
  config.tie_embeddings = false;
  LanguageModel<double> model(config, 7);
  REQUIRE(model.parameters().lm_head_weight.shape() == model.parameters().embedding_weight.shape());
  const auto before = model.forward(small_ids(1, 5));
  model.update([](auto& p) { p.lm_head_weight *= 2; });
  const auto after = model.forward(small_ids(1, 5));
  Tensor<double, 3> doubled = before;
  for (double& logit : doubled) logit *= 2;
  CHECK(relative_error(after, doubled) < 1e-14);
}

TEST_CASE("the published sizes have the published numbers of parameters", "[language_model]") {
  const auto count = [](std::size_t d_model, std::size_t n_layer) {
    return parameter_count({.n_layer = n_layer,
                            .vocab_size = 50277,
                            .pad_vocab_size_multiple = 16,
                            .mixer = Mamba2Config{.d_model = d_model}});
  };
  CHECK(count(768, 24) == 128'989'632);
  CHECK(count(1024, 48) == 368'346'624);
  CHECK(count(1536, 48) == 780'161'280);
  CHECK(count(2048, 48) == 1'343'757'312);
  CHECK(count(2560, 64) == 2'702'599'680);
}

TEST_CASE("parameter_list() says what the model has, for every option", "[language_model]") {
  for (int options = 0; options < 128; ++options) {
    auto config = small_config();
    config.tie_embeddings = (options & 1) == 0;
    config.d_intermediate = (options & 64) != 0 ? 5 : 0;
    Mamba2Config& block = edit_block(config);
    block.bias = (options & 2) != 0;
    block.conv_bias = (options & 4) == 0;
    block.rmsnorm = (options & 8) == 0;
    block.D_has_hdim = (options & 16) != 0;
    block.d_ssm = (options & 32) != 0 ? 18 : 0;
    const auto parameters = zero_parameters<float>(config);
    const auto list = parameter_list(config);
    const auto spans = parameter_spans(parameters);
    REQUIRE(spans.size() == list.size());
    std::size_t sum = 0;
    for (std::size_t i = 0; i < list.size(); ++i) {
      CAPTURE(options, list[i].name);
      CHECK(spans[i].size() == list[i].size());
      sum += spans[i].size();
    }
    CHECK(sum == parameter_count(config));
    CHECK_NOTHROW(LanguageModel<float>(config, parameters));
  }
}

TEST_CASE("fresh parameters are drawn as in the reference", "[language_model]") {
  auto config = small_config();
  config.vocab_size = 4000;
  config.tie_embeddings = false;
  edit_block(config).bias = true;
  const LanguageModel<double> model(config, 8);
  const auto& p = model.parameters();
  double mean = 0, square = 0;
  for (const double w : p.embedding_weight) mean += w, square += w * w;
  const auto n = static_cast<double>(p.embedding_weight.size());
  CHECK(std::abs(mean / n) < 5e-4);
  CHECK(std::sqrt(square / n) == Approx(0.02).epsilon(0.02));
  const double bound = 1 / std::sqrt(24.0) / std::sqrt(2.0);  // 1 / sqrt(d_inner) / sqrt(n_layer)
  double largest = 0;
  for (std::size_t i = 0; i < 2; ++i) {
    for (const double w : block_parameters(p, i).out_proj_weight) largest = std::max(largest, std::abs(w));
    for (const double w : block_parameters(p, i).out_proj_bias) CHECK(w == 0);
    for (const double w : block_parameters(p, i).in_proj_bias) CHECK(w == 0);
    for (const double w : p.branches[i].norm_weight) CHECK(w == 1);
  }
  CHECK(largest <= bound);
  CHECK(largest > 0.95 * bound);
  double head = 0;
  for (const double w : p.lm_head_weight) head = std::max(head, std::abs(w));
  CHECK(head <= 1 / std::sqrt(12.0));
  CHECK(head > 0.95 / std::sqrt(12.0));
  const LanguageModel<double> again(config, 8), other(config, 9);
  CHECK(again.parameters().embedding_weight == p.embedding_weight);
  CHECK(other.parameters().embedding_weight != p.embedding_weight);
}

TEST_CASE("a model's configuration checks itself", "[language_model]") {
  const auto message = [](auto change) {
    auto config = small_config();
    change(config);
    return message_of<ValueError>([&] { config.check(); });
  };
  using Config = LanguageModelConfig;
  CHECK(message([](Config& c) { c.n_layer = 0; }).find("n_layer: expected 1 to 4096, got 0") == 0);
  CHECK(message([](Config& c) { c.vocab_size = 0; }).find("vocab_size") == 0);
  CHECK(message([](Config& c) { c.pad_vocab_size_multiple = 0; }).find("pad_vocab_size_multiple") == 0);
  CHECK(message([](Config& c) { c.norm_eps = -1; }).find("norm_eps") == 0);
  CHECK_THROWS_AS(parameter_list(Config{.n_layer = 1, .vocab_size = 9, .mixer = Mamba2Config{}}), ValueError);
}
