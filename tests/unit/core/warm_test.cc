// VMs kept booted before there is demand.
#include "catch.h"
#include "core/names.h"
#include "fixture.h"

namespace mvr::core::test {
namespace {

Config warm_config(std::uint32_t count) {
  Config made = config();
  made.profiles.front().warm = count;
  made.profiles.front().warm_max_age = minutes{60};
  return made;
}

Vm idle(Slot slot, Phase phase = Phase::warm) {
  Vm made = vm(slot, phase);
  made.scope.clear();
  return made;
}

std::vector<Action> planned(const World& world, std::uint32_t warm, Instant now = kNow) {
  return plan(warm_config(warm), world, now).actions;
}

std::string names(const std::vector<Action>& actions) {
  std::string text;
  for (const Action& action : actions) {
    text += std::string(action_name(action)) + std::to_string(slot_of(action)) + " ";
  }
  return text;
}

}  // namespace

TEST_CASE("warm VMs are launched without demand, for nobody") {
  const std::vector<Action> actions = planned(world(), 2);
  REQUIRE(names(actions) == "launch0 launch1 ");
  CHECK(std::get<Launch>(actions.front()).scope.empty());
}

TEST_CASE("a warm VM asks for no runner until a job comes, and then at once") {
  World holder = world();
  put(holder, idle(1));
  CHECK(planned(holder, 1).empty());
  holder.scopes[kScope].demands = {Demand{"small", jobs(1), {}}};
  const std::vector<Action> actions = planned(holder, 1);
  CHECK(names(actions) == "request_jit1 launch0 ");  // and the next one is made
  const auto& request = std::get<RequestJit>(actions.front());
  CHECK(request.scope == kScope);
  CHECK(request.runner == runner_name("h1", 7, 0));
  (void)observe(holder, Dispatched{actions.front()}, kNow);
  CHECK(holder.vms.at(1).scope == kScope);
  CHECK(holder.runners == 1);
  (void)observe(holder, JitReady{1, Runner{9, request.runner}}, kNow);
  CHECK(names(planned(holder, 0)) == "claim1 ");
}

TEST_CASE("one that still boots is taken before another is launched") {
  World holder = world_wanting(1);
  put(holder, idle(1, Phase::booting));
  CHECK(names(planned(holder, 0)) == "stop1 launch0 ");  // none is wanted warm: it is surplus
  CHECK(names(planned(holder, 1)) == "request_jit1 launch0 ");
}

TEST_CASE("a limit of the scope holds for warm VMs as well") {
  World holder = world_wanting(2);
  put(holder, idle(1));
  put(holder, vm(2, Phase::running));
  Config limited = warm_config(1);
  limited.github.scopes.front().max = 1;
  const Plan made = plan(limited, holder, kNow);
  CHECK(made.actions.empty());
  CHECK(made.waits.front().reason == Reason{ScopeMax{1}});
}

TEST_CASE("warm VMs are given up when a job needs their room, the youngest first") {
  World holder = world();
  for (const Slot slot : {0U, 1U, 2U}) {
    Vm one = idle(slot);
    one.created -= seconds{100 - slot};
    put(holder, one);
  }
  holder.capacity.memory = gib(12);  // 6 are warm, 8 are wanted
  holder.scopes[kScope].demands = {Demand{"large", {job(1)}, {}}};
  const Plan made = plan(warm_config(3), holder, kNow);
  CHECK(names(made.actions) == "stop2 ");
  CHECK(made.waits.front().reason == Reason{NoMemory{gib(8), gib(6)}});
  CHECK(made.waits.front().next.has_value());
  CHECK(std::get<Stop>(made.actions.front()).cause == EndCause::cancelled);
  (void)observe(holder, Dispatched{made.actions.front()}, kNow);
  CHECK(planned(holder, 3).empty());  // its room is on the way: no other has to go
}

TEST_CASE("a warm VM is given up when the number of VMs is what stands in the way") {
  World holder = world();
  put(holder, idle(0));
  holder.capacity.vms = 1;
  holder.scopes[kScope].demands = {Demand{"large", {job(1)}, {}}};
  const Plan made = plan(warm_config(1), holder, kNow);
  CHECK(names(made.actions) == "stop0 ");
  CHECK(made.waits.front().reason == Reason{NoSlot{1}});
  (void)observe(holder, Dispatched{made.actions.front()}, kNow);
  CHECK(planned(holder, 1).empty());
  holder.vms.clear();
  CHECK(names(planned(holder, 1)) == "launch0 ");
}

TEST_CASE("warm VMs are not given up when that would not be enough") {
  World holder = world();
  put(holder, idle(0));
  put(holder, vm(1, Phase::running));
  holder.capacity.memory = gib(9);  // 2 warm, 2 running, 8 wanted
  holder.scopes[kScope].demands = {Demand{"large", {job(1)}, {}}};
  CHECK(planned(holder, 1).empty());
}

TEST_CASE("no warm VM is made while a job waits for room") {
  World holder = world();
  put(holder, vm(1, Phase::running));
  holder.capacity.memory = gib(9);
  holder.scopes[kScope].demands = {Demand{"large", {job(1)}, {}}};
  CHECK(planned(holder, 1).empty());
}

TEST_CASE("a warm VM of an old image, kernel or configuration is replaced") {
  World holder = world();
  Vm old = idle(1);
  old.origin = "a";
  put(holder, old);
  (void)observe(holder, ProfileChecked{"small", "", "a"}, kNow);
  CHECK(planned(holder, 1).empty());
  (void)observe(holder, ProfileChecked{"small", "", "b"}, kNow);
  CHECK(names(planned(holder, 1)) == "stop1 launch0 ");
  holder.scopes[kScope].demands = {Demand{"small", jobs(1), {}}};
  CHECK(names(planned(holder, 0)) == "stop1 launch0 ");  // it is given to no job either
}

TEST_CASE("a warm VM is replaced at its greatest age") {
  World holder = world();
  put(holder, idle(1));
  CHECK(planned(holder, 1, kNow + minutes{60} - milliseconds{1}).empty());
  CHECK(names(planned(holder, 1, kNow + minutes{60})) == "stop1 launch0 ");
}

TEST_CASE("surplus warm VMs and those of a draining host go") {
  World holder = world();
  put(holder, idle(0));
  Vm younger = idle(1);
  younger.created += seconds{1};
  put(holder, younger);
  CHECK(names(planned(holder, 1, kNow + seconds{2})) == "stop1 ");
  holder.draining = true;
  CHECK(names(planned(holder, 2)) == "stop0 stop1 ");
}

TEST_CASE("a profile that fails to boot is not kept warm in a hurry") {
  World holder = world();
  holder.health["small"] = Health{1, kNow, EndCause::panicked, "panic"};
  CHECK(planned(holder, 3).empty());
  CHECK(names(planned(holder, 3, kNow + minutes{10})) == "launch0 ");  // one is tried
}

TEST_CASE("under pressure no VM is made, but a warm one serves") {
  World holder = world_wanting(2);
  holder.pressure = "memory is short";
  put(holder, idle(1));
  const Plan made = plan(warm_config(1), holder, kNow);
  CHECK(names(made.actions) == "request_jit1 ");
  REQUIRE(made.waits.size() == 1);
  CHECK(made.waits.front().reason == Reason{Pressure{"memory is short"}});
}

TEST_CASE("an adopted VM nobody has asked for stays warm") {
  World holder = world();
  Vm adopted = idle(1, Phase::booting);
  adopted.adopted = true;
  (void)observe(holder, Adopted{adopted}, kNow);
  (void)observe(holder, AgentReady{1}, kNow);
  CHECK(holder.vms.at(1).phase == Phase::warm);
  CHECK(planned(holder, 1).empty());
}

}  // namespace mvr::core::test
