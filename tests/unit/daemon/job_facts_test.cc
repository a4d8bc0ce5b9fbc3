#include "daemon/job_facts.h"

#include "../github/scripted_server.h"
#include "catch.h"
#include "temp_dir.h"

namespace mvr::daemon {
namespace {

using namespace mvr::test;

std::string jobs_url(int run) {
  return "GET /repos/acme/app/actions/runs/" + std::to_string(run) + "/jobs";
}

Answer completed_by(const std::string& runner) {
  return answer(R"({"jobs":[{"id":48,"run_id":17,"run_attempt":1,"conclusion":"success",)"
                R"("runner_name":")" +
                runner + "\"}]}");
}

core::JobHint hint(std::int64_t id, std::int64_t run, const std::string& name,
                   const std::string& repository = "acme/app") {
  core::JobHint made;
  made.id = id;
  made.run_id = run;
  made.name = name;
  made.repository = repository;
  made.created = WallTime{Duration{id}};
  return made;
}

history::FinishedJob ended(const std::string& vm = "small-a") {
  history::FinishedJob job;
  job.vm = vm;
  job.scope = "acme/app";
  job.repository = "acme/app";
  job.job = "build";
  job.runner = "mv-1";
  job.started = job.ended = sys::wall_now();
  job.wanted = "acme/app#16 acme/app#17";
  return job;
}

struct FactsBench : Bench {
  explicit FactsBench(Duration give_up = Duration(60'000)) {
    config.github = settings;
    config.github.scopes = {repository_scope()};
    settings = config.github;
    client =
        github::Client::create(*loop, settings, keyring_of(settings, "ghp_test"), quick()).value();
    history = history::History::open(directory / "history.sqlite").value();
    fetcher = std::make_unique<JobFactFetcher>(
        *loop, config, *history,
        JobFactFetcher::Patience{Duration(5), Duration(5), give_up, Duration(1)});
    fetcher->use(client.get());
  }
  void fetch(const history::FinishedJob& job) const {
    REQUIRE(history->record(job));
    fetcher->fetch(job);
  }
  void settle() const {
    run_until([this] { return fetcher->waiting() == 0; });
  }
  [[nodiscard]] history::FinishedJob latest() const { return history->recent(1).value().at(0); }

  TempDir directory;
  core::Config config;
  std::unique_ptr<history::History> history;
  std::unique_ptr<JobFactFetcher> fetcher;
};

TEST_CASE("runs are kept as text, and only what is a run is read from it") {
  const std::vector<RunRef> runs{{"acme/app", 17}, {"acme/web", 3}};
  CHECK(encode_runs(runs) == "acme/app#17 acme/web#3");
  CHECK(decode_runs_wanted("acme/app#17 acme/web#3") == runs);
  CHECK(decode_runs_wanted("").empty());
  CHECK(decode_runs_wanted("# a#1 a/b# a/b#0 a/b#-1 a/b#x a/../b#1 a/b/c#1").empty());
  std::string many;
  for (int i = 1; i < 100; ++i) many += " a/b#" + std::to_string(i);
  CHECK(decode_runs_wanted(many).size() == 10);
}

TEST_CASE("a job is looked for where one of its name was listed when it started") {
  const FactsBench bench;
  core::DemandSeen seen;
  seen.scope = "acme/app";
  seen.demands.push_back({"small",
                          std::vector{hint(3, 33, "build"), hint(1, 11, "build"),
                                      hint(2, 22, "test"), hint(4, 0, "build")},
                          {}});
  seen.demands.push_back({"large", std::vector{hint(5, 55, "build", "other/app")}, {}});
  bench.fetcher->note(seen);
  const auto wanted = [&](const history::FinishedJob& job, std::int64_t run) {
    return bench.fetcher->wanted_of(job, run);
  };
  CHECK(wanted(ended(), 0) == "acme/app#11 acme/app#33 other/app#55 acme/app#22");
  CHECK(wanted(ended(), 33) == "acme/app#33 acme/app#11 other/app#55 acme/app#22");
  history::FinishedJob other = ended();
  other.scope = "elsewhere";
  CHECK(wanted(other, 0).empty());
  other = ended();
  other.scope = core::kCommandScope;
  CHECK(wanted(other, 9).empty());
  other = ended();
  other.job.clear();
  CHECK(wanted(other, 9).empty());
}

TEST_CASE("what GitHub says of the runner's job goes to history, wherever it is found") {
  const FactsBench bench;
  bench.server->always(jobs_url(16), completed_by("another"));
  bench.server->add(jobs_url(17), completed_by("another"));
  bench.server->add(jobs_url(17), completed_by("mv-1"));  // GitHub is late
  bench.fetch(ended());
  bench.fetcher->fetch(ended());
  CHECK(bench.fetcher->waiting() == 1);
  bench.settle();
  CHECK(bench.latest().facts.job == 48);
  CHECK(bench.latest().facts.conclusion == "success");
  CHECK(bench.latest().wanted.empty());
}

TEST_CASE("a run that is gone is passed over, and GitHub's failures are waited out") {
  const FactsBench bench;
  bench.server->always(jobs_url(16), refusal(404));
  for (int i = 0; i < 4; ++i) bench.server->add(jobs_url(17), refusal(502));
  bench.server->add(jobs_url(17), completed_by("mv-1"));
  bench.fetch(ended());
  bench.settle();
  CHECK(bench.latest().facts.job == 48);
}

TEST_CASE("what is not found is given up, and asked for no more after a restart") {
  const FactsBench bench(Duration(40));
  bench.server->always(jobs_url(16), completed_by("another"));
  bench.server->always(jobs_url(17), completed_by("another"));
  bench.fetch(ended());
  bench.settle();
  CHECK(bench.latest().facts.job == 0);
  CHECK(bench.latest().wanted.empty());
}

TEST_CASE("a later daemon takes up what a former one had not got") {
  const FactsBench bench;
  REQUIRE(bench.history->record(ended()));
  history::FinishedJob old = ended("old");
  old.ended = *old.ended - std::chrono::hours(1);
  REQUIRE(bench.history->record(old));
  bench.server->always(jobs_url(16), completed_by("mv-1"));
  bench.fetcher->resume();
  CHECK(bench.fetcher->waiting() == 1);
  bench.settle();
  CHECK(bench.history->recent(2).value().at(1).facts.job == 48);
}

TEST_CASE("what waits is bounded, one question is asked at a time, and a scope may leave") {
  FactsBench bench;
  for (std::size_t i = 0; i < JobFactFetcher::kMostWaiting + 5; ++i) {
    bench.fetcher->fetch(ended("vm-" + std::to_string(i)));
  }
  CHECK(bench.fetcher->waiting() == JobFactFetcher::kMostWaiting);
  bench.config.github.scopes.clear();
  bench.settle();
  CHECK(bench.server->log().empty());
}

}  // namespace
}  // namespace mvr::daemon
