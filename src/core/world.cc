#include "core/world.h"

#include <algorithm>

#include "base/assert.h"
#include "base/text.h"
#include "core/rules.h"

namespace mvr::core {
namespace {

constexpr std::size_t kMaxText = 400;  // of what a guest or another program said

std::string applied() { return {}; }

bool is_boot_failure(EndCause cause, Phase phase) {
  switch (cause) {
    case EndCause::boot_timeout:
    case EndCause::launch_failed:
      return true;
    case EndCause::agent_failed:
    case EndCause::runner_failed:
      return phase != Phase::running;
    case EndCause::vm_died:
      return phase < Phase::listening;
    case EndCause::none:
    case EndCause::finished:
    case EndCause::unused:
    case EndCause::cancelled:
    case EndCause::job_timeout:
    case EndCause::killed:
      return false;
  }
  return false;
}

// Listed jobs that vanished account for that many of the jobs our VMs took.
std::size_t vanished(const std::vector<JobHint>& before, const std::vector<JobHint>& after) {
  std::vector<std::int64_t> listed;
  listed.reserve(after.size());
  for (const JobHint& job : after) listed.push_back(job.id);
  std::ranges::sort(listed);
  return static_cast<std::size_t>(std::ranges::count_if(before, [&listed](const JobHint& job) {
    return !std::ranges::binary_search(listed, job.id);
  }));
}

// What is still believed to be listed though taken, when `fresh` replaces `old`.
std::vector<Instant> still_taken(const Demand& old, const std::vector<JobHint>& fresh,
                                 Instant as_of, Duration lag) {
  std::vector<Instant> kept;
  if (old.taken.empty()) return kept;
  std::size_t explained = vanished(old.jobs, fresh);
  for (const Instant taken : old.taken) {
    if (explained > 0) {
      --explained;
    } else if (taken > as_of - lag) {
      kept.push_back(taken);
    }
  }
  return kept;
}

class Observer {
 public:
  Observer(World& world, Instant now) : world_(world), now_(now) {}

  std::string operator()(const DemandSeen& event);
  std::string operator()(const DiscoveryFailed& event);
  std::string operator()(const CapacityMeasured& event) {
    if (world_.capacity == event.capacity) return "the capacity is the same";
    world_.capacity = event.capacity;
    return applied();
  }
  std::string operator()(const ImageMissing& event) {
    if (!event.why.empty()) {
      world_.missing_images[event.profile] = event.why;
    } else if (world_.missing_images.erase(event.profile) == 0) {
      return "the image was not missing";
    }
    return applied();
  }
  std::string operator()(const DrainChanged& event) {
    if (world_.draining == event.draining) return "draining is so already";
    world_.draining = event.draining;
    return applied();
  }
  std::string operator()(const Adopted& event) {
    const bool added = world_.vms.emplace(event.vm.slot, event.vm).second;
    return added ? applied() : "the slot has a VM already";
  }
  std::string operator()(const Dispatched& event) { return std::visit(*this, event.action); }

  // The actions, as Dispatched.
  std::string operator()(const Launch& action);
  template <class AboutVm>
  std::string operator()(const AboutVm& about) {
    const auto found = world_.vms.find(about.slot);
    if (found == world_.vms.end()) return "no VM in this slot";
    return apply(found->second, about);
  }

 private:
  std::string apply(Vm& vm, const RequestJit& action);
  std::string apply(Vm& vm, const Claim& action);
  std::string apply(Vm& vm, const Stop& action);
  std::string apply(Vm& vm, const Kill& action);
  std::string apply(Vm& vm, const Remove& action);
  std::string apply(Vm& vm, const Deregister& action);
  std::string apply(Vm& vm, const VmStarted& event);
  std::string apply(Vm& vm, const LaunchFailed& event);
  std::string apply(Vm& vm, const AgentReady& event);
  std::string apply(Vm& vm, const JitReady& event);
  std::string apply(Vm& vm, const JitFailed& event);
  std::string apply(Vm& vm, const ClaimFailed& event);
  std::string apply(Vm& vm, const RunnerListening& event);
  std::string apply(Vm& vm, const JobStarted& event);
  std::string apply(Vm& vm, const JobFinished& event);
  std::string apply(Vm& vm, const RunnerExited& event);
  std::string apply(Vm& vm, const AgentFailed& event);
  std::string apply(Vm& vm, const VmExited& event);
  std::string apply(Vm& vm, const StopFailed& event);
  std::string apply(Vm& vm, const Removed& event);
  std::string apply(Vm& vm, const RemoveFailed& event);
  std::string apply(Vm& vm, const Deregistered& event);
  std::string apply(Vm& vm, const DeregisterFailed& event);
  std::string apply(Vm& vm, const KillRequested& event);

