// Generation: the golden continuation, texts together and apart, where they begin and end, what is never chosen, going on later.
#include <mamba2/generation.hpp>
#include <mamba2/model_directory.hpp>
#include <mamba2/safetensors.hpp>
#include <mamba2/tokenizer.hpp>
#include <support/files.hpp>
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
    return GoOn::yes;
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
  const auto result = generate(tiny<double>(), three, greedy,
                               [&](std::size_t, std::int64_t) { return ++count < 5 ? GoOn::yes : GoOn::no; });
  CHECK(count == 5);
  CHECK(result[0].ids.size() == 2);
  CHECK(result[1].ids.size() == 2);
  CHECK(result[2].ids.size() == 1);
  for (const auto& text : result) CHECK(text.finish == Finish::interrupted);
}

TEST_CASE("an interruption leaves texts alone that ended in the same round", "[generation]") {
  const auto whole = generate(tiny<double>(), three, greedy);
  GenerationOptions options = greedy;
  options.stop_ids = {whole[0].ids[2]};  // the first text ends in the third round, in which the second is interrupted
  for (std::size_t i = 1; i < 3; ++i)
    for (std::size_t k = 0; k < 3; ++k) REQUIRE(whole[i].ids[k] != options.stop_ids[0]);
  std::size_t count = 0;
  const auto result = generate(tiny<double>(), three, options, [&](std::size_t text, std::int64_t) {
    return text == 1 && ++count == 3 ? GoOn::no : GoOn::yes;
  });
  CHECK(result[0].finish == Finish::stop);
  CHECK(result[0].ids == first(whole[0].ids, 2));
  CHECK(result[1].finish == Finish::interrupted);
  CHECK(result[1].ids == first(whole[1].ids, 3));
  CHECK(result[2].finish == Finish::interrupted);
  CHECK(result[2].ids == first(whole[2].ids, 2));
  options = greedy;
  options.max_new_tokens = 3;
  const auto full = generate(tiny<double>(), three, options, [&](std::size_t text, std::int64_t) {
    return text == 2 && --count == 0 ? GoOn::no : GoOn::yes;
  });
  for (const auto& text : full) CHECK(text.finish == Finish::length);
}

// One text at a time, the whole of it through the model for every token.
Generated plainly(const Ids& prompt, const GenerationOptions& options, std::uint64_t seed) {
  Sampler sampler(options.sampling, seed);
  sampler.saw(prompt);
  Generated result{{}, Finish::length};
  Ids text = prompt;
  while (result.ids.size() < options.max_new_tokens) {
    auto ids = Tensor<std::int64_t, 2>::from_shape({1, text.size()});
    std::copy(text.begin(), text.end(), ids.begin());
    const auto logits = tiny<double>().forward(ids);
    std::vector<double> scores(&logits(0, text.size() - 1, 0), &logits(0, text.size() - 1, 0) + options.vocab_size);
    for (const std::int64_t id : options.never_ids) scores[static_cast<std::size_t>(id)] = -HUGE_VAL;
    const std::int64_t id = sampler.choose(std::span<const double>(scores));
    if (std::count(options.stop_ids.begin(), options.stop_ids.end(), id) > 0) return {result.ids, Finish::stop};
    result.ids.push_back(id);
    text.push_back(id);
  }
  return result;
}

