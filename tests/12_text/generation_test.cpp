// Generation: the golden continuation, texts together and apart, stopping, padding never chosen.
#include <mamba2/generation.hpp>
#include <mamba2/model_directory.hpp>
#include <support/testing.hpp>

#include <algorithm>

using namespace mamba2;
using namespace testing;
using Ids = std::vector<std::int64_t>;
using Prompts = std::vector<Ids>;

namespace {

template <class Real>
const LanguageModel<Real>& tiny() {
  static const auto model = load_language_model<Real>(golden_path("lm/tiny"));
  return model;
}

Ids greedy_ids() {
  const auto ids = load_golden<std::int64_t, 2>("lm/tiny", "greedy");
  return {ids.begin(), ids.end()};
}

Ids first(const Ids& ids, std::size_t count) {
  return {ids.begin(), ids.begin() + static_cast<std::ptrdiff_t>(count)};
}

Ids after(const Ids& ids, std::size_t count) {
  return {ids.begin() + static_cast<std::ptrdiff_t>(count), ids.end()};
}

const GenerationOptions greedy = {.max_new_tokens = 32, .sampling = {.temperature = 0}};
const Prompts three = {{5, 17, 300, 8}, {42}, {7, 7, 100, 9, 250, 611, 3, 12, 80, 81, 82}};

}  // namespace

TEMPLATE_TEST_CASE("the golden prompt goes on as the reference does", "[generation][golden]", float, double) {
  const Ids all = greedy_ids();
  REQUIRE(all.size() == 77);
  for (const Algorithm algorithm : {Algorithm::recurrent, Algorithm::quadratic, Algorithm::chunked}) {
    GenerationOptions options = greedy;
    options.model.algorithm = algorithm;
    const auto result = generate(tiny<TestType>(), {first(all, 45)}, options);
    REQUIRE(result.size() == 1);
    CHECK(result[0].ids == after(all, 45));
    CHECK(result[0].finish == Finish::length);
  }
}

TEST_CASE("texts of unequal lengths go on together as they do alone", "[generation]") {
  for (const double temperature : {0.0, 1.0}) {
    GenerationOptions options = {
        .max_new_tokens = 20, .sampling = {.temperature = temperature, .top_p = 0.95}, .seed = 4};
    const auto together = generate(tiny<double>(), three, options);
    REQUIRE(together.size() == 3);
    for (std::size_t i = 0; i < 3; ++i) {
      options.seed = 4 + i;
      CHECK(together[i].ids == generate(tiny<double>(), {three[i]}, options)[0].ids);
      CHECK(together[i].ids.size() == 20);
    }
    CHECK(together[0].ids != together[1].ids);
  }
}

TEST_CASE("each token is the one that the whole text so far asks for", "[generation]") {
  const auto result = generate(tiny<double>(), three, greedy);
  for (std::size_t i = 0; i < 3; ++i) {
    Ids text = three[i];
    for (const std::int64_t id : first(result[i].ids, 5)) {
      auto ids = Tensor<std::int64_t, 2>::from_shape({1, text.size()});
      std::copy(text.begin(), text.end(), ids.begin());
      const auto logits = tiny<double>().forward(ids);
      const double* row = &logits(0, text.size() - 1, 0);
      CHECK(id == std::max_element(row, row + 623) - row);
      text.push_back(id);
    }
  }
}

TEST_CASE("a text ends at a stop token, and the others go on", "[generation]") {
  const auto whole = generate(tiny<double>(), three, greedy);
  GenerationOptions options = greedy;
  options.stop_ids = {whole[1].ids[4], 622};
  std::vector<Ids> heard(3);
  const auto result = generate(tiny<double>(), three, options, [&](std::size_t text, std::int64_t id) {
    heard[text].push_back(id);
    return true;
  });
  for (std::size_t i = 0; i < 3; ++i) {
    const auto& ids = whole[i].ids;
    const auto stop = std::find_first_of(ids.begin(), ids.end(), options.stop_ids.begin(), options.stop_ids.end());
    CHECK(result[i].ids == Ids(ids.begin(), stop));
    CHECK(result[i].finish == (stop == ids.end() ? Finish::length : Finish::stop));
    CHECK(heard[i] == result[i].ids);
  }
  CHECK(result[1].finish == Finish::stop);
  CHECK(result[1].ids.size() <= 4);
}

