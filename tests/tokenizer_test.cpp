// Tokenizers: the golden texts, each piece against a plain form of itself, files that lie.
#include <mamba2/tokenizer.hpp>
#include <support/files.hpp>
#include <support/testing.hpp>

#include <chrono>
#include <fstream>
#include <map>
#include <regex>

#include <nlohmann/json.hpp>

using namespace mamba2;
using namespace testing;
using Ids = std::vector<std::int64_t>;
using Words = std::vector<std::string>;
using Json = nlohmann::json;

namespace {

const Tokenizer& golden() {
  static const Tokenizer tokenizer = load_tokenizer(golden_path("tokenizer"));
  return tokenizer;
}

Json golden_json() {
  return Json::parse(read_file(golden_path("tokenizer/tokenizer.json")));
}

Tokenizer from(const Json& json) {
  return Tokenizer(json.dump(), "tokenizer.json");
}

Words words(const std::string& text) {
  const auto views = split_words(text);
  return {views.begin(), views.end()};
}

double seconds(const std::function<void()>& run) {
  const auto start = std::chrono::steady_clock::now();
  run();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

// Any text of a few kinds of pieces, the same for each seed.
std::string made_up_text(std::uint64_t seed, std::size_t pieces) {
  const char* kinds[] = {
      "a",  "the", "E",      "é",   "e\u0301",       "ß", " ",  "  ",    "\n",   "\t", "\u00a0", "\u2003",
      "1",  "½",   "Ⅷ",      "'s",  "'ll",           "'", "?!", "_",     "世界", "🐍",  "\u200b", "\u0085",
      "'D", "°",   "\ufeff", "   ", "<|endoftext|>", ".", "ﬁ",  "\u0323"};
  Random random(seed);
  std::string text;
  for (std::size_t i = 0; i < pieces; ++i)
    text += kinds[static_cast<std::size_t>(random.uniform(0, static_cast<double>(std::size(kinds))))];
  return text;
}

}  // namespace

TEST_CASE("the golden texts have the published library's tokens", "[tokenizer][golden]") {
  for (const auto& expected : Json::parse(read_file(golden_path("tokenizer/expected.json")))) {
    const auto text = expected["text"].get<std::string>();
    CAPTURE(text);
    CHECK(golden().encode(text) == expected["ids"].get<Ids>());
    CHECK(golden().decode(expected["ids"].get<Ids>()) == expected["decoded"].get<std::string>());
  }
  CHECK(golden().vocab_size() == 623);
  CHECK(golden().find_added("<|endoftext|>") == 0);
  CHECK(golden().find_added("the") == std::nullopt);
}

TEST_CASE("each byte is one token", "[tokenizer]") {
  std::vector<int> seen(256, 0);
  for (std::int64_t id = 2; id < 258; ++id) {
    REQUIRE(golden().bytes(id).size() == 1);
    ++seen[static_cast<unsigned char>(golden().bytes(id)[0])];
  }
  CHECK(seen == std::vector<int>(256, 1));
}

TEST_CASE("what is decoded is the normal form of what was encoded", "[tokenizer]") {
  for (std::uint64_t seed = 0; seed < 300; ++seed) {
    const std::string text = made_up_text(seed, 40);
    CAPTURE(text);
    // Added tokens cut the text before it is normalised, so marks behind one stay where they are.
    if (text.find("<|endoftext|>\u0323") != std::string::npos || text.find("<|endoftext|>\u0301") != std::string::npos)
      continue;
    CHECK(golden().decode(golden().encode(text)) == normalized(text));
  }
}

TEST_CASE("words are cut by GPT-2's rule", "[tokenizer]") {
  CHECK(words("") == Words{});
  CHECK(words("Hello, world!") == Words{"Hello", ",", " world", "!"});
  CHECK(words("we'll don't I'VE 's") == Words{"we", "'ll", " don", "'t", " I", "'", "VE", " '", "s"});
  CHECK(words("a   b") == Words{"a", "  ", " b"});
  CHECK(words("a   ") == Words{"a", "   "});
  CHECK(words("a \n\nb") == Words{"a", " \n", "\n", "b"});
  CHECK(words("a\t b") == Words{"a", "\t", " b"});
  CHECK(words(" 12ab?!") == Words{" 12", "ab", "?!"});
  CHECK(words("x\u00a0y") == Words{"x", "\u00a0", "y"});  // the no-break space is white, but not the one that joins
  CHECK(words("x\u00a0\u00a0y") == Words{"x", "\u00a0", "\u00a0", "y"});
  CHECK(words("x\u0085y") == Words{"x", "\u0085", "y"});                    // so is the next line
  CHECK(words("x\ufeffy \u200b") == Words{"x", "\ufeff", "y", " \u200b"});  // these two are not
  CHECK(words("½Ⅷ٣ é") == Words{"½Ⅷ٣", " é"});
  CHECK(words("e\u0301x") == Words{"e", "\u0301", "x"});  // a mark is no letter
}

TEST_CASE("words of ASCII are those of the regular expression", "[tokenizer]") {
  const std::regex rule(R"('s|'t|'re|'ve|'m|'ll|'d| ?[A-Za-z]+| ?[0-9]+| ?[^\sA-Za-z0-9]+|\s+(?!\S)|\s+)");
  Random random(11);
  for (int i = 0; i < 2000; ++i) {
    std::string text;
    const std::string letters = "ab'sdlvreTM 1  \n\t?.";
    for (int k = 0; k < 12; ++k)
      text += letters[static_cast<std::size_t>(random.uniform(0, static_cast<double>(letters.size())))];
    Words expected;
    for (auto match = std::sregex_iterator(text.begin(), text.end(), rule); match != std::sregex_iterator(); ++match)
      expected.push_back(match->str());
    CAPTURE(text);
    CHECK(words(text) == expected);
  }
}

TEST_CASE("merging takes the lowest rank, then the leftmost, as the plain loop does", "[tokenizer]") {
  Random random(3);
  const auto below = [&](std::int64_t n) {
    return static_cast<std::int64_t>(random.uniform(0, static_cast<double>(n)));
  };
  for (int round = 0; round < 300; ++round) {
    MergeTable table;  // over the letters 0 to 3; merges may make any token, earlier ones too, as a hostile file would
    std::map<std::pair<std::int64_t, std::int64_t>, std::pair<std::size_t, std::int64_t>> plain;
    for (std::int64_t i = 0; i < 12; ++i) {
      const std::int64_t left = below(8), right = below(8), merged = 4 + below(6);
      const bool added = table.add(left, right, merged);
      CHECK(added == plain.emplace(std::pair(left, right), std::pair(plain.size(), merged)).second);
    }
    CHECK(table.size() == plain.size());
    Ids tokens;
    for (int k = 0; k < 30; ++k) tokens.push_back(below(4));
    Ids expected = tokens;
    for (;;) {
      std::size_t best = expected.size(), best_rank = 0;
      for (std::size_t i = 0; i + 1 < expected.size(); ++i) {
        const auto place = plain.find({expected[i], expected[i + 1]});
        if (place == plain.end() || (best < expected.size() && place->second.first >= best_rank)) continue;
        best = i;
        best_rank = place->second.first;
      }
      if (best == expected.size()) break;
      expected[best] = plain.at({expected[best], expected[best + 1]}).second;
      expected.erase(expected.begin() + static_cast<std::ptrdiff_t>(best) + 1);
    }
    CHECK(merge_pairs(tokens, table) == expected);
  }
  CHECK(merge_pairs({}, MergeTable()).empty());
}

TEST_CASE("hostile texts take no longer than others", "[tokenizer][hostile]") {
  Json json = golden_json();  // with merges for runs of a letter, so that there is something to do
  for (std::string run = "a"; run.size() < 64; run += run) {
    json["model"]["vocab"][run + run] = 1000 + run.size();
    json["model"]["merges"].push_back(run + " " + run);
  }
  const Tokenizer tokenizer = from(json);
  std::string letters, marks = "a", endings, spaces, almost;
  for (int i = 0; i < 1'000'000; ++i) letters += 'a';
  for (int i = 0; i < 500'000; ++i) marks += i % 2 == 0 ? "\u0301" : "\u0323";
  for (int i = 0; i < 500'000; ++i) spaces += i % 2 == 0 ? " " : "\n";
  for (int i = 0; i < 100'000; ++i) almost += "<|endoftext|";
  for (const std::string* text : {&letters, &marks, &spaces, &almost}) {
    CAPTURE(text->substr(0, 20));
    Ids ids;
    CHECK(seconds([&] { ids = tokenizer.encode(*text); }) < 30);  // quadratic: hours
    CHECK(tokenizer.decode(ids) == normalized(*text));
  }
  CHECK(tokenizer.encode(letters).size() == 15625);
}

TEST_CASE("marks are brought into order as by Unicode's rule", "[tokenizer]") {
  CHECK(normalized("e\u0301") == "é");
  CHECK(normalized("\u212b \ufb01") == "Å \ufb01");
  CHECK(normalized("a\u0301\u0323") == normalized("a\u0323\u0301"));
  std::string once = "q", twice = "q";  // long runs, in two orders that mean the same
  for (int i = 0; i < 40; ++i) once += "\u0323";
  for (int i = 0; i < 40; ++i) once += i % 2 == 0 ? "\u0301" : "\u0308";
  for (int i = 0; i < 40; ++i) twice += i % 2 == 0 ? "\u0301\u0323" : "\u0308\u0323";
  CHECK(normalized(twice) == once);
  std::string tibetan = "\u0f40",
              expected = "\u0f40";  // U+0F73 looks like a letter and is two marks, of classes 129 and 130
  for (int i = 0; i < 40; ++i) tibetan += "\u0f73";
  for (int i = 0; i < 40; ++i) expected += "\u0f71";
  for (int i = 0; i < 40; ++i) expected += "\u0f72";
  CHECK(normalized(tibetan) == expected);
}

TEST_CASE("characters are read by Unicode's rules, and broken ones replaced as it recommends", "[tokenizer][utf8]") {
  for (std::uint32_t code_point = 0; code_point < 0x110000; ++code_point) {
    const std::string bytes = utf8(code_point);
    const Utf8Character character = next_character(bytes, 0);
    const bool surrogate = code_point >= 0xd800 && code_point < 0xe000;
    const bool as_expected = surrogate ? character.kind == Utf8Character::Kind::broken
                                       : character.kind == Utf8Character::Kind::whole &&
                                             character.code_point == code_point && character.length == bytes.size();
    if (!as_expected) FAIL("code point " << code_point);
  }
  const std::string r = "\ufffd";
  // The examples of the Unicode standard, section 3.9: tables 3-8, 3-9, 3-10 and 3-11.
  CHECK(mended_utf8("\xC0\xAF\xE0\x80\xBF\xF0\x81\x82\x41") == r + r + r + r + r + r + r + r + "A");
  CHECK(mended_utf8("\xED\xA0\x80\xED\xBF\xBF\xED\xAF\x41") == r + r + r + r + r + r + r + r + "A");
  CHECK(mended_utf8("\xF4\x91\x92\x93\xFF\x41\x80\xBF\x42") == r + r + r + r + r + "A" + r + r + "B");
  CHECK(mended_utf8("\xE1\x80\xE2\xF0\x91\x92\xF1\xBF\x41") == r + r + r + r + "A");
  CHECK(mended_utf8("a\xF0\x9F\x90") == "a" + r);
}

TEST_CASE("a stream shows whole characters, as early as can be, and in the end what decode() gives",
          "[tokenizer][utf8]") {
  const auto whole = [](const std::string& text) { return text == mended_utf8(text); };
  Random random(5);
  for (int round = 0; round < 500; ++round) {
    Ids ids;
    for (int i = 0; i < 30; ++i) ids.push_back(static_cast<std::int64_t>(random.uniform(0, i % 3 == 0 ? 623 : 258)));
    StreamDecoder stream(golden());
    std::string shown;
    for (std::size_t i = 0; i < ids.size(); ++i) {
      const std::string more = stream.push(ids[i]);
      CHECK(whole(more));
      shown += more;
      // All but at most three bytes of a character that may still become whole has been shown.
      const std::string so_far = golden().decode(std::span(ids).first(i + 1));
      CHECK((so_far == shown || so_far == shown + "\ufffd"));
    }
    shown += stream.finish();
    CHECK(shown == golden().decode(ids));
  }
  StreamDecoder stream(golden());
  Words shown;
  for (const std::int64_t id : golden().encode("🐍!")) shown.push_back(stream.push(id));
  CHECK(shown == Words{"", "", "", "🐍", "!"});
}

TEST_CASE("added tokens are found first, the longest, and as they wish", "[tokenizer]") {
  Json json = golden_json();
  const auto add = [&](std::int64_t id, const std::string& content, Json flags) {
    flags["id"] = id;
    flags["content"] = content;
    json["added_tokens"].push_back(flags);
  };
  add(700, "<a>", {{"special", true}, {"lstrip", true}});
  add(701, "<a>b", {{"special", true}});
  add(702, "<r>", {{"special", true}, {"rstrip", true}});
  add(703, "mamba", {{"single_word", true}, {"normalized", false}});
  add(704, "Å!", {{"normalized", true}});
  add(705, "<é>", {{"normalized", false}});
  const Tokenizer t = from(json);
  CHECK(t.vocab_size() == 706);
  CHECK(t.encode("<a>b<a>") == Ids{701, 700});
  CHECK(t.encode("x \n <a> y") == [&] {
    Ids want = t.encode("x");
    want.push_back(700);
    for (auto id : t.encode(" y")) want.push_back(id);
    return want;
  }());
  CHECK(t.encode("<r> \n\u00a0<r>") == Ids{702, 702});
  CHECK(t.encode("<r> <a>") == Ids{702, 700});  // the space goes to the first that wants it
  CHECK(t.encode("mamba") == Ids{703});
  CHECK(t.encode("mamba.") == Ids{703, 15});
  for (const char* inside : {"mambas", "mambaé", "mamba1", "mamba_", "émamba"})
    CHECK(t.encode(inside) == golden().encode(inside));
  CHECK(t.encode("\u212b!") == Ids{704});  // found after normalisation
  CHECK(t.encode("<é>") == Ids{705});
  CHECK(t.encode("<e\u0301>") == golden().encode("<é>"));  // not looked for after it
  CHECK(t.decode(Ids{704, 705, 700}) == "Å!<é><a>");       // stands for itself, not for bytes
  CHECK(message_of<ValueError>([&] {
          t.decode(Ids{0, 650});
        }) == "id: expected the number of a token, below 706, got 650");
  CHECK(message_of<ValueError>([&] { t.decode(Ids{-1}); }) == "id: expected the number of a token, below 706, got -1");
  CHECK(message_of<ValueError>([&] { t.decode(Ids{706}); }) ==
        "id: expected the number of a token, below 706, got 706");
  json["pre_tokenizer"]["add_prefix_space"] = true;
  const Tokenizer prefixed = from(json);
  CHECK(prefixed.encode("Mamba") == golden().encode(" Mamba"));
  CHECK(prefixed.encode(" Mamba") == golden().encode(" Mamba"));
}

TEST_CASE("both ways to write merges are read, and all that is harmless", "[tokenizer]") {
  Json json = golden_json();
  for (auto& merge : json["model"]["merges"]) {
    const auto both = merge.get<std::string>();
    merge = {both.substr(0, both.find(' ')), both.substr(both.find(' ') + 1)};
  }
  json["post_processor"] = {{"type", "TemplateProcessing"},
                            {"single", {{{"Sequence", {{"id", "A"}, {"type_id", 0}}}}}}};
  json["model"]["byte_fallback"] = false;
  json["model"]["end_of_word_suffix"] = "";
  CHECK(from(json).encode("Mamba is a new class") == golden().encode("Mamba is a new class"));
  json["normalizer"] = nullptr;
  CHECK(from(json).encode("e\u0301").size() == 3);  // one byte and two
  CHECK(golden().encode("e\u0301").size() == 2);
}

TEST_CASE("tokenizers that lie are refused with file, key and reason", "[tokenizer][hostile]") {
  const auto refused = [](const std::function<void(Json&)>& change) {
    Json json = golden_json();
    change(json);
    return message_of<FileError>([&] { from(json); });
  };
  const auto contains = [](const std::string& text, const std::string& part) {
    INFO(text);
    CHECK(text.find(part) != std::string::npos);
  };
  contains(refused([](Json& j) { j = 3; }), "tokenizer.json: expected an object, got '3'");
  contains(refused([](Json& j) { j.erase("model"); }), "tokenizer.json: model: expected an object, got 'null'");
  contains(refused([](Json& j) { j["model"]["type"] = "Unigram"; }),
           "tokenizer.json: model.type: expected BPE, got '\"Unigram\"'");
  contains(refused([](Json& j) { j["model"]["vocab"] = Json::array(); }), "model.vocab: expected an object");
  contains(refused([](Json& j) { j["model"]["vocab"] = Json::object(); }), "model.vocab: expected tokens");
  contains(refused([](Json& j) { j["model"]["vocab"]["!"] = "2"; }), "model.vocab.!: expected a number from 0 to");
  contains(refused([](Json& j) { j["model"]["vocab"]["!"] = -2; }), "model.vocab.!: expected a number from 0 to");
  contains(refused([](Json& j) { j["model"]["vocab"]["!"] = 2.5; }), "model.vocab.!: expected a number from 0 to");
  contains(refused([](Json& j) { j["model"]["vocab"]["!"] = 1u << 30; }), "model.vocab.!: expected a number from 0 to");
  contains(refused([](Json& j) { j["model"]["vocab"]["!"] = 3; }), "the number 3 is also that of");
  contains(refused([](Json& j) { j["model"].erase("merges"); }), "model.merges: expected an array");
  contains(refused([](Json& j) { j["model"]["merges"][7] = "a  b"; }), "model.merges[7]: expected two tokens");
  contains(refused([](Json& j) { j["model"]["merges"][7] = {"a", "b", "c"}; }), "model.merges[7]: expected two tokens");
  contains(refused([](Json& j) { j["model"]["merges"][7] = {"a", 3}; }), "model.merges[7]: expected two tokens");
  contains(refused([](Json& j) { j["model"]["merges"][7] = 5; }), "model.merges[7]: expected two tokens, got '5'");
  contains(refused([](Json& j) { j["model"]["merges"][7] = "Q Q"; }),
           "model.merges[7]: 'QQ' is no token of model.vocab");
  contains(refused([](Json& j) { j["model"]["merges"][7] = "zzz q"; }), "model.merges[7]: 'zzz' is no token");
  contains(refused([](Json& j) { j["model"]["merges"][7] = j["model"]["merges"][3]; }),
           "model.merges[7]: the pair comes twice");
  contains(refused([](Json& j) { j["added_tokens"] = 1; }), "added_tokens: expected an array");
  contains(refused([](Json& j) { j["added_tokens"][1] = "x"; }), "added_tokens[1]: expected an object");
  contains(refused([](Json& j) { j["added_tokens"][1].erase("id"); }), "added_tokens[1].id: expected a number");
  contains(refused([](Json& j) { j["added_tokens"][1]["id"] = 5; }),
           "added_tokens[1].id: expected 1, the number in model.vocab");
  contains(refused([](Json& j) { j["added_tokens"][4]["id"] = 601; }), "the number 601 is also that of");
  contains(refused([](Json& j) { j["added_tokens"][4]["content"] = ""; }),
           "added_tokens[4].content: expected 1 to 1024 bytes");
  contains(refused([](Json& j) { j["added_tokens"][4]["content"] = std::string(2000, 'x'); }),
           "expected 1 to 1024 bytes");
  contains(refused([](Json& j) { j["added_tokens"][4]["content"] = j["added_tokens"][3]["content"]; }),
           "the token comes twice");
  contains(refused([](Json& j) { j["added_tokens"][4]["lstrip"] = 1; }),
           "added_tokens[4].lstrip: expected true or false");
  contains(refused([](Json& j) { j["normalizer"]["type"] = "NFKC"; }), "normalizer.type: expected NFC, got '\"NFKC\"'");
  contains(refused([](Json& j) { j["pre_tokenizer"] = nullptr; }), "pre_tokenizer: expected an object");
  contains(refused([](Json& j) { j["pre_tokenizer"]["type"] = "Metaspace"; }),
           "pre_tokenizer.type: expected ByteLevel");
  contains(refused([](Json& j) { j["pre_tokenizer"]["use_regex"] = false; }), "pre_tokenizer.use_regex: expected true");
  contains(refused([](Json& j) { j["decoder"] = nullptr; }), "decoder: expected an object");
  contains(refused([](Json& j) {
             j["truncation"] = {{"max_length", 5}};
           }),
           "truncation: expected nothing: this is not supported");
  contains(refused([](Json& j) { j["model"]["dropout"] = 0.1; }), "model.dropout: expected nothing");
  contains(refused([](Json& j) { j["model"]["byte_fallback"] = true; }), "model.byte_fallback: expected nothing");
  contains(refused([](Json& j) {
             j["post_processor"] = {{"type", "TemplateProcessing"}, {"single", {{{"SpecialToken", 1}}}}};
           }),
           "post_processor.single: expected the text alone");
  contains(refused([](Json& j) { j["post_processor"]["type"] = "Bert"; }),
           "post_processor.type: expected ByteLevel or");
  Json lacking = golden_json();
  lacking["model"] = {{"type", "BPE"}, {"vocab", {{"a", 5}}}, {"merges", Json::array()}};
  CHECK(message_of<ValueError>([&] { from(lacking).encode("ab"); }) == "text: the vocabulary has no token for byte 98");
  const auto raw = [](const std::string& text) { return message_of<FileError>([&] { Tokenizer(text, "t.json"); }); };
  contains(raw(""), "t.json: not valid JSON");
  contains(raw("{\"model\": \"\xff\"}"), "t.json: not valid JSON near byte");
  contains(raw(std::string(100000, '[')), "t.json: nested more than 64 deep");
  contains(raw(R"({"model": 1, "model": 2})"), "t.json: key 'model' comes twice");
  const TemporaryDirectory directory;
  contains(message_of<FileError>([&] { load_tokenizer(directory.path()); }), "tokenizer.json: cannot be opened");
}

TEST_CASE("texts that are no UTF-8 are refused with the place", "[tokenizer][hostile]") {
  CHECK(message_of<ValueError>([] { golden().encode("abc\xff"); }) ==
        "text: expected UTF-8, got a broken character at byte 3");
  CHECK(message_of<ValueError>([] { golden().encode("\xed\xa0\x80"); }) ==
        "text: expected UTF-8, got a broken character at byte 0");
  CHECK(message_of<ValueError>([] { golden().encode("é\xc3"); }) ==
        "text: expected UTF-8, got a broken character at byte 2");
}
