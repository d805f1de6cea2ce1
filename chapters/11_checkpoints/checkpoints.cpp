// # Files from strangers {#ch_checkpoints}
// @summary PyTorch's checkpoints: an archive with two tables of contents, a pickle that is a program, and a reader that trusts neither.
//
// The models that one wants to run were trained by somebody else, and what is left of that is a
// file. Most of the published Mamba-2 models come as `pytorch_model.bin`. That is a zip archive,
// and in it lies a *pickle*: a small program that builds a table of tensors when it is run. Python
// runs it. It can do whatever Python can do, and files have been found in public collections of
// models that did.
//
// This chapter reads such a file without running it, and believes nothing that it says. The method
// is worth more than the format: know every claim, check each where it is made, and have nothing in
// the machine that could do harm.
//
// ::: aside You may skip this chapter
// Nothing after it explains itself by it. The programs of later chapters can read one more kind of
// file; that is all. Come back when you write a reader of your own, for any format.
// :::
//
// ## What it builds on {#checkpoints_builds_on}
//
// @Chapter{language_model} for mamba2::InputFile and mamba2::NewFile, for mamba2::TensorEntry,
// which says where a tensor's numbers lie, and for the list of kinds of files, which grows by one.
//
// ## Shapes {#checkpoints_shapes}
//
// ::: shapes The names of this chapter
// | name | shape | what it is |
// |---|---|---|
// | storage | (storage_size) | numbers in a row, a file of the archive; several tensors may share one |
// | offset | scalar | the place in its storage of a tensor's first number |
// | shape $s$ | (axes) | the sizes of a tensor, outermost first |
// | strides $d$ | (axes) | how many numbers further the next entry along each axis lies |
// :::
//
// A tensor is a view of its storage: the entry with indices $i_1, i_2, \dots$ is the number
//
// $$ \mathrm{offset} + \sum_k i_k d_k $$ {#eq:view}
//
// of it. So a transpose needs no numbers of its own, and neither does a tied head.
//
// ## Six files, six lies {#checkpoints_lies}
//
// What can a file say that is not true? Here are six that the program of this chapter makes, each
// of them valid but for one claim, and what the reader says to them. The name of the file, with
// which each message begins, is short here.
//
// @output lies
//
// The first two are attacks. Loaded by a reader that runs what it finds, such a file would have run
// a command; the second hides its name from whoever searches for it. The next two would have made a
// careless reader in C++ read memory that is not its own. The last two are archives that tell
// different readers different things. None of the messages comes from a crash that was caught. Each
// is a comparison that was made before the number was used.
//
// ## A zip of a pickle {#checkpoints_zip}
//
// Rename `pytorch_model.bin` to `.zip` and any archive tool opens it:
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
// ### The archive {#checkpoints_archive}
//
// A zip file is read from its end. There lies a small *end record* that says where the **central
// directory** begins; the directory lists every file with its name, its size and the place of its
// **local header**, and behind the local header come the bytes. So every fact is written down
// twice, and a hostile archive says two different things: one program shows a harmless file,
// another reads a different one.
//
// ::: figure two_stories
// An archive that tells two stories. Who begins at the end, with the central directory, finds a
// `data.pkl` of 24 bytes; who walks from header to header meets another of that name first. A
// scanner that does the one does not see what a loader that does the other will load.
// :::
//
// We read both, and refuse what disagrees.
//
// The fields are little-endian and unaligned. A small reader that knows where its bytes end takes
// care of both. It holds a piece of the archive, and knows where in the file the piece began, so
// that messages can say it.

#include <mamba2/error.hpp>
#include <mamba2/zip.hpp>

#include <algorithm>
#include <array>
#include <cstring>
#include <unordered_set>

namespace mamba2 {

namespace {

class Piece {  // of an archive; reads fields, refuses to read past its end
 public:
  Piece(const InputFile& file, std::size_t begin, std::size_t length)
      : file_(file), begin_(begin), bytes_(file.text(begin, length)) {}

