// ## The other format: a zip of a pickle {#language_model_zip}
//
// The published Mamba-2 models come as `pytorch_model.bin`. Rename it to `.zip` and any archive
// tool opens it:
//
// ::: figure pytorch_layout
// What torch.save() writes. The pickle is a program that, when run, builds a dictionary of tensors;
// each names a file of the archive for its numbers.
// :::
//
// There is one file `data.pkl`, which says what the tensors are called and how they look, and one
// file of plain numbers for each *storage*. Two tensors may share a storage; that is how a tied
// head costs nothing. The files are stored uncompressed, so the numbers can be used where they lie.
//
// ### The archive
//
// A zip file is read from its end. There lies a small *end record* that says where the **central
// directory** begins; the directory lists every file with its name, its size and the place of its
// **local header**, and behind the local header come the bytes. So every fact is written down
// twice, and a hostile archive says two different things. We believe the central directory, check
// it against the local headers, and refuse what disagrees.
//
// The fields are little-endian and unaligned. A small reader that knows where the file ends takes
// care of both.

#include <mamba2/error.hpp>
#include <mamba2/zip.hpp>

#include <algorithm>
#include <array>
#include <cstring>
#include <unordered_set>

namespace mamba2 {

namespace {

class Bytes {  // reads fields, refuses to read past the end
 public:
  Bytes(std::span<const std::byte> file, const std::string& where) : file_(file), where_(where) {}

  [[noreturn]] void refuse(std::size_t at, const std::string& reason) const {
    throw FileError(where_ + ": at byte " + std::to_string(at) + ": " + reason);
  }
  template <class Integer>
  Integer get(std::size_t at) const {
    Integer value;
    require(at, sizeof(Integer));
    std::memcpy(&value, file_.data() + at, sizeof(Integer));
    return value;
  }
  std::string text(std::size_t at, std::size_t length) const {
    require(at, length);
    return {reinterpret_cast<const char*>(file_.data()) + at, length};
  }
  void require(std::size_t at, std::size_t length) const {
    if (at > file_.size() || length > file_.size() - at)
      refuse(at, "the archive ends too early; truncated?");
  }
  std::size_t size() const { return file_.size(); }

