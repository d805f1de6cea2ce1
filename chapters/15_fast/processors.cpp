// ### How many there are {#fast_processors}
//
// As many threads as processors, then; but whose? A container is often given two processors of a
// machine of ninety-six. Ninety-six threads would share those two, and each loop would wait for the
// last of them. Linux restricts a process in two ways, and both can be asked for. Its *affinity* is
// the set of processors that it may run on. And its *control groups* have quotas: so much processor
// time in each tenth of a second; when it is used up, all threads stop until the next.

#include <mamba2/processors.hpp>

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <limits>
#include <sstream>
#include <thread>
#include <vector>

#ifdef __linux__
#include <sched.h>
#endif

namespace mamba2 {
namespace {

constexpr double unlimited = std::numeric_limits<double>::infinity();
using ReadText = std::function<std::string(const std::string& path)>;

std::vector<std::string> split(const std::string& text, char separator) {
  std::vector<std::string> parts;
  std::istringstream in(text);
  for (std::string part; std::getline(in, part, separator);) parts.push_back(part);
  return parts;
}

bool holds(const std::vector<std::string>& list, const std::string& word) {
  return std::find(list.begin(), list.end(), word) != list.end();
}

// Groups form trees, and a tree is mounted as folders. A line of mountinfo says which part of which
// tree is mounted where: `33 31 0:30 ROOT FOLDER options - cgroup cgroup rw,cpu`.

struct Mount {
  std::string root, folder;
  bool unified = false;  // version 2: one tree for all that can be restricted
};

// The mounts of trees that restrict processor time.
std::vector<Mount> processor_mounts(const ReadText& text_of) {
  std::vector<Mount> mounts;
  for (const std::string& line : split(text_of("/proc/self/mountinfo"), '\n')) {
    const std::vector<std::string> words = split(line, ' ');
    const auto dash = std::find(words.begin(), words.end(), "-");
    if (words.size() < 5 || words.end() - dash < 4) continue;
    const bool unified = dash[1] == "cgroup2";
    if (unified || (dash[1] == "cgroup" && holds(split(dash[3], ','), "cpu")))
      mounts.push_back({words[3], words[4], unified});
  }
  return mounts;
}

// The group of this process in a tree: `0::/PATH` in the one of version 2, `4:cpu,cpuacct:/PATH`.
std::string own_group(const ReadText& text_of, bool unified) {
  for (const std::string& line : split(text_of("/proc/self/cgroup"), '\n')) {
    const auto first = line.find(':'), second = line.find(':', first + 1);
    if (first == std::string::npos || second == std::string::npos) continue;
    const std::string kinds = line.substr(first + 1, second - first - 1);
    if (unified ? kinds.empty() : holds(split(kinds, ','), "cpu")) return line.substr(second + 1);
  }
  return "/";
}

// Microseconds of work in so many of the clock. Version 2 writes "150000 100000" or "max 100000",
// version 1 has a file for each, and -1.
double quota(const ReadText& text_of, const std::string& folder, bool unified) {
  const std::string both =
      unified ? text_of(folder + "/cpu.max")
              : text_of(folder + "/cpu.cfs_quota_us") + " " + text_of(folder + "/cpu.cfs_period_us");
  std::istringstream numbers(both);
  double work = 0, period = 0;
  numbers >> work >> period;
  return numbers && work > 0 && period > 0 ? work / period : unlimited;
}

// Where a group is found below a mount that begins at `root`; empty for the root itself, and for a
// group that is not to be seen from there.
std::string below(const std::string& root, const std::string& group) {
  const std::string inside = root == "/" ? group : group.substr(std::min(root.size(), group.size()));
  const bool seen = root == "/" || (group.starts_with(root) && (inside.empty() || inside[0] == '/'));
  return seen && inside != "/" && inside.find("/..") == std::string::npos ? inside : "";
}

}  // namespace

// A group lies in another, up to the root, and none gets more than the one it lies in. A container
// may see its own group as the root of all, and nothing above it.

double processor_quota(const ReadText& text_of) {
  double least = unlimited;
  for (const Mount& mount : processor_mounts(text_of)) {
    std::string group = below(mount.root, own_group(text_of, mount.unified));
    least = std::min(least, quota(text_of, mount.folder + group, mount.unified));
    while (!group.empty()) {
      group.erase(std::min(group.rfind('/'), group.size()));  // the one that it lies in
      least = std::min(least, quota(text_of, mount.folder + group, mount.unified));
    }
  }
  return least;
}

namespace {

std::size_t processors_of_affinity() {
#ifdef __linux__
  for (std::size_t sets = 1; sets <= 64; sets *= 2) {  // a set holds 1024 processors
    std::vector<cpu_set_t> allowed(sets);
    const std::size_t bytes = sets * sizeof(cpu_set_t);
    if (sched_getaffinity(0, bytes, allowed.data()) == 0)
      return static_cast<std::size_t>(CPU_COUNT_S(bytes, allowed.data()));
  }
#endif
  return std::max(1U, std::thread::hardware_concurrency());
}

}  // namespace

// Of a quota of one and a half, one thread: two would use it up in three quarters of the time, and
// stand still, both of them, for the rest.

std::size_t usable_processors() {
  const double share = processor_quota([](const std::string& path) {
    std::ifstream file(path);
    return std::string(std::istreambuf_iterator<char>(file), {});
  });
  const std::size_t there = processors_of_affinity();
  return share < static_cast<double>(there) ? std::max<std::size_t>(1, static_cast<std::size_t>(share))
                                            : there;
}

}  // namespace mamba2
