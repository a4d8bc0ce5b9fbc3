// The next step of each VM: its deadlines, its claim, its way out.
#include <algorithm>
#include <set>

#include "base/text.h"
#include "core/names.h"
#include "core/rules.h"

namespace mvr::core {
namespace {

class Stepper {
 public:
  Stepper(const Config& config, const World& world, Instant now, WakeUp& wake)
      : config_(config),
        world_(world),
        now_(now),
        wake_(wake),
        wants_(wants(config, world, now)),
        surplus_idle_(surplus_idle(config, world)) {}

  std::optional<Action> step(const Vm& vm) {
    switch (vm.phase) {
      case Phase::preparing:
      case Phase::booting:
        return boot_step(vm);
      case Phase::warm:
        return warm_step(vm);
      case Phase::claiming:
        return claiming_step(vm);
      case Phase::listening:
        return listening_step(vm);
      case Phase::running:
        return running_step(vm);
      case Phase::ending:
        return ending_step(vm);
      case Phase::removing:
        return removing_step(vm);
      case Phase::held:
        return held_step(vm);
    }
    return std::nullopt;
  }

 private:
  // True once `at` has come; before that, plan() is woken then.
  bool is_due(Instant at) {
    wake_.consider(at);
    return now_ >= at;
  }

  [[nodiscard]] Want want(const Vm& vm) const {
    const auto found = wants_.find(vm.slot);
    return found == wants_.end() ? Want::doubtful : found->second;
  }

  [[nodiscard]] std::string unwanted_text(const Vm& vm) const {
    if (world_.draining) return "the host is draining";
    if (config_.profile(vm.profile) == nullptr) return "its profile is no longer configured";
    return "no job waits for it any more";
  }

  [[nodiscard]] Stop cancel(const Vm& vm) const {
    return Stop{vm.slot, kStopGrace, EndCause::cancelled, unwanted_text(vm)};
  }

  std::optional<Action> boot_step(const Vm& vm) {
    if (!is_idle(vm) && want(vm) == Want::no) return cancel(vm);
    // An adopted VM gets the time anew: the daemon was not there to hear its hello.
    const Instant start = vm.adopted ? vm.since : vm.created;
    if (is_due(start + vm.limits.boot)) {
      return Stop{vm.slot, kStopGrace, EndCause::boot_timeout,
                  "no hello from the guest within " + format_duration(vm.limits.boot)};
    }
    if (is_idle(vm)) return idle_step(vm);
    // Not while preparing: a launch that fails should leave no registration behind. Nor while
    // adopted: the guest may hold the configuration of a runner the daemon has forgotten.
    if (vm.phase == Phase::preparing || vm.adopted) return std::nullopt;
    return request_jit(vm);
  }

  // A VM that is kept warm goes when it is old, surplus, or not what would be booted now.
  std::optional<Action> idle_step(const Vm& vm) {
    const auto end = [&vm](EndCause cause, std::string text) {
      return Stop{vm.slot, kStopGrace, cause, std::move(text)};
    };
    if (world_.draining) return end(EndCause::cancelled, unwanted_text(vm));
    const Profile* profile = config_.profile(vm.profile);
    if (profile == nullptr || surplus_idle_.contains(vm.slot)) {
      return end(EndCause::cancelled, "no more warm VMs of this profile are wanted");
    }
    const auto origin = world_.origins.find(vm.profile);
    if (origin != world_.origins.end() && origin->second != vm.origin) {
      return end(EndCause::cancelled, "image, kernel or configuration changed");
    }
    if (!is_due(vm.created + profile->warm_max_age)) return std::nullopt;
    return end(EndCause::unused, "warm for " + format_duration(profile->warm_max_age));
  }

  std::optional<Action> warm_step(const Vm& vm) {
    if (is_idle(vm)) return idle_step(vm);
    if (want(vm) == Want::no) return cancel(vm);
    if (vm.jit_ready) return Claim{vm.slot};
    return request_jit(vm);
  }

  std::optional<Action> request_jit(const Vm& vm) {
    if (vm.jit_ready || vm.runner || vm.in_flight.jit || want(vm) != Want::yes) return std::nullopt;
    if (!is_due(vm.jit_retry_at)) return std::nullopt;
    if (vm.scope == kCommandScope) return RequestJit{vm.slot, vm.scope, "", "", 0, {}};
    const std::uint64_t number = world_.runners + names_made_++;
    return RequestJit{vm.slot, vm.scope, runner_name(config_.host.id, world_.seed, number),
                      "",      0,        {}};
  }

  std::optional<Action> claiming_step(const Vm& vm) {
    if (is_due(vm.since + vm.limits.boot)) {
      return Stop{vm.slot, kStopGrace, EndCause::runner_failed,
                  "the runner did not listen within " + format_duration(vm.limits.boot)};
    }
    if (want(vm) != Want::no) return std::nullopt;
    // GitHub may be giving it a job at this moment: it decides, by refusing the deletion.
    if (vm.runner) return give_back(vm, EndCause::cancelled);
    return cancel(vm);
  }

