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
  const auto rows = report(past, ReportBy::repository, {});
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
  CHECK(report(past, ReportBy::repository, {})[0].key == "a/b");
  CHECK(report(past, ReportBy::workflow, {})[0].key == "a/b ci");
  CHECK(report(past, ReportBy::job, {})[0].key == "a/b ci build");
  CHECK(report(past, ReportBy::profile, {})[0].key == "small");
  CHECK(report(past, ReportBy::cause, {})[0].key == "finished");
  CHECK(report(past, ReportBy::user, {})[0].key == "-");
}

TEST_CASE("what GitHub said of a job tells who started it, and when its first step began") {
  FinishedJob known = job_of("a/b", "build", 5 * kSecond, kSecond);
  known.facts.job = 1;
  known.facts.actor = "mona";
  known.facts.first_step = kBegin + 9 * kSecond;
  FinishedJob early = known;
  early.facts.first_step = kBegin - kSecond;
  const auto rows = report({known, early}, ReportBy::user, {});
  REQUIRE(rows.size() == 1);
  CHECK(rows[0].key == "mona");
  CHECK(rows[0].wait_median == Duration{0});
  CHECK(rows[0].wait_p95 == 9 * kSecond);
}

TEST_CASE("a VM without a job counts when it was lost, and only then") {
  const std::vector<FinishedJob> past{without_job("unused"), without_job("cancelled"),
                                      without_job("killed"), without_job("boot_timeout"),
                                      without_job("panicked")};
  const auto rows = report(past, ReportBy::repository, {});
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
  const auto rows = report({unknown, backwards}, ReportBy::repository, {});
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

TEST_CASE("minutes have the price of the smallest runner with as many vCPUs") {
  const Rates rates{{2, 0.006}, {4, 0.012}};
  const auto price_of = [&rates](std::uint32_t vcpus) {
    FinishedJob job = job_of("a/b", "build", kSecond, 61 * kSecond);
    job.size.vcpus = vcpus;
    return report({job, job}, ReportBy::repository, rates).front().price;
  };
  CHECK(price_of(1) == Approx(4 * 0.006));
  CHECK(price_of(2) == Approx(4 * 0.006));
  CHECK(price_of(3) == Approx(4 * 0.012));
  CHECK(price_of(64) == Approx(4 * 0.012));
  CHECK(report({job_of("a/b", "x", kSecond, kSecond)}, ReportBy::repository, {}).front().price ==
        0);
}

FinishedJob used_job(Bytes memory, Bytes disk, Duration cpu) {
  FinishedJob job = job_of("a/b", "build", kSecond, 100 * kSecond);
  job.size = core::Resources{gib(8), 4, gib(40)};
  job.used = Used{memory, disk, cpu};
  return job;
}

TEST_CASE("a line tells the most that was used, and why VMs were lost") {
  std::vector<FinishedJob> past{used_job(gib(2), gib(3), 50 * kSecond),
                                used_job(gib(3), gib(1), 10 * kSecond)};
  past[1].cause = "guest_oom";
  past.push_back(without_job("panicked"));
  past.push_back(job_of("a/b", "build", kSecond, kSecond));
  const auto row = report(past, ReportBy::profile, {}).front();
  CHECK(row.memory_peak == gib(3));
  CHECK(row.disk_peak == gib(3));
  CHECK(row.cpu == 60 * kSecond);
  CHECK(row.causes == std::map<std::string, std::size_t>{{"guest_oom", 1}, {"panicked", 1}});
  CHECK(!report({job_of("a/b", "x", kSecond, kSecond)}, ReportBy::job, {}).front().memory_peak);
}

core::Profile profile_of(const std::string& name, Bytes memory, std::uint32_t vcpus, Bytes disk) {
  core::Profile profile;
  profile.name = name;
  profile.size = core::Resources{memory, vcpus, disk};
  return profile;
}

TEST_CASE("the smallest profile that has what 95 of 100 jobs used, and a margin, is proposed") {
  std::vector<FinishedJob> past;
  for (int n = 1; n <= 100; ++n) {
    past.push_back(used_job(mib(20U * static_cast<std::uint64_t>(n)), gib(2), 150 * kSecond));
  }
  const std::vector<core::Profile> profiles{
      profile_of("huge", gib(16), 8, gib(80)), profile_of("small", gib(2), 1, gib(10)),
      profile_of("middle", gib(4), 2, gib(10)), profile_of("flat", gib(3), 2, gib(2))};
  const auto rows = right_sizes(past, ReportBy::job, profiles, 20);
  REQUIRE(rows.size() == 1);
  const SizeRow& row = rows.front();
  CHECK(row.key == "a/b ci build");
  CHECK(row.profile == "small");
  CHECK(row.jobs == 100);
  CHECK(row.memory_p95 == mib(1900));
  CHECK(row.cpus_p95 == Approx(1.5));
  CHECK(row.needed == core::Resources{mib(2304), 2, gib(3)});
  CHECK(row.fits == "middle");
  CHECK(right_sizes(past, ReportBy::job, {}, 20).front().fits.empty());
  CHECK(right_sizes(past, ReportBy::job, profiles, 0).front().needed.memory == gib(2));
}

TEST_CASE("who gives back the most memory comes first, and what is not known is left out") {
  std::vector<FinishedJob> past{used_job(gib(6), gib(1), kSecond),
                                job_of("x/y", "no use", kSecond, kSecond)};
  FinishedJob other = used_job(gib(1), gib(1), kSecond);
  other.job = "test";
  past.push_back(other);
  const auto rows = right_sizes(past, ReportBy::job, {}, 0);
  REQUIRE(rows.size() == 2);
  CHECK(rows[0].key == "a/b ci test");
  CHECK(rows[1].needed.memory == gib(6));
  CHECK(rows[1].needed.vcpus == 1);
}

TEST_CASE("nothing makes no lines") { CHECK(report({}, ReportBy::job, {}).empty()); }

}  // namespace
}  // namespace mvr::history
