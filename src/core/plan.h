// plan(): the decision. A pure function of config, world and time.
#pragma once

#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "core/config.h"
#include "core/world.h"

namespace mvr::core {

// Why a queued job is not being served, as values; explain, ps and metrics print these.
struct NoMemory {
  Bytes needs;
  Bytes free;
  friend bool operator==(const NoMemory&, const NoMemory&) = default;
};
struct NoCpus {
  std::uint32_t needs = 0;
  std::uint32_t free = 0;
  friend bool operator==(const NoCpus&, const NoCpus&) = default;
};
struct NoDisk {
  Bytes needs;
  Bytes free;
  friend bool operator==(const NoDisk&, const NoDisk&) = default;
};
struct NoSlot {
  std::uint32_t max = 0;
  friend bool operator==(const NoSlot&, const NoSlot&) = default;
};
struct ProfileMax {
  std::uint32_t max = 0;
  friend bool operator==(const ProfileMax&, const ProfileMax&) = default;
};
struct ScopeMax {
  std::uint32_t max = 0;
  friend bool operator==(const ScopeMax&, const ScopeMax&) = default;
};
struct TooBig {
  Resources needs;
  Capacity capacity;
  friend bool operator==(const TooBig&, const TooBig&) = default;
};  // never fits this host
struct Draining {
  friend bool operator==(const Draining&, const Draining&) = default;
};
struct MissingImage {
  std::string why;
  friend bool operator==(const MissingImage&, const MissingImage&) = default;
};
struct Backoff {
  Instant until{};
  std::uint32_t failures = 0;
  std::string cause;
  friend bool operator==(const Backoff&, const Backoff&) = default;
};
struct NoProfile {
  std::vector<std::string> labels;
  friend bool operator==(const NoProfile&, const NoProfile&) = default;
};
struct DiscoveryDown {
  Error error;
  Instant retry_at{};
  friend bool operator==(const DiscoveryDown&, const DiscoveryDown&) = default;
};
struct Reserved {
  std::string profile;
  std::optional<Instant> start;
  friend bool operator==(const Reserved&, const Reserved&) = default;
};  // it fits, but would delay a job of this profile that is to start then
struct RepositoryMax {
  std::string repository;
  std::uint32_t max = 0;
  friend bool operator==(const RepositoryMax&, const RepositoryMax&) = default;
};
struct Pressure {
  std::string why;
  friend bool operator==(const Pressure&, const Pressure&) = default;
};  // of the host: more VMs would hurt those that run
struct Trial {
  std::uint32_t failures = 0;
  std::string cause;
  friend bool operator==(const Trial&, const Trial&) = default;
};  // after failed boots, one VM is tried before others follow
struct PublicRepository {
  std::string profile;
  friend bool operator==(const PublicRepository&, const PublicRepository&) = default;
};  // the profile with its labels does not serve public repositories
struct ForkPullRequest {
  std::string profile;
  friend bool operator==(const ForkPullRequest&, const ForkPullRequest&) = default;
};  // nor code from forks
struct GroupBarred {
  std::string group;  // "" is the default group
  GroupBar bar = GroupBar::none;
  friend bool operator==(const GroupBarred&, const GroupBarred&) = default;
};  // GitHub would give the job to no runner of the scope's group
using Reason =
    std::variant<NoMemory, NoCpus, NoDisk, NoSlot, ProfileMax, ScopeMax, TooBig, Draining,
                 MissingImage, Backoff, NoProfile, DiscoveryDown, Reserved, RepositoryMax, Pressure,
                 Trial, PublicRepository, ForkPullRequest, GroupBarred>;

struct Wait {
  std::string scope;
  std::string profile;     // empty for what no profile serves, and for DiscoveryDown
  std::uint32_t jobs = 0;  // how many wait for this reason
  Reason reason;
  std::optional<JobHint> oldest;
  std::optional<Instant> next;  // when this is expected to change by itself, if that is known
  friend bool operator==(const Wait&, const Wait&) = default;
};

struct Plan {
  std::vector<Action> actions;  // at most one per VM; bounded by kMaxActions
  std::vector<Wait> waits;
  std::optional<Instant> wake_at;  // when to plan again though nothing happened; > now
};
inline constexpr std::size_t kMaxActions = 256;

// Deterministic; planning again after all actions were Dispatched adds none. For the order of
// jobs see core/queue.h, for who may pass whom core/timeline.h.
Plan plan(const Config& config, const World& world, Instant now);

// Why a job is in ScopeState::unmatched; `scope` may be null.
Reason why_unserved(const Config& config, const Scope* scope, const JobHint& job);

// What the VMs of the world take: every record counts until it is Removed.
Capacity used(const World& world);

// The reason as a stable token ("no_memory"), as a sentence with numbers, and what the user could
// do about it.
std::string_view reason_name(const Reason& reason);
std::string reason_text(const Reason& reason, Instant now);
std::string reason_advice(const Reason& reason);

}  // namespace mvr::core
