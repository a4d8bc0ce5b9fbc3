// The state of the daemon as Prometheus text, made of the very values `ps` and `explain` print.
// What each metric means stands in man/mvrunner-metrics.7, by name.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/units.h"
#include "core/config.h"
#include "core/plan.h"
#include "core/world.h"
#include "daemon/action_learner.h"
#include "daemon/registry_mirror.h"
#include "daemon/tally.h"
#include "daemon/upkeep.h"
#include "github/client.h"
#include "github/discovery.h"

namespace mvr::daemon {

// All there is to tell, at one moment.
struct MetricsView {
  const core::Config& config;
  const core::World& world;
  const core::Plan& plan;
  const Tally& tally;
  Instant now{};
  WallTime wall{};
  std::vector<github::AccountState> accounts = {};
  std::vector<github::Look> looks = {};
  std::string release = {};  // of the configured runner, while its end is known
  Duration release_left{};
  std::vector<ChoreState> chores = {};
  std::optional<MirrorState> mirror = {};        // of a host that has one
  std::optional<ActionCacheState> actions = {};  // likewise
};

// Format: https://prometheus.io/docs/instrumenting/exposition_formats (text 0.0.4).
std::string metrics_text(const MetricsView& view);

}  // namespace mvr::daemon
