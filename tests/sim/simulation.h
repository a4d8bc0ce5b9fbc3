// One seed's life of a host: production observe() and plan() against fakes, promises checked
// after every step.
#pragma once

#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <string_view>

#include "core/plan.h"
#include "github.h"
#include "host.h"
#include "stage.h"

namespace mvr::sim {

class Simulation {
 public:
  explicit Simulation(std::uint64_t seed);

  // Runs with faults, then without until all demand is served. Empty, or what went wrong.
  std::string run(std::uint32_t ticks);
  // For a failure: seed, tick and the last events.
  [[nodiscard]] std::string report() const;
  [[nodiscard]] std::uint64_t launches() const { return launches_; }

 private:
  struct LogLine {
    std::uint32_t tick = 0;
    Instant at{};
    std::string_view what;
    std::optional<core::Slot> slot;
    std::string ignored;
  };

  void tick();
  void advance();
  void poll(const std::string& scope);
  void list_runners(const std::string& scope);
  void world_happens();
  void host_happens();
  void queue_job();
  void reload();
  void restart_daemon();
  void settle();
  [[nodiscard]] bool is_served() const;
  void plan_and_perform();
  void check_plan(const core::Plan& plan);
  void check_action(const core::Action& action);
  void check_running(const core::Vm& vm, const core::Action& action);
  void check_world();
  bool deliver(const core::Event& event);
  void note(std::string_view what, std::optional<core::Slot> slot, std::string ignored);
  void violation(std::string what);

  std::uint64_t seed_;
  core::Config config_;
  core::World world_;
  Stage stage_;
  FakeGithub github_;
  FakeHost host_;
  std::uint32_t tick_ = 0;
  std::uint64_t launches_ = 0;
  std::optional<Instant> wake_at_;
  bool is_discovery_down_ = false;
  std::set<std::string> vm_names_;
  std::deque<LogLine> log_;
  std::string failure_;
};

}  // namespace mvr::sim
