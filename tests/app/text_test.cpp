// The commands that handle texts: `mamba2 generate`, `mamba2 tokenize`, and `mamba2 logits --text`.
#include <mamba2/cross_entropy.hpp>
#include <mamba2/model_directory.hpp>
#include <mamba2/tokenizer.hpp>
#include <support/command.hpp>
#include <support/testing.hpp>

#include <sstream>

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

const std::string tiny = " --model " + in_quotes(golden_path("lm/tiny")) + " ";

// What a command prints that succeeds; generate says seed and speed on standard error, the others nothing.
std::string printed(const std::string& words) {
  const Ran ran = run_mamba2(words);
  INFO(words << "\n" << ran.err);
  CHECK(ran.status == 0);
  const bool talks = words.starts_with("generate -") || words.starts_with("generate" + tiny);
  const bool silent = words.find("--json") != words.npos || words.find("--help") != words.npos;
  if (!talks || silent) CHECK(ran.err.empty());
  if (talks && !silent) CHECK(ran.err.ends_with("]\n"));
  return ran.out;
}

// The lines of JSON that say how texts ended.
std::vector<Json> ends(const std::string& words) {
  std::istringstream lines(printed(words + " --json"));
  std::vector<Json> all;
  for (std::string line; std::getline(lines, line);)
    if (const Json json = Json::parse(line); json.contains("finish")) all.push_back(json);
  return all;
}

std::string refused(const std::string& words, int status = 1) {
  const Ran ran = run_mamba2(words);
  INFO(words << "\n" << ran.out);
  CHECK(ran.status == status);
  return ran.err;
}

}  // namespace

TEST_CASE("the commands for texts explain themselves, and say what is wrong with their words", "[app]") {
  for (const char* words : {"generate --help", "tokenize --help", "score --help"}) CHECK(printed(words).size() > 300);
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
  const std::string command = in_quotes(MAMBA2_APP) + " tokenize" + tiny + "- < " + in_quotes(directory / "text") +
                              " > " + in_quotes(directory / "out");
  CHECK(std::system(command.c_str()) == 0);
  CHECK(read_file(directory / "out") == "66 200 67 200\n");
  contains(refused("tokenize" + tiny + "--decode 623"), "id: expected the number of a token, below 623, got 623");
  contains(refused("tokenize" + tiny + "\"$(printf 'a\\377')\""), "broken character at byte 1");
  contains(refused("tokenize --model /nowhere a"), "/nowhere: is not a directory");
  contains(refused("tokenize --model " + in_quotes(directory.path()) + " a"), "tokenizer.json: cannot be opened");
}

TEST_CASE("mamba2 generate goes on with the golden prompt", "[app]") {
  const auto golden = load_golden<std::int64_t, 2>("lm/tiny", "greedy");
  std::string prompt, expected;
  for (std::size_t i = 0; i < 45; ++i) prompt.append(i == 0 ? "" : ",").append(std::to_string(golden(0, i)));
  for (std::size_t i = 45; i < 77; ++i) expected += std::to_string(golden(0, i)) + " ";
  const std::string words = "generate" + tiny + "--temperature 0 --max-new-tokens 32 ";
  CHECK(printed(words + "--ids " + prompt) == expected + "\n");
  CHECK(printed(words + "--threads 1 --algorithm recurrent --ids " + prompt) == expected + "\n");
  const auto both = ends(words + "--ids " + in_quotes(golden_path("lm/tiny/input_ids.npy")) + " --ids 5");
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
  const auto json = ends(words + "--prompt 'The second text'");
  REQUIRE(json.size() == 2);
  CHECK(json[0]["prompt"].get<std::string>() + json[0]["text"].get<std::string>() + "\n" == text);
  CHECK(load_tokenizer(golden_path("lm/tiny")).decode(json[1]["ids"].get<Ids>()) == json[1]["text"].get<std::string>());
  const std::string batch = printed(words + "--prompt 'The second text'");
  CHECK(batch.starts_with("==> 1 of 2 <==\n" + text + "\n==> 2 of 2 <==\nThe second text"));
}

