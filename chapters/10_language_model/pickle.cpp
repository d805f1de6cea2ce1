// ### The pickle, and why it is dangerous {#language_model_pickle}
//
// A pickle looks like data and is a program. Python runs it on a small machine with a stack: an
// instruction pushes a number, another makes a tuple of what was pushed. To restore objects of any
// class the machine has two powerful instructions. `GLOBAL` pushes *any function of any Python
// module*, found by its name. `REDUCE` calls it, with a tuple from the stack for arguments. A file
// of forty bytes can thus call `os.system` with a command of its author's choice, and whoever loads
// the "weights" runs it:
//
// ```
// cos                 GLOBAL   os.system
// system
// (S'echo gotcha'     MARK, STRING
// tR.                 TUPLE, REDUCE, STOP
// ```
//
// ::: warning A checkpoint is code
// `torch.load(file)` executed whatever the file said, for years; today's versions are careful by
// default. This book's reader was never tempted: it has no Python to run.
// :::
//
// What a table of tensors needs from that machine is little. torch.save() describes a tensor as a
// call: push the function `torch._utils._rebuild_tensor_v2`, push its arguments, call it. The
// arguments are
//
// 1. a storage, itself described by a tuple `('storage', torch.FloatStorage, '17', 'cpu', 589824)`:
//    kind of numbers, file of the archive, device, how many numbers;
// 2. the offset of the first number in the storage,
// 3. the shape,
// 4. the strides, both as tuples,
// 5. and things for training that a reader skips.
//
// So we write a machine of our own that knows just these instructions, and in which the names of
// functions are *words without power*. A `GLOBAL` is compared with a short list of names; `REDUCE`
// on `_rebuild_tensor_v2` makes a record with shape and strides; on anything else the file is
// refused. There is nothing in the machine that could be made to do harm.
//
// Values lie in one array, the *heap*, and are referred to by index. A pickle can nest a tuple in a
// tuple a million times; with pointers, the destructor would follow them down until the stack of
// the process is full. An array is freed in one go. A second danger is the memo: a program of a few
// bytes can use one huge value again and again. So nothing that a value refers to is copied, unless
// it is small for certain.

#include <mamba2/error.hpp>
#include <mamba2/pickle.hpp>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <variant>

namespace mamba2 {

namespace {

using Ref = std::uint32_t;  // index of a value in the heap

struct None {};
struct Tuple {
  std::vector<Ref> items;
};
struct Dict {
  std::vector<std::pair<Ref, Ref>> items;
};
enum class Global {
  ordered_dict,
  rebuild_tensor,
  rebuild_parameter,
  float_storage,
  half_storage,
  bfloat16_storage,
  double_storage
};
struct Storage {
  std::string key;
  ElementType type;
  std::size_t size;
};
struct View {
  Storage storage;
  std::size_t offset;
  std::vector<std::size_t> shape, strides;
};
using Value = std::variant<None, bool, std::int64_t, std::string, Tuple, Dict, Global, Storage, View>;

const std::unordered_map<std::string, Global> allowed_globals = {
    {"collections OrderedDict", Global::ordered_dict},
    {"torch._utils _rebuild_tensor_v2", Global::rebuild_tensor},
    {"torch._utils _rebuild_parameter", Global::rebuild_parameter},
    {"torch FloatStorage", Global::float_storage},
    {"torch HalfStorage", Global::half_storage},
    {"torch BFloat16Storage", Global::bfloat16_storage},
    {"torch DoubleStorage", Global::double_storage}};

// The machine has a program counter, a stack of values, a stack of marks (where a tuple or a list
// of pairs began), and a *memo*, in which the program keeps values to use them again: that is how
// two tensors share a storage. Every read of the program is checked against its end, and the number
// of values is limited.

class PickleMachine {
 public:
  PickleMachine(std::span<const std::byte> program, const std::string& where)
      : program_(program), where_(where) {}

