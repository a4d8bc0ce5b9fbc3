// Demand no VM is on the way for -> launches, warm VMs given away or given up, and waits.
#include <algorithm>

#include "base/text.h"
#include "core/match.h"
#include "core/names.h"
#include "core/queue.h"
#include "core/rules.h"
#include "core/timeline.h"

namespace mvr::core {
namespace {

// One: with eight, mean and p99 of the waits were both longer in every mix of tests/bench.
constexpr std::size_t kMostReservations = 1;
constexpr std::size_t kMostTries = 64;  // of jobs that may pass a reservation, in one plan

class Packer {
 public:
  Packer(const Config& config, const World& world, Instant now, WakeUp& wake)
      : config_(config),
        world_(world),
        now_(now),
        wake_(wake),
        used_(used(world)),
        queue_(config, world, now) {
    for (const auto& [slot, vm] : world.vms) look_at(vm);
    std::ranges::sort(idle_, goes_before);
  }

  Packing run(std::size_t most) {
    most_ = most;
    for (const auto& [scope, state] : world_.scopes) note_failure(scope, state);
    while (packing_.actions.size() < most_) {
      Group* group = queue_.next();
      if (group == nullptr) break;
      place(*group);
    }
    if (!timeline_) keep_warm();
    return std::move(packing_);
  }

 private:
  void look_at(const Vm& vm) {
    if (vm.removed) return;
    count(vm.scope, vm.profile, vm.repository);
    if (vm.phase < Phase::listening && vm.phase != Phase::claiming) ++trials_[vm.profile];
    if (vm.phase == Phase::ending || vm.phase == Phase::removing) add(going_, vm.size);
    const auto origin = world_.origins.find(vm.profile);
    const bool fresh = origin == world_.origins.end() || origin->second == vm.origin;
    const bool is_up = vm.phase >= Phase::booting && !vm.adopted;
    if (is_idle(vm) && is_up && fresh) idle_.push_back(&vm);
    if (is_idle(vm)) ++warm_[vm.profile];
  }

  void count(const std::string& scope, const std::string& profile, const std::string& repository) {
    const Profile* settings = config_.profile(profile);
    ++in_profile_[settings == nullptr ? profile : settings->name];
    if (scope.empty()) return;
    ++in_scope_[scope];
    ++in_repository_[{scope, repository}];
  }

  static void add(Capacity& sum, const Resources& size) {
    sum.memory += size.memory;
    sum.vcpus += size.vcpus;
    sum.disk += size.disk;
    ++sum.vms;
  }

  void note_failure(const std::string& scope, const ScopeState& state) {
    if (scope != kCommandScope && config_.scope(scope) == nullptr) return;
    for (const JobHint& job : state.unmatched) {
      add_wait(
          Wait{scope, "", 1, why_unserved(config_, config_.scope(scope), job), job, std::nullopt});
    }
    if (!state.failure) return;
    Wait wait{scope, "", 0, DiscoveryDown{*state.failure, state.retry_at}, {}, state.retry_at};
    if (now_ - state.as_of > kListingAge) {
      for (const Demand& demand : state.demands) {
        const std::size_t served = std::min(demand.taken.size(), demand.jobs.size());
        wait.jobs += static_cast<std::uint32_t>(demand.jobs.size() - served);
        if (!wait.oldest && served < demand.jobs.size()) wait.oldest = demand.jobs[served];
      }
    }
    packing_.waits.push_back(std::move(wait));
  }

