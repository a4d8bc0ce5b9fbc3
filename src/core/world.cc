#include "core/world.h"

#include <algorithm>

#include "base/assert.h"
#include "base/text.h"
#include "core/rules.h"

namespace mvr::core {
namespace {

constexpr std::size_t kMaxText = 400;  // of what a guest or another program said

std::string applied() { return {}; }

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
  std::string operator()(const ProfileChecked& event) { return fold_profile(world_, event); }
  std::string operator()(const ProfileGone& event) { return fold_profile(world_, event); }
  std::string operator()(const DrainChanged& event) {
    const auto deadline = event.draining ? event.deadline : std::nullopt;
    if (world_.draining == event.draining && world_.drain_deadline == deadline) {
      return "draining is so already";
    }
    world_.draining = event.draining;
    world_.drain_deadline = deadline;
    return applied();
  }
  std::string operator()(const PressureChanged& event) {
    if (world_.pressure == event.why) return "the pressure is the same";
    world_.pressure = event.why;
    return applied();
  }
  std::string operator()(const Learned& event) {
    for (const Estimate& estimate : event.estimates) {
      world_.estimates.set(estimate_key(estimate), estimate.typical);
    }
    return applied();
  }
  std::string operator()(const RunnersSeen& event);
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
  std::string apply(Vm& vm, const Warn& action);
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
  std::string apply(Vm& vm, const VmTroubled& event);
  std::string apply(Vm& vm, const HoldRequested& event);
  std::string apply(Vm& vm, const Hold& action);

  void enter(Vm& vm, Phase phase) const {
    vm.phase = phase;
    vm.since = now_;
  }

