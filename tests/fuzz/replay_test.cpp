// Every file of tests/fuzz/seeds/TARGET through its fuzz target: those in valid/ are read, those in refused/ are refused.
#include <fuzz/target.hpp>
#include <mamba2/error.hpp>
#include <support/files.hpp>

#include <algorithm>
#include <new>
#include <vector>

namespace fs = std::filesystem;

namespace {

std::vector<fs::path> files_in(const fs::path& folder) {
  std::vector<fs::path> files;
  for (const auto& entry : fs::directory_iterator(folder)) files.push_back(entry.path());
  std::sort(files.begin(), files.end());
  return files;
}

}  // namespace

TEST_CASE("every kept case of the fuzz targets is read or refused as it should be", "[fuzz][hostile]") {
  REQUIRE(fuzz::targets().size() >= 8);
  for (const auto& [name, target] : fuzz::targets())
    for (const bool valid : {true, false}) {
      const auto files = files_in(fs::path(FUZZ_SEEDS) / name / (valid ? "valid" : "refused"));
      CHECK(files.size() > 3);
      for (const auto& file : files) {
        INFO(file.string());
        std::string message;
        bool accepted = false;
        CHECK_NOTHROW(accepted = fuzz::accepted(target, testing::read_file(file), &message));
        INFO(message);
        CHECK(accepted == valid);
      }
    }
}

TEST_CASE("a fuzz target that throws, or whose refusal names nothing, is noticed", "[fuzz]") {
  CHECK(fuzz::accepted([](std::string_view) {}, ""));
  CHECK(!fuzz::accepted([](std::string_view) { throw mamba2::FileError(fuzz::file + ": \x1b[2J"); }, ""));
  CHECK_THROWS_AS(fuzz::accepted([](std::string_view) { throw mamba2::FileError("bad"); }, ""), fuzz::Broken);
  CHECK_THROWS_AS(fuzz::accepted([](std::string_view) { throw mamba2::ValueError(fuzz::file + ": \x1b[2J"); }, ""),
                  fuzz::Broken);
  CHECK_THROWS_AS(fuzz::accepted([](std::string_view) { throw std::bad_alloc(); }, ""), std::bad_alloc);
}