  // One step: the group's head gets a VM or a wait.
  void place(Group& group) {
    if (std::optional<Reason> reason = obstacle(group)) {
      const auto next = retry_time(*reason);
      return leave(group, std::move(*reason), group.left(), next);
    }
    if (assign(group)) return;
    if (std::optional<Reason> reason = limit_of_profile(*group.settings)) {
      return leave(group, std::move(*reason), group.left(), std::nullopt);
    }
    const Resources& size = *group.size;
    if (!is_at_least(world_.capacity, size)) {
      return leave(group, TooBig{size, world_.capacity}, group.left(), std::nullopt);
    }
    const Duration expected = run_time(group);
    std::optional<Reason> reason = lack(size);
    if (!reason && timeline_) {
      const Instant end = timeline_->end_of_new(group.settings->limits, expected);
      if (!timeline_->fits_until(size, end)) reason = Reserved{reserved_for_, reserved_from_};
    }
    if (!reason) return launch(group, size, expected);
    wait_for_room(group, size, std::move(*reason));
  }

  [[nodiscard]] Duration run_time(const Group& group) const {
    return expected_run(world_, *group.profile, *group.settings, group.head());
  }

  static std::optional<Instant> retry_time(const Reason& reason) {
    const auto* backoff = std::get_if<Backoff>(&reason);
    return backoff == nullptr ? std::nullopt : std::optional(backoff->until);
  }

  // What keeps all jobs of the group from a VM, new or warm.
  std::optional<Reason> obstacle(const Group& group) {
    if (world_.draining) return Draining{};
    if (group.settings == nullptr) return NoProfile{group.head().labels};
    if (auto reason = profile_obstacle(*group.settings, *group.profile)) return reason;
    return limit_of_scope(group);
  }

  std::optional<Reason> profile_obstacle(const Profile& profile, const std::string& name) {
    const auto missing = world_.missing_images.find(profile.name);
    if (missing != world_.missing_images.end()) return MissingImage{missing->second};
    const auto health = world_.health.find(name);
    if (health == world_.health.end()) return std::nullopt;
    const Health& failed = health->second;
    const Instant until = failed.last_failure + backoff_delay(kBootBackoff, failed.failures, name);
    wake_.consider(until);
    if (now_ < until) return Backoff{until, failed.failures, cause_text(failed)};
    // One VM shows whether the cause is gone before many are risked.
    if (trials_[name] > 0) return Trial{failed.failures, cause_text(failed)};
    return std::nullopt;
  }

  static std::string cause_text(const Health& health) {
    std::string text(cause_name(health.cause));
    return health.text.empty() ? text : text.append(": ").append(health.text);
  }

  std::optional<Reason> limit_of_scope(const Group& group) {
    const Scope* limits = config_.scope(*group.scope);
    if (limits == nullptr) return std::nullopt;
    if (limits->max > 0 && in_scope_[*group.scope] >= limits->max) return ScopeMax{limits->max};
    const bool full = limits->max_per_repo > 0 &&
                      in_repository_[{*group.scope, *group.repository}] >= limits->max_per_repo;
    if (full) return RepositoryMax{*group.repository, limits->max_per_repo};
    return std::nullopt;
  }

  std::optional<Reason> limit_of_profile(const Profile& profile) {
    if (!world_.pressure.empty()) return Pressure{world_.pressure};
    if (profile.max == 0 || in_profile_[profile.name] < profile.max) return std::nullopt;
    return ProfileMax{profile.max};
  }

  static bool is_at_least(const Capacity& all, const Resources& size) {
    return size.memory <= all.memory && size.vcpus <= all.vcpus && size.disk <= all.disk;
  }

  // What is missing for one more VM of this size now.
  std::optional<Reason> lack(const Resources& size) {
    const Capacity& all = world_.capacity;
    const Bytes memory = all.memory - used_.memory;
    const Bytes disk = all.disk - used_.disk;
    const std::uint32_t cpus = all.vcpus - std::min(all.vcpus, used_.vcpus);
    if (size.memory > memory) return NoMemory{size.memory, memory};
    if (size.vcpus > cpus) return NoCpus{size.vcpus, cpus};
    if (size.disk > disk) return NoDisk{size.disk, disk};
    while (world_.vms.contains(next_slot_)) ++next_slot_;
    if (next_slot_ >= all.vms || used_.vms >= all.vms) return NoSlot{all.vms};
    return std::nullopt;
  }

