#include <algorithm>
#include <array>
#include <chrono>
#include <optional>

#include "config/schema.h"
#include "core/match.h"

namespace mvr::config {
namespace {

using std::chrono::hours;
using std::chrono::minutes;
using std::chrono::seconds;

constexpr std::array<std::string_view, 4> kEgressModes{"open", "allow-list", "none", "learn"};
constexpr std::size_t kMaxLabels = 50;  // GitHub takes 100 in all; the rest is for extra_labels

core::Profile default_profile() {
  core::Profile profile;
  profile.size = core::Resources{gib(4), 2, gib(20)};
  profile.image = "debian-12";
  profile.kernel = "default";
  profile.warm_max_age = hours(12);
  profile.limits.boot = seconds(120);
  profile.limits.listen = minutes(5);
  profile.limits.job = hours(6);
  profile.hold_on_failure.time = minutes(30);
  return profile;
}

constexpr Whole kVcpus{1, 64};
constexpr Size kMemory{mib(256), gib(4096)};
constexpr Size kRate{Bytes{64U << 10U}, gib(1024)};  // what a job can still work with

bool has_pattern(const core::Profile& profile) {
  return std::ranges::any_of(profile.labels, core::is_pattern_label);
}

// The sizes: of a pattern the least, which has other defaults, and the most.
void read_size(Section& section, core::Profile& profile) {
  const bool is_pattern = has_pattern(profile);
  if (is_pattern) {
    profile.size.vcpus = 1;
    profile.size.memory = gib(1);
  }
  section.read("vcpus", profile.size.vcpus, kVcpus);
  section.read("memory", profile.size.memory, kMemory);
  section.read("disk", profile.size.disk, Size{gib(1), gib(65536)});
  core::Resources most = profile.size;
  for (const std::string_view key : {"max_vcpus", "max_memory"}) {
    if (is_pattern && !section.has(key)) {
      section.add(key, "is missing: a label with {cpus} and {memory} needs it");
    }
    if (!is_pattern && section.has(key)) {
      section.add(key, "is for a profile with {cpus} and {memory} in a label");
    }
  }
  section.read("max_vcpus", most.vcpus, kVcpus);
  section.read("max_memory", most.memory, kMemory);
  if (is_pattern) profile.most = most;
}

void read_hold(Section section, core::HoldSettings& hold) {
  section.read("for", hold.time, Span{minutes(1), hours(24)});
  section.read("max", hold.max, Whole{0, 100});
  section.finish();
}

// `*.example.com` says the same as `example.com`, which covers what is below it.
void read_egress(Section& section, core::Egress& egress) {
  std::string mode(core::egress_word(egress.mode));
  section.read("egress", mode, Choice{kEgressModes});
  egress.mode = core::parse_egress(mode).value_or(egress.mode);
  section.read_list("egress_allow", egress.names, EgressName{});
  if (!egress.names.empty() && egress.mode != core::EgressMode::allow_list) {
    section.add("egress_allow", "is for egress: allow-list, which is " + mode + " here");
  }
}

void read_rates(Section section, core::RateLimits& rates) {
  section.read("network", rates.network, or_unlimited(kRate));
  section.read("disk", rates.disk, or_unlimited(kRate));
  section.read("iops", rates.iops, or_unlimited(Whole{10, 10'000'000}));
  section.finish();
}

void read_machine(Section& section, core::MachineSettings& machine) {
  section.read("vmm", machine.vmm, Choice{kBackends});
  if (machine.vmm == "auto") machine.vmm.clear();
  section.read("smt", machine.smt, Flag{});
  std::string pages(kHugePages.front());
  section.read("huge_pages", pages, Choice{kHugePages});
  machine.huge_pages =
      static_cast<core::HugePages>(std::ranges::find(kHugePages, pages) - kHugePages.begin());
  read_rates(section.child("rate_limits"), machine.rates);
}

core::Profile read_profile(Section& section) {
  core::Profile profile = default_profile();
  section.require("name", kPlainName.description);
  section.read("name", profile.name, kPlainName);
  section.require("labels", "at least one label for runs-on, like mvr-small");
  section.read_list("labels", profile.labels, Label{.may_be_pattern = true});
  read_size(section, profile);
  section.read("image", profile.image, kStoreName);
  section.read("kernel", profile.kernel, kKernelName);
  section.read("max", profile.max, Whole{0, 1000});
  section.read("priority", profile.priority, Signed{-100, 100});
  section.read("warm", profile.warm, Whole{0, 100});
  section.read("warm_max_age", profile.warm_max_age, Span{minutes(1), hours(7 * 24)});
  section.read("boot_timeout", profile.limits.boot, Span{seconds(1), hours(1)});
  section.read("listen_timeout", profile.limits.listen, Span{seconds(1), hours(24)});
  section.read("job_timeout", profile.limits.job, Span{seconds(1), hours(35 * 24)});
  section.read("kernel_args", profile.kernel_args, kKernelArgs);
  section.read("public_repositories", profile.public_repositories, Flag{});
  section.read("fork_pull_requests", profile.fork_pull_requests, Flag{});
  read_hold(section.child("hold_on_failure"), profile.hold_on_failure);
  read_egress(section, profile.egress);
  read_machine(section, profile.machine);
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

void add_less(Section& section, std::string_view key, std::string_view least_key,
              const std::string& most, const std::string& least) {
  section.add(key,
              most + " is less than " + std::string(least_key) + ", which is " + least + " here");
}

void check_pattern(Section& section, const core::Profile& profile) {
  if (!profile.most) return;
  if (std::ranges::count_if(profile.labels, core::is_pattern_label) > 1) {
    section.add("labels", "more than one label with {cpus} and {memory}");
  }
  if (profile.warm > 0) {
    section.add("warm",
                "is not for a profile with {cpus} and {memory} in a label: its VMs have no "
                "size before a job asks for one");
  }
  const core::Resources& most = *profile.most;
  for (const auto& [key, size] :
       {std::pair("memory", profile.size.memory), std::pair("max_memory", most.memory)}) {
    if (size.value % gib(1).value == 0) continue;
    section.add(key, format_bytes(size) + " is no whole number of GiB, and {memory} is one");
  }
  if (most.vcpus < profile.size.vcpus) {
    add_less(section, "max_vcpus", "vcpus", std::to_string(most.vcpus),
             std::to_string(profile.size.vcpus));
  }
  if (most.memory < profile.size.memory) {
    add_less(section, "max_memory", "memory", format_bytes(most.memory),
             format_bytes(profile.size.memory));
  }
}

// Is `name` what VMs of `pattern` would be called by, such as "flex-4cpu-16gb"?
bool is_instance(const core::Profile& pattern, const std::string& name) {
  core::Config alone;
  alone.profiles = {pattern};
  return name != pattern.name && core::size_of(alone, name).has_value();
}

std::vector<std::string> sorted(std::vector<std::string> labels) {
  std::ranges::sort(labels);
  return labels;
}

void check_machine(Section& section, const core::Profile& profile, const core::Config& config) {
  const core::MachineSettings& machine = profile.machine;
  if (machine.vmm == "firecracker" && config.vmm.accel == core::Accel::tcg) {
    section.add("vmm", "Firecracker has no emulation, which vmm.accel: tcg asks for");
  }
  if (machine.smt && profile.most) {
    section.add("smt",
                "is not for a profile with {cpus} and {memory} in a label: an odd number of "
                "vCPUs makes no pairs");
  } else if (machine.smt && profile.size.vcpus % 2 != 0) {
    section.add("smt", std::to_string(profile.size.vcpus) + " vCPUs make no pairs of threads");
  }
  if (machine.huge_pages == core::HugePages::none) return;
  if (profile.size.memory.value % mib(2).value != 0) {
    section.add("memory", "is no whole number of huge pages of 2MiB");
  }
}

void check_unique(Section& section, const core::Profile& profile,
                  const std::vector<core::Profile>& others) {
  const std::vector<std::string> labels = sorted(profile.labels);
  for (const core::Profile& other : others) {
    if (other.name == profile.name) {
      section.add("name", quoted(profile.name) + " is the name of another profile already");
    }
    for (const auto& [pattern, named] :
         {std::pair(&profile, &other), std::pair(&other, &profile)}) {
      if (!is_instance(*pattern, named->name)) continue;
      section.add("name", quoted(profile.name) + " and profile " + quoted(other.name) +
                              " cannot be told apart: " + quoted(named->name) +
                              " also means a size of " + quoted(pattern->name));
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
      check_pattern(section, profile);
      check_unique(section, profile, config.profiles);
      check_fits(section, profile, config.host);
      check_machine(section, profile, config);
    }
    if (report.count() == at_start) config.profiles.push_back(std::move(profile));
  });
  if (config.profiles.empty() && report.count() == before) {
    top.add("profiles", "is missing: give at least one profile");
  }
}

}  // namespace mvr::config
