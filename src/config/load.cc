#include "config/load.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <fstream>
#include <utility>

#include "config/schema.h"
#include "core/names.h"

namespace mvr::config {
namespace {

using std::chrono::hours;
using std::chrono::seconds;

constexpr std::array<std::string_view, 4> kLogLevels{"debug", "info", "warn", "error"};
constexpr std::array<std::string_view, 2> kUpdates{"daily", "off"};
constexpr std::array<std::string_view, 3> kAccels{"auto", "kvm", "tcg"};
constexpr std::array<std::string_view, 2> kLimitsPolicies{"required", "best-effort"};

// host.id from a host name: its first part in plain characters.
std::string plain_host_id(std::string_view hostname) {
  std::string id;
  for (const char c : ascii_lower(hostname.substr(0, hostname.find('.')))) {
    const bool is_plain = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
    if (is_plain) {
      id += c;
    } else if (!id.empty() && id.back() != '-') {
      id += '-';
    }
    if (id.size() == 20) break;
  }
  while (id.ends_with('-')) id.pop_back();
  return id.empty() ? "host" : id;
}

void read_top(Section& top, core::Config& config) {
  top.read("state_dir", config.state_dir, kDirectory);
  top.read("run_dir", config.run_dir, kDirectory);
  top.read("instance", config.instance, kInstance);
  top.read("log_level", config.log_level, Choice{kLogLevels});
  top.read("control_group", config.control_group, kGroup);
  top.read("runner", config.runner, kOptionalStoreName);
  std::string update = config.runner == "current" ? "daily" : "off";
  top.read("runner_update", update, Choice{kUpdates});
  config.runner_update = update == "daily";
  if (config.state_dir == config.run_dir) {
    top.add("run_dir", "must differ from state_dir");
  }
}

// Said once, of the first scope it is true of.
void check_credentials(Section& section, const core::GithubSettings& github) {
  for (const core::Scope& scope : github.scopes) {
    if (!github.credentials_of(scope).empty()) continue;
    return section.add("scopes", quoted(scope.id()) +
                                     " has no credentials: give it or github one of token_file, "
                                     "token_env_file, token_credential and app");
  }
}

void read_webhook(Section section, core::WebhookSettings& webhook) {
  section.read("listen", webhook.listen, kOptionalListen);
  section.read("secret_file", webhook.secret_file, kOptionalFile);
  section.read("secret_credential", webhook.secret_credential, kOptionalCredential);
  section.finish();
  const bool has_file = !webhook.secret_file.empty();
  const bool has_credential = !webhook.secret_credential.empty();
  if (has_file && has_credential) {
    section.add("secret_credential", "secret_file is given too; keep one of the two");
  }
  if (!webhook.listen.empty() && !has_file && !has_credential) {
    section.add("listen", "needs the webhook's secret: give secret_file or secret_credential");
  }
}

void read_polling(Section& section, core::GithubSettings& github) {
  section.read("poll_interval", github.poll_interval, Span{seconds(1), hours(1)});
  github.idle_interval = std::max(github.idle_interval, github.poll_interval);
  section.read("idle_interval", github.idle_interval, Span{seconds(1), hours(1)});
  if (github.idle_interval < github.poll_interval) {
    section.add("idle_interval", format_duration(github.idle_interval) +
                                     " is less than poll_interval, which is " +
                                     format_duration(github.poll_interval) + " here");
  }
  section.read("quota_share", github.quota_share, Fraction{0.01, 1});
}

void read_github(Section section, core::GithubSettings& github, Report& report) {
  const std::size_t before = report.count();
  section.read("url", github.url, kWebAddress);
  github.credentials = read_credentials(section, report);
  read_polling(section, github);
  std::optional<core::Feed> feed;
  read_feed(section, feed);
  github.feed = feed.value_or(core::Feed::poll);
  read_webhook(section.child("webhook"), github.webhook);
  section.read("app_deliveries", github.app_deliveries, Flag{});
  section.read_list("extra_labels", github.extra_labels, Label{});
  read_scopes(section, github, report);
  section.finish();
  if (github.extra_labels.size() > 50) section.add("extra_labels", "more than 50 labels");
  if (report.count() == before) check_credentials(section, github);
}

void read_host(Section& section, core::HostSettings& host) {
  section.read("id", host.id, kPlainName);
  section.read("memory", host.memory, or_auto(Size{mib(256), gib(65536)}));
  section.read("cpus", host.cpus, or_auto(Whole{1, 4096}));
  section.read("disk", host.disk, or_auto(Size{gib(1), gib(1048576)}));
  section.read("reserve_memory", host.reserve_memory, Size{Bytes{0}, gib(65536)});
  section.read("reserve_disk", host.reserve_disk, Size{Bytes{0}, gib(1048576)});
  section.read("cpu_overcommit", host.cpu_overcommit, Fraction{0.1, 64});
  section.read("max_vms", host.max_vms, Whole{1, 1000});
  std::string limits = "required";
  section.read("limits", limits, Choice{kLimitsPolicies});
  host.best_effort_limits = limits == "best-effort";
  section.finish();
}

void read_network(Section& section, core::NetworkSettings& network) {
  section.read("subnet", network.subnet, kSubnet);
  section.read("resolv_conf", network.resolv_conf, kFile);
  section.read_list("allow", network.allow, kEgress);
  section.finish();
}

// Reported where the file says one of the two numbers.
void check_room(Section& network, Section& host, const core::Config& config) {
  const Result<core::Subnet> subnet = core::parse_subnet(config.network.subnet);
  if (!subnet) return;
  const std::uint32_t slots = core::slots_in(*subnet);
  if (slots >= config.host.max_vms) return;
  const std::string message = quoted(config.network.subnet) + " has room for " +
                              std::to_string(slots) + " VMs, host.max_vms is " +
                              std::to_string(config.host.max_vms) +
                              ": take a larger network or lower host.max_vms";
  if (network.has("subnet")) {
    network.add("subnet", message);
  } else {
    host.add("max_vms", message);
  }
}

void read_vmm(Section section, core::VmmSettings& vmm) {
  std::string accel = "auto";
  section.read("backend", vmm.backend, Choice{kBackends});
  section.read("accel", accel, Choice{kAccels});
  section.read("qemu_binary", vmm.qemu_binary, kProgram);
  section.read("firecracker_binary", vmm.firecracker_binary, kProgram);
  section.read("jailer_binary", vmm.jailer_binary, kProgram);
  section.read("uid_base", vmm.uid_base, Whole{65536, 2'147'000'000});
  if (accel == "kvm") vmm.accel = core::Accel::kvm;
  if (accel == "tcg") vmm.accel = core::Accel::tcg;
  if (vmm.backend == "firecracker" && vmm.accel == core::Accel::tcg) {
    section.add("accel", "Firecracker has no emulation: accel must be kvm or auto");
  }
  section.finish();
}

// `registry_mirror: on`, or a mapping.
void read_mirror(Section& top, core::MirrorSettings& mirror) {
  if (top.is_scalar("registry_mirror")) {
    top.read("registry_mirror", mirror.enabled, Switch{});
    return;
  }
  Section section = top.child("registry_mirror");
  section.read("enabled", mirror.enabled, Switch{});
  section.read("upstream", mirror.upstream, kWebAddress);
  section.read("login_file", mirror.login_file, kOptionalFile);
  section.read("login_credential", mirror.login_credential, kOptionalCredential);
  section.read("max_size", mirror.max_size, Size{mib(1), gib(1048576)});
  section.finish();
  if (!mirror.login_file.empty() && !mirror.login_credential.empty()) {
    section.add("login_credential", "login_file is given too; keep one of the two");
  }
}

// `action_cache: on` or `saved_states: on`, or a mapping.
template <class Settings>
void read_kept(Section& top, std::string_view key, Settings& kept, Bytes most) {
  if (top.is_scalar(key)) {
    top.read(key, kept.enabled, Switch{});
    return;
  }
  Section section = top.child(key);
  section.read("enabled", kept.enabled, Switch{});
  section.read("max_size", kept.max_size, Size{mib(1), most});
  section.finish();
}

void read_web(Section section, core::WebSettings& web) {
  section.read("listen", web.listen, kOptionalListen);
  section.finish();
}

void read_all(const Node& document, core::Config& config, Report& report) {
  Section top(&document, "", report);
  read_top(top, config);
  read_github(top.child("github"), config.github, report);
  const std::size_t before = report.count();
  Section host = top.child("host");
  Section network = top.child("network");
  read_host(host, config.host);
  read_network(network, config.network);
  if (report.count() == before) check_room(network, host, config);
  read_mirror(top, config.registry_mirror);
  read_kept(top, "action_cache", config.action_cache, gib(1024));
  read_kept(top, "saved_states", config.saved_states, gib(1048576));
  read_vmm(top.child("vmm"), config.vmm);
  read_web(top.child("web"), config.web);
  read_scheduling(top.child("scheduling"), config, report);
  read_history(top.child("history"), config.history);
  read_report(top.child("report"), config.report, report);
  read_images(top, config, report);
  read_profiles(top, config, report);
  check_scale_sets(top, config);
  top.finish();
}

}  // namespace

core::Config defaults(const std::string& facts_hostname) {
  core::Config config;
  config.state_dir = "/var/lib/mvrunner";
  config.run_dir = "/run/mvrunner";
  config.instance = "mvr";
  config.log_level = "info";
  config.control_group = "mvrunner";
  config.github.poll_interval = seconds(10);
  config.github.idle_interval = seconds(60);
  config.host.id = plain_host_id(facts_hostname);
  config.host.reserve_memory = gib(1);
  config.host.reserve_disk = gib(5);
  config.host.cpu_overcommit = 1.0;
  config.host.max_vms = 64;
  config.network.subnet = "10.231.0.0/16";
  config.network.resolv_conf = "/etc/resolv.conf";
  config.registry_mirror.upstream = "https://registry-1.docker.io";
  config.registry_mirror.max_size = gib(20);
  config.action_cache.max_size = gib(2);
  config.saved_states.max_size = gib(20);
  config.vmm.qemu_binary = "qemu-system-x86_64";
  config.vmm.firecracker_binary = "firecracker";
  config.vmm.jailer_binary = "jailer";
  config.vmm.uid_base = 2'000'000;
  config.web.listen = "127.0.0.1:9840";
  config.history.max_age = hours(400 * 24);
  config.history.max_size = gib(1);
  config.history.logs_max_size = mib(64);
  // Linux on x64: https://docs.github.com/en/billing/reference/actions-runner-pricing
  config.report.rates = {{1, 0.002},  {2, 0.006},  {4, 0.012},  {8, 0.022},
                         {16, 0.042}, {32, 0.082}, {64, 0.162}, {96, 0.252}};
  config.report.currency = "USD";
  config.report.margin = 20;
  return config;
}

Loaded parse(std::string_view yaml, const std::string& file, const std::string& facts_hostname) {
  Report report(file);
  Loaded loaded{defaults(facts_hostname), {}};
  const std::optional<Node> document = read_document(yaml, report);
  if (document) read_all(*document, loaded.config, report);
  loaded.problems = std::move(report).take();
  return loaded;
}

Loaded load(const std::string& path, const std::string& facts_hostname) {
  errno = 0;
  std::ifstream stream(path, std::ios::binary);
  std::string yaml(kMaxInput + 1, '\0');  // one more than allowed: parse() says so
  stream.read(yaml.data(), static_cast<std::streamsize>(yaml.size()));
  if (stream.gcount() == 0 && !stream.eof()) {
    const int code = errno == 0 ? EIO : errno;
    std::string text = os_error(code, "cannot read the configuration").what;
    if (code == ENOENT) {
      text +=
          "; begin with a copy of the example, "
          "<prefix>/share/doc/mvrunner/examples/mvrunner.yaml";
    }
    return Loaded{defaults(facts_hostname), {Problem{path, 0, 0, "", std::move(text)}}};
  }
  yaml.resize(static_cast<std::size_t>(stream.gcount()));
  return parse(yaml, path, facts_hostname);
}

}  // namespace mvr::config