TEST_CASE("mamba2 generate stops at the end of a text", "[app]") {
  const std::string words = "generate" + tiny + "-n 30 --temperature 0 --prompt 'Mamba is' ";
  const Json whole = ends(words)[0];
  const auto id = whole["ids"][6].get<std::int64_t>();
  const Json stopped = ends(words + "--stop-ids 622," + std::to_string(id))[0];
  CHECK(stopped["finish"] == "stop");
  CHECK(stopped["ids"].size() <= 6);
  CHECK(std::equal(stopped["ids"].begin(), stopped["ids"].end(), whole["ids"].begin()));
  // A model of its own whose likeliest token is always the end of the text.
  auto model = load_language_model<float>(golden_path("lm/tiny"));
  model.update([](auto& p) { p.norm_f_weight.fill(0); });
  const TemporaryDirectory directory;
  save_language_model(model, directory.path(), CheckpointLayout::hugging_face);
  std::filesystem::copy_file(golden_path("lm/tiny/tokenizer.json"), directory / "tokenizer.json");
  for (const char* text : {"--prompt 'Mamba is'", "--ids 5", "--prompt ''"}) {
    const Json ended = ends("generate --model " + in_quotes(directory.path()) + " -t 0 " + text)[0];
    CHECK(ended["finish"] == "stop");  // all scores are equal, and the first token is <|endoftext|>
    CHECK(ended["ids"].empty());
  }
}

TEST_CASE("mamba2 generate ends at a stop text, and shows no part of it", "[app]") {
  const std::string words = "generate" + tiny + "-n 40 --seed 3 --only-new --prompt 'Mamba is' ";
  const std::string whole = printed(words);
  for (const std::size_t at : {3, 8, 15, 21}) {
    const std::string stop = whole.substr(at, 4);
    if (stop != mended_utf8(stop) || stop.find('\'') != stop.npos) continue;
    CHECK(printed(words + "--stop Zzz --stop " + in_quotes(stop)) == whole.substr(0, whole.find(stop)) + "\n");
    const auto line = ends(words + "--stop " + in_quotes(stop))[0];
    CHECK(line["finish"] == "stop");
    CHECK(line["text"] == whole.substr(0, whole.find(stop)));
  }
  contains(refused(words + "--stop ''"), "stop text: expected at least one character, got none");
}

TEST_CASE("mamba2 generate writes several texts of a prompt, and the tokens as lines of JSON", "[app]") {
  const std::string words = "generate" + tiny + "-n 12 --seed 5 --prompt 'Mamba is' ";
  const auto three = ends(words + "--samples 3");
  REQUIRE(three.size() == 3);
  CHECK(three[0]["seed"] == 5);
  CHECK(three[2]["seed"] == 7);
  CHECK(three[0]["ids"] != three[1]["ids"]);
  CHECK(ends("generate" + tiny + "-n 12 --seed 7 --prompt 'Mamba is' ")[0]["ids"] == three[2]["ids"]);
  std::istringstream lines(printed(words + "--json"));
  std::string text;
  Ids ids;
  for (std::string line; std::getline(lines, line);) {
    const Json json = Json::parse(line);
    if (json.contains("finish")) continue;
    text += json["text"].get<std::string>();
    ids.push_back(json["id"].get<std::int64_t>());
  }
  CHECK(ids == three[0]["ids"].get<Ids>());
  CHECK(three[0]["text"].get<std::string>().starts_with(text));
}

TEST_CASE("mamba2 generate draws a seed and says which, and it writes the text again", "[app]") {
  const std::string words = "generate" + tiny + "-n 30 --prompt 'Mamba is' ";
  const Ran drawn = run_mamba2(words);
  REQUIRE(drawn.err.starts_with("[seed "));
  CHECK(drawn.err.find(" tokens, ") != drawn.err.npos);
  const std::string seed = drawn.err.substr(6, drawn.err.find(',') - 6);
  CHECK(printed(words + "--seed " + seed) == drawn.out);
  CHECK(run_mamba2(words).out != drawn.out);
  CHECK(run_mamba2(words + "-t 0").err.find("seed") == std::string::npos);
  CHECK(run_mamba2(words + "--quiet").err.empty());
}

