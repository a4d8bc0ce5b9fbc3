// Which changes of the configuration take effect while the daemon runs.
#pragma once

#include <string>
#include <vector>

#include "core/config.h"

namespace mvr::daemon {

struct Change {
  std::string key;  // "network.subnet"; lists such as "profiles" count as one
  bool applied = false;
  friend bool operator==(const Change&, const Change&) = default;
};

struct ReloadPlan {
  core::Config config;          // what is in effect from now on
  std::vector<Change> changes;  // of the keys whose values differ, in the order of the file
};

// `wanted` with the values of `current` where a change needs a restart (pure). With github.url no
// other key of that section is taken: scopes and token are those of another server. host.max_vms
// waits for a restart when the network as it is has no room for so many.
ReloadPlan plan_reload(const core::Config& current, const core::Config& wanted);

// "profiles: applied"
std::string change_text(const Change& change);

// What came of a reload: either problems, and nothing has changed, or changes.
struct Reloaded {
  std::vector<std::string> problems;
  std::vector<Change> changes;
};

}  // namespace mvr::daemon
