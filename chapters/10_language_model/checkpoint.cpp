// ## Files too large to read {#language_model_files}
//
// The weights of `mamba2-130m` fill half a gigabyte, those of `mamba2-2.7b` ten. To read such a
// file into a buffer, and then to convert the buffer into tensors, takes twice the memory that the
// model needs. So a file is read in pieces, each where it is needed: the table at its beginning or
// its end first, and then, for each tensor, its numbers, straight into their place where they are
// stored as they are wanted, through a small buffer where they are not. Loading takes little more
// memory than the model itself.
//
// There is another way, and it is popular: to **map** the file, so that its bytes appear as memory
// and the system fetches a page when one of its bytes is looked at. It saves a copy for whoever
// uses the numbers where they lie; we copy them anyway. And it believes that the file stays as it
// is. If somebody cuts it short while it is mapped, by starting to write a new version say, then
// the pages behind its end are gone, and who looks at one is stopped by the system, without a
// message. A read that comes too late is no worse than an error.

#include <mamba2/checkpoint.hpp>
#include <mamba2/error.hpp>
#include <mamba2/half.hpp>

#include <algorithm>
#include <array>
#include <atomic>
#include <cctype>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <optional>
#include <type_traits>
#include <utility>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

namespace mamba2 {

namespace {

[[noreturn]] void fail(const std::filesystem::path& path, const std::string& reason) {
  throw FileError(path.string() + ": " + reason);
}

[[noreturn]] void fail_with_errno(const std::filesystem::path& path, const std::string& what) {
  fail(path, what + ": " + std::strerror(errno));
}

}  // namespace

// Opening is the first place to be careful. A directory handed to us may hold anything under the
// name `model.safetensors`: a pipe, at which a reader would wait for ever, or a device without an
// end. Only a regular file is read.

InputFile::InputFile(std::filesystem::path path) : path_(std::move(path)) {
  descriptor_ = ::open(path_.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (descriptor_ < 0) fail_with_errno(path_, "cannot be opened");
  struct stat status{};
  const bool regular = ::fstat(descriptor_, &status) == 0 && S_ISREG(status.st_mode);
  if (!regular) ::close(descriptor_);
  if (!regular) fail(path_, "is not a regular file");
  size_ = static_cast<std::size_t>(status.st_size);
}

InputFile::InputFile(std::string name, std::span<const std::byte> bytes)
    : path_(std::move(name)), size_(bytes.size()), memory_(bytes.data()) {}

InputFile::~InputFile() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

// One call may bring less than was asked for, so there is a loop. If it brings nothing, the file
// has ended, and earlier than its length said when it was opened.

void InputFile::read(std::size_t offset, std::span<std::byte> out) const {
  if (offset > size_ || out.size() > size_ - offset)
    fail(path_, "ends too early: at byte " + std::to_string(size_) + ", before byte " +
                    std::to_string(offset) + " and the " + std::to_string(out.size()) +
                    " bytes from there");
  if (descriptor_ < 0) return void(std::copy_n(memory_ + offset, out.size(), out.begin()));
  for (std::size_t done = 0; done < out.size();) {
    const ssize_t got =
        ::pread(descriptor_, out.data() + done, out.size() - done, static_cast<off_t>(offset + done));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) fail_with_errno(path_, "cannot be read");
    if (got == 0)
      fail(path_, "has become shorter while it was read: it ends before byte " +
                      std::to_string(offset + done) + ", and had " + std::to_string(size_));
    done += static_cast<std::size_t>(got);
  }
}

std::string InputFile::text(std::size_t offset, std::size_t length) const {
  std::string result(length, '\0');
  read(offset, std::as_writable_bytes(std::span(result)));
  return result;
}

std::string read_text_file(const std::filesystem::path& path, std::size_t limit) {
  const InputFile file(path);
  if (file.size() > limit)
    fail(path, "is " + std::to_string(file.size()) + " bytes long, more than the " +
                   std::to_string(limit) + " that such a file may have");
  return file.text(0, file.size());
}

// ### What is no model at all {#language_model_stand_in}
//
// The most frequent broken checkpoint is none. Sites that keep models keep large files apart: in
// the repository lies a *pointer*, three lines of text with the true file's length and checksum,
// and a clone without Git LFS gets those. And whoever saves the address of a page instead of the
// file's gets the page. Both deserve a better answer than that a header is broken at byte 17.

void refuse_stand_in(std::string_view beginning, const std::string& where) {
  if (beginning.starts_with("version https://git-lfs.github.com/"))
    throw FileError(where + ": is a pointer of Git LFS, not the file that it points to; fetch that" +
                    " with 'git lfs pull', or download the file itself");
  const std::size_t first = beginning.find_first_not_of(" \t\r\n\xef\xbb\xbf");
  if (first == std::string_view::npos) return;
  std::string tag(beginning.substr(first, 14));
  for (char& c : tag) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  for (const char* start : {"<!doctype html", "<html", "<head", "<?xml", "<!--"})
    if (tag.starts_with(start))
      throw FileError(where + ": is a web page, not the file that should be here; was the page's" +
                      " address downloaded instead of the file's, or a login asked for?");
}

// ### Reading a tensor {#language_model_read}
//
// Both checkpoint formats below come down to the same thing: a table that says of every tensor how
// its numbers are stored, of what shape it is, and where in the file it begins. That is a
// mamba2::TensorEntry. Where numbers lie in order, the last index fastest, the strides say nothing
// new; but PyTorch can store a view of a tensor, its transpose for example, and then they matter.

//: fold Sizes and names
std::size_t element_size(ElementType type) {
  switch (type) {
    case ElementType::float16:
    case ElementType::bfloat16:
      return 2;
    case ElementType::float64:
      return 8;
    case ElementType::float32:
      break;
  }
  return 4;
}

const char* element_name(ElementType type) {
  switch (type) {
    case ElementType::float16:
      return "float16";
    case ElementType::bfloat16:
      return "bfloat16";
    case ElementType::float64:
      return "float64";
    case ElementType::float32:
      break;
  }
  return "float32";
}

// A shape that somebody else wrote is a claim, not a fact. The product of three large sizes can
// overflow and come out small; so every product is checked.

bool element_count(const std::vector<std::size_t>& shape, std::size_t& size) {
  size = 1;
  for (const std::size_t extent : shape)
    if (__builtin_mul_overflow(size, extent, &size)) return false;
  return true;
}

std::vector<std::size_t> contiguous_strides(const std::vector<std::size_t>& shape) {
  std::vector<std::size_t> strides(shape.size(), 1);
  for (std::size_t axis = shape.size(); axis-- > 1;) strides[axis - 1] = strides[axis] * shape[axis];
  return strides;
}

// Bytes become numbers one kind at a time. `memcpy` is how C++ says "these bytes are a float": it
// compiles to a plain load, and does not mind where in the file the number lies.

//: fold Four kinds of numbers
namespace {

template <class Stored, class Real, class Convert>
void decode(const std::byte* bytes, std::span<Real> out, Convert convert) {
  for (std::size_t i = 0; i < out.size(); ++i) {
    Stored stored;
    std::memcpy(&stored, bytes + i * sizeof(Stored), sizeof(Stored));
    out[i] = static_cast<Real>(convert(stored));
  }
}

template <class Real>
void decode(const std::byte* bytes, ElementType type, std::span<Real> out) {
  const auto same = [](auto value) { return value; };
  switch (type) {
    case ElementType::float32:
      return decode<float>(bytes, out, same);
    case ElementType::float64:
      return decode<double>(bytes, out, same);
    case ElementType::float16:
      return decode<std::uint16_t>(bytes, out, float16_to_float);
    case ElementType::bfloat16:
      return decode<std::uint16_t>(bytes, out, bfloat16_to_float);
  }
}

}  // namespace

// A checkpoint is its files and the table of what lies in them, sorted by name.

//: fold The table
Checkpoint::Checkpoint(std::vector<std::unique_ptr<InputFile>> files, std::vector<TensorEntry> tensors)
    : files_(std::move(files)), tensors_(std::move(tensors)) {
  std::sort(tensors_.begin(), tensors_.end(),
            [](const auto& a, const auto& b) { return a.name < b.name; });
}

const TensorEntry* Checkpoint::find(const std::string& name) const {
  const auto place = std::lower_bound(
      tensors_.begin(), tensors_.end(), name,
      [](const TensorEntry& entry, const std::string& key) { return entry.name < key; });
  return place != tensors_.end() && place->name == name ? &*place : nullptr;
}

std::size_t Checkpoint::bytes() const {
  std::size_t sum = 0;
  for (const auto& file : files_) sum += file->size();
  return sum;
}

// Numbers that lie one after the other are read together. If they are stored as they are wanted,
// they go straight to their place; otherwise through a buffer, small enough to stay in the fastest
// memory while it is converted.

namespace {

template <class Real>
void read_run(const InputFile& file, std::size_t offset, ElementType type, std::span<Real> out) {
  const bool as_wanted =
      type == (std::is_same_v<Real, double> ? ElementType::float64 : ElementType::float32);
  if (as_wanted) return file.read(offset, std::as_writable_bytes(out));
  constexpr std::size_t piece = std::size_t{1} << 16;
  const std::size_t width = element_size(type);
  std::vector<std::byte> buffer(std::min(piece, out.size()) * width);
  for (std::size_t i = 0; i < out.size(); i += piece) {
    const std::size_t count = std::min(piece, out.size() - i);
    const auto bytes = std::span(buffer).first(count * width);
    file.read(offset + i * width, bytes);
    decode(bytes.data(), type, out.subspan(i, count));
  }
}

}  // namespace

// The last axes of a tensor usually lie together, all of them as a rule: a *run* of numbers for
// each place of the other axes.

template <class Real>
void Checkpoint::read(const TensorEntry& entry, std::span<Real> out) const {
  std::size_t size = 0;
  if (!element_count(entry.shape, size) || size != out.size())
    throw ShapeError(path(entry).string() + ": tensor '" + entry.name + "' of shape " +
                     shape_text(entry.shape) + " read into " + std::to_string(out.size()) + " numbers");
  if (size == 0) return;
  std::size_t run = 1, outer = entry.shape.size();  // axes from `outer` on lie together: `run` numbers
  while (outer > 0 && (entry.shape[outer - 1] == 1 || entry.strides[outer - 1] == run))
    run *= entry.shape[--outer];
  const auto read_at = [&](std::size_t first, std::span<Real> numbers) {
    read_run(*files_[entry.file], entry.offset + first * element_size(entry.type), entry.type, numbers);
  };

  // A transpose has no runs; it is read whole, and its numbers are picked from there.
  std::size_t reach = 1;
  for (std::size_t axis = 0; axis < entry.shape.size(); ++axis)
    reach += (entry.shape[axis] - 1) * entry.strides[axis];
  std::vector<Real> whole(run == 1 && outer > 0 && reach <= 2 * size ? reach : 0);
  if (!whole.empty()) read_at(0, whole);

  std::vector<std::size_t> index(outer, 0);
  for (std::size_t done = 0; done < size; done += run) {
    std::size_t first = 0;
    for (std::size_t axis = 0; axis < outer; ++axis) first += index[axis] * entry.strides[axis];
    if (whole.empty())
      read_at(first, out.subspan(done, run));
    else
      out[done] = whole[first];
    for (std::size_t axis = outer; axis-- > 0 && ++index[axis] == entry.shape[axis];) index[axis] = 0;
  }
}

// ### Writing aside {#language_model_new_file}
//
// Half a checkpoint is worse than none, above all if it has replaced the last good one. So a file
// is written under another name beside its place, flushed to the disk, and renamed at the very end.
// Renaming happens at once: whoever looks sees the old file or the new one, never something in
// between.
//
// But a name need not belong to a file. It can be a link to one: then the file at the end of the
// links is meant, and the link has to stay. It can be a pipe or a device, `/dev/null` for example,
// and to rename a file onto *that* would be a fine mess: all programs of the machine would write
// into our file from then on. Or it is `/dev/stdout`, which is one of the program's own
// descriptors. Nothing of this kind can be put in place; it is written straight. So the first
// question is where a name leads.

//: fold Where a name leads
namespace {

/// The descriptor that a name such as /dev/stdout or /dev/fd/3 stands for.
std::optional<int> own_descriptor(const std::filesystem::path& path) {
  std::error_code error;
  const auto folder =
      std::filesystem::canonical(path.has_parent_path() ? path.parent_path() : ".", error);
  if (error || folder != std::filesystem::canonical("/proc/self/fd", error)) return std::nullopt;
  const std::string name = path.filename();
  int number = -1;
  const auto [end, failed] = std::from_chars(name.data(), name.data() + name.size(), number);
  if (failed != std::errc() || end != name.data() + name.size()) return std::nullopt;
  return number;
}

/// What stands at the end of all links. It need not exist.
std::filesystem::path end_of_links(std::filesystem::path path) {
  constexpr int most = 40;  // as many as the system follows
  std::error_code error;
  for (int links = 0; !own_descriptor(path) && std::filesystem::is_symlink(path, error); ++links) {
    if (links == most) fail(path, "cannot be written: a circle of links");
    path = path.parent_path() / std::filesystem::read_symlink(path);
  }
  return path;
}

}  // namespace

// If the program is stopped from outside, by Ctrl-C say, no destructor runs. A handler of signals
// may do very little, but it may remove a file. So the names of files being written are kept where
// a handler can read them.

//: fold Names that a handler can read
namespace {

struct Unfinished {
  std::atomic<bool> in_use{false};
  std::atomic<bool> on_disk{false};
  char path[4096] = {};
};
std::array<Unfinished, 4> unfinished;

int claim_slot(const std::string& path) {
  for (std::size_t i = 0; i < unfinished.size(); ++i) {
    bool free = false;
    if (path.size() >= sizeof(unfinished[i].path) ||
        !unfinished[i].in_use.compare_exchange_strong(free, true))
      continue;
    std::memcpy(unfinished[i].path, path.c_str(), path.size() + 1);
    unfinished[i].on_disk = true;
    return static_cast<int>(i);
  }
  return -1;
}

void release_slot(int slot) {
  if (slot < 0) return;
  unfinished[static_cast<std::size_t>(slot)].on_disk = false;
  unfinished[static_cast<std::size_t>(slot)].in_use = false;
}

}  // namespace

void remove_unfinished_files() noexcept {
  for (auto& file : unfinished)
    if (file.on_disk) ::unlink(file.path);
}

// The file aside must be a new one: had somebody put a link there, we would write through it. It
// gets the permissions of the file that it will replace, and a file that may not be written is not
// replaced either.

//: fold Opening, and giving up
NewFile::NewFile(std::filesystem::path path) : path_(std::move(path)), end_(end_of_links(path_)) {
  struct stat status{};
  const bool exists = ::stat(end_.c_str(), &status) == 0;
  if (const auto own = own_descriptor(end_)) {
    descriptor_ = ::fcntl(*own, F_DUPFD_CLOEXEC, 0);
  } else if (exists && !S_ISREG(status.st_mode)) {
    descriptor_ = ::open(end_.c_str(), O_WRONLY | O_CLOEXEC | O_NOCTTY);
  } else if (!exists || ::access(end_.c_str(), W_OK) == 0) {
    static std::atomic<unsigned> count{0};
    aside_ = end_;
    aside_ += ".partial-" + std::to_string(::getpid()) + "-" + std::to_string(count++);
    slot_ = claim_slot(aside_.string());
    descriptor_ = ::open(aside_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (descriptor_ >= 0 && exists) ::fchmod(descriptor_, status.st_mode & 0777);
  }
  if (descriptor_ >= 0) return;
  release_slot(slot_);
  fail_with_errno(path_, "cannot be written");
}

NewFile::~NewFile() {
  if (descriptor_ >= 0) ::close(descriptor_);
  if (descriptor_ >= 0 && !aside_.empty()) ::unlink(aside_.c_str());
  release_slot(slot_);
}

// A device may take less at a time than it is offered. It may also be full, and says so at any
// time, even when it is closed. None of the answers is passed over.

void NewFile::write(std::span<const std::byte> bytes) {
  for (std::size_t done = 0; done < bytes.size();) {
    const ssize_t count = ::write(descriptor_, bytes.data() + done, bytes.size() - done);
    if (count < 0 && errno != EINTR) fail_with_errno(path_, "cannot be written");
    if (count > 0) done += static_cast<std::size_t>(count);
  }
  size_ += bytes.size();
}

void NewFile::write(const std::string& text) {
  write(std::as_bytes(std::span(text)));
}

void NewFile::overwrite(std::size_t offset, std::span<const std::byte> bytes) {
  for (std::size_t done = 0; done < bytes.size();) {
    const ssize_t count = ::pwrite(descriptor_, bytes.data() + done, bytes.size() - done,
                                   static_cast<off_t>(offset + done));
    if (count < 0 && errno != EINTR) fail_with_errno(path_, "cannot be written");
    if (count > 0) done += static_cast<std::size_t>(count);
  }
}

// At the end the file is put in place. Each of the steps can fail, and then the file aside is
// removed.

void NewFile::commit() {
  const bool straight = aside_.empty();  // pipes and devices need not know how to flush
  const bool flushed = straight || ::fsync(descriptor_) == 0;
  if (!flushed) fail_with_errno(path_, "cannot be written");
  const bool closed = ::close(std::exchange(descriptor_, -1)) == 0;
  const auto undo = [&](const std::string& what) {
    const int reason = errno;
    if (!straight) ::unlink(aside_.c_str());
    errno = reason;
    fail_with_errno(path_, what);
  };
  if (!closed) undo("cannot be written");
  if (straight) return;
  struct stat status{};  // something else may stand there by now
  if (::lstat(end_.c_str(), &status) == 0 && !S_ISREG(status.st_mode)) {
    errno = EEXIST;
    undo("cannot be put in place");
  }
  if (::rename(aside_.c_str(), end_.c_str()) != 0) undo("cannot be put in place");
  release_slot(std::exchange(slot_, -1));
}

// The numbers of a tensor go the way back, from `Real` to bytes.

//: fold From numbers to bytes
template <class Real>
std::vector<std::byte> encode(std::span<const Real> values, ElementType type) {
  const std::size_t width = element_size(type);
  std::vector<std::byte> bytes(values.size() * width);
  const auto store = [&](auto convert) {
    for (std::size_t i = 0; i < values.size(); ++i) {
      const auto stored = convert(values[i]);
      std::memcpy(bytes.data() + i * width, &stored, width);
    }
  };
  switch (type) {
    case ElementType::float32:
      store([](Real v) { return static_cast<float>(v); });
      break;
    case ElementType::float64:
      store([](Real v) { return static_cast<double>(v); });
      break;
    case ElementType::float16:
      store([](Real v) { return float_to_float16(static_cast<float>(v)); });
      break;
    case ElementType::bfloat16:
      store([](Real v) { return float_to_bfloat16(static_cast<float>(v)); });
      break;
  }
  return bytes;
}

template void Checkpoint::read(const TensorEntry&, std::span<float>) const;
template void Checkpoint::read(const TensorEntry&, std::span<double>) const;
template std::vector<std::byte> encode(std::span<const float>, ElementType);
template std::vector<std::byte> encode(std::span<const double>, ElementType);

}  // namespace mamba2
