// ### A text that goes on tomorrow {#text_state}
//
// What does a model need to go on with a text? Its cache, which has one size after every token, and
// the scores of what comes next. That is all. A book of a million tokens can be read once and put
// into a file that is as long as that of a single word. Whoever asks a question about it tomorrow
// starts from there, and pays for the question only. For attention such a file would hold keys and
// values of a million tokens.
//
// The file is a safetensors file like any other. Two things can go wrong with it. It can be
// damaged, and a state is nothing that one can see damage in. And it can be given to another model,
// which would take the numbers for its own, if the sizes happen to agree, and write nonsense. So it
// carries two numbers of 64 bits: one that is computed from all other numbers in the file, and one
// from the model.

//: fold A hash
#include <mamba2/error.hpp>
#include <mamba2/safetensors.hpp>
#include <mamba2/text_state.hpp>

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <string>

namespace mamba2 {

namespace {

/// The FNV-1a hash: any change of what it has seen changes it, but for one chance in 2^64. It is no secret
/// seal, and guards against accidents only.
class Hash {
 public:
  void add(std::uint64_t bits) {
    for (int byte = 0; byte < 8; ++byte, bits >>= 8) value_ = (value_ ^ (bits & 0xff)) * 0x100000001b3u;
  }
  void add(double value) { add(std::bit_cast<std::uint64_t>(value)); }
  template <class Values>
  void add_all(const Values& values) {
    for (const auto value : values) add(static_cast<double>(value));
  }
  std::uint64_t value() const { return value_; }

 private:
  std::uint64_t value_ = 0xcbf29ce484222325u;
};

}  // namespace

// A model is known by its small parameters: norms, biases, rates. Every training moves them, and to
// read them takes no time. How the numbers are kept in memory, and in which of the two layouts the
// files are written, makes no difference.

//: fold What tells models apart
std::uint64_t fingerprint(const ModelDirectory& model) {
  constexpr std::size_t small = 1 << 16;
  Hash hash;
  std::vector<float> numbers;
  for (const ParameterInfo& info : parameter_list(model.config)) {
    for (const char letter : info.name)
      hash.add(static_cast<std::uint64_t>(static_cast<unsigned char>(letter)));
    for (const std::size_t size : info.shape) hash.add(static_cast<std::uint64_t>(size));
    const TensorEntry* const entry =
        info.present() ? find_parameter(model.checkpoint, info.name) : nullptr;
    if (entry == nullptr || info.size() > small) continue;
    numbers.resize(info.size());
    model.checkpoint.read(*entry, std::span(numbers));
    hash.add_all(numbers);
  }
  return hash.value();
}

// The format knows floating-point numbers only, so a number of 64 bits goes in as four of 16.

//: fold The tensors of a state, and saving
namespace {

template <class Real>
void put(std::uint64_t bits, std::vector<Real>& numbers) {
  for (int i = 0; i < 4; ++i, bits >>= 16) numbers.push_back(static_cast<Real>(bits & 0xffff));
}

/// The tensors of a state, by reference.
template <class Real>
std::vector<StateRef<Real>> tensors_of(TextState<Real>& state, std::vector<Real>& seen) {
  std::vector<StateRef<Real>> all;
  for (std::size_t i = 0; i < state.cache.size(); ++i)
    for (StateRef<Real> tensor : state.cache[i].states()) {
      tensor.name = "branches." + std::to_string(i) + "." + tensor.name;
      all.push_back(tensor);
    }
  all.push_back({"scores", {state.scores.size()}, state.scores});
  all.push_back({"seen", {seen.size()}, seen});
  return all;
}

template <class Real>
std::vector<Real> marks_of(const std::vector<StateRef<Real>>& tensors, std::uint64_t model) {
  Hash hash;
  for (const auto& tensor : tensors) hash.add_all(tensor.values);
  std::vector<Real> marks;
  put(model, marks);
  put(hash.value(), marks);
  return marks;
}

}  // namespace

template <class Real>
void save_state(const std::filesystem::path& path, TextState<Real> state, std::uint64_t model) {
  std::vector<Real> seen(state.seen.begin(), state.seen.end());
  const auto tensors = tensors_of(state, seen);
  const std::vector<Real> marks = marks_of(tensors, model);
  std::vector<NamedTensor<Real>> named;
  for (const auto& tensor : tensors) named.push_back({tensor.name, tensor.shape, tensor.values});
  named.push_back({"marks", {marks.size()}, marks});
  write_safetensors(path, named, sizeof(Real) == 4 ? ElementType::float32 : ElementType::float64);
}

// To read it, we make an empty state of the model and ask for each of its tensors by name and
// shape.

//: fold Reading it back
template <class Real>
TextState<Real> load_state(const std::filesystem::path& path, const Predictor<Real>& model,
                           std::uint64_t mark) {
  std::vector<std::unique_ptr<InputFile>> files;
  files.push_back(std::make_unique<InputFile>(path));
  auto table = read_safetensors(*files.front());
  const Checkpoint file(std::move(files), std::move(table));
  const auto refuse = [&](const std::string& reason) {
    throw FileError(path.string() + ": " + reason);
  };
  const auto find = [&](const std::string& name) -> const TensorEntry& {
    const TensorEntry* const entry = file.find(name);
    if (entry == nullptr)
      refuse("is no state of a text, or of another model: it has no tensor " + name);
    return *entry;
  };
  const auto read = [&](const std::string& name, const std::vector<std::size_t>& shape,
                        std::span<Real> values) {
    const TensorEntry& entry = find(name);
    if (entry.shape != shape)
      refuse("is of another model: " + name + " has shape " + shape_text(entry.shape) + ", expected " +
             shape_text(shape));
    file.read(entry, values);
  };

  std::vector<Real> marks(8), model_mark;
  read("marks", {8}, marks);
  put(mark, model_mark);
  if (!std::equal(model_mark.begin(), model_mark.end(), marks.begin())) refuse("is of another model");

  const std::size_t vocab = model.config().padded_vocab_size();
  TextState<Real> state{model.empty_cache(1), std::vector<Real>(vocab), {}};
  const auto& seen_shape = find("seen").shape;
  if (seen_shape.size() != 1 || seen_shape[0] > vocab) refuse("its tensor seen is no list of tokens");
  std::vector<Real> seen(seen_shape[0]);
  const auto tensors = tensors_of(state, seen);
  for (const auto& tensor : tensors) read(tensor.name, tensor.shape, tensor.values);
  if (marks_of(tensors, mark) != marks) refuse("is damaged: its numbers are not those that were saved");
  for (const Real id : seen) {
    if (!(id >= 0 && id < static_cast<Real>(vocab) && id == std::floor(id)))
      refuse("its tensor seen is no list of tokens");
    state.seen.push_back(static_cast<std::int64_t>(id));
  }
  return state;
}

template void save_state(const std::filesystem::path&, TextState<float>, std::uint64_t);
template void save_state(const std::filesystem::path&, TextState<double>, std::uint64_t);
template TextState<float> load_state(const std::filesystem::path&, const Predictor<float>&,
                                     std::uint64_t);
template TextState<double> load_state(const std::filesystem::path&, const Predictor<double>&,
                                      std::uint64_t);

}  // namespace mamba2
