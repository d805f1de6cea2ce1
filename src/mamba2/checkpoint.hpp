/// \file checkpoint.hpp
/// \brief Named tensors in files: what a checkpoint holds, and how its numbers are read. Explained in @chapter{language_model}.
#pragma once

#include <mamba2/mapped_file.hpp>

#include <cstddef>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <vector>

namespace mamba2 {

/// \brief How a number is stored.
enum class ElementType {
  float32,   ///< IEEE, 4 bytes
  float16,   ///< IEEE half, 2 bytes
  bfloat16,  ///< the upper half of a float32, 2 bytes
  float64    ///< IEEE double, 8 bytes
};

/// \brief The size of a stored number.
/// \param type how it is stored
/// \return bytes
std::size_t element_size(ElementType type);

/// \brief The name of a way to store numbers.
/// \param type how they are stored
/// \return "float32", "float16", "bfloat16" or "float64"
const char* element_name(ElementType type);

/// \brief Where a tensor's numbers lie and how they are to be read.
struct TensorEntry {
  std::string name;                  ///< as the file calls it, such as "backbone.norm_f.weight"
  ElementType type;                  ///< how its numbers are stored
  std::vector<std::size_t> shape;    ///< sizes, outermost first
  std::vector<std::size_t> strides;  ///< distance between neighbours along each axis, in elements
  std::size_t offset;                ///< the first element, in bytes from the beginning of the file
  std::size_t file = 0;              ///< which of the checkpoint's files
};

/// \brief The product of sizes that a file claims.
/// \param shape sizes
/// \param size  receives the product, 1 for no axes
/// \return false if it does not fit into std::size_t
bool element_count(const std::vector<std::size_t>& shape, std::size_t& size);

/// \brief The strides of a tensor without gaps.
/// \param shape sizes
/// \return for each axis the product of the sizes after it
std::vector<std::size_t> contiguous_strides(const std::vector<std::size_t>& shape);

/// \brief The tensors of one model, in one file or several, none of them read yet.
class Checkpoint {
 public:
  /// \brief A checkpoint made of files and a table of what lies where.
  /// \param files   the files
  /// \param tensors the table; names differ, entries lie inside their file
  Checkpoint(std::vector<std::unique_ptr<InputFile>> files, std::vector<TensorEntry> tensors);

  /// \brief The table of contents.
  /// \return all entries, sorted by name
  const std::vector<TensorEntry>& tensors() const { return tensors_; }
  /// \brief Look for a tensor.
  /// \param name its name
  /// \return its entry, or nullptr
  const TensorEntry* find(const std::string& name) const;
  /// \brief The file a tensor lies in.
  /// \param entry one of tensors()
  /// \return its path
  const std::filesystem::path& path(const TensorEntry& entry) const { return files_[entry.file]->path(); }
  /// \brief All files together.
  /// \return bytes
  std::size_t bytes() const;
  /// \brief Read a tensor, whatever its element type and strides, in pieces, so that little more memory is taken than `out` has.
  /// \param entry one of tensors()
  /// \param out   receives its numbers, last index fastest
  /// \throws ShapeError if `out` has not as many elements as the entry
  /// \throws FileError if the file has become shorter meanwhile, or cannot be read
  template <class Real>
  void read(const TensorEntry& entry, std::span<Real> out) const;

 private:
  std::vector<std::unique_ptr<InputFile>> files_;
  std::vector<TensorEntry> tensors_;
};

/// \brief Open the weights in a model's directory: of one of checkpoint_formats(), in one file or several with an index.
/// \param directory holds a file such as `model.safetensors`, or its index, `model.safetensors.index.json`; the first that is there
///                  is taken
/// \return the table of contents; no number has been read
/// \throws FileError naming file, tensor or offset, and the reason
Checkpoint open_checkpoint(const std::filesystem::path& directory);

/// \brief A tensor to be written.
/// \tparam Real float or double
template <class Real>
struct NamedTensor {
  std::string name;                ///< as the file shall call it
  std::vector<std::size_t> shape;  ///< sizes, outermost first
  std::span<const Real> data;      ///< its numbers, last index fastest
};

/// \brief Convert numbers into the bytes of a file.
/// \param values what to store
/// \param type   how to store it
/// \return element_size(type) bytes for each number, little-endian
template <class Real>
std::vector<std::byte> encode(std::span<const Real> values, ElementType type);

}  // namespace mamba2