  // The first cause stays; a boot failure counts once per VM.
  void give_cause(Vm& vm, EndCause cause, std::string_view text) {
    if (vm.cause != EndCause::none) return;
    const bool is_explained = vm.trouble != EndCause::none && is_unexplained(vm, cause);
    if (is_explained) cause = vm.trouble;
    vm.cause = cause;
    vm.cause_text = is_explained ? vm.trouble_text : printable(text, kMaxText);
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

  // A repository was served until `share`, from where its last service ended.
  void note_share(const std::string& repository, std::uint64_t share) {
    Shares& shares = world_.shares;
    const auto found = shares.ends.find(repository);
    if (found != shares.ends.end()) shares.now = std::max(shares.now, found->second);
    shares.ends[repository] = share;
    std::erase_if(shares.ends, [&shares](const auto& each) { return each.second <= shares.now; });
  }

  // Which of the listed jobs it took is known by the name only.
  void note_job(Vm& vm, const std::string& name) const {
    vm.job = printable(name, kMaxText);
    const auto scope = world_.scopes.find(vm.scope);
    if (scope == world_.scopes.end()) return;
    const auto& demands = scope->second.demands;
    const auto demand = std::ranges::find(demands, vm.profile, &Demand::profile);
    if (demand == demands.end()) return;
    const JobHint* taken = nullptr;
    for (const JobHint& job : demand->jobs) {
      if (job.name != vm.job) continue;
      const bool is_meant = job.repository == vm.repository;
      if (taken == nullptr || is_meant) taken = &job;
      if (is_meant) break;
    }
    if (taken == nullptr) return;
    vm.repository = taken->repository;
    vm.workflow = taken->workflow;
    vm.queued = taken->created;
    vm.run = taken->run_id;
    const auto known =
        world_.estimates.find(estimate_key(taken->repository, taken->workflow, taken->name));
    if (known) vm.expected = *known;
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

std::string Observer::operator()(const DemandSeen& event) {
  ScopeState& state = world_.scopes[event.scope];
  // A part that has jobs may be older than all that was known before: the whole is new all the
  // same.
  const auto newest = [](const auto& listing) { return std::max(listing.as_of, listing.newest); };
  if (newest(event) < newest(state)) return "a newer listing is known";
  fold_demand(state, event);
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
  vm.limits = action.limits;
  vm.egress = action.egress;
  vm.repository = action.repository;
  vm.expected = action.expected;
  const auto origin = world_.origins.find(action.profile);
  if (origin != world_.origins.end()) vm.origin = origin->second;
  vm.since = vm.created = now_;
  vm.in_flight.launch = true;
  if (!world_.vms.emplace(action.slot, std::move(vm)).second) return "the slot has a VM already";
  ++world_.launches;
  if (!action.scope.empty()) note_share(action.repository, action.share);
  return applied();
}

std::string Observer::operator()(const RunnersSeen& event) {
  bool changed = false;
  for (auto& [slot, vm] : world_.vms) {
    const bool is_meant = vm.scope == event.scope && vm.phase == Phase::listening && vm.runner &&
                          vm.since < event.as_of;
    if (!is_meant) continue;
    changed = true;
    const auto runner = std::ranges::find(event.runners, vm.runner->id, &RunnerSeen::id);
    if (runner == event.runners.end()) {
      ++vm.unlisted;
      continue;
    }
    vm.unlisted = 0;
    if (!runner->busy) vm.busy_since.reset(), vm.refused_since.reset();
    if (runner->busy && !vm.busy_since) vm.busy_since = now_;
  }
  return changed ? applied() : "no VM listens there";
}

std::string Observer::apply(Vm& vm, const RequestJit& action) {
  if (is_idle(vm)) {
    vm.scope = action.scope;
    vm.repository = action.repository;
    vm.expected = action.expected;
    note_share(action.repository, action.share);
  }
  vm.in_flight.jit = true;
  vm.requested = action.runner;
  if (!action.runner.empty()) ++world_.runners;
  return applied();
}

std::string Observer::apply(Vm& vm, const Warn&) {
  if (vm.phase != Phase::running || vm.warned) return "there is nothing to warn of";
  vm.warned = true;
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
  const bool is_full = event.error.code == Errc::full;
  return begin_removal(vm, is_full ? EndCause::host_full : EndCause::launch_failed,
                       event.error.what);
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
  vm.requested.clear();
  vm.jit_failures = 0;
  if (event.runner.id != 0) vm.runner = event.runner;
  vm.jit_ready = vm.phase <= Phase::warm;
  erase_if_done(vm);
  return applied();
}

std::string Observer::apply(Vm& vm, const JitFailed& event) {
  if (!vm.in_flight.jit) return "no JIT config was asked for";
  vm.in_flight.jit = false;
  vm.requested.clear();
  vm.jit_retry_at = std::max(event.retry_at, now_ + kLeastRetry);
  ++vm.jit_failures;
  if (vm.jit_failures >= kMaxJitFailures && vm.phase <= Phase::warm) {
    return end(vm, EndCause::runner_failed,
               "no runner could be registered: " + full_text(event.error));
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
  vm.busy_since.reset();
  vm.refused_since.reset();
  note_job(vm, event.job);
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
  return end(vm, cause_of_exit(vm, event.code), text);
}

std::string Observer::apply(Vm& vm, const AgentFailed& event) {
  if (!is_live(vm)) return "it is ending already";
  return end(vm, event.cause, event.text);
}

std::string Observer::apply(Vm& vm, const VmExited& event) {
  if (vm.phase == Phase::removing) return "it is known to be gone";
  return begin_removal(vm, event.cause, event.text);
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
  const bool is_busy = event.error.code == Errc::busy && vm.phase == Phase::listening;
  if (is_busy && !vm.refused_since) vm.refused_since = now_;
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

std::string Observer::apply(Vm& vm, const VmTroubled& event) {
  if (vm.phase > Phase::running) return "it is ending already";
  const bool is_open = vm.trouble == EndCause::none || vm.trouble == EndCause::network;
  if (!is_open || event.cause == vm.trouble) return "its trouble is known";
  vm.trouble = event.cause;
  vm.trouble_text = printable(event.text, kMaxText);
  return applied();
}

std::string Observer::apply(Vm& vm, const HoldRequested& event) {
  const bool has_runner = vm.phase >= Phase::claiming && vm.phase <= Phase::running;
  if (!has_runner && vm.phase != Phase::held) return "it has no runner that will exit";
  vm.hold = event.time;
  if (vm.phase == Phase::held && event.time == Duration{0}) vm.held_until = now_;
  return applied();
}

std::string Observer::apply(Vm& vm, const Hold& action) {
  if (vm.phase != Phase::ending && vm.phase != Phase::held) return "its runner has not exited";
  if (vm.phase == Phase::ending) enter(vm, Phase::held);
  vm.hold = {};
  vm.held_until = now_ + action.time;
  return applied();
}

}  // namespace

std::string observe(World& world, const Event& event, Instant now) {
  return std::visit(Observer(world, now), event);
}

}  // namespace mvr::core
