// What the daemon, and every program it starts, may do as root, and no more.
#pragma once

#include "base/result.h"

namespace mvr::daemon {

// To be called before anything of others is read. The systemd unit gives less still: image builds
// run in a unit of their own there.
Result<void> give_up_privileges();

}  // namespace mvr::daemon
