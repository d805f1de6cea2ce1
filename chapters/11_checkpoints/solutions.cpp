// Our solutions.
#include "exercises.hpp"

#include <mamba2/error.hpp>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <set>

namespace exercises {

//: 1
std::size_t reach(const std::vector<std::size_t>& shape, const std::vector<std::size_t>& strides,
                  std::size_t offset, std::size_t storage_size) {
  const auto require = [](bool fits) {
    if (!fits) throw mamba2::FileError("a tensor that does not fit into its storage");
  };
  require(shape.size() == strides.size());
  require(offset <= storage_size);
  if (std::find(shape.begin(), shape.end(), 0) != shape.end()) return 0;
  std::size_t entries = 1, last = offset;
  for (std::size_t axis = 0; axis < shape.size(); ++axis) {
    require(shape[axis] <= storage_size / entries);
    entries *= shape[axis];
    const std::size_t steps = shape[axis] - 1, room = storage_size - last;
    require(steps == 0 || strides[axis] <= room / steps);
    last += steps * strides[axis];
  }
  require(last < storage_size);
  return last + 1;
}
//: end

//: 2
std::string harmless_pickle() {
  const auto text = [](const std::string& letters) {  // SHORT_BINUNICODE
    return "\x8c" + std::string(1, static_cast<char>(letters.size())) + letters;
  };
  const std::string proto = "\x80\x04", stack_global = "\x93", tuple1 = "\x85", reduce = "R",
                    stop = ".";
  return proto + text("os") + text("system") + stack_global + text("echo gotcha") + tuple1 + reduce +
         stop;
}
//: end

//: 3
namespace {

template <class Integer>
std::size_t field(const std::string& bytes, std::size_t at) {
  if (at > bytes.size() || bytes.size() - at < sizeof(Integer))
    throw mamba2::FileError("the archive ends too early");
  Integer value;
  std::memcpy(&value, bytes.data() + at, sizeof(Integer));
  return value;
}

std::string name_at(const std::string& bytes, std::size_t at, std::size_t length) {
  if (at > bytes.size() || bytes.size() - at < length)
    throw mamba2::FileError("a name reaches beyond the archive");
  return bytes.substr(at, length);
}

using Two = std::uint16_t;
using Four = std::uint32_t;

}  // namespace

std::vector<Listed> by_directory(const std::string& archive) {
  std::size_t end = archive.size() < 22 ? 0 : archive.size() - 22;
  while (field<Four>(archive, end) != 0x06054b50 ||
         field<Two>(archive, end + 20) != archive.size() - end - 22) {
    if (end == 0) throw mamba2::FileError("no end record");
    --end;
  }
  std::vector<Listed> files;
  const std::size_t count = field<Two>(archive, end + 10);
  std::size_t at = field<Four>(archive, end + 16);
  for (std::size_t i = 0; i < count; ++i) {
    if (field<Four>(archive, at) != 0x02014b50) throw mamba2::FileError("no entry of a directory");
    const std::size_t name = field<Two>(archive, at + 28);
    files.push_back({name_at(archive, at + 46, name), field<Four>(archive, at + 24)});
    at += 46 + name + field<Two>(archive, at + 30) + field<Two>(archive, at + 32);
  }
  return files;
}

std::vector<Listed> by_headers(const std::string& archive) {
  std::vector<Listed> files;
  for (std::size_t at = 0; at + 4 <= archive.size() && field<Four>(archive, at) == 0x04034b50;) {
    const std::size_t size = field<Four>(archive, at + 22), name = field<Two>(archive, at + 26);
    const std::size_t extra = field<Two>(archive, at + 28);
    files.push_back({name_at(archive, at + 30, name), size});
    name_at(archive, at + 30 + name + extra, size);  // has to be there
    at += 30 + name + extra + size;
  }
  return files;
}
//: end

//: 4
namespace {

struct Value {
  enum Kind { text, number, tuple, dict, function, storage_type, storage, tensor } kind;
  std::string letters = {};             // of a text; the key of a storage
  std::size_t count = 0;                // a number; the size of a storage
  std::vector<std::size_t> items = {};  // of a tuple, and keys and values of a dict: their places
  Described described = {};             // a tensor
};

class Machine {
 public:
  explicit Machine(const std::string& program) : program_(program) {}

  std::vector<Described> run() {
    while (execute()) {
    }
    std::vector<Described> table;
    std::set<std::string> names;
    const std::vector<std::size_t> items = as(Value::dict, pop()).items;
    for (std::size_t i = 0; i < items.size(); i += 2) {
      table.push_back(as(Value::tensor, items[i + 1]).described);
      table.back().name = as(Value::text, items[i]).letters;
      require(names.insert(table.back().name).second, "a name that comes twice");
    }
    return table;
  }

