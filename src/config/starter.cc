#include "config/starter.h"

#include <algorithm>
#include <array>

#include "base/text.h"
#include "config/yaml_text.h"

namespace mvr::config {
namespace {

struct CommonSize {
  const char* name;
  std::uint32_t vcpus;
  std::uint64_t gib;
};
constexpr std::array kCommon = {CommonSize{"small", 2, 4}, CommonSize{"medium", 4, 8},
                                CommonSize{"large", 8, 16}};
constexpr std::uint64_t kGib = 1024ULL * 1024 * 1024;
constexpr std::uint64_t kMemoryStep = kGib / 2;
constexpr std::uint64_t kReserveMemory = kGib;
constexpr std::uint64_t kReserveDisk = 5 * kGib;
constexpr std::uint64_t kLeastDisk = 2 * kGib;
constexpr std::uint64_t kMostDisk = 20 * kGib;
// What a VMM takes beside the guest's memory.
constexpr std::uint64_t kOverhead = kGib / 4;

bool is_name(std::string_view text) {
  return !text.empty() && text.size() <= 100 && std::ranges::all_of(text, [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '_' || c == '.';
  });
}

// Sizes are whole numbers in a configuration.
std::string exact(Bytes size) {
  const bool is_whole = size.value % kGib == 0;
  return std::to_string(size.value / (is_whole ? kGib : kGib / 1024)) + (is_whole ? "GiB" : "MiB");
}

std::uint64_t less(Bytes all, std::uint64_t part) {
  return all.value > part ? all.value - part : 0;
}

StarterProfile fitted(const HostRoom& room, std::string name, std::uint32_t vcpus,
                      std::uint64_t memory) {
  const std::uint64_t by_memory = less(room.memory, kReserveMemory) / (memory + kOverhead);
  const std::uint64_t by_cpus = room.cpus / vcpus;
  StarterProfile profile;
  profile.name = std::move(name);
  profile.vcpus = vcpus;
  profile.memory = Bytes{memory};
  profile.at_once = static_cast<std::uint32_t>(
      std::max<std::uint64_t>(1, std::min({by_memory, by_cpus, std::uint64_t{1'000}})));
  // Whole GiB of what is there for each of them.
  const std::uint64_t share = less(room.disk, kReserveDisk) / profile.at_once / kGib * kGib;
  profile.disk = Bytes{std::clamp(share, kLeastDisk, kMostDisk)};
  return profile;
}

std::string credential_lines(const core::Credentials& credentials) {
  if (!credentials.app) return "  token_file: " + quoted_scalar(credentials.token_file) + "\n";
  std::string text = "  app:\n    id: " + quoted_scalar(credentials.app->id) +
                     "\n    key_file: " + quoted_scalar(credentials.app->key_file) + "\n";
  if (credentials.app->installation != 0) {
    text += "    installation: " + std::to_string(credentials.app->installation) + "\n";
  }
  return text;
}

std::string scope_line(const core::Scope& scope) {
  switch (scope.kind) {
    case core::ScopeKind::repository:
      return "repository: " + quoted_scalar(scope.owner + "/" + scope.repository);
    case core::ScopeKind::organization:
      return "organization: " + quoted_scalar(scope.owner);
    case core::ScopeKind::enterprise:
      // Without organizations to look at, an enterprise's jobs come by its message queue.
      return "enterprise: " + quoted_scalar(scope.owner) + "\n      discovery: scale-set";
  }
  return {};
}

std::string profile_lines(const StarterProfile& profile) {
  return "  # " + std::to_string(profile.at_once) +
         " at once fit into this host.\n  - name: " + profile.name + "\n    labels: [mv-" +
         profile.name + "]\n    vcpus: " + std::to_string(profile.vcpus) +
         "\n    memory: " + exact(profile.memory) + "\n    disk: " + exact(profile.disk) + "\n";
}

}  // namespace

Result<Target> parse_target(std::string_view url) {
  const Error wrong{Errc::invalid,
                    "\"" + printable(url, 200) +
                        "\" is not the address of a repository, an organization or an enterprise, "
                        "like https://github.com/example-org/website"};
  const std::size_t scheme = url.find("://");
  if (scheme == std::string_view::npos) return tl::unexpected(wrong);
  const std::string_view protocol = url.substr(0, scheme);
  if (protocol != "https" && protocol != "http") return tl::unexpected(wrong);
  const std::size_t slash = url.find('/', scheme + 3);
  if (slash == std::string_view::npos) return tl::unexpected(wrong);
  std::vector<std::string_view> parts;
  for (const auto part : split(url.substr(slash + 1), '/')) {
    if (!part.empty()) parts.push_back(part);
  }
  Target target;
  target.server = std::string(url.substr(0, slash));
  const bool is_enterprise = parts.size() == 2 && parts[0] == "enterprises";
  const bool is_listed = parts.size() == 2 && parts[0] == "orgs";
  if (is_enterprise || is_listed) parts.erase(parts.begin());
  if (parts.empty() || parts.size() > 2) return tl::unexpected(wrong);
  if (parts.size() == 2 && parts[1].ends_with(".git")) parts[1].remove_suffix(4);
  if (!std::ranges::all_of(parts, is_name)) return tl::unexpected(wrong);
  target.scope.kind = is_enterprise       ? core::ScopeKind::enterprise
                      : parts.size() == 1 ? core::ScopeKind::organization
                                          : core::ScopeKind::repository;
  target.scope.owner = std::string(parts[0]);
  if (parts.size() == 2) target.scope.repository = std::string(parts[1]);
  return target;
}

Result<std::vector<StarterProfile>> fitting_profiles(const HostRoom& room) {
  const std::uint64_t memory = less(room.memory, kReserveMemory + kOverhead);
  if (memory < kMemoryStep || room.cpus == 0) {
    return fail(Errc::unsupported, "this host has " + format_bytes(room.memory) +
                                       " of memory: a VM of 512MiB beside a reserve of 1GiB "
                                       "needs 1792MiB");
  }
  std::vector<StarterProfile> profiles;
  for (const CommonSize& size : kCommon) {
    if (size.vcpus > room.cpus || size.gib * kGib > memory) break;
    profiles.push_back(fitted(room, size.name, size.vcpus, size.gib * kGib));
  }
  if (!profiles.empty()) return profiles;
  const std::uint64_t most = std::min(memory / kMemoryStep * kMemoryStep, 4 * kGib);
  profiles.push_back(fitted(room, "small", std::min(room.cpus, 2U), most));
  return profiles;
}

Result<std::string> starter_yaml(const Starter& starter) {
  TRY_ASSIGN(const auto profiles, fitting_profiles(starter.room));
  std::string text =
      "# Made by `mvrunner init`. Every key there is, with its meaning and default:\n"
      "# mvrunner.yaml(5), and mvrunner.yaml in /usr/share/doc/mvrunner/examples.\n\n"
      "# The release of actions/runner that `mvrunner runner update` chose last; the daemon runs "
      "it\n"
      "# once a day.\n"
      "runner: current\n\ngithub:\n  url: " +
      quoted_scalar(starter.target.server) + "\n" + credential_lines(starter.credentials) +
      "  scopes:\n    - " + scope_line(starter.target.scope) + "\n";
  if (starter.max_vms != 0) text += "\nhost:\n  max_vms: " + std::to_string(starter.max_vms) + "\n";
  text += "\n# Chosen for " + format_bytes(starter.room.memory) + " of memory, " +
          std::to_string(starter.room.cpus) + " CPUs and " + format_bytes(starter.room.disk) +
          " of free disk, of which 1GiB and 5GiB are\n# kept back. A job asks for one with " +
          "`runs-on: mv-" + profiles.front().name + "`.\nprofiles:\n";
  for (const auto& profile : profiles) text += profile_lines(profile);
  return text;
}

}  // namespace mvr::config