  std::optional<Action> listening_step(const Vm& vm) {
    const Duration limit = vm.limits.listen;
    // Known bugs of the runner (actions/runner 4617, 4668): it listens though GitHub has forgotten
    // it, or has a job and does not start it. A list can be wrong: the deletion decides. Only
    // when GitHub refuses that because of a job, and still none is reported, it hangs.
    if (vm.refused_since && is_due(*vm.refused_since + kBusyWithoutJob)) {
      return Stop{vm.slot, kStopGrace, EndCause::listener_hung,
                  "GitHub gave it a job that it does not start"};
    }
    if (is_due(vm.since + limit + vm.limits.job)) {
      return Stop{vm.slot, kStopGrace, EndCause::job_timeout,
                  "its runner could not be deleted, and it has reported no job for " +
                      format_duration(limit + vm.limits.job)};
    }
    const bool is_busy = vm.busy_since && is_due(*vm.busy_since + kBusyWithoutJob);
    if (vm.runner && (is_busy || vm.unlisted >= kMaxUnlisted)) {
      return give_back(vm, EndCause::listener_hung);
    }
    if (is_due(vm.since + limit)) {
      if (vm.runner) return give_back(vm, EndCause::unused);
      return Stop{vm.slot, kStopGrace, EndCause::unused, "no job for " + format_duration(limit)};
    }
    if (want(vm) != Want::no || !vm.runner) return std::nullopt;
    if (!world_.draining && !is_due(vm.since + std::min(limit, kLeastIdle))) return std::nullopt;
    return give_back(vm, EndCause::cancelled);
  }

  std::optional<Action> give_back(const Vm& vm, EndCause cause) {
    if (vm.in_flight.deregister || !is_due(vm.deregister_retry_at)) return std::nullopt;
    return Deregister{vm.slot, vm.scope, *vm.runner, cause};
  }

  std::optional<Action> running_step(const Vm& vm) {
    if (world_.draining && world_.drain_deadline && is_due(*world_.drain_deadline)) {
      return Stop{vm.slot, kJobStopGrace, EndCause::killed, "the deadline of the drain came"};
    }
    const Instant end = vm.since + vm.limits.job;
    if (is_due(end)) {
      return Stop{vm.slot, kJobStopGrace, EndCause::job_timeout,
                  "the job ran longer than " + format_duration(vm.limits.job)};
    }
    if (vm.warned || !is_due(vm.since + vm.limits.job * kWarnPercent / 100)) return std::nullopt;
    return Warn{vm.slot, end - now_};
  }

  std::optional<Action> ending_step(const Vm& vm) {
    if (vm.kill_at) {
      if (!is_due(*vm.kill_at)) return std::nullopt;
      return Kill{vm.slot};
    }
    if (const Duration time = hold_time(vm); time > Duration{0}) return Hold{vm.slot, time};
    const Duration grace = vm.cause == EndCause::finished ? kFinishedGrace : kStopGrace;
    return Stop{vm.slot, grace, vm.cause, vm.cause_text};
  }

  // For how long a VM whose runner has just exited is kept; zero: it goes.
  Duration hold_time(const Vm& vm) {
    // The agent must be there still, and it is: it told of the exit.
    const bool may_be_held = vm.exit_code && !vm.held_until && !world_.draining;
    if (!may_be_held || vm.cause == EndCause::killed) return {};
    if (vm.hold > Duration{0}) return vm.hold;
    const Profile* profile = config_.profile(vm.profile);
    const bool is_looked_into = vm.scope != kCommandScope && is_failed_job(vm);
    if (profile == nullptr || !is_looked_into) return {};
    const auto are_held = std::ranges::count_if(world_.vms, [&vm](const auto& each) {
      return each.second.phase == Phase::held && each.second.profile == vm.profile;
    });
    std::uint32_t& holding = holding_[vm.profile];
    if (are_held + holding >= profile->hold_on_failure.max) return {};
    ++holding;
    return profile->hold_on_failure.time;
  }

  std::optional<Action> held_step(const Vm& vm) {
    if (world_.draining || !vm.held_until || is_due(*vm.held_until)) {
      return Stop{vm.slot, kFinishedGrace, vm.cause, vm.cause_text};
    }
    if (vm.hold > Duration{0}) return Hold{vm.slot, vm.hold};
    if (vm.runner) return give_back(vm, vm.cause);
    return std::nullopt;
  }

  std::optional<Action> removing_step(const Vm& vm) {
    if (vm.in_flight.remove) return std::nullopt;
    if (!vm.removed && is_due(vm.remove_retry_at)) return Remove{vm.slot};
    // An ephemeral runner that finished has deleted itself: then this finds it gone.
    if (vm.runner) return give_back(vm, vm.cause);
    return std::nullopt;
  }

  const Config& config_;
  const World& world_;
  Instant now_;
  WakeUp& wake_;
  std::map<Slot, Want> wants_;
  std::set<Slot> surplus_idle_;
  std::uint64_t names_made_ = 0;
  std::map<std::string, std::uint32_t> holding_;  // by profile: begun in this pass
};

}  // namespace

std::vector<Action> steps(const Config& config, const World& world, Instant now, WakeUp& wake) {
  std::vector<Action> actions;
  Stepper stepper(config, world, now, wake);
  for (const auto& [slot, vm] : world.vms) {
    if (std::optional<Action> action = stepper.step(vm)) actions.push_back(std::move(*action));
  }
  return actions;
}

}  // namespace mvr::core
