// ## From a directory to a model {#language_model_directory}
//
// Now the pieces meet. A model is a directory. First, which file holds the weights? The first of a
// known kind that is there. But one file may be too large for a server, so conversions split it and
// add an **index**, a JSON file that says for each tensor which file it is in:
//
// ```json
// {"metadata": {"total_size": 5405199360},
//  "weight_map": {"backbone.embeddings.weight": "model-00001-of-00002.safetensors", ...}}
// ```
//
// Here is a trap of another kind. The index names files, and nothing stops it from naming
// `../../.ssh/id_rsa` or `/dev/zero`. A name of a file of this model has no business with folders:
// one with a slash, or a leading dot, is refused.

#include <mamba2/checkpoint_format.hpp>
#include <mamba2/error.hpp>
#include <mamba2/json.hpp>
#include <mamba2/model_directory.hpp>

#include <nlohmann/json.hpp>

#include <algorithm>
#include <map>
#include <utility>

namespace mamba2 {

namespace {

using Path = std::filesystem::path;

Checkpoint open_file(const CheckpointFormat& format, const Path& path) {
  std::vector<std::unique_ptr<InputFile>> files;
  files.push_back(std::make_unique<InputFile>(path));
  auto tensors = format.read(*files.front());
  return Checkpoint(std::move(files), std::move(tensors));
}

bool plain_file_name(const std::string& name) {
  return !name.empty() && name.front() != '.' &&
         name.find_first_of(std::string("/\\\0", 3)) == std::string::npos;
}

// The names of tensors in the index, each with its file.
std::map<std::string, std::string> read_index(const Path& path) {
  const auto json = parse_json(read_text_file(path), path.string(), {.depth = 8});
  const JsonEntry weight_map = JsonEntry(json, path.string() + ": ").require("weight_map");
  std::map<std::string, std::string> index;
  for (const auto& [tensor, value] : weight_map.object().items()) {
    const JsonEntry file = weight_map.at(tensor);
    if (!plain_file_name(file.text())) file.expected("the plain name of a file");
    index[tensor] = file.text();
  }
  return index;
}

// Index and files must agree in both directions: every tensor of the index is in the file it names,
// and every tensor of a file is in the index, under that file.

//: fold Index and files
Checkpoint open_index(const CheckpointFormat& format, const Path& path) {
  const auto index = read_index(path);
  const std::string extension = Path(format.file).extension();
  std::vector<std::unique_ptr<InputFile>> files;
  std::vector<TensorEntry> tensors;
  std::map<std::string, std::size_t> numbers;  // of the files
  for (const auto& [tensor, name] : index) {
    if (!name.ends_with(extension))
      throw FileError(path.string() + ": weight_map." + tensor + ": '" + name + "' does not end in " +
                      extension);
    if (!numbers.try_emplace(name, files.size()).second) continue;
    files.push_back(std::make_unique<InputFile>(path.parent_path() / name));
    for (TensorEntry& entry : format.read(*files.back())) {
      const auto place = index.find(entry.name);
      if (place == index.end() || place->second != name)
        throw FileError(files.back()->path().string() + ": tensor '" + entry.name +
                        "' is not here according to " + path.string());
      entry.file = files.size() - 1;
      tensors.push_back(std::move(entry));
    }
  }
  Checkpoint checkpoint(std::move(files), std::move(tensors));
  for (const auto& [tensor, name] : index)
    if (checkpoint.find(tensor) == nullptr)
      throw FileError(path.string() + ": tensor '" + tensor + "' is not in '" + name + "'");
  return checkpoint;
}

// The name of an index follows from that of the file it stands for.

std::string index_of(const CheckpointFormat& format) {
  return std::string(format.file) + ".index.json";
}

}  // namespace

Checkpoint open_checkpoint(const Path& directory) {
  if (!std::filesystem::is_directory(directory))
    throw FileError(directory.string() + ": is not a directory");
  std::string looked_for;
  for (const CheckpointFormat& format : checkpoint_formats()) {
    const Path file = directory / format.file, index = directory / index_of(format);
    if (std::filesystem::exists(file)) return open_file(format, file);
    if (std::filesystem::exists(index)) return open_index(format, index);
    looked_for += (looked_for.empty() ? "" : ", ") + file.filename().string() + ", " + index_of(format);
  }
  throw FileError(directory.string() + ": holds no weights (looked for " + looked_for + ")");
}

// ### Do the weights fit? {#language_model_fit}
//
// Before a single number is read or a byte allocated for it, the table of the checkpoint is laid
// beside the table that the configuration calls for. What does not match is collected, not thrown
// at the first find: whoever has the wrong configuration wants to see that *all* the shapes are off
// by a factor of two, not one after the other.
//
// Two differences are allowed. Hugging Face calls the embedding `embeddings`. And a tied head may
// be stored although it is the embedding once more; PyTorch's files name it both times.

const TensorEntry* find_parameter(const Checkpoint& checkpoint, const std::string& name) {
  const TensorEntry* entry = checkpoint.find(name);
  if (entry == nullptr && name == "backbone.embedding.weight")
    entry = checkpoint.find("backbone.embeddings.weight");
  return entry;
}

namespace {

// A message names at most a dozen of each sort.

std::string listed(const char* what, const std::vector<std::string>& items) {
  if (items.empty()) return "";
  std::string text = std::string("\n  ") + what + " (" + std::to_string(items.size()) + "):";
  const std::size_t shown = std::min<std::size_t>(items.size(), 12);
  for (std::size_t i = 0; i < shown; ++i) text += (i == 0 ? " " : ", ") + items[i];
  return text + (shown < items.size() ? ", ..." : "");
}

// The two tables are compared by name, then by shape.

void check_fit(const LanguageModelConfig& config, const Checkpoint& checkpoint, const Path& directory) {
  std::vector<std::string> missing, misshapen, surplus;
  std::vector<const TensorEntry*> used;
  auto expected = parameter_list(config);
  if (config.tie_embeddings && checkpoint.find("lm_head.weight") != nullptr) {
    expected.push_back(expected.front());
    expected.back().name = "lm_head.weight";
  }
  for (const ParameterInfo& info : expected) {
    const TensorEntry* entry = find_parameter(checkpoint, info.name);
    used.push_back(entry);
    if (entry == nullptr)
      missing.push_back(info.name);
    else if (entry->shape != info.shape)
      misshapen.push_back(info.name + " is " + shape_text(entry->shape) + ", should be " +
                          shape_text(info.shape));
  }
  std::sort(used.begin(), used.end());
  for (const TensorEntry& entry : checkpoint.tensors())
    if (!std::binary_search(used.begin(), used.end(), &entry)) surplus.push_back(entry.name);
  if (!missing.empty() || !surplus.empty() || !misshapen.empty())
    throw FileError(
        directory.string() + ": the weights are not those of the model that config.json describes" +
        listed("missing", missing) + listed("surplus", surplus) + listed("misshapen", misshapen));
}

// Shapes that fit are not enough. In PyTorch's format two tensors may share their numbers. The tied
// head needs that, and a bomb can use it: a thousand layers, all of them views of one storage, make
// of a small file a model that fills the memory. So all parameters together, the head not counted,
// may not claim more bytes than they cover.

struct Range {  // bytes of a file
  std::size_t file, begin, end;
};

std::size_t covered(std::vector<Range> ranges) {  // each byte counted once
  std::sort(ranges.begin(), ranges.end(), [](const Range& a, const Range& b) {
    return std::pair(a.file, a.begin) < std::pair(b.file, b.begin);
  });
  std::size_t sum = 0;
  Range last{};
  for (const Range& range : ranges) {
    const std::size_t from = range.file == last.file ? std::max(last.end, range.begin) : range.begin;
    if (range.end <= from) continue;
    sum += range.end - from;
    last = range;
  }
  return sum;
}

// What they claim is counted as each says it, what they cover as it lies.

//: fold Claimed and covered
void refuse_shared_numbers(const Checkpoint& checkpoint, const Path& directory) {
  std::vector<Range> ranges;
  std::size_t claimed = 0;  // bytes; nothing overflows, since every tensor lies inside its file
  for (const TensorEntry& entry : checkpoint.tensors()) {
    std::size_t count = 0, reach = 1;
    element_count(entry.shape, count);
    if (count == 0 || entry.name == "lm_head.weight") continue;
    for (std::size_t axis = 0; axis < entry.shape.size(); ++axis)
      reach += (entry.shape[axis] - 1) * entry.strides[axis];
    const std::size_t width = element_size(entry.type);
    claimed += count * width;
    ranges.push_back({entry.file, entry.offset, entry.offset + reach * width});
  }
  const std::size_t held = covered(std::move(ranges));
  if (claimed > held)
    throw FileError(directory.string() + ": the parameters claim " + std::to_string(claimed) +
                    " bytes of " + std::to_string(held) +
                    "; tensors other than a tied head share their numbers");
}

}  // namespace

// ### What the other files say {#language_model_beside}
//
// `generation_config.json` may name tokens that end a text. And the tokenizer says how many of the
// embedding's rows belong to tokens, which Hugging Face's configuration does not: one more than the
// largest number in its file. Where no tokenizer is there, or one that cannot be read, all rows
// count; whoever needs the tokenizer will be told what is wrong with it.

//: fold How many tokens a tokenizer has
namespace {

std::string read_config_file(const Path& path) {
  return read_text_file(path, std::size_t{1} << 20);
}

std::size_t tokens_of(const Path& path) {
  const auto json = parse_json(read_text_file(path), path.string());
  const JsonEntry file(json, path.string() + ": "), vocab = file.at("model").at("vocab");
  std::size_t tokens = vocab.value().is_array() ? vocab.array().size() : 0;
  const auto see = [&](const JsonEntry& id) {
    tokens = std::max(tokens, id.whole(std::size_t{1} << 24) + 1);
  };
  if (!vocab.value().is_array())
    for (const auto& [token, id] : vocab.object().items()) see(vocab.at(token));
  const JsonEntry added = file.at("added_tokens");
  for (std::size_t i = 0; !added.null() && i < added.array().size(); ++i)
    see(added.element(i).at("id"));
  return tokens;
}

// Fewer tokens, the same rows: the smallest multiple that pads the one to the other, as a rule a
// power of two.

//: fold Fewer tokens
void limit_tokens(LanguageModelConfig& config, std::size_t tokens) {
  const std::size_t rows = config.padded_vocab_size();
  if (tokens == 0 || tokens >= config.vocab_size) return;
  config.vocab_size = tokens;
  config.pad_vocab_size_multiple = 1;
  while (config.padded_vocab_size() != rows && config.pad_vocab_size_multiple < rows)
    config.pad_vocab_size_multiple *= 2;
  if (config.padded_vocab_size() != rows) config.pad_vocab_size_multiple = rows;
}

void read_files_beside(const Path& directory, LanguageModelConfig& config) {
  if (const Path path = directory / "generation_config.json"; std::filesystem::exists(path))
    add_generation_config(config, read_config_file(path), path.string());
  if (const Path path = directory / "tokenizer.json"; std::filesystem::exists(path)) try {
      limit_tokens(config, tokens_of(path));
    } catch (const FileError&) {  // no tokenizer that could be read
    }
}

}  // namespace

ModelDirectory open_model(const Path& directory) {
  Checkpoint checkpoint = open_checkpoint(directory);
  const Path config_path = directory / "config.json";
  LanguageModelConfig config = parse_config(read_config_file(config_path), config_path.string(),
                                            checkpoint.find("lm_head.weight") != nullptr);
  check_fit(config, checkpoint, directory);
  refuse_shared_numbers(checkpoint, directory);
  read_files_beside(directory, config);
  return {config, std::move(checkpoint)};
}

// ### Loading {#language_model_load}
//
// The rest is a walk, in which each parameter is filled from the file. What fills it is a function
// of its own, for those who do not want all parameters in memory at once: a model that keeps its
// weights in fewer bytes asks for one, makes it small, and asks for the next.
//
// A tied head that is stored apart from the embedding must hold the same numbers; if it does not,
// the configuration is wrong about it, and one of the two would be lost.

//: fold A tied head
namespace {

template <class Real>
void require_tied(const ModelDirectory& source, std::span<const Real> embedding_weight) {
  const Checkpoint& checkpoint = source.checkpoint;
  const TensorEntry* head = checkpoint.find("lm_head.weight");
  if (head == nullptr || !source.config.tie_embeddings) return;
  const TensorEntry& embedding = *find_parameter(checkpoint, "backbone.embedding.weight");
  if (head->file == embedding.file && head->offset == embedding.offset &&
      head->strides == embedding.strides)
    return;
  std::vector<Real> row(source.config.d_model());
  TensorEntry part = *head;  // one row at a time
  part.shape = {1, row.size()};
  for (std::size_t i = 0; i < head->shape[0]; ++i) {
    part.offset = head->offset + i * head->strides[0] * element_size(head->type);
    checkpoint.read(part, std::span(row));
    if (!std::equal(row.begin(), row.end(), embedding_weight.data() + i * row.size()))
      throw FileError(
          checkpoint.path(*head).string() +
          ": the configuration ties lm_head.weight to the embedding, but their numbers differ in row " +
          std::to_string(i));
  }
}

}  // namespace

// What reads knows how much it has read, and looks at the head when it has the embedding.

template <class Real>
ParameterSource<Real> parameter_source(const ModelDirectory& source, const Progress& progress) {
  const std::size_t total = parameter_count(source.config);
  return [&source, progress, total, done = std::size_t{0}](const ParameterInfo& info,
                                                           std::span<Real> values) mutable {
    source.checkpoint.read(*find_parameter(source.checkpoint, info.name), values);
    if (info.name == "backbone.embedding.weight") require_tied<Real>(source, values);
    done += values.size();
    if (progress) progress(done, total);
  };
}

template <class Real>
LanguageModel<Real> load_language_model(const Path& directory, const Progress& progress) {
  const ModelDirectory source = open_model(directory);
  auto parameters = zero_parameters<Real>(source.config);
  walk(source.config, parameter_source<Real>(source, progress), parameters);
  return {source.config, std::move(parameters)};
}

// ### Saving {#language_model_save}
//
// In the reference's layout a tied head is written a second time, as a second name for the same
// storage, because the reference asks for it by name. Hugging Face's leaves it out. If weights in
// another file are already there, the loader might take them for the model's; so nothing is written
// beside them.

//: fold Names; what must not be there
namespace {

template <class Real>
std::vector<NamedTensor<Real>> named_tensors(const LanguageModel<Real>& model,
                                             CheckpointLayout layout) {
  std::vector<NamedTensor<Real>> tensors;
  walk(
      model.config(),
      [&](const ParameterInfo& info, std::span<const Real> values) {
        tensors.push_back({info.name, info.shape, values});
      },
      model.parameters());
  if (layout == CheckpointLayout::hugging_face) {
    tensors.front().name = "backbone.embeddings.weight";
  } else if (model.config().tie_embeddings) {
    tensors.push_back(tensors.front());
    tensors.back().name = "lm_head.weight";
  }
  return tensors;
}

void refuse_other_weights(const Path& directory, const std::string& ours) {
  for (const CheckpointFormat& format : checkpoint_formats())
    for (const std::string& name : {std::string(format.file), index_of(format)})
      if (name != ours && std::filesystem::exists(directory / name))
        throw FileError((directory / name).string() +
                        ": other weights are already here; save to a directory of its own");
}

const CheckpointFormat& format_of(CheckpointLayout layout) {
  const std::string file =
      layout == CheckpointLayout::reference ? "pytorch_model.bin" : "model.safetensors";
  for (const CheckpointFormat& format : checkpoint_formats())
    if (format.file == file) return format;
  throw ValueError("layout: its weights are stored in " + file + ", a kind that is not known here");
}

// A `generation_config.json` that is here already must not name other tokens than the model.
bool has_ends(const Path& directory, const LanguageModelConfig& config, CheckpointLayout layout) {
  const Path path = directory / "generation_config.json";
  if (!std::filesystem::exists(path)) return false;
  LanguageModelConfig found = config;
  if (layout == CheckpointLayout::reference) found.eos_token_ids.clear();
  add_generation_config(found, read_config_file(path), path.string());
  if (found.eos_token_ids != config.eos_token_ids)
    throw FileError(path.string() + ": names other tokens that end a text than the model does;" +
                    " save to a directory of its own");
  return true;
}

}  // namespace

template <class Real>
void save_language_model(const LanguageModel<Real>& model, const Path& directory,
                         CheckpointLayout layout, ElementType type) {
  const bool reference = layout == CheckpointLayout::reference;
  LanguageModelConfig config = model.config();
  if (reference) config.eos_token_ids.clear();  // they have a file of their own
  const CheckpointFormat& format = format_of(layout);
  const std::string text = config_text(config, layout);
  std::error_code failure;
  std::filesystem::create_directories(directory, failure);
  if (failure) throw FileError(directory.string() + ": cannot be made: " + failure.message());
  refuse_other_weights(directory, format.file);
  const bool ends = has_ends(directory, model.config(), layout);
  NewFile config_file(directory / "config.json");
  config_file.write(text);
  std::get<TensorWriter<Real>>(format.write)(directory / format.file, named_tensors(model, layout),
                                             type);
  if (reference && !ends && !model.config().eos_token_ids.empty()) {
    NewFile file(directory / "generation_config.json");
    file.write(generation_config_text(model.config()));
    file.commit();
  }
  config_file.commit();
}

// ## Why logits differ {#language_model_differ}
//
// Two programs load the same checkpoint, and their logits differ in the sixth digit. Is one of them
// wrong? This question comes up in every project of this kind, and the answer is a matter of size.
//
// Rounding alone makes a difference wherever sums are formed in another order: another algorithm,
// another chunk, another BLAS, one more thread. In float32 each of these is good to about $10^{-7}$
// for a single operation, and over the layers it adds up. The plot shows it for a small model with
// random weights, measured against the same model in double precision.
//
// ::: figure precision
// Relative error of the logits, by position in the text. All float32 forms lie together, whatever
// the algorithm; weights rounded to float16 and bfloat16 are further off by the digits they lack.
// :::
//
// So compute **both in float32** first, as \ref mamba2_block_differ "@chapter{mamba2_block}" has it
// for a single block. Then the relative error $\lVert a - b \rVert / \lVert b \rVert$ of all logits
// tells rounding from mistakes, which begin at a thousandth:
//
// | both in float32 | what it means |
// |---|---|
// | below $10^{-5}$ | rounding |
// | about $10^{-3}$ | weights that went through float16 on one side; or a small mistake, such as another `eps` |
// | about $10^{-2}$ | weights that went through bfloat16 on one side; or a mistake |
// | above $10^{-1}$, or growing along the text | a mistake |
//
// In sixteen bits the first line is gone, and rounding and small mistakes cannot be told apart.
//
// The usual mistakes, in the order of how often they are made: the wrong order of the pieces of the
// input projection; the gate before instead of after the norm, or the other way round; another
// `eps`; the last tokens of a chunk wrong because padding was not given a step size of zero; groups
// of heads read as interleaved. In float32 each of them is far above the scale of rounding in the
// first layer already. That is how to find them: compare layer by layer, and look where the first
// difference is that no rounding explains.
//
// One disagreement is real and known. With more than one group, the reference's gated norm takes
// the mean square of each group, Hugging Face's plain path that of all channels together
// (@chapter{convolution_and_norm}). The published models have one group, and for them the two
// agree.

template ParameterSource<float> parameter_source(const ModelDirectory&, const Progress&);
template ParameterSource<double> parameter_source(const ModelDirectory&, const Progress&);
template LanguageModel<float> load_language_model(const Path&, const Progress&);
template LanguageModel<double> load_language_model(const Path&, const Progress&);
template void save_language_model(const LanguageModel<float>&, const Path&, CheckpointLayout,
                                  ElementType);
template void save_language_model(const LanguageModel<double>&, const Path&, CheckpointLayout,
                                  ElementType);

}  // namespace mamba2
