// Every order of events on a host with two slots, to a fixed depth: what random seeds may miss.
//
// At each step the production plan() acts, then one of the enabled events comes: an answer to
// something that was asked, or something a guest, GitHub or the operator does by itself. The
// promises are checked after each step on every path.
#include <cstdlib>
#include <iostream>
#include <set>
#include <string>
#include <vector>

#include "base/text.h"
#include "core/plan.h"

namespace mvr::sim {
namespace {

using namespace core;

const std::string kScope = "octo/app";
constexpr Duration kStep{5'000};

Config make_config() {
  Config config;
  config.host.id = "x";
  config.network.subnet = "10.90.0.0/24";
  Profile small;
  small.name = "small";
  small.labels = {"small"};
  small.size = Resources{gib(1), 1, gib(1)};
  small.limits = Limits{Duration{60'000}, Duration{120'000}, Duration{600'000}};
  small.warm = 1;
  small.warm_max_age = Duration{3'600'000};
  config.profiles = {small};
  Scope scope;
  scope.owner = "octo";
  scope.repository = "app";
  config.github.scopes = {scope};
  return config;
}

DemandSeen demand(std::int64_t jobs, Instant now) {
  std::vector<JobHint> list;
  for (std::int64_t id = 1; id <= jobs; ++id) {
    JobHint job;
    job.id = id;
    job.name = "job";
    list.push_back(job);
  }
  std::vector<Demand> demands;
  if (jobs > 0) demands.push_back(Demand{"small", std::move(list), {}});
  return DemandSeen{kScope, now, std::move(demands), {}};
}

// What a world may see next. The guest's word comes in its own order; it may die at any time.
std::vector<Event> enabled(const World& world, Instant now) {
  const Error broken{Errc::unavailable, "simulated"};
  const Error busy{Errc::busy, "runs a job"};
  std::vector<Event> events{demand(0, now), demand(1, now), demand(3, now),
                            DrainChanged{!world.draining, std::nullopt}};
  for (const auto& [slot, vm] : world.vms) {
    const InFlight& asked = vm.in_flight;
    if (asked.launch) events.insert(events.end(), {VmStarted{slot}, LaunchFailed{slot, broken}});
    if (asked.jit) {
      events.emplace_back(JitReady{slot, Runner{slot + 1, "r" + vm.name}});
      events.emplace_back(JitFailed{slot, broken, now});
    }
    if (asked.deregister) {
      events.emplace_back(Deregistered{slot});
      events.emplace_back(DeregisterFailed{slot, busy, now});
    }
    if (asked.remove) events.insert(events.end(), {Removed{slot}, RemoveFailed{slot, broken}});
    if (asked.stop) events.emplace_back(StopFailed{slot});
    if (vm.phase == Phase::booting) events.emplace_back(AgentReady{slot});
    if (vm.phase == Phase::claiming) events.emplace_back(RunnerListening{slot});
    if (vm.phase == Phase::claiming || vm.phase == Phase::listening) {
      events.emplace_back(JobStarted{slot, "job"});
      events.emplace_back(RunnerExited{slot, 0});
    }
    if (vm.phase == Phase::running) events.emplace_back(RunnerExited{slot, 0});
    if (vm.phase > Phase::preparing && vm.phase < Phase::removing) {
      events.emplace_back(VmExited{slot, "died"});
      events.emplace_back(KillRequested{slot, "operator"});
    }
  }
  return events;
}

class Search {
 public:
  explicit Search(unsigned depth) : depth_(depth) {}

  bool run() {
    World world;
    world.capacity = Capacity{gib(2), 2, gib(2), 2};
    Instant now{Duration{1'000'000}};
    (void)observe(world, demand(1, now), now);
    return visit(world, now, 0);
  }
  [[nodiscard]] std::uint64_t visited() const { return visited_; }

 private:
  bool visit(World world, Instant now, unsigned depth) {
    ++visited_;
    if (!act(world, now) || !check(world)) return false;
    if (depth == depth_) return true;
    for (const Event& event : enabled(world, now)) {
      World next = world;
      const std::set<Slot> running = running_beside(world, event);
      (void)observe(next, event, now);
      path_.push_back(describe(event));
      for (const Slot slot : running) {
        const auto vm = next.vms.find(slot);
        const bool is_kept = vm != next.vms.end() && vm->second.phase == Phase::running;
        if (!is_kept) return complain("a VM that runs a job was ended");
      }
      if (!visit(std::move(next), now + kStep, depth + 1)) return false;
      path_.pop_back();
    }
    return true;
  }

  static std::string describe(const Event& event) {
    const auto slot = slot_of(event);
    return std::string(event_name(event)) + (slot ? " " + std::to_string(*slot) : "");
  }

  // The VMs with a job that the event is not about: it must leave them alone.
  static std::set<Slot> running_beside(const World& world, const Event& event) {
    std::set<Slot> slots;
    for (const auto& [slot, vm] : world.vms) {
      if (vm.phase == Phase::running && slot_of(event) != slot) slots.insert(slot);
    }
    return slots;
  }

  bool act(World& world, Instant now) {
    const Plan made = plan(config_, world, now);
    if (!made.wake_at || *made.wake_at <= now) return complain("wake_at is not in the future");
    for (const Action& action : made.actions) {
      const auto vm = world.vms.find(slot_of(action));
      const bool is_launch = std::holds_alternative<Launch>(action);
      if (is_launch != (vm == world.vms.end())) return complain("an action on the wrong slot");
      if (is_launch && world.draining) return complain("a launch while draining");
      if (!is_launch && vm->second.phase == Phase::running) {
        return complain("a running VM is touched");
      }
      if (std::holds_alternative<Claim>(action) && vm->second.phase != Phase::warm) {
        return complain("a claim of a VM that is not warm");
      }
      if (!observe(world, Dispatched{action}, now).empty()) {
        return complain("an action that changes nothing");
      }
    }
    if (!plan(config_, world, now).actions.empty()) return complain("planning again adds actions");
    return true;
  }

  bool check(const World& world) {
    const Capacity sum = used(world);
    if (sum.vms > 2 || sum.memory > world.capacity.memory) return complain("over the capacity");
    std::set<std::string> runners;
    for (const auto& [slot, vm] : world.vms) {
      if (vm.runner && !runners.insert(vm.runner->name).second) {
        return complain("two VMs have one runner");
      }
      const bool is_over = vm.phase == Phase::ending || vm.phase == Phase::removing;
      if (is_over != (vm.cause != EndCause::none)) return complain("an end without a cause");
      // Somebody must be asked, or the next step be due: nothing may be forgotten.
      const InFlight& asked = vm.in_flight;
      const bool is_stuck = vm.phase == Phase::removing && !asked.remove && !asked.deregister &&
                            !asked.jit && !vm.removed && vm.remove_failures == 0;
      if (is_stuck) return complain("a VM that nobody removes");
    }
    return true;
  }

  bool complain(const std::string& what) {
    std::cerr << what << " after:\n";
    for (const std::string& step : path_) std::cerr << "  " << step << "\n";
    return false;
  }

  unsigned depth_;
  Config config_ = make_config();
  std::vector<std::string> path_;
  std::uint64_t visited_ = 0;
};

}  // namespace
}  // namespace mvr::sim

// test_exhaustive [DEPTH]
int main(int argc, char** argv) {
  unsigned depth = 6;
  if (argc > 1) depth = static_cast<unsigned>(mvr::parse_u64(argv[1]).value_or(depth));
  mvr::sim::Search search(depth);
  if (!search.run()) return EXIT_FAILURE;
  std::cout << search.visited() << " worlds to depth " << depth << "\n";
  return EXIT_SUCCESS;
}
