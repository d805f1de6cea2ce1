// ## The program {#language_model_program}
//
// The program of this chapter makes a model small enough to be made in no time, with fresh random
// weights, and puts it through everything: the three algorithms, the step, a checkpoint, and a few
// files that lie.

#include <demo/demo.hpp>
#include <demo/refusal.hpp>
#include <mamba2/cross_entropy.hpp>
#include <mamba2/error.hpp>
#include <mamba2/half.hpp>
#include <mamba2/json.hpp>
#include <mamba2/model_directory.hpp>
#include <mamba2/safetensors.hpp>

#include <array>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <vector>

#include <unistd.h>
#include <nlohmann/json.hpp>

namespace {

using mamba2::Tensor;
namespace fs = std::filesystem;

using demo::relative_difference;
using demo::yes;

// A directory of its own, removed at the end.

//: fold Scratch files
struct Scratch {
  fs::path path;
  Scratch() {
    std::string name = (fs::temp_directory_path() / "chapter-10-XXXXXX").string();
    path = ::mkdtemp(name.data());
  }
  ~Scratch() { fs::remove_all(path); }
};

std::string contents(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

// First the comparison with the reference. A small model with random weights was saved and computed
// by other programs, in double precision; its directory, some tokens and their logits lie in
// `tests/golden`, as arrays in NumPy's format: a header of text, whose length stands at byte 8,
// then the numbers.

//: fold Reading NumPy's arrays; the comparison
const fs::path golden =
    fs::path(__FILE__).parent_path().parent_path().parent_path() / "tests/golden/lm";

template <class Number, std::size_t N>
Tensor<Number, N> golden_array(const char* name, const std::array<std::size_t, N>& shape) {
  const std::string file = contents(golden / "tiny" / name);
  std::uint16_t header = 0;
  std::memcpy(&header, file.data() + 8, 2);
  Tensor<Number, N> array(shape);
  if (file.size() != 10 + header + array.size() * sizeof(Number))
    throw mamba2::FileError(std::string(name) + ": expected another number of bytes");
  std::memcpy(array.data(), file.data() + 10 + header, array.size() * sizeof(Number));
  return array;
}

void show_reference() {
  const auto ids = golden_array<std::int64_t, 2>("input_ids.npy", {2, 45});
  const auto want = golden_array<double, 3>("logits.npy", {2, 45, 624});
  const auto in_float = mamba2::load_language_model<float>(golden / "tiny-hf").forward(ids);
  const auto in_double = mamba2::load_language_model<double>(golden / "tiny-hf").forward(ids);
  std::printf("[reference]\nafter 45 tokens, token     the reference       float32       float64\n");
  for (const std::size_t v : {0U, 1U, 2U, 622U})
    std::printf("%25zu  %16.9f  %12.6f  %12.9f\n", v, want(1, 44, v),
                static_cast<double>(in_float(1, 44, v)), in_double(1, 44, v));
  std::printf(
      "all %zu logits agree with the reference's to 2e-5 in float32: %s, to 1e-12 in float64: %s\n",
      want.size(), yes(demo::relative_difference(in_float, want) < 2e-5),
      yes(demo::relative_difference(in_double, want) < 1e-12));
}

// The published sizes, by parameter_count() alone.

//: fold The sizes
void show_sizes() {
  std::printf("[sizes]\n              d_model  layers     parameters\n");
  struct Size {
    const char* name;
    std::size_t d_model, n_layer;
  };
  for (const auto& [name, d_model, n_layer] :
       {Size{"mamba2-130m", 768, 24}, Size{"mamba2-370m", 1024, 48}, Size{"mamba2-780m", 1536, 48},
        Size{"mamba2-1.3b", 2048, 48}, Size{"mamba2-2.7b", 2560, 64}}) {
    const std::size_t count =
        mamba2::parameter_count({.n_layer = n_layer,
                                 .vocab_size = 50277,
                                 .pad_vocab_size_multiple = 16,
                                 .mixer = mamba2::Mamba2Config{.d_model = d_model}});
    std::printf("%s   %7zu  %6zu  %13zu\n", name, d_model, n_layer, count);
  }
}

// The small model: four layers, a vocabulary of 60 tokens padded to 64, and a text of 37 tokens
// that no chunk divides.

//: fold The small model, and all forms
mamba2::LanguageModelConfig small_config() {
  return {.n_layer = 4,
          .vocab_size = 60,
          .pad_vocab_size_multiple = 16,
          .mixer = mamba2::Mamba2Config{.d_model = 24, .d_state = 10, .headdim = 8, .chunk_size = 16}};
}

Tensor<std::int64_t, 2> some_text() {
  auto ids = Tensor<std::int64_t, 2>::from_shape({1, 37});
  for (std::size_t i = 0; i < ids.size(); ++i)
    ids.data()[i] = static_cast<std::int64_t>((i * i + 7 * i + 3) % 60);
  return ids;
}

void show_forms(const mamba2::LanguageModel<double>& model) {
  using mamba2::Algorithm;
  const auto logits = model.forward(some_text(), {.algorithm = Algorithm::recurrent});
  const auto agrees = [&](const mamba2::LanguageModelOptions& options) {
    return yes(relative_difference(model.forward(some_text(), options), logits) < 1e-12);
  };
  std::printf("[forms]\nlogits have shape (%zu, %zu, %zu)\n", logits.shape(0), logits.shape(1),
              logits.shape(2));
  std::printf("quadratic and recurrent agree to 1e-12: %s\n",
              agrees({.algorithm = Algorithm::quadratic}));
  std::printf("chunked and recurrent agree to 1e-12: %s\n", agrees({.algorithm = Algorithm::chunked}));
  std::printf("chunked by 5 and recurrent agree to 1e-12: %s\n", agrees({.chunk_size = 5}));

  const auto ids = some_text();
  auto prompt = Tensor<std::int64_t, 2>::from_shape({1, 20});
  std::copy_n(ids.data(), 20, prompt.data());
  auto cache = model.empty_cache(1);
  auto last = model.prefill(prompt, cache);
  for (std::size_t t = 20; t < 37; ++t) last = model.step({ids(0, t)}, cache);
  Tensor<double, 2> expected = Tensor<double, 2>::from_shape(last.shape());
  std::copy_n(&logits(0, 36, 0), expected.size(), expected.data());
  std::printf("20 tokens at once, 17 one by one, agree to 1e-12: %s\n",
              yes(relative_difference(last, expected) < 1e-12));
}

// How good it is, beside models that only count. A text is cut into pieces; each different piece is
// a token, and the logarithm of how often it occurs is its score, at every place.

//: fold Cutting a text
std::vector<std::string> cut(const std::string& text, bool words) {
  std::vector<std::string> pieces;
  for (const char letter : text) {
    if (pieces.empty() || !words || letter == ' ' || letter == '\n') pieces.emplace_back();
    pieces.back() += letter;
  }
  return pieces;
}

void show_row(const char* name, const mamba2::CrossEntropy& found, const char* bits) {
  std::printf("%-31s  %6zu  %10.3f  %10.2f  %9s\n", name, found.tokens, found.mean(),
              found.perplexity(), bits);
}

// Two models of such pieces: one that knows nothing, one that has counted.

//: fold The two models, and the rows
void show_counts(const std::string& text, bool words) {
  std::map<std::string, std::int64_t> tokens;
  std::vector<double> counts;
  const std::vector<std::string> pieces = cut(text, words);
  Tensor<std::int64_t, 2> ids({1, pieces.size()});
  for (std::size_t t = 0; t < pieces.size(); ++t) {
    const auto [token, fresh] = tokens.try_emplace(pieces[t], tokens.size());
    if (fresh) counts.push_back(0);
    counts[static_cast<std::size_t>(token->second)] += 1;
    ids(0, t) = token->second;
  }
  Tensor<double, 3> alike({1, pieces.size(), counts.size()}, 0.0), counted(alike);
  for (std::size_t i = 0; i < counted.size(); ++i)
    counted.data()[i] = std::log(counts[i % counts.size()]);

  const std::string name = std::to_string(counts.size()) + (words ? " words" : " characters");
  for (const auto& [how, logits] : {std::pair{", all alike", alike}, {", counted", counted}}) {
    const mamba2::CrossEntropy found = mamba2::cross_entropy(logits, ids);
    char bits[16];
    std::snprintf(bits, sizeof bits, "%.2f", found.bits_per_byte(text.size()));
    show_row((name + how).c_str(), found, bits);
  }
}

// And one that has learnt: the book's own model, which lies in `models/book` (@chapter{training}
// tells how it came about). Its tokens are pieces of text, and which number stands for which piece
// is said in a file beside it. Here a text is cut by taking the longest piece that fits, again and
// again; @chapter{text} does it as the model has learnt it.

//: fold The pieces of a text
class Pieces {
 public:
  explicit Pieces(const fs::path& tokenizer) {
    const auto json = mamba2::parse_json(contents(tokenizer), tokenizer.string());
    for (const auto& [name, id] : json["model"]["vocab"].items()) {
      std::string piece = name;  // spaces and ends of lines are written as other letters there
      for (const auto& [written, meant] : {std::pair{"\u0120", " "}, {"\u010a", "\n"}})
        for (std::size_t at = 0; (at = piece.find(written, at)) != std::string::npos;)
          piece.replace(at, 2, meant);
      ids_[piece] = id;
      pieces_[id] = piece;
    }
  }
  Tensor<std::int64_t, 2> cut(const std::string& text) const {
    std::vector<std::int64_t> ids;
    for (std::size_t at = 0, length = 0; at < text.size(); at += length) {
      for (length = text.size() - at; !ids_.contains(text.substr(at, length));) --length;
      ids.push_back(ids_.at(text.substr(at, length)));
    }
    auto row = Tensor<std::int64_t, 2>::from_shape({1, ids.size()});
    std::copy(ids.begin(), ids.end(), row.begin());
    return row;
  }
  const std::string& text(std::int64_t id) const { return pieces_.at(id); }

 private:
  std::map<std::string, std::int64_t> ids_;
  std::map<std::int64_t, std::string> pieces_;
};

// It is asked about the four lines, none of which it has seen, and then goes on with a beginning:
// of all tokens the likeliest, one after the other.

void show_learnt(const std::string& text) {
  const fs::path directory = golden.parent_path().parent_path().parent_path() / "models/book";
  const auto model = mamba2::load_language_model<double>(directory);
  const Pieces pieces(directory / "tokenizer.json");
  const Tensor<std::int64_t, 2> ids = pieces.cut(text);
  const mamba2::CrossEntropy found = cross_entropy(model, ids);
  char bits[16];
  std::snprintf(bits, sizeof bits, "%.2f",
                found.bits_per_byte(text.size() - pieces.text(ids(0, 0)).size()));
  show_row("the book's own model", found, bits);

  for (const char* prompt : {"The state", "A chunk"}) {
    std::string written = prompt;
    auto cache = model.empty_cache(1);
    auto logits = model.prefill(pieces.cut(prompt), cache);
    for (int n = 0; n < 24 && written.back() != '.'; ++n) {
      const auto likeliest = std::max_element(logits.begin(), logits.end()) - logits.begin();
      written += pieces.text(likeliest);
      logits = model.step({likeliest}, cache);
    }
    std::printf("%s%s\n", prompt[0] == 'T' ? "[writes]\n" : "", demo::visible(written).c_str());
  }
}

//: fold All of them
void show_good(const mamba2::LanguageModel<double>& model) {
  const std::string text =
      "the state is small, and the text is long\n"
      "what the state forgets, the model cannot say\n"
      "what the model says, the state must hold\n"
      "the text is long, and the state is all there is\n";
  std::printf("[good]\n                                 tokens  nats/token  perplexity  bits/byte\n");
  for (const bool words : {false, true}) show_counts(text, words);
  show_row("the model, 60 tokens, 4 padding", cross_entropy(model, some_text()), "");
  show_learnt(text);
}

// How the residual stream grows: a forward pass that keeps the stream as each layer finds it; and
// the same where every mixer writes ten times as loud. That is a walk over the parameters, which
// looks for the weights by which mixers write.

void show_stream(mamba2::LanguageModel<double> model, double loudness) {
  model.update([&](auto& parameters) {
    const auto louder = [&](const mamba2::ParameterInfo& info, std::span<double> values) {
      if (info.role != mamba2::Role::output_weight) return;
      for (double& value : values) value *= loudness;
    };
    walk(model.config(), louder, parameters);
  });
  mamba2::LanguageModelActivations<double> kept;
  model.forward(some_text(), {}, &kept);
  std::printf("output times %4.0f:", loudness);
  for (const Tensor<double, 3>& x : kept.streams) {
    double squares = 0;
    for (const double v : x) squares += v * v;
    std::printf("  %.3f", std::sqrt(squares / static_cast<double>(x.size())));
  }
  std::printf("\n");
}

// Numbers in sixteen bits, there and back.

//: fold Halves; loading again
void show_halves() {
  std::printf("[halves]\n    a float       bfloat16        float16\n");
  for (const float value : {1.0f, 0.1f, 3.14159265f, 1.00390625f, 1000.5f, 70000.0f, 1e-7f})
    std::printf("%11.7g  %13.7g  %13.7g\n", static_cast<double>(value),
                static_cast<double>(mamba2::bfloat16_to_float(mamba2::float_to_bfloat16(value))),
                static_cast<double>(mamba2::float16_to_float(mamba2::float_to_float16(value))));
}

bool same(const mamba2::LanguageModel<double>& a, const mamba2::LanguageModel<double>& b) {
  return a.forward(some_text()) == b.forward(some_text());
}

void show_checkpoints(const mamba2::LanguageModel<double>& model, const fs::path& scratch) {
  using mamba2::ElementType;
  std::printf("[checkpoints]\n");
  const auto round_trip = [&](const char* name, ElementType type) {
    save_language_model(model, scratch / name, mamba2::CheckpointLayout::hugging_face, type);
    return mamba2::load_language_model<double>(scratch / name);
  };
  std::printf("logits from float64 weights are the same: %s\n",
              yes(same(round_trip("b", ElementType::float64), model)));
  const auto want = model.forward(some_text());
  const auto error = [&](const char* name, ElementType type) {
    return relative_difference(round_trip(name, type).forward(some_text()), want);
  };
  std::printf("logits from float32 weights agree to 1e-6: %s\n",
              yes(error("c", ElementType::float32) < 1e-6));
  std::printf("logits from float16 weights agree to 1e-3: %s\n",
              yes(error("d", ElementType::float16) < 1e-3));
  std::printf("logits from bfloat16 weights agree to 1e-2: %s\n",
              yes(error("e", ElementType::bfloat16) < 1e-2));
}

// The beginning of a safetensors file: the header's length, and its first entries, one a line.

//: fold The beginning of a file
void show_header(const fs::path& path) {
  const std::string file = contents(path);
  std::uint64_t length = 0;
  std::memcpy(&length, file.data(), 8);
  std::string header = file.substr(8, length);
  for (std::size_t at = 0, lines = 0; (at = header.find("},", at)) != std::string::npos; at += 2) {
    header.insert(at + 2, "\n ");
    if (++lines == 4) header.resize(at + 2);
  }
  std::printf("[header]\n%zu bytes of header, which begins\n%s\n", static_cast<std::size_t>(length),
              header.c_str());
}

// And files that lie. Each is refused with its name, the place and the reason.

// Three headers, each with one claim that is not true.

//: fold Three lies
std::span<const std::byte> bytes_of(const std::string& text) {
  return std::as_bytes(std::span(text));
}

void show_lies() {
  std::printf("[lies]\n");
  const auto header = [](const std::string& text) {
    const std::uint64_t length = text.size();
    return std::string(reinterpret_cast<const char*>(&length), 8) + text + std::string(8, '\0');
  };
  demo::show_refusal("a shape whose size overflows to the right one", [&] {
    const std::string file =
        header(R"({"w":{"dtype":"F32","shape":[4611686018427387906],"data_offsets":[0,8]}})");
    mamba2::read_safetensors({"weights", bytes_of(file)});
  });
  demo::show_refusal("two tensors on the same bytes", [&] {
    const std::string file = header(R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},)"
                                    R"("b":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}})");
    mamba2::read_safetensors({"weights", bytes_of(file)});
  });
  demo::show_refusal("a header longer than its file", [&] {
    const std::string file = header("{}").replace(0, 8, std::string(7, '\xff') + '\x7f');
    mamba2::read_safetensors({"weights", bytes_of(file)});
  });
}

}  // namespace

