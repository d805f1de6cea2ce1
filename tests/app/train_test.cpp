// The command `mamba2 train`: from a text to a model that writes, interrupted and going on, and what it refuses.
#include <support/command.hpp>
#include <support/testing.hpp>

#include <cstdlib>
#include <string>

using namespace testing;

#ifdef MAMBA2_APP

namespace {

void contains(const std::string& text, const std::string& part) {
  INFO(text);
  CHECK(text.find(part) != std::string::npos);
}

Ran trained(const std::string& words) {
  return run_mamba2("train " + words);
}

std::string refused(const std::string& words, int status = 1) {
  const Ran ran = trained(words);
  INFO(words << "\n" << ran.out << ran.err);
  CHECK(ran.status == status);
  return ran.err;
}

const std::string small = " --d-model 16 --layers 1 --d-state 4 --headdim 8 --batch 2 --seqlen 16 ";

// A directory with a text of some kilobytes.
struct Place {
  Place() {
    std::string text;
    for (int i = 0; i < 200; ++i)
      text += "One and " + std::to_string(i % 7) + " make " + std::to_string(i % 7 + 1) + ".\n";
    write_file(directory / "text", text);
  }
  std::string text() const { return " --text '" + (directory / "text").string() + "' "; }
  std::string at(const std::string& name) const { return " '" + (directory / name).string() + "' "; }
  TemporaryDirectory directory;
};

}  // namespace

TEST_CASE("mamba2 train makes a model that mamba2 generate loads", "[app]") {
  const Place place;
  for (const std::string& how : {std::string(""), std::string(" --vocab 265 --in-order --accumulate 2")}) {
    const std::string out = place.at(how.empty() ? "bytes" : "bpe");
    const Ran ran = trained(place.text() + small + "--steps 20 --rate 0.02 --warmup 2 --out" + out + how);
    INFO(ran.err);
    REQUIRE(ran.status == 0);
    CHECK(ran.err.empty());
    contains(ran.out, how.empty() ? "257 tokens in the vocabulary" : "265 tokens in the vocabulary");
    contains(ran.out, "bits per byte");
    contains(ran.out, "mamba2 generate --model");
    const Ran written = run_mamba2("generate --prompt 'One and' --max-new-tokens 5 --json --model" + out);
    CHECK(written.status == 0);
    contains(written.out, "\"finish\":\"length\"");
  }
}

TEST_CASE("the same training gives the same model", "[app]") {
  const Place place;
  for (const char* name : {"one", "two"})
    REQUIRE(trained(place.text() + small + "--steps 5 --seed 3 --out" + place.at(name) +
                    (name == std::string("one") ? "--threads 1" : "--threads 2"))
                .status == 0);
  for (const char* file : {"pytorch_model.bin", "tokenizer.json", "config.json"})
    CHECK(read_file(place.directory / (std::string("one/") + file)) ==
          read_file(place.directory / (std::string("two/") + file)));
}

TEST_CASE("Ctrl-C saves a training, and it goes on", "[app]") {
  const Place place;
  const std::string out = (place.directory / "run").string(), log = (place.directory / "log").string();
  const std::string line = std::string("'") + MAMBA2_APP + "' train" + place.text() + small +
                           "--steps 1000000 --out '" + out + "' > '" + log +
                           "' & pid=$!; while kill -0 $pid && ! grep -qs vocabulary '" + log +
                           "'; do sleep 0.1; done; kill -INT $pid; wait $pid";
  // A shell without job control starts what is in the background with Ctrl-C switched off; the program switches it on again.
  const int status = std::system(("set +m; " + line).c_str());
  CHECK(WIFEXITED(status));
  CHECK(WEXITSTATUS(status) == 130);
  contains(read_file(log), "mamba2 train --resume " + out);
  const Ran again = trained("--steps 1 --resume" + place.at("run"));
  CHECK(again.status == 0);
  contains(again.out, "going on at step");
  contains(refused(place.text() + small + "--out" + place.at("run")), "holds a training already");

  write_file(place.directory / "text", "Another text. " + read_file(place.directory / "text"));
  contains(refused("--resume" + place.at("run")), "the text has changed");
}

