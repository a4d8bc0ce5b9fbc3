// Demand no VM is on the way for -> launches and waits, oldest job first.
#include <algorithm>
#include <tuple>

#include "base/text.h"
#include "core/names.h"
#include "core/rules.h"

namespace mvr::core {
namespace {

// A job that needs a VM of its own.
struct Queued {
  const JobHint* job = nullptr;
  const std::string* scope = nullptr;
  const std::string* profile = nullptr;
};

bool is_older(const Queued& a, const Queued& b) {
  return std::tie(a.job->created, a.job->id, *a.scope, *a.profile) <
         std::tie(b.job->created, b.job->id, *b.scope, *b.profile);
}

class Packer {
 public:
  Packer(const Config& config, const World& world, Instant now, WakeUp& wake)
      : config_(config), world_(world), now_(now), wake_(wake), used_(used(world)) {
    for (const auto& [slot, vm] : world.vms) {
      if (!vm.removed) count(vm.scope, vm.profile);
    }
  }

  Packing run(std::size_t most) {
    collect();
    std::ranges::sort(queue_, is_older);
    for (const Queued& queued : queue_) {
      if (std::optional<Reason> reason = obstacle(queued)) {
        add_wait(*queued.scope, *queued.profile, std::move(*reason), queued.job);
      } else if (packing_.launches.size() < most) {
        launch(queued);
      }
    }
    return std::move(packing_);
  }

 private:
  void count(const std::string& scope, const std::string& profile) {
    ++in_scope_[scope];
    ++in_profile_[profile];
  }

  void collect() {
    const auto coming = on_the_way(world_);
    for (const auto& [scope, state] : world_.scopes) {
      if (scope != kCommandScope && config_.scope(scope) == nullptr) continue;
      const std::size_t before = queue_.size();
      for (const Demand& demand : state.demands) {
        const auto vms = coming.find({scope, demand.profile});
        const std::size_t served = vms == coming.end() ? 0 : vms->second.size();
        // The oldest jobs are the ones that were taken, or that a VM is coming for.
        for (std::size_t n = demand.taken.size() + served; n < demand.jobs.size(); ++n) {
          queue_.push_back(Queued{&demand.jobs[n], &scope, &demand.profile});
        }
      }
      note_failure(scope, state, before);
      for (const JobHint& job : state.unmatched) add_wait(scope, "", NoProfile{job.labels}, &job);
    }
  }

  // Jobs of a listing that has failed for long may be gone: no VM is started for them.
  void note_failure(const std::string& scope, const ScopeState& state, std::size_t before) {
    if (!state.failure) return;
    Wait wait{scope, "", 0, DiscoveryDown{*state.failure, state.retry_at}, std::nullopt};
    if (now_ - state.as_of > kListingAge) {
      wait.jobs = static_cast<std::uint32_t>(queue_.size() - before);
      if (wait.jobs > 0) wait.oldest = *queue_[before].job;
      queue_.resize(before);
    }
    packing_.waits.push_back(std::move(wait));
  }

  std::optional<Reason> obstacle(const Queued& queued) {
    if (world_.draining) return Draining{};
    const Profile* profile = config_.profile(*queued.profile);
    if (profile == nullptr) return NoProfile{queued.job->labels};
    if (auto reason = profile_obstacle(*profile)) return reason;
    if (auto reason = limit_obstacle(*queued.scope, *profile)) return reason;
    if (blocked_by_) return Behind{*blocked_by_};
    std::optional<Reason> reason = room_obstacle(profile->size);
    if (reason) blocked_by_ = profile->name;
    return reason;
  }

  std::optional<Reason> profile_obstacle(const Profile& profile) {
    const auto missing = world_.missing_images.find(profile.name);
    if (missing != world_.missing_images.end()) return MissingImage{missing->second};
    const auto health = world_.health.find(profile.name);
    if (health != world_.health.end()) {
      const Health& failed = health->second;
      const Instant until =
          failed.last_failure + backoff_delay(kBootBackoff, failed.failures, profile.name);
      wake_.consider(until);
      if (now_ < until) return Backoff{until, failed.failures, cause_text(failed)};
    }
    const Capacity& all = world_.capacity;
    const Resources& size = profile.size;
    const bool fits = size.memory <= all.memory && size.vcpus <= all.vcpus && size.disk <= all.disk;
    if (!fits) return TooBig{size, all};
    return std::nullopt;
  }

  static std::string cause_text(const Health& health) {
    std::string text(cause_name(health.cause));
    return health.text.empty() ? text : text.append(": ").append(health.text);
  }

  std::optional<Reason> limit_obstacle(const std::string& scope, const Profile& profile) {
    if (profile.max > 0 && in_profile_[profile.name] >= profile.max) return ProfileMax{profile.max};
    const Scope* limits = config_.scope(scope);
    if (limits != nullptr && limits->max > 0 && in_scope_[scope] >= limits->max) {
      return ScopeMax{limits->max};
    }
    return std::nullopt;
  }

  std::optional<Reason> room_obstacle(const Resources& size) {
    const Capacity& all = world_.capacity;
    const Bytes memory = all.memory - used_.memory;
    const Bytes disk = all.disk - used_.disk;
    const std::uint32_t cpus = all.vcpus - std::min(all.vcpus, used_.vcpus);
    if (size.memory > memory) return NoMemory{size.memory, memory};
    if (size.vcpus > cpus) return NoCpus{size.vcpus, cpus};
    if (size.disk > disk) return NoDisk{size.disk, disk};
    while (is_taken(next_slot_)) ++next_slot_;
    if (next_slot_ >= all.vms || used_.vms >= all.vms) return NoSlot{all.vms};
    return std::nullopt;
  }

  [[nodiscard]] bool is_taken(Slot slot) const { return world_.vms.contains(slot); }

  void launch(const Queued& queued) {
    const Profile& profile = *config_.profile(*queued.profile);
    const std::uint64_t number = world_.launches + packing_.launches.size();
    packing_.launches.emplace_back(Launch{next_slot_++, vm_name(profile.name, world_.seed, number),
                                          profile.name, *queued.scope, profile.size});
    count(*queued.scope, profile.name);
    used_.memory += profile.size.memory;
    used_.vcpus += profile.size.vcpus;
    used_.disk += profile.size.disk;
    ++used_.vms;
  }

  // One wait per kind of reason; those for want of a profile differ by their labels.
  void add_wait(const std::string& scope, const std::string& profile, Reason reason,
                const JobHint* job) {
    const auto same = [&](const Wait& wait) {
      if (wait.scope != scope || wait.profile != profile) return false;
      if (wait.reason.index() != reason.index()) return false;
      return !std::holds_alternative<NoProfile>(reason) || wait.reason == reason;
    };
    const auto found = std::ranges::find_if(packing_.waits, same);
    if (found != packing_.waits.end()) {
      ++found->jobs;
      return;
    }
    packing_.waits.push_back(Wait{scope, profile, 1, std::move(reason), *job});
  }

  const Config& config_;
  const World& world_;
  Instant now_;
  WakeUp& wake_;
  Capacity used_;
  std::map<std::string, std::uint32_t> in_scope_;
  std::map<std::string, std::uint32_t> in_profile_;
  std::vector<Queued> queue_;
  std::optional<std::string> blocked_by_;  // profile of the oldest job that does not fit
  Slot next_slot_ = 0;
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
