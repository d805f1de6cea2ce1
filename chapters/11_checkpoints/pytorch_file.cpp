// ### Both together {#checkpoints_pytorch}
//
// The archive has one folder, whatever its name, and in it `data.pkl` and the storages, `data/0`,
// `data/1` and so on. A storage's claimed size must be the size of its file. That done, a tensor of
// the pickle is a tensor of the archive: its offset counts from the beginning of the file.

#include <mamba2/error.hpp>
#include <mamba2/pickle.hpp>
#include <mamba2/pytorch_file.hpp>
#include <mamba2/zip.hpp>

#include <algorithm>
#include <unordered_map>

namespace mamba2 {

namespace {

// The path of data.pkl inside the archive, without "data.pkl".
std::string archive_folder(const std::vector<ZipEntry>& entries, const std::string& where) {
  const std::string wanted = "/data.pkl";
  std::string folder;
  for (const ZipEntry& entry : entries) {
    if (!entry.name.ends_with(wanted)) continue;
    if (!folder.empty())
      throw FileError(where + ": holds two pickles, '" + folder + "data.pkl' and '" + entry.name + "'");
    folder = entry.name.substr(0, entry.name.size() - wanted.size() + 1);
  }
  if (folder.empty())
    throw FileError(where + ": holds no data.pkl; a zip archive, but not one that torch.save() wrote");
  return folder;
}

// What is no archive at all, but is known.
void refuse_others(const InputFile& file) {
  const std::string where = file.path().string();
  const std::string beginning = file.text(0, std::min<std::size_t>(file.size(), 200));
  refuse_stand_in(beginning, where);
  if (beginning.size() > 2 && beginning[0] == '\x80' && beginning[1] >= 2 && beginning[1] <= 5)
    throw FileError(
        where +
        ": a bare pickle, as PyTorch wrote before version 1.6; load and save it with a newer one");
}

}  // namespace

// What the pickle says of a storage is held against the archive.

std::vector<TensorEntry> read_pytorch_file(const InputFile& file) {
  const std::string where = file.path().string();
  refuse_others(file);
  const std::vector<ZipEntry> entries = read_zip(file);
  const std::string folder = archive_folder(entries, where);
  std::unordered_map<std::string, const ZipEntry*> by_name;
  for (const ZipEntry& entry : entries) by_name[entry.name] = &entry;

  if (const auto order = by_name.find(folder + "byteorder"); order != by_name.end()) {
    const ZipEntry& entry = *order->second;
    if (file.text(entry.offset, std::min<std::size_t>(entry.size, 6)) != "little")
      throw FileError(where + ": its numbers are not little-endian");
  }
  std::vector<TensorEntry> tensors;
  const ZipEntry& entry = *by_name[folder + "data.pkl"];
  const std::string pickle = file.text(entry.offset, std::min(entry.size, longest_pickle + 1));
  for (PickledTensor& tensor : read_state_dict(std::as_bytes(std::span(pickle)), where)) {
    const auto storage = by_name.find(folder + "data/" + tensor.storage);
    const std::string claim =
        where + ": tensor '" + tensor.name + "': storage '" + tensor.storage + "'";
    if (storage == by_name.end()) throw FileError(claim + " is not in the archive");
    const std::size_t width = element_size(tensor.type), size = storage->second->size;
    if (size % width != 0 || size / width != tensor.storage_size)
      throw FileError(claim + " claims " + std::to_string(tensor.storage_size) + " numbers of type " +
                      element_name(tensor.type) + ", its file has " + std::to_string(size) + " bytes");
    tensors.push_back({.name = std::move(tensor.name),
                       .type = tensor.type,
                       .shape = std::move(tensor.shape),
                       .strides = std::move(tensor.strides),
                       .offset = storage->second->offset + tensor.offset * width});
  }
  return tensors;
}

// Writing goes the other way: tensors that share their memory share a storage, then one file for
// the pickle and one for each storage.

//: fold Writing the archive
template <class Real>
void write_pytorch_file(const std::filesystem::path& path,
                        const std::vector<NamedTensor<Real>>& tensors, ElementType type) {
  std::unordered_map<const Real*, std::size_t>
      storages;  // tensors that share their memory share their storage
  std::vector<const NamedTensor<Real>*> stored;
  std::vector<PickledTensor> table;
  for (const auto& tensor : tensors) {
    const auto [place, first] = storages.try_emplace(tensor.data.data(), storages.size());
    if (first) stored.push_back(&tensor);
    table.push_back({tensor.name, std::to_string(place->second), type,
                     stored[place->second]->data.size(), 0, tensor.shape,
                     contiguous_strides(tensor.shape)});
  }
  NewFile file(path);
  ZipWriter zip(file);
  const std::string folder = path.stem().string() + "/";
  const auto add_text = [&](const std::string& name, const std::string& text) {
    zip.begin(folder + name);
    zip.append(std::as_bytes(std::span(text)));
  };
  add_text("data.pkl", write_state_dict(table));
  add_text("byteorder", "little");
  const std::size_t piece = std::size_t{1} << 20;
  for (std::size_t i = 0; i < stored.size(); ++i) {
    zip.begin(folder + "data/" + std::to_string(i));
    const auto data = stored[i]->data;
    for (std::size_t k = 0; k < data.size(); k += piece)
      zip.append(encode(data.subspan(k, std::min(piece, data.size() - k)), type));
  }
  add_text("version", "3\n");
  zip.finish();
  file.commit();
}

// Reading and writing: one more kind of file that a model's directory may have.

CheckpointFormat pytorch_format() {
  return {
      "pytorch_model.bin", read_pytorch_file, {write_pytorch_file<float>, write_pytorch_file<double>}};
}

template void write_pytorch_file(const std::filesystem::path&, const std::vector<NamedTensor<float>>&,
                                 ElementType);
template void write_pytorch_file(const std::filesystem::path&, const std::vector<NamedTensor<double>>&,
                                 ElementType);

}  // namespace mamba2