TEST_CASE("texts come from files and standard input without the end of their last line, and special tokens are text",
          "[app]") {
  const TemporaryDirectory directory;
  write_file(directory / "text", "Mamba\nis\n");
  const std::string file = in_quotes(directory / "text"), words = "generate" + tiny + "-n 9 --seed 2 ";
  const std::string want = printed(words + "--prompt \"$(printf 'Mamba\\nis')\"");
  CHECK(printed(words + "--file " + file) == want);
  const std::string piped = in_quotes(MAMBA2_APP) + " " + words + "--prompt - < " + file + " > " +
                            in_quotes(directory / "out") + " 2> /dev/null";
  CHECK(std::system(piped.c_str()) == 0);
  CHECK(read_file(directory / "out") == want);
  contains(refused(words + "--file /nowhere"), "/nowhere: cannot be opened");
  contains(refused(words + "--file /"), "/: is a directory");

  const std::string end = "'a<|endoftext|>'";
  CHECK(printed("tokenize" + tiny + "--special " + end) == "66 0\n");
  CHECK(printed("tokenize" + tiny + end).size() > 15);
  CHECK(ends(words + "--prompt " + end)[0]["prompt_ids"].size() > 5);
  CHECK(ends(words + "--special --prompt " + end)[0]["prompt_ids"] == Json(Ids{66, 0}));
}

TEST_CASE("a text may begin with a dash", "[app]") {
  const auto tokens = printed("tokenize" + tiny + "-- '-5 degrees'");
  CHECK(printed("tokenize" + tiny + "-- -x") == "14 89\n");
  CHECK(printed("tokenize" + tiny + "-- --model") == "14 14 78 80 342 77\n");
  CHECK(printed("tokenize" + tiny + "'-5 degrees'") == tokens);
  CHECK(printed("generate" + tiny + "-n 1 --seed 1 --prompt --ids").starts_with("--ids"));
  contains(refused("tokenize" + tiny + "-x", 2), "-x");
}

TEST_CASE("numbers out of range are refused, with few words", "[app][hostile]") {
  const std::string nines(300, '9');
  for (const std::string words : {"-t ''",
                                  "-t 1e999",
                                  "-t nan",
                                  "-t 0,8",
                                  "-t ' 1'",
                                  "-t -1",
                                  "--top-k 18446744073709551616",
                                  "--top-k 1.5",
                                  "--top-p 0",
                                  "--top-p 1.1",
                                  "--min-p -0.1",
                                  "--min-p inf",
                                  "--repetition-penalty 1e308",
                                  "--repetition-penalty 1e-310",
                                  "--repetition-penalty 0",
                                  "--seed -1",
                                  "--seed 18446744073709551616",
                                  "--threads 0",
                                  "--threads 100000",
                                  "--max-new-tokens 1e3",
                                  "--samples 0",
                                  "--stop-ids 99999999999999999999"}) {
    const std::string message = refused("generate" + tiny + "--prompt a " + words, 2);
    contains(message, "expected ");
    contains(message, words.substr(words[1] == '-' ? 0 : 1, words.find(' ') - 1).substr(0, 2));
  }
  for (const char* option : {"-t ", "--top-k ", "--seed ", "--stop-ids ", "--top-p 1."}) {
    const std::string message = refused("generate" + tiny + "--prompt a " + option + nines, 2);
    CHECK(message.size() < 200);
  }
  const Ran ran = run_mamba2("generate" + tiny + "--prompt a --stop-ids 9999");
  contains(ran.err, "mamba2: stop_ids: expected 0 to 623, got 9999");
  CHECK(ran.out.empty());
}