// One after the other:

int main() {
  const mamba2::LanguageModel<double> model(small_config(), 10);
  const Scratch scratch;
  show_reference();
  show_sizes();
  show_forms(model);
  show_good(model);
  std::printf("[stream]\n");
  for (const double loudness : {1.0, 10.0}) show_stream(model, loudness);
  show_halves();
  show_checkpoints(model, scratch.path);
  show_header(scratch.path / "b" / "model.safetensors");
  show_lies();
}

// The book's own model goes on with two beginnings, the likeliest token each time:
//
// @output writes
//
// This is a model of a million parameters that has read one book, and this is the first text that
// the code of this book writes. It is no accident that it says such things: what it finds likely is
// what it has read. @Chapter{text} lets it choose with more freedom.
//
// All the forms of the model agree, because those of the block do:
//
// @output forms
//
// The root of the mean square of the residual stream, after the embedding and after each of the
// four layers:
//
// @output stream
//
// An embedding with deviation 0.02 is soon drowned: the first layer already writes more than ten
// times of what it finds, since it reads a norm of it. From then on the stream grows ever more
// slowly, as a sum of independent terms does, about as the root of their number. That a fresh model
// knows nothing is not because its blocks are quiet, but because what they say is random.
//
// A model that was saved is loaded as it was, to the last bit where doubles are stored, and to what
// the format can hold otherwise:
//
// @output checkpoints
//
// ::: tryit
// Run it with `./book run 10`. Then look at real files: `mamba2 info --model DIR` says of a model's
// directory what it holds, and the first kilobytes of a `model.safetensors` can be read with
// `head -c 2000`.
// :::
//
// ## What has not changed {#language_model_unchanged}
//
// The block. Nothing in this chapter knows what a mixer computes; the embedding, the sum and the
// head would serve a transformer as well. Nor has the state grown: a language model remembers one
// cache for each layer, of the same size after a million tokens as after one, and it is these
// caches that @chapter{text} carries from token to token while it writes.
//
// ## Exercises {#language_model_exercises}
//
// ::: exercise 1 Half a float
// Write both directions of bfloat16 yourself: exact on the way up, to the nearest with ties to even
// on the way down, NaN staying NaN.
// :::
//
// ::: exercise 2 Count the parameters
// How many numbers does a model learn? Write the sum as a formula of the sizes, without a list of
// names, and compare it with the published counts.
// :::
//
// ::: exercise 3 Read a tensor
// The bytes of a safetensors file are given, and the name of a tensor of floats in it. Return its
// numbers, and refuse a file whose header or whose range is a lie.
// :::
//
// ::: exercise 4 The residual loop
// The whole of a model but for its mixers, which are given as functions: embedding, stream, norms,
// the tied head, and scores only for tokens that exist. Your loop is fed the library's own mixers,
// and has to give the library's logits.
// :::
//
// ## Further reading {#language_model_reading}
//
// - [@reference], `mamba_ssm/models/mixer_seq_simple.py`: the model of this chapter in PyTorch,
//   with the initialisation.
// - [@huggingface], the model *Mamba2*, for the other dialect; its converter shows what is renamed.
// - The [safetensors format](https://github.com/huggingface/safetensors#format), a page long, and
//   the audit of its reader.
