// What an operating system's boot would set up in the image, once it is the root.
#pragma once

#include <string>

#include "base/result.h"

namespace mvr::guest {

inline constexpr const char* kRunDirectory = "/run/mvrunner";

// /run, terminals, shared memory, control groups, kernel settings.
Result<void> set_up_system();
// The control group jobs run in; empty when the kernel has none.
std::string job_cgroup();
// Makes one for a service; empty as above.
Result<std::string> service_cgroup(const std::string& name);
// A random one where the image has an empty file for it, as systemd does at a first boot.
Result<void> set_machine_id();
Result<void> set_hostname(const std::string& name);
// Steps the wall clock when it is off by more than a second.
void step_clock(std::int64_t wall_ms);

}  // namespace mvr::guest
