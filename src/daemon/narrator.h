// Tells the log what happens, one stable event line per phase change, and keeps the wall-clock
// times that go to history. It changes nothing.
#pragma once

#include <map>
#include <set>
#include <string>

#include "core/config.h"
#include "core/world.h"
#include "history/history.h"

namespace mvr::daemon {

class Narrator {
 public:
  explicit Narrator(const core::Config& config) : config_(config) {}

  // Before the event is folded: news in a listing (event=job_seen), discovery failures.
  void before(const core::Event& event, const core::World& world);
  // After an event changed a VM's record.
  void after(const core::Event& event, const core::Vm& before, const core::Vm& after, Instant now);
  // What history keeps of a VM that has ended.
  [[nodiscard]] history::FinishedJob finished(const core::Vm& vm) const;

 private:
  struct Times {
    WallTime created{};
    std::optional<WallTime> listening;
    std::optional<WallTime> started;
    std::optional<WallTime> ended;  // its work; a VM may be held after it
    std::string runner;             // the record forgets it once GitHub has
  };
  void phase_changed(const core::Vm& before, const core::Vm& after, Instant now);
  void note_times(const core::Vm& after, Instant now);
  void news(const core::DemandSeen& seen, const core::World& world);
  static void tell_failure(const std::string& scope, const Error& error, Instant retry_at);
  static void tell_gap(const core::DemandSeen& seen, const core::ScopeState* former);

  const core::Config& config_;
  std::map<std::string, Times> times_;  // by VM name, until it is removed
  std::set<std::int64_t> known_jobs_;
};

}  // namespace mvr::daemon
