// Results that take longer than a build. A chapter's record.cpp makes them once and keeps them in the chapter's folder, recorded/NAME.txt:
// a head that says how they were made, the first steps, tables. The book shows the tables; a test repeats the first steps.
#pragma once

#include <demo/figure.hpp>

#include <mamba2/parallel.hpp>
#include <mamba2/processors.hpp>

#include <chrono>
#include <cmath>
#include <cstdio>
#include <ctime>
#include <exception>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iostream>
#include <sstream>
#include <stdexcept>
#include <string>
#include <vector>

namespace demo {

struct Experiment {
  std::string name;   // of the record
  std::string seeds;  // all that it draws from
  // Prints what the first steps of the run give, a few lines in a second or less. Digits after the point are compared to one unit of the
  // last: print no more of them than are the same on every processor.
  std::function<void(std::ostream&)> first_steps;
  // The whole run: prints tables, each below a line `[tag]`; how it gets on goes to standard error.
  std::function<void(std::ostream&)> run;
};

// What a command prints, without the end of its last line.
inline std::string printed_by(const std::string& command) {
  std::FILE* const pipe = ::popen(command.c_str(), "r");
  if (pipe == nullptr) throw std::runtime_error("cannot run " + command);
  std::string text;
  for (int c = std::fgetc(pipe); c != EOF; c = std::fgetc(pipe)) text += static_cast<char>(c);
  if (::pclose(pipe) != 0) throw std::runtime_error("failed: " + command);
  while (!text.empty() && text.back() == '\n') text.pop_back();
  return text;
}

// The commit that the sources are of, with a remark if it is not all of them. Records do not count.
inline std::string commit_of(const std::filesystem::path& folder) {
  const std::string git = "git -C '" + folder.string() + "' ";
  const bool changed = !printed_by(git + "status --porcelain -- ':/' ':(top,exclude,glob)**/recorded/*.txt'").empty();
  return printed_by(git + "rev-parse HEAD") + (changed ? " and changes" : "");
}

inline std::string machine() {
  std::ifstream file("/proc/cpuinfo");
  std::string model = "unknown processor";
  for (std::string line; std::getline(file, line);)
    if (line.starts_with("model name")) {
      model = line.substr(line.find(':') + 2);
      break;
    }
  return model + ", " + std::to_string(mamba2::usable_processors()) + " processors";
}

// The lines below `[tag]` of a record.
inline std::vector<std::string> section(const std::string& record, const std::string& tag) {
  std::istringstream text(record);
  std::vector<std::string> lines;
  bool inside = false;
  for (std::string line; std::getline(text, line);) {
    const bool header = line.size() > 2 && line.front() == '[' && line.back() == ']';
    if (header) inside = line == "[" + tag + "]";
    if (inside && !header) lines.push_back(line);
  }
  while (!lines.empty() && lines.back().empty()) lines.pop_back();
  return lines;
}

// Whether two words say the same: numbers of as many digits after the point may differ by one unit of the last.
inline bool same_word(const std::string& a, const std::string& b) {
  const auto digits = [](const std::string& word) {
    const std::size_t point = word.find('.');
    const bool number = point != std::string::npos && word.find_first_not_of("0123456789.-") == std::string::npos;
    return number ? static_cast<int>(word.size() - point) - 1 : 0;
  };
  if (a == b) return true;
  if (digits(a) != digits(b) || digits(a) == 0) return false;
  return std::abs(std::stod(a) - std::stod(b)) < 1.5 * std::pow(10.0, -digits(a));
}

// How lines differ from those that were recorded; empty if they do not.
inline std::string difference_of(const std::vector<std::string>& now, const std::vector<std::string>& recorded) {
  if (recorded.empty()) return "nothing was recorded";
  if (now.size() != recorded.size())
    return std::to_string(recorded.size()) + " lines recorded, now " + std::to_string(now.size());
  for (std::size_t i = 0; i < now.size(); ++i) {
    std::istringstream a(now[i]), b(recorded[i]);
    bool more = true;
    while (more) {
      std::string x, y;
      a >> x;
      b >> y;
      if (!same_word(x, y)) return "recorded: " + recorded[i] + "\nnow:      " + now[i];
      more = !x.empty();
    }
  }
  return {};
}

inline std::string duration_text(double seconds) {
  const long all = std::lround(seconds);
  return all < 60 ? std::to_string(all) + " s" : std::to_string(all / 60) + " min " + std::to_string(all % 60) + " s";
}

// Runs an experiment and keeps what it prints. The file is there when all of it is.
inline void record(const Experiment& experiment, const std::filesystem::path& folder, const std::string& command,
                   const std::string& commit) {
  const auto begin = std::chrono::steady_clock::now();
  const std::time_t now = std::time(nullptr);
  std::ostringstream tables;
  tables << "[first_steps]\n";
  experiment.first_steps(tables);
  experiment.run(tables);
  const std::chrono::duration<double> time = std::chrono::steady_clock::now() - begin;
  char date[16];
  std::strftime(date, sizeof date, "%Y-%m-%d", std::gmtime(&now));
  const std::filesystem::path path = folder / (experiment.name + ".txt");
  {
    std::ofstream file = create(path.string() + ".part");
    file << "command:  " << command << "\nseeds:    " << experiment.seeds << "\ncommit:   " << commit
         << "\nmachine:  " << machine() << "\nthreads:  " << mamba2::num_threads() << "\ndate:     " << date
         << "\nduration: " << duration_text(time.count()) << "\n\n"
         << tables.str();
  }
  std::filesystem::rename(path.string() + ".part", path);
}

// Whether the first steps are as recorded; says so.
inline bool repeat(const Experiment& experiment, const std::filesystem::path& folder) {
  const std::filesystem::path path = folder / (experiment.name + ".txt");
  std::ifstream file(path);
  std::ostringstream text, now;
  text << file.rdbuf();
  now << "[first_steps]\n";
  experiment.first_steps(now);
  const std::string problem = difference_of(section(now.str(), "first_steps"), section(text.str(), "first_steps"));
  std::cout << experiment.name << ": the first steps are the same: " << (problem.empty() ? "yes" : "no\n" + problem)
            << '\n';
  return problem.empty();
}

// The program: `record_NN NAME` makes a record, `record_NN NAME --repeat` repeats its first steps and compares.
inline int record_program(int count, char** arguments, const std::filesystem::path& folder,
                          const std::vector<Experiment>& experiments) {
  const std::vector<std::string> words(arguments, arguments + count);
  const bool repeated = count == 3 && words[2] == "--repeat";
  try {
    for (const Experiment& experiment : experiments) {
      if ((count != 2 && !repeated) || words[1] != experiment.name) continue;
      if (repeated) return repeat(experiment, folder) ? 0 : 1;
      std::filesystem::create_directories(folder);
      record(experiment, folder, words[0] + " " + words[1], commit_of(folder));
      return 0;
    }
  } catch (const std::exception& error) {
    std::cerr << words[0] << ": " << error.what() << '\n';
    return 1;
  }
  std::cerr << "usage: " << words[0] << " NAME [--repeat]\nwhere NAME is one of:\n";
  for (const Experiment& experiment : experiments) std::cerr << "  " << experiment.name << '\n';
  return 2;
}

}  // namespace demo
