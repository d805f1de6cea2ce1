// Running the command `mamba2` as a user would.
#pragma once

#include <support/files.hpp>

#include <cstdlib>
#include <filesystem>
#include <string>

#include <sys/wait.h>

namespace testing {

struct Ran {
  int status;       // exit status; 128 + n where signal n ended it
  std::string out;  // standard output
  std::string err;  // standard error
};

// A path as a word of the shell.
inline std::string in_quotes(const std::filesystem::path& path) {
  return std::string("'").append(path.string()).append("'");
}

// run_mamba2("info --model DIR"): the words after the command, as a shell reads them.
inline Ran run_mamba2(const std::string& words) {
  const TemporaryDirectory directory;
  const std::string out = (directory / "out").string(), err = (directory / "err").string();
  const std::string line =
      std::string("'") + MAMBA2_APP + "' " + words + " > '" + out + "' 2> '" + err + "' < /dev/null";
  const int status = std::system(line.c_str());
  return {WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status), read_file(out), read_file(err)};
}

}  // namespace testing
