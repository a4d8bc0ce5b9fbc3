// A chore outside of our own service. The unit of the daemon forbids what builders live from:
// mounts, device files, most capabilities, everybody's home. systemd runs such a chore as a
// transient unit.
#pragma once

#include <string>
#include <vector>

#include "base/units.h"

namespace mvr::daemon {

// Whether systemd started this process as the main one of a service (systemd.exec(5),
// SYSTEMD_EXEC_PID).
bool is_service();

struct ChoreUnit {
  std::string service;           // ours, "mvrunner.service": the chore ends when it is stopped
  std::string environment_file;  // read by systemd; the manager shows its name to all, not its text
  Duration longest{};
};

// The service of a text of /proc/self/cgroup; "" when there is none (pure).
std::string service_of(const std::string& cgroups);

// systemd-run(1), which ends as the chore does and whose output is the chore's, before the words of
// the chore itself (pure). One at a time: a second one is refused while there is a first.
std::vector<std::string> chore_unit_words(const ChoreUnit& unit);

// "NAME=value" each, in the form of EnvironmentFile= (pure). What has no name or a value of control
// characters is left out.
std::string environment_file_text(const std::vector<std::string>& environment);

}  // namespace mvr::daemon
