// Who goes next: priority with ageing, fair shares, age.
#include "core/queue.h"

#include "catch.h"
#include "fixture.h"

namespace mvr::core::test {
namespace {

JobHint job_of(const std::string& repository, std::int64_t id) {
  JobHint made = job(id);
  made.repository = repository;
  return made;
}

Config org_config() {
  Config made = config();
  Scope organisation;
  organisation.kind = ScopeKind::organization;
  organisation.owner = "octo";
  made.github.scopes = {organisation};
  return made;
}

World org_world(std::vector<Demand> demands) {
  World made = world();
  made.scopes.clear();
  made.scopes["octo"].as_of = kNow;
  made.scopes["octo"].demands = std::move(demands);
  return made;
}

// The repositories in the order in which their jobs are served, each as large as `small`.
std::string order(const Config& settings, const World& world, Instant now = kNow) {
  Queue queue(settings, world, now);
  std::string text;
  while (Group* group = queue.next()) {
    text += group->repository->back();
    (void)queue.serve(*group, settings.profiles.front().size);
  }
  return text;
}

std::vector<JobHint> many(const std::string& repository, std::int64_t first, std::int64_t count) {
  std::vector<JobHint> made;
  for (std::int64_t n = 0; n < count; ++n) made.push_back(job_of(repository, first + n));
  return made;
}

std::vector<JobHint> operator+(std::vector<JobHint> a, const std::vector<JobHint>& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

}  // namespace

TEST_CASE("repositories that compete take turns, whoever queued first") {
  const World holder =
      org_world({Demand{"small", many("octo/a", 1, 4) + many("octo/b", 10, 4), {}}});
  CHECK(order(org_config(), holder) == "abababab");
}

TEST_CASE("a weight of two gives two turns of three") {
  Config weighted = org_config();
  weighted.scheduling.weights["octo/b"] = 2;
  const World holder =
      org_world({Demand{"small", many("octo/a", 1, 3) + many("octo/b", 10, 6), {}}});
  CHECK(order(weighted, holder) == "abbabbabb");
}

TEST_CASE("what a repository had while it was alone is no debt later") {
  Config settings = org_config();
  World holder = org_world({Demand{"small", many("octo/a", 1, 20), {}}});
  for (int n = 0; n < 4; ++n) {
    for (const Action& action : plan(settings, holder, kNow).actions) {
      (void)observe(holder, Dispatched{action}, kNow);
    }
    holder.vms.clear();  // all served; the next ones come
  }
  holder.scopes["octo"].demands = {
      Demand{"small", many("octo/a", 50, 3) + many("octo/b", 60, 3), {}}};
  CHECK(order(settings, holder).substr(0, 2) != "bb");
  CHECK(order(settings, holder).substr(0, 4).find("aa") == std::string::npos);
}

TEST_CASE("larger VMs count for more") {
  World holder = org_world(
      {Demand{"large", many("octo/a", 1, 2), {}}, Demand{"small", many("octo/b", 10, 6), {}}});
  const Config settings = org_config();
  Queue queue(settings, holder, kNow);
  std::string text;
  while (Group* group = queue.next()) {
    text += group->repository->back();
    (void)queue.serve(*group, group->settings->size);
  }
  CHECK(text == "abbbbabb");  // a large one is half of the host, a small one an eighth
}

TEST_CASE("priority goes first until others have waited for it") {
  Config settings = org_config();
  settings.profiles[1].priority = 3;
  JobHint patient = job_of("octo/a", 1);
  JobHint urgent = job_of("octo/b", 2);
  World holder = org_world({Demand{"small", {patient}, {}}, Demand{"large", {urgent}, {}}});
  CHECK(order(settings, holder) == "ba");
  patient.seen = kNow - 3 * kAgeing;
  holder = org_world({Demand{"small", {patient}, {}}, Demand{"large", {urgent}, {}}});
  CHECK(order(settings, holder) == "ab");
  patient.seen = kNow - 3 * kAgeing + milliseconds{1};
  holder = org_world({Demand{"small", {patient}, {}}, Demand{"large", {urgent}, {}}});
  CHECK(order(settings, holder) == "ba");
}

TEST_CASE("a job keeps the time of its first listing") {
  World holder = org_world({});
  const auto list = [&holder](Instant as_of, std::vector<JobHint> listed) {
    (void)observe(holder, DemandSeen{"octo", as_of, {Demand{"small", std::move(listed), {}}}, {}},
                  as_of);
  };
  list(kNow + seconds{1}, {job_of("octo/a", 1)});
  list(kNow + seconds{9}, {job_of("octo/a", 1), job_of("octo/a", 2)});
  const Jobs& jobs = holder.scopes.at("octo").demands.front().jobs;
  CHECK(jobs.at(0).seen == kNow + seconds{1});
  CHECK(jobs.at(1).seen == kNow + seconds{9});
}

TEST_CASE("a VM on the way covers a job of the repository it was made for") {
  World holder = org_world({Demand{"small", many("octo/a", 1, 1) + many("octo/b", 2, 1), {}}});
  Vm coming = vm(0, Phase::booting);
  coming.scope = "octo";
  coming.repository = "octo/b";
  put(holder, coming);
  CHECK(order(org_config(), holder) == "a");
  holder.vms.at(0).repository = "octo/c";  // its job is gone: any other does
  CHECK(order(org_config(), holder) == "b");
}

TEST_CASE("a repository's limit leaves room for others") {
  Config settings = org_config();
  settings.github.scopes.front().max_per_repo = 2;
  const World holder =
      org_world({Demand{"small", many("octo/a", 1, 4) + many("octo/b", 10, 1), {}}});
  const Plan made = plan(settings, holder, kNow);
  CHECK(made.actions.size() == 3);
  REQUIRE(made.waits.size() == 1);
  CHECK(made.waits.front().reason == Reason{RepositoryMax{"octo/a", 2}});
  CHECK(made.waits.front().jobs == 2);
}

TEST_CASE("shares that are behind everybody's are forgotten") {
  World holder = org_world({});
  for (int n = 0; n < 500; ++n) {
    Launch launch = launch_of(vm(static_cast<Slot>(n), Phase::preparing));
    launch.repository = "octo/" + std::to_string(n);
    launch.share = holder.shares.now + 1'000;
    (void)observe(holder, Dispatched{launch}, kNow);
    holder.shares.now += 500;
  }
  CHECK(holder.shares.ends.size() < 10);
}

}  // namespace mvr::core::test