TEST_CASE("a terminal gets no control characters, a pipe gets the text", "[app][hostile]") {
  std::string ids = printed("tokenize" + tiny + "\"$(printf 'a\\033[31m\\302\\233b\\177\\r')\"");
  std::replace(ids.begin(), ids.end(), ' ', ',');
  ids.pop_back();
  const std::string words = "tokenize" + tiny + "--decode " + ids;
  CHECK(printed(words) ==
        "a\033[31m\xc2\x9b"
        "b\x7f\r\n");
  const TemporaryDirectory directory;
  write_file(directory / "script", in_quotes(MAMBA2_APP) + " " + words + "\n");
  const std::string line = "script -qec 'sh " + (directory / "script").string() + "' /dev/null < /dev/null > " +
                           in_quotes(directory / "out");  // what a terminal would have got
  if (std::system("command -v script > /dev/null") != 0) return;
  CHECK(std::system(line.c_str()) == 0);
  contains(read_file(directory / "out"), "a\u241b[31m\ufffdb\u2421\u240d");
}

TEST_CASE("Ctrl-C ends a text cleanly", "[app]") {
  const TemporaryDirectory directory;
  const std::string out = in_quotes(directory / "out");
  const std::string endless = " generate --model " + in_quotes(golden_path("lm/mamba1")) + " -n 100000000 --ids 5 > ";
  const std::string script =
      in_quotes(MAMBA2_APP) + endless + out + " & child=$!; i=0; while [ $(wc -c < " + out +
      ") -lt 200 ] && [ $i -lt 300 ]; do sleep 0.1; i=$((i + 1)); done; kill -INT $child; wait $child";
  write_file(directory / "script", script);
  write_file(directory / "out", "");
  // In a shell without job control a background process ignores Ctrl-C's signal; with it, it does not.
  const int status = std::system(("bash -m '" + (directory / "script").string() + "' 2> /dev/null").c_str());
  CHECK(WEXITSTATUS(status) == 130);
  const std::string text = read_file(directory / "out");
  CHECK(text.size() >= 200);
  CHECK(text.ends_with(" \n"));
}

TEST_CASE("mamba2 generate refuses what it cannot do", "[app][hostile]") {
  const auto error = [](const std::string& words) { return refused("generate" + tiny + words); };
  contains(error("--ids 3,700"), "ids: expected 0 to 623, got 700");
  contains(error("--ids nothing.npy"), "nothing.npy: cannot be opened");
  contains(refused("generate --prompt a --model /nowhere"), "/nowhere: is not a directory");
  contains(refused("generate --ids 1 --model /nowhere"), "/nowhere: is not a directory");
  const std::string bare = "generate --model " + in_quotes(golden_path("lm/mamba1")) + " --ids ";
  contains(refused(bare + "''"), "prompt: expected at least one token, got none");
  contains(refused(bare + "1 --stop x"), "has no tokenizer.json, so --stop cannot know");
  const std::string full = in_quotes(MAMBA2_APP) + " generate" + tiny + "--prompt a > /dev/full 2> /dev/null";
  const int status = std::system(full.c_str());
  CHECK(WEXITSTATUS(status) == 1);
}

TEST_CASE("mamba2 generate goes on tomorrow as it would have gone on", "[app]") {
  const TemporaryDirectory directory;
  const std::string state = in_quotes(directory / "state"), words = "generate" + tiny + "-t 0 --only-new ";
  const std::string whole = printed(words + "-n 24 --prompt 'Mamba is'");
  const std::string begun = printed(words + "-n 10 --prompt 'Mamba is' --save-state " + state);
  const std::string rest = printed(words + "-n 14 --load-state " + state + " --save-state " + state);
  CHECK(begun.substr(0, begun.size() - 1) + rest == whole);
  printed(words + "-n 0 --prompt 'Mamba' --save-state " + state);
  CHECK(printed(words + "-n 24 --load-state " + state + " --prompt ' is'") == whole);
  CHECK(ends(words + "-n 24 --load-state " + state + " --samples 2 --prompt ' is'").size() == 2);

  contains(refused(words + "--load-state " + state + " --prompt a --prompt b", 2), "--load-state");
  contains(refused(words + "--samples 2 --save-state " + state + " --prompt b", 2), "--save-state");
  contains(refused(words + "--load-state /nowhere"), "/nowhere: cannot be opened");
  const std::string other = "generate --ids 1 --model " + in_quotes(golden_path("lm/mamba1")) + " --load-state ";
  contains(refused(other + state), "is of another model");
  std::string bytes = read_file(directory / "state");
  bytes[bytes.size() / 2] ^= 1;
  write_file(directory / "state", bytes);
  contains(refused(words + "--load-state " + state), "is damaged");
}

