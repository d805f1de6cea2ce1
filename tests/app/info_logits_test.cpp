// The commands `mamba2 info` and `mamba2 logits`, and the command line around them.
#include <mamba2/model_directory.hpp>
#include <support/command.hpp>
#include <support/testing.hpp>

#include <cmath>

#include <nlohmann/json.hpp>

using namespace mamba2;
using namespace testing;

#ifdef MAMBA2_APP

namespace {

void contains(const std::string& text, const std::string& part) {
  INFO(text);
  CHECK(text.find(part) != std::string::npos);
}

const std::string tiny = in_quotes(golden_path("lm/tiny"));

}  // namespace

TEST_CASE("the command explains itself, and says what is wrong with its words", "[app]") {
  for (const char* words : {"--help", "info --help", "logits --help"}) {
    const Ran ran = run_mamba2(words);
    CHECK(ran.status == 0);
    CHECK(ran.err.empty());
    CHECK(ran.out.size() > 300);
  }
  for (const char* words : {"", "inform", "info --modle x", "logits --model x --ids y",
                            "logits --model x --ids y --output z --algorithm fast",
                            "logits --model x --ids y --output z --dtype float16"}) {
    CAPTURE(words);
    const Ran ran = run_mamba2(words);
    CHECK(ran.status == 2);
    CHECK(ran.out.empty());
    CHECK(!ran.err.empty());
  }
}

TEST_CASE("where no model is named, the commands take the book's own", "[app]") {
  const Ran named = run_mamba2("info --json --model " + in_quotes(MODELS "/book"));
  REQUIRE(named.status == 0);
  CHECK(run_mamba2("info --json").out == named.out);
  const std::string text = "'A chunk is a state'";
  CHECK(run_mamba2("tokenize " + text).out ==
        run_mamba2("tokenize --model " + in_quotes(MODELS "/book") + " " + text).out);
  const Ran written = run_mamba2("generate --prompt 'The state' --seed 1 -n 20");
  CHECK(written.status == 0);
  CHECK(written.out.starts_with("The state"));
  const TemporaryDirectory elsewhere;  // a command that is moved to where there is none
  std::filesystem::create_directories(elsewhere / "bin");
  std::filesystem::copy_file(MAMBA2_APP, elsewhere / "bin/mamba2");
  std::filesystem::create_directories(elsewhere / "share/mamba2/models/book");
  std::filesystem::copy_file(golden_path("lm/tiny") / "config.json",
                             elsewhere / "share/mamba2/models/book/config.json");
  const std::string moved =
      "'" + (elsewhere / "bin/mamba2").string() + "' info > '" + (elsewhere / "out").string() + "' 2>&1 < /dev/null";
  CHECK(std::system(moved.c_str()) != 0);  // the model beside it has no weights
  contains(read_file((elsewhere / "out").string()), (elsewhere / "share/mamba2/models/book").string());
}

TEST_CASE("mamba2 info says what a model is", "[app]") {
  const Ran ran = run_mamba2("info --model " + tiny + " --json");
  CHECK(ran.status == 0);
  CHECK(ran.err.empty());
  const auto about = nlohmann::json::parse(ran.out);
  const auto config = open_model(golden_path("lm/tiny")).config;
  CHECK(about["parameters"] == parameter_count(config));
  CHECK(about["stored_as"] == "float32");
  CHECK(about["nan"] == 0);
  CHECK(about["config"]["padded_vocab_size"] == 624);
  CHECK(about["config"]["dt_limit"][1] == "infinity");
  CHECK(about["bytes_in_memory_float32"] == 4 * parameter_count(config));
  const Ran plain = run_mamba2("info --model " + tiny);
  CHECK(plain.status == 0);
  contains(plain.out, "weights             all finite");
  contains(plain.out, "  d_model           32");
}

TEST_CASE("mamba2 info reports NaN and infinite weights", "[app][hostile]") {
  auto model = load_language_model<float>(golden_path("lm/tiny"));
  model.update([](auto& p) {
    p.norm_f_weight(3) = std::nanf("");
    p.branches[1].norm_weight(0) = -HUGE_VALF;
    p.branches[1].norm_weight(1) = HUGE_VALF;
  });
  const TemporaryDirectory directory;
  save_language_model(model, directory.path(), CheckpointLayout::hugging_face);
  const auto about = nlohmann::json::parse(run_mamba2("info --json -m " + in_quotes(directory.path())).out);
  CHECK(about["nan"] == 1);
  CHECK(about["infinite"] == 2);
  CHECK(about["unsound_tensors"] == nlohmann::json{"backbone.layers.1.norm.weight", "backbone.norm_f.weight"});
  const Ran plain = run_mamba2("info -m " + in_quotes(directory.path()));
  contains(plain.out, "NOT SOUND: 1 NaN, 2 infinite");
  contains(plain.out, "backbone.layers.1.norm.weight");
}

