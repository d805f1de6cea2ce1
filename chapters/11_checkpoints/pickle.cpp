// ### The pickle, and why it is dangerous {#checkpoints_pickle}
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
// This is an honest one, the program of a table with a single tensor, as our own writer makes it.
// In the last column, a star for each value that lies on the stack after the instruction:
//
// @output program
//
// ::: warning A checkpoint is code
// `torch.load(file)` executed whatever the file said, for years; today's versions are careful by
// default. This book's reader was never tempted: it has no Python to run.
// :::
//
// What a table of tensors needs from the machine is little. torch.save() describes a tensor as a
// call, as seen above: push the function `torch._utils._rebuild_tensor_v2`, push its arguments,
// call it. The arguments are
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
#include <bit>
#include <cstdint>
#include <cstring>
#include <optional>
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
struct List {
  std::vector<Ref> items;
};
struct Dict {
  std::vector<std::pair<Ref, Ref>> items;
};

// The words. Most are storages, and say what kind of numbers is in them; kinds that no weight has
// are known too, because they stand in checkpoints beside the weights. Newer versions of PyTorch
// say the kind by a second word, and the storage is bytes.

enum class Word {
  ordered_dict,
  rebuild_tensor,
  rebuild_typed_tensor,
  rebuild_parameter,
  rebuild_from_type,
  tensor_type,
  storage,
  bytes_storage,
  element_type
};

struct Global {
  Word word;
  std::optional<ElementType> type = {};  // of a storage or an element type; none for whole numbers
};

// A storage and a view of it, as the pickle describes them; and a value is one of eleven things.

struct Storage {
  std::string key;
  Global kind;
  std::size_t size;
};
struct View {
  Storage storage;
  std::size_t offset;
  std::vector<std::size_t> shape, strides;
};
using Value = std::variant<None, bool, std::int64_t, double, std::string, Tuple, List, Dict, Global,
                           Storage, View>;

// The list of names is short. A file that asks for anything else is refused.

//: fold The list of names
const std::unordered_map<std::string, Global> allowed_globals = {
    {"collections OrderedDict", {Word::ordered_dict}},
    {"torch._utils _rebuild_tensor_v2", {Word::rebuild_tensor}},
    {"torch._utils _rebuild_tensor_v3", {Word::rebuild_typed_tensor}},
    {"torch._utils _rebuild_parameter", {Word::rebuild_parameter}},
    {"torch._utils _rebuild_parameter_with_state", {Word::rebuild_parameter}},
    {"torch._tensor _rebuild_from_type_v2", {Word::rebuild_from_type}},
    {"torch Tensor", {Word::tensor_type}},
    {"torch.nn.parameter Parameter", {Word::tensor_type}},
    {"torch FloatStorage", {Word::storage, ElementType::float32}},
    {"torch HalfStorage", {Word::storage, ElementType::float16}},
    {"torch BFloat16Storage", {Word::storage, ElementType::bfloat16}},
    {"torch DoubleStorage", {Word::storage, ElementType::float64}},
    {"torch LongStorage", {Word::storage}},
    {"torch IntStorage", {Word::storage}},
    {"torch ShortStorage", {Word::storage}},
    {"torch CharStorage", {Word::storage}},
    {"torch ByteStorage", {Word::storage}},
    {"torch BoolStorage", {Word::storage}},
    {"torch.storage UntypedStorage", {Word::bytes_storage}},
    {"torch float32", {Word::element_type, ElementType::float32}},
    {"torch float16", {Word::element_type, ElementType::float16}},
    {"torch bfloat16", {Word::element_type, ElementType::bfloat16}},
    {"torch float64", {Word::element_type, ElementType::float64}}};

// The machine has a program counter, a stack of values, a stack of marks (where a tuple or a list
// of pairs began), and a *memo*, in which the program keeps values to use them again: that is how
// two tensors share a storage. The number of values is limited.

