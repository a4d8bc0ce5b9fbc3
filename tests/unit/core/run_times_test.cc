#include "core/run_times.h"

#include "catch.h"

namespace mvr::core {
namespace {

Run a_run(std::int64_t ms, const std::string& job = "build") {
  return Run{"small", "octo/app", "ci", job, Duration{ms}};
}

Estimate of_job(std::int64_t ms) { return Estimate{"", "octo/app", "ci", "build", Duration{ms}}; }
Estimate of_profile(std::int64_t ms) { return Estimate{"small", "", "", "", Duration{ms}}; }

}  // namespace

TEST_CASE("a job is known from its second run, its profile from its third") {
  RunTimes times;
  times.add(a_run(10));
  CHECK(times.all().empty());
  times.add(a_run(30));
  CHECK(times.all() == std::vector<Estimate>{of_job(30)});
  times.add(a_run(20));
  CHECK(times.of(a_run(0)) == std::vector<Estimate>{of_profile(20), of_job(20)});
  CHECK(times.of(a_run(0, "lint")) == std::vector<Estimate>{of_profile(20)});
}

TEST_CASE("a run whose repository is not known counts for its profile only") {
  RunTimes times;
  Run run = a_run(10);
  run.repository.clear();
  for (int i = 0; i < 3; ++i) times.add(run);
  CHECK(times.all() == std::vector<Estimate>{of_profile(10)});
}

TEST_CASE("the oldest runs are forgotten beyond the bound, with all they brought") {
  RunTimes times;
  for (int i = 0; i < 3; ++i) times.add(a_run(5, "once"));
  for (std::size_t i = 0; i < RunTimes::kMostRuns; ++i) times.add(a_run(90));
  CHECK(times.all() == std::vector<Estimate>{of_job(90), of_profile(90)});
}

}  // namespace mvr::core
