#include <algorithm>
#include <array>
#include <charconv>

#include "base/text.h"
#include "config/load.h"
#include "config/schema.h"
#include "config/yaml_text.h"

namespace mvr::config {
namespace {

// Plain where no YAML reader could take it for anything else, quoted otherwise.
std::string scalar(std::string_view text) {
  const auto is_safe = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '/' ||
           c == '.' || c == '_' || c == '-';
  };
  const bool is_plain = !text.empty() && std::ranges::all_of(text, is_safe) &&
                        text.front() != '-' && ascii_lower(text) != "null";
  if (is_plain) return std::string(text);
  return quoted_scalar(text);
}

// The short forms where they are exact.
std::string exact(Bytes size) {
  const std::string text = format_bytes(size);
  const Result<Bytes> again = parse_bytes(text);
  return again && *again == size ? text : std::to_string(size.value);
}

std::string exact(Duration value) {
  const std::string text = format_duration(value);
  const Result<Duration> again = parse_duration(text);
  return again && *again == value ? text : std::to_string(value.count()) + "ms";
}

// The shortest digits that read back as the same number.
std::string exact(double value) {
  std::array<char, 64> digits{};
  const auto end = std::to_chars(digits.begin(), digits.end(), value, std::chars_format::fixed);
  return {digits.begin(), end.ptr};
}

std::string exact(bool value) { return value ? "true" : "false"; }
std::string exact(std::int32_t value) { return std::to_string(value); }
std::string exact(std::uint32_t value) { return std::to_string(value); }

template <class T>
std::string or_unlimited(T value) {
  return value == T{} ? "unlimited" : exact(value);
}

template <class T>
std::string or_auto(const std::optional<T>& value) {
  return value ? exact(*value) : "auto";
}

std::string_view accel_word(core::Accel accel) {
  switch (accel) {
    case core::Accel::automatic:
      return "auto";
    case core::Accel::kvm:
      return "kvm";
    case core::Accel::tcg:
      return "tcg";
  }
  return "auto";
}

// Lines of one mapping at one depth; a list item's first line takes the dash.
class Writer {
 public:
  explicit Writer(std::string& out) : out_(out) {}

  void line(std::string_view key, std::string_view value) {
    out_ += prefix_;
    out_ += key;
    out_ += value.empty() ? ":" : ": ";
    out_ += value;
    out_ += '\n';
    std::ranges::replace(prefix_, '-', ' ');
  }
  void text(std::string_view key, std::string_view value) { line(key, scalar(value)); }
  void list(std::string_view key, const std::vector<std::string>& values) {
    std::string text = "[";
    for (const std::string& value : values) {
      if (text.size() > 1) text += ", ";
      text += scalar(value);
    }
    line(key, text + "]");
  }
  [[nodiscard]] Writer below() const { return Writer(out_, prefix_ + "  "); }
  [[nodiscard]] Writer item() const { return Writer(out_, prefix_ + "  - "); }

