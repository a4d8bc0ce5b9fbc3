#include "sys/host.h"

#include <sched.h>
#include <sys/utsname.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <memory>
#include <optional>

#include "base/text.h"
#include "sys/cgroup_paths.h"
#include "sys/files.h"

namespace mvr::sys {
namespace {

std::string_view first_line(std::string_view text) { return text.substr(0, text.find('\n')); }

Result<Bytes> meminfo(std::string_view name) {
  TRY_ASSIGN(const std::string text, read_file("/proc/meminfo"));
  for (const std::string_view line : split(text, '\n')) {
    if (line.substr(0, name.size()) != name) continue;
    std::string_view value = line.substr(name.size());
    value.remove_prefix(std::min(value.find_first_not_of(' '), value.size()));
    TRY_ASSIGN(const std::uint64_t kilobytes, parse_u64(value.substr(0, value.find(' '))));
    return kib(kilobytes);
  }
  return fail(Errc::protocol, "/proc/meminfo has no " + std::string(name));
}

// "max" and what cannot be read limit nothing.
std::optional<std::uint64_t> number_in(const std::string& path) {
  const auto text = read_file(path, 4096);
  if (!text) return std::nullopt;
  const auto number = parse_u64(first_line(*text));
  return number ? std::optional(*number) : std::nullopt;
}

// CPUs a quota allows, rounded up: "150000 100000" -> 2.
std::optional<std::uint64_t> quota_in(const std::string& group) {
  std::optional<std::uint64_t> quota;
  std::optional<std::uint64_t> period;
  if (const auto text = read_file(group + "/cpu.max", 4096)) {
    const auto words = split(first_line(*text), ' ');
    const auto first = parse_u64(words.front());
    const auto last = parse_u64(words.back());
    if (first && last) quota = *first, period = *last;
  } else {
    quota = number_in(group + "/cpu.cfs_quota_us");  // -1 for none is no number
    period = number_in(group + "/cpu.cfs_period_us");
  }
  if (!quota || !period || *period == 0) return std::nullopt;
  return std::max<std::uint64_t>(1, (*quota + *period - 1) / *period);
}

// Our own group and its ancestors in one hierarchy, as far as the mount shows them.
std::vector<std::string> own_groups(std::string_view controller) {
  const auto mounts = read_file("/proc/self/mountinfo", 16U << 20U);
  const auto groups = read_file("/proc/self/cgroup");
  if (!mounts || !groups) return {};
  const auto mount = find_cgroup_mount(*mounts, controller);
  const auto own = find_own_cgroup(*groups, controller);
  if (!mount || !own) return {};
  std::vector<std::string> paths;
  auto path = cgroup_directory(*mount, *own);
  while (path && path->size() >= mount->path.size()) {
    paths.push_back(*path);
    path->erase(std::min(path->find_last_of('/'), path->size()));
  }
  return paths;
}

std::uint64_t memory_limit(std::uint64_t limit) {
  for (const std::string& group : own_groups("")) {
    if (const auto max = number_in(group + "/memory.max")) limit = std::min(limit, *max);
  }
  for (const std::string& group : own_groups("memory")) {
    const auto max = number_in(group + "/memory.limit_in_bytes");
    if (max) limit = std::min(limit, *max);
  }
  return limit;
}

std::uint64_t cpu_limit(std::uint64_t limit) {
  for (const std::string_view controller : {"", "cpu"}) {
    for (const std::string& group : own_groups(controller)) {
      if (const auto quota = quota_in(group)) limit = std::min(limit, *quota);
    }
  }
  return limit;
}

Result<std::uint64_t> usable_cpus() {
  // The kernel refuses a mask smaller than its own: grow until it fits.
  for (std::size_t cpus = 1024; cpus <= (1U << 16U); cpus *= 2) {
    const std::unique_ptr<cpu_set_t, void (*)(cpu_set_t*)> set(
        CPU_ALLOC(cpus), [](cpu_set_t* one) { CPU_FREE(one); });
    const std::size_t size = CPU_ALLOC_SIZE(cpus);
    if (::sched_getaffinity(0, size, set.get()) == 0) {
      return static_cast<std::uint64_t>(CPU_COUNT_S(size, set.get()));
    }
    if (errno != EINVAL) break;
  }
  return fail_errno(errno, "read the CPU affinity");
}

}  // namespace

Result<Bytes> available_memory() { return meminfo("MemAvailable:"); }

double parse_memory_stall(std::string_view text) {
  const std::size_t full = text.find("full avg10=");
  if (full == std::string_view::npos) return 0;
  const std::string_view number = text.substr(full + std::string_view("full avg10=").size());
  double value = 0;
  (void)std::from_chars(number.data(), number.data() + number.size(), value);
  return value >= 0 && value <= 100 ? value : 0;
}

double memory_stall() {
  const auto text = read_file("/proc/pressure/memory", 4096);
  return text ? parse_memory_stall(*text) : 0;
}

Result<HostFacts> host_facts() {
  HostFacts facts;
  TRY_ASSIGN(const Bytes memory, meminfo("MemTotal:"));
  facts.memory = Bytes{memory_limit(memory.value)};
  TRY_ASSIGN(const std::uint64_t cpus, usable_cpus());
  facts.cpus = static_cast<std::uint32_t>(cpu_limit(cpus));
  utsname names{};
  if (::uname(&names) != 0) return fail_errno(errno, "uname");
  facts.hostname = &names.nodename[0];
  facts.kernel = &names.release[0];
  facts.machine = &names.machine[0];
  return facts;
}

}  // namespace mvr::sys
