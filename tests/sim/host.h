// A host that carries out actions on machines that never ran: late, wrong, or not at all.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "core/survey.h"
#include "core/world.h"
#include "github.h"
#include "stage.h"

namespace mvr::sim {

enum class Guest { launching, booting, idle, starting, listening, working, done };

// A VM directory and the machine it belongs to.
struct Machine {
  std::uint64_t generation = 0;
  std::string scope;
  std::string profile;
  Guest guest = Guest::launching;
  bool alive = false;       // the VMM process
  bool is_excused = false;  // a job in it may be lost: operator, own limit, or GitHub's fault
  bool has_reported_job = false;
  std::int64_t runner = 0;  // whose configuration the guest has
  Instant heard{};          // its channel keeps the order of its messages
};

// One-off commands: what the daemon's control socket queues.
struct Command {
  std::int64_t id = 0;
  WallTime created{};
  std::optional<core::Slot> handed;  // to the VM that will run it
};

class FakeHost {
 public:
  FakeHost(Stage& stage, FakeGithub& github) : stage_(stage), github_(github) {}

  void perform(const core::Action& action);
  // Guests die, agents break, operators kill.
  void disturb(const core::World& world);

  void add_command();
  void cancel_command();
  [[nodiscard]] std::size_t commands() const { return commands_.size(); }

  // The daemon dies: what it was doing is never answered, what it knew is gone.
  [[nodiscard]] std::vector<core::Leftover> crash_daemon(const core::World& world);
  // The new daemon's start: erases, and asks the agents of adopted machines.
  void recover(const core::SurveyPlan& plan);
  [[nodiscard]] std::size_t machines() const { return machines_.size(); }

 private:
  struct Performer;
  Machine* find(core::Slot slot, std::uint64_t generation);
  // Runs `what` later if the same machine is still there.
  void later(core::Slot slot, Duration delay, std::function<void(Machine&)> what);
  // The same, if the daemon has not restarted meanwhile.
  void answer(core::Slot slot, Duration delay, std::function<void(Machine&)> what);
  void reply(Duration delay, const core::Event& event);
  void say(core::Slot slot, Machine& machine, const core::Event& event);  // over the channel
  void launch(const core::Launch& action);
  void boot(core::Slot slot, Machine& machine);
  void request_jit(const core::RequestJit& action);
  void claim(core::Slot slot);
  void start_listener(core::Slot slot, Machine& machine);
  void start_command(core::Slot slot, Machine& machine);
  void work(core::Slot slot, const Job& job);
  void report_job(core::Slot slot, Machine& machine);
  void exit_listener(core::Slot slot, Machine& machine, int code);
  void stop(const core::Stop& action);
  void kill(core::Slot slot);
  void die(core::Slot slot, Machine& machine);
  void remove(core::Slot slot);
  void deregister(const core::Deregister& action);
  bool forget_busy_runner(core::Slot slot, std::int64_t runner);
  void sync(core::Slot slot, Machine& machine);
  void check_loss(const Machine& machine);
  void hand_out();
  void tell_commands();

  Stage& stage_;
  FakeGithub& github_;
  std::map<core::Slot, Machine> machines_;
  std::uint64_t generations_ = 0;
  std::uint64_t epoch_ = 0;  // of the daemon
  std::deque<Command> commands_;
  std::vector<core::Slot> asking_;  // VMs that wait for a command
  std::int64_t next_command_ = 1;
};

}  // namespace mvr::sim
