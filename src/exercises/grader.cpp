// The program around the graders of a chapter. It runs each exercise in a process of its own and gives the verdict in words.
//
//   exercises_04 [N.k]... [--verdicts] [--record FILE] [--seconds S]
//
// --verdicts prints, --record writes, one line for each exercise, "4.2 VERDICT title", for other programs.
// It exits with 0 if all passed.
#include <exercises/grader.hpp>
#include <exercises/place.hpp>

#include <poll.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <new>
#include <string_view>
#include <utility>

namespace grader {
namespace {

std::vector<Case>& cases() {
  static std::vector<Case> all;
  return all;
}

enum class Verdict : char { passed = 'p', not_implemented = 'n', failed = 'f', threw = 't', crashed = 'c', hung = 'h' };

const char* name(Verdict verdict) {
  switch (verdict) {
    case Verdict::passed:
      return "passed";
    case Verdict::not_implemented:
      return "not_implemented";
    case Verdict::failed:
      return "failed";
    case Verdict::threw:
      return "threw";
    case Verdict::crashed:
      return "crashed";
    case Verdict::hung:
      return "hung";
  }
  return "?";
}

struct Result {
  Verdict verdict;
  std::string text;
};

// xtensor says "FILE:LINE: check failed" before what it has to say; a reader needs only the latter.
std::string without_place(const std::string& text) {
  const std::size_t check = text.find(": check failed\n");
  if (check == std::string::npos) return text;
  const std::size_t start = text.find_first_not_of("\n\t ", check + std::strlen(": check failed\n"));
  return start == std::string::npos ? text : text.substr(start);
}

std::string to_show;      // in the process of the exercise: what show() was given
int pipe_to_parent = -1;  // there, too

// In the process of the exercise: what came of it.
Result run_here(const Case& graded) {
  try {
    graded.run();
    return {Verdict::passed, to_show};
  } catch (const exercises::NotImplemented&) {
    return {Verdict::not_implemented, ""};
  } catch (const Failed& failed) {
    return {Verdict::failed, failed.what()};
  } catch (const std::bad_alloc&) {
    return {Verdict::threw, "your code asked for more memory than there is: is a size negative, or a loop endless?"};
  } catch (const std::exception& error) {
    return {Verdict::threw, std::string("your code threw an exception: ") + without_place(error.what())};
  } catch (...) {
    return {Verdict::threw, "your code threw something that is no std::exception"};
  }
}

std::string signal_text(int number) {
  switch (number) {
    case SIGSEGV:
    case SIGBUS:
      return "your code crashed: it read or wrote memory that is not its own (an index out of range?), or calls itself "
             "without end";
    case SIGABRT:
      return "your code crashed: the program was aborted (memory overwritten by an index out of range?)";
    case SIGFPE:
      return "your code crashed: a whole number was divided by zero";
    default:
      return std::string("your code crashed: ") + strsignal(number);
  }
}

// Room enough for any exercise, and a bound for a loop that allocates without end.
void limit_memory() {
#if !defined(GRADER_SANITIZED)
  const rlimit limit{rlim_t{4} << 30, rlim_t{4} << 30};
  setrlimit(RLIMIT_AS, &limit);
#endif
  const rlimit no_core{0, 0};
  setrlimit(RLIMIT_CORE, &no_core);
}

void send(const std::string& message) {
  for (std::size_t sent = 0; sent < message.size();) {
    const ssize_t n = write(pipe_to_parent, message.data() + sent, message.size() - sent);
    if (n <= 0) break;
    sent += static_cast<std::size_t>(n);
  }
}

// The child's side: run, send the verdict and the text through the pipe, end without a farewell of other libraries. What
// if_too_slow() sends comes before, with a zero behind it.
[[noreturn]] void run_in_child(const Case& graded, int pipe_end) {
  pipe_to_parent = pipe_end;
  limit_memory();
  watch_place();
  const Result result = run_here(graded);
  std::fflush(nullptr);
  send(static_cast<char>(result.verdict) + result.text);
  _exit(0);
}

// Reads the child's message until it ends or the time is over. False if it is over.
bool receive(int pipe_end, int seconds, std::string& message) {
  using clock = std::chrono::steady_clock;
  const auto deadline = clock::now() + std::chrono::seconds(seconds);
  for (;;) {
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(deadline - clock::now()).count();
    pollfd ready{pipe_end, POLLIN, 0};
    if (left <= 0 || poll(&ready, 1, static_cast<int>(left)) == 0) return false;
    char buffer[4096];
    const ssize_t n = read(pipe_end, buffer, sizeof buffer);
    if (n <= 0) return true;
    message.append(buffer, static_cast<std::size_t>(n));
  }
}

// Ends a process that takes too long. It may say where it is; if it cannot, it is not asked again.
void end(pid_t child) {
  kill(child, SIGTERM);
  for (int i = 0; i < 20; ++i) {
    siginfo_t state{};
    if (waitid(P_PID, static_cast<id_t>(child), &state, WEXITED | WNOHANG | WNOWAIT) != 0 || state.si_pid != 0) return;
    usleep(50'000);
  }
  kill(child, SIGKILL);
}

// The reason, and under it the line of the reader's file where it happened, if that is known.
Result with_place(Verdict verdict, const std::string& reason) {
  const std::string where = place();
  return {verdict, where.empty() ? reason : reason + "\n" + where};
}

Result run(const Case& graded, int seconds) {
  prepare_place();
  int ends[2];
  if (pipe(ends) != 0) return {Verdict::crashed, "the grader could not make a pipe"};
  std::fflush(nullptr);
  const pid_t child = fork();
  if (child < 0) return {Verdict::crashed, "the grader could not start a process"};
  if (child == 0) {
    close(ends[0]);
    run_in_child(graded, ends[1]);
  }
  close(ends[1]);
  std::string message;
  const bool in_time = receive(ends[0], seconds, message);
  if (!in_time) end(child);
  close(ends[0]);
  int status = 0;
  waitpid(child, &status, 0);
  const std::size_t zero = message.rfind('\0');
  const std::string said_early = zero == std::string::npos ? "" : message.substr(0, zero);
  if (zero != std::string::npos) message.erase(0, zero + 1);
  if (!in_time && !said_early.empty()) return {Verdict::failed, said_early};
  if (!in_time)
    return with_place(Verdict::hung,
                      "your code did not finish within " + std::to_string(seconds) + " seconds: does a loop ever end?");
  if (WIFSIGNALED(status)) return with_place(Verdict::crashed, signal_text(WTERMSIG(status)));
  if (message.empty()) return {Verdict::crashed, "your code ended the program"};
  const auto verdict = static_cast<Verdict>(message[0]);
  return verdict == Verdict::threw ? with_place(verdict, message.substr(1)) : Result{verdict, message.substr(1)};
}

bool before(const Case& a, const Case& b) {
  return a.exercise < b.exercise;
}

constexpr std::string_view folder_of_chapters = "chapters/";

// chapters/04_chunked_scan/exercises_test.cpp -> chapters/04_chunked_scan/exercises.cpp
std::string readers_file(std::string grader_file) {
  const std::size_t chapters = grader_file.rfind(folder_of_chapters);
  if (chapters != std::string::npos) grader_file.erase(0, chapters);
  const std::size_t test = grader_file.rfind("_test.cpp");
  if (test != std::string::npos) grader_file.replace(test, std::string::npos, ".cpp");
  return grader_file;
}

// The exercise as readers know it: "4.2", with the number of the chapter's folder.
std::string number(const Case& graded) {
  const std::string file = readers_file(graded.file);
  const long chapter = file.starts_with(folder_of_chapters) ? std::atol(&file[folder_of_chapters.size()]) : 0;
  return std::to_string(chapter) + "." + std::to_string(graded.exercise);
}

struct Colors {
  const char *good = "", *bad = "", *strong = "", *dim = "", *off = "";
};

Colors colors() {
  const char* term = std::getenv("TERM");
  if (!isatty(STDOUT_FILENO) || std::getenv("NO_COLOR") || (term && std::strcmp(term, "dumb") == 0)) return {};
  return {"\033[32m", "\033[31m", "\033[1m", "\033[2m", "\033[0m"};
}

void print_indented(const std::string& text) {
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) std::printf("    %s\n", line.c_str());
}

void print_verdict(const Case& graded, const std::string& title, const Result& result) {
  const Colors c = colors();
  const std::string exercise = number(graded);
  if (result.verdict == Verdict::passed) {
    std::printf("%spassed%s           %s%s%s  %s\n", c.good, c.off, c.strong, exercise.c_str(), c.off, title.c_str());
    print_indented(result.text);  // what there is to show
    return;
  }
  const bool stub = result.verdict == Verdict::not_implemented;
  std::printf("%s%s%s  %s%s%s  %s\n", stub ? c.dim : c.bad, stub ? "not started    " : "not right yet  ", c.off,
              c.strong, exercise.c_str(), c.off, title.c_str());
  if (stub) std::printf("    not implemented yet\n");
  print_indented(result.text);
  std::printf("    edit:       %s\n", readers_file(graded.file).c_str());
  std::printf("    then:       ./book check %s        stuck? ./book hint %s\n", exercise.c_str(), exercise.c_str());
}

struct Options {
  std::vector<std::string> wanted;  // exercises; none: all
  std::string record;
  bool verdicts = false;
  int seconds = 10;
};

bool parse(int argc, char** argv, Options& options) {
  for (int i = 1; i < argc; ++i) {
    const std::string argument = argv[i];
    if (argument == "--verdicts") {
      options.verdicts = true;
    } else if (argument == "--record" && i + 1 < argc) {
      options.record = argv[++i];
    } else if (argument == "--seconds" && i + 1 < argc) {
      options.seconds = std::max(1, std::atoi(argv[++i]));
    } else if (argument.starts_with("-")) {
      std::fprintf(stderr, "usage: %s [N.k]... [--verdicts] [--record FILE] [--seconds S]\n", argv[0]);
      return false;
    } else if (std::none_of(cases().begin(), cases().end(), [&](const Case& one) { return argument == number(one); })) {
      std::fprintf(stderr, "There is no exercise %s.\n", argument.c_str());
      return false;
    } else {
      options.wanted.push_back(argument);
    }
  }
  return true;
}

// Grades one exercise: its cases in their order, up to the first that fails. True if all passed.
bool grade(const std::vector<Case>& of_exercise, const Options& options) {
  const Case* shown = &of_exercise.front();
  Result result{Verdict::passed, ""};
  for (const Case& graded : of_exercise) {
    result = run(graded, options.seconds);
    if (result.verdict == Verdict::passed) continue;
    shown = &graded;
    break;
  }
  // Of an exercise that passed, the title without its case: what follows a colon.
  std::string title = shown->title;
  if (result.verdict == Verdict::passed) title.resize(std::min(title.size(), title.find(": ")));
  const std::string line = number(*shown) + " " + name(result.verdict) + " " + title + "\n";
  if (options.verdicts)
    std::fputs(line.c_str(), stdout);
  else
    print_verdict(*shown, title, result);
  if (!options.record.empty()) std::ofstream(options.record, std::ios::app) << line;
  return result.verdict == Verdict::passed;
}

int run_all(int argc, char** argv) {
  Options options;
  if (!parse(argc, argv, options)) return 2;
  std::vector<Case> graded = cases();
  std::stable_sort(graded.begin(), graded.end(), before);
  bool all_passed = true;
  for (auto first = graded.begin(); first != graded.end();) {
    const auto last = std::find_if(first, graded.end(), [&](const Case& one) { return before(*first, one); });
    const auto& wanted = options.wanted;
    if (wanted.empty() || std::find(wanted.begin(), wanted.end(), number(*first)) != wanted.end())
      all_passed = grade({first, last}, options) && all_passed;
    first = last;
  }
  return all_passed ? 0 : 1;
}

}  // namespace

bool add(const Case& graded) {
  cases().push_back(graded);
  return true;
}

void show(const std::string& text) {
  to_show += text;
}

void if_too_slow(const std::string& text) {
  send(text + '\0');
}

}  // namespace grader

int main(int argc, char** argv) {
  return grader::run_all(argc, argv);
}
