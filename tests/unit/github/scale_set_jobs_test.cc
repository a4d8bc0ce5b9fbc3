// How many jobs of a scale set wait, and which.
#include "github/scale_set_jobs.h"

#include <algorithm>

#include "catch.h"

namespace mvr::github {
namespace {

using Kind = JobMessage::Kind;
using Ids = std::vector<std::int64_t>;

constexpr WallTime kNow{std::chrono::hours{500'000}};

AssignedJobs fresh() {
  core::JobHint blank;
  blank.repository = "acme/app";
  blank.labels = {"mv"};
  return AssignedJobs(blank, "acme/app\nsmall");
}

JobMessage entry(Kind kind, std::int64_t id, int age_s = 0) {
  JobMessage made;
  made.kind = kind;
  made.request = id;
  made.job.id = id;
  made.job.repository = "acme/other";
  made.job.created = kNow - std::chrono::seconds{age_s};
  return made;
}

QueueMessage message(std::vector<JobMessage> jobs, std::optional<QueueStatistics> statistics) {
  QueueMessage made;
  made.id = 1;
  made.jobs = std::move(jobs);
  made.statistics = statistics;
  return made;
}

QueueStatistics assigned(std::uint32_t count, std::uint32_t running = 0) {
  return QueueStatistics{0, 0, count, running};
}

Ids ids(const AssignedJobs& jobs) {
  Ids all;
  for (const auto& job : jobs.jobs()) all.push_back(job.id);
  return all;
}

}  // namespace

TEST_CASE("a session's statistics are jobs without names, with ids that stay") {
  AssignedJobs jobs = fresh();
  jobs.restart(assigned(3, 1), kNow);
  CHECK(jobs.level() == 2);
  const Ids before = ids(jobs);
  REQUIRE(before.size() == 2);
  CHECK(before[0] > 0);
  CHECK(before[0] != before[1]);
  CHECK(jobs.jobs()[0].repository == "acme/app");
  CHECK(jobs.jobs()[0].labels == std::vector<std::string>{"mv"});
  jobs.restart(assigned(2), kNow + Duration{5});
  CHECK(ids(jobs) == before);
}

TEST_CASE("the statistics are the level, names fill it") {
  AssignedJobs jobs = fresh();
  jobs.apply(message({entry(Kind::assigned, 5), entry(Kind::assigned, 4, 10)}, assigned(3)), kNow);
  CHECK(jobs.level() == 3);
  const Ids all = ids(jobs);
  REQUIRE(all.size() == 3);
  CHECK(all[0] == 4);  // the oldest
  CHECK(std::ranges::count(all, 5) == 1);
  CHECK(jobs.jobs()[0].repository == "acme/other");
}

TEST_CASE("an assignment told twice is one job") {
  AssignedJobs jobs = fresh();
  jobs.apply(message({entry(Kind::assigned, 5)}, assigned(1)), kNow);
  jobs.apply(message({entry(Kind::assigned, 5)}, assigned(1)), kNow);
  CHECK(ids(jobs) == Ids{5});
}

TEST_CASE("what started or ended no longer waits, wherever in a message that stands") {
  AssignedJobs jobs = fresh();
  jobs.apply(message({entry(Kind::assigned, 5), entry(Kind::assigned, 6)}, assigned(2)), kNow);
  jobs.apply(message({entry(Kind::started, 5)}, assigned(2, 1)), kNow);
  CHECK(ids(jobs) == Ids{6});
  jobs.apply(
      message({entry(Kind::completed, 7), entry(Kind::assigned, 7), entry(Kind::completed, 5)},
              assigned(1)),
      kNow);
  CHECK(ids(jobs) == Ids{6});
}

TEST_CASE("more names than the level: the oldest is held to have started") {
  AssignedJobs jobs = fresh();
  jobs.apply(message({entry(Kind::assigned, 1, 90), entry(Kind::assigned, 2, 60),
                      entry(Kind::assigned, 3, 30)},
                     assigned(3)),
             kNow);
  jobs.apply(message({}, assigned(3, 2)), kNow);
  CHECK(ids(jobs) == Ids{3});
}

TEST_CASE("counts of messages are never the level, but where the statistics deny them") {
  AssignedJobs jobs = fresh();
  jobs.apply(message({entry(Kind::assigned, 1), entry(Kind::assigned, 2)}, assigned(1)), kNow);
  CHECK(jobs.level() == 1);
  AssignedJobs denied = fresh();
  denied.apply(
      message({entry(Kind::assigned, 1), entry(Kind::assigned, 2), entry(Kind::started, 2)},
              assigned(0)),
      kNow);
  CHECK(ids(denied) == Ids{1});
  denied.apply(message({}, assigned(0)), kNow);
  CHECK(denied.level() == 0);
}

TEST_CASE("a message without statistics changes names only") {
  AssignedJobs jobs = fresh();
  jobs.restart(assigned(2), kNow);
  jobs.apply(message({entry(Kind::assigned, 1)}, std::nullopt), kNow);
  CHECK(jobs.level() == 2);
  CHECK(std::ranges::count(ids(jobs), 1) == 1);
}

TEST_CASE("offers are no demand before they are assigned") {
  AssignedJobs jobs = fresh();
  jobs.apply(message({entry(Kind::available, 1)}, assigned(0)), kNow);
  CHECK(jobs.level() == 0);
}

TEST_CASE("what was assigned a day ago is forgotten by name, and the lists are bounded") {
  AssignedJobs jobs = fresh();
  jobs.apply(message({entry(Kind::assigned, 1, 90'000)}, assigned(1)), kNow);
  CHECK(jobs.level() == 1);
  CHECK(ids(jobs) != Ids{1});
  jobs.restart(assigned(1'000'000), kNow);
  CHECK(jobs.jobs().size() == AssignedJobs::kMost);
}

}  // namespace mvr::github