//: fold What the machine holds
class PickleMemory {
 protected:
  PickleMemory(std::span<const std::byte> program, const std::string& where)
      : program_(program), where_(where) {}
  [[noreturn]] void refuse(const std::string& reason) const {
    throw FileError(where_ + ": pickle, at byte " + std::to_string(at_) + ": " + reason);
  }
  std::span<const std::byte> take(std::size_t length);  // of the program
  template <class Integer>
  Integer number() {
    Integer value;
    std::memcpy(&value, take(sizeof(Integer)).data(), sizeof(Integer));
    return value;
  }
  std::string text(std::size_t length);
  std::string line();
  void push(Ref value) { stack_.push_back(value); }
  void push_new(Value value);
  Ref top();
  Ref pop();
  std::vector<Ref> pop_to_mark();
  template <class Kind>
  Kind& as(Ref ref, const char* expected) {  // a value, if it is of the kind that is needed
    if (auto* value = std::get_if<Kind>(&heap_[ref])) return *value;
    refuse(std::string("expected ") + expected + ", got " + kind_of(ref));
  }
  std::size_t as_size(Ref ref, const char* expected);
  std::vector<std::size_t> as_sizes(Ref ref, const char* expected);
  std::string kind_of(Ref ref) const;

  static constexpr std::size_t most_values = 500'000;
  std::span<const std::byte> program_;
  const std::string& where_;
  std::size_t at_ = 0, next_ = 0;  // the instruction being executed, and what is read next
  std::vector<Value> heap_;
  std::vector<Ref> stack_;
  std::vector<std::size_t> marks_;
  std::unordered_map<std::uint32_t, Ref> memo_;
};

// Reading the program: every read is checked against its end.

std::span<const std::byte> PickleMemory::take(std::size_t length) {
  if (length > program_.size() - next_) refuse("the program ends too early");
  const auto bytes = program_.subspan(next_, length);
  next_ += length;
  return bytes;
}

std::string PickleMemory::text(std::size_t length) {
  const auto bytes = take(length);
  return {reinterpret_cast<const char*>(bytes.data()), length};
}

std::string PickleMemory::line() {
  std::string result;
  for (char c = number<char>(); c != '\n'; c = number<char>()) result += c;
  return result;
}

// Whoever takes from the stack takes something that is there, or the program is refused.

//: fold The stack
void PickleMemory::push_new(Value value) {
  if (heap_.size() >= most_values) refuse("more than " + std::to_string(most_values) + " values");
  heap_.push_back(std::move(value));
  push(static_cast<Ref>(heap_.size() - 1));
}

Ref PickleMemory::top() {
  if (stack_.size() <= (marks_.empty() ? 0 : marks_.back()))
    refuse("takes a value from an empty stack");
  return stack_.back();
}

Ref PickleMemory::pop() {
  const Ref value = top();
  stack_.pop_back();
  return value;
}

std::vector<Ref> PickleMemory::pop_to_mark() {
  if (marks_.empty()) refuse("takes values up to a mark that was never set");
  const auto begin = stack_.begin() + static_cast<std::ptrdiff_t>(marks_.back());
  std::vector<Ref> values(begin, stack_.end());
  stack_.erase(begin, stack_.end());
  marks_.pop_back();
  return values;
}

// What a value is called in a message, and the two kinds of values that are asked for by what is in
// them: a size, and a tuple of sizes.

//: fold Names of kinds; sizes
std::string PickleMemory::kind_of(Ref ref) const {
  static const char* names[] = {"None",   "a truth value", "a whole number", "a number",
                                "a text", "a tuple",       "a list",         "a dict",
                                "a name", "a storage",     "a tensor"};
  return names[heap_[ref].index()];
}

std::size_t PickleMemory::as_size(Ref ref, const char* expected) {
  const auto value = as<std::int64_t>(ref, expected);
  if (value < 0) refuse(std::string("expected ") + expected + ", got " + std::to_string(value));
  return static_cast<std::size_t>(value);
}

