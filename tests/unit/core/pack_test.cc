// Demand -> launches and waits.
#include "catch.h"
#include "core/backoff.h"
#include "core/names.h"
#include "fixture.h"

namespace mvr::core::test {
namespace {

Launch launch(Slot slot, std::uint64_t number, const std::string& profile = "small") {
  const Config settings = config();
  Launch made;
  made.slot = slot;
  made.vm = vm_name(profile, 7, number);
  made.profile = profile;
  made.scope = kScope;
  made.size = settings.profile(profile)->size;
  made.limits = settings.profile(profile)->limits;
  made.expected = made.limits.job;
  return made;
}

// Shares are tested in queue_test.cc.
std::vector<Action> without_shares(std::vector<Action> actions) {
  for (Action& action : actions) {
    if (auto* one = std::get_if<Launch>(&action)) one->share = 0;
  }
  return actions;
}

Wait wait(std::uint32_t count, Reason reason, JobHint oldest) {
  return Wait{kScope, "small", count, std::move(reason), std::move(oldest), std::nullopt};
}

World with_demands(std::vector<Demand> demands) {
  World made = world();
  made.scopes[kScope].demands = std::move(demands);
  return made;
}

std::vector<Action> launches_of(const World& world, Instant now = kNow) {
  return without_shares(actions_of(world, now));
}

// The same waits, whenever they are expected to end.
std::vector<Wait> without_next(std::vector<Wait> waits) {
  for (Wait& wait : waits) wait.next.reset();
  return waits;
}

}  // namespace

TEST_CASE("each job that waits gets a VM of its own in the lowest free slots") {
  World holder = world_wanting(2);
  put(holder, vm(0, Phase::running));
  holder.launches = 40;
  CHECK(without_shares(act(holder)) == std::vector<Action>{launch(1, 40), launch(2, 41)});
  CHECK(holder.launches == 42);
  CHECK(launches_of(holder).empty());
}

TEST_CASE("no demand, no launch, no wait") {
  const Plan made = plan(config(), world(), kNow);
  CHECK(made.actions.empty());
  CHECK(made.waits.empty());
}

TEST_CASE("VMs on the way cover the oldest jobs, others do not") {
  for (const Phase phase : {Phase::preparing, Phase::booting, Phase::claiming, Phase::listening}) {
    Vm coming = with_runner(vm(0, phase));
    coming.in_flight.jit = true;
    CHECK(launches_of(world_with(coming, 2)) == std::vector<Action>{launch(1, 0)});
  }
  for (const Phase phase : {Phase::running, Phase::held}) {
    Vm taken = vm(0, phase);
    taken.held_until = kNow + std::chrono::hours{1};
    CHECK(launches_of(world_with(taken, 1)) == std::vector<Action>{launch(1, 0)});
  }
  Vm leaving = with_runner(vm(0, Phase::listening));
  leaving.in_flight.deregister = true;
  CHECK(launches_of(world_with(leaving, 1)) == std::vector<Action>{launch(1, 0)});
}

TEST_CASE("a VM of another scope or profile covers nothing") {
  Vm other = vm(0, Phase::running);
  other.profile = "large";
  World holder = world_with(other, 1);
  CHECK(launches_of(holder) == std::vector<Action>{launch(1, 0)});
}

TEST_CASE("jobs are taken oldest first over all profiles") {
  const World holder = with_demands({Demand{"large", {job(5)}, {}}, Demand{"small", {job(3)}, {}}});
  CHECK(launches_of(holder) == std::vector<Action>{launch(0, 0, "small"), launch(1, 1, "large")});
}

TEST_CASE("jobs of the same age are taken by id") {
  const World holder =
      with_demands({Demand{"large", {job(2, 50)}, {}}, Demand{"small", {job(1, 50)}, {}}});
  CHECK(launches_of(holder) == std::vector<Action>{launch(0, 0, "small"), launch(1, 1, "large")});
}

TEST_CASE("memory, vCPUs, disk and slots each stop launches with their numbers") {
  const std::vector<std::pair<Capacity, Reason>> table{
      {Capacity{gib(3), 16, gib(200), 8}, NoMemory{gib(2), gib(1)}},
      {Capacity{gib(16), 3, gib(200), 8}, NoCpus{2, 1}},
      {Capacity{gib(16), 16, gib(12), 8}, NoDisk{gib(10), gib(2)}},
      {Capacity{gib(16), 16, gib(200), 1}, NoSlot{1}}};
  for (const auto& [capacity, reason] : table) {
    World holder = world_wanting(3);
    holder.capacity = capacity;
    const Plan made = plan(config(), holder, kNow);
    CHECK(without_shares(made.actions) == std::vector<Action>{launch(0, 0)});
    CHECK(without_next(made.waits) == std::vector<Wait>{wait(2, reason, job(2))});
  }
}

TEST_CASE("a job that does not fit is not overtaken by one that would delay it") {
  World holder = with_demands({Demand{"large", {job(1)}, {}}, Demand{"small", {job(2)}, {}}});
  holder.capacity.memory = gib(9);
  put(holder, vm(0, Phase::running));
  const Plan made = plan(config(), holder, kNow);
  CHECK(made.actions.empty());
  REQUIRE(made.waits.size() == 2);
  CHECK(made.waits.front().reason == Reason{NoMemory{gib(8), gib(7)}});
  const Instant start = kNow + minutes{60} + seconds{30};
  CHECK(made.waits.front().next == start);
  CHECK(made.waits.back().reason == Reason{Reserved{"large", start}});
}

TEST_CASE("a job that never fits does not block others") {
  World holder = with_demands({Demand{"large", {job(1)}, {}}, Demand{"small", {job(2)}, {}}});
  holder.capacity.memory = gib(4);
  const Plan made = plan(config(), holder, kNow);
  CHECK(without_shares(made.actions) == std::vector<Action>{launch(0, 0)});
  REQUIRE(made.waits.size() == 1);
  CHECK(made.waits.front().reason ==
        Reason{TooBig{config().profile("large")->size, holder.capacity}});
}

TEST_CASE("a profile's limit counts all its VMs and blocks no other profile") {
  World holder = with_demands({Demand{"large", {job(2)}, {}}, Demand{"small", {job(1)}, {}}});
  put(holder, vm(0, Phase::removing));
  holder.vms.at(0).in_flight.remove = true;
  Config limited = config();
  limited.profiles.front().max = 1;
  const Plan made = plan(limited, holder, kNow);
  CHECK(without_shares(made.actions) == std::vector<Action>{launch(1, 0, "large")});
  CHECK(without_next(made.waits) == std::vector<Wait>{wait(1, ProfileMax{1}, job(1))});
}

TEST_CASE("a scope's limit holds within one plan") {
  Config limited = config();
  limited.github.scopes.front().max = 2;
  const Plan made = plan(limited, world_wanting(5), kNow);
  CHECK(made.actions.size() == 2);
  CHECK(without_next(made.waits) == std::vector<Wait>{wait(3, ScopeMax{2}, job(3))});
}

TEST_CASE("a draining host launches nothing and says so") {
  World holder = world_wanting(2);
  holder.draining = true;
  const Plan made = plan(config(), holder, kNow);
  CHECK(made.actions.empty());
  CHECK(without_next(made.waits) == std::vector<Wait>{wait(2, Draining{}, job(1))});
}

TEST_CASE("a missing image keeps its profile waiting only") {
  World holder = with_demands({Demand{"large", {job(2)}, {}}, Demand{"small", {job(1)}, {}}});
  holder.missing_images["small"] = "not built";
  const Plan made = plan(config(), holder, kNow);
  CHECK(without_shares(made.actions) == std::vector<Action>{launch(0, 0, "large")});
  CHECK(without_next(made.waits) == std::vector<Wait>{wait(1, MissingImage{"not built"}, job(1))});
}

TEST_CASE("a profile that fails to boot waits until its back-off is over") {
  World holder = world_wanting(1);
  holder.health["small"] = Health{2, kNow, EndCause::boot_timeout, "no hello"};
  const Instant until = kNow + backoff_delay(kBootBackoff, 2, "small");
  const Plan made = plan(config(), holder, kNow);
  CHECK(made.actions.empty());
  CHECK(without_next(made.waits) ==
        std::vector<Wait>{wait(1, Backoff{until, 2, "boot_timeout: no hello"}, job(1))});
  CHECK(made.wake_at == until);
  CHECK(launches_of(holder, until) == std::vector<Action>{launch(0, 0)});
}

TEST_CASE("jobs no profile serves are named by their labels") {
  World holder = world();
  JobHint gpu = job(1);
  gpu.labels = {"gpu"};
  JobHint windows = job(2);
  windows.labels = {"windows"};
  holder.scopes[kScope].unmatched = {gpu, windows, gpu};
  CHECK(plan(config(), holder, kNow).waits ==
        std::vector<Wait>{Wait{kScope, "", 2, NoProfile{{"gpu"}}, gpu, std::nullopt},
                          Wait{kScope, "", 1, NoProfile{{"windows"}}, windows, std::nullopt}});
}

TEST_CASE("demand for a profile that left the configuration waits for a profile") {
  const World holder = with_demands({Demand{"retired", {job(1)}, {}}});
  const Plan made = plan(config(), holder, kNow);
  CHECK(made.actions.empty());
  REQUIRE(made.waits.size() == 1);
  CHECK(made.waits.front().reason == Reason{NoProfile{{"small"}}});
}

TEST_CASE("a failing listing is used for five minutes, then launches nothing") {
  World holder = world_wanting(2);
  const Error error{Errc::unavailable, "HTTP 502"};
  holder.scopes[kScope].failure = error;
  holder.scopes[kScope].retry_at = kNow + seconds{8};
  const Reason down = DiscoveryDown{error, kNow + seconds{8}};
  const Plan young = plan(config(), holder, kNow + minutes{5});
  CHECK(young.actions.size() == 2);
  CHECK(without_next(young.waits) ==
        std::vector<Wait>{Wait{kScope, "", 0, down, std::nullopt, std::nullopt}});
  const Plan old = plan(config(), holder, kNow + minutes{5} + milliseconds{1});
  CHECK(old.actions.empty());
  CHECK(without_next(old.waits) ==
        std::vector<Wait>{Wait{kScope, "", 2, down, job(1), std::nullopt}});
}

TEST_CASE("demand of a scope that left the configuration is ignored") {
  World holder = world();
  holder.scopes["gone/away"].demands = {Demand{"small", jobs(2), {}}};
  const Plan made = plan(config(), holder, kNow);
  CHECK(made.actions.empty());
  CHECK(made.waits.empty());
}

TEST_CASE("commands are launched like jobs") {
  World holder = world();
  holder.scopes[kRun].demands = {Demand{"small", jobs(1), {}}};
  const std::vector<Action> actions = launches_of(holder);
  REQUIRE(actions.size() == 1);
  CHECK(std::get<Launch>(actions.front()).scope == kRun);
}

TEST_CASE("a removed VM takes nothing but keeps its slot until it is deregistered") {
  Vm removed = with_runner(vm(0, Phase::removing));
  removed.removed = true;
  removed.in_flight.deregister = true;
  World holder = world_with(removed, 1);
  holder.capacity = Capacity{gib(2), 2, gib(10), 2};
  CHECK(launches_of(holder) == std::vector<Action>{launch(1, 0)});
}

TEST_CASE("a capacity below what is used launches nothing") {
  World holder = world_with(vm(0, Phase::running), 1);
  holder.capacity = Capacity{gib(1), 1, gib(10), 8};
  holder.capacity.memory = gib(2);
  holder.capacity.vcpus = 2;
  put(holder, vm(1, Phase::running));
  const Plan made = plan(config(), holder, kNow);
  CHECK(made.actions.empty());
  REQUIRE(made.waits.size() == 1);
  CHECK(made.waits.front().reason == Reason{NoMemory{gib(2), gib(0)}});
}

TEST_CASE("no plan has more actions than its bound") {
  World holder = world_wanting(1'000);
  holder.capacity = Capacity{gib(10'000), 10'000, gib(100'000), 1'000};
  const Plan made = plan(config(), holder, kNow);
  CHECK(made.actions.size() == kMaxActions);
  CHECK(made.wake_at == kNow + milliseconds{1});
}

}  // namespace mvr::core::test
