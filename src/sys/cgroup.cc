#include "sys/cgroup.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>

#include "base/text.h"
#include "sys/cgroup_paths.h"
#include "sys/files.h"
#include "sys/process.h"

namespace mvr::sys {
namespace {

constexpr std::array<std::string_view, 3> kNeeded{"cpu", "memory", "pids"};
constexpr std::array<std::string_view, 4> kWanted{"cpu", "memory", "pids", "io"};
// Where the processes of a delegated group itself go; systemd's DelegateSubgroup= may name it too.
constexpr std::string_view kOwnGroup = "daemon";
constexpr std::string_view kService = ".service";

Result<void> write_at(int directory, const char* name, const std::string& text) {
  const Fd fd(::openat(directory, name, O_WRONLY | O_CLOEXEC));
  if (!fd) return fail_errno(errno, name);
  if (::write(fd.get(), text.data(), text.size()) < 0) {
    return fail_errno(errno, "write '" + text + "' to " + name);
  }
  return {};
}

Result<std::string> read_at(int directory, const char* name) {
  const Fd fd(::openat(directory, name, O_RDONLY | O_CLOEXEC));
  if (!fd) return fail_errno(errno, name);
  std::string text;
  std::array<char, 4096> buffer{};
  while (true) {
    const ssize_t count = ::read(fd.get(), buffer.data(), buffer.size());
    if (count < 0) return fail_errno(errno, name);
    if (count == 0) return text;
    text.append(buffer.data(), static_cast<std::size_t>(count));
  }
}

// systemd marks what it has handed over.
bool is_delegated(const std::string& directory) {
  std::array<char, 8> value{};
  for (const char* name : {"trusted.delegate", "user.delegate"}) {
    if (::getxattr(directory.c_str(), name, value.data(), value.size()) == 1 && value[0] == '1') {
      return true;
    }
  }
  return false;
}

std::vector<std::string> words_of(const std::string& path) {
  const auto text = read_file(path, 4096);
  std::vector<std::string> words;
  if (!text) return words;
  const std::string line = text->substr(0, text->find('\n'));
  for (const std::string_view word : split(line, ' ')) {
    if (!word.empty()) words.emplace_back(word);
  }
  return words;
}

// Each by itself: one that is refused (EBUSY: processes in the group; or held by version 1) must
// not keep the others away. What is missing afterwards is reported as a limit not applied.
void enable_controllers(const std::string& directory) {
  for (const std::string_view name : kWanted) {
    (void)write_file(directory + "/cgroup.subtree_control", "+" + std::string(name));
  }
}

// A group with processes cannot give controllers to its children: those in it make room, here the
// daemon. Whoever ended meanwhile is not missed.
Result<void> move_into_child(const std::string& directory, const std::vector<std::string>& pids) {
  const std::string own = directory + "/" + std::string(kOwnGroup);
  if (::mkdir(own.c_str(), 0755) != 0 && errno != EEXIST) return fail_errno(errno, own);
  for (const std::string& pid : pids) {
    auto moved = write_file(own + "/cgroup.procs", pid);
    if (!moved && moved.error().code != Errc::not_found) return moved;
  }
  return {};
}

std::vector<std::string> members_of(const std::string& directory) {
  std::vector<std::string> pids;
  const auto text = read_file(directory + "/cgroup.procs");
  if (!text) return pids;
  for (const std::string_view pid : split(*text, '\n')) {
    if (!pid.empty()) pids.emplace_back(pid);
  }
  return pids;
}

// ".../mvrunner-vms.service" for ".../mvrunner.service"; empty for what is no service.
std::string group_beside(const std::string& own) {
  if (!own.ends_with(kService)) return {};
  return own.substr(0, own.size() - kService.size()) + "-vms" + std::string(kService);
}

struct Position {
  std::string mount;
  std::string own;
};

Result<Position> find_position() {
  TRY_ASSIGN(const std::string mountinfo, read_file("/proc/self/mountinfo", 16U << 20U));
  TRY_ASSIGN(const std::string cgroups, read_file("/proc/self/cgroup"));
  const auto mount = find_cgroup_mount(mountinfo);
  if (!mount) return fail(Errc::unsupported, "no cgroup2 filesystem is mounted");
  const auto own = find_own_cgroup(cgroups);
  const auto directory = own ? cgroup_directory(*mount, *own) : std::nullopt;
  return Position{mount->path, directory.value_or(mount->path)};
}

// The directory our groups go to: see CgroupRoot in the header.
Result<std::string> find_base() {
  TRY_ASSIGN(const Position position, find_position());
  if (position.own == position.mount) return position.mount;
  if (const std::string beside = group_beside(position.own); is_delegated(beside)) {
    TRY(move_into_child(beside, members_of(beside)));
    return beside;
  }
  const std::size_t slash = position.own.find_last_of('/');
  const std::string parent = position.own.substr(0, slash);
  if (position.own.substr(slash + 1) == kOwnGroup && is_delegated(parent)) return parent;
  if (!is_delegated(position.own)) return position.mount;
  TRY(move_into_child(position.own, {std::to_string(::getpid())}));
  return position.own;
}

Result<void> check_name(const std::string& name) {
  const bool is_bad = name.empty() || name.front() == '.' || name.size() > 200 ||
                      name.find('/') != std::string::npos || name.find('\0') != std::string::npos ||
                      name.rfind("cgroup.", 0) == 0;
  if (is_bad) return fail(Errc::invalid, "'" + printable(name, 64) + "' cannot name a cgroup");
  return {};
}

Result<Fd> open_group(const std::string& path) {
  Fd fd(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW));
  if (!fd) return fail_errno(errno, "open the cgroup " + path);
  return fd;
}

Result<void> remove_group(const std::string& path) {
  if (::rmdir(path.c_str()) == 0 || errno == ENOENT) return {};
  return fail_errno(errno, "remove the cgroup " + path);
}

std::string io_text(const IoLimit& limit) {
  std::string text = limit.device;
  const auto add = [&](const char* what, std::uint64_t most) {
    if (most == 0) return;
    for (const char* way : {" r", " w"}) text += way + std::string(what) + std::to_string(most);
  };
  add("bps=", limit.bytes.value);
  add("iops=", limit.operations);
  return text;
}

// For kernels before 5.14. Members may fork while we go: repeat until a pass finds nobody.
Result<void> kill_members(int directory) {
  for (int pass = 0; pass < 20; ++pass) {
    TRY_ASSIGN(const std::string members, read_at(directory, "cgroup.procs"));
    if (members.empty()) return {};
    for (const std::string_view line : split(members, '\n')) {
      const auto pid = parse_u64(line);
      // 0 is a process of another pid namespace, and would be our own group for kill(2).
      if (pid && *pid > 1) (void)::kill(static_cast<pid_t>(*pid), SIGKILL);
    }
  }
  return {};
}

}  // namespace

