// Private to cgroup and host: where this process is in the cgroup hierarchies. Pure: text in.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"

namespace mvr::sys {

struct CgroupMount {
  std::string path;  // where it is mounted
  std::string root;  // which group of the hierarchy is mounted there
  friend bool operator==(const CgroupMount&, const CgroupMount&) = default;
};

// From the text of /proc/self/mountinfo: the cgroup2 mount, or with a `controller` the version 1
// mount that has it.
std::optional<CgroupMount> find_cgroup_mount(std::string_view mountinfo,
                                             std::string_view controller = "");

// From the text of /proc/self/cgroup: the path of line "0::", or of the line with `controller`.
std::optional<std::string> find_own_cgroup(std::string_view cgroups,
                                           std::string_view controller = "");

// The directory of group `own` below the mount; empty when it is not visible there.
std::optional<std::string> cgroup_directory(const CgroupMount& mount, std::string_view own);

}  // namespace mvr::sys
