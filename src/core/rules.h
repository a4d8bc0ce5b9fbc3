// What observe() and the parts of plan() share: limits and steps. Not for use outside core.
#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/backoff.h"
#include "core/plan.h"

namespace mvr::core {

inline constexpr Duration kStopGrace{10'000};
inline constexpr Duration kJobStopGrace{40'000};    // the listener takes up to 30 s to end a job
inline constexpr Duration kBusyWithoutJob{90'000};  // GitHub says busy, the guest tells of no job
inline constexpr std::uint32_t kMaxUnlisted = 2;    // listings in a row that lack a runner
inline constexpr std::int64_t kWarnPercent = 90;    // of the job's limit
inline constexpr Duration kFinishedGrace{15'000};   // the listener is gone: the guest just reboots
inline constexpr Duration kKillRetry{10'000};
inline constexpr Duration kLeastRetry{1'000};    // no retry of an answer comes sooner
inline constexpr Duration kListingLag{10'000};   // a taken job may stay listed this long
inline constexpr Duration kListingAge{300'000};  // older listings neither start nor cancel
inline constexpr Duration kLeastIdle{60'000};    // a listening VM is kept for the next job
inline constexpr Duration kMostSleep{60'000};
inline constexpr std::uint32_t kMaxJitFailures = 5;
inline constexpr std::uint32_t kMaxDeregisterFailures = 10;
inline constexpr BackoffPolicy kRemoveBackoff{Duration{1'000}, Duration{60'000}};

// Kept warm, or becoming so: nobody's yet.
inline bool is_idle(const Vm& vm) { return vm.scope.empty() && vm.phase <= Phase::warm; }

// Nothing has ended it yet.
inline bool is_live(const Vm& vm) { return vm.phase <= Phase::running || vm.phase == Phase::held; }

// Launched for demand, and it has not taken a job nor is it being given back.
inline bool is_on_the_way(const Vm& vm) {
  return !vm.scope.empty() && vm.phase <= Phase::listening && !vm.in_flight.deregister;
}

// Its job came to an end that somebody may want to look into.
bool is_failed_job(const Vm& vm);

// Of a VM whose runner exited before it took a job. 7 is the listener's word, which the agent asks
// it for, that GitHub no longer accepts its release.
EndCause cause_of_exit(const Vm& vm, int code);

// Says of its profile that it does not boot; `phase`: when it ended.
bool is_boot_failure(EndCause cause, Phase phase);

// Ends that tell little by themselves: what troubled the VM before explains them.
bool is_unexplained(const Vm& vm, EndCause cause);

// Replaces what was listed; what our VMs took of it stays taken.
void fold_demand(ScopeState& state, const DemandSeen& event);

// What is known of a profile changes, or is forgotten. Empty, or why nothing changed.
std::string fold_profile(World& world, const ProfileChecked& event);
std::string fold_profile(World& world, const ProfileGone& event);

// Keys of World::estimates.
std::string estimate_key(std::string_view profile);
std::string estimate_key(std::string_view repository, std::string_view workflow,
                         std::string_view job);
std::string estimate_key(const Estimate& estimate);

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

// Which VMs without a job are kept and used first: the furthest, and of these the oldest.
bool goes_before(const Vm* a, const Vm* b);

// Warm VMs beyond what their profile asks for: the youngest.
std::set<Slot> surplus_idle(const Config& config, const World& world);

// The action each VM of the world needs now, if any.
std::vector<Action> steps(const Config& config, const World& world, Instant now, WakeUp& wake);

// Demand no VM is on the way for becomes actions (at most about `most`) and waits.
struct Packing {
  std::vector<Action> actions;
  std::vector<Wait> waits;
};
Packing pack(const Config& config, const World& world, Instant now, std::size_t most, WakeUp& wake);

// VMs on the way per (scope, profile).
using DemandKey = std::pair<std::string, std::string>;
std::map<DemandKey, std::vector<const Vm*>> on_the_way(const World& world);

}  // namespace mvr::core
