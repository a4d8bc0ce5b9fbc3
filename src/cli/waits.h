// Why jobs wait, in words, out of the daemon's status (pure).
#pragma once

#include <string>

#include <nlohmann/json_fwd.hpp>

#include "base/units.h"

namespace mvr::cli {

// "14:02 (in 7m)" in local time, with the day when it is more than half a day away; "now" when it
// has passed.
std::string when_text(WallTime at, WallTime now);

// What of the status is about `wanted`, a profile, a job's id or its display name; all waits when
// it is empty: {"waits":[...],"vms":[...],"jobs":[...]}. `status` is an answer to
// {"op":"ps","about":wanted}.
nlohmann::json about(const nlohmann::json& status, const std::string& wanted);
// True when nothing there is called that.
bool is_unknown(const nlohmann::json& status, const std::string& wanted);

// The same for people.
std::string explain_text(const nlohmann::json& status, const std::string& wanted, WallTime now);

}  // namespace mvr::cli