TEST_CASE("texts, samples, ends and what is never chosen are those of a plain loop", "[generation]") {
  std::size_t stopped = 0;
  for (std::uint64_t round = 0; round < 6; ++round) {
    mamba2::Random random(round);
    const auto below = [&](double most) { return static_cast<std::int64_t>(random.uniform(0, most)); };
    GenerationOptions options{.max_new_tokens = 1 + static_cast<std::size_t>(below(9)),
                              .samples = 1 + static_cast<std::size_t>(below(3)),
                              .vocab_size = 40,
                              .sampling = {.temperature = 0.4 * static_cast<double>(round), .repetition_penalty = 1.1},
                              .seed = 7 * round};
    for (int i = 0; i < 6; ++i) options.stop_ids.push_back(below(40));
    for (int i = 0; i < 6; ++i) options.never_ids.push_back(below(40));
    std::vector<Ids> heard(3 * options.samples);
    const auto result = generate(tiny<double>(), three, options, [&](std::size_t text, std::int64_t id) {
      heard[text].push_back(id);
      return GoOn::yes;
    });
    REQUIRE(result.size() == 3 * options.samples);
    for (std::size_t i = 0; i < result.size(); ++i) {
      const Generated want = plainly(three[i / options.samples], options, options.seed + i);
      CHECK(result[i].ids == want.ids);
      CHECK(result[i].finish == want.finish);
      CHECK(heard[i] == want.ids);
      stopped += want.finish == Finish::stop ? 1 : 0;
      for (const std::int64_t id : options.never_ids)
        CHECK(std::count(result[i].ids.begin(), result[i].ids.end(), id) == 0);
    }
  }
  CHECK(stopped > 3);
}

TEST_CASE("who listens may end one text, and the others go on", "[generation]") {
  const auto whole = generate(tiny<double>(), three, greedy);
  std::vector<std::size_t> count(3);
  const auto result = generate(tiny<double>(), three, greedy, [&](std::size_t text, std::int64_t) {
    return ++count[text] == 3 + text && text < 2 ? GoOn::others : GoOn::yes;
  });
  for (std::size_t i = 0; i < 3; ++i) CHECK(result[i].ids == first(whole[i].ids, i < 2 ? 3 + i : 32));
  CHECK(result[0].finish == Finish::stop);
  CHECK(result[1].finish == Finish::stop);
  CHECK(result[2].finish == Finish::length);
}

TEST_CASE("a text goes on from its state as if it had never stopped", "[generation]") {
  const GenerationOptions options{.max_new_tokens = 30, .sampling = {.temperature = 0, .repetition_penalty = 1.2}};
  const auto whole = generate(tiny<double>(), three, options);
  for (const std::size_t piece : {0, 1, 7, 30}) {
    GenerationOptions part = options;
    part.max_new_tokens = piece;
    std::vector<TextState<double>> states;
    const auto begun = generate(tiny<double>(), three, part, {}, &states);
    REQUIRE(states.size() == 3);
    for (std::size_t i = 0; i < 3; ++i) CHECK(begun[i].ids == first(whole[i].ids, piece));
    part.max_new_tokens = 30 - piece;
    const auto rest = generate(tiny<double>(), {{}, {}, {}}, part, {}, &states);
    for (std::size_t i = 0; i < 3; ++i) CHECK(rest[i].ids == after(whole[i].ids, piece));
  }
  // A prompt behind a state, several samples of it; states where a stop or who listens ended the text.
  std::vector<TextState<double>> states;
  generate(tiny<double>(), {first(three[2], 4)}, {.max_new_tokens = 0}, {}, &states);
  GenerationOptions two = options;
  two.samples = 2;
  two.stop_ids = {whole[2].ids[5]};
  const auto ended = generate(tiny<double>(), {after(three[2], 4)}, two, {}, &states);
  REQUIRE(states.size() == 2);
  REQUIRE(ended[1].finish == Finish::stop);
  CHECK(ended[1].ids == ended[0].ids);
  GenerationOptions rest = options;
  rest.sampling.repetition_penalty = 1;
  std::vector<TextState<double>> interrupted = {states[1]};
  const auto next = generate(tiny<double>(), {{}}, rest, [](auto, auto) { return GoOn::no; }, &interrupted);
  Ids text = three[2];
  text.insert(text.end(), ended[1].ids.begin(), ended[1].ids.end());
  rest.max_new_tokens = 3;
  const auto want = generate(tiny<double>(), {text}, rest)[0].ids;
  CHECK(next[0].ids == first(want, 1));
  CHECK(generate(tiny<double>(), {{}}, rest, {}, &interrupted)[0].ids[0] == want[1]);
}

