// What the kernel of this host has logged.
#pragma once

#include <sys/types.h>

#include <string_view>

namespace mvr::sys {

// Whether this line of the kernel's log says that it killed the process for lack of memory.
bool tells_of_oom_kill(std::string_view line, pid_t pid);

// Whether the log tells of it, as far as it is kept. False also where it cannot be read, which
// takes CAP_SYSLOG.
bool was_oom_killed(pid_t pid);

}  // namespace mvr::sys