 private:
  std::span<const std::byte> file_;
  const std::string& where_;
};

constexpr std::uint32_t local_signature = 0x04034b50, central_signature = 0x02014b50,
                        end_signature = 0x06054b50;
constexpr std::uint32_t end64_signature = 0x06064b50, locator64_signature = 0x07064b50;

struct Directory {
  std::size_t begin, size, entries;
};

// The end record is 22 bytes long, and a comment of up to 65535 may follow it. Sizes in it have 32
// bits. An archive beyond four gigabytes, and every one that PyTorch writes, has a second end
// record with 64-bit fields, found by way of a *locator* just before the first.

Directory find_directory(const Bytes& file) {
  if (file.size() < 22) file.refuse(0, "too short for a zip archive");
  std::size_t end = file.size() - 22;
  const std::size_t lowest = end > 65535 ? end - 65535 : 0;
  while (file.get<std::uint32_t>(end) != end_signature ||
         file.get<std::uint16_t>(end + 20) != file.size() - end - 22) {
    if (end == lowest) file.refuse(0, "no zip archive, or a truncated one: it has no end record");
    --end;
  }
  Directory directory{file.get<std::uint32_t>(end + 16), file.get<std::uint32_t>(end + 12),
                      file.get<std::uint16_t>(end + 10)};
  if (end >= 20 && file.get<std::uint32_t>(end - 20) == locator64_signature) {
    const auto end64 = file.get<std::uint64_t>(end - 12);
    if (end64 > end - 20 || file.get<std::uint32_t>(end64) != end64_signature)
      file.refuse(end - 12, "the zip64 end record is not where it should be");
    directory = {file.get<std::uint64_t>(end64 + 48), file.get<std::uint64_t>(end64 + 40),
                 file.get<std::uint64_t>(end64 + 32)};
  }
  if (directory.begin > end || directory.size > end - directory.begin)
    file.refuse(end, "the central directory does not lie within the archive");
  if (directory.entries > directory.size / 46)
    file.refuse(
        end, "the central directory is too short for " + std::to_string(directory.entries) + " files");
  return directory;
}

// A directory entry whose sizes do not fit into 32 bits holds `0xffffffff` in their place, and the
// true ones in an *extra field* of kind 1, in a fixed order: size, stored size, place of the local
// header; only those that are needed.

struct CentralEntry {
  std::string name;
  std::uint64_t stored_size, size, header;
  std::size_t length;  // of this entry in the directory
};

void read_zip64_field(const Bytes& file, std::size_t at, std::size_t length, CentralEntry& entry) {
  for (const std::size_t end = at + length; at + 4 <= end;) {
    const auto kind = file.get<std::uint16_t>(at);
    const std::size_t size = file.get<std::uint16_t>(at + 2);
    if (size > end - at - 4) file.refuse(at, "an extra field is longer than its place");
    at += 4;
    std::size_t field = at;
    if (kind == 1)
      for (std::uint64_t* value : {&entry.size, &entry.stored_size, &entry.header})
        if (*value == 0xffffffff && field + 8 <= at + size) {
          *value = file.get<std::uint64_t>(field);
          field += 8;
        }
    at += size;
  }
}

CentralEntry read_central_entry(const Bytes& file, std::size_t at) {
  if (file.get<std::uint32_t>(at) != central_signature)
    file.refuse(at, "no entry of the central directory");
  const auto flags = file.get<std::uint16_t>(at + 8), method = file.get<std::uint16_t>(at + 10);
  const std::size_t name = file.get<std::uint16_t>(at + 28), extra = file.get<std::uint16_t>(at + 30);
  const std::size_t comment = file.get<std::uint16_t>(at + 32);
  CentralEntry entry{file.text(at + 46, name), file.get<std::uint32_t>(at + 20),
                     file.get<std::uint32_t>(at + 24), file.get<std::uint32_t>(at + 42),
                     46 + name + extra + comment};
  file.require(at, entry.length);
  read_zip64_field(file, at + 46 + name, extra, entry);
  if ((flags & 1) != 0) file.refuse(at, "file '" + entry.name + "' is encrypted");
  if (method != 0)
    file.refuse(at, "file '" + entry.name + "' is compressed (method " + std::to_string(method) +
                        "); PyTorch stores its files uncompressed, and nothing else is read");
  if (entry.stored_size != entry.size)
    file.refuse(at, "file '" + entry.name + "' claims " + std::to_string(entry.size) +
                        " bytes and stores " + std::to_string(entry.stored_size));
  return entry;
}

// The bytes of a file begin behind its local header, which has the name once more and a field of
// its own length. PyTorch pads that field so that the numbers begin at a multiple of 64.

ZipEntry locate(const Bytes& file, const CentralEntry& entry, std::size_t end) {
  if (entry.header > end || end - entry.header < 30 ||
      file.get<std::uint32_t>(entry.header) != local_signature)
    file.refuse(std::min<std::size_t>(entry.header, end),
                "file '" + entry.name + "' has no local header here");
  const std::size_t name = file.get<std::uint16_t>(entry.header + 26);
  const std::size_t offset = entry.header + 30 + name + file.get<std::uint16_t>(entry.header + 28);
  if (file.text(entry.header + 30, name) != entry.name)
    file.refuse(entry.header,
                "the local header names another file than the central directory, '" + entry.name + "'");
  if (offset > end || entry.size > end - offset)
    file.refuse(entry.header, "file '" + entry.name + "' of " + std::to_string(entry.size) +
                                  " bytes reaches into the central directory or beyond the archive");
  return {entry.name, offset, static_cast<std::size_t>(entry.size)};
}

}  // namespace

// No two files may share a byte: a *zip bomb* of the newer kind lets thousands of entries overlap,
// so that a small archive claims to be huge.

std::vector<ZipEntry> read_zip(std::span<const std::byte> archive, const std::string& where) {
  const Bytes file(archive, where);
  const Directory directory = find_directory(file);
  std::vector<ZipEntry> entries;
  std::unordered_set<std::string> names;
  std::size_t at = directory.begin;
  for (std::size_t i = 0; i < directory.entries; ++i) {
    const CentralEntry entry = read_central_entry(file, at);
    if (at + entry.length > directory.begin + directory.size)
      file.refuse(at, "the central directory ends too early");
    if (!names.insert(entry.name).second) file.refuse(at, "file '" + entry.name + "' comes twice");
    entries.push_back(locate(file, entry, directory.begin));
    at += entry.length;
  }
  std::sort(entries.begin(), entries.end(), [](const auto& a, const auto& b) {
    return std::pair(a.offset, a.size) < std::pair(b.offset, b.size);
  });
  for (std::size_t i = 1; i < entries.size(); ++i)
    if (entries[i].offset < entries[i - 1].offset + entries[i - 1].size)
      file.refuse(entries[i].offset,
                  "files '" + entries[i - 1].name + "' and '" + entries[i].name + "' overlap");
  return entries;
}

// ### Writing an archive
//
// Each file needs a check sum. CRC-32 reads the bytes as the coefficients of one long polynomial
// over the field of two elements and keeps the remainder of a division; a table of 256 remainders
// does eight bits at a time. (Reading, we leave it alone: PyTorch does not check it either, and may
// be told not to compute it.)

std::uint32_t crc32(std::span<const std::byte> bytes, std::uint32_t crc) {
  static const auto table = [] {
    std::array<std::uint32_t, 256> remainders{};
    for (std::uint32_t i = 0; i < 256; ++i) {
      std::uint32_t value = i;
      for (int bit = 0; bit < 8; ++bit) value = (value >> 1) ^ ((value & 1) != 0 ? 0xedb88320u : 0u);
      remainders[i] = value;
    }
    return remainders;
  }();
  crc = ~crc;
  for (const std::byte b : bytes)
    crc = (crc >> 8) ^ table[(crc ^ static_cast<std::uint32_t>(b)) & 0xff];
  return ~crc;
}

// A header is a run of little-endian fields. Size and sum of a file are known only when its last
// byte is written; so its local header is written with zeros and corrected afterwards. Where a
// number does not fit into 32 bits, the zip64 field takes it.

namespace {

class Fields {
 public:
  template <class... Integers>
  explicit Fields(Integers... fields) {
    (append(fields), ...);
  }
  template <class Integer>
  void append(Integer field) {
    const auto bytes = std::as_bytes(std::span(&field, 1));
    bytes_.insert(bytes_.end(), bytes.begin(), bytes.end());
  }
  operator std::span<const std::byte>() const { return bytes_; }
  std::size_t size() const { return bytes_.size(); }