std::string disk_below(const std::string& path) {
  struct stat info {};
  if (::stat(path.c_str(), &info) != 0) return {};
  std::string device =
      std::to_string(major(info.st_dev)) + ":" + std::to_string(minor(info.st_dev));
  // Limits are of whole disks. A filesystem without a disk of its own has no entry there.
  const std::string entry = "/sys/dev/block/" + device;
  if (!exists(entry)) return {};
  if (!exists(entry + "/partition")) return device;
  const auto text = read_file(entry + "/../dev", 64);
  return text ? text->substr(0, text->find('\n')) : std::string();
}

Result<std::vector<std::string>> Cgroup::set_limits(const CgroupLimits& limits) const {
  struct Setting {
    const char* name;
    const char* file;
    std::string value;
  };
  constexpr std::uint64_t kPeriod = 100'000;  // microseconds, the kernel's default
  std::vector<Setting> settings;
  if (limits.memory.value > 0) {
    settings.push_back(Setting{"memory", "memory.max", std::to_string(limits.memory.value)});
  }
  if (limits.cpu_percent > 0) {
    const std::string quota = std::to_string(limits.cpu_percent * kPeriod / 100);
    settings.push_back(Setting{"cpu", "cpu.max", quota + " " + std::to_string(kPeriod)});
  }
  if (limits.pids > 0) {
    settings.push_back(Setting{"pids", "pids.max", std::to_string(limits.pids)});
  }
  if (!limits.io.device.empty()) settings.push_back(Setting{"io", "io.max", io_text(limits.io)});
  std::vector<std::string> missing;
  for (const Setting& setting : settings) {
    const auto written = write_at(fd_.get(), setting.file, setting.value);
    if (written) continue;
    // Some disks take no limits.
    const bool is_io = std::string_view(setting.name) == "io";
    if (written.error().code != Errc::not_found && !is_io) return fail(written.error());
    missing.emplace_back(setting.name);
  }
  // A limit on memory that swap can dodge is none; absent where the kernel has no swap.
  if (limits.memory.value > 0) (void)write_at(fd_.get(), "memory.swap.max", "0");
  return missing;
}