std::vector<std::size_t> PickleMemory::as_sizes(Ref ref, const char* expected) {
  const auto& items = as<Tuple>(ref, expected).items;
  if (items.size() > 16)
    refuse(std::string(expected) + " of " + std::to_string(items.size()) + " axes");
  std::vector<std::size_t> sizes;
  for (const Ref item : items) sizes.push_back(as_size(item, expected));
  return sizes;
}

// What computes stands on that. Instructions come in four groups; three of them have a function of
// their own, which says whether the instruction was one of its group. Calls are what the machine is
// for: those that are known make tensors, and what a tensor claims is checked there.

class PickleMachine : PickleMemory {
 public:
  PickleMachine(std::span<const std::byte> program, const std::string& where)
      : PickleMemory(program, where) {}
  std::vector<PickledTensor> run() {
    while (!stopped_) execute();
    return state_dict(find_state_dict(pop()));
  }

 private:
  void execute();
  bool push_constant(unsigned char opcode);
  bool make_container(unsigned char opcode);
  bool use_memo(unsigned char opcode);
  void remember(std::uint32_t key) { memo_[key] = top(); }
  void recall(std::uint32_t key);
  void push_tuple(std::size_t length);
  void push_long();
  void push_double();
  void push_global(const std::string& module, const std::string& name);
  void push_storage();
  void set_items(const std::vector<Ref>& items);
  void append(const std::vector<Ref>& items);
  void build();

  void call(Global function, const std::vector<Ref>& arguments);
  View rebuild_tensor(const std::vector<Ref>& arguments, std::optional<Global> type);
  void set_type(Storage& storage, std::optional<Global> type);
  void require_plain(const std::vector<Ref>& arguments, std::size_t metadata);

  Ref find_state_dict(Ref root);
  std::vector<PickledTensor> state_dict(Ref dict);

  bool stopped_ = false;
};

// ### The instructions {#checkpoints_pickle_instructions}
//
// Here is the whole instruction set, in four parts. What is missing is what matters: `INST`, `OBJ`,
// `NEWOBJ`, the extension registry, buffers from outside. torch.save() writes protocol 2 unless it
// is told otherwise; the later ones, to 5, have shorter ways to say the same.

void PickleMachine::execute() {
  at_ = next_;
  const auto opcode = number<unsigned char>();
  if (push_constant(opcode) || make_container(opcode) || use_memo(opcode)) return;
  switch (opcode) {
    case 0x80:  // PROTO
      if (const auto protocol = number<std::uint8_t>(); protocol < 2 || protocol > 5)
        refuse("protocol " + std::to_string(protocol) + "; PyTorch writes 2 to 5");
      return;
    case 0x95:  // FRAME: how many bytes can be fetched at once
      if (number<std::uint64_t>() > program_.size() - next_) refuse("a frame ends behind the program");
      return;
    case 'Q':  // BINPERSID
      return push_storage();
    case 'R': {  // REDUCE
      const auto& arguments = as<Tuple>(pop(), "a tuple of arguments").items;
      return call(as<Global>(pop(), "a function"), arguments);
    }
    case 'b':  // BUILD
      return build();
    case '.':  // STOP
      stopped_ = true;
      return;
    default:
      break;
  }
  static const char* digits = "0123456789abcdef";
  refuse(std::string("instruction 0x") + digits[opcode >> 4] + digits[opcode & 15] +
         " is not needed for a table of tensors, and is not executed");
}

// Instructions that push a value. A `GLOBAL` is one of them: here it pushes a word.

