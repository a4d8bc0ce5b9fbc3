// Reasons to words.
#include <algorithm>
#include <array>

#include "base/text.h"
#include "core/plan.h"

namespace mvr::core {
namespace {

// In the order of the alternatives of Reason.
constexpr std::array<std::string_view, 19> kReasons{
    "no_memory",  "no_cpus",           "no_disk",           "no_slot",        "profile_max",
    "scope_max",  "too_big",           "draining",          "missing_image",  "backoff",
    "no_profile", "discovery_down",    "reserved",          "repository_max", "pressure",
    "trial",      "public_repository", "fork_pull_request", "runner_group"};
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
  std::string operator()(const MissingImage& r) const {
    return "the profile cannot boot: " + r.why;
  }
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
  std::string operator()(const Reserved& r) const {
    return "would delay a job of profile " + r.profile + " that waits for room" +
           (r.start ? " and is to start " + in(*r.start) : "");
  }
  std::string operator()(const RepositoryMax& r) const {
    return r.repository + " is at its limit of " + plural(r.max, "VM");
  }
  std::string operator()(const Pressure& r) const { return "the host is under pressure: " + r.why; }
  std::string operator()(const Trial& r) const {
    return "one VM is being tried after " + plural(r.failures, "failed boot") + " (" + r.cause +
           ")";
  }
  std::string operator()(const PublicRepository& r) const {
    return "the repository is public, and profile " + r.profile + " serves no public ones";
  }
  std::string operator()(const ForkPullRequest& r) const {
    return "it runs code of a fork's pull request, and profile " + r.profile + " serves none";
  }
  std::string operator()(const GroupBarred& r) const {
    const std::string group =
        r.group.empty() ? "the default runner group" : "the runner group \"" + r.group + "\"";
    if (r.bar == GroupBar::refuses_public) return group + " refuses public repositories";
    return group + " is not open to the repository";
  }
};

struct Advice {
  std::string operator()(const NoMemory&) const {
    return "wait, lower the profile's memory, or raise host.memory if the host has more";
  }
  std::string operator()(const NoCpus&) const {
    return "wait, lower the profile's vcpus, or raise host.cpu_overcommit";
  }
  std::string operator()(const NoDisk&) const {
    return "wait, lower the profile's disk, or free space below state_dir";
  }
  std::string operator()(const NoSlot&) const { return "wait, or raise host.max_vms"; }
  std::string operator()(const ProfileMax&) const { return "wait, or raise the profile's max"; }
  std::string operator()(const ScopeMax&) const { return "wait, or raise the scope's max"; }
  std::string operator()(const RepositoryMax&) const {
    return "wait, or raise the scope's max_per_repo";
  }
  std::string operator()(const TooBig&) const {
    return "it will never run here: lower the profile's size, or use a larger host";
  }
  std::string operator()(const Draining&) const { return "mvrunner undrain"; }
  std::string operator()(const MissingImage&) const {
    return "build or install what is missing: mvrunner image build, mvrunner kernel install, "
           "mvrunner runner install";
  }
  std::string operator()(const Backoff&) const {
    return "look at the console of the VM that failed: mvrunner logs --console VM";
  }
  std::string operator()(const NoProfile&) const {
    return "give a profile these labels, or correct runs-on in the workflow";
  }
  std::string operator()(const DiscoveryDown& r) const {
    if (!r.error.remedy.empty()) return r.error.remedy;
    const bool is_refused = r.error.code == Errc::unauthorized || r.error.code == Errc::denied ||
                            r.error.code == Errc::not_found;
    if (is_refused) return "what GitHub's refusal asks for; it is tried again by itself";
    return "check the network and https://www.githubstatus.com";
  }
  std::string operator()(const Reserved&) const {
    return "nothing: it starts when it delays nobody, or after that job";
  }
  std::string operator()(const Pressure&) const {
    return "free memory or disk on the host: running VMs come first";
  }
  std::string operator()(const Trial&) const {
    return "nothing: the others follow as soon as that VM listens";
  }
  std::string operator()(const PublicRepository&) const {
    return "anybody may have their code run by a pull request to a public repository; where that "
           "is wanted, set the profile's public_repositories to true";
  }
  std::string operator()(const ForkPullRequest&) const {
    return "whoever may fork the repository runs code here; where that is wanted, set the "
           "profile's fork_pull_requests to true";
  }
  std::string operator()(const GroupBarred& r) const {
    return r.bar == GroupBar::refuses_public
               ? "in the organization's settings, let the runner group be used by public "
                 "repositories, or name another runner_group in the scope"
               : "in the organization's settings, open the runner group to the repository, or name "
                 "another runner_group in the scope";
  }
};

}  // namespace

std::string_view reason_name(const Reason& reason) { return kReasons.at(reason.index()); }

std::string reason_text(const Reason& reason, Instant now) {
  return std::visit(ReasonText{now}, reason);
}

std::string reason_advice(const Reason& reason) { return std::visit(Advice{}, reason); }

}  // namespace mvr::core
