#include "github/wire.h"

#include "base/text.h"
#include "catch.h"
#include "samples.h"

namespace mvr::github {

using namespace mvr::test;

TEST_CASE("the ids of runs are read, those of what is nested in them are not") {
  const auto runs = decode_runs(kRunsPage);
  REQUIRE(runs);
  CHECK(*runs == std::vector<Run>{{9000000002, false, false}, {9000000001, true, true}});
}

TEST_CASE("a run is taken for public and foreign unless GitHub says otherwise") {
  const auto origin = [](const std::string& fields) {
    const auto runs = decode_runs(R"({"workflow_runs": [{"id": 1, )" + fields + "}]}");
    REQUIRE(runs);
    return std::pair(runs->at(0).is_public, runs->at(0).is_fork);
  };
  CHECK(origin(R"("repository": {"id": 5, "private": true}, "head_repository": {"id": 5})") ==
        std::pair(false, false));
  CHECK(origin(R"("repository": {"id": 5, "private": false}, "head_repository": {"id": 6})") ==
        std::pair(true, true));
  // The fork is gone.
  CHECK(origin(R"("repository": {"id": 5}, "head_repository": null)") == std::pair(true, true));
  CHECK(origin(R"("repository": {"id": 5})").second);
  // What is nested deeper, or in a list, is somebody else's.
  CHECK(origin(R"("repository": {"id": 5, "owner": {"private": true}, "x": [{"private": true}]},
                  "head_repository": {"id": 5, "repository": {"private": true}})") ==
        std::pair(true, false));
}

TEST_CASE("an origin that is not what GitHub documents is refused") {
  for (const char* fields : {R"("repository": {"id": "5"})", R"("repository": {"private": "yes"})",
                             R"("head_repository": {"id": [5]})"}) {
    INFO(fields);
    CHECK_FALSE(decode_runs(std::string(R"({"workflow_runs": [{"id": 1, )") + fields + "}]}"));
  }
}

TEST_CASE("an empty page of runs is an empty list") {
  const auto runs = decode_runs(R"({"total_count": 0, "workflow_runs": []})");
  REQUIRE(runs);
  CHECK(runs->empty());
}

TEST_CASE("of a run's jobs only those that wait for a runner are kept") {
  const auto jobs = decode_waiting_jobs(kJobsPage, "acme/app");
  REQUIRE(jobs);
  const core::JobHint expected{501,
                               9000000001,
                               "acme/app",
                               "CI",
                               "build (linux, 4)",
                               {"Self-Hosted", "mv-4c8g"},
                               *parse_iso8601("2026-11-20T10:00:00.5Z")};
  CHECK(*jobs == std::vector<core::JobHint>{expected});
}

TEST_CASE("a queued job without created_at is as old as its started_at says") {
  const auto jobs = decode_waiting_jobs(
      R"({"jobs": [{"id": 1, "run_id": 2, "status": "queued", "labels": ["a"],
          "started_at": "2026-11-20T10:00:00Z"}]})",
      "o/r");
  REQUIRE(jobs);
  REQUIRE(jobs->size() == 1);
  CHECK(jobs->front().created == *parse_iso8601("2026-11-20T10:00:00Z"));
}

TEST_CASE("a queued job without any time is not what GitHub documents") {
  const auto jobs = decode_waiting_jobs(
      R"({"jobs": [{"id": 1, "run_id": 2, "status": "queued", "labels": ["a"]}]})", "o/r");
  REQUIRE_FALSE(jobs);
  CHECK(jobs.error().code == Errc::protocol);
  CHECK(jobs.error().what.find("jobs[0].started_at") != std::string::npos);
}

TEST_CASE("control characters in a job's names are made visible") {
  const auto jobs = decode_waiting_jobs(
      R"({"jobs": [{"id": 1, "run_id": 2, "status": "queued", "labels": ["a"],
          "name": "x\u001b[31m\n", "created_at": "2026-11-20T10:00:00Z"}]})",
      "o/r");
  REQUIRE(jobs);
  CHECK(jobs->at(0).name == printable("x\x1b[31m\n"));
  CHECK(jobs->at(0).name.find('\x1b') == std::string::npos);
}

