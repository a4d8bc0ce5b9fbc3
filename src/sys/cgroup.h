// cgroup v2, by directory descriptor. On hybrid hosts the unified hierarchy has no controllers:
// groups still work for killing and counting, limits are reported as not applied.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/fd.h"
#include "base/result.h"
#include "base/units.h"

namespace mvr::sys {

// io.max: what may pass in a second, each way; 0 = no limit.
struct IoLimit {
  std::string device;  // "8:0", a whole disk
  Bytes bytes;
  std::uint32_t operations = 0;
};
// The disk under a file, as an IoLimit names it; empty: there is none, or more than one.
std::string disk_below(const std::string& path);

struct CgroupLimits {
  Bytes memory;                   // memory.max; 0 = none
  std::uint32_t cpu_percent = 0;  // cpu.max, 100 = one CPU; 0 = none
  std::uint32_t pids = 0;         // pids.max; 0 = none
  IoLimit io{};                   // without a device: none
};

class Cgroup {
 public:
  Cgroup() = default;
  [[nodiscard]] int fd() const { return fd_.get(); }
  explicit operator bool() const { return static_cast<bool>(fd_); }
  // Applies what the controllers here allow; returns the names of the limits not applied.
  Result<std::vector<std::string>> set_limits(const CgroupLimits& limits) const;
  Result<void> kill() const;  // cgroup.kill, else SIGKILL to each member
  Result<bool> populated() const;
  // Members the kernel killed for lack of memory, the group's or the host's. 0 where it has no
  // memory controller.
  std::uint64_t oom_kills() const;

 private:
  friend class CgroupRoot;
  Fd fd_;
};

// Where mvrunner's groups live: one directory below the first of
//  * the group systemd delegated (Delegate=yes; recognised by its mark) to the unit beside ours,
//    X-vms.service for X.service; open() moves the processes that stand in it, which keep it, into
//    the child "daemon";
//  * the group it delegated to our own unit. A group with processes of its own cannot give
//    controllers to its children, so open() first moves this process into the child "daemon";
//  * the root of the cgroup2 mount.
// With the second, a restart fails with EBUSY while VMs run: systemd starts the new main process
// in the delegated group itself (but for DelegateSubgroup=daemon, from systemd 254 on).
class CgroupRoot {
 public:
  // `name` becomes one directory. Err unsupported when there is no cgroup2 mount at all.
  static Result<CgroupRoot> open(const std::string& name);
  [[nodiscard]] const std::vector<std::string>& controllers() const { return controllers_; }
  // Those of cpu, memory and pids that are not there; without them a VM is not held to its size.
  [[nodiscard]] std::vector<std::string> missing() const;
  Result<Cgroup> create(const std::string& child) const;  // exists: opened
  Result<std::vector<std::string>> children() const;
  Result<void> remove(const std::string& child) const;  // absent is ok; Err busy: populated
  Result<void> remove_self() const;                     // only when empty

 private:
  std::string path_;
  std::vector<std::string> controllers_;
};

}  // namespace mvr::sys