  std::vector<PickledTensor> run() {
    while (!stopped_) execute();
    return state_dict(pop());
  }

 private:
  static constexpr std::size_t most_values = 500'000;

  [[noreturn]] void refuse(const std::string& reason) const {
    throw FileError(where_ + ": pickle, at byte " + std::to_string(at_) + ": " + reason);
  }

  // Reading the program.
  std::span<const std::byte> take(std::size_t length) {
    if (length > program_.size() - next_) refuse("the program ends too early");
    const auto bytes = program_.subspan(next_, length);
    next_ += length;
    return bytes;
  }
  template <class Integer>
  Integer number() {
    Integer value;
    std::memcpy(&value, take(sizeof(Integer)).data(), sizeof(Integer));
    return value;
  }
  std::string text(std::size_t length) {
    const auto bytes = take(length);
    return {reinterpret_cast<const char*>(bytes.data()), length};
  }
  std::string line() {
    std::string result;
    for (char c = number<char>(); c != '\n'; c = number<char>()) result += c;
    return result;
  }

  // The stack.
  void push(Ref value) { stack_.push_back(value); }
  void push_new(Value value) {
    if (heap_.size() >= most_values) refuse("more than " + std::to_string(most_values) + " values");
    heap_.push_back(std::move(value));
    push(static_cast<Ref>(heap_.size() - 1));
  }
  Ref pop() {
    if (stack_.size() <= (marks_.empty() ? 0 : marks_.back()))
      refuse("takes a value from an empty stack");
    const Ref value = stack_.back();
    stack_.pop_back();
    return value;
  }
  std::vector<Ref> pop_to_mark() {
    if (marks_.empty()) refuse("takes values up to a mark that was never set");
    const auto begin = stack_.begin() + static_cast<std::ptrdiff_t>(marks_.back());
    std::vector<Ref> values(begin, stack_.end());
    stack_.erase(begin, stack_.end());
    marks_.pop_back();
    return values;
  }
  template <class Kind>
  Kind& as(Ref ref, const char* expected) {
    if (auto* value = std::get_if<Kind>(&heap_[ref])) return *value;
    refuse(std::string("expected ") + expected);
  }
  std::size_t as_size(Ref ref, const char* expected) {
    const auto value = as<std::int64_t>(ref, expected);
    if (value < 0) refuse(std::string("expected ") + expected + ", got " + std::to_string(value));
    return static_cast<std::size_t>(value);
  }
  std::vector<std::size_t> as_sizes(Ref ref, const char* expected) {
    const auto& items = as<Tuple>(ref, expected).items;
    if (items.size() > 16)
      refuse(std::string(expected) + " of " + std::to_string(items.size()) + " axes");
    std::vector<std::size_t> sizes;
    for (const Ref item : items) sizes.push_back(as_size(item, expected));
    return sizes;
  }

  void execute();
  void push_tuple(std::size_t length);
  void push_long();
  void push_global();
  void push_storage();
  void set_items(const std::vector<Ref>& items);
  void reduce();
  Value rebuild_tensor(const std::vector<Ref>& arguments);
  void build();
  std::vector<PickledTensor> state_dict(Ref root);