TEST_CASE("an empty prompt begins as the options say", "[generation]") {
  GenerationOptions options = greedy;
  options.beginning = 42;
  const auto result = generate(tiny<double>(), {{}, three[0]}, options);
  const auto want = generate(tiny<double>(), {{42}, three[0]}, greedy);
  CHECK(result[0].ids == want[0].ids);
  CHECK(result[1].ids == want[1].ids);
}

TEST_CASE("options follow from the configuration and the tokenizer", "[generation]") {
  LanguageModelConfig config = tiny<double>().config();
  const auto tokenizer = load_tokenizer(golden_path("lm/tiny"));
  config.eos_token_ids.clear();
  GenerationOptions options{.stop_ids = {9}};
  fit_to_model(options, config, &tokenizer);
  CHECK(options.stop_ids == Ids{9, 0});
  CHECK(options.beginning == 0);
  CHECK(options.vocab_size == 623);
  CHECK(options.never_ids.empty());
  config.eos_token_ids = {7, 8};
  GenerationOptions without;
  fit_to_model(without, config);
  CHECK(without.stop_ids == Ids{7, 8});
  CHECK(without.beginning == 7);
  const Tokenizer gap(
      R"({"pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": false}, "decoder": {"type": "ByteLevel"},
                          "model": {"type": "BPE", "vocab": {"a": 0, "b": 3}, "merges": []}})",
      "gap");
  fit_to_model(without, config, &gap);
  CHECK(without.vocab_size == 4);
  CHECK(without.never_ids == Ids{1, 2});
  CHECK(without.beginning == 7);
  config.eos_token_ids.clear();
  GenerationOptions none;
  fit_to_model(none, config, &gap);
  CHECK(none.stop_ids.empty());
  CHECK(!none.beginning);
}

// The text before the first stop text, looked for byte by byte: its end, and of those that end there the longest.
std::pair<std::string, bool> until(const std::string& text, const std::vector<std::string>& stops) {
  for (std::size_t end = 1; end <= text.size(); ++end) {
    std::size_t longest = 0;
    for (const auto& stop : stops)
      if (text.substr(0, end).ends_with(stop)) longest = std::max(longest, stop.size());
    if (longest > 0) return {text.substr(0, end - longest), true};
  }
  return {text, false};
}

TEST_CASE("stop texts are found wherever the text is cut, and no part of one is shown", "[generation]") {
  mamba2::Random random(3);
  const auto draw = [&](std::size_t most) {
    std::string text;
    const auto size = static_cast<std::size_t>(random.uniform(0, static_cast<double>(most + 1)));
    for (std::size_t i = 0; i < size; ++i) text += random.uniform() < 0.6 ? "a" : "b";
    return text;
  };
  std::size_t found = 0;
  for (int round = 0; round < 2000; ++round) {
    std::vector<std::string> stops;
    for (int i = 0; i < round % 4; ++i) stops.push_back(draw(5) + "b");
    StopTexts stream(stops);
    std::string all, shown;
    while (all.size() < 14) {
      const std::string piece = draw(4);
      all += piece;
      shown += stream.push(piece);
      const auto [want, stop] = until(all, stops);
      REQUIRE(want.starts_with(shown));
      REQUIRE(stream.found() == stop);
      // What is held back could become a stop text; of what could not, nothing is.
      const std::string held = want.substr(shown.size());
      const auto may_be = [&](const std::string& s) { return s.starts_with(held) && s.size() > held.size(); };
      if (!stop && !held.empty()) REQUIRE(std::any_of(stops.begin(), stops.end(), may_be));
      if (stop) REQUIRE(held.empty());
    }
    shown += stream.finish();
    CHECK(shown == until(all, stops).first);
    found += stream.found() ? 1 : 0;
  }
  CHECK(found > 300);
  CHECK(message_of<ValueError>([] { StopTexts({"a", ""}); }) == "stop text: expected at least one character, got none");
  CHECK(message_of<ValueError>([] { StopTexts({"\xff"}); }) == "stop text: expected UTF-8, got broken characters");
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
  CHECK(refused({{1}}, {.sampling = {.top_p = 2}}) == "top_p: expected above 0, at most 1, got 2");
  CHECK(refused({{1}}, {.stop_ids = {0, 624}}) == "stop_ids: expected 0 to 623, got 624");
  CHECK(refused({{1}}, {.never_ids = {-1}}) == "never_ids: expected 0 to 623, got -1");
  CHECK(refused({{1}}, {.samples = 0}) == "samples: expected at least 1, got 0");
  CHECK(refused({{1, 624}}, greedy).starts_with("ids: expected 0 to 623, got 624"));
  auto broken = load_language_model<double>(golden_path("lm/tiny"));
  broken.update([](auto& p) { p.norm_f_weight(0) = std::nan(""); });
  CHECK(message_of<ValueError>([&] {
          generate(broken, {{1}}, greedy);
        }).starts_with("logits: expected numbers, got NaN for token 0"));
}

