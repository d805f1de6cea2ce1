// The exercises of this chapter.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

namespace exercises {

// 1. How many numbers of its storage, from the first, a tensor needs to be there: one more than the place of its last entry, by
// the equation of the chapter; 0 for a tensor without entries.
//   throws mamba2::FileError if shape and strides have different lengths, if the tensor needs more numbers than the storage has, if
//   its offset alone does, or if it has more entries than the storage has numbers: whatever the numbers are, and however large
std::size_t reach(const std::vector<std::size_t>& shape, const std::vector<std::size_t>& strides,
                  std::size_t offset, std::size_t storage_size);

// 2. A pickle that the scanner of the task finds harmless and that calls os.system with the one argument "echo gotcha". It will be
// followed by a machine that knows the instructions PROTO, GLOBAL, STACK_GLOBAL, BINUNICODE, SHORT_BINUNICODE, BININT1, MARK, TUPLE,
// TUPLE1, EMPTY_TUPLE, REDUCE, POP and STOP, and runs nothing.
std::string harmless_pickle();

// A file of an archive, as a reader has listed it.
struct Listed {
  std::string name;
  std::size_t size;
  bool operator==(const Listed&) const = default;
};

// 3. The files of a zip archive by its central directory, in its order. The archives here have no zip64 records and no files that
// are compressed; a comment may stand at the end.
//   throws mamba2::FileError if something that is needed does not lie in the archive, or does not begin with its signature
std::vector<Listed> by_directory(const std::string& archive);

// 3. The same files as they follow each other: from the first byte, each local header with its bytes behind it, up to the first
// thing that is no local header.
//   throws mamba2::FileError if a header, its name or its bytes reach beyond the archive
std::vector<Listed> by_headers(const std::string& archive);

// A tensor as a pickle describes it.
struct Described {
  std::string name, storage;
  std::size_t storage_size, offset;
  std::vector<std::size_t> shape, strides;
  bool operator==(const Described&) const = default;
};

// 4. The table of tensors that a pickle describes, by a machine with a stack, marks, and ten instructions:
//   }  push an empty dict                        (  set a mark
//   X  push a text: four bytes of length, lowest first, then so many bytes
//   K  push a number: one byte                   t  take what was pushed since the last mark, push it as one tuple
//   c  push a word: two lines, a module and a name. The words are `torch._utils _rebuild_tensor_v2` and `torch FloatStorage`
//   Q  take a tuple ('storage', FloatStorage, key, 'cpu', size), push that storage; key is a text, the device may be any text
//   R  take a tuple and, below it, _rebuild_tensor_v2; the tuple is (storage, offset, shape, strides): push that tensor
//   u  take what was pushed since the last mark, keys and values in turn, and put it into the dict below
//   .  stop; on top of the stack is the table, a dict of tensors, whose keys are texts and differ
//   throws mamba2::FileError for anything else: another instruction or word, a value of another kind, an end that comes too early, a
//   tensor that does not fit into its storage
std::vector<Described> read_table(const std::string& pickle);

}  // namespace exercises
