// The program around the graders of a chapter. It runs each exercise in a process of its own and gives the verdict in words.
//
//   exercises_04 [N.k]... [--verdicts] [--record FILE] [--mistakes FILE] [--seconds S]
//
// --verdicts prints, --record writes, one line for each exercise, for other programs: "4.2 VERDICT title", and behind a tab the
// mark of the wrong numbers, if they have one (see mark_of). --mistakes says what known mistakes give: lines of an exercise, the
// mark of its numbers, the mistake, and where the book speaks of it, with tabs between.
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
  std::string mark;  // of wrong numbers
};

// xtensor says "FILE:LINE: check failed" before what it has to say; a reader needs only the latter.
std::string without_place(const std::string& text) {
  const std::size_t check = text.find(": check failed\n");
  if (check == std::string::npos) return text;
  const std::size_t start = text.find_first_not_of("\n\t ", check + std::strlen(": check failed\n"));
  return start == std::string::npos ? text : text.substr(start);
}

std::string to_show;      // in the process of the exercise: what show() was given
std::string last_given;   // there, too: the inputs of the comparison that was made last
int pipe_to_parent = -1;  // there, too

// In the process of the exercise: what came of it.
Result run_here(const Case& graded) {
  try {
    graded.run();
    return {Verdict::passed, to_show, ""};
  } catch (const exercises::NotImplemented&) {
    return {Verdict::not_implemented, "", ""};
  } catch (const Failed& failed) {
    return {Verdict::failed, failed.what() + last_given, failed.mark()};
  } catch (const std::bad_alloc&) {
    return {Verdict::threw, "your code asked for more memory than there is: is a size negative, or a loop endless?",
            ""};
  } catch (const std::exception& error) {
    return {Verdict::threw, "your code threw an exception: " + without_place(error.what()) + last_given, ""};
  } catch (...) {
    return {Verdict::threw, "your code threw something that is no std::exception", ""};
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

constexpr char before_mark = '\1';
constexpr const char* before_given = "\ngiven:      ";

// The child's side: run, send the verdict, the text and the mark through the pipe, end without a farewell of other libraries.
// What if_too_slow() sends comes before, with a zero behind it.
[[noreturn]] void run_in_child(const Case& graded, int pipe_end) {
  pipe_to_parent = pipe_end;
  limit_memory();
  watch_place();
  const Result result = run_here(graded);
  std::fflush(nullptr);
  send(static_cast<char>(result.verdict) + result.text + before_mark + result.mark);
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
  return {verdict, where.empty() ? reason : reason + "\n" + where, ""};
}

// Why a case is not done in time, after `passed` other cases of its exercise that were.
std::string hung_text(int seconds, std::size_t passed) {
  const std::string late = " did not finish within " + std::to_string(seconds) + " seconds: ";
  if (passed == 0) return "your code" + late + "does a loop ever end?";
  return "right so far, in " + std::to_string(passed) + (passed == 1 ? " case" : " cases") + ", but this one" + late +
         "is your code too slow\nfor what it is given here, or does a loop not end?";
}

// Runs a case; `passed`: how many of its exercise were passed before it.
Result run(const Case& graded, int seconds, std::size_t passed) {
  prepare_place();
  int ends[2];
  if (pipe(ends) != 0) return {Verdict::crashed, "the grader could not make a pipe", ""};
  std::fflush(nullptr);
  const pid_t child = fork();
  if (child < 0) return {Verdict::crashed, "the grader could not start a process", ""};
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
  if (!in_time && !said_early.empty()) return {Verdict::failed, said_early, ""};
  if (!in_time) return with_place(Verdict::hung, hung_text(seconds, passed));
  if (WIFSIGNALED(status)) return with_place(Verdict::crashed, signal_text(WTERMSIG(status)));
  if (message.empty()) return {Verdict::crashed, "your code ended the program", ""};
  const auto verdict = static_cast<Verdict>(message[0]);
  const std::size_t mark = message.rfind(before_mark);
  const std::string text = message.substr(1, mark - 1);
  return verdict == Verdict::threw ? with_place(verdict, text) : Result{verdict, text, message.substr(mark + 1)};
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

// What the file of known mistakes says of these numbers, as part of the verdict; nothing if they are none of theirs.
std::string mistake_text(const std::string& file, const std::string& exercise, const std::string& mark) {
  std::ifstream known(file);
  std::string mistakes, places;
  for (std::string line; std::getline(known, line);) {
    std::istringstream columns(line);
    std::string of, numbers, mistake, see;
    std::getline(std::getline(std::getline(std::getline(columns, of, '\t'), numbers, '\t'), mistake, '\t'), see, '\t');
    if (mark.empty() || of != exercise || numbers != mark) continue;
    mistakes += (mistakes.empty() ? "\nmistake:    " : "\n       or:  ") + mistake;
    if (!see.empty() && places.find(see) == std::string::npos) places += (places.empty() ? "; see " : ", ") + see;
  }
  return mistakes.empty() ? "" : mistakes + "\n            (just these numbers come of it" + places + ")";
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
  std::string record, mistakes;
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
    } else if (argument == "--mistakes" && i + 1 < argc) {
      options.mistakes = argv[++i];
    } else if (argument == "--seconds" && i + 1 < argc) {
      options.seconds = std::max(1, std::atoi(argv[++i]));
    } else if (argument.starts_with("-")) {
      std::fprintf(stderr, "usage: %s [N.k]... [--verdicts] [--record FILE] [--mistakes FILE] [--seconds S]\n",
                   argv[0]);
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
  Result result{Verdict::passed, "", ""};
  for (const Case& graded : of_exercise) {
    result = run(graded, options.seconds, static_cast<std::size_t>(&graded - &of_exercise.front()));
    if (result.verdict == Verdict::passed) continue;
    shown = &graded;
    break;
  }
  // Of an exercise that passed, the title without its case: what follows a colon.
  std::string title = shown->title;
  if (result.verdict == Verdict::passed) title.resize(std::min(title.size(), title.find(": ")));
  if (!result.mark.empty()) result.mark = title + " | " + result.mark;
  const std::size_t inputs = std::min(result.text.find(before_given), result.text.size());
  result.text.insert(inputs, mistake_text(options.mistakes, number(*shown), result.mark));
  const std::string line = number(*shown) + " " + name(result.verdict) + " " + title +
                           (result.mark.empty() ? "" : "\t" + result.mark) + "\n";
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

namespace detail {

void remember_given(const std::string& text) {
  last_given.clear();
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    last_given += (last_given.empty() ? before_given : "\n            ") + line;
  }
}

std::string mark_of(const std::string& what, std::size_t first, const std::vector<double>& values) {
  constexpr double nothing = 1e-9;
  double sum = 0, position = 0;
  bool telling = false;
  for (const double value : values) {
    ++position;
    if (!std::isfinite(value)) continue;
    telling = telling || std::abs(value) > nothing;
    sum += position * (value + 0.7) * (value + 0.7);  // 0.7, so that a sign tells
  }
  if (!telling) return "";
  const double wrong = std::abs(values[first]) > nothing ? values[first] : 0;
  char numbers[100];
  std::snprintf(numbers, sizeof numbers, " | %zu | %.6g | %.6g", first, wrong, sum);
  std::string mark = what + numbers;
  for (char& c : mark)
    if (static_cast<unsigned char>(c) < ' ') c = ' ';  // a mark is part of a line
  return mark;
}

}  // namespace detail

}  // namespace grader

int main(int argc, char** argv) {
  return grader::run_all(argc, argv);
}
