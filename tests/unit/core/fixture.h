// Literals for tests of core: a small config, a world with room, VMs in any phase.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "core/plan.h"
#include "core/world.h"

namespace mvr::core::test {

using std::chrono::milliseconds;
using std::chrono::minutes;
using std::chrono::seconds;

inline constexpr Instant kNow{milliseconds{10'000'000}};
inline const std::string kScope = "octo/app";
inline const std::string kRun{kCommandScope};

inline Config config() {
  Config made;
  made.state_dir = "/var/lib/mvrunner";
  made.run_dir = "/run/mvrunner";
  made.instance = "mvr";
  made.host.id = "h1";
  made.network.subnet = "10.90.0.0/16";
  made.vmm.uid_base = 200'000;
  Profile small;
  small.name = "small";
  small.labels = {"small", "linux"};
  small.size = Resources{gib(2), 2, gib(10)};
  small.limits = Limits{seconds{60}, minutes{5}, minutes{60}};
  Profile large = small;
  large.name = "large";
  large.labels = {"large", "linux"};
  large.size = Resources{gib(8), 4, gib(40)};
  made.profiles = {small, large};
  Scope scope;
  scope.owner = "octo";
  scope.repository = "app";
  made.github.scopes = {scope};
  return made;
}

inline JobHint job(std::int64_t id, std::int64_t created_s = 0) {
  JobHint made;
  made.id = id;
  made.labels = {"small"};
  made.created = WallTime{seconds{created_s == 0 ? id : created_s}};
  made.seen = kNow;
  return made;
}

inline std::vector<JobHint> jobs(std::int64_t count) {
  std::vector<JobHint> made;
  for (std::int64_t id = 1; id <= count; ++id) made.push_back(job(id));
  return made;
}

inline World world() {
  World made;
  made.capacity = Capacity{gib(16), 16, gib(200), 8};
  made.seed = 7;
  made.scopes[kScope].as_of = kNow;
  return made;
}

// A world that wants `count` VMs of profile small in kScope.
inline World world_wanting(std::int64_t count) {
  World made = world();
  made.scopes[kScope].demands = {Demand{"small", jobs(count), {}}};
  return made;
}

inline Vm vm(Slot slot, Phase phase) {
  Vm made;
  made.slot = slot;
  made.name = "small-" + std::string(6, static_cast<char>('a' + slot));
  made.profile = "small";
  made.scope = kScope;
  made.size = Resources{gib(2), 2, gib(10)};
  made.limits = Limits{seconds{60}, minutes{5}, minutes{60}};
  made.expected = made.limits.job;
  made.phase = phase;
  made.since = kNow;
  made.created = kNow;
  return made;
}

inline Launch launch_of(const Vm& made) {
  return Launch{made.slot,   made.name,   made.profile,    made.scope, made.size,
                made.limits, made.egress, made.repository, 0,          made.expected};
}

inline Vm with_runner(Vm made, std::int64_t id = 5) {
  made.runner = Runner{id, "mv-h1-0000000" + std::to_string(id)};
  return made;
}

inline void put(World& world, Vm made) { world.vms[made.slot] = std::move(made); }

inline World world_with(Vm made, std::int64_t wanted = 1) {
  World holder = world_wanting(wanted);
  put(holder, std::move(made));
  return holder;
}

// What plan() does, and that it is done with it: the world is left with all Dispatched.
inline std::vector<Action> act(World& world, Instant now = kNow) {
  const Plan made = plan(config(), world, now);
  for (const Action& action : made.actions) (void)observe(world, Dispatched{action}, now);
  return made.actions;
}

inline std::vector<Action> actions_of(const World& world, Instant now = kNow) {
  return plan(config(), world, now).actions;
}

}  // namespace mvr::core::test

// Catch2 prints these in failures.
namespace mvr::core {
inline std::ostream& operator<<(std::ostream& out, const Action& action) {
  return out << action_name(action) << "(" << slot_of(action) << ")";
}
inline std::ostream& operator<<(std::ostream& out, Phase phase) { return out << phase_name(phase); }
inline std::ostream& operator<<(std::ostream& out, EndCause cause) {
  return out << cause_name(cause);
}
}  // namespace mvr::core
