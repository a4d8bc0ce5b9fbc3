// The validated configuration as plain values; its reference is config/mvrunner.yaml.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/units.h"
#include "core/egress.h"
#include "core/github_settings.h"
#include "core/vmm_settings.h"

namespace mvr::core {

// What one VM takes from the host.
struct Resources {
  Bytes memory;
  std::uint32_t vcpus = 0;
  Bytes disk;
  friend bool operator==(const Resources&, const Resources&) = default;
};

// How long a VM may stay in a phase. Those at its launch hold, whatever the profile says later.
struct Limits {
  Duration boot{};    // launch until agent hello, and claim until listening
  Duration listen{};  // listening without a job before the runner is given back
  Duration job{};     // running until the VM is ended
  friend bool operator==(const Limits&, const Limits&) = default;
};

// Keeping VMs whose job failed, for somebody to look into.
struct HoldSettings {
  Duration time{};        // how long
  std::uint32_t max = 0;  // held at once of a profile; 0: none
  friend bool operator==(const HoldSettings&, const HoldSettings&) = default;
};

// Labels + size + image: what a job asks for by `runs-on`.
//
// A pattern profile has one label with the place holders {cpus} and {memory} (GiB), such as
// "mv-{cpus}cpu-{memory}gb", and `most`: a job's own label then says the size, from `size` to
// `most`. Such a job belongs to the profile "<name>-4cpu-16gb", an instance of the pattern.
struct Profile {
  std::string name;
  std::vector<std::string> labels;  // lower case, unique, never empty
  Resources size;                   // of a pattern: the least of memory and vCPUs
  std::optional<Resources> most;    // set: a pattern; its disk is that of `size`
  std::string image;                // a name in the image store
  std::string kernel;               // a name in the kernel store; "default" = newest installed
  std::uint32_t max = 0;            // VMs at once; 0 = only the host limits
  std::int32_t priority = 0;        // -100..100; higher goes first, see core/queue.h
  std::uint32_t warm = 0;           // VMs kept booted without a runner; not for patterns
  Duration warm_max_age{};          // then a warm VM is replaced
  Limits limits;                    // boot_timeout, listen_timeout, job_timeout
  std::string kernel_args;          // more words for the guest's kernel command line
  // Whether jobs of public repositories, and those of pull requests from forks, are served.
  bool public_repositories = false;
  bool fork_pull_requests = false;
  HoldSettings hold_on_failure;
  Egress egress;
  MachineSettings machine;
  std::optional<std::string> runner;  // of a trial: in place of Config::runner
  friend bool operator==(const Profile&, const Profile&) = default;
};

// Limits of this host for VMs. Unset fields are measured by sys/host at start and while running.
struct HostSettings {
  std::string id;  // short, unique per host: part of every runner name
  std::optional<Bytes> memory;
  std::optional<std::uint32_t> cpus;
  std::optional<Bytes> disk;
  Bytes reserve_memory;
  Bytes reserve_disk;
  double cpu_overcommit = 1.0;  // vCPUs sold per host CPU
  std::uint32_t max_vms = 0;    // 1..1000
  // Whether VMs may run where the host has no cgroup controllers to hold them to their size.
  bool best_effort_limits = false;
  friend bool operator==(const HostSettings&, const HostSettings&) = default;
};

struct NetworkSettings {
  std::string subnet;              // IPv4 CIDR, /16../24; slot n uses its n-th /30
  std::string resolv_conf;         // the host's resolver settings, followed by our dnsmasq
  std::vector<std::string> allow;  // "a.b.c.d/n" or "a.b.c.d:port": private egress allowed
  friend bool operator==(const NetworkSettings&, const NetworkSettings&) = default;
};

// The cache of a public registry that VMs of this host pull through.
struct MirrorSettings {
  bool enabled = false;
  std::string upstream;          // "https://registry-1.docker.io"
  std::string login_file;        // holds "user:password"; or
  std::string login_credential;  // the name of a systemd credential; both empty: anonymous
  Bytes max_size;
  friend bool operator==(const MirrorSettings&, const MirrorSettings&) = default;
};

// Archives of the actions that jobs use, on a drive for all VMs.
struct ActionCacheSettings {
  bool enabled = false;
  Bytes max_size;  // of all archives
  friend bool operator==(const ActionCacheSettings&, const ActionCacheSettings&) = default;
};

// What others may look at by HTTP.
struct WebSettings {
  std::string listen;  // "a.b.c.d:port" or "[v6]:port"; "": nothing listens
  friend bool operator==(const WebSettings&, const WebSettings&) = default;
};

// What is kept of VMs that ended.
struct HistorySettings {
  Duration max_age{};   // older entries go
  Bytes max_size;       // of the file; the oldest entries go
  Bytes logs_max_size;  // of the logs of ended VMs
  friend bool operator==(const HistorySettings&, const HistorySettings&) = default;
};

// What reports compare with.
struct ReportSettings {
  // What a minute costs at GitHub's own runners, in `currency`, by their vCPUs.
  std::map<std::uint32_t, double> rates;
  std::string currency;
  std::uint32_t margin = 0;  // percent above the p95 of what jobs used, for the proposed size
  friend bool operator==(const ReportSettings&, const ReportSettings&) = default;
};

// Who goes first when not all jobs fit.
struct SchedulingSettings {
  // Shares of the host while repositories compete: "owner/repo" -> 1..1000; others have 1.
  std::map<std::string, std::uint32_t> weights;
  friend bool operator==(const SchedulingSettings&, const SchedulingSettings&) = default;
};

// What the names of trials begin with, and what all of them are called where they are counted.
inline constexpr const char* kTrials = "trial";

// When an image is built again by itself.
struct Rebuild {
  Duration every{};      // this old; 0: not by its age
  bool on_base = false;  // looked at once a day, built when a base or the recipe is another one
  friend bool operator==(const Rebuild&, const Rebuild&) = default;
};

// How an image of the store is built: the words of `mvrunner image build`.
struct ImageRecipe {
  std::string name;
  std::string context;  // directory
  std::string file;     // Dockerfile; empty: context/Dockerfile
  std::map<std::string, std::string> build_args;
  std::string target;
  Rebuild rebuild;
  friend bool operator==(const ImageRecipe&, const ImageRecipe&) = default;
};

struct Config {
  std::string state_dir;  // /var/lib/mvrunner
  std::string run_dir;    // /run/mvrunner: control socket
  std::string instance;   // prefix of kernel objects: [a-z0-9]{1,8}
  std::string log_level = "info";
  std::string control_group;  // group allowed to use the control socket
  std::string runner;         // runner release in the store; "" = image's own
  GithubSettings github;
  HostSettings host;
  NetworkSettings network;
  VmmSettings vmm;
  WebSettings web;
  SchedulingSettings scheduling;
  HistorySettings history;
  ReportSettings report;
  std::vector<Profile> profiles;
  MirrorSettings registry_mirror;
  ActionCacheSettings action_cache;
  SavedStateSettings saved_states;
  bool runner_update = false;  // once a day, by the daemon
  std::vector<ImageRecipe> images;
  // Made by the daemon for one command each; without labels, found by their name only.
  std::vector<Profile> trials;
  friend bool operator==(const Config&, const Config&) = default;

  // For the name of an instance: its pattern. See core/match.h for what an instance has of its own.
  [[nodiscard]] const Profile* profile(std::string_view name) const;
  [[nodiscard]] const Scope* scope(std::string_view id) const;
  [[nodiscard]] bool is_trial(std::string_view name) const;
  // The runner release that VMs of this profile get; empty: what their image has.
  [[nodiscard]] const std::string& runner_of(const Profile& profile) const {
    return profile.runner ? *profile.runner : runner;
  }
};

}  // namespace mvr::core