  void enter(Vm& vm, Phase phase) const {
    vm.phase = phase;
    vm.since = now_;
  }

  // The first cause stays; a boot failure counts once per VM.
  void give_cause(Vm& vm, EndCause cause, std::string_view text) {
    if (vm.cause != EndCause::none) return;
    vm.cause = cause;
    vm.cause_text = printable(text, kMaxText);
    if (!is_boot_failure(cause, vm.phase)) return;
    Health& health = world_.health[vm.profile];
    ++health.failures;
    health.last_failure = now_;
    health.cause = cause;
    health.text = vm.cause_text;
  }

  std::string end(Vm& vm, EndCause cause, std::string_view text) {
    give_cause(vm, cause, text);
    MVR_ASSERT(vm.phase != Phase::removing);
    enter(vm, Phase::ending);
    vm.kill_at.reset();
    return applied();
  }

  std::string begin_removal(Vm& vm, EndCause cause, std::string_view text) {
    give_cause(vm, cause, text);
    enter(vm, Phase::removing);
    InFlight left;
    left.jit = vm.in_flight.jit && vm.scope != kCommandScope;  // no registration to wait for
    left.deregister = vm.in_flight.deregister;
    vm.in_flight = left;
    return applied();
  }

  void erase_if_done(const Vm& vm) {
    const bool waits = vm.runner || vm.in_flight.jit || vm.in_flight.deregister;
    if (vm.removed && !waits) world_.vms.erase(Slot{vm.slot});
  }

  void note_taken(const Vm& vm) {
    const auto scope = world_.scopes.find(vm.scope);
    if (scope == world_.scopes.end()) return;
    auto& demands = scope->second.demands;
    const auto demand = std::ranges::find(demands, vm.profile, &Demand::profile);
    if (demand != demands.end()) {
      demand->taken.push_back(now_);
    } else {
      demands.push_back(Demand{vm.profile, {}, {now_}});  // a listing that lags may yet show it
    }
  }

