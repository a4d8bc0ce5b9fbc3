// The jobs of one scale set that wait for a runner: how many, by the queue's statistics, and which,
// as far as its messages named them. Pure.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "base/units.h"
#include "core/demand.h"
#include "github/scale_set_wire.h"

namespace mvr::github {

// The level is what the statistics say: messages get lost, and are cut at 50 entries. One thing
// they say is not believed: that nothing is assigned, in a message that assigns jobs.
class AssignedJobs {
 public:
  // `blank`: what holds for every job of the set (labels; the repository where there is but one).
  // `key`: unique for the set, for the ids of jobs without a name.
  AssignedJobs(core::JobHint blank, std::string key)
      : blank_(std::move(blank)), key_(std::move(key)) {}

  // A new session, with its statistics.
  void restart(const QueueStatistics& statistics, WallTime now);
  void apply(const QueueMessage& message, WallTime now);

  [[nodiscard]] std::size_t level() const { return level_; }
  // As many as the level (but at most kMost), oldest first; ids are stable.
  [[nodiscard]] std::vector<core::JobHint> jobs() const;
  static constexpr std::size_t kMost = 2000;

 private:
  std::size_t take_names(const QueueMessage& message, WallTime now);
  void set_level(std::size_t level, WallTime now);

  core::JobHint blank_;
  std::string key_;
  std::map<std::int64_t, core::JobHint> known_;  // assigned and neither started nor completed
  std::vector<WallTime> nameless_;               // since when there is an n-th job without a name
  std::size_t level_ = 0;
};

}  // namespace mvr::github
