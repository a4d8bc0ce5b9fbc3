// Labels to profile, and reasons to words.
#include <algorithm>
#include <array>

#include "base/text.h"
#include "core/plan.h"

namespace mvr::core {
namespace {

// In the order of the alternatives of Reason.
constexpr std::array<std::string_view, 13> kReasons{
    "no_memory", "no_cpus",       "no_disk", "no_slot",    "profile_max",    "scope_max", "too_big",
    "draining",  "missing_image", "backoff", "no_profile", "discovery_down", "behind"};
static_assert(kReasons.size() == std::variant_size_v<Reason>);

std::string plural(std::uint32_t count, std::string_view one) {
  std::string text = std::to_string(count) + " " + std::string(one);
  return count == 1 ? text : text + "s";
}

std::string size_text(Bytes memory, std::uint32_t vcpus, Bytes disk) {
  return format_bytes(memory) + " of memory, " + plural(vcpus, "vCPU") + ", " + format_bytes(disk) +
         " of disk";
}

struct ReasonText {
  Instant now;

  [[nodiscard]] std::string in(Instant at) const {
    return at > now ? "in " + format_duration(at - now) : "now";
  }

  std::string operator()(const NoMemory& r) const {
    return "needs " + format_bytes(r.needs) + " of memory, " + format_bytes(r.free) + " free";
  }
  std::string operator()(const NoCpus& r) const {
    return "needs " + plural(r.needs, "vCPU") + ", " + std::to_string(r.free) + " free";
  }
  std::string operator()(const NoDisk& r) const {
    return "needs " + format_bytes(r.needs) + " of disk, " + format_bytes(r.free) + " free";
  }
  std::string operator()(const NoSlot& r) const {
    return "all " + plural(r.max, "VM") + " of this host are in use";
  }
  std::string operator()(const ProfileMax& r) const {
    return "the profile is at its limit of " + plural(r.max, "VM");
  }
  std::string operator()(const ScopeMax& r) const {
    return "the scope is at its limit of " + plural(r.max, "VM");
  }
  std::string operator()(const TooBig& r) const {
    const Capacity& all = r.capacity;
    return "never fits this host: needs " + size_text(r.needs.memory, r.needs.vcpus, r.needs.disk) +
           "; the host has " + size_text(all.memory, all.vcpus, all.disk);
  }
  std::string operator()(const Draining&) const { return "the host is draining"; }
  std::string operator()(const MissingImage& r) const { return "the image is missing: " + r.why; }
  std::string operator()(const Backoff& r) const {
    return "tries again " + in(r.until) + " after " + plural(r.failures, "failed boot") + " (" +
           r.cause + ")";
  }
  std::string operator()(const NoProfile& r) const {
    return "no profile has the labels [" + join(r.labels, ", ") + "]";
  }
  std::string operator()(const DiscoveryDown& r) const {
    return "queued jobs cannot be listed (" + r.error.what + "), next try " + in(r.retry_at);
  }
  std::string operator()(const Behind& r) const {
    return "an older job of profile " + r.profile + " goes first";
  }
};

}  // namespace

std::string_view reason_name(const Reason& reason) { return kReasons.at(reason.index()); }

std::string reason_text(const Reason& reason, Instant now) {
  return std::visit(ReasonText{now}, reason);
}

const Profile* match_profile(const Config& config, const std::vector<std::string>& labels) {
  if (labels.empty()) return nullptr;
  const auto has = [](const std::vector<std::string>& offered, const std::string& label) {
    return std::ranges::any_of(offered,
                               [&](const auto& each) { return ascii_lower(each) == label; });
  };
  for (const Profile& profile : config.profiles) {
    const bool serves = std::ranges::all_of(labels, [&](const std::string& wanted) {
      const std::string label = ascii_lower(wanted);
      return has(profile.labels, label) || has(config.github.extra_labels, label);
    });
    if (serves) return &profile;
  }
  return nullptr;
}

}  // namespace mvr::core