TEST_CASE("a training can begin with a model that is there", "[app]") {
  const Place place;
  const std::string tiny = " '" + golden_path("lm/tiny").string() + "' ";
  const Ran ran = trained(place.text() + "--init-from" + tiny + "--batch 2 --seqlen 16 --steps 2 --rate 1e-4 --out" +
                          place.at("tuned"));
  INFO(ran.err);
  CHECK(ran.status == 0);
  contains(ran.out, "623 tokens in the vocabulary");
  contains(refused(place.text() + "--init-from" + tiny + "--size 1m --out" + place.at("x"), 2), "excludes");

  // A model whose gradients are not known says so: it has not diverged.
  const auto mamba1 = place.directory / "mamba1";
  std::filesystem::copy(golden_path("lm/mamba1-hf"), mamba1);
  std::filesystem::copy(golden_path("lm/tiny") / "tokenizer.json", mamba1);
  const std::string said = refused(place.text() + "--batch 2 --seqlen 16 --steps 1 --init-from" + place.at("mamba1") +
                                   "--out" + place.at("y"));
  contains(said, "gradients are known");
  CHECK(said.find("diverged") == std::string::npos);
}

TEST_CASE("of a directory all texts are learnt, in the order of their names", "[app]") {
  const Place place;
  const auto folder = place.directory / "folder";
  std::filesystem::create_directories(folder / ".hidden");
  std::filesystem::create_directories(folder / "deep");
  write_file(folder / "b", std::string(60, 'b'));
  write_file(folder / "deep" / "c", std::string(60, 'c'));
  write_file(folder / "a", std::string(60, 'a'));
  write_file(folder / "image", "\xff\xfe");
  write_file(folder / ".hidden" / "x", std::string(1000, 'x'));
  const Ran ran = trained("--text" + place.at("folder") + small + "--steps 1 --validation 0 --out" + place.at("run"));
  INFO(ran.err);
  CHECK(ran.status == 0);
  contains(ran.out, "left out: 1 files");
  contains(ran.out, "182 tokens to learn from, 0 to be asked about");  // 3 texts of 60, two ends between them
  contains(ran.out, "| aaaaaaaa");
}

TEST_CASE("a training that diverges keeps what is good and says what may help", "[app]") {
  const Place place;
  const std::string words =
      place.text() + small + "--steps 400 --warmup 0 --clip 1000 --weight-decay 0 --out" + place.at("run");
  contains(refused(words + "--rate 1e9"), "diverged");
}

TEST_CASE("mamba2 train says what is wrong", "[app]") {
  const Place place;
  CHECK(run_mamba2("train --help").out.size() > 500);
  const std::string out = "--out" + place.at("run");
  contains(refused("", 2), "--text and --out, or --resume");
  contains(refused(place.text(), 2), "--text and --out, or --resume");
  contains(refused(place.text() + out + "--steps 3 --minutes 2", 2), "excludes");
  contains(refused(place.text() + out + "--size 5m", 2), "5m");
  contains(refused(place.text() + out + "--seqlen 0", 2), "seqlen");
  contains(refused("--resume" + place.at("nowhere")), "training.json");
  contains(refused("--resume" + place.at("nowhere") + "--size 1m", 2), "excludes");
  contains(refused("--text" + place.at("nowhere") + out), "nowhere");
  contains(refused(place.text() + out + "--headdim 7 --steps 1"), "headdim");

  write_file(place.directory / "empty", "");
  contains(refused("--text" + place.at("empty") + out), "no text in it");
  write_file(place.directory / "tiny", "Too short.");
  contains(refused("--text" + place.at("tiny") + out), "expected at least 2049 tokens");
  write_file(place.directory / "binary", std::string("abc\xff") + "def");
  contains(refused("--text" + place.at("binary") + out), "binary: is no text in UTF-8, at byte 3");
}

#endif