 private:
  Writer(std::string& out, std::string prefix) : out_(out), prefix_(std::move(prefix)) {}
  std::string& out_;
  std::string prefix_;
};

void write_app(Writer out, const core::AppSettings& app) {
  out.text("id", app.id);
  if (!app.key_file.empty()) out.text("key_file", app.key_file);
  if (!app.key_credential.empty()) out.text("key_credential", app.key_credential);
  if (app.installation != 0) out.line("installation", std::to_string(app.installation));
}

// Only what is given: a key without its value would be another kind of credentials.
void write_credentials(Writer& out, const core::Credentials& given) {
  if (!given.token_file.empty()) out.text("token_file", given.token_file);
  if (!given.token_env_file.empty()) out.text("token_env_file", given.token_env_file);
  if (!given.token_credential.empty()) out.text("token_credential", given.token_credential);
  if (!given.app) return;
  out.line("app", "");
  write_app(out.below(), *given.app);
}

std::string_view feed_word(core::Feed feed) {
  return feed == core::Feed::poll ? "poll" : "scale-set";
}

void write_webhook(Writer out, const core::WebhookSettings& webhook) {
  out.text("listen", webhook.listen);
  if (!webhook.secret_file.empty()) out.text("secret_file", webhook.secret_file);
  if (!webhook.secret_credential.empty()) {
    out.text("secret_credential", webhook.secret_credential);
  }
}

void write_scope(Writer out, const core::Scope& scope) {
  if (scope.kind == core::ScopeKind::repository) {
    out.text("repository", scope.id());
  } else {
    const bool is_enterprise = scope.kind == core::ScopeKind::enterprise;
    out.text(is_enterprise ? "enterprise" : "organization", scope.owner);
    if (is_enterprise) out.list("organizations", scope.organizations);
    out.list("repositories", scope.repositories);
    out.list("exclude", scope.exclude);
    out.text("runner_group", scope.runner_group);
  }
  if (scope.feed) out.text("discovery", feed_word(*scope.feed));
  out.line("max", exact(scope.max));
  out.line("max_per_repo", exact(scope.max_per_repo));
  write_credentials(out, scope.credentials);
}

void write_github(Writer out, const core::GithubSettings& github) {
  out.text("url", github.url);
  write_credentials(out, github.credentials);
  out.line("poll_interval", exact(github.poll_interval));
  out.line("idle_interval", exact(github.idle_interval));
  out.line("quota_share", exact(github.quota_share));
  out.text("discovery", feed_word(github.feed));
  out.line("webhook", "");
  write_webhook(out.below(), github.webhook);
  out.line("app_deliveries", exact(github.app_deliveries));
  out.list("extra_labels", github.extra_labels);
  if (github.scopes.empty()) return out.line("scopes", "[]");
  out.line("scopes", "");
  for (const core::Scope& scope : github.scopes) write_scope(out.item(), scope);
}

void write_host(Writer out, const core::HostSettings& host) {
  out.text("id", host.id);
  out.line("memory", or_auto(host.memory));
  out.line("cpus", or_auto(host.cpus));
  out.line("disk", or_auto(host.disk));
  out.line("reserve_memory", exact(host.reserve_memory));
  out.line("reserve_disk", exact(host.reserve_disk));
  out.line("cpu_overcommit", exact(host.cpu_overcommit));
  out.line("max_vms", exact(host.max_vms));
  out.line("limits", host.best_effort_limits ? "best-effort" : "required");
}

void write_network(Writer out, const core::NetworkSettings& network) {
  out.text("subnet", network.subnet);
  out.text("resolv_conf", network.resolv_conf);
  out.list("allow", network.allow);
}

void write_vmm(Writer out, const core::VmmSettings& vmm) {
  out.text("backend", vmm.backend);
  out.line("accel", accel_word(vmm.accel));
  out.text("qemu_binary", vmm.qemu_binary);
  out.text("firecracker_binary", vmm.firecracker_binary);
  out.text("jailer_binary", vmm.jailer_binary);
  out.line("uid_base", exact(vmm.uid_base));
}

void write_scheduling(Writer out, const core::SchedulingSettings& scheduling) {
  if (scheduling.weights.empty()) return out.line("weights", "{}");
  out.line("weights", "");
  Writer entry = out.below();
  for (const auto& [repository, weight] : scheduling.weights) {
    entry.line(scalar(repository), exact(weight));
  }
}

void write_machine(Writer& out, const core::MachineSettings& machine) {
  out.text("vmm", machine.vmm.empty() ? "auto" : machine.vmm);
  out.line("smt", exact(machine.smt));
  out.line("huge_pages", kHugePages.at(static_cast<std::size_t>(machine.huge_pages)));
  out.line("rate_limits", "");
  Writer rates = out.below();
  rates.line("network", or_unlimited(machine.rates.network));
  rates.line("disk", or_unlimited(machine.rates.disk));
  rates.line("iops", or_unlimited(machine.rates.iops));
}

void write_profile(Writer out, const core::Profile& profile) {
  out.text("name", profile.name);
  out.list("labels", profile.labels);
  out.line("vcpus", exact(profile.size.vcpus));
  out.line("memory", exact(profile.size.memory));
  if (profile.most) {
    out.line("max_vcpus", exact(profile.most->vcpus));
    out.line("max_memory", exact(profile.most->memory));
  }
  out.line("disk", exact(profile.size.disk));
  out.text("image", profile.image);
  out.text("kernel", profile.kernel);
  out.line("max", exact(profile.max));
  out.line("priority", exact(profile.priority));
  out.line("warm", exact(profile.warm));
  out.line("warm_max_age", exact(profile.warm_max_age));
  out.line("boot_timeout", exact(profile.limits.boot));
  out.line("listen_timeout", exact(profile.limits.listen));
  out.line("job_timeout", exact(profile.limits.job));
  out.text("kernel_args", profile.kernel_args);
  out.line("public_repositories", exact(profile.public_repositories));
  out.line("fork_pull_requests", exact(profile.fork_pull_requests));
  out.text("egress", core::egress_word(profile.egress.mode));
  out.list("egress_allow", profile.egress.names);
  out.line("hold_on_failure", "");
  Writer hold = out.below();
  hold.line("for", exact(profile.hold_on_failure.time));
  hold.line("max", exact(profile.hold_on_failure.max));
  write_machine(out, profile.machine);
}

std::string rebuild_word(const core::Rebuild& rebuild) {
  if (rebuild.on_base) return "base";
  return rebuild.every == Duration{} ? "never" : exact(rebuild.every);
}

void write_recipe(Writer out, const core::ImageRecipe& recipe) {
  out.text("name", recipe.name);
  out.text("context", recipe.context);
  out.text("file", recipe.file);
  out.line("build_args", recipe.build_args.empty() ? "{}" : "");
  Writer argument = out.below();
  for (const auto& [name, value] : recipe.build_args) argument.text(name, value);
  out.text("target", recipe.target);
  out.line("rebuild", rebuild_word(recipe.rebuild));
}

void write_mirror(Writer out, const core::MirrorSettings& mirror) {
  out.line("enabled", exact(mirror.enabled));
  out.text("upstream", mirror.upstream);
  out.text("login_file", mirror.login_file);
  out.text("login_credential", mirror.login_credential);
  out.line("max_size", exact(mirror.max_size));
}

template <class Settings>
void write_kept(Writer out, const Settings& kept) {
  out.line("enabled", exact(kept.enabled));
  out.line("max_size", exact(kept.max_size));
}

void write_history(Writer out, const core::HistorySettings& history) {
  out.line("max_age", exact(history.max_age));
  out.line("max_size", exact(history.max_size));
  out.line("logs_max_size", exact(history.logs_max_size));
}

void write_report(Writer out, const core::ReportSettings& report) {
  out.line("rates", report.rates.empty() ? "{}" : "");
  Writer rate = out.below();
  for (const auto& [vcpus, price] : report.rates) rate.line(exact(vcpus), exact(price));
  out.text("currency", report.currency);
  out.line("margin", exact(report.margin));
}

}  // namespace

