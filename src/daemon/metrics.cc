#include "daemon/metrics.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <initializer_list>
#include <map>
#include <string_view>
#include <utility>
namespace mvr::daemon {
namespace {

using core::Phase;

using Label = std::pair<std::string_view, std::string_view>;
using Labels = std::initializer_list<Label>;

constexpr std::array kPhases{Phase::preparing, Phase::booting,   Phase::warm,
                             Phase::claiming,  Phase::listening, Phase::running,
                             Phase::ending,    Phase::removing,  Phase::held};

double seconds(Duration time) { return static_cast<double>(time.count()) / 1000; }

std::string number(double value) {
  std::array<char, 64> digits{};
  const auto end = std::to_chars(digits.begin(), digits.end(), value);
  return {digits.begin(), end.ptr};
}

class Writer {
 public:
  // Samples follow until the next one.
  void family(std::string_view name, std::string_view type, std::string_view help) {
    name_ = name;
    put("# HELP ", name, " ", help, "\n# TYPE ", name, " ", type, "\n");
  }
  void sample(Labels labels, double value) { sample("", labels, value); }
  void sample(double value) { sample("", {}, value); }
  // `suffix`: "_bucket" and its like.
  void sample(std::string_view suffix, Labels labels, double value) {
    put(name_, suffix);
    char separator = '{';
    for (const auto& [key, text] : labels) {
      out_ += separator;
      put(key, "=\"", escaped(text), "\"");
      separator = ',';
    }
    put(separator == ',' ? "} " : " ", number(value), "\n");
  }
  std::string take() { return std::move(out_); }