Result<void> Cgroup::kill() const {
  auto killed = write_at(fd_.get(), "cgroup.kill", "1");
  if (killed || killed.error().code != Errc::not_found) return killed;
  return kill_members(fd_.get());
}

Result<bool> Cgroup::populated() const {
  TRY_ASSIGN(const std::string text, read_at(fd_.get(), "cgroup.events"));
  const auto lines = split(text, '\n');
  return std::find(lines.begin(), lines.end(), "populated 1") != lines.end();
}

std::uint64_t Cgroup::oom_kills() const {
  if (!fd_) return 0;
  const auto text = read_at(fd_.get(), "memory.events");
  if (!text) return 0;
  constexpr std::string_view kField = "oom_kill ";
  for (const std::string_view line : split(*text, '\n')) {
    if (line.starts_with(kField)) return parse_u64(line.substr(kField.size())).value_or(0);
  }
  return 0;
}

Result<CgroupRoot> CgroupRoot::open(const std::string& name) {
  TRY(check_name(name));
  TRY_ASSIGN(const std::string base, context(find_base(), "cgroup"));
  enable_controllers(base);
  CgroupRoot root;
  root.path_ = base + "/" + name;
  if (::mkdir(root.path_.c_str(), 0755) != 0 && errno != EEXIST) {
    return fail_errno(errno, "make the cgroup " + root.path_);
  }
  enable_controllers(root.path_);
  root.controllers_ = words_of(root.path_ + "/cgroup.subtree_control");
  return root;
}

std::vector<std::string> CgroupRoot::missing() const {
  std::vector<std::string> names;
  for (const std::string_view name : kNeeded) {
    if (std::ranges::find(controllers_, name) == controllers_.end()) names.emplace_back(name);
  }
  return names;
}

Result<Cgroup> CgroupRoot::create(const std::string& child) const {
  TRY(check_name(child));
  const std::string path = path_ + "/" + child;
  if (::mkdir(path.c_str(), 0755) != 0 && errno != EEXIST) {
    return fail_errno(errno, "make the cgroup " + path);
  }
  Cgroup group;
  TRY_ASSIGN(group.fd_, open_group(path));
  return group;
}

Result<std::vector<std::string>> CgroupRoot::children() const {
  TRY_ASSIGN(const std::vector<std::string> names, list_directory(path_));
  std::vector<std::string> groups;
  for (const std::string& name : names) {
    struct stat status {};
    if (::lstat((path_ + "/" + name).c_str(), &status) == 0 && S_ISDIR(status.st_mode)) {
      groups.push_back(name);
    }
  }
  return groups;
}

Result<void> CgroupRoot::remove(const std::string& child) const {
  TRY(check_name(child));
  return remove_group(path_ + "/" + child);
}

Result<void> CgroupRoot::remove_self() const { return remove_group(path_); }

}  // namespace mvr::sys
