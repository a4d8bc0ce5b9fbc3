// The canary: a VM boots what is about to be used, before anything else does.
#pragma once

#include <functional>
#include <string>

#include "cli/cli.h"

namespace mvr::cli {

struct SmokeTarget {
  std::string profile;                // whose size and kernel; empty: a small VM of its own
  std::string image;                  // a tag or id
  std::optional<std::string> runner;  // a runner release in place of the configured one
  std::function<void(const std::string&)> progress;  // one line per step
};

// Boots a VM from these, through the running daemon or one of its own, and expects of it in turn:
// the agent greets, a shell starts, the name of the GitHub server resolves, and the runner's
// listener starts and tells its version. That is left out where there is no runner at all.
//
// Err invalid: it was tried and is no good; the text names the step and ends with the latest lines
// of the console. Any other Err: it could not be tried.
Result<void> smoke(const Context& context, const core::Config& config, const SmokeTarget& target);

// The profile to try an image by this tag with: one that uses it, else the smallest; empty when
// there is none.
std::string smoke_profile(const core::Config& config, const std::string& tag);

}  // namespace mvr::cli