std::string to_yaml(const core::Config& config) {
  std::string text;
  Writer out(text);
  out.text("state_dir", config.state_dir);
  out.text("run_dir", config.run_dir);
  out.text("instance", config.instance);
  out.text("log_level", config.log_level);
  out.text("control_group", config.control_group);
  out.text("runner", config.runner);
  out.text("runner_update", config.runner_update ? "daily" : "off");
  out.line("github", "");
  write_github(out.below(), config.github);
  out.line("host", "");
  write_host(out.below(), config.host);
  out.line("network", "");
  write_network(out.below(), config.network);
  out.line("registry_mirror", "");
  write_mirror(out.below(), config.registry_mirror);
  out.line("action_cache", "");
  write_kept(out.below(), config.action_cache);
  out.line("saved_states", "");
  write_kept(out.below(), config.saved_states);
  out.line("vmm", "");
  write_vmm(out.below(), config.vmm);
  out.line("web", "");
  out.below().text("listen", config.web.listen);
  out.line("scheduling", "");
  write_scheduling(out.below(), config.scheduling);
  out.line("history", "");
  write_history(out.below(), config.history);
  out.line("report", "");
  write_report(out.below(), config.report);
  out.line("images", config.images.empty() ? "[]" : "");
  for (const core::ImageRecipe& recipe : config.images) write_recipe(out.item(), recipe);
  if (config.profiles.empty()) {
    out.line("profiles", "[]");
  } else {
    out.line("profiles", "");
  }
  for (const core::Profile& profile : config.profiles) write_profile(out.item(), profile);
  return text;
}

}  // namespace mvr::config
