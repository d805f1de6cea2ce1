// A fuzz target: a function of bytes that anybody may have written. Compiled twice, for libFuzzer, which makes up bytes, and for
// the tests of the library, which replay those that are kept in tests/fuzz/seeds.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>

namespace fuzz {

// Gives the bytes to a reader and looks whether what was read can be true.
using Target = void (*)(std::string_view bytes);

// What a target calls the file that it pretends to read; every refusal has to name it.
inline const std::string file = "fuzzed-file";

// A reader has broken a promise. Nothing catches it but the tests: libFuzzer takes it for a crash.
class Broken : public std::logic_error {
 public:
  using std::logic_error::logic_error;
};

inline void promise(bool kept, const std::string& what) {
  if (!kept) throw Broken(what);
}

inline std::span<const std::byte> as_bytes(std::string_view text) {
  return std::as_bytes(std::span(text.data(), text.size()));
}

// Whether the bytes were accepted. A refusal has to be one of the library's errors, with a message that names the file and can be
// shown in a terminal; whatever else a target throws goes through.
bool accepted(Target target, std::string_view bytes, std::string* message = nullptr);

// All targets of the program under their names.
std::map<std::string, Target>& targets();
bool add(const std::string& name, Target target);

}  // namespace fuzz

// FUZZ_TARGET(zip) { ... } defines the target `zip`, whose bytes are called `bytes`.
#ifdef MAMBA2_LIBFUZZER
#define FUZZ_REGISTER(name)                                                           \
  extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) { \
    fuzz::accepted(fuzz_##name, {reinterpret_cast<const char*>(data), size});         \
    return 0;                                                                         \
  }
#else
#define FUZZ_REGISTER(name) [[maybe_unused]] const bool added_##name = fuzz::add(#name, fuzz_##name);
#endif
#define FUZZ_TARGET(name)                          \
  static void fuzz_##name(std::string_view bytes); \
  FUZZ_REGISTER(name)                              \
  static void fuzz_##name(std::string_view bytes)
