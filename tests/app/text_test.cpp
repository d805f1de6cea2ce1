// The commands that handle texts: `mamba2 generate`, `mamba2 tokenize`, and `mamba2 logits --text`.
#include <mamba2/model_directory.hpp>
#include <mamba2/tokenizer.hpp>
#include <support/command.hpp>
#include <support/testing.hpp>

#include <nlohmann/json.hpp>

using namespace mamba2;
using namespace testing;
using Ids = std::vector<std::int64_t>;
using Json = nlohmann::json;

#ifdef MAMBA2_APP

namespace {

void contains(const std::string& text, const std::string& part) {
  INFO(text);
  CHECK(text.find(part) != std::string::npos);
}

const std::string tiny = " --model '" + golden_path("lm/tiny").string() + "' ";

// What a command prints that succeeds without a word on standard error.
std::string printed(const std::string& words) {
  const Ran ran = run_mamba2(words);
  INFO(words << "\n" << ran.err);
  CHECK(ran.status == 0);
  CHECK(ran.err.empty());
  return ran.out;
}

std::string refused(const std::string& words, int status = 1) {
  const Ran ran = run_mamba2(words);
  INFO(words << "\n" << ran.out);
  CHECK(ran.status == status);
  return ran.err;
}

}  // namespace

TEST_CASE("the commands for texts explain themselves, and say what is wrong with their words", "[app]") {
  for (const char* words : {"generate --help", "tokenize --help"}) CHECK(printed(words).size() > 300);
  const std::vector<std::string> wrong = {"generate" + tiny,
                                          "generate" + tiny + "--prompt a --ids 1",
                                          "generate" + tiny + "--ids 1,x",
                                          "generate" + tiny + "--ids 99999999999999999999",
                                          "generate" + tiny + "--prompt a --threads 0",
                                          "generate" + tiny + "--prompt a --max-new-tokens -3",
                                          "generate" + tiny + "--prompt a --stop-ids x",
                                          "tokenize" + tiny,
                                          "tokenize" + tiny + "a --decode 1",
                                          "tokenize" + tiny + "--decode 1.5",
                                          "logits" + tiny + "--text a --ids b --output c"};
  for (const auto& words : wrong) CHECK(!refused(words, 2).empty());
  contains(refused("tokenize" + tiny + "--decode 1.5", 2), "expected whole numbers such as 12,7,99, got '1.5'");
}

TEST_CASE("mamba2 tokenize goes both ways", "[app]") {
  CHECK(printed("tokenize" + tiny + "'Hello, world!'") == "41 70 385 80 13 274 262 527 2\n");
  CHECK(printed("tokenize" + tiny + "''") == "\n");
  CHECK(printed("tokenize" + tiny + "--decode 41,70,385,80,13,274,262,527,2") == "Hello, world!\n");
  CHECK(printed("tokenize" + tiny + "--decode 41 70 385 80") == "Hello\n");
  const Json json = Json::parse(printed("tokenize" + tiny + "--json 'é é'"));
  CHECK(json["text"] == "é é");
  CHECK(json["ids"] == Json(Ids{129, 104, 222, 129, 104}));
  CHECK(json["tokens"][0] == "\ufffd");
  const TemporaryDirectory directory;
  write_file(directory / "text", "a\nb\n");
  const std::string command = std::string("'") + MAMBA2_APP + "' tokenize" + tiny + "- < '" +
                              (directory / "text").string() + "' > '" + (directory / "out").string() + "'";
  CHECK(std::system(command.c_str()) == 0);
  CHECK(read_file(directory / "out") == "66 200 67 200\n");
  contains(refused("tokenize" + tiny + "--decode 623"), "id: expected the number of a token, below 623, got 623");
  contains(refused("tokenize" + tiny + "\"$(printf 'a\\377')\""), "broken character at byte 1");
  contains(refused("tokenize --model /nowhere a"), "/nowhere/tokenizer.json: cannot be opened");
}

TEST_CASE("mamba2 generate goes on with the golden prompt", "[app]") {
  const auto golden = load_golden<std::int64_t, 2>("lm/tiny", "greedy");
  std::string prompt, expected;
  for (std::size_t i = 0; i < 45; ++i) prompt += (i == 0 ? "" : ",") + std::to_string(golden(0, i));
  for (std::size_t i = 45; i < 77; ++i) expected += std::to_string(golden(0, i)) + " ";
  const std::string words = "generate" + tiny + "--temperature 0 --max-new-tokens 32 ";
  CHECK(printed(words + "--ids " + prompt) == expected + "\n");
  CHECK(printed(words + "--threads 1 --algorithm recurrent --ids " + prompt) == expected + "\n");
  const Json both =
      Json::parse(printed(words + "--json --ids '" + golden_path("lm/tiny/input_ids.npy").string() + "' --ids 5"));
  REQUIRE(both.size() == 3);
  CHECK(both[0]["ids"].size() == 32);
  CHECK(both[0]["ids"][31] == golden(0, 76));
  CHECK(both[0]["finish"] == "length");
  CHECK(both[2]["prompt_ids"] == Json(Ids{5}));
  CHECK(!both[0].contains("text"));
}