  World& world_;
  Instant now_;
};

bool is_live(const Vm& vm) { return vm.phase <= Phase::running || vm.phase == Phase::held; }

std::string Observer::operator()(const DemandSeen& event) {
  ScopeState& state = world_.scopes[event.scope];
  if (event.as_of < state.as_of) return "a newer listing is known";
  const Duration lag = event.scope == kCommandScope ? Duration::zero() : kListingLag;
  ScopeState fresh;
  fresh.as_of = event.as_of;
  fresh.unmatched = event.unmatched;
  for (const Demand& seen : event.demands) {
    fresh.demands.push_back(Demand{seen.profile, seen.jobs, {}});
  }
  for (const Demand& old : state.demands) {
    auto same = std::ranges::find(fresh.demands, old.profile, &Demand::profile);
    const bool is_listed = same != fresh.demands.end();
    const std::vector<JobHint> jobs = is_listed ? same->jobs : std::vector<JobHint>{};
    std::vector<Instant> taken = still_taken(old, jobs, event.as_of, lag);
    if (is_listed) {
      same->taken = std::move(taken);
    } else if (!taken.empty()) {
      fresh.demands.push_back(Demand{old.profile, {}, std::move(taken)});
    }
  }
  state = std::move(fresh);
  return applied();
}

std::string Observer::operator()(const DiscoveryFailed& event) {
  ScopeState& state = world_.scopes[event.scope];
  state.failure = event.error;
  state.retry_at = event.retry_at;
  return applied();
}

std::string Observer::operator()(const Launch& action) {
  Vm vm;
  vm.slot = action.slot;
  vm.name = action.vm;
  vm.profile = action.profile;
  vm.scope = action.scope;
  vm.size = action.size;
  vm.since = vm.created = now_;
  vm.in_flight.launch = true;
  if (!world_.vms.emplace(action.slot, std::move(vm)).second) return "the slot has a VM already";
  ++world_.launches;
  return applied();
}

std::string Observer::apply(Vm& vm, const RequestJit& action) {
  vm.in_flight.jit = true;
  if (!action.runner.empty()) ++world_.runners;
  return applied();
}

std::string Observer::apply(Vm& vm, const Claim&) {
  if (vm.phase != Phase::warm) return "only a warm VM is claimed";
  enter(vm, Phase::claiming);
  vm.jit_ready = false;
  vm.in_flight.claim = true;
  return applied();
}

std::string Observer::apply(Vm& vm, const Stop& action) {
  if (is_live(vm)) (void)end(vm, action.cause, action.text);  // never ignored
  if (vm.phase != Phase::ending || vm.kill_at) return "it is being stopped already";
  vm.in_flight.stop = true;
  vm.kill_at = now_ + action.grace;
  return applied();
}

std::string Observer::apply(Vm& vm, const Kill&) {
  if (vm.phase != Phase::ending) return "only an ending VM is killed";
  vm.in_flight.kill = true;
  vm.kill_at = now_ + kKillRetry;  // should the kill have no effect
  return applied();
}

std::string Observer::apply(Vm& vm, const Remove&) {
  if (vm.phase != Phase::removing || vm.removed) return "only an ended VM is removed";
  vm.in_flight.remove = true;
  return applied();
}

std::string Observer::apply(Vm& vm, const Deregister& action) {
  vm.in_flight.deregister = true;
  vm.release_cause = action.cause;
  return applied();
}

std::string Observer::apply(Vm& vm, const VmStarted&) {
  vm.in_flight.launch = false;
  if (vm.phase != Phase::preparing) return "it is past preparing";
  enter(vm, Phase::booting);
  return applied();
}

std::string Observer::apply(Vm& vm, const LaunchFailed& event) {
  if (!vm.in_flight.launch) return "its launch is over";
  return begin_removal(vm, EndCause::launch_failed, event.error.what);
}

std::string Observer::apply(Vm& vm, const AgentReady&) {
  if (vm.phase == Phase::claiming && vm.adopted) {
    return end(vm, EndCause::cancelled, "its claim was lost when the daemon restarted");
  }
  if (vm.phase > Phase::booting) return "it is past booting";
  vm.adopted = false;
  enter(vm, Phase::warm);
  return applied();
}

std::string Observer::apply(Vm& vm, const JitReady& event) {
  if (!vm.in_flight.jit) return "no JIT config was asked for";
  vm.in_flight.jit = false;
  vm.jit_failures = 0;
  if (event.runner.id != 0) vm.runner = event.runner;
  vm.jit_ready = vm.phase <= Phase::warm;
  erase_if_done(vm);
  return applied();
}

std::string Observer::apply(Vm& vm, const JitFailed& event) {
  if (!vm.in_flight.jit) return "no JIT config was asked for";
  vm.in_flight.jit = false;
  vm.jit_retry_at = std::max(event.retry_at, now_ + kLeastRetry);
  ++vm.jit_failures;
  if (vm.jit_failures >= kMaxJitFailures && vm.phase <= Phase::warm) {
    return end(vm, EndCause::runner_failed, "no runner could be registered: " + event.error.what);
  }
  erase_if_done(vm);
  return applied();
}

std::string Observer::apply(Vm& vm, const ClaimFailed& event) {
  if (!vm.in_flight.claim || vm.phase != Phase::claiming) return "it is not being claimed";
  vm.in_flight.claim = false;
  return end(vm, EndCause::agent_failed, "claim: " + event.error.what);
}

std::string Observer::apply(Vm& vm, const RunnerListening&) {
  if (vm.phase >= Phase::listening) return "it is past claiming";
  enter(vm, Phase::listening);
  vm.in_flight.claim = false;
  vm.adopted = false;
  world_.health.erase(vm.profile);
  return applied();
}

std::string Observer::apply(Vm& vm, const JobStarted& event) {
  if (vm.phase >= Phase::running) return "it is past listening";
  enter(vm, Phase::running);
  vm.in_flight.claim = false;
  vm.adopted = false;
  vm.job = printable(event.job, kMaxText);
  world_.health.erase(vm.profile);
  note_taken(vm);
  return applied();
}

std::string Observer::apply(Vm& vm, const JobFinished& event) {
  const bool had_job = vm.phase == Phase::running || vm.phase == Phase::ending;
  if (!had_job || !vm.result.empty()) return "no job runs in it";
  vm.result = printable(event.result, kMaxText);
  return applied();
}

std::string Observer::apply(Vm& vm, const RunnerExited& event) {
  if (vm.phase == Phase::ending && !vm.exit_code) {
    vm.exit_code = event.code;
    return applied();
  }
  if (vm.phase > Phase::running) return "it is past running";
  vm.exit_code = event.code;
  const std::string text = "the runner exited with code " + std::to_string(event.code);
  if (vm.phase == Phase::running) return end(vm, EndCause::finished, text);
  return end(vm, event.code == 0 ? EndCause::unused : EndCause::runner_failed, text);
}

std::string Observer::apply(Vm& vm, const AgentFailed& event) {
  if (!is_live(vm)) return "it is ending already";
  return end(vm, EndCause::agent_failed, event.text);
}

std::string Observer::apply(Vm& vm, const VmExited& event) {
  if (vm.phase == Phase::removing) return "it is known to be gone";
  return begin_removal(vm, EndCause::vm_died, event.text);
}

std::string Observer::apply(Vm& vm, const StopFailed&) {
  if (vm.phase != Phase::ending || !vm.in_flight.stop) return "it is not being stopped";
  vm.in_flight.stop = false;
  if (!vm.in_flight.kill) vm.kill_at = now_;
  return applied();
}

std::string Observer::apply(Vm& vm, const Removed&) {
  if (!vm.in_flight.remove) return "it is not being removed";
  vm.in_flight.remove = false;
  vm.removed = true;
  erase_if_done(vm);
  return applied();
}

std::string Observer::apply(Vm& vm, const RemoveFailed&) {
  if (!vm.in_flight.remove) return "it is not being removed";
  vm.in_flight.remove = false;
  ++vm.remove_failures;
  vm.remove_retry_at = now_ + backoff_delay(kRemoveBackoff, vm.remove_failures, vm.name);
  return applied();
}

std::string Observer::apply(Vm& vm, const Deregistered&) {
  vm.in_flight.deregister = false;
  if (!vm.runner) return "it has no runner";
  vm.runner.reset();
  if (vm.phase == Phase::claiming || vm.phase == Phase::listening) {
    const bool asked = vm.release_cause != EndCause::none;
    return end(vm, asked ? vm.release_cause : EndCause::unused, "its runner was deregistered");
  }
  erase_if_done(vm);
  return applied();
}

std::string Observer::apply(Vm& vm, const DeregisterFailed& event) {
  if (!vm.in_flight.deregister) return "it is not being deregistered";
  vm.in_flight.deregister = false;
  vm.release_cause = EndCause::none;
  vm.deregister_retry_at = std::max(event.retry_at, now_ + kLeastRetry);
  if (vm.phase != Phase::removing) return applied();
  // Given up: the registration is left to the sweep of ghost runners.
  if (++vm.deregister_failures >= kMaxDeregisterFailures) vm.runner.reset();
  erase_if_done(vm);
  return applied();
}

std::string Observer::apply(Vm& vm, const KillRequested& event) {
  if (is_live(vm)) return end(vm, EndCause::killed, "by " + event.by);
  if (vm.phase != Phase::ending || vm.in_flight.kill) return "it is ending already";
  vm.kill_at = now_;
  return applied();
}

}  // namespace

std::string observe(World& world, const Event& event, Instant now) {
  return std::visit(Observer(world, now), event);
}

}  // namespace mvr::core