TEST_CASE("mamba2 score says how well a text is predicted, however it is cut into pieces", "[app]") {
  const TemporaryDirectory directory;
  std::string text;
  for (int i = 0; i < 12; ++i)
    text.append("The license of line ").append(std::to_string(i * i)).append(" caf\u00e9 is\n\tfree of charge.\n");
  write_file(directory / "text", text);
  const std::string file = in_quotes(directory / "text"), words = "score" + tiny;
  const Json score = Json::parse(printed(words + "--json " + file));
  const auto model = load_language_model<double>(golden_path("lm/tiny"));
  Ids ids = load_tokenizer(golden_path("lm/tiny")).encode(text);
  ids.insert(ids.begin(), 0);  // <|endoftext|>
  auto rows = Tensor<std::int64_t, 2>::from_shape({1, ids.size()});
  std::copy(ids.begin(), ids.end(), rows.begin());
  const CrossEntropy want = cross_entropy(model, rows);
  CHECK(score["tokens"] == ids.size() - 1);
  CHECK(score["bytes"] == text.size());
  const auto close = [&](const Json& one) {
    CHECK(one["nats_per_token"].get<double>() == Approx(want.mean()).epsilon(1e-5));
    CHECK(one["perplexity"].get<double>() == Approx(want.perplexity()).epsilon(1e-4));
    CHECK(one["bits_per_byte"].get<double>() == Approx(want.bits_per_byte(text.size())).epsilon(1e-5));
  };
  close(score);
  for (const std::string piece : {"1", "7", "64", "1000"})
    close(Json::parse(printed(words + "--json --threads 1 --piece " + piece + " " + file)));
  const std::string piped =
      "cat " + file + " | " + in_quotes(MAMBA2_APP) + " " + words + "--json - > " + in_quotes(directory / "out");
  CHECK(std::system(piped.c_str()) == 0);
  CHECK(Json::parse(read_file(directory / "out")) == score);
  contains(printed(words + file), "bits per byte       ");
  write_file(directory / "empty", "");
  contains(refused(words + in_quotes(directory / "empty")), "expected a text, got nothing that could be predicted");
  write_file(directory / "broken", "abc\xff");
  contains(refused(words + in_quotes(directory / "broken")), "broken character at byte 3");
  contains(refused(words + "/nowhere"), "/nowhere: cannot be opened");
  contains(refused(words + "/"), "/: is a directory");
  CHECK(!refused(words + file + " --piece 0", 2).empty());
}

TEST_CASE("mamba2 logits takes a text", "[app]") {
  const TemporaryDirectory directory;
  CHECK(printed("logits" + tiny + "--text 'Hello, world!' --output " + in_quotes(directory / "out.npy")).empty());
  const auto logits = tensor_from<float, 3>("logits", read_npy<float>(directory / "out.npy"));
  REQUIRE(shape_text(logits.shape()) == "(1, 9, 624)");
  contains(refused("logits" + tiny + "--text '' --output x"), "text: expected at least one token, got none");
  const auto model = load_language_model<float>(golden_path("lm/tiny"));
  CHECK(relative_error(logits, model.forward({{41, 70, 385, 80, 13, 274, 262, 527, 2}})) < 1e-5);
}

#endif