TEST_CASE("mamba2 generate streams text, whole characters only, the same for the same seed", "[app]") {
  const std::string words = "generate" + tiny + "-n 40 --seed 3 --prompt 'Mamba is' ";
  const std::string text = printed(words);
  CHECK(text.starts_with("Mamba is"));
  CHECK(text == mended_utf8(text));
  CHECK(printed(words) == text);
  CHECK(printed("generate" + tiny + "-n 40 --seed 4 --prompt 'Mamba is'") != text);
  CHECK("Mamba is" + printed(words + "--only-new") == text);
  const Json json = Json::parse(printed(words + "--prompt 'The second text' --json"));
  REQUIRE(json.size() == 2);
  CHECK(json[0]["prompt"].get<std::string>() + json[0]["text"].get<std::string>() + "\n" == text);
  CHECK(load_tokenizer(golden_path("lm/tiny")).decode(json[1]["ids"].get<Ids>()) == json[1]["text"].get<std::string>());
  const std::string batch = printed(words + "--prompt 'The second text'");
  CHECK(batch.starts_with("==> 1 of 2 <==\n" + text + "\n==> 2 of 2 <==\nThe second text"));
}

TEST_CASE("mamba2 generate stops at the end of a text", "[app]") {
  const std::string words = "generate" + tiny + "-n 30 --temperature 0 --prompt 'Mamba is' --json ";
  const Json whole = Json::parse(printed(words))[0];
  const auto id = whole["ids"][6].get<std::int64_t>();
  const Json stopped = Json::parse(printed(words + "--stop-ids 622," + std::to_string(id)))[0];
  CHECK(stopped["finish"] == "stop");
  CHECK(stopped["ids"].size() <= 6);
  CHECK(std::equal(stopped["ids"].begin(), stopped["ids"].end(), whole["ids"].begin()));
  // A model of its own whose likeliest token is always the end of the text.
  auto model = load_language_model<float>(golden_path("lm/tiny"));
  model.update([](auto& p) { p.norm_f_weight.fill(0); });
  const TemporaryDirectory directory;
  save_language_model(model, directory.path(), CheckpointLayout::hugging_face);
  std::filesystem::copy_file(golden_path("lm/tiny/tokenizer.json"), directory / "tokenizer.json");
  const Json ended =
      Json::parse(printed("generate --model '" + directory.path().string() + "' -t 0 --prompt 'Mamba is' --json"))[0];
  CHECK(ended["finish"] == "stop");  // all scores are equal, and the first token is <|endoftext|>
  CHECK(ended["ids"].empty());
}

TEST_CASE("Ctrl-C ends a text cleanly", "[app]") {
  const TemporaryDirectory directory;
  const std::string out = (directory / "out").string();
  const std::string script =
      std::string("'") + MAMBA2_APP + "' generate" + tiny + "-n 100000000 --ids 5 > '" + out +
      "' & child=$!; i=0; while [ $(wc -c < '" + out +
      "') -lt 200 ] && [ $i -lt 300 ]; do sleep 0.1; i=$((i + 1)); done; kill -INT $child; wait $child";
  write_file(directory / "script", script);
  write_file(out, "");
  // In a shell without job control a background process ignores Ctrl-C's signal; with it, it does not.
  const int status = std::system(("bash -m '" + (directory / "script").string() + "' 2> /dev/null").c_str());
  CHECK(WEXITSTATUS(status) == 130);
  const std::string text = read_file(out);
  CHECK(text.size() >= 200);
  CHECK(text.ends_with(" \n"));
}

TEST_CASE("mamba2 generate refuses what it cannot do", "[app][hostile]") {
  const auto error = [](const std::string& words) { return refused("generate" + tiny + words); };
  contains(error("--prompt a --top-p 2"), "mamba2: top_p: expected above 0, at most 1, got 2");
  contains(error("--prompt a --temperature -1"), "temperature: expected 0 or a positive number");
  contains(error("--prompt a --temperature nan"), "temperature: expected 0 or a positive number");
  contains(error("--ids ''"), "prompt: expected at least one token, got none");
  contains(error("--ids 3,700"), "ids: expected 0 to 623, got 700");
  contains(error("--ids nothing.npy"), "nothing.npy: cannot be opened");
  contains(refused("generate --prompt a --model /nowhere"), "/nowhere/tokenizer.json: cannot be opened");
  const std::string full = std::string("'") + MAMBA2_APP + "' generate" + tiny + "--prompt a > /dev/full 2> /dev/null";
  const int status = std::system(full.c_str());
  CHECK(WEXITSTATUS(status) == 1);
}

TEST_CASE("mamba2 logits takes a text", "[app]") {
  const TemporaryDirectory directory;
  CHECK(
      printed("logits" + tiny + "--text 'Hello, world!' --output '" + (directory / "out.npy").string() + "'").empty());
  const auto logits = tensor_from<float, 3>("logits", read_npy<float>(directory / "out.npy"));
  REQUIRE(shape_text(logits.shape()) == "(1, 9, 624)");
  const auto model = load_language_model<float>(golden_path("lm/tiny"));
  CHECK(relative_error(logits, model.forward({{41, 70, 385, 80, 13, 274, 262, 527, 2}})) < 1e-5);
}

#endif
