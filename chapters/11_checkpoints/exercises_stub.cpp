// The exercises: replace each throw by your code, then run ./book check checkpoints
#include "exercises.hpp"

#include <exercises/not_implemented.hpp>
#include <mamba2/error.hpp>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <set>

namespace exercises {

// 1. Each product and each sum may overflow. Compare before you compute: a * b fits into c if a is
// 0 or b <= c / a.
std::size_t reach(const std::vector<std::size_t>& shape, const std::vector<std::size_t>& strides,
                  std::size_t offset, std::size_t storage_size) {
  throw not_implemented(1);
}

// 2. What does the scanner look at, and in which other way can a name come onto the stack? Bytes
//    are written as "\x80\x04"; a byte before a letter that could be a digit ends its literal:
//    "\x02" "abc".
std::string harmless_pickle() {
  throw not_implemented(2);
}

// 3. An end record is at least 22 bytes: signature "PK\5\6", the number of files at byte 10 (two
//    bytes), place of the directory at byte 16 (four), length of a comment at byte 20 (two). An
//    entry of the directory: "PK\1\2", size at byte 24, lengths of name, extra field and comment at
//    bytes 28, 30 and 32, and these three behind its first 46 bytes.
std::vector<Listed> by_directory(const std::string& archive) {
  throw not_implemented(3);
}

// A local header: "PK\3\4", size at byte 22, lengths of name and extra field at bytes 26 and 28,
// and both behind its first 30 bytes; then the file.
std::vector<Listed> by_headers(const std::string& archive) {
  throw not_implemented(3);
}

// 4. Keep all values in one array and refer to them by index: a tuple in a tuple in a tuple, a
//    hundred thousand deep, has to be forgotten without a recursion. reach() is of use again.
std::vector<Described> read_table(const std::string& pickle) {
  throw not_implemented(4);
}

}  // namespace exercises
