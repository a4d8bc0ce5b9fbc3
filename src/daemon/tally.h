// What happened since this daemon started, counted for metrics: only what no record of the world
// holds any more. It decides nothing.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <utility>

#include "base/units.h"
#include "core/config.h"
#include "github/webhook.h"
#include "history/history.h"

namespace mvr::daemon {

// How often a time fell below each bound, the way Prometheus counts.
class Histogram {
 public:
  // Upper bounds in seconds: a boot in a microVM to a job of six hours.
  static constexpr std::array<double, 16> kBounds{0.1, 0.25, 0.5, 1,   2.5, 5,    10,   20,
                                                  30,  60,   120, 300, 600, 1800, 7200, 21600};
  void add(Duration took);
  // How many were at most kBounds[n], for n up to kBounds.size(): there it is how many there were.
  [[nodiscard]] std::uint64_t below(std::size_t n) const;
  [[nodiscard]] Duration sum() const { return sum_; }

 private:
  std::array<std::uint64_t, kBounds.size() + 1> counts_{};  // of each step by itself
  Duration sum_{};
};

// The parts of a job's way through this host.
enum class Stage {
  queued,   // created at GitHub until its VM was
  booting,  // VM created until its runner listened
  waiting,  // listening until the job came
  running,  // job started until its VM was removed
};
inline constexpr std::array kStages{Stage::queued, Stage::booting, Stage::waiting, Stage::running};
std::string_view stage_name(Stage stage);

struct Tally {
  using ByProfile = std::pair<std::string, std::string>;  // profile, and what else is counted by

  // Instances of a pattern count for the pattern.
  void ended(const core::Config& config, const history::FinishedJob& job);
  void launched(Duration host_side) { launches.add(host_side); }

  std::map<ByProfile, std::uint64_t> ends;  // by core::cause_name()
  std::map<ByProfile, std::uint64_t> jobs;  // by result: succeeded, failed, canceled, other
  std::map<std::pair<std::string, Stage>, Histogram> stages;
  std::map<github::Fate, std::uint64_t> deliveries;  // of webhooks, once something listens
  Histogram launches;  // what the host does for one, without the guest's boot
};

}  // namespace mvr::daemon