//: fold Constants
bool PickleMachine::push_constant(unsigned char opcode) {
  switch (opcode) {
    case 'N':  // NONE
      return push_new(None{}), true;
    case 0x88:  // NEWTRUE, NEWFALSE
    case 0x89:
      return push_new(opcode == 0x88), true;
    case 'J':  // BININT
      return push_new(std::int64_t{number<std::int32_t>()}), true;
    case 'K':  // BININT1
      return push_new(std::int64_t{number<std::uint8_t>()}), true;
    case 'M':  // BININT2
      return push_new(std::int64_t{number<std::uint16_t>()}), true;
    case 0x8a:  // LONG1
      return push_long(), true;
    case 'G':  // BINFLOAT
      return push_double(), true;
    case 0x8c:  // SHORT_BINUNICODE
      return push_new(text(number<std::uint8_t>())), true;
    case 'X':  // BINUNICODE
      return push_new(text(number<std::uint32_t>())), true;
    case 0x8d:  // BINUNICODE8
      return push_new(text(number<std::uint64_t>())), true;
    case 'c': {  // GLOBAL
      const std::string module = line();
      return push_global(module, line()), true;
    }
    case 0x93: {  // STACK_GLOBAL
      const Ref name = pop();
      const std::string& module = as<std::string>(pop(), "a module's name");
      return push_global(module, as<std::string>(name, "a name")), true;
    }
    default:
      return false;
  }
}

// Instructions that make or fill something that holds values.

//: fold Containers
bool PickleMachine::make_container(unsigned char opcode) {
  switch (opcode) {
    case '(':  // MARK
      return marks_.push_back(stack_.size()), true;
    case ')':  // EMPTY_TUPLE
      return push_new(Tuple{}), true;
    case 't':  // TUPLE
      return push_new(Tuple{pop_to_mark()}), true;
    case 0x85:  // TUPLE1, TUPLE2, TUPLE3
    case 0x86:
    case 0x87:
      return push_tuple(opcode - 0x84u), true;
    case ']':  // EMPTY_LIST
      return push_new(List{}), true;
    case 'a':  // APPEND
      return append({pop()}), true;
    case 'e':  // APPENDS
      return append(pop_to_mark()), true;
    case '}':  // EMPTY_DICT
      return push_new(Dict{}), true;
    case 's': {  // SETITEM
      const Ref value = pop(), key = pop();
      return set_items({key, value}), true;
    }
    case 'u':  // SETITEMS
      return set_items(pop_to_mark()), true;
    default:
      return false;
  }
}

// And those that keep a value and fetch it again.

//: fold The memo
void PickleMachine::recall(std::uint32_t key) {
  const auto found = memo_.find(key);
  if (found == memo_.end()) refuse("recalls memo " + std::to_string(key) + ", which was never kept");
  push(found->second);
}

bool PickleMachine::use_memo(unsigned char opcode) {
  switch (opcode) {
    case 'q':  // BINPUT
      return remember(number<std::uint8_t>()), true;
    case 'r':  // LONG_BINPUT
      return remember(number<std::uint32_t>()), true;
    case 0x94:  // MEMOIZE
      return remember(static_cast<std::uint32_t>(memo_.size())), true;
    case 'h':  // BINGET
      return recall(number<std::uint8_t>()), true;
    case 'j':  // LONG_BINGET
      return recall(number<std::uint32_t>()), true;
    default:
      return false;
  }
}

// The instructions' parts that take more than a line: tuples of known length, whole numbers of any
// length, numbers with a fraction, names, and what fills lists and dicts.

//: fold Tuples, numbers, names
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

void PickleMachine::push_double() {  // big-endian, the only one that is
  std::uint64_t bits = 0;
  for (const std::byte byte : take(8)) bits = bits << 8 | static_cast<std::uint64_t>(byte);
  push_new(std::bit_cast<double>(bits));
}

void PickleMachine::push_global(const std::string& module, const std::string& name) {
  const auto found = allowed_globals.find(module + " " + name);
  if (found == allowed_globals.end())
    refuse("asks for '" + module.substr(0, 80) + "." + name.substr(0, 80) +
           "', which no table of tensors needs; refused, nothing was executed");
  push_new(found->second);
}

// A list and a dict are filled where they lie, on top of the stack below what goes in.

void PickleMachine::append(const std::vector<Ref>& items) {
  auto& list = as<List>(top(), "a list to put items into").items;
  list.insert(list.end(), items.begin(), items.end());
}

