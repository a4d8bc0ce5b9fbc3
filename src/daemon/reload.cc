#include "daemon/reload.h"

#include <array>
#include <string_view>

#include "core/names.h"

namespace mvr::daemon {
namespace {

using core::Config;

struct Key {
  std::string_view name;
  bool needs_restart = false;
  bool (*differs)(const Config& a, const Config& b) = nullptr;
  void (*copy)(Config& to, const Config& from) = nullptr;
};

template <auto Member>
constexpr Key top(std::string_view name, bool needs_restart) {
  return Key{name, needs_restart,
             [](const Config& a, const Config& b) { return a.*Member != b.*Member; },
             [](Config& to, const Config& from) { to.*Member = from.*Member; }};
}

template <auto Section, auto Member>
constexpr Key in(std::string_view name, bool needs_restart) {
  return Key{
      name, needs_restart,
      [](const Config& a, const Config& b) { return a.*Section.*Member != b.*Section.*Member; },
      [](Config& to, const Config& from) { to.*Section.*Member = from.*Section.*Member; }};
}

template <auto Credential>
constexpr Key credential(std::string_view name) {
  return Key{name, false,
             [](const Config& a, const Config& b) {
               return a.github.credentials.*Credential != b.github.credentials.*Credential;
             },
             [](Config& to, const Config& from) {
               to.github.credentials.*Credential = from.github.credentials.*Credential;
             }};
}

constexpr bool kLive = false;
constexpr bool kRestart = true;  // VMs, kernel objects or open files are named or made by it

using core::Credentials;
using core::GithubSettings;
using core::HostSettings;
using core::NetworkSettings;
using core::VmmSettings;
using core::WebSettings;

// Every key there is, in the order of config/mvrunner.yaml.
constexpr std::array kKeys = {
    top<&Config::state_dir>("state_dir", kRestart),
    top<&Config::run_dir>("run_dir", kRestart),
    top<&Config::instance>("instance", kRestart),
    top<&Config::log_level>("log_level", kLive),
    top<&Config::control_group>("control_group", kRestart),
    top<&Config::runner>("runner", kLive),
    top<&Config::runner_update>("runner_update", kLive),
    in<&Config::github, &GithubSettings::url>("github.url", kRestart),
    credential<&Credentials::token_file>("github.token_file"),
    credential<&Credentials::token_env_file>("github.token_env_file"),
    credential<&Credentials::token_credential>("github.token_credential"),
    credential<&Credentials::app>("github.app"),
    in<&Config::github, &GithubSettings::poll_interval>("github.poll_interval", kLive),
    in<&Config::github, &GithubSettings::idle_interval>("github.idle_interval", kLive),
    in<&Config::github, &GithubSettings::quota_share>("github.quota_share", kLive),
    in<&Config::github, &GithubSettings::feed>("github.discovery", kLive),
    in<&Config::github, &GithubSettings::webhook>("github.webhook", kLive),
    in<&Config::github, &GithubSettings::app_deliveries>("github.app_deliveries", kLive),
    in<&Config::github, &GithubSettings::extra_labels>("github.extra_labels", kLive),
    in<&Config::github, &GithubSettings::scopes>("github.scopes", kLive),
    in<&Config::host, &HostSettings::id>("host.id", kRestart),
    in<&Config::host, &HostSettings::memory>("host.memory", kLive),
    in<&Config::host, &HostSettings::cpus>("host.cpus", kLive),
    in<&Config::host, &HostSettings::disk>("host.disk", kLive),
    in<&Config::host, &HostSettings::reserve_memory>("host.reserve_memory", kLive),
    in<&Config::host, &HostSettings::reserve_disk>("host.reserve_disk", kLive),
    in<&Config::host, &HostSettings::cpu_overcommit>("host.cpu_overcommit", kLive),
    in<&Config::host, &HostSettings::max_vms>("host.max_vms", kLive),
    in<&Config::host, &HostSettings::best_effort_limits>("host.limits", kRestart),
    in<&Config::network, &NetworkSettings::subnet>("network.subnet", kRestart),
    in<&Config::network, &NetworkSettings::resolv_conf>("network.resolv_conf", kRestart),
    in<&Config::network, &NetworkSettings::allow>("network.allow", kLive),
    top<&Config::registry_mirror>("registry_mirror", kRestart),
    top<&Config::action_cache>("action_cache", kLive),
    top<&Config::saved_states>("saved_states", kLive),
    in<&Config::vmm, &VmmSettings::backend>("vmm.backend", kRestart),
    in<&Config::vmm, &VmmSettings::accel>("vmm.accel", kRestart),
    in<&Config::vmm, &VmmSettings::qemu_binary>("vmm.qemu_binary", kRestart),
    in<&Config::vmm, &VmmSettings::firecracker_binary>("vmm.firecracker_binary", kRestart),
    in<&Config::vmm, &VmmSettings::jailer_binary>("vmm.jailer_binary", kRestart),
    in<&Config::vmm, &VmmSettings::uid_base>("vmm.uid_base", kRestart),
    in<&Config::web, &WebSettings::listen>("web.listen", kLive),
    top<&Config::scheduling>("scheduling", kLive),
    top<&Config::history>("history", kLive),
    top<&Config::report>("report", kLive),
    top<&Config::images>("images", kLive),
    top<&Config::profiles>("profiles", kLive),
};

// Slots are numbered up to max_vms, and each has its part of the network.
bool has_room(const std::string& network, std::uint32_t vms) {
  const auto subnet = core::parse_subnet(network);
  return subnet && core::slots_in(*subnet) >= vms;
}

bool needs_restart(const Key& key, const Config& current, const Config& wanted) {
  if (key.needs_restart) return true;
  if (key.name.starts_with("github.")) return current.github.url != wanted.github.url;
  if (key.name == "host.max_vms") return !has_room(current.network.subnet, wanted.host.max_vms);
  return false;
}

}  // namespace

ReloadPlan plan_reload(const Config& current, const Config& wanted) {
  ReloadPlan plan{wanted, {}};
  for (const Key& key : kKeys) {
    if (!key.differs(current, wanted)) continue;
    const bool waits = needs_restart(key, current, wanted);
    if (waits) key.copy(plan.config, current);
    plan.changes.push_back(Change{std::string(key.name), !waits});
  }
  return plan;
}

std::string change_text(const Change& change) {
  if (change.applied) return change.key + ": applied";
  return change.key + ": needs a restart (systemctl restart mvrunner; running VMs go on)";
}

}  // namespace mvr::daemon