 private:
  template <class... Parts>
  void put(const Parts&... parts) {
    (out_.append(parts), ...);
  }
  static std::string escaped(std::string_view text) {
    std::string out;
    for (const char c : text) {
      if (c == '\\' || c == '"') out += '\\';
      if (c == '\n') {
        out += "\\n";
      } else {
        out += c;
      }
    }
    return out;
  }
  std::string out_;
  std::string_view name_;
};

// Of one reason in one scope and profile: jobs no profile serves wait once per set of labels.
struct Waiting {
  double jobs = 0;
  double oldest = 0;  // seconds
};

void write_waits(Writer& out, const core::Plan& plan, WallTime wall) {
  std::map<std::array<std::string, 3>, Waiting> waits;
  for (const auto& wait : plan.waits) {
    auto& waiting = waits[{wait.scope, wait.profile, std::string(core::reason_name(wait.reason))}];
    waiting.jobs += wait.jobs;
    if (wait.oldest)
      waiting.oldest = std::max(waiting.oldest, seconds(wall - wait.oldest->created));
  }
  const auto labels = [](const auto& key) {
    return std::array<Label, 3>{Label{"scope", key[0]}, Label{"profile", key[1]},
                                Label{"reason", key[2]}};
  };
  out.family("mvrunner_waiting_jobs", "gauge", "Queued jobs no VM is being made for, by reason.");
  for (const auto& [key, waiting] : waits) {
    const auto [scope, profile, reason] = labels(key);
    out.sample({scope, profile, reason}, waiting.jobs);
  }
  out.family("mvrunner_oldest_wait_seconds", "gauge",
             "Age of the oldest of these jobs, since GitHub created it.");
  for (const auto& [key, waiting] : waits) {
    const auto [scope, profile, reason] = labels(key);
    out.sample({scope, profile, reason}, waiting.oldest);
  }
}

void write_scopes(Writer& out, const core::Config& config, const core::World& world, Instant now) {
  const auto each = [&](const auto& value) {
    for (const auto& [id, state] : world.scopes) {
      if (config.scope(id) != nullptr) out.sample({{"scope", id}}, value(state));
    }
  };
  out.family("mvrunner_listed_jobs", "gauge", "Queued jobs in the latest listing of a scope.");
  each([](const core::ScopeState& state) { return static_cast<double>(core::listed(state)); });
  out.family("mvrunner_listing_age_seconds", "gauge", "Since a scope's jobs were listed last.");
  each([&](const core::ScopeState& state) { return seconds(now - state.as_of); });
  out.family("mvrunner_listing_failing", "gauge", "1 while a scope's jobs cannot be listed.");
  each([](const core::ScopeState& state) { return state.failure ? 1 : 0; });
}

void write_vms(Writer& out, const core::Config& config, const core::World& world) {
  std::map<std::pair<std::string, Phase>, std::size_t> counts;
  for (const auto& profile : config.profiles) {
    for (const Phase phase : kPhases) counts[{profile.name, phase}] = 0;
  }
  for (const auto& [slot, vm] : world.vms) {
    const core::Profile* profile = config.profile(vm.profile);
    std::string name = profile == nullptr ? vm.profile : profile->name;
    if (config.is_trial(vm.profile)) name = core::kTrials;
    ++counts[{std::move(name), vm.phase}];
  }
  out.family("mvrunner_vms", "gauge", "VMs by profile and phase.");
  for (const auto& [key, count] : counts) {
    out.sample({{"profile", key.first}, {"phase", core::phase_name(key.second)}},
               static_cast<double>(count));
  }
}

void write_capacity(Writer& out, const core::World& world) {
  const auto write = [&](std::string_view what, std::string_view help, double all, double used) {
    const std::string capacity = "mvrunner_capacity_" + std::string(what);
    const std::string taken = "mvrunner_used_" + std::string(what);
    out.family(capacity, "gauge", std::string(help) + " this host has for VMs.");
    out.sample(all);
    out.family(taken, "gauge", std::string(help) + " its VMs take.");
    out.sample(used);
  };
  const core::Capacity& all = world.capacity;
  const core::Capacity used = core::used(world);
  const auto bytes = [](Bytes size) { return static_cast<double>(size.value); };
  write("memory_bytes", "Memory", bytes(all.memory), bytes(used.memory));
  write("vcpus", "vCPUs", all.vcpus, used.vcpus);
  write("disk_bytes", "Disk", bytes(all.disk), bytes(used.disk));
  write("vms", "VMs", all.vms, used.vms);
}

void write_health(Writer& out, const core::Config& config, const core::World& world) {
  out.family("mvrunner_draining", "gauge", "1 while no new VM is started because of a drain.");
  out.sample(world.draining ? 1 : 0);
  out.family("mvrunner_pressure", "gauge",
             "1 while no new VM is started because the host is short of memory or disk.");
  out.sample(world.pressure.empty() ? 0 : 1);
  out.family("mvrunner_profile_ready", "gauge", "1 when a profile's image and kernel are there.");
  for (const auto& profile : config.profiles) {
    const auto missing = world.missing_images.find(profile.name);
    const bool ready = missing == world.missing_images.end() || missing->second.empty();
    out.sample({{"profile", profile.name}}, ready ? 1 : 0);
  }
  out.family("mvrunner_failed_boots", "gauge", "Boots of a profile that failed in a row.");
  for (const auto& profile : config.profiles) {
    const auto health = world.health.find(profile.name);
    out.sample({{"profile", profile.name}},
               health == world.health.end() ? 0 : health->second.failures);
  }
}

void write_histogram(Writer& out, std::string_view profile, std::string_view stage,
                     const Histogram& histogram) {
  const auto write = [&](std::string_view suffix, std::string_view bound, double value) {
    if (profile.empty() && bound.empty()) return out.sample(suffix, {}, value);
    if (profile.empty()) return out.sample(suffix, {{"le", bound}}, value);
    if (bound.empty()) return out.sample(suffix, {{"profile", profile}, {"stage", stage}}, value);
    out.sample(suffix, {{"profile", profile}, {"stage", stage}, {"le", bound}}, value);
  };
  const std::size_t last = Histogram::kBounds.size();
  for (std::size_t n = 0; n < last; ++n) {
    write("_bucket", number(Histogram::kBounds.at(n)), static_cast<double>(histogram.below(n)));
  }
  write("_bucket", "+Inf", static_cast<double>(histogram.below(last)));
  write("_sum", "", seconds(histogram.sum()));
  write("_count", "", static_cast<double>(histogram.below(last)));
}

void write_tally(Writer& out, const core::World& world, const Tally& tally) {
  out.family("mvrunner_vm_launches_total", "counter", "VMs this daemon began to launch.");
  out.sample(static_cast<double>(world.launches));
  out.family("mvrunner_vm_ends_total", "counter",
             "VMs that were removed, by the cause they ended.");
  for (const auto& [key, count] : tally.ends) {
    out.sample({{"profile", key.first}, {"cause", key.second}}, static_cast<double>(count));
  }
  out.family("mvrunner_jobs_total", "counter", "Jobs that ended here, by the runner's result.");
  for (const auto& [key, count] : tally.jobs) {
    out.sample({{"profile", key.first}, {"result", key.second}}, static_cast<double>(count));
  }
  out.family("mvrunner_launch_seconds", "histogram",
             "What the host does to launch a VM, without the guest's boot.");
  write_histogram(out, "", "", tally.launches);
  out.family("mvrunner_stage_seconds", "histogram", "The parts of a VM's life, of removed VMs.");
  for (const auto& [key, histogram] : tally.stages) {
    write_histogram(out, key.first, stage_name(key.second), histogram);
  }
}

void write_accounts(Writer& out, const std::vector<github::AccountState>& accounts) {
  out.family("mvrunner_github_requests_total", "counter",
             "Requests to GitHub's REST API, by what was asked and how it was answered.");
  for (const auto& account : accounts) {
    for (const auto& [request, outcome, count] : account.counts) {
      out.sample({{"account", account.name}, {"request", request}, {"outcome", outcome}},
                 static_cast<double>(count));
    }
  }
  const auto each = [&](std::string_view name, std::string_view help, auto value) {
    out.family(name, "gauge", help);
    for (const auto& account : accounts) {
      out.sample({{"account", account.name}}, static_cast<double>(value(account)));
    }
  };
  each("mvrunner_github_limit", "Requests an hour GitHub allows; 0: it has told no limit.",
       [](const auto& account) { return account.limit; });
  each("mvrunner_github_remaining", "Of these, what is left, by the latest answer.",
       [](const auto& account) { return account.remaining; });
  each("mvrunner_github_poll_allowance", "Of these, what looking for jobs may use up in an hour.",
       [](const auto& account) { return account.allowance; });
  each("mvrunner_github_poll_charged", "What looking for jobs has used up in this hour.",
       [](const auto& account) { return account.charged; });
}

void write_looks(Writer& out, const std::vector<github::Look>& looks, Instant now) {
  const auto each = [&](std::string_view name, std::string_view help, auto value) {
    out.family(name, "gauge", help);
    for (const auto& look : looks) {
      out.sample({{"scope", look.scope}, {"repository", look.repository}}, value(look));
    }
  };
  each("mvrunner_poll_interval_seconds", "Wanted between two looks at a repository.",
       [](const auto& look) { return seconds(look.interval); });
  each("mvrunner_poll_worst_seconds",
       "How long a job may be queued before it is seen, when nothing fails.",
       [](const auto& look) { return seconds(look.worst); });
  out.family("mvrunner_poll_age_seconds", "gauge", "Since the latest look that succeeded.");
  for (const auto& look : looks) {
    if (look.latest == Instant{}) continue;
    out.sample({{"scope", look.scope}, {"repository", look.repository}},
               seconds(now - look.latest));
  }
}

void write_release(Writer& out, const std::string& release, Duration left) {
  out.family("mvrunner_runner_release_expires_seconds", "gauge",
             "Until GitHub no longer takes the runner release.");
  if (!release.empty()) out.sample({{"release", release}}, seconds(left));
}

void write_chores(Writer& out, const std::vector<ChoreState>& chores) {
  const auto each = [&](std::string_view name, std::string_view help, auto value) {
    out.family(name, "gauge", help);
    for (const ChoreState& chore : chores) {
      out.sample({{"chore", chore.name}}, static_cast<double>(value(chore)));
    }
  };
  each("mvrunner_chore_running", "1 while the daemon renews it.",
       [](const ChoreState& chore) { return chore.is_running ? 1 : 0; });
  each("mvrunner_chore_failures", "How often in a row that has failed.",
       [](const ChoreState& chore) { return chore.record.failures; });
  out.family("mvrunner_chore_success_timestamp_seconds", "gauge",
             "When it succeeded last, in seconds since 1970.");
  for (const ChoreState& chore : chores) {
    if (!chore.record.success) continue;
    out.sample({{"chore", chore.name}}, seconds(chore.record.success->time_since_epoch()));
  }
}

void write_deliveries(Writer& out, const Tally& tally) {
  out.family("mvrunner_webhook_deliveries_total", "counter",
             "Webhook deliveries that arrived, by what became of them.");
  for (const auto& [fate, count] : tally.deliveries) {
    out.sample({{"result", github::fate_name(fate)}}, static_cast<double>(count));
  }
}

void write_mirror(Writer& out, const MirrorState& mirror) {
  const auto one = [&](std::string_view name, std::string_view type, std::string_view help,
                       std::uint64_t value) {
    out.family(name, type, help);
    out.sample(static_cast<double>(value));
  };
  one("mvrunner_mirror_up", "gauge", "1 while the registry mirror answers.", mirror.up ? 1 : 0);
  one("mvrunner_mirror_restarts_total", "counter", "Times docker-registry ended by itself.",
      mirror.restarts);
  out.family("mvrunner_mirror_requests_total", "counter",
             "Manifests and blobs VMs were given, out of the store or fetched first.");
  const auto count = [&](std::string_view kind, std::string_view result, std::uint64_t value) {
    out.sample({{"kind", kind}, {"result", result}}, static_cast<double>(value));
  };
  count("manifest", "hit", mirror.counts.manifest_hits);
  count("manifest", "miss", mirror.counts.manifest_misses);
  count("blob", "hit", mirror.counts.blob_hits);
  count("blob", "miss", mirror.counts.blob_misses);
  one("mvrunner_mirror_served_bytes_total", "counter", "What VMs were given of it.",
      mirror.counts.served_bytes);
  one("mvrunner_mirror_bytes", "gauge", "What the mirror keeps.", mirror.size.value);
  one("mvrunner_mirror_max_bytes", "gauge", "What it may keep.", mirror.max_size.value);
  one("mvrunner_mirror_removed_blobs_total", "counter", "Blobs removed to keep to that.",
      mirror.removed_blobs);
  if (!mirror.quota) return;
  one("mvrunner_mirror_hub_limit", "gauge", "Pulls Docker Hub allows this host.",
      mirror.quota->limit);
  one("mvrunner_mirror_hub_remaining", "gauge", "Of these, what is left.", mirror.quota->remaining);
}

void write_actions(Writer& out, const ActionCacheState& actions) {
  const auto one = [&](std::string_view name, std::string_view help, std::uint64_t value) {
    out.family(name, "gauge", help);
    out.sample(static_cast<double>(value));
  };
  one("mvrunner_action_cache_archives", "Archives of actions new VMs find.", actions.archives);
  one("mvrunner_action_cache_bytes", "The size of them.", actions.size.value);
  one("mvrunner_action_cache_max_bytes", "What it may be.", actions.max_size.value);
  one("mvrunner_action_cache_known", "Actions that VMs used.", actions.known);
}

}  // namespace

std::string metrics_text(const MetricsView& view) {
  Writer out;
  out.family("mvrunner_build_info", "gauge", "The version of the running daemon.");
  out.sample({{"version", MVR_VERSION}}, 1);
  write_scopes(out, view.config, view.world, view.now);
  write_waits(out, view.plan, view.wall);
  write_vms(out, view.config, view.world);
  write_capacity(out, view.world);
  write_health(out, view.config, view.world);
  write_tally(out, view.world, view.tally);
  write_accounts(out, view.accounts);
  write_looks(out, view.looks, view.now);
  write_release(out, view.release, view.release_left);
  write_chores(out, view.chores);
  write_deliveries(out, view.tally);
  if (view.mirror) write_mirror(out, *view.mirror);
  if (view.actions) write_actions(out, *view.actions);
  return out.take();
}

}  // namespace mvr::daemon