TEST_CASE("a job with a label of absurd length does not hide the others") {
  const std::string wild = job_json(1, "2026-11-20T10:00:00Z", std::string(5000, 'x'));
  const std::string plain = job_json(2, "2026-11-20T10:00:00Z", "mv");
  const auto jobs = decode_waiting_jobs(jobs_json(wild + "," + plain), "o/r");
  REQUIRE(jobs);
  REQUIRE(jobs->size() == 1);
  CHECK(jobs->front().id == 2);
}

TEST_CASE("runner records are read with their state") {
  const auto records = decode_runners(kRunnersPage);
  REQUIRE(records);
  CHECK(*records == std::vector<RunnerRecord>{{23, "mv-h1-00c0ffee", "online", false},
                                              {24, "someone-else", "offline", true}});
}

TEST_CASE("archived and disabled repositories are left out") {
  const auto names = decode_repositories(kRepositoriesPage);
  REQUIRE(names);
  CHECK(*names == std::vector<std::string>{"acme/app"});
}

TEST_CASE("the repositories of an installation are in an object") {
  const auto names = decode_installed_repositories(R"({"total_count": 1, "repositories": )" +
                                                   std::string(kRepositoriesPage) + "}");
  REQUIRE(names);
  CHECK(*names == std::vector<std::string>{"acme/app"});
}

TEST_CASE("a repository name that would lead elsewhere is refused") {
  const auto names = decode_repositories(R"([{"full_name": "acme/../../user"}])");
  REQUIRE_FALSE(names);
  CHECK(names.error().code == Errc::protocol);
}

TEST_CASE("runner groups are read") {
  const auto groups = decode_groups(kGroupsPage);
  REQUIRE(groups);
  CHECK(*groups == std::vector<RunnerGroup>{{1, "Default", true, false, "all"},
                                            {7, "builders", false, true, "selected"}});
}

TEST_CASE("a JIT answer gives the runner and its configuration") {
  const auto jit = decode_jit(kJitAnswer);
  REQUIRE(jit);
  CHECK(jit->runner == core::Runner{23, "mv-h1-00c0ffee"});
  CHECK(jit->encoded.expose() == "eyIucnVubmVyIjoiZXlKOSJ9");
}

TEST_CASE("a JIT answer that is not one is refused without showing any of it") {
  for (
      const char* body :
      {"", "[]", "null", "{}", R"({"encoded_jit_config": "c2VjcmV0"})",
       R"({"encoded_jit_config": "c2VjcmV0", "runner": []})",
       R"({"encoded_jit_config": "c2VjcmV0", "runner": {"id": 0, "name": "n"}})",
       R"({"encoded_jit_config": "c2VjcmV0", "runner": {"id": -4, "name": "n"}})",
       R"({"encoded_jit_config": "c2VjcmV0", "runner": {"id": 99999999999999999999, "name": "n"}})",
       R"({"encoded_jit_config": "c2VjcmV0", "runner": {"id": 4}})",
       R"({"encoded_jit_config": "c2VjcmV0; rm", "runner": {"id": 4, "name": "n"}})",
       R"({"encoded_jit_config": "", "runner": {"id": 4, "name": "n"}})",
       R"({"encoded_jit_config": 5, "runner": {"id": 4, "name": "n"}})"}) {
    INFO(body);
    const auto jit = decode_jit(body);
    REQUIRE_FALSE(jit);
    CHECK(jit.error().code == Errc::protocol);
    CHECK(jit.error().what.find("c2Vj") == std::string::npos);
  }
}

TEST_CASE("a JIT request has the four members GitHub takes") {
  CHECK(
      encode_jit_request({"mv-h1-00c0ffee", 7, {"mv-4c8g", "x\"y"}}) ==
      R"({"labels":["mv-4c8g","x\"y"],"name":"mv-h1-00c0ffee","runner_group_id":7,"work_folder":"_work"})");
}

TEST_CASE("GitHub's own words are taken from an error answer") {
  CHECK(decode_error_message(R"({"message": "Bad credentials", "status": "401"})") ==
        "Bad credentials");
  CHECK(decode_error_message(
            R"({"message": "Validation Failed", "errors": [{"resource": "R", "field": "labels",
                "code": "invalid"}, {"message": "no such group"}, "plain", 5, null]})") ==
        "Validation Failed; labels invalid; no such group; plain");
}

