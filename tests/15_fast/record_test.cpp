// What is recorded of runs that take longer than a build, and repeated by tests: src/demo/record.hpp.
#include <demo/record.hpp>
#include <support/files.hpp>

#include <ostream>
#include <string>
#include <vector>

using testing::TemporaryDirectory;

namespace {

using Lines = std::vector<std::string>;

demo::Experiment experiment(const std::string& step) {
  return {.name = "trial",
          .seeds = "1 2",
          .first_steps = [step](std::ostream& out) { out << "step 1: " << step << "\nstep 2: 0.25\n"; },
          .run = [](std::ostream& out) { out << "[table]\nN accuracy\n4 31 %\n[curves]\n1 2\n\n3 4\n\n"; }};
}

TEST_CASE("a record holds all that was printed, under a head", "[record]") {
  const TemporaryDirectory folder;
  demo::record(experiment("0.50"), folder.path(), "build/bin/record_01 trial", "0123abc");
  const std::string text = testing::read_file(folder / "trial.txt");
  CHECK(text.starts_with("command:  build/bin/record_01 trial\nseeds:    1 2\ncommit:   0123abc\nmachine:  "));
  for (const char* key : {"\nmachine:  ", "\nthreads:  ", "\ndate:     20", "\nduration: 0 s\n\n[first_steps]\n"})
    CHECK(text.find(key) != std::string::npos);
  CHECK(demo::section(text, "first_steps") == Lines{"step 1: 0.50", "step 2: 0.25"});
  CHECK(demo::section(text, "table") == Lines{"N accuracy", "4 31 %"});
  CHECK(demo::section(text, "curves") == Lines{"1 2", "", "3 4"});
  CHECK(demo::section(text, "tab").empty());
  CHECK_FALSE(std::filesystem::exists(folder / "trial.txt.part"));
}

TEST_CASE("the first steps are compared with the record", "[record]") {
  const TemporaryDirectory folder;
  CHECK_FALSE(demo::repeat(experiment("0.50"), folder.path()));
  demo::record(experiment("0.50"), folder.path(), "trial", "0123abc");
  CHECK(demo::repeat(experiment("0.50"), folder.path()));
  CHECK(demo::repeat(experiment("0.51"), folder.path()));
  CHECK_FALSE(demo::repeat(experiment("0.52"), folder.path()));
}

TEST_CASE("numbers may differ by a unit of their last digit, all else may not", "[record]") {
  CHECK(demo::same_word("-1.250", "-1.251"));
  CHECK(demo::same_word("0.9999999999", "1.0000000000"));
  CHECK_FALSE(demo::same_word("-1.250", "-1.252"));
  CHECK_FALSE(demo::same_word("1.25", "1.250"));
  CHECK_FALSE(demo::same_word("7", "8"));
  CHECK_FALSE(demo::same_word("nan", "1.0"));
  CHECK_FALSE(demo::same_word("1.0,", "1.1,"));
  CHECK(demo::difference_of({"a 1.0", "b 2"}, {"a 1.1", "b 2"}).empty());
  CHECK(demo::difference_of({"a 1.0"}, {"a 1.3"}) == "recorded: a 1.3\nnow:      a 1.0");
  CHECK(demo::difference_of({"a 1"}, {"a 1 2"}) == "recorded: a 1 2\nnow:      a 1");
  CHECK(demo::difference_of({"a"}, {"a", "b"}) == "2 lines recorded, now 1");
  CHECK(demo::difference_of({"a"}, {}) == "nothing was recorded");
}

TEST_CASE("a run that fails leaves the last record", "[record]") {
  const TemporaryDirectory folder;
  demo::record(experiment("0.50"), folder.path(), "trial", "0123abc");
  auto fails = experiment("0.75");
  fails.run = [](std::ostream&) { throw std::runtime_error("no"); };
  CHECK_THROWS(demo::record(fails, folder.path(), "trial", "0123abc"));
  CHECK(demo::repeat(experiment("0.50"), folder.path()));
}

}  // namespace
