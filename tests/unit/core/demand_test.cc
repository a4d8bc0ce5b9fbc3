// DemandSeen and what is still listed though our VMs took it.
#include "catch.h"
#include "fixture.h"

namespace mvr::core::test {
namespace {

DemandSeen seen(Instant as_of, std::vector<JobHint> listed) {
  return DemandSeen{kScope, as_of, {Demand{"small", std::move(listed), {}}}, {}};
}

// A VM in slot 1 took one of two listed jobs at kNow.
World one_of_two_taken() {
  World holder = world_with(vm(1, Phase::listening), 2);
  (void)observe(holder, JobStarted{1, "j"}, kNow);
  return holder;
}

}  // namespace

TEST_CASE("a listing replaces all demand of its scope") {
  World holder = world_wanting(3);
  DemandSeen event = seen(kNow + seconds{1}, jobs(1));
  event.unmatched = {job(9)};
  CHECK(observe(holder, event, kNow).empty());
  const ScopeState& state = holder.scopes.at(kScope);
  CHECK(state.as_of == kNow + seconds{1});
  CHECK(state.demands == std::vector<Demand>{Demand{"small", jobs(1), {}}});
  CHECK(state.unmatched == std::vector<JobHint>{job(9)});
}

TEST_CASE("an older listing that comes late is ignored") {
  World holder = world_wanting(3);
  const World untouched = holder;
  CHECK_FALSE(observe(holder, seen(kNow - seconds{1}, {}), kNow).empty());
  CHECK(holder == untouched);
}

TEST_CASE("a listing with an older part is ignored only where its newest part is older as well") {
  World holder = world_wanting(0);
  DemandSeen late = seen(kNow - seconds{2}, jobs(1));
  late.newest = kNow;
  CHECK(observe(holder, late, kNow).empty());
  CHECK(holder.scopes.at(kScope).as_of == kNow - seconds{2});
  CHECK(listed(holder.scopes.at(kScope)) == 1);
  CHECK_FALSE(observe(holder, seen(kNow - seconds{1}, {}), kNow).empty());
  CHECK(listed(holder.scopes.at(kScope)) == 1);
}

TEST_CASE("a part out of sight is known with the demand of the rest") {
  World holder = world_wanting(0);
  DemandSeen event = seen(kNow, jobs(2));
  event.failure = Error{Errc::not_found, "acme/closed"};
  event.retry_at = kNow + seconds{9};
  CHECK(observe(holder, event, kNow).empty());
  CHECK(holder.scopes.at(kScope).failure == event.failure);
  CHECK(holder.scopes.at(kScope).retry_at == kNow + seconds{9});
  CHECK(listed(holder.scopes.at(kScope)) == 2);
  CHECK(observe(holder, seen(kNow, jobs(2)), kNow).empty());
  CHECK_FALSE(holder.scopes.at(kScope).failure);
}

TEST_CASE("a failed listing keeps the last demand, a good one clears the failure") {
  World holder = world_wanting(2);
  const Error error{Errc::unavailable, "HTTP 502"};
  (void)observe(holder, DiscoveryFailed{kScope, error, kNow + seconds{9}}, kNow);
  CHECK(holder.scopes.at(kScope).failure == error);
  CHECK(holder.scopes.at(kScope).retry_at == kNow + seconds{9});
  CHECK(holder.scopes.at(kScope).demands.size() == 1);
  (void)observe(holder, seen(kNow, jobs(2)), kNow);
  CHECK_FALSE(holder.scopes.at(kScope).failure);
}

TEST_CASE("a job our VM took is no demand while a listing still shows it") {
  World holder = one_of_two_taken();
  CHECK(holder.scopes.at(kScope).demands.front().taken == std::vector<Instant>{kNow});
  CHECK(actions_of(holder).size() == 1);
  (void)observe(holder, seen(kNow + seconds{5}, jobs(2)), kNow + seconds{6});
  CHECK(holder.scopes.at(kScope).demands.front().taken.size() == 1);
}

TEST_CASE("a taken job that vanished from the listing does not hide another") {
  World holder = one_of_two_taken();
  (void)observe(holder, seen(kNow + seconds{1}, {job(2)}), kNow + seconds{1});
  CHECK(holder.scopes.at(kScope).demands.front().taken.empty());
  CHECK(actions_of(holder, kNow + seconds{1}).size() == 1);
}

TEST_CASE("a listing ten seconds younger is believed whatever was taken") {
  World holder = one_of_two_taken();
  (void)observe(holder, seen(kNow + seconds{10}, jobs(2)), kNow + seconds{11});
  CHECK(holder.scopes.at(kScope).demands.front().taken.empty());
}

TEST_CASE("a job taken before it was ever listed is not demand when it appears") {
  World holder = world();
  put(holder, vm(1, Phase::listening));
  (void)observe(holder, JobStarted{1, "j"}, kNow);
  (void)observe(holder, seen(kNow + seconds{2}, jobs(1)), kNow + seconds{2});
  CHECK(actions_of(holder, kNow + seconds{2}).empty());
}

TEST_CASE("taken jobs are remembered while their profile is not listed") {
  World holder = one_of_two_taken();
  put(holder, vm(2, Phase::listening));
  (void)observe(holder, JobStarted{2, "k"}, kNow);
  holder.scopes.at(kScope).demands.front().jobs = {};
  (void)observe(holder, DemandSeen{kScope, kNow, {}, {}}, kNow);
  REQUIRE(holder.scopes.at(kScope).demands.size() == 1);
  CHECK(holder.scopes.at(kScope).demands.front().taken.size() == 2);
}

TEST_CASE("commands have no listing that lags") {
  World holder = world();
  Vm claiming = vm(1, Phase::claiming);
  claiming.scope = kRun;
  put(holder, claiming);
  (void)observe(holder, DemandSeen{kRun, kNow, {Demand{"small", jobs(1), {}}}, {}}, kNow);
  (void)observe(holder, JobStarted{1, "command"}, kNow);
  CHECK(actions_of(holder).empty());
  (void)observe(holder, DemandSeen{kRun, kNow, {Demand{"small", {job(2)}, {}}}, {}}, kNow);
  CHECK(actions_of(holder).size() == 1);
}

}  // namespace mvr::core::test