TEST_CASE("mamba2 logits writes the golden logits", "[app]") {
  const TemporaryDirectory directory;
  const auto want = load_golden<double, 3>("lm/tiny", "logits");
  const auto error = [&](const std::string& option) {
    const Ran ran = run_mamba2("logits --model " + tiny + " --ids " + in_quotes(golden_path("lm/tiny/input_ids.npy")) +
                               " --output " + in_quotes(directory / "logits.npy") + option);
    INFO(ran.err);
    REQUIRE(ran.status == 0);
    CHECK(ran.out.empty());
    CHECK(ran.err.empty());
    return relative_error(tensor_from<float, 3>("logits", read_npy<float>(directory / "logits.npy")), want);
  };
  for (const char* algorithm : {"recurrent", "quadratic", "chunked"})
    CHECK(error(std::string(" --algorithm ") + algorithm) < 2e-5);
  CHECK(error(" --dtype float32") < 2e-5);
  for (const char* piece : {"1", "7", "44", "45", "90"})  // two texts of 45 tokens
    CHECK(error(std::string(" --threads 1 --piece ") + piece) < 2e-5);
  const std::string words = "logits --model " + tiny + " --ids " + in_quotes(golden_path("lm/tiny/input_ids.npy"));
  REQUIRE(run_mamba2(words + " --last -o " + in_quotes(directory / "last.npy")).status == 0);
  const auto last = tensor_from<float, 2>("logits", read_npy<float>(directory / "last.npy"));
  const Tensor<double, 2> end = xt::view(want, xt::all(), 44, xt::all());
  CHECK(relative_error(last, end) < 2e-5);
  for (const char* dtype : {"bfloat16", "int8"}) {
    const double rounded = error(std::string(" --dtype ") + dtype);
    CHECK(rounded > 1e-4);
    CHECK(rounded < 5e-2);
  }
}

TEST_CASE("mamba2 logits reads whole numbers of any width, and nothing else", "[app][hostile]") {
  const TemporaryDirectory directory;
  const auto npy = [](const std::string& descr, const std::string& shape, const std::string& data) {
    std::string header = "{'descr': '" + descr + "', 'fortran_order': False, 'shape': " + shape + ", }\n";
    return std::string("\x93NUMPY\x01\x00", 8) + little_endian(static_cast<std::uint16_t>(header.size())) + header +
           data;
  };
  const auto run = [&](const std::string& file) {
    write_file(directory / "ids.npy", file);
    return run_mamba2("logits -m " + tiny + " --ids " + in_quotes(directory / "ids.npy") + " -o " +
                      in_quotes(directory / "out.npy"));
  };
  const std::string three("\1\0\2\0\3\0", 6);
  CHECK(run(npy("<u2", "(3,)", three)).status == 0);
  const std::string by_u2 = read_file(directory / "out.npy");
  CHECK(run(npy("|u1", "(1, 3)", "\1\2\3")).status == 0);
  CHECK(read_file(directory / "out.npy") == by_u2);
  std::filesystem::remove(directory / "out.npy");
  const auto refused = [&](const std::string& file) {
    const Ran ran = run(file);
    CHECK(ran.status == 1);
    CHECK(!std::filesystem::exists(directory / "out.npy"));
    return ran.err;
  };
  contains(refused("hello"), "ids.npy: no .npy file");
  contains(refused(npy("<f4", "(1,)", "\1\2\3\4")), "expected whole numbers, got type <f4");
  contains(refused(npy(">i2", "(3,)", three)), "expected whole numbers, got type >i2");
  contains(refused(npy("<i2", "(4,)", three)), "its shape (1, 4) does not match its 6 bytes");
  contains(refused(npy("<i2", "(99999999999999999999,)", three)), "expected a shape of one or two sizes");
  contains(refused(npy("<i2", "(9223372036854775809, 2)", three)), "does not match its 6 bytes");
  contains(refused(npy("<i2", "(1, 1, 3)", three)), "expected a shape of one or two sizes");
  contains(refused(npy("<i2", "()", three)), "expected ids of shape");
  contains(refused(npy("<i2", "(0,)", "")), "holds no ids, its shape is (1, 0)");
  contains(refused(npy("<i2", "(18446744073709551615, 0)", "")),
           "holds no ids, its shape is (18446744073709551615, 0)");
  contains(refused(npy("<i2", "3", three)), "its shape is no list of sizes in parentheses");
  contains(refused(npy("<i2", "(3,)", three).substr(0, 40)), "its header ends too early");
  contains(refused(npy("<i2", "(3,)", std::string("\1\0\x70\2\3\0", 6))), "ids: expected 0 to 623, got 624 at (0, 1)");
  contains(refused(npy("|i1", "(2,)", "\1\xff")), "ids: expected 0 to 623, got -1 at (0, 1)");
  contains(run_mamba2("logits -m /nowhere --ids " + in_quotes(directory / "ids.npy") + " -o x").err,
           "/nowhere: is not a directory");
}

#endif
