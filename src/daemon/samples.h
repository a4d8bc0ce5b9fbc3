// How much of the host was in use, and how long jobs waited, over the last day: what the status
// page draws. Its memory is bounded, whatever happens; it decides nothing.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <optional>
#include <vector>

#include "base/units.h"
#include "core/world.h"
#include "history/history.h"

namespace mvr::daemon {

// Shares of what the host has for VMs: 1 is all of it.
struct Use {
  double memory = 0;
  double vcpus = 0;
};

// The mean of a while that begins at `from`; without a value nothing is known of it.
struct UsePoint {
  WallTime from{};
  std::optional<Use> use;
};

// Of the jobs that started in a while that begins at `from`. The times are right to 3 %.
struct WaitPoint {
  WallTime from{};
  std::uint32_t jobs = 0;
  Duration median{};
  Duration p95{};
};

class Samples {
 public:
  static constexpr Duration kUseStep = std::chrono::minutes(5);
  static constexpr Duration kWaitStep = std::chrono::minutes(30);
  static constexpr std::size_t kUses = 288;  // of a day
  static constexpr std::size_t kWaits = 48;

  // To be called every few seconds; the more often, the truer the mean.
  void note_use(const core::Capacity& used, const core::Capacity& all, WallTime at);
  // A job that was queued at `queued` started at `started`.
  void note_wait(WallTime queued, WallTime started);
  // What was before this daemon, from the past and from the VMs it took over. Of a while in which
  // no VM ran nothing is known then: perhaps there was no daemon.
  void refill(const std::vector<history::FinishedJob>& past, const core::World& world, Instant now,
              WallTime wall);

  // The last day up to `now`, oldest first; always as many.
  [[nodiscard]] std::vector<UsePoint> uses(WallTime now) const;
  [[nodiscard]] std::vector<WaitPoint> waits(WallTime now) const;

 private:
  // Each step of 5 % has a count: 0.1 s to ten days.
  static constexpr std::size_t kBuckets = 330;
  struct UseSlot {
    std::int64_t step = -1;  // since 1970
    std::uint32_t notes = 0;
    double memory = 0;  // sums over the notes
    double vcpus = 0;
  };
  struct WaitSlot {
    std::int64_t step = -1;
    std::uint32_t jobs = 0;
    std::array<std::uint32_t, kBuckets> counts{};
  };
  [[nodiscard]] static Duration quantile(const WaitSlot& slot, double share);
  std::array<UseSlot, kUses> uses_{};
  std::vector<WaitSlot> waits_{kWaits};
};

}  // namespace mvr::daemon
