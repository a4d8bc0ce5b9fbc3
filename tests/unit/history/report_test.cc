#include "history/report.h"

#include "catch.h"

namespace mvr::history {
namespace {

const WallTime kBegin{Duration{1'700'000'000'000}};

FinishedJob job_of(const std::string& repository, const std::string& name, Duration wait,
                   Duration run) {
  FinishedJob job;
  job.vm = "small-x";
  job.profile = "small";
  job.repository = repository;
  job.workflow = "ci";
  job.job = name;
  job.result = "Succeeded";
  job.cause = "finished";
  job.queued = kBegin;
  job.created = kBegin;
  job.started = kBegin + wait;
  job.ended = kBegin + wait + run;
  return job;
}

FinishedJob without_job(const std::string& cause) {
  FinishedJob job;
  job.profile = "small";
  job.cause = cause;
  return job;
}

constexpr Duration kSecond{1'000};

TEST_CASE("a line adds up the jobs of one key, the busiest first") {
  std::vector<FinishedJob> past;
  for (int n = 1; n <= 20; ++n) past.push_back(job_of("a/b", "build", n * kSecond, 61 * kSecond));
  past.push_back(job_of("c/d", "test", kSecond, 7'200 * kSecond));
  past[0].result = "Failed";
  past[1].result = "Canceled";
  past[2].result = "";
  const auto rows = report(past, ReportBy::repository);
  REQUIRE(rows.size() == 2);
  CHECK(rows[0].key == "c/d");
  const ReportRow& row = rows[1];
  CHECK(row.key == "a/b");
  CHECK(row.jobs == 20);
  CHECK(row.failed == 2);
  CHECK(row.lost == 0);
  CHECK(row.busy == 20 * 61 * kSecond);
  CHECK(row.minutes == 40);
  CHECK(row.wait_median == 10 * kSecond);
  CHECK(row.wait_p95 == 19 * kSecond);
  CHECK(row.run_median == 61 * kSecond);
}

TEST_CASE("keys have as many parts as they are asked for") {
  const std::vector<FinishedJob> past{job_of("a/b", "build", kSecond, kSecond)};
  CHECK(report(past, ReportBy::repository)[0].key == "a/b");
  CHECK(report(past, ReportBy::workflow)[0].key == "a/b ci");
  CHECK(report(past, ReportBy::job)[0].key == "a/b ci build");
  CHECK(report(past, ReportBy::profile)[0].key == "small");
  CHECK(report(past, ReportBy::cause)[0].key == "finished");
  CHECK(report(past, ReportBy::user)[0].key == "-");
}

TEST_CASE("what GitHub said of a job tells who started it, and when its first step began") {
  FinishedJob known = job_of("a/b", "build", 5 * kSecond, kSecond);
  known.facts.job = 1;
  known.facts.actor = "mona";
  known.facts.first_step = kBegin + 9 * kSecond;
  FinishedJob early = known;
  early.facts.first_step = kBegin - kSecond;
  const auto rows = report({known, early}, ReportBy::user);
  REQUIRE(rows.size() == 1);
  CHECK(rows[0].key == "mona");
  CHECK(rows[0].wait_median == Duration{0});
  CHECK(rows[0].wait_p95 == 9 * kSecond);
}

TEST_CASE("a VM without a job counts when it was lost, and only then") {
  const std::vector<FinishedJob> past{without_job("unused"), without_job("cancelled"),
                                      without_job("killed"), without_job("boot_timeout"),
                                      without_job("panicked")};
  const auto rows = report(past, ReportBy::repository);
  REQUIRE(rows.size() == 1);
  CHECK(rows[0].key == "-");
  CHECK(rows[0].jobs == 0);
  CHECK(rows[0].lost == 2);
}

TEST_CASE("times that are not known, or run backwards, are no times") {
  FinishedJob unknown = job_of("a/b", "build", kSecond, kSecond);
  unknown.queued.reset();
  unknown.ended.reset();
  FinishedJob backwards = job_of("a/b", "build", -5 * kSecond, kSecond);
  const auto rows = report({unknown, backwards}, ReportBy::repository);
  CHECK(rows[0].jobs == 2);
  CHECK(rows[0].waits == 1);
  CHECK(rows[0].wait_p95 == Duration(0));
  CHECK(rows[0].busy == kSecond);
  CHECK(rows[0].minutes == 1);
}

TEST_CASE("only the words the command line offers say by what") {
  CHECK(parse_report_by("repo") == ReportBy::repository);
  CHECK(parse_report_by("cause") == ReportBy::cause);
  CHECK(parse_report_by("user") == ReportBy::user);
  CHECK_FALSE(parse_report_by("actor"));
  CHECK_FALSE(parse_report_by(""));
}

TEST_CASE("nothing makes no lines") { CHECK(report({}, ReportBy::job).empty()); }

}  // namespace
}  // namespace mvr::history
