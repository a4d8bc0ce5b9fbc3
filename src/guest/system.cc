#include "guest/system.h"

#include <sys/mount.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdlib>
#include <utility>

#include "base/text.h"
#include "guest/files.h"

namespace mvr::guest {
namespace {

constexpr const char* kCgroups = "/sys/fs/cgroup";
constexpr unsigned long kNoDevices = MS_NOSUID | MS_NODEV;

struct Mount {
  const char* type;
  const char* target;
  unsigned long flags;
  const char* options;
  bool required;
};
constexpr std::array<Mount, 5> kMounts{
    {{"tmpfs", "/run", kNoDevices, "mode=755", true},
     {"devpts", "/dev/pts", MS_NOSUID | MS_NOEXEC, "gid=5,mode=620,ptmxmode=666", true},
     {"tmpfs", "/dev/shm", kNoDevices, "mode=1777", true},
     {"mqueue", "/dev/mqueue", kNoDevices | MS_NOEXEC, "", false},
     {"cgroup2", kCgroups, kNoDevices | MS_NOEXEC, "nsdelegate", false}}};

constexpr std::array<std::pair<const char*, const char*>, 4> kLinks{
    {{"/proc/self/fd", "/dev/fd"},
     {"/proc/self/fd/0", "/dev/stdin"},
     {"/proc/self/fd/1", "/dev/stdout"},
     {"/proc/self/fd/2", "/dev/stderr"}}};

// Kernel defaults are too low for build tools and for nested engines of containers.
constexpr std::array<std::pair<const char*, const char*>, 9> kSettings{
    {{"fs/file-max", "9223372036854775807"},
     {"fs/inotify/max_user_instances", "8192"},
     {"fs/inotify/max_user_watches", "524288"},
     {"vm/max_map_count", "262144"},
     {"kernel/pid_max", "4194304"},
     {"kernel/keys/maxkeys", "2000"},
     {"net/ipv4/ping_group_range", "0 2147483647"},
     {"net/ipv4/ip_forward", "1"},
     {"net/ipv4/conf/all/rp_filter", "2"}}};

Result<void> mount_all() {
  for (const Mount& mount : kMounts) {
    auto made = make_directory(mount.target);
    if (made && ::mount(mount.type, mount.target, mount.type, mount.flags, mount.options) != 0) {
      made = fail_errno(errno, std::string("mount ") + mount.target);
    }
    if (!made && mount.required) return made;
  }
  return {};
}

std::string enable_all(std::string_view controllers) {
  std::string line;
  for (const std::string_view name : split(controllers.substr(0, controllers.find('\n')), ' ')) {
    if (!name.empty()) line += "+" + std::string(name) + " ";
  }
  return line;
}

// A group that has both processes and controllers for its children is not allowed: so we move to
// /init, and services and jobs get groups below /system.
Result<void> set_up_cgroups() {
  const std::string root = kCgroups;
  TRY_ASSIGN(const std::string controllers, read_file(root + "/cgroup.controllers"));
  for (const char* name : {"/init", "/system", "/system/job"}) TRY(make_directory(root + name));
  TRY(write_file(root + "/init/cgroup.procs", "0"));
  for (const char* name : {"", "/system"}) {
    TRY(write_file(root + name + "/cgroup.subtree_control", enable_all(controllers)));
  }
  return {};
}

}  // namespace

Result<void> set_up_system() {
  TRY(mount_all());
  for (const auto& [target, path] : kLinks) {
    if (::symlink(target, path) != 0 && errno != EEXIST) return fail_errno(errno, path);
  }
  for (const auto& [name, value] : kSettings) {
    (void)write_file(std::string("/proc/sys/") + name, value);  // a kernel may lack some
  }
  if (::access("/sys/fs/cgroup/cgroup.controllers", F_OK) == 0) {
    TRY(context(set_up_cgroups(), "set up control groups"));
  }
  TRY(make_directory("/run/lock"));
  if (::chmod("/run/lock", 01777) != 0) return fail_errno(errno, "set the mode of /run/lock");
  return make_directory(kRunDirectory);
}

std::string job_cgroup() {
  const std::string group = std::string(kCgroups) + "/system/job";
  return ::access(group.c_str(), F_OK) == 0 ? group : std::string();
}

Result<std::string> service_cgroup(const std::string& name) {
  const std::string services = std::string(kCgroups) + "/system";
  if (::access(services.c_str(), F_OK) != 0) return std::string();
  TRY(make_directory(services + "/" + name));
  return services + "/" + name;
}

Result<void> set_machine_id() {
  constexpr const char* kPath = "/etc/machine-id";
  struct stat info {};
  if (::lstat(kPath, &info) != 0 || !S_ISREG(info.st_mode) || info.st_size != 0) return {};
  std::array<unsigned char, 16> id{};
  if (::getrandom(id.data(), id.size(), 0) != static_cast<ssize_t>(id.size())) {
    return fail_errno(errno, "make a machine id");
  }
  return replace_file(kPath, hex(id) + "\n", 0444);
}

Result<void> set_hostname(const std::string& name) {
  if (::sethostname(name.data(), name.size()) != 0) return fail_errno(errno, "set the hostname");
  TRY(make_directory("/etc"));
  TRY(replace_file("/etc/hostname", name + "\n"));
  return replace_file("/etc/hosts", "127.0.0.1 localhost\n127.0.1.1 " + name +
                                        "\n::1 localhost ip6-localhost ip6-loopback\n");
}

void step_clock(std::int64_t wall_ms) {
  timeval now{};
  ::gettimeofday(&now, nullptr);
  const std::int64_t ours = std::int64_t{now.tv_sec} * 1000 + now.tv_usec / 1000;
  if (wall_ms <= 0 || std::llabs(wall_ms - ours) <= 1000) return;
  const timeval wanted{wall_ms / 1000, (wall_ms % 1000) * 1000};
  ::settimeofday(&wanted, nullptr);
}

}  // namespace mvr::guest
