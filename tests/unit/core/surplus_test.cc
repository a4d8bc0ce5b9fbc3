// VMs that demand no longer asks for.
#include "catch.h"
#include "fixture.h"

namespace mvr::core::test {
namespace {

Stop cancelled(Slot slot) {
  return Stop{slot, seconds{10}, EndCause::cancelled, "no job waits for it any more"};
}

Vm aged(Vm made, Duration age) {
  made.created -= age;
  made.since -= age;
  return made;
}

}  // namespace

TEST_CASE("a VM that is not needed any more is stopped before it listens") {
  for (const Phase phase : {Phase::preparing, Phase::booting, Phase::warm}) {
    World holder = world_with(with_runner(vm(1, phase)), 0);
    CHECK(act(holder) == std::vector<Action>{cancelled(1)});
    CHECK(holder.vms.at(1).cause == EndCause::cancelled);
    CHECK(actions_of(holder).empty());
  }
}

TEST_CASE("the youngest are given up first") {
  World holder = world_with(aged(vm(0, Phase::preparing), seconds{1}), 1);
  put(holder, aged(vm(1, Phase::preparing), seconds{9}));
  put(holder, aged(vm(2, Phase::preparing), seconds{5}));
  CHECK(actions_of(holder) == std::vector<Action>{cancelled(0), cancelled(2)});
}

TEST_CASE("the one that has come furthest is kept") {
  World holder = world_with(aged(vm(0, Phase::preparing), seconds{9}), 1);
  put(holder, with_runner(vm(1, Phase::listening)));
  CHECK(actions_of(holder) == std::vector<Action>{cancelled(0)});
}

TEST_CASE("a claimed VM is deregistered first: GitHub may just give it a job") {
  World holder = world_with(with_runner(vm(1, Phase::claiming)), 0);
  CHECK(act(holder) == std::vector<Action>{Deregister{1, kScope, Runner{5, "mv-h1-00000005"},
                                                      EndCause::cancelled}});
  CHECK(actions_of(holder).empty());
  (void)observe(holder, Deregistered{1}, kNow);
  CHECK(holder.vms.at(1).cause == EndCause::cancelled);
}

TEST_CASE("a listening VM is kept for a minute for the next job") {
  World holder = world_with(with_runner(vm(1, Phase::listening)), 0);
  CHECK(actions_of(holder, kNow + seconds{59}).empty());
  const std::vector<Action> actions = actions_of(holder, kNow + seconds{60});
  REQUIRE(actions.size() == 1);
  CHECK(std::get<Deregister>(actions.front()).cause == EndCause::cancelled);
}

TEST_CASE("a failing or old listing cancels nothing, and no runner is asked for") {
  World holder = world_with(vm(1, Phase::warm), 0);
  holder.scopes[kScope].failure = Error{Errc::unavailable, "down"};
  CHECK(actions_of(holder).empty());
  holder = world_with(vm(1, Phase::warm), 0);
  holder.scopes[kScope].as_of = kNow - milliseconds{300'001};
  CHECK(actions_of(holder).empty());
  holder.scopes.clear();
  CHECK(actions_of(holder).empty());
}

TEST_CASE("jobs just taken do not cancel the VM for the next one") {
  World holder = world_with(vm(1, Phase::running), 1);
  put(holder, vm(2, Phase::preparing));
  holder.scopes[kScope].demands.front().taken = {kNow};
  CHECK(actions_of(holder).empty());
}

TEST_CASE("a drain gives up every VM without a job") {
  World holder = world_with(vm(0, Phase::booting), 3);
  put(holder, with_runner(vm(1, Phase::listening)));
  put(holder, with_runner(vm(2, Phase::running), 6));
  holder.draining = true;
  const Stop stop{0, seconds{10}, EndCause::cancelled, "the host is draining"};
  CHECK(act(holder) == std::vector<Action>{stop, Deregister{1, kScope, Runner{5, "mv-h1-00000005"},
                                                            EndCause::cancelled}});
  CHECK(actions_of(holder).empty());
}

TEST_CASE("a drain lets a command that was handed over run") {
  Vm claiming = vm(1, Phase::claiming);
  claiming.scope = kRun;
  World holder = world();
  put(holder, claiming);
  holder.draining = true;
  CHECK(actions_of(holder).empty());
}

TEST_CASE("VMs of a scope or profile that left the configuration are given up") {
  const World holder = world_with(vm(1, Phase::booting), 1);
  Config without = config();
  without.github.scopes.clear();
  CHECK(plan(without, holder, kNow).actions == std::vector<Action>{cancelled(1)});
  without = config();
  without.profiles.clear();
  const Stop gone{1, seconds{10}, EndCause::cancelled, "its profile is no longer configured"};
  CHECK(plan(without, holder, kNow).actions == std::vector<Action>{gone});
}

TEST_CASE("a VM whose command went away is given up at once") {
  Vm warm = vm(1, Phase::warm);
  warm.scope = kRun;
  warm.in_flight.jit = true;
  World holder = world();
  put(holder, warm);
  (void)observe(holder, DemandSeen{kRun, kNow, {}, {}}, kNow);
  CHECK(actions_of(holder) == std::vector<Action>{cancelled(1)});
}

TEST_CASE("a VM that is given up holds its resources until it is removed") {
  World holder = world_with(vm(0, Phase::listening), 1);
  holder.capacity.vms = 1;
  const Plan made = plan(config(), holder, kNow + minutes{5});
  REQUIRE(made.actions.size() == 1);
  CHECK(std::holds_alternative<Stop>(made.actions.front()));
  REQUIRE(made.waits.size() == 1);
  CHECK(made.waits.front().reason == Reason{NoSlot{1}});
}

}  // namespace mvr::core::test