 private:
  std::vector<std::byte> bytes_;
};

using U16 = std::uint16_t;
using U32 = std::uint32_t;
using U64 = std::uint64_t;

U32 at_most_32_bits(std::size_t value) {
  return value < 0xffffffff ? static_cast<U32>(value) : 0xffffffff;
}

}  // namespace

void ZipWriter::begin(const std::string& name) {
  end();
  open_ = true;
  entries_.push_back({name, file_.size(), 0, 0});
  const std::size_t unpadded =
      file_.size() + 30 + name.size() + 20 + 4;  // 20: the zip64 field, 4: head of the padding
  const std::size_t padding = (64 - unpadded % 64) % 64;
  file_.write(Fields(local_signature, U16{45}, U16{0x0800}, U16{0}, U32{0}, U32{0}, U32{0xffffffff},
                     U32{0xffffffff}, static_cast<U16>(name.size()),
                     static_cast<U16>(20 + 4 + padding)));
  file_.write(name);
  file_.write(Fields(U16{1}, U16{16}, U64{0}, U64{0}));
  file_.write(Fields(U16{0x4246}, static_cast<U16>(padding)));
  file_.write(std::string(padding, 'Z'));
}

void ZipWriter::append(std::span<const std::byte> bytes) {
  Entry& entry = entries_.back();
  entry.crc = crc32(bytes, entry.crc);
  entry.size += bytes.size();
  file_.write(bytes);
}

void ZipWriter::end() {
  if (!std::exchange(open_, false)) return;
  const Entry& entry = entries_.back();
  file_.overwrite(entry.header + 14, Fields(entry.crc));
  file_.overwrite(entry.header + 30 + entry.name.size() + 4, Fields(U64{entry.size}, U64{entry.size}));
}

void ZipWriter::finish() {
  end();
  const std::size_t begin = file_.size();
  for (const Entry& entry : entries_) {
    Fields zip64(U16{1}, U16{0});
    for (const std::size_t value : {entry.size, entry.size, entry.header})
      if (value >= 0xffffffff) zip64.append(U64{value});
    const auto extra = static_cast<U16>(zip64.size() > 4 ? zip64.size() : 0);
    file_.write(Fields(central_signature, U16{45}, U16{45}, U16{0x0800}, U16{0}, U32{0}, entry.crc,
                       at_most_32_bits(entry.size), at_most_32_bits(entry.size),
                       static_cast<U16>(entry.name.size()), extra, U16{0}, U16{0}, U16{0}, U32{0},
                       at_most_32_bits(entry.header)));
    file_.write(entry.name);
    if (extra == 0) continue;
    const std::span<const std::byte> field = zip64;
    file_.write(Fields(U16{1}, static_cast<U16>(extra - 4)));
    file_.write(field.subspan(4));
  }
  const std::size_t size = file_.size() - begin, end64 = file_.size();
  const U64 count = entries_.size();
  file_.write(Fields(end64_signature, U64{44}, U16{45}, U16{45}, U32{0}, U32{0}, count, count,
                     U64{size}, U64{begin}));
  file_.write(Fields(locator64_signature, U32{0}, U64{end64}, U32{1}));
  const auto short_count = static_cast<U16>(std::min<U64>(count, 0xffff));
  file_.write(Fields(end_signature, U16{0}, U16{0}, short_count, short_count, at_most_32_bits(size),
                     at_most_32_bits(begin), U16{0}));
}

}  // namespace mamba2