void PickleMachine::set_items(const std::vector<Ref>& items) {
  auto& dict = as<Dict>(top(), "a dict to put items into");
  if (items.size() % 2 != 0) refuse("a key without a value");
  for (std::size_t i = 0; i < items.size(); i += 2) dict.items.emplace_back(items[i], items[i + 1]);
}

// A tuple that begins with `'storage'` names a file of numbers.

void PickleMachine::push_storage() {
  const Tuple& id = as<Tuple>(pop(), "a tuple that names a storage");
  if (id.items.size() != 5 || as<std::string>(id.items[0], "'storage'") != "storage")
    refuse("expected ('storage', type, key, device, size)");
  const std::string& key = as<std::string>(id.items[2], "the key of a storage");
  if (key.size() > 64) refuse("the key of a storage is " + std::to_string(key.size()) + " bytes long");
  const Global kind = as<Global>(id.items[1], "a storage's type");
  if (kind.word != Word::storage && kind.word != Word::bytes_storage)
    refuse("expected a storage's type, got the name of something else");
  push_new(Storage{key, kind, as_size(id.items[4], "a storage's size")});
}

// torch.save() hangs an attribute `_metadata` on the dictionary: versions of modules, which a
// reader of Mamba-2 does not need. `BUILD` is how a pickle sets attributes; we check that it is
// this one, and drop it.

void PickleMachine::build() {
  const Dict& attributes = as<Dict>(pop(), "a dict of attributes");
  as<Dict>(top(), "a dict to attach attributes to");
  if (attributes.items.size() > 1)
    refuse("sets " + std::to_string(attributes.items.size()) + " attributes");
  for (const auto& [key, value] : attributes.items)
    if (const auto& name = as<std::string>(key, "an attribute's name"); name != "_metadata")
      refuse("sets the attribute '" + name.substr(0, 80) + "'");
}

// ### Calls {#checkpoints_pickle_calls}
//
// `REDUCE` is where Python would call a function. Here it is a choice among five. Two of them only
// wrap a tensor: a parameter is a tensor to be trained, with attributes perhaps; a tensor with
// attributes is described by the call that would make it without, and what to hang on it.

void PickleMachine::call(Global function, const std::vector<Ref>& arguments) {
  switch (function.word) {
    case Word::ordered_dict:
      if (!arguments.empty()) refuse("expected an OrderedDict without arguments");
      return push_new(Dict{});
    case Word::rebuild_tensor:
      return push_new(rebuild_tensor(arguments, {}));
    case Word::rebuild_typed_tensor:
      if (arguments.size() < 7) refuse("this tensor needs a type of numbers");
      return push_new(rebuild_tensor(arguments, as<Global>(arguments[6], "a type of numbers")));
    case Word::rebuild_parameter:
      if (arguments.empty()) refuse("expected a parameter's tensor");
      as<View>(arguments[0], "a parameter's tensor");
      return push(arguments[0]);  // itself, not a copy
    case Word::rebuild_from_type: {
      if (arguments.size() != 4) refuse("expected a function, a type, arguments and attributes");
      const Global inner = as<Global>(arguments[0], "a function");
      if (inner.word == Word::rebuild_from_type) refuse("wraps what is wrapped already");
      return call(inner, as<Tuple>(arguments[2], "a tuple of arguments").items);
    }
    default:
      refuse("calls what is no function");
  }
}

// The claims about a tensor are checked where they are made: the last number it reaches must lie in
// the storage, without overflow; and it may not have more numbers than the storage, as a stride of
// zero would allow: a few bytes could then claim to be a tensor of any size.

