// Discovery: reports demand for the configured scopes. Implementations: polling, and runner scale
// sets.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/units.h"
#include "core/config.h"
#include "core/world.h"
#include "github/client.h"
#include "sys/loop.h"

namespace mvr::github {

// How a repository is looked at.
struct Look {
  std::string scope;
  std::string repository;  // "owner/name"
  Instant latest{};        // the latest that succeeded; zero: none
  Duration interval{};     // wanted between two looks
  Duration worst{};        // see worst_latency() of poll.h
};

class Discovery {
 public:
  virtual ~Discovery() = default;
  // Starts reporting DemandSeen and DiscoveryFailed events; stops when destroyed.
  virtual void start(std::function<void(core::Event)> report) = 0;
  // From now on with these scopes, profiles and intervals. What is known of scopes that stay is
  // kept; all are looked at soon.
  virtual void renew(const core::Config& config) = 0;
  // A hint that the demand of "owner/repo" (empty: of all) may have changed: hastens the next look,
  // within limits. Repositories of no scope are passed over.
  virtual void hint(std::string_view repository) = 0;
  // All repositories that are polled.
  [[nodiscard]] virtual std::vector<Look> looks() const = 0;
  // Takes leave of GitHub: nothing is reported any more, and what only one host may hold is given
  // back. `done` comes within some seconds, from the loop or from inside the call; it may destroy
  // this object. Not needed before destruction, but without it others wait for a minute.
  virtual void stop(std::function<void()> done) { done(); }
};

// Polls the repositories of every scope with Feed::poll, see look_interval() of poll.h. Jobs are
// matched to profiles with core::match_job. A failure, of a repository or of the whole scope, is
// tried again with jittered, bounded back-off.
std::unique_ptr<Discovery> make_poll_discovery(sys::Loop& loop, const core::Config& config,
                                               Client& client);

// How many VMs of a profile could serve jobs of a scope at once: those at it, and those there is
// room for.
using ServeCapacity =
    std::function<std::uint32_t(const std::string& scope, const std::string& profile)>;

// Listens to the message queues of the scope's runner scale sets, one for each profile; none of
// which may be a pattern. `scope` is one of the configuration.
std::unique_ptr<Discovery> make_scale_set_discovery(sys::Loop& loop, const core::Config& config,
                                                    Client& client, const core::Scope& scope,
                                                    ServeCapacity capacity);

// Each scope by what the configuration says of it.
std::unique_ptr<Discovery> make_discovery(sys::Loop& loop, const core::Config& config,
                                          Client& client, const ServeCapacity& capacity);

}  // namespace mvr::github
