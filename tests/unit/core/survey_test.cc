#include "core/survey.h"

#include "catch.h"
#include "fixture.h"

namespace mvr::core::test {
namespace {

Leftover leftover(const Vm& vm, bool alive = true) {
  return Leftover{vm.slot, SavedVm{vm, "boot", 100, 200}, alive};
}

const Instant kLater = kNow + minutes{30};

}  // namespace

TEST_CASE("a dead VM is erased and its runner forgotten") {
  const SurveyPlan plan = survey({leftover(with_runner(vm(2, Phase::running)), false)}, kLater);
  CHECK(plan.adopt.empty());
  CHECK(plan.erase == std::vector<Slot>{2});
  CHECK(plan.forget == std::vector<Runner>{*with_runner(vm(2, Phase::running)).runner});
  CHECK(plan.forget_scopes == std::vector<std::string>{kScope});
}

TEST_CASE("a directory without a readable spec is erased") {
  const SurveyPlan plan = survey({Leftover{3, std::nullopt, true}}, kLater);
  CHECK(plan.erase == std::vector<Slot>{3});
  CHECK(plan.forget.empty());
}

TEST_CASE("a spec that belongs to another slot is not trusted") {
  Leftover moved = leftover(vm(2, Phase::running));
  moved.slot = 4;
  CHECK(survey({moved}, kLater).erase == std::vector<Slot>{4});
}

TEST_CASE("a VM that was preparing is erased") {
  const SurveyPlan plan = survey({leftover(vm(0, Phase::preparing))}, kLater);
  CHECK(plan.erase == std::vector<Slot>{0});
  CHECK(plan.adopt.empty());
}

TEST_CASE("booting and warm VMs boot anew without their runner") {
  for (const Phase phase : {Phase::booting, Phase::warm}) {
    Vm saved = with_runner(vm(1, phase));
    saved.jit_ready = true;
    saved.jit_failures = 2;
    saved.in_flight.jit = true;
    saved.requested = "mv-h1-0000000b";
    const SurveyPlan plan = survey({leftover(saved)}, kLater);
    Vm expected = vm(1, Phase::booting);
    expected.since = kLater;
    expected.jit_retry_at = kLater;
    expected.adopted = true;
    CHECK(plan.adopt == std::vector<Vm>{expected});
    CHECK(plan.forget == std::vector<Runner>{*saved.runner});
    CHECK(plan.erase.empty());
  }
}

TEST_CASE("a VM that was being claimed keeps its runner") {
  Vm saved = with_runner(vm(1, Phase::claiming));
  saved.in_flight.claim = true;
  const SurveyPlan plan = survey({leftover(saved)}, kLater);
  Vm expected = with_runner(vm(1, Phase::claiming));
  expected.since = kLater;
  expected.adopted = true;
  CHECK(plan.adopt == std::vector<Vm>{expected});
  CHECK(plan.forget.empty());
}

TEST_CASE("listening, running and held VMs come back as they were") {
  for (const Phase phase : {Phase::listening, Phase::running, Phase::held}) {
    Vm saved = with_runner(vm(1, phase));
    saved.in_flight.deregister = true;
    const SurveyPlan plan = survey({leftover(saved)}, kLater);
    CHECK(plan.adopt == std::vector<Vm>{with_runner(vm(1, phase))});
  }
}

TEST_CASE("VMs on their way out are killed at once") {
  for (const Phase phase : {Phase::ending, Phase::removing}) {
    Vm saved = vm(1, phase);
    saved.cause = EndCause::finished;
    saved.kill_at = kLater + minutes{1};
    const SurveyPlan plan = survey({leftover(saved)}, kLater);
    REQUIRE(plan.adopt.size() == 1);
    World adopted = world();
    CHECK(observe(adopted, Adopted{plan.adopt.front()}, kLater).empty());
    CHECK(actions_of(adopted, kLater) == std::vector<Action>{Kill{1}});
    CHECK(plan.adopt.front().cause == EndCause::finished);
  }
}

TEST_CASE("an adopted booting VM asks for no runner before its agent has answered") {
  const SurveyPlan plan = survey({leftover(vm(1, Phase::booting))}, kLater);
  World adopted = world_wanting(1);
  (void)observe(adopted, Adopted{plan.adopt.front()}, kLater);
  CHECK(act(adopted, kLater).empty());
  (void)observe(adopted, AgentReady{1}, kLater);
  const std::vector<Action> next = act(adopted, kLater);
  REQUIRE(next.size() == 1);
  CHECK(std::holds_alternative<RequestJit>(next.front()));
}

TEST_CASE("an adopted booting VM gets its boot time anew") {
  const SurveyPlan plan = survey({leftover(vm(1, Phase::booting))}, kLater);
  World adopted = world_wanting(1);
  adopted.scopes[kScope].as_of = kLater;
  (void)observe(adopted, Adopted{plan.adopt.front()}, kLater);
  CHECK(act(adopted, kLater + seconds{59}).empty());
  CHECK(act(adopted, kLater + seconds{60}).size() == 1);
}

TEST_CASE("an adopted VM whose claim was lost ends without blame on its profile") {
  World adopted = world_wanting(1);
  Vm vm = with_runner(test::vm(1, Phase::claiming));
  vm.adopted = true;
  (void)observe(adopted, Adopted{vm}, kNow);
  CHECK(observe(adopted, AgentReady{1}, kNow).empty());
  CHECK(adopted.vms.at(1).phase == Phase::ending);
  CHECK(adopted.vms.at(1).cause == EndCause::cancelled);
  CHECK(adopted.health.empty());
}

TEST_CASE("a runner that a VM has, or that is being registered for one, is no ghost") {
  Vm asking = vm(2, Phase::removing);
  asking.removed = true;
  asking.in_flight.jit = true;
  asking.requested = "mv-h1-0000000b";
  World holder = world_with(asking);
  holder.vms.emplace(1, with_runner(vm(1, Phase::listening)));
  CHECK(is_runner_in_use(holder, holder.vms.at(1).runner->name));
  CHECK(is_runner_in_use(holder, "mv-h1-0000000b"));
  CHECK_FALSE(is_runner_in_use(holder, "mv-h1-0000000c"));
}

TEST_CASE("a runner whose registration the former daemon had asked for is a ghost") {
  Vm asking = vm(1, Phase::warm);
  asking.in_flight.jit = true;
  asking.requested = "mv-h1-0000000b";
  World holder = world();
  for (const Vm& adopted : survey({leftover(asking)}, kLater).adopt) {
    (void)observe(holder, Adopted{adopted}, kLater);
  }
  REQUIRE(holder.vms.contains(1));
  CHECK_FALSE(is_runner_in_use(holder, "mv-h1-0000000b"));
}

}  // namespace mvr::core::test
