// What can be wrong with a host, looked at one by one before a job finds out. Nothing here changes
// the host but for trials that are undone at once.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "core/config.h"

namespace mvr::daemon {

enum class Verdict { ok, warn, fail };
std::string_view verdict_name(Verdict verdict);  // "ok", "warn", "fail"

struct Finding {
  std::string check;  // a stable name, such as "cgroup"
  Verdict verdict = Verdict::ok;
  std::string text;
  std::string remedy;  // one line; empty when all is well
  friend bool operator==(const Finding&, const Finding&) = default;
};

// The kernel's version and what /proc and /sys say of settings that matter for untrusted guests.
// `root` stands before their paths; "" is this host.
std::vector<Finding> check_settings(const std::string& root, const std::string& kernel_release,
                                    const core::Config& config);
// The programs mvrunner starts.
std::vector<Finding> check_programs(const core::Config& config);
// A network namespace, a tap, a firewall table and a cgroup, each made and removed. Needs root.
std::vector<Finding> check_kernel_objects(const core::Config& config);
// Memory, CPUs and disk for VMs, and whether each profile fits into them.
std::vector<Finding> check_room(const core::Config& config);
// Image, kernel and runner release of each profile, and their age at `now`.
std::vector<Finding> check_stores(const core::Config& config, WallTime now);
// What came of the chores that the configuration asks the daemon for.
std::vector<Finding> check_upkeep(const core::Config& config);
// What GitHub says to the questions the daemon asks, for each scope: credentials, permissions,
// runner records; and whether its clock agrees with ours.
std::vector<Finding> check_github(const core::Config& config);
// Whether a guest really runs under KVM (boots one unless that is known of this boot of the host).
std::vector<Finding> check_kvm(const core::Config& config);

}  // namespace mvr::daemon
