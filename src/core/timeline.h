// What the host will have free, and the reservations of jobs that do not fit yet. Not for use
// outside core.
//
// Backfill: a job may start beside a reservation only if it fits now and, until its expected end,
// leaves every reservation what it needs at its start. Expected ends are the medians of history;
// from kPatience on, a waiting job's reservation trusts time limits only, which hold for sure. So
// a job at the head of the queue starts at the latest
//     kPatience + the longest life of a VM by its limits (boot twice, listen, job) + kGoing
// after it came to the head, whatever others do and however wrong the predictions are.
#pragma once

#include <optional>
#include <vector>

#include "core/rules.h"

namespace mvr::core {

inline constexpr Duration kPatience{1'800'000};
inline constexpr Duration kGoing{30'000};   // a VM that is ended has given its room back by then
inline constexpr Duration kComing{30'000};  // launch until the job runs, as expected

// How long this job runs: the median of the job, else of its profile, else the profile's limit.
Duration expected_run(const World& world, const std::string& profile, const Profile& settings,
                      const JobHint& job);

class Timeline {
 public:
  // Free now = capacity - all VMs. `certain`: time limits instead of medians.
  Timeline(const World& world, Instant now, bool certain);

  [[nodiscard]] bool fits_now(const Resources& size) const { return fits_until(size, now_); }
  // When a VM launched now gives its room back.
  [[nodiscard]] Instant end_of_new(const Limits& limits, Duration expected) const;
  // From now until `end`, reservations and all.
  [[nodiscard]] bool fits_until(const Resources& size, Instant end) const;
  // The earliest time from which on `size` stays free; nothing when VMs without an end hold it.
  [[nodiscard]] std::optional<Instant> when(const Resources& size) const;

  void take(const Resources& size, Instant end);       // from now on
  void reserve(const Resources& size, Instant start);  // for good
  // A warm VM is given up: its room will be free after kGoing.
  void release(const Resources& size);

 private:
  // Free resources may be negative: a capacity can shrink below what is used.
  struct Free {
    std::int64_t memory = 0;
    std::int64_t vcpus = 0;
    std::int64_t disk = 0;
    std::int64_t vms = 0;
  };
  struct Step {
    Instant at{};
    Free free;  // from here to the next step
  };
  static Free sum(const Free& free, const Resources& size, std::int64_t sign);
  static bool holds(const Free& free, const Resources& size);
  // Adds `sign` times the size from `at` on.
  void change(Instant at, const Resources& size, std::int64_t sign);

  Instant now_;
  bool certain_;
  std::vector<Step> steps_;  // in order of time; the first is now
};

}  // namespace mvr::core
