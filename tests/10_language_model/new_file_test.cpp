// Files that appear whole or not at all: where a name leads, what may be replaced, what is only written to.
#include <mamba2/error.hpp>
#include <mamba2/mapped_file.hpp>
#include <support/files.hpp>
#include <support/testing.hpp>

#include <csignal>
#include <future>

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

using namespace mamba2;
using namespace testing;
namespace fs = std::filesystem;

namespace {

void write(const fs::path& path, const std::string& text) {
  NewFile file(path);
  file.write(text);
  file.commit();
}

std::size_t entries(const fs::path& directory) {
  const auto begin = fs::directory_iterator(directory);
  return static_cast<std::size_t>(std::distance(begin, fs::directory_iterator()));
}

void contains(const std::string& text, const std::string& part) {
  INFO(text);
  CHECK(text.find(part) != std::string::npos);
}

}  // namespace

TEST_CASE("a new file appears when it is complete, and keeps the permissions of what it replaces", "[new_file]") {
  const TemporaryDirectory directory;
  const fs::path path = directory / "x";
  {
    NewFile file(path);
    file.write("hello ");
    file.write("world");
    file.overwrite(1, std::as_bytes(std::span("u", 1)));
    CHECK(file.size() == 11);
    CHECK(!fs::exists(path));
    file.commit();
  }
  CHECK(read_file(path) == "hullo world");
  fs::permissions(path, fs::perms(0640));
  write(path, "again");
  CHECK(read_file(path) == "again");
  CHECK(fs::status(path).permissions() == fs::perms(0640));
  CHECK(entries(directory.path()) == 1);
  if (::geteuid() == 0) return;  // who may do everything may do this as well
  fs::permissions(path, fs::perms(0440));
  contains(message_of<FileError>([&] { NewFile file(path); }), "x: cannot be written: Permission denied");
}

TEST_CASE("a link stays, and what it leads to is replaced", "[new_file]") {
  const TemporaryDirectory directory;
  fs::create_directory(directory / "there");
  write_file(directory / "there/file", "old");
  fs::create_symlink("there/file", directory / "relative");
  fs::create_symlink(directory / "relative", directory / "absolute");
  fs::create_symlink("there/nothing yet", directory / "to nothing");
  write(directory / "absolute", "new");
  CHECK(read_file(directory / "there/file") == "new");
  write(directory / "to nothing", "first");
  CHECK(read_file(directory / "there/nothing yet") == "first");
  for (const char* link : {"relative", "absolute", "to nothing"}) CHECK(fs::is_symlink(directory / link));
  CHECK(entries(directory / "there") == 2);
  fs::create_symlink("b", directory / "a");
  fs::create_symlink("a", directory / "b");
  contains(message_of<FileError>([&] { NewFile file(directory / "a"); }), "cannot be written: a circle of links");
}

TEST_CASE("pipes and devices are written straight, and stay what they are", "[new_file]") {
  const TemporaryDirectory directory;
  const fs::path pipe = directory / "pipe", link = directory / "link";
  REQUIRE(::mkfifo(pipe.c_str(), 0600) == 0);
  fs::create_symlink("pipe", link);
  for (const fs::path& path : {pipe, link}) {
    auto received = std::async(std::launch::async, [&] { return read_file(pipe); });
    write(path, "through the pipe");
    CHECK(received.get() == "through the pipe");
    CHECK(fs::is_fifo(pipe));
  }
  const fs::path device = directory / "null";  // a null device of our own: a mistake must not cost the machine's
  if (::mknod(device.c_str(), S_IFCHR | 0666, ::makedev(1, 3)) == 0) {
    if (const int open = ::open(device.c_str(), O_WRONLY); open >= 0) {  // some places allow to make one, not to use it
      ::close(open);
      write(device, "swallowed");
    }
    CHECK(fs::is_character_file(device));
    fs::remove(device);
  }
  CHECK(entries(directory.path()) == 2);
  contains(message_of<FileError>([&] { write("/dev/full", "x"); }),
           "/dev/full: cannot be written: No space left on device");
  CHECK(fs::is_character_file("/dev/full"));
  contains(message_of<FileError>([&] { NewFile file(directory.path()); }), "cannot be written: Is a directory");
}

TEST_CASE("a name of a descriptor stands for the descriptor", "[new_file]") {
  const TemporaryDirectory directory;
  int ends[2];
  REQUIRE(::pipe(ends) == 0);
  write("/dev/fd/" + std::to_string(ends[1]), "one");
  write("/proc/self/fd/" + std::to_string(ends[1]), "two");
  ::close(ends[1]);
  char bytes[16];
  CHECK(std::string(bytes, static_cast<std::size_t>(::read(ends[0], bytes, sizeof bytes))) == "onetwo");
  ::close(ends[0]);
  // A file that is being written already is gone on with, not replaced and not begun again.
  const int file = ::open((directory / "x").c_str(), O_WRONLY | O_CREAT, 0600);
  REQUIRE(::write(file, "before, ", 8) == 8);
  write("/dev/fd/" + std::to_string(file), "after");
  ::close(file);
  CHECK(read_file(directory / "x") == "before, after");
  contains(message_of<FileError>([&] { NewFile closed("/dev/fd/" + std::to_string(file)); }),
           "cannot be written: Bad file descriptor");
}

TEST_CASE("a new file is not written through what stands in its way", "[new_file][hostile]") {
  const TemporaryDirectory directory;
  const fs::path path = directory / "x";
  {
    NewFile file(path);
    file.write("text");
    fs::create_directory(path);
    contains(message_of<FileError>([&] { file.commit(); }), "x: cannot be put in place: File exists");
  }
  CHECK(fs::is_directory(path));
  CHECK(entries(directory.path()) == 1);
}

TEST_CASE("a disk that is full costs nothing that was there", "[new_file][hostile]") {
  const TemporaryDirectory directory;
  const fs::path path = directory / "x";
  write_file(path, "old");
  rlimit before{};
  REQUIRE(::getrlimit(RLIMIT_FSIZE, &before) == 0);
  const auto old_handler = std::signal(SIGXFSZ, SIG_IGN);
  const rlimit little{2000, before.rlim_max};
  REQUIRE(::setrlimit(RLIMIT_FSIZE, &little) == 0);
  std::string message;
  try {
    write(path, std::string(5000, 'x'));
  } catch (const FileError& error) {
    message = error.what();
  }
  ::setrlimit(RLIMIT_FSIZE, &before);
  std::signal(SIGXFSZ, old_handler);
  contains(message, "x: cannot be written: File too large");
  CHECK(read_file(path) == "old");
  CHECK(entries(directory.path()) == 1);
}
