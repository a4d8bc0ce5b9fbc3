// Jobs that do not fit hold reservations; who may pass them.
#include "catch.h"
#include "core/timeline.h"
#include "fixture.h"

namespace mvr::core::test {
namespace {

// 16 GiB, of which a VM holds 10 until kNow + 60 min by its limit; a job of 8 GiB waits.
World blocked_world(std::vector<JobHint> small_jobs) {
  World holder = world();
  Vm running = vm(0, Phase::running);
  running.size.memory = gib(10);
  running.expected = minutes{20};
  put(holder, running);
  holder.scopes[kScope].demands = {Demand{"large", {job(1)}, {}},
                                   Demand{"small", std::move(small_jobs), {}}};
  return holder;
}

Learned typical(const std::string& profile, Duration run) {
  return Learned{{Estimate{profile, "", "", "", run}}};
}

std::size_t launches(const World& world, Instant now = kNow) {
  const auto actions = actions_of(world, now);
  return static_cast<std::size_t>(std::ranges::count_if(
      actions, [](const Action& action) { return std::holds_alternative<Launch>(action); }));
}

}  // namespace

TEST_CASE("a short job passes one that waits for room, a long one does not") {
  World holder = blocked_world({job(2)});
  holder.capacity.memory = gib(12);  // 2 free; 8 from minute 20 on, 4 then beside the large one
  holder.vms.at(0).size.memory = gib(10);
  CHECK(launches(holder) == 1);  // it leaves the large one's 8 free
  holder.capacity.memory = gib(16);
  holder.vms.at(0).size.memory = gib(14);  // 2 free now, 16 later, 8 wanted
  CHECK(launches(holder) == 1);
  holder.capacity.memory = gib(9);
  holder.vms.at(0).size.memory = gib(7);  // 2 free now; the large one needs 8 of 9
  CHECK(launches(holder) == 0);
  (void)observe(holder, typical("small", minutes{5}), kNow);
  CHECK(launches(holder) == 1);
  (void)observe(holder, typical("small", minutes{20}), kNow);
  CHECK(launches(holder) == 0);
}

TEST_CASE("the median of the job itself counts before that of its profile") {
  JobHint short_one = job(2);
  short_one.repository = kScope;
  short_one.workflow = "ci";
  short_one.name = "lint";
  World holder = blocked_world({short_one});
  holder.capacity.memory = gib(9);
  holder.vms.at(0).size.memory = gib(7);
  (void)observe(holder, typical("small", minutes{40}), kNow);
  CHECK(launches(holder) == 0);
  (void)observe(holder, Learned{{Estimate{"", kScope, "ci", "lint", minutes{3}}}}, kNow);
  CHECK(launches(holder) == 1);
}

TEST_CASE("a reservation is kept by all who pass together") {
  World holder = blocked_world({job(2), job(3), job(4), job(5)});
  holder.capacity = Capacity{gib(15), 64, gib(500), 8};
  holder.vms.at(0).size.memory = gib(8);  // 7 free now; from minute 20 on 15 - 8 = 7
  const Plan made = plan(config(), holder, kNow);
  CHECK(made.actions.size() == 3);   // 6 of the 7
  holder.capacity.memory = gib(13);  // 5 free, and 5 beside the large one
  CHECK(launches(holder) == 2);
}

TEST_CASE("a job that is overdue is expected to take as long again as it has") {
  World holder = blocked_world({});
  holder.capacity.memory = gib(12);
  const Instant late = kNow + minutes{30};  // it was expected to end ten minutes ago
  const Plan made = plan(config(), holder, late);
  REQUIRE(made.waits.size() == 1);
  CHECK(made.waits.front().next == kNow + minutes{60} + kGoing);
}

TEST_CASE("who has waited long trusts nothing but limits") {
  JobHint old = job(1);
  World holder = blocked_world({job(2)});
  holder.scopes[kScope].demands.front().jobs = {old};
  holder.capacity.memory = gib(9);
  holder.vms.at(0).size.memory = gib(7);
  (void)observe(holder, typical("small", minutes{1}), kNow);
  CHECK(launches(holder) == 1);
  // The estimate of a minute may be wrong for ever; the limit of an hour is not.
  holder.vms.at(0).since = holder.vms.at(0).created = kNow + kPatience;
  CHECK(launches(holder, kNow + kPatience) == 1);
  CHECK(launches(holder, kNow + kPatience + milliseconds{1}) == 0);
}

// The bound of timeline.h, against the worst that can come: an endless supply of small jobs whose
// estimates are wrong, each running to its very limit.
TEST_CASE("no job at the head of the queue waits longer than the stated bound") {
  Config settings = config();
  World holder = world();
  holder.capacity = Capacity{gib(9), 64, gib(500), 8};
  (void)observe(holder, typical("small", minutes{1}), kNow);
  const Limits limits = settings.profiles.front().limits;
  const Duration bound =
      kPatience + limits.boot + limits.boot + limits.listen + limits.job + kGoing;
  std::int64_t id = 10;
  std::map<Slot, Instant> ends;
  Instant now = kNow;
  bool served = false;
  for (; now <= kNow + 2 * bound && !served; now += seconds{10}) {
    std::vector<JobHint> small = {job(++id), job(++id), job(++id)};
    for (JobHint& each : small) each.created = WallTime{seconds{1}};  // and all look older
    JobHint big = job(1, 100);
    (void)observe(
        holder,
        DemandSeen{kScope, now, {Demand{"large", {big}, {}}, Demand{"small", small, {}}}, {}}, now);
    for (auto end = ends.begin(); end != ends.end();) {
      if (end->second > now) {
        ++end;
        continue;
      }
      holder.vms.erase(end->first);
      end = ends.erase(end);
    }
    for (const Action& action : plan(settings, holder, now).actions) {
      const auto* launch = std::get_if<Launch>(&action);
      if (launch == nullptr) continue;
      (void)observe(holder, Dispatched{action}, now);
      Vm& made = holder.vms.at(launch->slot);
      made.in_flight.launch = false;
      made.phase = Phase::running;
      made.warned = true;
      ends[launch->slot] = now + limits.job - seconds{1};
      served = served || launch->profile == "large";
    }
  }
  CHECK(served);
  CHECK(now - kNow <= bound);
}

TEST_CASE("a plan in which some pass others is finished at once") {
  World holder = blocked_world({job(2), job(3), job(4), job(5)});
  holder.scopes[kRun].demands = {Demand{"small", {job(6), job(7)}, {}}};
  holder.scopes[kRun].as_of = kNow;
  (void)observe(holder, typical("small", minutes{5}), kNow);
  CHECK_FALSE(act(holder).empty());
  CHECK(actions_of(holder).empty());
}

}  // namespace mvr::core::test
