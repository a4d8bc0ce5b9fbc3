// What a scope of scale sets is beside their queues: several profiles, who may be served, runners,
// and the listing that shows what the queues overlook.
#include "base/text.h"
#include "catch.h"
#include "github/scale_sets.h"
#include "samples.h"
#include "set_bench.h"

namespace mvr::github {
namespace {

using namespace mvr::test;

const std::string kRuns = "GET /repos/acme/app/actions/runs?status=queued";
const std::string kInProgress = "GET /repos/acme/app/actions/runs?status=in_progress";
const std::string kJobs = "GET /repos/acme/app/actions/runs/1/jobs";
const std::string kJit = set_call("POST", "/generatejitconfig");
const std::string kFindLarge =
    "GET /svc/_apis/runtime/runnerscalesets?runnerGroupId=1&name=big&api-version=6.0-preview";
const std::string kOpenLarge = set_call("POST", "/sessions", 6);

bool says(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

core::Config two_profiles(const SetBench& bench) {
  core::Config config = bench.config();
  core::Profile large = config.profiles[0];
  large.name = "large";
  large.labels = {"big"};
  config.profiles.push_back(large);
  return config;
}

void add_large(const SetBench& bench) {
  bench.server->always(kFindLarge, answer(R"({"value":[)" + set_json(6, "big", "big") + "]}"));
}

Tuning watchful() {
  Tuning tuning = quick();
  tuning.safety_interval = Duration{20};
  tuning.retries = 0;
  return tuning;
}

// One job that has been queued for a long time by GitHub's own list.
void list_old_job(const SetBench& bench) {
  const std::string old = format_iso8601(sys::wall_now() - std::chrono::minutes(10));
  bench.server->always(kRuns, answer(runs_json("1")));
  bench.server->always(kInProgress, answer(runs_json("")));
  bench.server->always(kJobs, answer(jobs_json(job_json(101, old, "mv"))));
}

Result<JitConfig> jit(const SetBench& bench) {
  return bench.wait<JitConfig>([&](auto done) {
    bench.client->generate_jit(bench.scope, "mv-h1-00c0ffee", {"mv"}, std::move(done));
  });
}

Result<bool> remove(const SetBench& bench) {
  return bench.wait<bool>(
      [&](auto done) { bench.client->delete_runner(bench.scope, 23, std::move(done)); });
}
const std::string kAgent =
    "DELETE /svc/_apis/distributedtask/pools/0/agents/23?api-version=6.0-preview";

}  // namespace

TEST_CASE("the sets of a scope are reported together, and not before all have answered") {
  SetBench bench;
  add_large(bench);
  Answer slow = session_answer(bench, "queue-1", statistics_json(2));
  slow.delay = Duration{50};
  bench.server->add(kOpen, session_answer(bench, "queue-1", statistics_json(1)));
  bench.server->add(kOpenLarge, slow);
  bench.listen(two_profiles(bench));
  bench.run_until([&] { return !bench.demands->empty(); });
  CHECK(bench.level("small") == 1);
  CHECK(bench.level("large") == 2);
}

TEST_CASE("a set that fails leaves the others their demand") {
  SetBench bench;
  add_large(bench);
  bench.server->add(kOpen, session_answer(bench, "queue-1", statistics_json(1)));
  bench.server->always(kOpenLarge,
                       status(409, fault_json("RunnerScaleSetSessionConflictException")));
  bench.listen(two_profiles(bench));
  CHECK(says(bench.run_until_failure(), "profile large"));
  bench.run_until([&] { return !bench.demands->empty(); });
  CHECK(bench.level("small") == 1);
  CHECK(bench.level("large") == 0);
}

TEST_CASE("a profile without public repositories does not listen where they may come") {
  SetBench bench;
  bench.server->always("GET /repos/acme/app", answer(R"({"private":false})"));
  SECTION("and says so") {
    bench.listen();
    const std::string text = bench.run_until_failure();
    CHECK(says(text, "acme/app is public: set public_repositories of the profile"));
    CHECK(bench.count(kOpen) == 0);
  }
  SECTION("one that serves them does") {
    core::Config config = bench.config();
    config.profiles[0].public_repositories = true;
    bench.listen(config);
    bench.run_until_asked(kPoll);
    CHECK(bench.count("GET /repos/acme/app") == 0);
  }
}

TEST_CASE("in an organisation the runner group decides") {
  SetBench bench;
  core::Scope scope = organization_scope();
  scope.runner_group = "Big Ones";
  bench.settings.scopes = {scope};
  (void)bench.client->renew(bench.settings, keyring_of(bench.settings, "ghp_test"));
  const std::string groups = R"({"runner_groups":[{"id":9,"name":"Big Ones","default":false,)";
  const std::string list = "GET /orgs/acme/actions/runner-groups";
  SECTION("open") {
    bench.server->always(list, answer(groups + R"("allows_public_repositories":true}]})"));
    bench.listen();
    const std::string text = bench.run_until_failure();
    CHECK(says(text, "the runner group \"Big Ones\" of acme is open to them"));
  }
  SECTION("closed") {
    bench.server->always(list, answer(groups + R"("allows_public_repositories":false}]})"));
    bench.server->always("POST /orgs/acme/actions/runners/registration-token",
                         status(201, R"({"token":"REG"})"));
    bench.server->always(
        "GET /svc/_apis/runtime/runnergroups/?groupName=Big%20Ones&api-version=6.0-preview",
        answer(R"({"count":1,"value":[{"id":9,"name":"Big Ones"}]})"));
    bench.server->always(
        "GET /svc/_apis/runtime/runnerscalesets?runnerGroupId=9&name=mv&api-version=6.0-preview",
        answer(R"({"value":[)" + set_json(5, "mv", "mv") + "]}"));
    bench.listen();
    bench.run_until_asked(kPoll);
  }
}

TEST_CASE("scopes are served each by its own feed") {
  SetBench bench;
  core::Scope polled = repository_scope();
  polled.repository = "other";
  polled.feed = core::Feed::poll;
  bench.settings.scopes.push_back(polled);
  (void)bench.client->renew(bench.settings, keyring_of(bench.settings, "ghp_test"));
  core::Config config = bench.config();
  config.github.poll_interval = Duration{1'000};
  bench.listen(config);
  bench.run_until_asked("GET /repos/acme/other/actions/runs?status=queued");
  bench.run_until_asked(kPoll);
  CHECK(bench.count(kRuns) == 0);
}

TEST_CASE("a job the queue has overlooked is found, once it has waited for long") {
  SetBench bench(watchful());
  list_old_job(bench);
  SECTION("by its name") {
    bench.listen();
    bench.run_until_level(1);
    CHECK(bench.demands->back().demands.at(0).jobs.at(0).id == 101);
  }
  SECTION("also where the queue holds it back for want of room: it is seen to wait") {
    bench.capacity = 0;
    bench.listen();
    bench.run_until_level(1);
  }
  SECTION("not when the queue knows of as many") {
    bench.server->add(kOpen, session_answer(bench, "queue-1", statistics_json(1)));
    bench.listen();
    bench.run_until_asked(kJobs, 3);
    CHECK(bench.level() == 1);
  }
}

TEST_CASE("a job just queued is left to the queue") {
  SetBench bench(watchful());
  bench.server->always(kRuns, answer(runs_json("1")));
  bench.server->always(kInProgress, answer(runs_json("")));
  const std::string now = format_iso8601(sys::wall_now() - std::chrono::seconds(100));
  bench.server->always(kJobs, answer(jobs_json(job_json(101, now, "mv"))));
  bench.listen();
  bench.run_until_asked(kJobs, 2);
  CHECK(bench.level() == 0);
}

TEST_CASE("where the queue talks again, what it had overlooked is its own business") {
  SetBench bench(watchful());
  list_old_job(bench);
  Answer late = answer(message_json(7, entry_json("JobAssigned", 5, "u"), statistics_json(1)));
  late.delay = Duration{400};
  bench.server->add(kPoll, late);
  bench.listen();
  bench.run_until_level(1);
  CHECK(bench.demands->back().demands.at(0).jobs.at(0).id == 101);
  bench.run_until_asked(ack_of(7));
  CHECK(bench.level() == 1);
  CHECK(bench.demands->back().demands.at(0).jobs.at(0).id == 5);
}

TEST_CASE("a token that may not list jobs is no failure, and is not asked again soon") {
  SetBench bench(watchful());
  bench.server->always(kRuns, refusal(403, "Resource not accessible"));
  bench.listen();
  bench.run_until_asked(kRuns);
  const Instant end = bench.loop->now() + Duration{200};
  bench.run_until([&] { return bench.loop->now() >= end; });
  CHECK(bench.count(kRuns) == 1);
  CHECK(bench.failures->empty());
}

TEST_CASE("runners are registered with the set") {
  const SetBench bench;
  bench.server->always(
      kJit, answer(R"({"runner":{"id":23,"name":"mv-h1-00c0ffee"},"encodedJITConfig":"eyJ9"})"));
  const auto made = jit(bench);
  REQUIRE(made);
  CHECK(made->runner == core::Runner{23, "mv-h1-00c0ffee"});
  CHECK(made->encoded.expose() == "eyJ9");
  CHECK(bench.last(kJit).body == R"({"name":"mv-h1-00c0ffee","workFolder":"_work"})");
  REQUIRE(jit(bench));
  CHECK(bench.count(kFindSet) == 1);
  CHECK(bench.count(kRegister) == 1);
}

TEST_CASE("a set that is gone is looked up again for the next runner") {
  const SetBench bench;
  bench.server->add(kJit, status(404));
  bench.server->add(kJit, status(409, fault_json("AgentExistsException")));
  CHECK(jit(bench).error().code == Errc::not_found);
  CHECK(jit(bench).error().code == Errc::exists);
  CHECK(bench.count(kFindSet) == 2);
}

TEST_CASE("a registration is never sent twice") {
  const SetBench bench;
  bench.server->always(kJit, status(502));
  CHECK(jit(bench).error().code == Errc::unavailable);
  CHECK(bench.count(kJit) == 1);
}

TEST_CASE("the configuration of another runner is refused") {
  const SetBench bench;
  bench.server->add(kJit,
                    answer(R"({"runner":{"id":23,"name":"somebody"},"encodedJITConfig":"eyJ9"})"));
  CHECK(jit(bench).error().code == Errc::protocol);
}

TEST_CASE("runners of sets are deleted, but for those with a job and those that are gone") {
  const SetBench bench;
  bench.server->add(kAgent, status(204));
  bench.server->add(kAgent, status(400, fault_json("JobStillRunningException")));
  bench.server->add(kAgent, status(404, fault_json("AgentNotFoundException")));
  CHECK(remove(bench) == true);
  CHECK(remove(bench).error().code == Errc::busy);
  CHECK(remove(bench) == false);
}

TEST_CASE("whether sets can be reached is answered without making any") {
  const SetBench bench;
  bench.server->add("GET /svc/_apis/runtime/runnergroups/?api-version=6.0-preview",
                    answer(R"({"count":0,"value":[]})"));
  const auto reach = [&] {
    return bench.wait<bool>(
        [&](auto done) { bench.client->scale_sets(bench.scope).reach(std::move(done)); });
  };
  CHECK(reach() == true);
  bench.server->always("GET /svc/_apis/runtime/runnergroups/?api-version=6.0-preview", status(403));
  CHECK(reach().error().code == Errc::denied);
}

TEST_CASE("who may not register runners learns it") {
  SetBench bench;
  bench.server->always(kRegistrationToken, refusal(403, "Resource not accessible"));
  CHECK(jit(bench).error().code == Errc::denied);
  bench.listen();
  CHECK(says(bench.run_until_failure(), "Administration: write"));
}

}  // namespace mvr::github
