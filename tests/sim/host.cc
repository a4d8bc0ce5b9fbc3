#include "host.h"

#include <algorithm>

namespace mvr::sim {
namespace {

const Error kBroken{Errc::unavailable, "simulated fault"};

}  // namespace

Machine* FakeHost::find(core::Slot slot, std::uint64_t generation) {
  const auto found = machines_.find(slot);
  if (found == machines_.end() || found->second.generation != generation) return nullptr;
  return &found->second;
}

void FakeHost::later(core::Slot slot, Duration delay, std::function<void(Machine&)> what) {
  const std::uint64_t generation = machines_.at(slot).generation;
  stage_.after(delay, [this, slot, generation, what = std::move(what)] {
    if (Machine* machine = find(slot, generation)) what(*machine);
  });
}

void FakeHost::answer(core::Slot slot, Duration delay, std::function<void(Machine&)> what) {
  const std::uint64_t epoch = epoch_;
  later(slot, delay, [this, epoch, what = std::move(what)](Machine& machine) {
    if (epoch == epoch_) what(machine);
  });
}

void FakeHost::reply(Duration delay, const core::Event& event) {
  const std::uint64_t epoch = epoch_;
  stage_.after(delay, [this, epoch, event] {
    // The record must outlive its requests: the next VM in the slot would get their answers.
    if (epoch == epoch_ && !stage_.deliver(event)) stage_.violation("an answer is for no VM");
  });
}

void FakeHost::say(core::Slot slot, Machine& machine, const core::Event& event) {
  machine.heard = std::max(machine.heard, stage_.now + stage_.rng.between(0, 400));
  answer(slot, machine.heard - stage_.now, [this, event](Machine&) { stage_.deliver(event); });
}

struct FakeHost::Performer {
  FakeHost& host;
  void operator()(const core::Launch& action) const { host.launch(action); }
  void operator()(const core::RequestJit& action) const { host.request_jit(action); }
  void operator()(const core::Claim& action) const { host.claim(action.slot); }
  void operator()(const core::Warn&) const {}
  void operator()(const core::Hold&) const {}  // its guest has nothing left to do
  void operator()(const core::Stop& action) const { host.stop(action); }
  void operator()(const core::Kill& action) const { host.kill(action.slot); }
  void operator()(const core::Remove& action) const { host.remove(action.slot); }
  void operator()(const core::Deregister& action) const { host.deregister(action); }
};

void FakeHost::perform(const core::Action& action) { std::visit(Performer{*this}, action); }

void FakeHost::launch(const core::Launch& action) {
  const core::Slot slot = action.slot;
  if (machines_.contains(slot)) stage_.violation("launch into a slot that is not free");
  Machine machine;
  machine.generation = ++generations_;
  machine.scope = action.scope;
  machine.profile = action.profile;
  machines_[slot] = machine;
  if (stage_.fault(40)) {
    answer(slot, stage_.rng.between(10, 3'000), [this, slot](Machine& failed) {
      if (failed.guest != Guest::launching) return;
      failed.guest = Guest::done;
      stage_.deliver(core::LaunchFailed{slot, kBroken});
    });
    return;
  }
  answer(slot, stage_.rng.between(50, 3'000), [this, slot](Machine& started) {
    if (started.guest != Guest::launching) return;
    started.alive = true;
    started.guest = Guest::booting;
    stage_.deliver(core::VmStarted{slot});
    boot(slot, started);
  });
}

void FakeHost::boot(core::Slot slot, Machine&) {
  if (stage_.fault(30)) return;  // hangs for ever
  later(slot, stage_.rng.between(500, 5'000), [this, slot](Machine& machine) {
    if (!machine.alive || machine.guest != Guest::booting) return;
    if (stage_.fault(30)) return die(slot, machine);
    machine.guest = Guest::idle;
    say(slot, machine, core::AgentReady{slot});
  });
}

void FakeHost::request_jit(const core::RequestJit& action) {
  const core::Slot slot = action.slot;
  Machine& asking = machines_.at(slot);
  const bool is_changed = !asking.scope.empty() && asking.scope != action.scope;
  if (is_changed) stage_.violation("a machine changes its scope");
  asking.scope = action.scope;
  if (action.scope == core::kCommandScope) {
    asking_.push_back(slot);
    return hand_out();
  }
  const bool lost = stage_.fault(30);  // the answer, not the registration
  if (lost) (void)github_.add_runner(action.scope, machines_.at(slot).profile, action.runner);
  if (lost || stage_.fault(80)) {
    const Instant retry_at = stage_.now + stage_.rng.between(0, 20'000);
    return reply(stage_.rng.between(100, 10'000), core::JitFailed{slot, kBroken, retry_at});
  }
  // The daemon keeps the configuration; the claim delivers it. The record appears before the
  // answer arrives, which a crash of the daemon may prevent.
  const core::Runner runner =
      github_.add_runner(action.scope, machines_.at(slot).profile, action.runner);
  machines_.at(slot).runner = runner.id;
  reply(stage_.rng.between(100, 3'000), core::JitReady{slot, runner});
}

void FakeHost::claim(core::Slot slot) {
  const Machine& claimed = machines_.at(slot);
  if (claimed.alive && claimed.guest != Guest::idle) {
    stage_.violation("claim of a guest that is not idle");
  }
  if (stage_.fault(15)) {
    return answer(slot, stage_.rng.between(10, 500), [this, slot](Machine&) {
      stage_.deliver(core::ClaimFailed{slot, kBroken});
    });
  }
  // Written before the daemon can ask for a sync: the channel keeps the order.
  later(slot, stage_.rng.between(1, 9), [this, slot](Machine& machine) {
    if (!machine.alive || machine.guest != Guest::idle) return;
    machine.guest = Guest::starting;
    if (machine.scope == core::kCommandScope) return start_command(slot, machine);
    later(slot, stage_.rng.between(500, 4'000),
          [this, slot](Machine& started) { start_listener(slot, started); });
  });
}

void FakeHost::start_listener(core::Slot slot, Machine& machine) {
  if (!machine.alive || machine.guest != Guest::starting) return;
  if (stage_.fault(30)) return exit_listener(slot, machine, 1);
  const std::uint64_t generation = machine.generation;
  const bool connected = github_.connect(machine.runner, [this, slot, generation](const Job& job) {
    if (find(slot, generation) != nullptr) work(slot, job);
  });
  if (!connected) return exit_listener(slot, machine, 1);
  machine.guest = Guest::listening;
  say(slot, machine, core::RunnerListening{slot});
}

void FakeHost::start_command(core::Slot slot, Machine& machine) {
  machine.guest = Guest::working;
  later(slot, stage_.rng.between(1'000, 60'000), [this, slot](Machine& finished) {
    if (finished.alive && finished.guest == Guest::working) {
      exit_listener(slot, finished, static_cast<int>(stage_.rng.below(2)));
    }
  });
  machine.heard = std::max(machine.heard, stage_.now);
  answer(slot, machine.heard - stage_.now, [this, slot](Machine&) {
    stage_.deliver(core::JobStarted{slot, "command"});
    std::erase_if(commands_, [slot](const Command& command) { return command.handed == slot; });
    tell_commands();
  });
}

void FakeHost::work(core::Slot slot, const Job& job) {
  Machine& machine = machines_.at(slot);
  // A job given to a guest that just died is lost; that is the guest's fault.
  if (!machine.alive || machine.guest != Guest::listening) return github_.finish(machine.runner);
  machine.guest = Guest::working;
  report_job(slot, machine);
  later(slot, job.length, [this, slot](Machine& finished) {
    if (!finished.alive || finished.guest != Guest::working) return;
    github_.finish(finished.runner);
    say(slot, finished, core::JobFinished{slot, "Succeeded"});
    exit_listener(slot, finished, 0);
  });
}

// Told is what reaches a daemon that lives.
void FakeHost::report_job(core::Slot slot, Machine& machine) {
  say(slot, machine, core::JobStarted{slot, "job"});
  answer(slot, machine.heard - stage_.now, [](Machine& told) { told.has_reported_job = true; });
}

void FakeHost::exit_listener(core::Slot slot, Machine& machine, int code) {
  machine.guest = Guest::done;
  say(slot, machine, core::RunnerExited{slot, code});
  if (stage_.fault(100)) return;  // the guest hangs on its way down
  later(slot, stage_.rng.between(100, 5'000), [this, slot](Machine& ended) {
    if (ended.alive) die(slot, ended);
  });
}

void FakeHost::check_loss(const Machine& machine) {
  if (machine.guest == Guest::working && machine.alive && !machine.is_excused) {
    stage_.violation("a machine that runs a job is ended");
  }
}

void FakeHost::stop(const core::Stop& action) {
  const core::Slot slot = action.slot;
  Machine& machine = machines_.at(slot);
  const bool is_limit = action.cause == core::EndCause::job_timeout ||
                        action.cause == core::EndCause::killed;  // by the deadline of a drain
  if (is_limit) machine.is_excused = true;
  check_loss(machine);
  if (machine.guest == Guest::launching || stage_.fault(60)) {
    answer(slot, stage_.rng.between(0, 100),
           [this, slot](Machine&) { stage_.deliver(core::StopFailed{slot}); });
    return;
  }
  if (stage_.fault(100)) return;  // the guest does not care
  later(slot, stage_.rng.between(200, 5'000), [this, slot](Machine& stopped) {
    if (stopped.alive) die(slot, stopped);
  });
}

void FakeHost::kill(core::Slot slot) {
  Machine& machine = machines_.at(slot);
  check_loss(machine);
  if (machine.guest == Guest::launching) {
    machine.guest = Guest::done;
    return answer(slot, stage_.rng.between(0, 200), [this, slot](Machine&) {
      stage_.deliver(core::LaunchFailed{slot, kBroken});
    });
  }
  if (stage_.fault(30)) return;  // stuck in the kernel
  later(slot, stage_.rng.between(1, 300), [this, slot](Machine& killed) {
    if (killed.alive) die(slot, killed);
  });
}

void FakeHost::die(core::Slot slot, Machine& machine) {
  machine.alive = false;
  machine.guest = Guest::done;
  std::erase(asking_, slot);
  for (Command& command : commands_) {
    if (command.handed == slot) command.handed.reset();
  }
  hand_out();
  // GitHub notices that the runner is gone after a while; until then it is busy.
  const std::int64_t runner = machine.runner;
  stage_.after(stage_.rng.between(1'000, 60'000), [this, runner] { github_.finish(runner); });
  answer(slot, stage_.rng.between(0, 300), [this, slot](Machine&) {
    stage_.deliver(core::VmExited{slot, "simulated"});
  });
}

void FakeHost::remove(core::Slot slot) {
  if (machines_.at(slot).alive) stage_.violation("remove of a machine that lives");
  if (stage_.fault(100)) {
    return answer(slot, stage_.rng.between(0, 500), [this, slot](Machine&) {
      stage_.deliver(core::RemoveFailed{slot, kBroken});
    });
  }
  answer(slot, stage_.rng.between(0, 500), [this, slot](Machine&) {
    machines_.erase(slot);
    stage_.deliver(core::Removed{slot});
  });
}

void FakeHost::deregister(const core::Deregister& action) {
  const core::Slot slot = action.slot;
  const bool is_broken = stage_.fault(80);
  const std::uint64_t epoch = epoch_;
  stage_.after(stage_.rng.between(50, 5'000), [this, action, slot, is_broken, epoch] {
    if (epoch != epoch_) return;
    const Instant retry_at = stage_.now + stage_.rng.between(0, 15'000);
    if (is_broken) {
      (void)stage_.deliver(core::DeregisterFailed{slot, kBroken, retry_at});
      return;
    }
    const Deletion deletion = github_.remove_runner(action.runner.id);
    if (deletion == Deletion::busy && !forget_busy_runner(slot, action.runner.id)) {
      (void)stage_.deliver(core::DeregisterFailed{slot, Error{Errc::busy, "busy"}, retry_at});
      return;
    }
    stage_.deliver(core::Deregistered{slot});
  });
}

// GitHub sometimes deletes a runner that is busy: its flag comes late.
bool FakeHost::forget_busy_runner(core::Slot slot, std::int64_t runner) {
  if (!stage_.fault(300)) return false;
  github_.finish(runner);
  const auto machine = machines_.find(slot);
  // A job the daemon was told of must survive even this.
  if (machine != machines_.end() && !machine->second.has_reported_job) {
    machine->second.is_excused = true;
  }
  return true;
}

void FakeHost::disturb(const core::World& world) {
  for (auto& [slot, machine] : machines_) {
    if (!machine.alive) continue;
    // A listener whose registration is gone ends by itself.
    const bool listens = machine.guest == Guest::listening;
    if (listens && !github_.knows(machine.runner)) exit_listener(slot, machine, 0);
    if (stage_.fault(1)) {
      die(slot, machine);
    } else if (machine.guest != Guest::launching && stage_.fault(1)) {
      machine.is_excused = true;
      say(slot, machine, core::AgentFailed{slot, "simulated"});
    } else if (world.vms.contains(slot) && stage_.fault(1)) {
      machine.is_excused = true;
      stage_.deliver(core::KillRequested{slot, "the simulator"});
    }
  }
}

void FakeHost::add_command() {
  const WallTime created{stage_.now.time_since_epoch()};
  commands_.push_back(Command{next_command_++, created, std::nullopt});
  tell_commands();
  hand_out();
}

void FakeHost::cancel_command() {
  if (commands_.empty()) return;
  const Command gone = commands_.front();
  commands_.pop_front();
  tell_commands();
  if (!gone.handed) return;
  const auto found = machines_.find(*gone.handed);
  if (found != machines_.end()) found->second.is_excused = true;
  stage_.deliver(core::KillRequested{*gone.handed, "its client went away"});
}

void FakeHost::hand_out() {
  for (Command& command : commands_) {
    if (command.handed || asking_.empty()) continue;
    const core::Slot slot = asking_.front();
    asking_.erase(asking_.begin());
    command.handed = slot;
    answer(slot, stage_.rng.between(0, 100), [this, slot](Machine&) {
      stage_.deliver(core::JitReady{slot, {}});
    });
  }
}

void FakeHost::tell_commands() {
  std::vector<core::JobHint> jobs;
  for (const Command& command : commands_) {
    core::JobHint hint;
    hint.id = command.id;
    hint.created = command.created;
    jobs.push_back(hint);
  }
  const core::Demand demand{"small", std::move(jobs), {}};
  stage_.deliver(core::DemandSeen{std::string(core::kCommandScope), stage_.now, {demand}, {}});
}

std::vector<core::Leftover> FakeHost::crash_daemon(const core::World& world) {
  ++epoch_;
  // Their clients lost the connection: what has not begun is not wanted any more.
  for (const Command& command : commands_) {
    const auto handed = command.handed ? machines_.find(*command.handed) : machines_.end();
    if (handed != machines_.end()) handed->second.is_excused = true;
  }
  commands_.clear();
  asking_.clear();
  std::vector<core::Leftover> leftovers;
  for (auto& [slot, machine] : machines_) {
    core::Leftover leftover;
    leftover.slot = slot;
    const auto vm = world.vms.find(slot);
    if (vm != world.vms.end() && !stage_.fault(20)) {
      leftover.saved = core::SavedVm{vm->second, "boot", 1, 1};
      // Of what the dead daemon was told, the next one knows what was saved.
      machine.has_reported_job = vm->second.phase >= core::Phase::running;
    } else {
      machine.is_excused = true;  // a spec that cannot be read
    }
    leftover.process_alive = machine.alive;
    leftovers.push_back(leftover);
  }
  return leftovers;
}

void FakeHost::recover(const core::SurveyPlan& plan) {
  for (const core::Slot slot : plan.erase) {
    check_loss(machines_.at(slot));
    const std::int64_t runner = machines_.at(slot).runner;
    stage_.after(Duration{30'000}, [this, runner] { github_.finish(runner); });
    machines_.erase(slot);
  }
  for (const core::Runner& runner : plan.forget) (void)github_.remove_runner(runner.id);
  for (const core::Vm& vm : plan.adopt) {
    answer(vm.slot, stage_.rng.between(10, 2'000), [this, slot = vm.slot](Machine& machine) {
      if (machine.alive) sync(slot, machine);
    });
  }
}

// The agent's answer to a daemon that asks for its whole state.
void FakeHost::sync(core::Slot slot, Machine& machine) {
  switch (machine.guest) {
    case Guest::idle:
      return say(slot, machine, core::AgentReady{slot});
    case Guest::listening:
      return say(slot, machine, core::RunnerListening{slot});
    case Guest::working:
      return report_job(slot, machine);
    case Guest::done:
      return say(slot, machine, core::RunnerExited{slot, 0});
    case Guest::launching:
    case Guest::booting:
    case Guest::starting:
      return;
  }
}

}  // namespace mvr::sim
