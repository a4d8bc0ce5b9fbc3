// Discovery: reports demand for the configured scopes. Implementations: polling (this), scale
// sets and webhook hints later.
#pragma once

#include <functional>
#include <memory>
#include <string_view>

#include "core/config.h"
#include "core/world.h"
#include "github/client.h"
#include "sys/loop.h"

namespace mvr::github {

class Discovery {
 public:
  virtual ~Discovery() = default;
  // Starts reporting DemandSeen and DiscoveryFailed events; stops when destroyed.
  virtual void start(std::function<void(core::Event)> report) = 0;
  // A hint that the demand of "owner/repo" (empty: of all) may have changed: hastens the next look,
  // within limits. Repositories of no scope are passed over.
  virtual void hint(std::string_view repository) = 0;
};

// Polls every scope at github.poll_interval. Jobs are matched to profiles with
// core::match_profile. On failure: DiscoveryFailed with jittered, bounded back-off.
std::unique_ptr<Discovery> make_poll_discovery(sys::Loop& loop, const core::Config& config,
                                               Client& client);

}  // namespace mvr::github