TEST_CASE("GitHub's words are printable and bounded") {
  const std::string text =
      decode_error_message(R"({"message": "\u001b]0;x\u0007)" + std::string(10'000, 'y') + "\"}");
  CHECK(text.size() <= 400);
  CHECK(text.find('\x1b') == std::string::npos);
}

TEST_CASE("an error answer that is not GitHub's has no message") {
  for (const char* body : {"", "<html>", "null", "[]", "{}", R"({"message": 5})", "\xff"}) {
    INFO(body);
    CHECK(decode_error_message(body).empty());
  }
}

TEST_CASE("an HTTP date is read in its one form") {
  CHECK(parse_http_date("Fri, 20 Nov 2026 10:00:01 GMT") == *parse_iso8601("2026-11-20T10:00:01Z"));
  for (const char* text : {"", "Fri, 20 Nov 2026 10:00:01", "Fri, 20 Nov 2026 10:00:01 UTC",
                           "Fri, 31 Feb 2026 10:00:01 GMT", "Fri, 20 nov 2026 10:00:01 GMT",
                           "Fri, 20 Nov 2026 24:00:01 GMT", "Fri, 20 Nov 2026 10:60:01 GMT",
                           "Fri,  1 Nov 2026 10:00:01 GMT", "Fri, 20 Nov -026 10:00:01 GMT",
                           "2026-11-20T10:00:01Z", "Fri, 20 Nov 2026 10:00:0x GMT"}) {
    INFO(text);
    CHECK_FALSE(parse_http_date(text).has_value());
  }
}

TEST_CASE("an installation is its id, and suspended when it says since when") {
  CHECK(*decode_installation(kInstallation) == Installation{77, false});
  CHECK(*decode_installation(R"({"id": 5, "suspended_at": "2026-11-20T11:00:00Z"})") ==
        Installation{5, true});
  for (const char* body : {"{}", "[]", R"({"id": "77"})", R"({"id": 0})", R"({"id": -7})"}) {
    CHECK(decode_installation(body).error().code == Errc::protocol);
  }
}

TEST_CASE("an access token has its end and what it may do") {
  const auto access = decode_access_token(kAccessToken);
  REQUIRE(access);
  CHECK(access->token.expose() == "ghs_12_abc");
  CHECK(access->expires == *parse_iso8601("2026-11-20T11:00:00Z"));
  CHECK(access->permissions ==
        Permissions{{"actions", "read"}, {"administration", "write"}, {"metadata", "read"}});
  const std::string longer(9'000, 'x');
  const auto plain = decode_access_token(R"({"token": ")" + longer +
                                         R"(", "expires_at": "2026-11-20T11:00:00Z"})");
  REQUIRE(plain);
  CHECK(plain->token.expose() == longer);
  CHECK_FALSE(plain->permissions);
}

TEST_CASE("a bad access token is refused without a word of it") {
  const std::string end = R"("expires_at": "2026-11-20T11:00:00Z")";
  for (const std::string& body :
       {std::string(R"({"token": "ghs_secret"})"),
        std::string(R"({"token": "ghs_secret", "expires_at": "soon"})"),
        R"({"token": "ghs_secret\r\nX: y", )" + end + "}", R"({"token": "", )" + end + "}",
        R"({"token": ["ghs_secret"], )" + end + "}",
        R"({"token": ")" + std::string(20'000, 'x') + "\", " + end + "}",
        R"({"token": "ghs_secret", "permissions": [], )" + end + "}",
        R"({"token": "ghs_secret", "permissions": {"actions": 1}, )" + end + "}"}) {
    const auto access = decode_access_token(body);
    REQUIRE_FALSE(access);
    CHECK(access.error().code == Errc::protocol);
    CHECK(access.error().what.find("secret") == std::string::npos);
  }
}

TEST_CASE("whether public jobs may come is read of a repository") {
  CHECK(decode_repository_openness(R"({"private":false})") == true);
  CHECK(decode_repository_openness(R"({"private":true})") == false);
  CHECK(!decode_repository_openness(R"({"private":"no"})"));
}

}  // namespace mvr::github