  std::span<const std::byte> program_;
  const std::string& where_;
  std::size_t at_ = 0, next_ = 0;  // the instruction being executed, and what is read next
  bool stopped_ = false;
  std::vector<Value> heap_;
  std::vector<Ref> stack_;
  std::vector<std::size_t> marks_;
  std::unordered_map<std::uint32_t, Ref> memo_;
};

// Here is the whole instruction set. What is missing is what matters: `INST`, `OBJ`, `NEWOBJ`, the
// extension registry, everything of later protocols. torch.save() uses protocol 2 and these.

void PickleMachine::execute() {
  at_ = next_;
  const auto opcode = number<unsigned char>();
  const auto remember = [&](std::uint32_t key) {
    const Ref value = pop();
    push(value);
    memo_[key] = value;
  };
  const auto recall = [&](std::uint32_t key) {
    const auto found = memo_.find(key);
    if (found == memo_.end()) refuse("recalls memo " + std::to_string(key) + ", which was never kept");
    push(found->second);
  };
  switch (opcode) {
    case 0x80: {  // PROTO
      const auto protocol = number<std::uint8_t>();
      if (protocol != 2)
        refuse("protocol " + std::to_string(protocol) + "; torch.save() writes protocol 2");
      return;
    }
    case '.':
      stopped_ = true;
      return;  // STOP
    case '(':
      marks_.push_back(stack_.size());
      return;  // MARK
    case 'N':
      return push_new(None{});  // NONE
    case 0x88:
      return push_new(true);  // NEWTRUE
    case 0x89:
      return push_new(false);  // NEWFALSE
    case 'J':
      return push_new(std::int64_t{number<std::int32_t>()});  // BININT
    case 'K':
      return push_new(std::int64_t{number<std::uint8_t>()});  // BININT1
    case 'M':
      return push_new(std::int64_t{number<std::uint16_t>()});  // BININT2
    case 0x8a:
      return push_long();  // LONG1
    case 'X':
      return push_new(text(number<std::uint32_t>()));  // BINUNICODE
    case '}':
      return push_new(Dict{});  // EMPTY_DICT
    case ')':
      return push_new(Tuple{});  // EMPTY_TUPLE
    case 't':
      return push_new(Tuple{pop_to_mark()});  // TUPLE
    case 0x85:
    case 0x86:
    case 0x87:
      return push_tuple(opcode - 0x84u);  // TUPLE1, TUPLE2, TUPLE3
    case 's': {
      const Ref value = pop(), key = pop();
      return set_items({key, value});
    }  // SETITEM
    case 'u':
      return set_items(pop_to_mark());  // SETITEMS
    case 'q':
      return remember(number<std::uint8_t>());  // BINPUT
    case 'r':
      return remember(number<std::uint32_t>());  // LONG_BINPUT
    case 'h':
      return recall(number<std::uint8_t>());  // BINGET
    case 'j':
      return recall(number<std::uint32_t>());  // LONG_BINGET
    case 'c':
      return push_global();  // GLOBAL
    case 'Q':
      return push_storage();  // BINPERSID
    case 'R':
      return reduce();  // REDUCE
    case 'b':
      return build();  // BUILD
    default:
      break;
  }
  static const char* digits = "0123456789abcdef";
  refuse(std::string("instruction 0x") + digits[opcode >> 4] + digits[opcode & 15] +
         " is not needed for a table of tensors, and is not executed");
}

void PickleMachine::push_tuple(std::size_t length) {
  std::vector<Ref> items(length);
  for (std::size_t i = length; i-- > 0;) items[i] = pop();
  push_new(Tuple{std::move(items)});
}

void PickleMachine::push_long() {  // little-endian, two's complement, as short as possible
  const auto bytes = take(number<std::uint8_t>());
  if (bytes.size() > 8) refuse("an integer of " + std::to_string(bytes.size()) + " bytes");
  std::uint64_t value = 0;
  for (std::size_t i = 0; i < bytes.size(); ++i)
    value |= static_cast<std::uint64_t>(bytes[i]) << (8 * i);
  if (!bytes.empty() && bytes.size() < 8 && (bytes.back() & std::byte{0x80}) != std::byte{0})
    value |= ~std::uint64_t{0} << (8 * bytes.size());
  push_new(static_cast<std::int64_t>(value));
}

void PickleMachine::push_global() {
  const std::string module = line(), name = line();
  const auto found = allowed_globals.find(module + " " + name);
  if (found == allowed_globals.end())
    refuse("asks for '" + module.substr(0, 80) + "." + name.substr(0, 80) +
           "', which no table of tensors needs; refused, nothing was executed");
  push_new(found->second);
}

// A tuple that begins with `'storage'` names a file of numbers.

void PickleMachine::push_storage() {
  const Tuple& id = as<Tuple>(pop(), "a tuple that names a storage");
  if (id.items.size() != 5 || as<std::string>(id.items[0], "'storage'") != "storage")
    refuse("expected ('storage', type, key, device, size)");
  const std::string& key = as<std::string>(id.items[2], "the key of a storage");
  if (key.size() > 64) refuse("the key of a storage is " + std::to_string(key.size()) + " bytes long");
  Storage storage{key, {}, as_size(id.items[4], "a storage's size")};
  switch (as<Global>(id.items[1], "a storage's type")) {
    case Global::float_storage:
      storage.type = ElementType::float32;
      break;
    case Global::half_storage:
      storage.type = ElementType::float16;
      break;
    case Global::bfloat16_storage:
      storage.type = ElementType::bfloat16;
      break;
    case Global::double_storage:
      storage.type = ElementType::float64;
      break;
    default:
      refuse("expected a storage's type");
  }
  push_new(std::move(storage));
}

void PickleMachine::set_items(const std::vector<Ref>& items) {
  const Ref target = pop();
  push(target);
  auto& dict = as<Dict>(target, "a dict to put items into");
  if (items.size() % 2 != 0) refuse("a key without a value");
  for (std::size_t i = 0; i < items.size(); i += 2) dict.items.emplace_back(items[i], items[i + 1]);
}

// `REDUCE` is where Python would call a function. Here it is a choice among three.

void PickleMachine::reduce() {
  const Tuple& arguments = as<Tuple>(pop(), "a tuple of arguments");
  switch (as<Global>(pop(), "a function")) {
    case Global::ordered_dict:
      if (!arguments.items.empty()) refuse("expected an OrderedDict without arguments");
      return push_new(Dict{});
    case Global::rebuild_tensor:
      return push_new(rebuild_tensor(arguments.items));
    case Global::rebuild_parameter:
      if (arguments.items.empty()) refuse("expected a parameter's tensor");
      as<View>(arguments.items[0], "a parameter's tensor");
      return push(arguments.items[0]);  // itself, not a copy
    default:
      refuse("calls a storage type");
  }
}

// The claims about a tensor are checked where they are made: the last number it reaches must lie in
// the storage, without overflow; and it may not have more numbers than the storage, as a stride of
// zero would allow: a few bytes could then claim to be a tensor of any size.

Value PickleMachine::rebuild_tensor(const std::vector<Ref>& arguments) {
  if (arguments.size() < 4) refuse("a tensor needs a storage, an offset, a shape and strides");
  View view{as<Storage>(arguments[0], "a tensor's storage"), as_size(arguments[1], "an offset"),
            as_sizes(arguments[2], "a shape"), as_sizes(arguments[3], "strides")};
  if (view.shape.size() != view.strides.size()) refuse("a shape and strides of different lengths");
  std::size_t count = 0, end = view.offset;
  bool fits = element_count(view.shape, count) && count <= view.storage.size &&
              view.offset <= view.storage.size;
  for (std::size_t axis = 0; fits && count > 0 && axis < view.shape.size(); ++axis) {
    std::size_t reach = 0;
    fits = !__builtin_mul_overflow(view.shape[axis] - 1, view.strides[axis], &reach) &&
           !__builtin_add_overflow(end, reach, &end);
  }
  if (!fits || (count > 0 && end >= view.storage.size))
    refuse("a tensor of shape " + shape_text(view.shape) + ", strides " + shape_text(view.strides) +
           " and offset " + std::to_string(view.offset) + " does not fit into its storage of " +
           std::to_string(view.storage.size));
  return view;
}

// torch.save() hangs an attribute `_metadata` on the dictionary: versions of modules, which a
// reader of Mamba-2 does not need. `BUILD` is how a pickle sets attributes; we check that it is
// this one, and drop it.

void PickleMachine::build() {
  const Dict& attributes = as<Dict>(pop(), "a dict of attributes");
  const Ref target = pop();
  push(target);
  as<Dict>(target, "a dict to attach attributes to");
  if (attributes.items.size() > 1)
    refuse("sets " + std::to_string(attributes.items.size()) + " attributes");
  for (const auto& [key, value] : attributes.items)
    if (const auto& name = as<std::string>(key, "an attribute's name"); name != "_metadata")
      refuse("sets the attribute '" + name.substr(0, 80) + "'");
}

std::vector<PickledTensor> PickleMachine::state_dict(Ref root) {
  std::vector<PickledTensor> tensors;
  std::unordered_set<std::string> names;
  for (const auto& [key, value] : as<Dict>(root, "a dict of tensors").items) {
    const std::string& name = as<std::string>(key, "a tensor's name");
    if (!names.insert(name).second) refuse("tensor '" + name.substr(0, 200) + "' comes twice");
    const View& view = as<View>(value, "a tensor");
    tensors.push_back({name, view.storage.key, view.storage.type, view.storage.size, view.offset,
                       view.shape, view.strides});
  }
  return tensors;
}

}  // namespace

std::vector<PickledTensor> read_state_dict(std::span<const std::byte> pickle,
                                           const std::string& where) {
  constexpr std::size_t longest = std::size_t{16} << 20;
  if (pickle.size() > longest)
    throw FileError(where + ": pickle of " + std::to_string(pickle.size()) + " bytes, more than the " +
                    std::to_string(longest) + " that are read");
  return PickleMachine(pickle, where).run();
}

// ### Writing a pickle
//
// The way back is to emit the same few instructions. The memo is not needed for correctness, except
// in one place: torch.load() keeps one storage for each *key*, so two tensors that name the same
// key share their numbers again without it.

namespace {

void put_text(std::string& out, const std::string& text) {
  const auto length = static_cast<std::uint32_t>(text.size());
  out += 'X';
  for (int shift = 0; shift < 32; shift += 8) out += static_cast<char>(length >> shift & 0xff);
  out += text;
}

void put_number(std::string& out, std::size_t number) {
  const int bytes = number < 256 ? 1 : number < 65536 ? 2 : number < 0x80000000 ? 4 : 8;
  out += bytes == 1 ? "K" : bytes == 2 ? "M" : bytes == 4 ? "J" : "\x8a\x08";
  for (int i = 0; i < bytes; ++i) out += static_cast<char>(number >> (8 * i) & 0xff);
}

void put_sizes(std::string& out, const std::vector<std::size_t>& sizes) {
  out += '(';
  for (const std::size_t size : sizes) put_number(out, size);
  out += 't';
}

const char* storage_name(ElementType type) {
  switch (type) {
    case ElementType::float16:
      return "ctorch\nHalfStorage\n";
    case ElementType::bfloat16:
      return "ctorch\nBFloat16Storage\n";
    case ElementType::float64:
      return "ctorch\nDoubleStorage\n";
    case ElementType::float32:
      break;
  }
  return "ctorch\nFloatStorage\n";
}

}  // namespace

std::string write_state_dict(const std::vector<PickledTensor>& tensors) {
  const std::string ordered_dict = "ccollections\nOrderedDict\n)R";
  std::string out = "\x80\x02" + ordered_dict + "(";
  for (const PickledTensor& tensor : tensors) {
    put_text(out, tensor.name);
    out += "ctorch._utils\n_rebuild_tensor_v2\n((";
    put_text(out, "storage");
    out += storage_name(tensor.type);
    put_text(out, tensor.storage);
    put_text(out, "cpu");
    put_number(out, tensor.storage_size);
    out += "tQ";  // the tuple is the storage's identity
    put_number(out, tensor.offset);
    put_sizes(out, tensor.shape);
    put_sizes(out, tensor.strides);
    out += "\x89" + ordered_dict + "tR";  // requires no gradient, has no hooks; call
  }
  return out + "u.";
}

}  // namespace mamba2