View PickleMachine::rebuild_tensor(const std::vector<Ref>& arguments, std::optional<Global> type) {
  if (arguments.size() < 4) refuse("a tensor needs a storage, an offset, a shape and strides");
  View view{as<Storage>(arguments[0], "a tensor's storage"), as_size(arguments[1], "an offset"),
            as_sizes(arguments[2], "a shape"), as_sizes(arguments[3], "strides")};
  require_plain(arguments, type ? 7 : 6);
  set_type(view.storage, type);
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

// The kind of numbers comes with the storage, or apart from it, and then the storage is so many
// bytes.

void PickleMachine::set_type(Storage& storage, std::optional<Global> type) {
  const bool bytes = storage.kind.word == Word::bytes_storage;
  if (type && type->word != Word::element_type)
    refuse("expected a type of numbers, got the name of something else");
  if (bytes != type.has_value())
    refuse(bytes ? "a storage of bytes, and no type of numbers" : "a type of numbers said twice");
  if (!bytes) return;
  const std::size_t width = element_size(*type->type);
  if (storage.size % width != 0)
    refuse("a storage of " + std::to_string(storage.size) + " bytes for numbers of " +
           std::to_string(width));
  storage.kind.type = type->type;
  storage.size /= width;
}

// A last argument may say that the numbers are not to be taken as they are: with the other sign,
// for example. None that is on is known here.

void PickleMachine::require_plain(const std::vector<Ref>& arguments, std::size_t metadata) {
  if (arguments.size() <= metadata || std::holds_alternative<None>(heap_[arguments[metadata]])) return;
  for (const auto& [key, value] : as<Dict>(arguments[metadata], "a tensor's metadata").items) {
    const bool* flag = std::get_if<bool>(&heap_[value]);
    if (flag == nullptr || *flag)
      refuse("a tensor with '" + as<std::string>(key, "the name of metadata").substr(0, 80) +
             "', which is not known here");
  }
}

// ### Which dict? {#checkpoints_pickle_root}
//
// At the end one value is left on the stack. As a rule it is the dict of tensors. Programs that
// train save more: the step, the optimizer's state, and the tensors in a dict of their own, under
// one of a few names. If exactly one of these is there, it is meant.

Ref PickleMachine::find_state_dict(Ref root) {
  static const std::unordered_set<std::string> names = {"state_dict", "model_state_dict", "model_state",
                                                        "model", "module"};
  Ref found = root;
  std::string under;
  for (const auto& [key, value] : as<Dict>(root, "a dict of tensors").items) {
    const auto* name = std::get_if<std::string>(&heap_[key]);
    if (name == nullptr || !names.contains(*name) || !std::holds_alternative<Dict>(heap_[value]))
      continue;
    if (!under.empty())
      refuse("holds two models, under '" + under + "' and under '" + *name +
             "'; save one of them alone");
    under = *name;
    found = value;
  }
  return found;
}

// Then its entries. Each has to be a tensor of numbers that a weight can have.

std::vector<PickledTensor> PickleMachine::state_dict(Ref dict) {
  std::vector<PickledTensor> tensors;
  std::unordered_set<std::string> names;
  for (const auto& [key, value] : as<Dict>(dict, "a dict of tensors").items) {
    const std::string& name = as<std::string>(key, "a tensor's name");
    const std::string which = std::string("'").append(name, 0, 200).append("'");
    if (!names.insert(name).second) refuse("tensor " + which + " comes twice");
    const View* view = std::get_if<View>(&heap_[value]);
    if (view == nullptr) refuse("expected a tensor under the key " + which + ", got " + kind_of(value));
    if (!view->storage.kind.type) refuse("tensor " + which + " holds whole numbers, no weights");
    tensors.push_back({name, view->storage.key, *view->storage.kind.type, view->storage.size,
                       view->offset, view->shape, view->strides});
  }
  return tensors;
}

}  // namespace

std::vector<PickledTensor> read_state_dict(std::span<const std::byte> pickle,
                                           const std::string& where) {
  if (pickle.size() > longest_pickle)
    throw FileError(where + ": pickle of " + std::to_string(pickle.size()) + " bytes, more than the " +
                    std::to_string(longest_pickle) + " that are read");
  return PickleMachine(pickle, where).run();
}

// ### Writing a pickle
//
// The way back is to emit the same few instructions, those of protocol 2. The memo is not needed:
// torch.load() keeps one storage for each *key*, so two tensors that name the same key share their
// numbers again without it.

//: fold Texts, numbers, sizes
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

// The whole is a dict whose entries are calls.

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