  // A warm VM of the profile serves at once.
  bool assign(Group& group) {
    const auto found = std::ranges::find_if(
        idle_, [&group](const Vm* vm) { return vm->profile == *group.profile; });
    if (found == idle_.end()) return false;
    const Vm& vm = **found;
    idle_.erase(found);
    ++in_scope_[*group.scope];
    ++in_repository_[{*group.scope, *group.repository}];
    const std::string& repository = *group.repository;
    const Duration expected = run_time(group);
    const std::uint64_t share = queue_.serve(group, vm.size);
    const bool is_command = *group.scope == kCommandScope;
    const std::uint64_t number = world_.runners + names_made_;
    std::string name =
        is_command ? std::string() : runner_name(config_.host.id, world_.seed, number);
    if (!is_command) ++names_made_;
    packing_.actions.emplace_back(
        RequestJit{vm.slot, *group.scope, std::move(name), repository, share, expected});
    --warm_[vm.profile];
    return true;
  }

  void launch(Group& group, const Resources& size, Duration expected) {
    Launch action = make_launch(*group.settings, *group.profile, size);
    action.scope = *group.scope;
    action.repository = *group.repository;
    action.share = queue_.serve(group, size);
    action.expected = expected;
    if (timeline_) timeline_->take(size, timeline_->end_of_new(action.limits, expected));
    count(action.scope, action.profile, action.repository);
    packing_.actions.emplace_back(std::move(action));
  }

  // Takes the room as well. lack() has found the slot.
  Launch make_launch(const Profile& settings, const std::string& profile, const Resources& size) {
    Launch action;
    action.slot = next_slot_++;
    action.vm = vm_name(profile, world_.seed, world_.launches + launches_++);
    action.profile = profile;
    action.size = size;
    action.limits = settings.limits;
    action.egress = settings.egress;
    add(used_, size);
    ++trials_[profile];
    return action;
  }

  // The head holds a reservation; those behind it may pass if that does not delay it.
  void wait_for_room(Group& group, const Resources& size, Reason reason) {
    if (!timeline_) {
      timeline_.emplace(world_, now_, now_ - group.head().seen > kPatience);
      take_packed();
    }
    std::optional<Instant> start = timeline_->when(size);
    if (reservations_ < kMostReservations && !std::holds_alternative<Reserved>(reason)) {
      if (give_up_warm(size)) start = timeline_->when(size);
      if (start) timeline_->reserve(size, *start);
      if (reservations_ == 0) {
        reserved_for_ = *group.profile;
        reserved_from_ = start;
      }
      ++reservations_;
    }
    const std::size_t jobs = ++tries_ < kMostTries ? 1 : group.left();
    leave(group, std::move(reason), jobs, start);
  }

  // Launches of this plan, which the timeline was not told of yet.
  void take_packed() {
    for (const Action& action : packing_.actions) {
      const auto* launched = std::get_if<Launch>(&action);
      if (launched == nullptr) continue;
      const Instant end = timeline_->end_of_new(launched->limits, launched->expected);
      timeline_->take(launched->size, end);
    }
  }

  // Warm VMs make room for real demand, if that is enough for it; the last booted go first.
  bool give_up_warm(const Resources& size) {
    Capacity left = used_;
    const auto take_off = [&left](const auto& some, std::uint32_t vms) {
      left.memory -= some.memory;
      left.vcpus -= std::min(left.vcpus, some.vcpus);
      left.disk -= some.disk;
      left.vms -= std::min(left.vms, vms);
    };
    take_off(going_, going_.vms);
    const auto has_room = [&] {
      const Capacity& all = world_.capacity;
      return left.memory + size.memory <= all.memory && left.vcpus + size.vcpus <= all.vcpus &&
             left.disk + size.disk <= all.disk && left.vms < all.vms;
    };
    std::vector<const Vm*> given;
    while (!has_room() && given.size() < idle_.size()) {
      given.push_back(idle_[idle_.size() - 1 - given.size()]);
      take_off(given.back()->size, 1);
    }
    if (given.empty() || !has_room()) return false;
    for (const Vm* vm : given) {
      idle_.pop_back();
      add(going_, vm->size);
      timeline_->release(vm->size);
      packing_.actions.emplace_back(
          Stop{vm->slot, kStopGrace, EndCause::cancelled, "a queued job needs its room"});
    }
    return true;
  }

