// The state of the daemon as JSON, the one source of `ps`, `explain` and every other listing.
#pragma once

#include <string>

#include <nlohmann/json_fwd.hpp>

#include "core/config.h"
#include "core/plan.h"
#include "core/world.h"
#include "daemon/vm.h"
#include "history/history.h"

namespace mvr::daemon {

// {"vms":[...], "waits":[...], "capacity":{...}, "used":{...}, "draining":bool, "scopes":[...],
// "pressure":T}, and "drain_deadline" if there is one.
// Times are ISO 8601, durations milliseconds, sizes bytes.
nlohmann::json status_json(const core::Config& config, const core::World& world,
                           const core::Plan& plan, Instant now, WallTime wall);
// What the listings hold of `wanted`: {"profile":bool, "jobs":[...]}, whether a profile is called
// so, and the queued jobs with this id or display name, the first of them.
nlohmann::json about_json(const core::Config& config, const core::World& world,
                          const std::string& wanted, WallTime wall);
nlohmann::json vm_json(const core::Config& config, const core::Vm& vm, Instant now, WallTime wall);
// What a live VM uses now, to be added to its row.
nlohmann::json use_json(const LiveVm& vm);
nlohmann::json finished_json(const history::FinishedJob& job);

}  // namespace mvr::daemon
