// The release of actions/runner that GitHub wants this host's runners to be.
#pragma once

#include "base/result.h"
#include "core/config.h"
#include "github/releases.h"

namespace mvr::daemon {

// What GitHub names for the first scope, for Linux on this host's processor. Err not_found: nothing
// for it.
Result<github::RunnerDownload> named_release(const core::Config& config);

}  // namespace mvr::daemon