TEST_CASE("who listens may end it", "[generation]") {
  std::size_t count = 0;
  const auto result = generate(tiny<double>(), three, greedy, [&](std::size_t, std::int64_t) { return ++count < 5; });
  CHECK(count == 5);
  CHECK(result[0].ids.size() == 2);
  CHECK(result[1].ids.size() == 2);
  CHECK(result[2].ids.size() == 1);
  for (const auto& text : result) CHECK(text.finish == Finish::interrupted);
}

TEST_CASE("padding of the vocabulary is never chosen", "[generation]") {
  auto model = load_language_model<double>(golden_path("lm/tiny"));
  model.update([](auto& p) {
    for (std::size_t k = 0; k < 32; ++k)
      p.embedding_weight(623, k) = 50 * p.norm_f_weight(k);  // the padding row, made loud
  });
  const auto model_vocab = generate(model, three, {.max_new_tokens = 60, .sampling = {.temperature = 3}});
  const auto smaller =
      generate(model, three, {.max_new_tokens = 60, .vocab_size = 100, .sampling = {.temperature = 3}});
  std::int64_t most = 0;
  for (std::size_t i = 0; i < 3; ++i) {
    for (const std::int64_t id : model_vocab[i].ids) most = std::max(most, id);
    for (const std::int64_t id : smaller[i].ids) CHECK(id < 100);
  }
  CHECK(most < 623);
  CHECK(most >= 100);
}

TEST_CASE("tokens of the prompt count as seen", "[generation]") {
  GenerationOptions options = {.max_new_tokens = 1, .sampling = {.temperature = 0}};
  const auto in_prompt = [&](std::size_t i) {
    const std::int64_t id = generate(tiny<double>(), {three[i]}, options)[0].ids[0];
    return std::find(three[i].begin(), three[i].end(), id) != three[i].end();
  };
  CHECK(!(in_prompt(0) && in_prompt(2)));
  options.sampling.repetition_penalty = 1e-6;  // below 1: what was seen becomes likelier
  CHECK(in_prompt(0));
  CHECK(in_prompt(2));
}

TEST_CASE("rows of caches are put together and left out", "[generation]") {
  const auto& model = tiny<double>();
  auto both = model.empty_cache(2), one = model.empty_cache(1);
  model.step({3, 4}, both);
  model.step({5}, one);
  const std::vector<CacheRow<double>> rows = {{&one, 0}, {&both, 1}};
  auto joined = gather_cache<double>(rows);
  const auto logits = model.step({7, 8}, joined);
  auto expected = model.empty_cache(2);
  model.step({5, 4}, expected);
  CHECK(relative_error(logits, model.step({7, 8}, expected)) < 1e-13);
  CHECK(message_of<ValueError>([] { gather_cache<double>({}); }) == "rows: expected at least one, got none");
  const std::vector<CacheRow<double>> wrong = {{&one, 0}, {&both, 2}};
  CHECK(message_of<ValueError>([&] { gather_cache<double>(wrong); }) ==
        "row: expected one of a cache of the same model, got 2");
}

TEST_CASE("what cannot be generated is refused, nothing is nothing", "[generation][hostile]") {
  CHECK(generate(tiny<double>(), {}, greedy).empty());
  const auto none = generate(tiny<double>(), {{1}}, {.max_new_tokens = 0});
  CHECK(none.size() == 1);
  CHECK(none[0].ids.empty());
  const auto refused = [](const Prompts& prompts, const GenerationOptions& options) {
    return message_of<ValueError>([&] { generate(tiny<double>(), prompts, options); });
  };
  CHECK(refused({{1}, {}}, greedy) == "prompt: expected at least one token, got none");
  CHECK(refused({{1}}, {.vocab_size = 624}) == "vocab_size: expected at most the model's 623, got 624");
  CHECK(refused({{1}}, {.sampling = {.top_p = 2}}) == "top_p: expected above 0, at most 1, got 2.0");
  CHECK(refused({{1, 624}}, greedy).starts_with("ids: expected 0 to 623, got 624"));
  auto broken = load_language_model<double>(golden_path("lm/tiny"));
  broken.update([](auto& p) { p.norm_f_weight(0) = std::nan(""); });
  CHECK(message_of<ValueError>([&] {
          generate(broken, {{1}}, greedy);
        }).starts_with("logits: expected numbers, got NaN for token 0"));
}
