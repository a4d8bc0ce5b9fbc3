// Looks at what a former daemon left below <state>/vms.
#pragma once

#include <vector>

#include "base/result.h"
#include "core/config.h"
#include "core/survey.h"

namespace mvr::daemon {

// One Leftover per directory with a slot number for a name. An unreadable spec is reported as a
// leftover without one, to be erased; other names are left alone.
Result<std::vector<core::Leftover>> survey_host(const core::Config& config);

}  // namespace mvr::daemon