TEMPLATE_TEST_CASE("a state comes back from its file as it was", "[generation]", float, double) {
  const auto& model = tiny<TestType>();
  const std::uint64_t mark = fingerprint(open_model(golden_path("lm/tiny")));
  const TemporaryDirectory directory;
  const auto path = directory / "state.safetensors";
  std::vector<TextState<TestType>> states;
  GenerationOptions options = greedy;
  options.never_ids = {5};  // its score is minus infinity
  generate(model, {three[2]}, options, {}, &states);
  save_state(path, states[0], mark);
  auto back = load_state(path, model, mark);
  CHECK(back.scores == states[0].scores);
  CHECK(back.seen == states[0].seen);
  for (std::size_t i = 0; i < back.cache.size(); ++i) {
    const auto want = states[0].cache[i].states(), got = back.cache[i].states();
    for (std::size_t k = 0; k < want.size(); ++k)
      CHECK(std::equal(want[k].values.begin(), want[k].values.end(), got[k].values.begin(), got[k].values.end()));
  }
  std::vector<TextState<TestType>> again = {std::move(back)};
  CHECK(generate(model, {{}}, options, {}, &states)[0].ids == generate(model, {{}}, options, {}, &again)[0].ids);
}

TEST_CASE("a state of another model or a damaged one is refused", "[generation][hostile]") {
  const auto& model = tiny<float>();
  const std::uint64_t mark = fingerprint(open_model(golden_path("lm/tiny")));
  // Both layouts of one model have one mark; one small number makes it another.
  CHECK(fingerprint(open_model(golden_path("lm/tiny-hf"))) == mark);
  const TemporaryDirectory directory;
  auto other = load_language_model<float>(golden_path("lm/tiny"));
  other.update([](auto& p) { p.norm_f_weight(3) += 1e-3F; });
  save_language_model(other, directory.path());
  CHECK(fingerprint(open_model(directory.path())) != mark);

  const auto path = directory / "state.safetensors";
  std::vector<TextState<float>> states;
  generate(model, {{7, 8}}, {.max_new_tokens = 2}, {}, &states);
  save_state(path, states[0], mark);
  const auto refused = [&](std::uint64_t m) { return message_of<FileError>([&] { load_state(path, model, m); }); };
  CHECK(refused(mark + 1) == path.string() + ": is of another model");
  const auto mamba1 = load_language_model<float>(golden_path("lm/mamba1"));
  CHECK(message_of<FileError>([&] { load_state(path, mamba1, mark); }).find("of another model") != std::string::npos);
  write_safetensors<float>(path, {});
  CHECK(refused(mark).find("it has no tensor marks") != std::string::npos);
  save_state(path, states[0], mark);
  const std::string sound = read_file(path);
  std::size_t caught = 0;
  for (std::size_t at = 3; at < sound.size(); at += sound.size() / 60) {
    std::string bytes = sound;
    bytes[at] = static_cast<char>(bytes[at] ^ 0x10);
    write_file(path, bytes);
    caught += refused(mark).empty() ? 0 : 1;
    write_file(path, sound.substr(0, at));
    CHECK(!refused(mark).empty());
  }
  CHECK(caught >= 60);
}
