// ## Files too large to read {#language_model_files}
//
// The weights of `mamba2-130m` fill half a gigabyte, those of `mamba2-2.7b` ten. To read such a
// file into a buffer, and then to convert the buffer into tensors, takes twice the memory that the
// model needs. Instead the file is **mapped**: the system sets aside addresses for it and fetches a
// page of it when one of its bytes is looked at. As soon as a piece is converted, its pages are
// given back. So loading takes little more memory than the model itself.

#include <mamba2/checkpoint.hpp>
#include <mamba2/error.hpp>
#include <mamba2/half.hpp>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <optional>
#include <utility>

#include <fcntl.h>
#include <sys/mman.h>
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
// end. Only a regular file is mapped.

MappedFile::MappedFile(std::filesystem::path path) : path_(std::move(path)) {
  const int descriptor = ::open(path_.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (descriptor < 0) fail_with_errno(path_, "cannot be opened");
  struct stat status {};
  const bool regular = ::fstat(descriptor, &status) == 0 && S_ISREG(status.st_mode);
  void* address = nullptr;
  if (regular && status.st_size > 0) {
    size_ = static_cast<std::size_t>(status.st_size);
    address = ::mmap(nullptr, size_, PROT_READ, MAP_PRIVATE, descriptor, 0);
  }
  ::close(descriptor);
  if (!regular) fail(path_, "is not a regular file");
  if (address == MAP_FAILED) fail_with_errno(path_, "cannot be mapped into memory");
  data_ = static_cast<const std::byte*>(address);
}

MappedFile::~MappedFile() {
  if (data_ != nullptr) ::munmap(const_cast<std::byte*>(data_), size_);
}

// Pages can only be given back whole, so the range shrinks to the pages that lie inside it.

void MappedFile::forget(std::size_t offset, std::size_t length) const {
  const auto page = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
  const std::size_t begin = (offset + page - 1) / page * page, end = (offset + length) / page * page;
  if (begin < end) ::madvise(const_cast<std::byte*>(data_) + begin, end - begin, MADV_DONTNEED);
}

std::string read_text_file(const std::filesystem::path& path, std::size_t limit) {
  const MappedFile file(path);
  const auto bytes = file.bytes();
  if (bytes.size() > limit)
    fail(path, "is " + std::to_string(bytes.size()) + " bytes long, more than the " +
                   std::to_string(limit) + " that such a file may have");
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

// ### Reading a tensor {#language_model_read}
//
// Both checkpoint formats below come down to the same thing: a table that says of every tensor how
// its numbers are stored, of what shape it is, and where in the file it begins. That is a
// mamba2::TensorEntry. Where numbers lie in order, the last index fastest, the strides say nothing
// new; but PyTorch can store a view of a tensor, its transpose for example, and then they matter.

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

Checkpoint::Checkpoint(std::vector<std::unique_ptr<MappedFile>> files, std::vector<TensorEntry> tensors)
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
  for (const auto& file : files_) sum += file->bytes().size();
  return sum;
}

// A tensor is read in pieces: rows of its last axes that lie together in the file, at most a
// million numbers at a time, each piece forgotten as soon as it is converted. A view whose last
// stride is not 1 is read number by number. It is slow, and rare.

template <class Real>
void Checkpoint::read(const TensorEntry& entry, std::span<Real> out) const {
  std::size_t size = 0;
  if (!element_count(entry.shape, size) || size != out.size())
    throw ShapeError(path(entry).string() + ": tensor '" + entry.name + "' of shape " +
                     shape_text(entry.shape) + " read into " + std::to_string(out.size()) + " numbers");
  if (size == 0) return;
  const MappedFile& file = *files_[entry.file];
  const std::size_t width = element_size(entry.type), most = std::size_t{1} << 20;

  std::size_t run = 1, outer = entry.shape.size();  // axes from `outer` on lie together: `run` numbers
  while (outer > 0 && (entry.shape[outer - 1] == 1 || entry.strides[outer - 1] == run))
    run *= entry.shape[--outer];

  std::vector<std::size_t> index(outer, 0);
  for (std::size_t done = 0; done < size; done += run) {
    std::size_t first = 0;
    for (std::size_t axis = 0; axis < outer; ++axis) first += index[axis] * entry.strides[axis];
    for (std::size_t i = 0; i < run; i += most) {
      const std::size_t count = std::min(most, run - i), offset = entry.offset + (first + i) * width;
      decode(file.bytes().data() + offset, entry.type, out.subspan(done + i, count));
      file.forget(offset, count * width);
    }
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

NewFile::NewFile(std::filesystem::path path) : path_(std::move(path)), end_(end_of_links(path_)) {
  struct stat status {};
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
  struct stat status {};  // something else may stand there by now
  if (::lstat(end_.c_str(), &status) == 0 && !S_ISREG(status.st_mode)) {
    errno = EEXIST;
    undo("cannot be put in place");
  }
  if (::rename(aside_.c_str(), end_.c_str()) != 0) undo("cannot be put in place");
  release_slot(std::exchange(slot_, -1));
}

// The numbers of a tensor go the way back, from `Real` to bytes.

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
