// How many processors a process may use, read off the texts in which Linux says so.
#include <mamba2/parallel.hpp>
#include <mamba2/processors.hpp>
#include <support/testing.hpp>

#include <map>

#ifdef __linux__
#include <sched.h>
#endif

using namespace mamba2;

namespace {

constexpr double unlimited = std::numeric_limits<double>::infinity();

// Files that are not in the list are not there.
double quota(const std::map<std::string, std::string>& files) {
  return processor_quota([&](const std::string& path) { return files.contains(path) ? files.at(path) : ""; });
}

const std::string v2_mount = "29 23 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n";
const std::string v1_mounts =
    "32 31 0:29 / /sys/fs/cgroup/cpuset rw - cgroup cgroup rw,cpuset\n"
    "33 31 0:30 / /sys/fs/cgroup/cpu,cpuacct rw shared:9 master:2 - cgroup cgroup rw,cpu,cpuacct\n";

}  // namespace

TEST_CASE("the quota of version 2, of a group and of those it lies in", "[threads]") {
  const auto with = [](const std::string& group, std::map<std::string, std::string> files) {
    files["/proc/self/cgroup"] = "0::" + group + "\n";
    files["/proc/self/mountinfo"] = "22 28 0:21 / /proc rw - proc proc rw\n" + v2_mount;
    return quota(files);
  };
  const std::string root = "/sys/fs/cgroup/";
  CHECK(with("/a/b", {{root + "a/b/cpu.max", "150000 100000\n"}}) == 1.5);
  CHECK(with("/a/b", {{root + "a/b/cpu.max", "max 100000\n"}}) == unlimited);
  CHECK(with("/a/b", {{root + "a/b/cpu.max", "max 100000\n"}, {root + "a/cpu.max", "300000 100000\n"}}) == 3);
  CHECK(with("/a/b", {{root + "a/b/cpu.max", "400000 100000\n"}, {root + "a/cpu.max", "50000 100000\n"}}) == 0.5);
  CHECK(with("/a/b", {{root + "cpu.max", "200000 50000\n"}}) == 4);
  CHECK(with("/", {{root + "cpu.max", "200000 100000\n"}}) == 2);  // a container that sees itself as the root
  CHECK(with("/../other", {{root + "cpu.max", "200000 100000\n"}}) == 2);
  CHECK(with("/a", {{root + "b/cpu.max", "200000 100000\n"}}) == unlimited);  // somebody else's
  for (const char* nonsense : {"", "\n", "0 100000", "-1 100000", "100000 0", "100000", "nan nan", "maximum"})
    CHECK(with("/a", {{root + "a/cpu.max", nonsense}}) == unlimited);
}

TEST_CASE("the quota of version 1", "[threads]") {
  const auto with = [](const std::string& mounts, const std::string& group, const std::string& folder,
                       const std::string& work, const std::string& period) {
    return quota({{"/proc/self/cgroup", "5:cpuset:/else\n4:cpu,cpuacct:" + group + "\n1:name=systemd:/x\n0::/y\n"},
                  {"/proc/self/mountinfo", mounts},
                  {"/sys/fs/cgroup/cpu,cpuacct" + folder + "/cpu.cfs_quota_us", work},
                  {"/sys/fs/cgroup/cpu,cpuacct" + folder + "/cpu.cfs_period_us", period}});
  };
  CHECK(with(v1_mounts, "/job/7", "/job/7", "250000\n", "100000\n") == 2.5);
  CHECK(with(v1_mounts, "/job/7", "/job", "100000\n", "50000\n") == 2);
  CHECK(with(v1_mounts, "/job/7", "/job/7", "-1\n", "100000\n") == unlimited);
  CHECK(with(v1_mounts, "/job/7", "/job/7", "250000\n", "") == unlimited);
  CHECK(with(v1_mounts, "/job/7", "/else", "250000\n", "100000\n") == unlimited);
  // A container without a namespace of groups: its own group is what it sees mounted.
  const std::string mounted = "33 31 0:30 /docker/ab /sys/fs/cgroup/cpu,cpuacct ro - cgroup cgroup rw,cpu,cpuacct\n";
  CHECK(with(mounted, "/docker/ab", "", "50000\n", "100000\n") == 0.5);
  CHECK(with(mounted, "/docker/ab/inner", "/inner", "50000\n", "100000\n") == 0.5);
  CHECK(with(mounted, "/docker/abc", "c", "50000\n", "100000\n") == unlimited);
}

TEST_CASE("both versions at once, and neither", "[threads]") {
  CHECK(quota({}) == unlimited);
  CHECK(quota({{"/proc/self/mountinfo", "\n - \n1 2 3 - cgroup2\nnonsense"}, {"/proc/self/cgroup", ":::\n0\n\n"}}) ==
        unlimited);
  CHECK(quota({{"/proc/self/cgroup", "4:cpu,cpuacct:/a\n0::/b\n"},
               {"/proc/self/mountinfo", v1_mounts + v2_mount},
               {"/sys/fs/cgroup/cpu,cpuacct/a/cpu.cfs_quota_us", "300000"},
               {"/sys/fs/cgroup/cpu,cpuacct/a/cpu.cfs_period_us", "100000"},
               {"/sys/fs/cgroup/b/cpu.max", "200000 100000"}}) == 2);
}

#ifdef __linux__
TEST_CASE("a process that is bound to one processor has one", "[threads]") {
  cpu_set_t before, one;
  REQUIRE(sched_getaffinity(0, sizeof before, &before) == 0);
  CHECK(usable_processors() >= 1);
  CHECK(usable_processors() <= static_cast<std::size_t>(CPU_COUNT(&before)));
  std::size_t first = 0;
  while (!CPU_ISSET(first, &before)) ++first;
  CPU_ZERO(&one);
  CPU_SET(first, &one);
  REQUIRE(sched_setaffinity(0, sizeof one, &one) == 0);
  const std::size_t alone = usable_processors();
  sched_setaffinity(0, sizeof before, &before);
  CHECK(alone == 1);
}
#endif
