// How long jobs ran, and what follows for the next: medians, as World::estimates wants them.
#pragma once

#include <cstddef>
#include <deque>
#include <map>
#include <string>
#include <vector>

#include "core/records.h"

namespace mvr::core {

// One job that came to its own end.
struct Run {
  std::string profile;
  std::string repository;  // empty: not known, it counts for its profile only
  std::string workflow;
  std::string job;
  Duration length{};
};

// A job is known from its second run on, a profile from its third. Of an even number of runs the
// longer of the two in the middle is the median: a guess too long costs a little room, one too
// short delays a job that was promised it.
class RunTimes {
 public:
  // Only so many runs count, those added last; so there are fewer estimates than that, too.
  static constexpr std::size_t kMostRuns = 10'000;

  RunTimes() = default;
  RunTimes(const RunTimes&) = delete;  // it points into itself
  RunTimes& operator=(const RunTimes&) = delete;
  RunTimes(RunTimes&&) = delete;
  RunTimes& operator=(RunTimes&&) = delete;
  ~RunTimes() = default;

  void add(const Run& run);
  [[nodiscard]] std::vector<Estimate> all() const;
  // Those that a run like this has a part in: of its job and of its profile, if known.
  [[nodiscard]] std::vector<Estimate> of(const Run& run) const;

 private:
  struct Lengths {
    Estimate about;  // but for the length
    std::vector<Duration> sorted;
  };
  using Table = std::map<std::string, Lengths>;  // by estimate_key()
  struct Added {
    Table::iterator of_profile;
    Table::iterator of_job;  // end(): its repository is not known
    Duration length{};
  };
  void forget_oldest();
  void take_out(Table::iterator from, Duration length);
  static void append(std::vector<Estimate>& list, const Lengths& lengths);

  Table table_;
  std::deque<Added> added_;
};

}  // namespace mvr::core
