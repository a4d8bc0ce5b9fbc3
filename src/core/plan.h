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
struct Behind {
  std::string profile;
  friend bool operator==(const Behind&, const Behind&) = default;
};  // an older job that does not fit goes first
using Reason = std::variant<NoMemory, NoCpus, NoDisk, NoSlot, ProfileMax, ScopeMax, TooBig,
                            Draining, MissingImage, Backoff, NoProfile, DiscoveryDown, Behind>;

struct Wait {
  std::string scope;
  std::string profile;     // empty for NoProfile and DiscoveryDown
  std::uint32_t jobs = 0;  // how many wait for this reason
  Reason reason;
  std::optional<JobHint> oldest;
  friend bool operator==(const Wait&, const Wait&) = default;
};

struct Plan {
  std::vector<Action> actions;  // at most one per VM; bounded by kMaxActions
  std::vector<Wait> waits;
  std::optional<Instant> wake_at;  // when to plan again though nothing happened; > now
};
inline constexpr std::size_t kMaxActions = 256;

// Deterministic; planning again after all actions were Dispatched adds none. Orders demand
// oldest first over all scopes; profiles refer to config.profiles.
Plan plan(const Config& config, const World& world, Instant now);

// What the VMs of the world take: every record counts until it is Removed.
Capacity used(const World& world);

// The reason as a stable token ("no_memory") and as a sentence with numbers.
std::string_view reason_name(const Reason& reason);
std::string reason_text(const Reason& reason, Instant now);

// The first profile, in config order, whose labels (with extra_labels) contain all of the job's,
// compared case-insensitively. Empty job labels match none.
const Profile* match_profile(const Config& config, const std::vector<std::string>& labels);

}  // namespace mvr::core
