#include "core/replay.h"

#include <algorithm>
#include <numeric>

#include "catch.h"
#include "fixture.h"

namespace mvr::core {
namespace {

using test::seconds;

constexpr ReplaySettings kSettings{seconds{15}, seconds{10}, true};
const Capacity kOneLarge{gib(8), 16, gib(200), 8};

Instant at(std::int64_t s) { return Instant{seconds{s}}; }

ReplayJob replay_job(std::int64_t created_s, const std::string& profile, std::int64_t run_s) {
  ReplayJob made;
  made.created = at(created_s);
  made.repository = "octo/app";
  made.workflow = "ci";
  made.name = "build";
  made.profile = profile;
  made.run = seconds{run_s};
  return made;
}

using Waits = std::vector<std::optional<Duration>>;
Waits waits_s(const std::vector<std::int64_t>& list) {
  Waits waits;
  for (const std::int64_t s : list) waits.emplace_back(seconds{s});
  return waits;
}

Replayed run(const std::vector<ReplayJob>& jobs, const Capacity& capacity = kOneLarge,
             const Config& config = test::config()) {
  return replay(config, capacity, jobs, kSettings);
}

std::vector<ReplayJob> many_jobs(std::size_t count) {
  std::vector<ReplayJob> jobs;
  std::uint64_t state = 7;
  const auto below = [&state](std::uint64_t bound) {
    state = state * 6364136223846793005U + 1442695040888963407U;
    return static_cast<std::int64_t>((state >> 33U) % bound);
  };
  for (std::size_t n = 0; n < count; ++n) {
    ReplayJob job =
        replay_job(1000 + below(4000), below(4) == 0 ? "large" : "small", 5 + below(90));
    job.repository = "octo/" + std::to_string(below(5));
    job.name = "job " + std::to_string(below(9));
    jobs.push_back(job);
  }
  return jobs;
}

}  // namespace

TEST_CASE("without jobs nothing happens") {
  const Replayed result = run({});
  CHECK(result.launches == 0);
  CHECK(result.makespan == Duration::zero());
}

TEST_CASE("a job waits for the poll and for its VM to boot") {
  CHECK(run({replay_job(100, "small", 60)}).waits == waits_s({15}));
  const Replayed result = run({replay_job(103, "small", 60)});
  CHECK(result.waits == waits_s({22}));
  CHECK(result.launches == 1);
  CHECK(result.makespan == seconds{82});
}

TEST_CASE("a job without room waits for the one before it") {
  const Replayed result = run({replay_job(100, "large", 60), replay_job(100, "large", 60)});
  CHECK(result.waits == waits_s({15, 90}));
  CHECK(result.launches == 2);
  CHECK(result.makespan == seconds{150});
  CHECK(result.memory_used == Approx(1.0));
  CHECK(result.vcpus_used == Approx(0.25));
}

TEST_CASE("jobs that fit side by side do not wait for each other") {
  const Replayed result = run({replay_job(100, "small", 60), replay_job(100, "small", 30),
                               replay_job(110, "small", 60), replay_job(110, "small", 60)});
  CHECK(result.waits == waits_s({15, 15, 15, 15}));
  // 2 GiB each for 75, 45, 75 and 75 s, of 8 GiB for 85 s.
  CHECK(result.memory_used == Approx(2.0 * (75 + 45 + 75 + 75) / (8 * 85)));
}

TEST_CASE("a warm VM is there when the first job comes, and another takes its place") {
  Config config = test::config();
  config.profiles[0].warm = 1;
  config.profiles[0].warm_max_age = seconds{3600};
  const Replayed result = run({replay_job(103, "small", 60)}, kOneLarge, config);
  CHECK(result.waits == waits_s({7}));
  CHECK(result.launches == 2);
}

TEST_CASE("a job takes over a warm VM that is still booting") {
  Config config = test::config();
  config.profiles[0].warm = 1;
  config.profiles[0].warm_max_age = seconds{3600};
  const Replayed result =
      run({replay_job(100, "small", 60), replay_job(109, "small", 60)}, kOneLarge, config);
  // The second warm VM was launched at 100 and has booted at 115.
  CHECK(result.waits == waits_s({0, 6}));
}

TEST_CASE("a warm VM makes room for a job of another profile") {
  Config config = test::config();
  config.profiles[0].warm = 1;
  config.profiles[0].warm_max_age = seconds{3600};
  const Replayed result = run({replay_job(100, "large", 60)}, kOneLarge, config);
  CHECK(result.waits == waits_s({15}));
  CHECK(result.stuck == 0);
}

TEST_CASE("what no profile serves or no host holds does not keep others waiting") {
  ReplayJob labelled = replay_job(100, "", 60);
  labelled.labels = {"Small", "linux"};
  ReplayJob foreign = labelled;
  foreign.labels = {"windows"};
  const Capacity little{gib(4), 16, gib(200), 8};
  const Replayed result =
      run({replay_job(100, "large", 60), foreign, labelled, replay_job(100, "gone", 60)}, little);
  CHECK(result.waits == Waits{std::nullopt, std::nullopt, Duration{seconds{15}}, std::nullopt});
  CHECK(result.too_big == 1);
  CHECK(result.unmatched == 2);
  CHECK(result.stuck == 0);
}

TEST_CASE("a host without room for any VM ends the replay") {
  const Replayed result = run({replay_job(100, "small", 60)}, Capacity{});
  CHECK(result.waits == Waits{std::nullopt});
  CHECK(result.too_big == 1);
}

TEST_CASE("a job is cut at its profile's limit") {
  const Replayed result = run({replay_job(100, "large", 7200), replay_job(110, "large", 60)});
  // The first runs from 115 for an hour.
  CHECK(result.cut == 1);
  CHECK(result.waits == waits_s({15, 3715 - 110 + 15}));
}

TEST_CASE("a job of a repository without a scope runs all the same") {
  ReplayJob job = replay_job(100, "small", 60);
  job.repository = "elsewhere/lib";
  CHECK(run({job}).waits == waits_s({15}));
}

TEST_CASE("the limits of an organisation's scope hold for its repositories") {
  Config config = test::config();
  config.github.scopes[0].kind = ScopeKind::organization;
  config.github.scopes[0].repository.clear();
  config.github.scopes[0].max = 1;
  CHECK(
      run({replay_job(100, "small", 60), replay_job(100, "small", 60)}, kOneLarge, config).waits ==
      waits_s({15, 90}));
}

TEST_CASE("two replays of the same jobs are the same, in whatever order they are given") {
  const std::vector<ReplayJob> jobs = many_jobs(800);
  const Capacity capacity{gib(24), 16, gib(2000), 20};
  const Replayed first = run(jobs, capacity);
  CHECK(run(jobs, capacity).waits == first.waits);
  CHECK(summary(first.waits).jobs == jobs.size());
  CHECK(first.launches >= jobs.size());
  CHECK(first.memory_used <= 1.0);
  std::vector<ReplayJob> reversed(jobs.rbegin(), jobs.rend());
  CHECK(summary(run(reversed, capacity).waits).jobs == jobs.size());
}

TEST_CASE("waits are summed up by nearest rank over the jobs that started") {
  Waits waits(5);
  for (std::int64_t s = 100; s >= 1; --s) waits.emplace_back(seconds{s});
  CHECK(summary(waits) ==
        WaitSummary{100, Duration{50'500}, seconds{50}, seconds{95}, seconds{99}, seconds{100}});
  CHECK(summary({std::nullopt}) == WaitSummary{});
}

}  // namespace mvr::core
