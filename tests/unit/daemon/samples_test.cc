#include "daemon/samples.h"

#include <algorithm>

#include "catch.h"

namespace mvr::daemon {
namespace {

using std::chrono::hours;
using std::chrono::minutes;
using std::chrono::seconds;

// The start of a step of both kinds, and a while into it.
const WallTime kStart{hours(24 * 365 * 55)};
const WallTime kWall = kStart + minutes(2);
constexpr Instant kNow{hours(500)};

core::Capacity capacity(std::uint64_t memory, std::uint32_t vcpus) {
  return {gib(memory), vcpus, gib(100), 10};
}

history::FinishedJob entry(WallTime created, WallTime ended) {
  history::FinishedJob job;
  job.created = created;
  job.ended = ended;
  job.size = {gib(8), 2, gib(1)};
  return job;
}

std::size_t known(const std::vector<UsePoint>& points) {
  return static_cast<std::size_t>(
      std::ranges::count_if(points, [](const UsePoint& point) { return point.use.has_value(); }));
}

TEST_CASE("a step is the mean of what was noted in it, others are not known") {
  Samples samples;
  samples.note_use(capacity(4, 2), capacity(16, 8), kStart);
  samples.note_use(capacity(12, 8), capacity(16, 8), kStart + seconds(5));
  samples.note_use(capacity(4, 2), capacity(0, 0), kStart + minutes(5));  // not measured yet
  const auto points = samples.uses(kStart + minutes(7));
  REQUIRE(points.size() == Samples::kUses);
  CHECK(points.back().from == kStart + minutes(5));
  CHECK_FALSE(points.back().use);
  const auto& noted = points.at(Samples::kUses - 2);
  REQUIRE(noted.use);
  CHECK(noted.use->memory == Approx(0.5));
  CHECK(noted.use->vcpus == Approx(0.625));
  CHECK(known(points) == 1);
}

TEST_CASE("a day later a step is forgotten, though its place is not used again") {
  Samples samples;
  samples.note_use(capacity(4, 2), capacity(16, 8), kStart);
  samples.note_wait(kStart, kStart);
  CHECK(known(samples.uses(kStart + hours(23))) == 1);
  CHECK(known(samples.uses(kStart + hours(24))) == 0);
  const auto waits = samples.waits(kStart + hours(24));
  CHECK(std::ranges::none_of(waits, [](const WaitPoint& point) { return point.jobs > 0; }));
}

TEST_CASE("waits are counted where jobs started, their quantiles right to 3 %") {
  Samples samples;
  for (int i = 1; i <= 100; ++i) samples.note_wait(kStart - seconds(i), kStart);
  samples.note_wait(kStart - hours(24 * 400), kStart + minutes(40));  // longer than is told apart
  samples.note_wait(kStart + seconds(9), kStart + minutes(70) - minutes(70));  // clocks differ
  const auto points = samples.waits(kStart + minutes(40));
  REQUIRE(points.size() == Samples::kWaits);
  const WaitPoint& first = points.at(Samples::kWaits - 2);
  CHECK(first.jobs == 101);
  CHECK(static_cast<double>(first.median.count()) == Approx(50'000).epsilon(0.03));
  CHECK(static_cast<double>(first.p95.count()) == Approx(95'000).epsilon(0.03));
  CHECK(points.back().jobs == 1);
  CHECK(points.back().p95 > hours(24 * 7));
}

TEST_CASE("after a restart the past and the VMs that went on tell what was in use") {
  core::World world;
  world.capacity = capacity(16, 8);
  core::Vm vm;
  vm.size = {gib(4), 4, gib(1)};
  vm.phase = core::Phase::running;
  vm.created = kNow - minutes(22);  // twenty minutes before the step that is now
  vm.since = kNow - minutes(12);
  vm.queued = kWall - minutes(13);
  world.vms[0] = vm;
  history::FinishedJob past = entry(kStart - minutes(10), kStart - minutes(5));
  past.queued = kStart - minutes(12);
  past.started = kStart - minutes(9);
  Samples samples;
  samples.refill({past}, world, kNow, kWall);
  const auto points = samples.uses(kWall);
  const auto use_before = [&](std::size_t steps) {
    return points.at(Samples::kUses - 1 - steps).use.value_or(Use{});
  };
  CHECK(known(points) == 4);
  CHECK(use_before(1).memory == Approx(0.25));
  CHECK(use_before(2).memory == Approx(0.75));
  CHECK(use_before(2).vcpus == Approx(0.75));
  CHECK(use_before(4).memory == Approx(0.25));
  CHECK_FALSE(points.back().use);  // it is being measured
  const auto waits = samples.waits(kWall);
  const WaitPoint& half_hour = waits.at(Samples::kWaits - 2);
  CHECK(half_hour.jobs == 2);
  CHECK(static_cast<double>(half_hour.p95.count()) == Approx(180'000).epsilon(0.03));
}

TEST_CASE("what lies outside the day, or has no times, is left out of the past") {
  core::World world;
  world.capacity = capacity(16, 8);
  history::FinishedJob old = entry(kWall - hours(60), kWall - hours(50));
  old.queued = old.started = old.created;
  history::FinishedJob future = entry(kWall + hours(1), kWall + hours(2));
  future.queued = future.started = future.created;
  history::FinishedJob turned = entry(kWall - hours(1), kWall - hours(2));
  Samples samples;
  samples.refill({old, future, turned, history::FinishedJob{}}, world, kNow, kWall);
  CHECK(known(samples.uses(kWall)) == 0);
  const auto waits = samples.waits(kWall);
  CHECK(std::ranges::none_of(waits, [](const WaitPoint& point) { return point.jobs > 0; }));
}

}  // namespace
}  // namespace mvr::daemon
