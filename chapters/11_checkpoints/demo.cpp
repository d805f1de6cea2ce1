// ## The program {#checkpoints_program}
//
// The program of this chapter writes a checkpoint of two tensors, looks into it, reads it back, and
// then changes it in six ways.

#include <demo/demo.hpp>
#include <demo/refusal.hpp>
#include <mamba2/error.hpp>
#include <mamba2/model_directory.hpp>
#include <mamba2/pickle.hpp>
#include <mamba2/pytorch_file.hpp>
#include <mamba2/zip.hpp>

#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <string>
#include <vector>

#include <unistd.h>

namespace {

namespace fs = std::filesystem;
using demo::yes;

// A directory of its own, removed at the end.

//: fold Scratch files
struct Scratch {
  fs::path path;
  Scratch() {
    std::string name = (fs::temp_directory_path() / "checkpoints-XXXXXX").string();
    path = ::mkdtemp(name.data());
  }
  ~Scratch() { fs::remove_all(path); }
};

std::span<const std::byte> bytes_of(const std::string& text) {
  return std::as_bytes(std::span(text));
}

// Two tensors, of six numbers and of two, and a third name for the first: a tied head.

//: fold Writing it, looking into it
const std::vector<float> six{0.5F, -1, 2, 3.25F, -4, 5}, two{7, 8};

std::string checkpoint(const Scratch& scratch) {
  mamba2::write_pytorch_file<float>(
      scratch.path / "m.bin",
      {{"embedding", {2, 3}, six}, {"norm", {2}, two}, {"lm_head", {2, 3}, six}});
  std::ifstream file(scratch.path / "m.bin", std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

void show_archive(const std::string& archive) {
  std::printf("[archive]\n  byte  bytes  file\n");
  for (const auto& entry : mamba2::read_zip({"m.bin", bytes_of(archive)}))
    std::printf("%6zu  %5zu  %s\n", entry.offset, entry.size, entry.name.c_str());
  std::printf("the whole archive: %zu bytes\n[table]\n", archive.size());
  for (const auto& tensor : mamba2::read_pytorch_file({"m.bin", bytes_of(archive)}))
    std::printf("%-9s  %s of shape %s, strides %s, from byte %zu\n", tensor.name.c_str(),
                element_name(tensor.type), mamba2::shape_text(tensor.shape).c_str(),
                mamba2::shape_text(tensor.strides).c_str(), tensor.offset);
}

// A pickle can be read as what it is, a program, without being run. Each instruction is a byte, and
// an argument may follow: a text of a known length, a number, or, in the oldest instructions, text
// up to the end of the line.

//: fold The instructions and their arguments
struct Instruction {
  const char* name;
  int effect;  // on the number of values on the stack, if it does not take all up to a mark
};

const std::map<unsigned char, Instruction> instructions{
    {0x80, {"PROTO", 0}},     {'}', {"EMPTY_DICT", 1}}, {'(', {"MARK", 0}},
    {'X', {"BINUNICODE", 1}}, {'c', {"GLOBAL", 1}},     {'K', {"BININT1", 1}},
    {'t', {"TUPLE", 1}},      {'Q', {"BINPERSID", 0}},  {0x89, {"NEWFALSE", 1}},
    {'R', {"REDUCE", -1}},    {'u', {"SETITEMS", 0}},   {'.', {"STOP", -1}},
    {')', {"EMPTY_TUPLE", 1}}};

std::string argument_of(const std::string& program, std::size_t& at) {
  const auto number = [&] { return static_cast<unsigned char>(program[at++]); };
  const auto line = [&] {
    const std::size_t begin = at, end = program.find('\n', at);
    at = end + 1;
    return program.substr(begin, end - begin);
  };
  switch (program[at++]) {
    case '\x80':
    case 'K':
      return std::to_string(number());
    case 'X': {
      const std::size_t length = number();  // the lowest of four bytes; texts are short here
      at += 3 + length;
      return std::string("'").append(program, at - length, length).append("'");
    }
    case 'c': {
      const std::string module = line();
      return module + "." + line();
    }
    default:
      return "";
  }
}

// The machine's stack, followed in a picture: how many values lie on it after each instruction.

//: fold The listing
void show_program(const std::string& program) {
  std::printf("[program]\n byte  instruction  argument                         values\n");
  int depth = 0;
  std::vector<int> marks;
  for (std::size_t at = 0; at < program.size();) {
    const std::size_t begin = at;
    const auto opcode = static_cast<unsigned char>(program[at]);
    const std::string argument = argument_of(program, at);
    if (opcode == '(') marks.push_back(depth);
    if (opcode == 't' || opcode == 'u') {
      depth = marks.back();
      marks.pop_back();
    }
    depth += instructions.at(opcode).effect;
    std::printf("%5zu  %-11s  %-31s  %s\n", begin, instructions.at(opcode).name, argument.c_str(),
                std::string(static_cast<std::size_t>(depth), '*').c_str());
  }
}

// What was written comes back, and a model of the last chapter can be saved as the reference saves
// its models.

void show_round_trip(const Scratch& scratch) {
  const auto ids = mamba2::Tensor<std::int64_t, 2>{{3, 1, 4, 1, 5}};
  const mamba2::LanguageModel<double> model(
      {.n_layer = 2,
       .vocab_size = 20,
       .mixer = mamba2::Mamba2Config{.d_model = 12, .d_state = 5, .headdim = 8}},
      11);
  save_language_model(model, scratch.path / "model", mamba2::CheckpointLayout::reference,
                      mamba2::ElementType::float64);
  const auto again = mamba2::load_language_model<double>(scratch.path / "model");
  const mamba2::Checkpoint table = mamba2::open_checkpoint(scratch.path / "model");
  const auto *head = table.find("lm_head.weight"), *embedding = table.find("backbone.embedding.weight");
  std::printf("[round_trip]\na model saved as pytorch_model.bin has the same logits again: %s\n",
              yes(again.forward(ids) == model.forward(ids)));
  std::printf("its head begins at the byte at which its embedding does, the same: %s\n",
              yes(head->offset == embedding->offset));
}

// ### The lies {#checkpoints_program_lies}
//
// A lie is the archive with one place changed. What is replaced has the same length, so that all
// other claims stay true.

std::string changed(std::string bytes, const std::string& what, const std::string& with,
                    bool last = false) {
  const std::size_t at = last ? bytes.rfind(what) : bytes.find(what);
  return at == std::string::npos ? "" : bytes.replace(at, with.size(), with);
}

void show_refusal(const char* what, const std::string& archive) {
  demo::show_refusal(what, [&] { mamba2::read_pytorch_file({"m.bin", bytes_of(archive)}); });
}

// An archive with a pickle of our own:

//: fold Making the six files
std::string archive_of(const Scratch& scratch, const std::string& pickle) {
  mamba2::NewFile file(scratch.path / "own.bin");
  mamba2::ZipWriter zip(file);
  zip.begin("m/data.pkl");
  zip.append(bytes_of(pickle));
  zip.finish();
  file.commit();
  std::ifstream written(scratch.path / "own.bin", std::ios::binary);
  return {std::istreambuf_iterator<char>(written), {}};
}

void show_lies(const Scratch& scratch, const std::string& good) {
  std::printf("[lies]\n");
  show_refusal("a program that runs a command",
               archive_of(scratch, "cos\nsystem\n(S'echo gotcha'\ntR."));
  show_refusal("the same, the name put together from texts",
               archive_of(scratch,
                          "\x80\x04\x8c\x02os\x8c\x06system\x93\x8c\x0b"
                          "echo gotcha\x85R."));
  const std::string shape = "(K\x02K\x03t", strides = "(K\x03K\x01t";
  show_refusal("a tensor larger than its storage",
               changed(good, shape + strides, "(K\xffK\xfft(K\x01K\x01t"));
  show_refusal("strides that lead out of the storage", changed(good, strides, "(K\x04K\x01t"));
  show_refusal("a file that has two names", changed(good, "m/data/1", "m/data/7"));
  show_refusal("a file that has two sizes", changed(good, std::string("\x18\0\0\0\x18\0\0\0", 8),
                                                    std::string("\x20\0\0\0\x20\0\0\0", 8), true));
}

}  // namespace

int main() {
  const Scratch scratch;
  const std::string good = checkpoint(scratch);
  show_archive(good);
  show_program(mamba2::write_state_dict({{"norm", "1", mamba2::ElementType::float32, 2, 0, {2}, {1}}}));
  show_round_trip(scratch);
  show_lies(scratch, good);
}

// This is the archive, as mamba2::read_zip() lists it. Each file begins at a multiple of 64:
//
// @output archive
//
// And the table that it holds. The embedding and the head are two names for the same bytes:
//
// @output table
//
// Models of @chapter{language_model} can be saved as the reference saves its own:
//
// @output round_trip
//
// ::: tryit
// Run it with `./book run 11`. Then look into a file of your own: `unzip -l pytorch_model.bin`
// lists the archive, and `python3 -m pickletools data.pkl` prints the program in it, without
// running it.
// :::
//
// ## What has not changed {#checkpoints_unchanged}
//
// The model. It is loaded, saved and asked as before, and no line of @chapter{language_model} was
// touched: one entry more in a list, and its directories may hold one kind of file more.
//
// ## Exercises {#checkpoints_exercises}
//
// ::: exercise 1 Does it fit?
// A pickle claims that a tensor of some shape and strides lies in a storage. Say how many numbers
// of the storage it reaches, and refuse what does not fit, whatever the numbers are.
// :::
//
// ::: exercise 2 The other side
// For once, be the attacker. The scanner below looks through a pickle before it is run, and knows
// which names are dangerous. Write a pickle that it lets pass, and that calls `os.system` all the
// same. Nothing is run here: a machine made for this exercise writes down what would have been
// called.
//
// @quote chapters/11_checkpoints/exercises_test.cpp#scanner
//
// Scanners of this kind have guarded public collections of models.
// :::
//
// ::: exercise 3 Two stories
// List an archive twice: by its central directory, and from local header to local header. Where the
// two stories differ, say where.
// :::
//
// ::: exercise 4 A machine without power
// The evening's exercise: a machine of your own for ten instructions, enough for a table of
// tensors, that can do nothing else. It is fed good tables, each of them cut off at every byte,
// changed at every byte, an exploit, and a bomb.
// :::
//
// ## Further reading {#checkpoints_reading}
//
// - The documentation of Python's [pickle](https://docs.python.org/3/library/pickle.html), which
//   begins with a warning, and its module `pickletools`, which prints a pickle's program.
// - The [zip format](https://pkware.cachefly.net/webdocs/casestudies/APPNOTE.TXT), by its makers.
// - [@reference], whose models come in such files.
