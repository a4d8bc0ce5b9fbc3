#include "core/queue.h"

#include <algorithm>
#include <tuple>
#include <unordered_map>

#include "core/match.h"

namespace mvr::core {
namespace {

constexpr std::uint64_t kLeastCharge = 1;

std::uint64_t part(std::uint64_t of, std::uint64_t all) {
  return all == 0 ? 0
                  : static_cast<std::uint64_t>(static_cast<double>(of) / static_cast<double>(all) *
                                               kWholeHost);
}

// The largest part a VM takes of anything (dominant resource).
std::uint64_t charge_of(const Resources& size, const Capacity& all) {
  return std::max({part(size.memory.value, all.memory.value), part(size.vcpus, all.vcpus),
                   part(size.disk.value, all.disk.value), kLeastCharge});
}

std::uint32_t weight_of(const Config& config, const std::string& repository) {
  const auto found = config.scheduling.weights.find(repository);
  return found == config.scheduling.weights.end() ? 1 : std::max(1U, found->second);
}

// Which of a demand's jobs are taken or have a VM coming: for each VM the oldest job of the
// repository it was made for; for what was taken, and VMs made for others, the oldest of all.
std::vector<char> covered(const Demand& demand, const std::vector<const Vm*>& coming) {
  const std::vector<JobHint>& jobs = demand.jobs.list();
  std::vector<char> done(jobs.size(), 0);
  std::unordered_map<std::string_view, std::size_t> made_for;
  for (const Vm* vm : coming) ++made_for[vm->repository];
  std::size_t left = coming.size();
  for (std::size_t n = 0; n < jobs.size() && left > 0; ++n) {
    const auto found = made_for.find(jobs[n].repository);
    if (found == made_for.end() || found->second == 0) continue;
    --found->second;
    --left;
    done[n] = 1;
  }
  left += demand.taken.size();
  for (std::size_t n = 0; n < jobs.size() && left > 0; ++n) {
    if (done[n] != 0) continue;
    done[n] = 1;
    --left;
  }
  return done;
}

}  // namespace

Queue::Queue(const Config& config, const World& world, Instant now)
    : config_(config), world_(world), now_(now), shares_now_(world.shares.now) {
  const auto coming = on_the_way(world);
  const std::vector<const Vm*> nobody;
  for (const auto& [scope, state] : world.scopes) {
    if (scope != kCommandScope && config.scope(scope) == nullptr) continue;
    // Jobs of a listing that has failed for long may be gone: no VM is started for them.
    if (state.failure && now - state.as_of > kListingAge) continue;
    for (const Demand& demand : state.demands) {
      const auto vms = coming.find({scope, demand.profile});
      add(scope, demand, vms == coming.end() ? nobody : vms->second);
    }
  }
  open_accounts();
}

void Queue::open_accounts() {
  std::unordered_map<std::string_view, std::size_t> numbers;
  for (Group& group : groups_) {
    const auto [entry, fresh] = numbers.try_emplace(*group.repository, accounts_.size());
    if (fresh) {
      const auto known = world_.shares.ends.find(*group.repository);
      accounts_.push_back(known == world_.shares.ends.end() ? 0 : known->second);
    }
    group.account = entry->second;
    look_at_head(group);
  }
}

void Queue::add(const std::string& scope, const Demand& demand,
                const std::vector<const Vm*>& coming) {
  const std::vector<char> done = covered(demand, coming);
  std::unordered_map<std::string_view, std::size_t> place;  // repository -> index in groups_
  const std::size_t first = groups_.size();
  std::size_t last = first;  // most lists are of one repository
  const Profile* settings = config_.profile(demand.profile);
  const std::optional<Resources> size = size_of(config_, demand.profile);
  for (std::size_t n = 0; n < demand.jobs.size(); ++n) {
    if (done[n] != 0) continue;
    const JobHint& job = demand.jobs[n];
    const bool same = last < groups_.size() && *groups_[last].repository == job.repository;
    if (!same) {
      const auto [entry, fresh] = place.try_emplace(job.repository, groups_.size());
      if (fresh) {
        groups_.push_back(Group{&scope, &demand.profile, &job.repository, settings, size, {}});
      }
      last = entry->second;
    }
    groups_[last].jobs.push_back(&job);
  }
}

std::uint64_t Queue::start_of(const Group& group) const {
  return std::max(shares_now_, accounts_[group.account]);
}

void Queue::look_at_head(Group& group) const {
  if (group.left() == 0) return;
  const std::int64_t priority = group.settings == nullptr ? 0 : group.settings->priority;
  group.urgency = priority + std::max(now_ - group.head().seen, Duration::zero()) / kAgeing;
}

void Queue::skip(Group& group, std::size_t jobs) const {
  group.next += jobs;
  look_at_head(group);
}

bool Queue::goes_before(const Group& a, const Group& b) const {
  if (a.urgency != b.urgency) return a.urgency > b.urgency;
  const auto left = start_of(a);
  const auto right = start_of(b);
  if (left != right) return left < right;
  return std::tie(a.head().created, a.head().id, *a.scope, *a.profile) <
         std::tie(b.head().created, b.head().id, *b.scope, *b.profile);
}

Group* Queue::next() {
  Group* best = nullptr;
  for (Group& group : groups_) {
    if (group.left() > 0 && (best == nullptr || goes_before(group, *best))) best = &group;
  }
  return best;
}

std::uint64_t Queue::serve(Group& group, const Resources& size) {
  const std::uint64_t start = start_of(group);
  const std::uint64_t charge = charge_of(size, world_.capacity);
  const std::uint64_t end =
      start + std::max(kLeastCharge, charge / weight_of(config_, *group.repository));
  shares_now_ = start;
  accounts_[group.account] = end;
  skip(group, 1);
  return end;
}

}  // namespace mvr::core
