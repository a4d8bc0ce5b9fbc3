#include "github/job_facts.h"

#include "base/text.h"
#include "catch.h"
#include "scripted_server.h"

namespace mvr::github {
namespace {

using namespace mvr::test;
using Facts = std::optional<core::JobFacts>;

const std::string kJobs = "GET /repos/acme/app/actions/runs/17/jobs";
const std::string kRun = "GET /repos/acme/app/actions/runs/17?exclude_pull_requests=true";

std::string job_of(const std::string& runner, const std::string& conclusion = "\"failure\"") {
  return R"({"id":48,"run_id":17,"run_attempt":2,"name":"build","workflow_name":"CI","labels":["a"],)"
         R"("runner_name":")" +
         runner + R"(","conclusion":)" + conclusion +
         R"(,"head_branch":"ma\u0007in","created_at":"2026-11-20T10:00:00Z",)"
         R"("started_at":"2026-11-20T10:00:01Z","completed_at":"2026-11-20T02:05:00-08:00",)"
         R"("steps":[{"name":"a","started_at":null},{"number":2,"started_at":"2026-11-20T10:00:09Z"},)"
         R"({"started_at":"2026-11-20T10:00:07Z","x":{"started_at":"2020-11-20T10:00:07Z"}}]})";
}

std::string page_of(const std::vector<std::string>& jobs) {
  std::string all;
  for (const std::string& job : jobs) all += (all.empty() ? "" : ",") + job;
  return R"({"total_count":1,"jobs":[)" + all + "]}";
}

core::JobFacts sample_facts() {
  core::JobFacts facts;
  facts.job = 48;
  facts.run = 17;
  facts.attempt = 2;
  facts.workflow = "CI";
  facts.conclusion = "failure";
  facts.branch = "ma\\x07in";
  facts.created = *parse_iso8601("2026-11-20T10:00:00Z");
  facts.first_step = *parse_iso8601("2026-11-20T10:00:07Z");
  facts.completed = *parse_iso8601("2026-11-20T10:05:00Z");
  return facts;
}

Result<Facts> facts_by(const Bench& bench, const std::string& runner = "mv-1") {
  return bench.wait<Facts>([&](auto done) {
    bench.client->job_facts(repository_scope(), {"acme/app", 17, runner}, std::move(done));
  });
}

}  // namespace

TEST_CASE("the job a runner completed is found by the runner's name") {
  const std::string body = page_of({job_of("mv-0"), job_of("mv-1"), job_of("")});
  CHECK(decode_completed_job(body, "mv-1").value() == sample_facts());
  CHECK(decode_completed_job(body, "mv-2").value() == std::nullopt);
  CHECK(decode_completed_job(body, "").value() == std::nullopt);
  CHECK(decode_completed_job(page_of({job_of("mv-1", "null")}), "mv-1").value() == std::nullopt);
  CHECK(decode_completed_job(page_of({}), "mv-1").value() == std::nullopt);
}

TEST_CASE("pages and runs that are not as documented are errors or leave things open") {
  for (const char* body : {"", "null", "[]", "{}", R"({"jobs":{}})", R"({"x":{"jobs":[]}})",
                           R"({"jobs":[{"runner_name":"mv-1","conclusion":"success"}]})",
                           R"({"jobs":[{"runner_name":"mv-1","id":-4,"run_id":3}]})"}) {
    CAPTURE(body);
    CHECK(decode_completed_job(body, "mv-1").error().code == Errc::protocol);
  }
  const auto bare = decode_completed_job(
      R"({"jobs":[7,null,{"runner_name":"mv-1","id":4,"run_id":3,"conclusion":"success",)"
      R"("steps":[4],"created_at":"soon"}]})",
      "mv-1");
  REQUIRE(bare);
  REQUIRE(*bare);
  CHECK_FALSE((*bare)->created);
  CHECK_FALSE((*bare)->first_step);
  CHECK(
      decode_run_start(R"({"event":"push","actor":{"login":"a"},"triggering_actor":{"login":"b"}})")
          .value() == RunStart{"push", "b"});
  CHECK(decode_run_start(R"({"actor":{"login":"a"},"triggering_actor":null})").value() ==
        RunStart{"", "a"});
  CHECK_FALSE(decode_run_start("[]"));
}

TEST_CASE("facts are the job's, and who started its run, which is asked for once") {
  const Bench bench;
  bench.server->always(kJobs, answer(page_of({job_of("mv-0"), job_of("mv-1")})));
  bench.server->always(kRun, answer(R"({"event":"push","triggering_actor":{"login":"mona"}})"));
  core::JobFacts wanted = sample_facts();
  wanted.repository = "acme/app";
  wanted.event = "push";
  wanted.actor = "mona";
  CHECK(facts_by(bench).value() == wanted);
  CHECK(facts_by(bench, "mv-0").value() == wanted);
  CHECK(bench.server->log() == std::vector<std::string>{kJobs, kRun, kJobs});
}

TEST_CASE("all pages are looked through, and a run that is out of sight costs only its part") {
  const Bench bench;
  Answer first = answer(page_of({job_of("mv-0")}));
  first.headers["Link"] = "<" + bench.server->url() +
                          "/api/v3/repositories/1/actions/runs/17/jobs?page=2>; rel=\"next\"";
  bench.server->add(kJobs, first);
  bench.server->add("GET /repositories/1/actions/runs/17/jobs?page=2",
                    answer(page_of({job_of("mv-1")})));
  bench.server->add(kRun, refusal(404));
  core::JobFacts wanted = sample_facts();
  wanted.repository = "acme/app";
  CHECK(facts_by(bench).value() == wanted);
}

TEST_CASE("no such job is no error, no such run is one") {
  const Bench bench;
  bench.server->add(kJobs, answer(page_of({job_of("mv-0")})));
  CHECK(facts_by(bench).value() == std::nullopt);
  bench.server->add(kJobs, refusal(404));
  CHECK(facts_by(bench).error().code == Errc::not_found);
}

}  // namespace mvr::github
