// Listings of queued jobs, and the polling on top of them.
#include "github/discovery.h"

#include "base/text.h"
#include "catch.h"
#include "samples.h"
#include "scripted_server.h"

namespace mvr::github {
namespace {

using namespace mvr::test;
using Log = std::vector<std::string>;
using Ids = std::vector<std::int64_t>;

std::string runs(const std::string& repository, const std::string& status) {
  return "GET /repos/" + repository + "/actions/runs?status=" + status;
}
std::string jobs(const std::string& repository, int run) {
  return "GET /repos/" + repository + "/actions/runs/" + std::to_string(run) + "/jobs";
}
const std::string kQueued = runs("acme/app", "queued");
const std::string kInProgress = runs("acme/app", "in_progress");

// The stand-in's clock.
Answer dated(Answer answer) {
  answer.headers["Date"] = "Fri, 20 Nov 2026 10:00:00 GMT";
  return answer;
}
Answer run_list(const std::string& ids) { return dated(answer(runs_json(ids))); }
Answer job_list(std::int64_t id, const std::string& status = "queued") {
  return dated(answer(jobs_json(job_json(id, "2026-11-20T09:00:00Z", "mv", status))));
}

Result<JobListing> look(const Bench& bench, const core::Scope& scope = repository_scope()) {
  return bench.wait<JobListing>(
      [&](auto done) { bench.client->queued_jobs(scope, std::move(done)); });
}

Ids ids(const Result<JobListing>& listing) {
  REQUIRE(listing);
  Ids all;
  for (const auto& job : listing->jobs) all.push_back(job.id);
  return all;
}

core::Config config_for(const Bench& bench) {
  core::Config config;
  config.github = bench.settings;
  config.github.poll_interval = Duration{1'000};
  config.github.scopes = {repository_scope()};
  core::Profile profile;
  profile.name = "small";
  profile.labels = {"mv"};
  config.profiles = {profile};
  return config;
}

}  // namespace

TEST_CASE("a listing opens queued runs and runs in progress") {
  const Bench bench;
  bench.server->add(kQueued, run_list("2,1"));
  bench.server->add(kInProgress, run_list("3,2"));
  for (const int run : {1, 2, 3}) bench.server->add(jobs("acme/app", run), job_list(100 + run));
  const Instant before = bench.loop->now();
  const auto listing = look(bench);
  CHECK(ids(listing) == Ids{101, 102, 103});
  CHECK(listing->as_of >= before);
  CHECK(listing->as_of <= bench.loop->now());
  CHECK(bench.server->log() ==
        Log{kQueued, kInProgress, jobs("acme/app", 1), jobs("acme/app", 2), jobs("acme/app", 3)});
  CHECK(listing->jobs.at(0).repository == "acme/app");
}

TEST_CASE("a listing is as old as its first request, not as its last") {
  const Bench bench;
  Answer slow = run_list("");
  slow.delay = Duration{30};
  bench.server->add(kQueued, slow);
  bench.server->add(kInProgress, slow);
  const auto listing = look(bench);
  REQUIRE(listing);
  CHECK(listing->as_of <= bench.loop->now() - Duration{60});
}

TEST_CASE("runs in progress are listed every third time, what was found there each time") {
  const Bench bench;
  bench.server->always(kQueued, run_list(""));
  bench.server->always(kInProgress, run_list("3"));
  bench.server->always(jobs("acme/app", 3), job_list(103));
  for (int i = 0; i < 4; ++i) CHECK(ids(look(bench)) == Ids{103});
  const std::string opened = jobs("acme/app", 3);
  CHECK(bench.server->log() == Log{kQueued, kInProgress, opened, kQueued, opened, kQueued, opened,
                                   kQueued, kInProgress, opened});
}

TEST_CASE("a run whose job was taken leaves the listing with the next look") {
  const Bench bench;
  bench.server->add(kQueued, run_list("1"));
  bench.server->always(kQueued, run_list(""));
  bench.server->always(kInProgress, run_list(""));
  bench.server->add(jobs("acme/app", 1), job_list(101));
  bench.server->add(jobs("acme/app", 1), job_list(101, "in_progress"));
  CHECK(ids(look(bench)) == Ids{101});
  CHECK(ids(look(bench)).empty());
  CHECK(ids(look(bench)).empty());
  CHECK(bench.server->log() ==
        Log{kQueued, kInProgress, jobs("acme/app", 1), kQueued, jobs("acme/app", 1), kQueued});
}

TEST_CASE("a run deleted meanwhile does not fail the listing") {
  const Bench bench;
  bench.server->add(kQueued, run_list("1,2"));
  bench.server->add(kInProgress, run_list(""));
  bench.server->add(jobs("acme/app", 1), refusal(404));
  bench.server->add(jobs("acme/app", 2), job_list(102));
  CHECK(ids(look(bench)) == Ids{102});
}

TEST_CASE("at most fifty runs are opened, all of them in turn, and what is known stays") {
  const Bench bench;
  std::string all;
  for (int run = 1; run <= 70; ++run) {
    all += (run > 1 ? "," : "") + std::to_string(run);
    bench.server->always(jobs("acme/app", run), job_list(100 + run));
  }
  bench.server->always(kQueued, run_list(all));
  bench.server->always(kInProgress, run_list(""));
  CHECK(ids(look(bench)).size() == 50);
  CHECK(bench.server->log().size() == 52);
  CHECK(ids(look(bench)).size() == 70);
}

TEST_CASE("a job's age is measured with GitHub's clock") {
  const Bench bench;
  bench.server->add(kQueued, run_list("1"));
  bench.server->add(kInProgress, run_list(""));
  const std::string old = job_json(7, "2026-11-19T09:59:00Z", "mv");
  const std::string young = job_json(8, "2026-11-19T10:01:00Z", "mv");
  bench.server->add(jobs("acme/app", 1), dated(answer(jobs_json(old + "," + young))));
  CHECK(ids(look(bench)) == Ids{8});
}

TEST_CASE("jobs on further pages are found") {
  const Bench bench;
  bench.server->add(kQueued, run_list("1"));
  bench.server->add(kInProgress, run_list(""));
  Answer first = job_list(101);
  first.headers["Link"] = "<" + bench.server->url() + "/api/v3/more?page=2>; rel=\"next\"";
  bench.server->add(jobs("acme/app", 1), first);
  bench.server->add("GET /more?page=2", job_list(102));
  CHECK(ids(look(bench)) == Ids{101, 102});
}

TEST_CASE("a repository that cannot be read fails its scope") {
  const Bench bench;
  bench.server->add(kQueued, refusal(404));
  CHECK(look(bench).error().code == Errc::not_found);
}

TEST_CASE("an organisation's named repositories are looked at") {
  const Bench bench;
  core::Scope scope = organization_scope();
  scope.repositories = {"one", "two"};
  for (const std::string name : {"acme/one", "acme/two"}) {
    bench.server->add(runs(name, "queued"), run_list("1"));
    bench.server->add(runs(name, "in_progress"), run_list(""));
  }
  bench.server->add(jobs("acme/one", 1), job_list(101));
  bench.server->add(jobs("acme/two", 1), job_list(102));
  bench.server->add("GET /orgs/acme/actions/runner-groups", answer(std::string(kGroupsPage)));
  const auto listing = look(bench, scope);
  CHECK(ids(listing) == Ids{101, 102});
  CHECK(listing->jobs.at(1).repository == "acme/two");
}

TEST_CASE("an organisation's repositories are found, and found again only after a while") {
  const Bench bench;
  bench.server->add("GET /orgs/acme/repos", dated(answer(std::string(kRepositoriesPage))));
  bench.server->always(kQueued, run_list(""));
  bench.server->always(kInProgress, run_list(""));
  REQUIRE(look(bench, organization_scope()));
  REQUIRE(look(bench, organization_scope()));
  CHECK(bench.server->log() == Log{"GET /orgs/acme/repos", kQueued, kInProgress, kQueued});
}

TEST_CASE("an organisation without repositories has no jobs") {
  const Bench bench;
  bench.server->always("GET /orgs/acme/repos", answer("[]"));
  CHECK(ids(look(bench, organization_scope())).empty());
  CHECK(ids(look(bench, organization_scope())).empty());
}

TEST_CASE("one closed repository of an organisation leaves a gap, not a failure") {
  const Bench bench;
  core::Scope scope = organization_scope();
  scope.repositories = {"closed", "app"};
  bench.server->add(runs("acme/closed", "queued"), refusal(403));
  bench.server->add(kQueued, run_list("1"));
  bench.server->add(kInProgress, run_list(""));
  bench.server->add(jobs("acme/app", 1), job_list(101));
  bench.server->add("GET /orgs/acme/actions/runner-groups", answer(std::string(kGroupsPage)));
  const auto listing = look(bench, scope);
  CHECK(ids(listing) == Ids{101});
  REQUIRE(listing->gap);
  CHECK(listing->gap->code == Errc::denied);
  CHECK(listing->gap->what.find("acme/closed") != std::string::npos);
}

TEST_CASE("an organisation of which nothing can be read fails") {
  const Bench bench;
  core::Scope scope = organization_scope();
  scope.repositories = {"one", "two"};
  bench.server->add(runs("acme/one", "queued"), refusal(404));
  bench.server->add(runs("acme/two", "queued"), refusal(404));
  CHECK(look(bench, scope).error().code == Errc::not_found);
}

TEST_CASE("a refused token fails an organisation at its first repository") {
  const Bench bench;
  core::Scope scope = organization_scope();
  scope.repositories = {"one", "two"};
  bench.server->add(runs("acme/one", "queued"), refusal(401));
  CHECK(look(bench, scope).error().code == Errc::unauthorized);
  CHECK(bench.server->log().size() == 1);
}

TEST_CASE("polling reports the demand of each profile and looks again") {
  const Bench bench;
  bench.server->always(kQueued, run_list("1"));
  bench.server->always(kInProgress, run_list(""));
  bench.server->always(jobs("acme/app", 1), job_list(101));
  const auto discovery = make_poll_discovery(*bench.loop, config_for(bench), *bench.client);
  std::vector<core::Event> events;
  std::vector<Instant> times;
  discovery->start([&](core::Event event) {
    events.push_back(std::move(event));
    times.push_back(bench.loop->now());
  });
  bench.run_until([&] { return events.size() == 2; });
  const auto* seen = std::get_if<core::DemandSeen>(&events.at(0));
  REQUIRE(seen != nullptr);
  CHECK(seen->scope == "acme/app");
  REQUIRE(seen->demands.size() == 1);
  CHECK(seen->demands.at(0).profile == "small");
  CHECK(seen->demands.at(0).jobs.at(0).id == 101);
  CHECK(times.at(1) - times.at(0) >= Duration{900});
}

TEST_CASE("a failed poll is reported with the time of the next one, which then happens") {
  Tuning tuning = quick();
  tuning.retries = 0;
  const Bench bench(tuning);
  bench.server->add(kQueued, refusal(500, "boom"));
  bench.server->always(kQueued, run_list(""));
  bench.server->always(kInProgress, run_list(""));
  const auto discovery = make_poll_discovery(*bench.loop, config_for(bench), *bench.client);
  std::vector<core::Event> events;
  Instant failed_at{};
  discovery->start([&](core::Event event) {
    if (events.empty()) failed_at = bench.loop->now();
    events.push_back(std::move(event));
  });
  bench.run_until([&] { return events.size() == 2; });
  const auto* failed = std::get_if<core::DiscoveryFailed>(&events.at(0));
  REQUIRE(failed != nullptr);
  CHECK(failed->scope == "acme/app");
  CHECK(failed->error.code == Errc::unavailable);
  CHECK(failed->retry_at > failed_at);
  CHECK(std::holds_alternative<core::DemandSeen>(events.at(1)));
  CHECK(std::get<core::DemandSeen>(events.at(1)).as_of >= failed->retry_at);
}

TEST_CASE("a gap is reported beside the demand of the rest") {
  const Bench bench;
  core::Config config = config_for(bench);
  config.github.scopes = {organization_scope()};
  config.github.scopes[0].repositories = {"closed", "app"};
  bench.server->add(runs("acme/closed", "queued"), refusal(404));
  bench.server->add(kQueued, run_list(""));
  bench.server->add(kInProgress, run_list(""));
  const auto discovery = make_poll_discovery(*bench.loop, config, *bench.client);
  std::vector<core::Event> events;
  discovery->start([&](core::Event event) { events.push_back(std::move(event)); });
  bench.run_until([&] { return events.size() == 2; });
  // "closed" is known to be out of sight before anything is known of "app", which takes longer.
  CHECK(std::holds_alternative<core::DiscoveryFailed>(events.at(0)));
  const auto& rest = std::get<core::DemandSeen>(events.at(1));
  CHECK_FALSE(rest.is_partial);
  REQUIRE(rest.failure);
  CHECK(rest.failure->code == Errc::not_found);
  CHECK(rest.retry_at > rest.newest);
}

TEST_CASE("a job counts whatever was asked, and answered, since its listing was begun") {
  const Bench bench;
  core::Config config = config_for(bench);
  config.github.poll_interval = Duration{3'600'000};
  config.github.scopes = {organization_scope()};
  config.github.scopes[0].repositories = {"one", "two"};
  Answer one = run_list("1");
  one.delay = Duration{50};
  Answer late = job_list(101);
  late.delay = Duration{200};
  bench.server->always(runs("acme/one", "queued"), one);
  bench.server->always(runs("acme/two", "queued"), run_list(""));
  for (const std::string name : {"acme/one", "acme/two"}) {
    bench.server->always(runs(name, "in_progress"), run_list(""));
  }
  bench.server->always(jobs("acme/one", 1), late);
  bench.server->always("GET /orgs/acme/actions/runner-groups", answer(std::string(kGroupsPage)));
  const auto discovery = make_poll_discovery(*bench.loop, config, *bench.client);
  core::World world;
  std::vector<core::DemandSeen> seen;
  discovery->start([&](const core::Event& event) {
    CHECK(core::observe(world, event, bench.loop->now()).empty());
    seen.push_back(std::get<core::DemandSeen>(event));
  });
  bench.run_until([&] { return seen.size() == 2; });
  // The one without jobs was asked later and answered first.
  CHECK(seen[0].demands.empty());
  CHECK((seen[0].as_of - seen[1].as_of).count() > 0);
  CHECK(core::listed(world.scopes.at("acme")) == 1);
}

TEST_CASE("a hint hastens the next poll") {
  const Bench bench;
  core::Config config = config_for(bench);
  config.github.poll_interval = Duration{3'600'000};
  bench.server->always(kQueued, run_list(""));
  bench.server->always(kInProgress, run_list(""));
  const auto discovery = make_poll_discovery(*bench.loop, config, *bench.client);
  int seen = 0;
  Instant first{};
  discovery->start([&](const core::Event&) {
    if (seen++ == 0) first = bench.loop->now();
  });
  bench.run_until([&] { return seen == 1; });
  for (int i = 0; i < 100; ++i) discovery->hint("");
  bench.run_until([&] { return seen == 2; });
  CHECK(bench.loop->now() - first >= Duration{900});  // within limits
}

TEST_CASE("a hint hastens the poll of its repository only") {
  const Bench bench;
  core::Config config = config_for(bench);
  config.github.poll_interval = Duration{3'600'000};
  config.github.scopes = {organization_scope()};
  config.github.scopes[0].repositories = {"one", "Two", "three"};
  for (const std::string name : {"acme/one", "acme/Two", "acme/three"}) {
    bench.server->always(runs(name, "queued"), run_list(""));
    bench.server->always(runs(name, "in_progress"), run_list(""));
  }
  const auto discovery = make_poll_discovery(*bench.loop, config, *bench.client);
  std::vector<core::Event> events;
  discovery->start([&](core::Event event) { events.push_back(std::move(event)); });
  bench.run_until([&] { return events.size() == 3; });
  CHECK(std::get<core::DemandSeen>(events.at(1)).is_partial);
  CHECK_FALSE(std::get<core::DemandSeen>(events.at(2)).is_partial);
  const std::size_t before = bench.server->log().size();
  discovery->hint("acme/two");  // GitHub ignores case
  discovery->hint("acme/four");
  bench.run_until([&] { return events.size() == 4; });
  REQUIRE(bench.server->log().size() == before + 1);
  CHECK(bench.server->log().back() == runs("acme/Two", "queued"));
}

TEST_CASE("the demand of a scope is that of all its repositories, as old as the oldest of them") {
  const Bench bench;
  core::Config config = config_for(bench);
  config.github.poll_interval = Duration{3'600'000};
  config.github.scopes = {organization_scope()};
  config.github.scopes[0].repositories = {"one", "two"};
  int run = 1;
  for (const std::string name : {"acme/one", "acme/two"}) {
    bench.server->always(runs(name, "queued"), run_list(std::to_string(run)));
    bench.server->always(runs(name, "in_progress"), run_list(""));
    bench.server->always(jobs(name, run), job_list(100 + run));
    ++run;
  }
  bench.server->always("GET /orgs/acme/actions/runner-groups", answer(std::string(kGroupsPage)));
  const auto discovery = make_poll_discovery(*bench.loop, config, *bench.client);
  std::vector<core::Event> events;
  discovery->start([&](core::Event event) { events.push_back(std::move(event)); });
  bench.run_until([&] { return events.size() == 2; });
  const auto& first = std::get<core::DemandSeen>(events.at(0));
  const auto& both = std::get<core::DemandSeen>(events.at(1));
  REQUIRE(both.demands.size() == 1);
  CHECK(both.demands[0].jobs.size() == 2);
  CHECK(both.as_of == first.as_of);
  // Renewed with one repository less, its jobs are gone at once, what is known of the other stays.
  config.github.scopes[0].repositories = {"two"};
  discovery->renew(config);
  bench.run_until([&] { return events.size() == 3; });
  const auto& one = std::get<core::DemandSeen>(events.at(2));
  REQUIRE(one.demands.size() == 1);
  CHECK(one.demands[0].jobs.at(0).id == 102);
}

TEST_CASE("jobs of a public repository are barred by a group that refuses them") {
  const Bench bench;
  core::Scope scope = organization_scope();
  scope.repositories = {"app"};
  bench.server->always(kQueued, dated(answer(R"({"workflow_runs": [{"id": 1,
      "repository": {"id": 9, "private": false}, "head_repository": {"id": 9}}]})")));
  bench.server->always(kInProgress, run_list(""));
  bench.server->always(jobs("acme/app", 1), job_list(101));
  bench.server->always("GET /orgs/acme/actions/runner-groups", answer(std::string(kGroupsPage)));
  const auto listing = look(bench, scope);
  REQUIRE(ids(listing) == Ids{101});
  CHECK(listing->jobs[0].is_public);
  CHECK(listing->jobs[0].bar == core::GroupBar::refuses_public);
  // Nor does a group of chosen repositories serve others; the answer holds for an hour.
  scope.runner_group = "Builders";
  bench.server->add(
      "GET /orgs/acme/actions/runner-groups&visible_to_repository=app",
      answer(R"({"runner_groups": [{"id": 1, "name": "Default", "default": true}]})"));
  for (int i = 0; i < 2; ++i) {
    const auto hidden = look(bench, scope);
    REQUIRE(ids(hidden) == Ids{101});
    CHECK(hidden->jobs[0].bar == core::GroupBar::hides_repository);
  }
}

TEST_CASE("where groups cannot be read, it is GitHub that keeps jobs from them") {
  const Bench bench;
  core::Scope scope = organization_scope();
  scope.repositories = {"app"};
  bench.server->always(kQueued, run_list("1"));
  bench.server->always(kInProgress, run_list(""));
  bench.server->always(jobs("acme/app", 1), job_list(101));
  bench.server->add("GET /orgs/acme/actions/runner-groups", refusal(403));
  for (int i = 0; i < 2; ++i) {
    const auto listing = look(bench, scope);
    REQUIRE(ids(listing) == Ids{101});
    CHECK(listing->jobs[0].bar == core::GroupBar::none);
  }
}

TEST_CASE("an enterprise's repositories are those of its organisations that are selected") {
  const Bench bench;
  core::Scope scope;
  scope.kind = core::ScopeKind::enterprise;
  scope.owner = "big";
  scope.organizations = {"acme", "other"};
  scope.repositories = {"a*", "b"};
  scope.exclude = {"*-old"};
  bench.server->add("GET /orgs/acme/repos", answer(std::string(kRepositoriesPage)));
  bench.server->add("GET /orgs/other/repos",
                    answer(R"([{"full_name": "other/B"}, {"full_name": "other/c"},
                               {"full_name": "other/a-old"}, {"full_name": "other/api"}])"));
  const auto names =
      bench.wait<Log>([&](auto done) { bench.client->repositories(scope, std::move(done)); });
  REQUIRE(names);
  CHECK(*names == Log{"acme/app", "other/B", "other/api"});
}

TEST_CASE("a hint does not cut a back-off short") {
  Tuning tuning = quick();
  tuning.retries = 0;
  const Bench bench(tuning);
  Answer limited = refusal(403, "rate limit");
  limited.headers["Retry-After"] = "600";
  bench.server->add(kQueued, limited);
  const auto discovery = make_poll_discovery(*bench.loop, config_for(bench), *bench.client);
  int seen = 0;
  discovery->start([&](const core::Event&) { ++seen; });
  bench.run_until([&] { return seen == 1; });
  discovery->hint("");
  bool is_late = false;
  const auto timer =
      bench.loop->call_at(bench.loop->now() + Duration{1'500}, [&] { is_late = true; });
  bench.run_until([&] { return is_late; });
  CHECK(seen == 1);
  CHECK(bench.server->log().size() == 1);
}

TEST_CASE("discovery that is gone reports nothing more") {
  const Bench bench;
  Answer slow = run_list("");
  slow.delay = Duration{20};
  bench.server->always(kQueued, slow);
  bench.server->always(kInProgress, slow);
  auto discovery = make_poll_discovery(*bench.loop, config_for(bench), *bench.client);
  discovery->start([&](const core::Event&) { FAIL("reported"); });
  bench.run_until([&] { return !bench.server->seen().empty(); });
  discovery.reset();
  REQUIRE(look(bench));
}

TEST_CASE("discovery may be destroyed by its own report") {
  const Bench bench;
  bench.server->always(kQueued, run_list(""));
  bench.server->always(kInProgress, run_list(""));
  auto discovery = make_poll_discovery(*bench.loop, config_for(bench), *bench.client);
  bool is_done = false;
  discovery->start([&](const core::Event&) {
    discovery.reset();
    is_done = true;
  });
  bench.run_until([&] { return is_done; });
}

}  // namespace mvr::github