 private:
  static void require(bool ok, const char* reason) {
    if (!ok) throw mamba2::FileError(std::string("pickle: ") + reason);
  }

  // The program.
  std::string take(std::size_t length) {
    require(length <= program_.size() - at_, "ends too early");
    at_ += length;
    return program_.substr(at_ - length, length);
  }
  std::string line() {
    const std::size_t end = program_.find('\n', at_);
    require(end != std::string::npos, "a line without an end");
    const std::string letters = take(end - at_);
    take(1);
    return letters;
  }

  // The stack.
  void push(Value value) {
    values_.push_back(std::move(value));
    stack_.push_back(values_.size() - 1);
  }
  std::size_t pop() {
    require(stack_.size() > (marks_.empty() ? 0 : marks_.back()), "an empty stack");
    const std::size_t value = stack_.back();
    stack_.pop_back();
    return value;
  }
  std::vector<std::size_t> pop_to_mark() {
    require(!marks_.empty(), "no mark");
    const auto begin = stack_.begin() + static_cast<std::ptrdiff_t>(marks_.back());
    const std::vector<std::size_t> items(begin, stack_.end());
    stack_.erase(begin, stack_.end());
    marks_.pop_back();
    return items;
  }
  Value& as(Value::Kind kind, std::size_t place) {
    require(values_[place].kind == kind, "a value of another kind");
    return values_[place];
  }
  std::vector<std::size_t> numbers(std::size_t place) {
    std::vector<std::size_t> result;
    for (const std::size_t item : as(Value::tuple, place).items)
      result.push_back(as(Value::number, item).count);
    return result;
  }

  // The ten instructions.
  bool execute() {
    switch (take(1)[0]) {
      case '}':
        push({.kind = Value::dict});
        break;
      case '(':
        marks_.push_back(stack_.size());
        break;
      case 'X': {
        std::uint32_t length = 0;
        std::memcpy(&length, take(4).data(), 4);
        push({.kind = Value::text, .letters = take(length)});
        break;
      }
      case 'K':
        push({.kind = Value::number, .count = static_cast<unsigned char>(take(1)[0])});
        break;
      case 'c':
        push_word(line());
        break;
      case 't': {
        auto items = pop_to_mark();
        push({.kind = Value::tuple, .items = std::move(items)});
        break;
      }
      case 'Q':
        make_storage(as(Value::tuple, pop()).items);
        break;
      case 'R': {
        const std::vector<std::size_t> arguments = as(Value::tuple, pop()).items;
        as(Value::function, pop());
        make_tensor(arguments);
        break;
      }
      case 'u':
        set_items(pop_to_mark());
        break;
      case '.':
        return false;
      default:
        require(false, "an instruction that is not known");
    }
    return true;
  }
  void push_word(const std::string& module) {
    const std::string word = module + " " + line();
    const bool is_function = word == "torch._utils _rebuild_tensor_v2";
    require(is_function || word == "torch FloatStorage", "a word that is not known");
    push({.kind = is_function ? Value::function : Value::storage_type});
  }
  void make_storage(const std::vector<std::size_t>& id) {
    require(id.size() == 5 && as(Value::text, id[0]).letters == "storage", "no storage");
    as(Value::storage_type, id[1]);
    as(Value::text, id[3]);
    const std::string key = as(Value::text, id[2]).letters;
    push({.kind = Value::storage, .letters = key, .count = as(Value::number, id[4]).count});
  }
  void make_tensor(const std::vector<std::size_t>& arguments) {
    require(arguments.size() == 4, "a tensor has four arguments");
    const Value& storage = as(Value::storage, arguments[0]);
    Described tensor{.name = "",
                     .storage = storage.letters,
                     .storage_size = storage.count,
                     .offset = as(Value::number, arguments[1]).count,
                     .shape = numbers(arguments[2]),
                     .strides = numbers(arguments[3])};
    reach(tensor.shape, tensor.strides, tensor.offset, tensor.storage_size);
    push({.kind = Value::tensor, .described = std::move(tensor)});
  }
  void set_items(const std::vector<std::size_t>& items) {
    require(items.size() % 2 == 0, "a key without a value");
    const std::size_t place = pop();
    auto& all = as(Value::dict, place).items;
    all.insert(all.end(), items.begin(), items.end());
    stack_.push_back(place);
  }

  const std::string& program_;
  std::size_t at_ = 0;
  std::vector<Value> values_;
  std::vector<std::size_t> stack_, marks_;
};

}  // namespace

std::vector<Described> read_table(const std::string& pickle) {
  return Machine(pickle).run();
}
//: end

}  // namespace exercises