  // With what is left over, when no job waits for room.
  void keep_warm() {
    if (world_.draining || !world_.pressure.empty()) return;
    for (const Profile& profile : config_.profiles) {
      if (profile.warm == 0 || profile_obstacle(profile, profile.name)) continue;
      std::uint32_t have = warm_[profile.name];
      while (have < profile.warm && packing_.actions.size() < most_) {
        const bool is_full = limit_of_profile(profile) || lack(profile.size);
        if (is_full || profile_obstacle(profile, profile.name)) break;
        packing_.actions.emplace_back(make_launch(profile, profile.name, profile.size));
        ++in_profile_[profile.name];
        ++have;
      }
    }
  }

  void leave(Group& group, Reason reason, std::size_t jobs, std::optional<Instant> next) {
    add_wait(Wait{*group.scope, *group.profile, static_cast<std::uint32_t>(jobs), std::move(reason),
                  group.head(), next});
    queue_.skip(group, jobs);
  }

  // One wait per kind of reason; those for want of a profile differ by their labels.
  void add_wait(Wait wait) {
    const auto same = [&wait](const Wait& other) {
      if (other.scope != wait.scope || other.profile != wait.profile) return false;
      if (other.reason.index() != wait.reason.index()) return false;
      const bool is_one_kind = !std::holds_alternative<NoProfile>(wait.reason) &&
                               !std::holds_alternative<RepositoryMax>(wait.reason);
      return is_one_kind || other.reason == wait.reason;
    };
    const auto found = std::ranges::find_if(packing_.waits, same);
    if (found != packing_.waits.end()) {
      found->jobs += wait.jobs;
      return;
    }
    packing_.waits.push_back(std::move(wait));
  }

  const Config& config_;
  const World& world_;
  Instant now_;
  WakeUp& wake_;
  std::size_t most_ = 0;
  Capacity used_;
  Capacity going_;  // of VMs that are ending
  Queue queue_;
  std::map<std::string, std::uint32_t> in_scope_;
  std::map<std::string, std::uint32_t> in_profile_;
  std::map<std::pair<std::string, std::string>, std::uint32_t> in_repository_;
  std::map<std::string, std::uint32_t> warm_;    // VMs of a profile that are nobody's
  std::map<std::string, std::uint32_t> trials_;  // VMs of a profile that have not listened yet
  std::vector<const Vm*> idle_;                  // warm VMs to give away, the best first
  std::optional<Timeline> timeline_;             // once a job does not fit
  std::size_t reservations_ = 0;
  std::size_t tries_ = 0;
  std::string reserved_for_;  // profile of the first that does not fit
  std::optional<Instant> reserved_from_;
  Slot next_slot_ = 0;
  std::uint64_t launches_ = 0;
  std::uint64_t names_made_ = 0;
  Packing packing_;
};

}  // namespace

Capacity used(const World& world) {
  Capacity sum;
  for (const auto& [slot, vm] : world.vms) {
    if (vm.removed) continue;
    sum.memory += vm.size.memory;
    sum.vcpus += vm.size.vcpus;
    sum.disk += vm.size.disk;
    ++sum.vms;
  }
  return sum;
}

Packing pack(const Config& config, const World& world, Instant now, std::size_t most,
             WakeUp& wake) {
  return Packer(config, world, now, wake).run(most);
}

}  // namespace mvr::core
