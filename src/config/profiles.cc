#include <algorithm>
#include <chrono>
#include <optional>

#include "config/schema.h"

namespace mvr::config {
namespace {

using std::chrono::hours;
using std::chrono::minutes;
using std::chrono::seconds;

constexpr std::size_t kMaxLabels = 50;  // GitHub takes 100 in all; the rest is for extra_labels

core::Profile default_profile() {
  core::Profile profile;
  profile.size = core::Resources{gib(4), 2, gib(20)};
  profile.image = "debian-12";
  profile.kernel = "default";
  profile.boot_timeout = seconds(120);
  profile.listen_timeout = minutes(5);
  profile.job_timeout = hours(6);
  return profile;
}

core::Profile read_profile(Section& section) {
  core::Profile profile = default_profile();
  section.require("name", kPlainName.description);
  section.read("name", profile.name, kPlainName);
  section.require("labels", "at least one label for runs-on, like mvr-small");
  section.read_list("labels", profile.labels, Label{});
  section.read("vcpus", profile.size.vcpus, Whole{1, 64});
  section.read("memory", profile.size.memory, Size{mib(256), gib(4096)});
  section.read("disk", profile.size.disk, Size{gib(1), gib(65536)});
  section.read("image", profile.image, kStoreName);
  section.read("kernel", profile.kernel, kKernelName);
  section.read("max", profile.max, Whole{0, 1000});
  section.read("boot_timeout", profile.boot_timeout, Span{seconds(1), hours(1)});
  section.read("listen_timeout", profile.listen_timeout, Span{seconds(1), hours(24)});
  section.read("job_timeout", profile.job_timeout, Span{seconds(1), hours(35 * 24)});
  section.read("kernel_args", profile.kernel_args, kKernelArgs);
  section.finish();
  return profile;
}

void check_label_count(Section& section, const core::Profile& profile) {
  if (profile.labels.empty()) {
    section.add("labels", "is empty: give at least one label for runs-on, like mvr-small");
  }
  if (profile.labels.size() > kMaxLabels) {
    section.add("labels", "more than " + std::to_string(kMaxLabels) + " labels");
  }
}

std::vector<std::string> sorted(std::vector<std::string> labels) {
  std::ranges::sort(labels);
  return labels;
}

void check_unique(Section& section, const core::Profile& profile,
                  const std::vector<core::Profile>& others) {
  const std::vector<std::string> labels = sorted(profile.labels);
  for (const core::Profile& other : others) {
    if (other.name == profile.name) {
      section.add("name", quoted(profile.name) + " is the name of another profile already");
    }
    if (sorted(other.labels) == labels) {
      section.add("labels", "the same labels as profile " + quoted(other.name) +
                                "; no job could tell the two apart");
    }
  }
}

// `size` of a profile against what the file says the host has, less what it keeps for itself.
void check_room(Section& section, std::string_view key, Bytes size,
                const std::optional<Bytes>& total, Bytes reserve) {
  if (!total || size <= *total - reserve) return;
  const std::string name(key);
  section.add(key, format_bytes(size) + " never fits: host." + name + " less host.reserve_" + name +
                       " is " + format_bytes(*total - reserve));
}

// Only what is said in the file: what is measured may change while the daemon runs.
void check_fits(Section& section, const core::Profile& profile, const core::HostSettings& host) {
  check_room(section, "memory", profile.size.memory, host.memory, host.reserve_memory);
  check_room(section, "disk", profile.size.disk, host.disk, host.reserve_disk);
  if (!host.cpus) return;
  const auto vcpus = static_cast<std::uint32_t>(*host.cpus * host.cpu_overcommit);
  if (profile.size.vcpus <= vcpus) return;
  section.add("vcpus", std::to_string(profile.size.vcpus) +
                           " never fit: host.cpus times host.cpu_overcommit is " +
                           std::to_string(vcpus));
}

}  // namespace

void read_profiles(Section& top, core::Config& config, Report& report) {
  const std::size_t before = report.count();
  top.each("profiles", [&](const Node& item, const std::string& path) {
    const std::size_t at_start = report.count();
    Section section(&item, path, report);
    core::Profile profile = read_profile(section);
    // What holds between values is checked between right ones only.
    if (report.count() == at_start) {
      check_label_count(section, profile);
      check_unique(section, profile, config.profiles);
      check_fits(section, profile, config.host);
    }
    if (report.count() == at_start) config.profiles.push_back(std::move(profile));
  });
  if (config.profiles.empty() && report.count() == before) {
    top.add("profiles", "is missing: give at least one profile");
  }
}

}  // namespace mvr::config
