// What observe() and the parts of plan() share: limits and steps. Not for use outside core.
#pragma once

#include <map>
#include <optional>
#include <utility>
#include <vector>

#include "core/backoff.h"
#include "core/plan.h"

namespace mvr::core {

inline constexpr Duration kStopGrace{10'000};
inline constexpr Duration kFinishedGrace{15'000};  // the listener is gone: the guest just reboots
inline constexpr Duration kKillRetry{10'000};
inline constexpr Duration kLeastRetry{1'000};    // no retry of an answer comes sooner
inline constexpr Duration kListingLag{10'000};   // a taken job may stay listed this long
inline constexpr Duration kListingAge{300'000};  // older listings neither start nor cancel
inline constexpr Duration kLeastIdle{60'000};    // a listening VM is kept for the next job
inline constexpr Duration kMostSleep{60'000};
inline constexpr std::uint32_t kMaxJitFailures = 5;
inline constexpr std::uint32_t kMaxDeregisterFailures = 10;
inline constexpr BackoffPolicy kRemoveBackoff{Duration{1'000}, Duration{60'000}};

// Launched for demand, and it has not taken a job nor is it being given back.
inline bool is_on_the_way(const Vm& vm) {
  return vm.phase <= Phase::listening && !vm.in_flight.deregister;
}

// Keeps the earliest future time at which plan() must look again.
class WakeUp {
 public:
  explicit WakeUp(Instant now) : now_(now), at_(now + kMostSleep) {}
  void consider(Instant at) {
    if (at > now_ && at < at_) at_ = at;
  }
  [[nodiscard]] Instant at() const { return at_; }

 private:
  Instant now_;
  Instant at_;
};

// Whether demand still asks for a VM that is on the way. doubtful: it seems not, but the listing
// is too old or failing to cancel anything.
enum class Want { yes, doubtful, no };
std::map<Slot, Want> wants(const Config& config, const World& world, Instant now);

// The action each VM of the world needs now, if any.
std::vector<Action> steps(const Config& config, const World& world, Instant now, WakeUp& wake);

// Demand no VM is on the way for becomes launches (at most `most`) and waits.
struct Packing {
  std::vector<Action> launches;
  std::vector<Wait> waits;
};
Packing pack(const Config& config, const World& world, Instant now, std::size_t most, WakeUp& wake);

// VMs on the way per (scope, profile).
using DemandKey = std::pair<std::string, std::string>;
std::map<DemandKey, std::vector<const Vm*>> on_the_way(const World& world);

}  // namespace mvr::core