  [[noreturn]] void refuse(std::size_t at, const std::string& reason) const {
    throw FileError(file_.path().string() + ": at byte " + std::to_string(at) + ": " + reason);
  }
  template <class Integer>
  Integer get(std::size_t at) const {  // the place in the file
    Integer value;
    std::memcpy(&value, bytes_.data() + place(at, sizeof(Integer)), sizeof(Integer));
    return value;
  }
  std::string text(std::size_t at, std::size_t length) const {
    return bytes_.substr(place(at, length), length);
  }
  std::size_t place(std::size_t at, std::size_t length) const {
    if (at < begin_ || at - begin_ > bytes_.size() || length > bytes_.size() - (at - begin_))
      refuse(at, "the archive ends too early; truncated?");
    return at - begin_;
  }

 private:
  const InputFile& file_;
  std::size_t begin_;
  std::string bytes_;
};

// Each kind of record begins with a signature of four bytes. How large a directory may be is a
// limit of ours: no model has so many tensors, and the directory is read into memory.

constexpr std::uint32_t local_signature = 0x04034b50, central_signature = 0x02014b50,
                        end_signature = 0x06054b50;
constexpr std::uint32_t end64_signature = 0x06064b50, locator64_signature = 0x07064b50;
constexpr std::size_t largest_directory = std::size_t{64} << 20;

struct Directory {
  std::size_t begin, size, entries;
};

// The end record is 22 bytes long, and a comment of up to 65535 may follow it. Sizes in it have 32
// bits. An archive beyond four gigabytes, and every one that PyTorch writes, has a second end
// record with 64-bit fields, found by way of a *locator* just before the first.

//: fold From the end to the directory
Directory read_end64(const InputFile& file, const Piece& tail, std::size_t locator) {
  const auto end64 = tail.get<std::uint64_t>(locator + 8);
  if (end64 > locator || locator - end64 < 56)
    tail.refuse(locator, "the zip64 end record is not where it should be");
  const Piece record(file, end64, 56);
  if (record.get<std::uint32_t>(end64) != end64_signature)
    tail.refuse(locator, "the zip64 end record is not where it should be");
  return {record.get<std::uint64_t>(end64 + 48), record.get<std::uint64_t>(end64 + 40),
          record.get<std::uint64_t>(end64 + 32)};
}

Directory find_directory(const InputFile& file) {
  const std::size_t length = std::min<std::size_t>(file.size(), 65535 + 22 + 20);
  const Piece tail(file, file.size() - length, length);
  if (file.size() < 22) tail.refuse(0, "too short for a zip archive");
  std::size_t end = file.size() - 22;
  const std::size_t lowest = end > 65535 ? end - 65535 : 0;
  while (tail.get<std::uint32_t>(end) != end_signature ||
         tail.get<std::uint16_t>(end + 20) != file.size() - end - 22) {
    if (end == lowest) tail.refuse(0, "no zip archive, or a truncated one: it has no end record");
    --end;
  }
  Directory directory{tail.get<std::uint32_t>(end + 16), tail.get<std::uint32_t>(end + 12),
                      tail.get<std::uint16_t>(end + 10)};
  if (end >= 20 && tail.get<std::uint32_t>(end - 20) == locator64_signature)
    directory = read_end64(file, tail, end - 20);
  if (directory.begin > end || directory.size > end - directory.begin)
    tail.refuse(end, "the central directory does not lie within the archive");
  if (directory.entries > directory.size / 46)
    tail.refuse(
        end, "the central directory is too short for " + std::to_string(directory.entries) + " files");
  if (directory.size > largest_directory)
    tail.refuse(end, "the central directory has " + std::to_string(directory.size) +
                         " bytes, more than the " + std::to_string(largest_directory) +
                         " that are read");
  return directory;
}

// A header, central or local, says of its file how it is stored, how large it is and what its check
// sum is. Both kinds have these fields in the same order; the central one has more before and
// behind. A size that does not fit into 32 bits is written as `0xffffffff`, and the true one stands
// in an *extra field* of kind 1, in a fixed order: size, stored size, place of the local header;
// only those that are needed.

//: fold A header, and its zip64 field
struct Header {
  std::string name;
  std::uint16_t flags, method;
  std::uint32_t crc;
  std::uint64_t stored_size, size;
  std::uint64_t local;  // where the local header is; only the central one knows
};

constexpr std::uint16_t encrypted = 1, sizes_follow = 8;  // bits of the flags

void read_zip64_field(const Piece& piece, std::size_t at, std::size_t length, Header& header) {
  for (const std::size_t end = at + length; at + 4 <= end;) {
    const auto kind = piece.get<std::uint16_t>(at);
    const std::size_t size = piece.get<std::uint16_t>(at + 2);
    if (size > end - at - 4) piece.refuse(at, "an extra field is longer than its place");
    at += 4;
    std::size_t field = at;
    if (kind == 1)
      for (std::uint64_t* value : {&header.size, &header.stored_size, &header.local})
        if (*value == 0xffffffff && field + 8 <= at + size) {
          *value = piece.get<std::uint64_t>(field);
          field += 8;
        }
    at += size;
  }
}

// The fields that both kinds have begin at `at`: flags, method, time, check sum, stored size, size,
// and the lengths of the name and of the extra field.

//: fold The fields of both kinds
Header read_header(const Piece& piece, std::size_t at, std::size_t name_at, std::uint64_t local) {
  const std::size_t name = piece.get<std::uint16_t>(at + 20), extra = piece.get<std::uint16_t>(at + 22);
  Header header{.name = piece.text(name_at, name),
                .flags = piece.get<std::uint16_t>(at),
                .method = piece.get<std::uint16_t>(at + 2),
                .crc = piece.get<std::uint32_t>(at + 8),
                .stored_size = piece.get<std::uint32_t>(at + 12),
                .size = piece.get<std::uint32_t>(at + 16),
                .local = local};
  read_zip64_field(piece, name_at + name, extra, header);
  return header;
}

void check_stored(const Piece& piece, std::size_t at, const Header& header) {
  const std::string file = "file '" + header.name + "'";
  if ((header.flags & encrypted) != 0) piece.refuse(at, file + " is encrypted");
  if (header.method != 0)
    piece.refuse(at, file + " is compressed (method " + std::to_string(header.method) +
                         "); PyTorch stores its files uncompressed, and nothing else is read");
  if (header.stored_size != header.size)
    piece.refuse(at, file + " claims " + std::to_string(header.size) + " bytes and stores " +
                         std::to_string(header.stored_size));
}

// The bytes of a file begin behind its local header. PyTorch pads the extra field there so that the
// numbers begin at a multiple of 64. One disagreement is allowed, and announced by a bit of the
// flags: a writer that does not go back leaves sizes and check sum zero, and writes them *behind*
// the file, in 32 bits or in 64. PyTorch does so.

void check_descriptor(const InputFile& file, const Header& central, std::size_t at, std::size_t end) {
  constexpr std::uint32_t descriptor_signature = 0x08074b50;
  const Piece piece(file, at, std::min<std::size_t>(24, end - at));
  const auto agrees = [&](auto width) {  // that of a size
    using Size = decltype(width);
    return end - at >= 8 + 2 * sizeof(Size) && piece.get<Size>(at + 8) == central.stored_size &&
           piece.get<Size>(at + 8 + sizeof(Size)) == central.size;
  };
  if (end - at < 16 || piece.get<std::uint32_t>(at) != descriptor_signature ||
      piece.get<std::uint32_t>(at + 4) != central.crc ||
      !(agrees(std::uint32_t{}) || agrees(std::uint64_t{})))
    piece.refuse(at, "what stands behind file '" + central.name +
                         "' is not its check sum and size as in the central directory");
}

// Now a file can be located. Its local header has to lie in front of the central directory, to name
// the same file and to say the same of it, field by field.

ZipEntry locate(const InputFile& file, const Header& central, std::size_t end) {
  const std::size_t at = central.local, most = std::min<std::size_t>(end, file.size());
  const std::string name = "file '" + central.name + "'";
  const Piece fixed(file, std::min(at, most), std::min<std::size_t>(30, most - std::min(at, most)));
  if (at > most || most - at < 30 || fixed.get<std::uint32_t>(at) != local_signature)
    fixed.refuse(std::min(at, most), name + " has no local header here");
  const std::size_t length =
      std::size_t{30} + fixed.get<std::uint16_t>(at + 26) + fixed.get<std::uint16_t>(at + 28);
  const Piece piece(file, at, std::min(length, file.size() - at));
  const Header local = read_header(piece, at + 6, at + 30, central.local);
  const auto agree = [&](const char* what, std::uint64_t here, std::uint64_t there) {
    if (here != there)
      piece.refuse(at, std::string("the local header gives ") + what + " " + std::to_string(here) +
                           " for " + name + ", the central directory " + std::to_string(there));
  };
  if (local.name != central.name)
    piece.refuse(
        at, "the local header names another file than the central directory, '" + central.name + "'");
  agree("flags", local.flags, central.flags);
  agree("method", local.method, central.method);
  const std::size_t offset = at + length;
  if (offset > end || central.size > end - offset)
    piece.refuse(at, name + " of " + std::to_string(central.size) +
                         " bytes reaches into the central directory or beyond the archive");
  const bool follows = (local.flags & sizes_follow) != 0 && local.size == 0 && local.crc == 0;
  if (follows && central.size > 0) check_descriptor(file, central, offset + central.size, end);
  if (follows) return {central.name, offset, static_cast<std::size_t>(central.size)};
  agree("size", local.size, central.size);
  agree("stored size", local.stored_size, central.stored_size);
  agree("check sum", local.crc, central.crc);
  return {central.name, offset, static_cast<std::size_t>(central.size)};
}

}  // namespace

// No two files may share a byte: a *zip bomb* of the newer kind lets thousands of entries overlap,
// so that a small archive claims to be huge.

std::vector<ZipEntry> read_zip(const InputFile& file) {
  const Directory directory = find_directory(file);
  const Piece piece(file, directory.begin, directory.size);
  std::vector<ZipEntry> entries;
  std::unordered_set<std::string> names;
  std::size_t at = directory.begin;
  for (std::size_t i = 0; i < directory.entries; ++i) {
    if (piece.get<std::uint32_t>(at) != central_signature)
      piece.refuse(at, "no entry of the central directory");
    const Header central = read_header(piece, at + 8, at + 46, piece.get<std::uint32_t>(at + 42));
    check_stored(piece, at, central);
    if (!names.insert(central.name).second) piece.refuse(at, "file '" + central.name + "' comes twice");
    entries.push_back(locate(file, central, directory.begin));
    at += std::size_t{46} + piece.get<std::uint16_t>(at + 28) + piece.get<std::uint16_t>(at + 30) +
          piece.get<std::uint16_t>(at + 32);
  }
  std::sort(entries.begin(), entries.end(), [](const auto& a, const auto& b) {
    return std::pair(a.offset, a.size) < std::pair(b.offset, b.size);
  });
  for (std::size_t i = 1; i < entries.size(); ++i)
    if (entries[i].offset < entries[i - 1].offset + entries[i - 1].size)
      piece.refuse(entries[i].offset,
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

//: fold Fields of a header
namespace {

class Fields {
 public:
  template <class... Integers>
  explicit Fields(Integers... fields) {
    (append(fields), ...);
  }
  template <class Integer>
  void append(Integer field) {
    for (const std::byte byte : std::as_bytes(std::span(&field, 1))) bytes_.push_back(byte);
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

// A file begins with its local header, padded so that its bytes begin at a multiple of 64.

//: fold Beginning a file
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

// Bytes are appended as they come, and the sum goes along. At the end of a file its header is
// completed.

//: fold Its bytes
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

// At the end of the archive comes the directory, and behind it both kinds of end record.

//: fold The directory and the end
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
