// The actions/runner listener as a program to start.
#pragma once

#include "base/result.h"
#include "channel/message.h"
#include "guest/process.h"
#include "guest/root.h"

namespace mvr::guest {

// The runner of the tools drive writes beside itself: for the user it runs as.
Result<void> give_runner(const User& user, const Root& root);

// The listener itself, not run.sh, which hides its exit codes. Directory: the tools drive's
// overlay, else the image's own runner. The JIT configuration is in the environment only. What
// the profile does not serve is kept out by a hook of the runner's, see gate.h.
Result<SpawnSpec> runner_spec(const channel::Configure& configure, const User& user,
                              const Root& root);

}  // namespace mvr::guest
