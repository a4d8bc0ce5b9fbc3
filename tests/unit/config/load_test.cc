#include "config/load.h"

#include <chrono>

#include "catch.h"
#include "core/match.h"

namespace mvr::config {
namespace {

using std::chrono::hours;
using std::chrono::minutes;
using std::chrono::seconds;

core::Config config_of(std::string_view yaml, const std::string& hostname = "build7") {
  const Loaded loaded = parse(yaml, "c.yaml", hostname);
  for (const Problem& problem : loaded.problems) UNSCOPED_INFO(problem.to_text());
  REQUIRE(loaded.problems.empty());
  return loaded.config;
}

constexpr std::string_view kMinimal = "profiles: [{name: small, labels: [mvr]}]\n";

}  // namespace

TEST_CASE("one profile with a name and labels is a whole configuration") {
  const core::Config config = config_of(kMinimal);
  CHECK(config.state_dir == "/var/lib/mvrunner");
  CHECK(config.run_dir == "/run/mvrunner");
  CHECK(config.instance == "mvr");
  CHECK(config.log_level == "info");
  CHECK(config.control_group == "mvrunner");
  CHECK(config.runner.empty());
  core::GithubSettings github;
  github.poll_interval = seconds(10);
  github.idle_interval = seconds(60);
  CHECK(config.github == github);
  CHECK(config.host == core::HostSettings{.id = "build7",
                                          .memory = {},
                                          .cpus = {},
                                          .disk = {},
                                          .reserve_memory = gib(1),
                                          .reserve_disk = gib(5),
                                          .cpu_overcommit = 1.0,
                                          .max_vms = 64});
  CHECK(config.registry_mirror ==
        core::MirrorSettings{false, "https://registry-1.docker.io", "", "", gib(20)});
  CHECK(config.action_cache == core::ActionCacheSettings{false, gib(2)});
  CHECK(config.network == core::NetworkSettings{"10.231.0.0/16", "/etc/resolv.conf", {}});
  CHECK(config.vmm == core::VmmSettings{"auto", core::Accel::automatic, "qemu-system-x86_64",
                                        "firecracker", "jailer", 2'000'000});
  REQUIRE(config.profiles.size() == 1);
  CHECK(config.profiles[0] == core::Profile{.name = "small",
                                            .labels = {"mvr"},
                                            .size = {gib(4), 2, gib(20)},
                                            .most = {},
                                            .image = "debian-12",
                                            .kernel = "default",
                                            .max = 0,
                                            .priority = 0,
                                            .warm = 0,
                                            .warm_max_age = hours(12),
                                            .limits = {seconds(120), minutes(5), hours(6)},
                                            .kernel_args = "",
                                            .hold_on_failure = {minutes(30), 0},
                                            .egress = {},
                                            .machine = {},
                                            .runner = {}});
}

TEST_CASE("every value given arrives where it belongs") {
  const core::Config config = config_of(R"(
state_dir: /srv/mvr
run_dir: /run/mvr2
instance: m2
log_level: debug
control_group: ci
runner: 2.336.0
github:
  url: http://127.0.0.1:8080
  token_env_file: /etc/mvrunner/env
  poll_interval: 1m30s
  extra_labels: [Self-Hosted, X64]
  scopes:
    - repository: Acme/Web.site
      max: 3
    - organization: tools
      repositories: [one, .github]
      runner_group: Big machines
      max_per_repo: 6
      app: {id: Iv23li, key_file: /etc/mvrunner/app.pem, installation: 77}
    - repository: third/party
      token_credential: third.token
host:
  id: rack-1
  memory: 64GiB
  cpus: 16
  disk: 1TiB
  reserve_memory: "0"
  reserve_disk: 1GiB
  cpu_overcommit: 2.5
  max_vms: 40
  limits: best-effort
network:
  subnet: 192.168.128.0/24
  resolv_conf: /run/systemd/resolve/resolv.conf
  allow: [10.1.2.0/24, "10.9.9.9:443"]
registry_mirror: {enabled: true, upstream: "https://r.example:5000", login_file: /etc/mvrunner/hub,
  max_size: 3GiB}
action_cache: {enabled: on, max_size: 300MiB}
saved_states: {enabled: true, max_size: 9GiB}
vmm: {backend: qemu, accel: kvm, qemu_binary: /opt/qemu/bin/qemu, uid_base: 100000,
  firecracker_binary: /opt/fc/firecracker, jailer_binary: /opt/fc/jailer}
web: {listen: "[::1]:80"}
scheduling: {weights: {acme/web.SITE: 3, tools/One: 20, other/place: 1}}
profiles:
  - name: big
    labels: [MVR-Big, gpu]
    vcpus: 32
    memory: 1536MiB
    disk: 100GiB
    image: ubuntu-24.04
    kernel: 6.1.0-39-cloud-amd64
    max: 2
    priority: -5
    warm: 2
    warm_max_age: 90m
    boot_timeout: 20s
    listen_timeout: 1m
    job_timeout: 2d
    kernel_args: mitigations=off quiet
    egress: allow-list
    egress_allow: ["*.Example.com", pypi.org]
    vmm: firecracker
    smt: true
    huge_pages: reserved
    rate_limits: {network: 12MiB, disk: unlimited, iops: 500}
)");
  CHECK(config.state_dir == "/srv/mvr");
  CHECK(config.run_dir == "/run/mvr2");
  CHECK(config.instance == "m2");
  CHECK(config.log_level == "debug");
  CHECK(config.control_group == "ci");
  CHECK(config.runner == "2.336.0");
  CHECK(config.github.url == "http://127.0.0.1:8080");
  CHECK(config.github.credentials == core::Credentials{"", "/etc/mvrunner/env", "", {}});
  CHECK(config.github.poll_interval == seconds(90));
  CHECK(config.github.extra_labels == std::vector<std::string>{"self-hosted", "x64"});
  const std::vector<core::Scope> scopes{
      {core::ScopeKind::repository, "Acme", "Web.site", {}, "", 3, 0, {}, {}, {}, {}},
      {core::ScopeKind::organization,
       "tools",
       "",
       {"one", ".github"},
       "Big machines",
       0,
       6,
       {"", "", "", core::AppSettings{"Iv23li", "/etc/mvrunner/app.pem", "", 77}},
       {},
       {},
       {}},
      {core::ScopeKind::repository,
       "third",
       "party",
       {},
       "",
       0,
       0,
       {"", "", "third.token", {}},
       {},
       {},
       {}}};
  CHECK(config.github.scopes == scopes);
  CHECK(config.host ==
        core::HostSettings{"rack-1", gib(64), 16, gib(1024), Bytes{0}, gib(1), 2.5, 40, true});
  CHECK(config.registry_mirror ==
        core::MirrorSettings{true, "https://r.example:5000", "/etc/mvrunner/hub", "", gib(3)});
  CHECK(config.action_cache == core::ActionCacheSettings{true, mib(300)});
  CHECK(config.saved_states == core::SavedStateSettings{true, gib(9)});
  CHECK(config.network == core::NetworkSettings{"192.168.128.0/24",
                                                "/run/systemd/resolve/resolv.conf",
                                                {"10.1.2.0/24", "10.9.9.9:443"}});
  CHECK(config.vmm == core::VmmSettings{"qemu", core::Accel::kvm, "/opt/qemu/bin/qemu",
                                        "/opt/fc/firecracker", "/opt/fc/jailer", 100000});
  CHECK(config.web.listen == "[::1]:80");
  // Spelled as the scopes do.
  CHECK(config.scheduling.weights == std::map<std::string, std::uint32_t>{{"Acme/Web.site", 3},
                                                                          {"tools/one", 20},
                                                                          {"other/place", 1}});
  REQUIRE(config.profiles.size() == 1);
  CHECK(config.profiles[0] ==
        core::Profile{
            .name = "big",
            .labels = {"mvr-big", "gpu"},
            .size = {mib(1536), 32, gib(100)},
            .most = {},
            .image = "ubuntu-24.04",
            .kernel = "6.1.0-39-cloud-amd64",
            .max = 2,
            .priority = -5,
            .warm = 2,
            .warm_max_age = minutes(90),
            .limits = {seconds(20), minutes(1), hours(48)},
            .kernel_args = "mitigations=off quiet",
            .hold_on_failure = {minutes(30), 0},
            .egress = {core::EgressMode::allow_list, {"example.com", "pypi.org"}},
            .machine = {"firecracker", true, core::HugePages::reserved, {mib(12), Bytes{0}, 500}},
            .runner = {}});
}

TEST_CASE("a label with place holders makes a pattern, in any case") {
  const core::Config config = config_of(
      "profiles: [{name: p, labels: [x, \"Mv-{CPUs}c-{Memory}g\"], max_vcpus: 8, max_memory: "
      "16GiB}]\n");
  REQUIRE(config.profiles.size() == 1);
  const core::Profile& pattern = config.profiles[0];
  CHECK(pattern.labels == std::vector<std::string>{"x", "mv-{cpus}c-{memory}g"});
  CHECK(pattern.size == core::Resources{gib(1), 1, gib(20)});
  REQUIRE(pattern.most);
  CHECK(*pattern.most == core::Resources{gib(16), 8, gib(20)});
  CHECK(core::match_profile(config, {"MV-4c-8g"}) == "p-4cpu-8gb");
}

TEST_CASE("a pattern's sizes are the least and the most of a job") {
  const core::Config config = config_of(
      "host: {memory: 6GiB, cpus: 4}\n"
      "profiles: [{name: p, labels: [\"{cpus}-{memory}\"], vcpus: 2, memory: 4GiB, disk: 5GiB, "
      "max_vcpus: 2, max_memory: 4TiB}]\n");  // the most need not fit
  CHECK(config.profiles[0].size == core::Resources{gib(4), 2, gib(5)});
  CHECK(config.profiles[0].most == core::Resources{gib(4096), 2, gib(5)});
}

TEST_CASE("a profile whose name only resembles an instance's is told apart") {
  const core::Config config = config_of(
      "profiles:\n"
      "  - {name: flex, labels: [\"{cpus}-{memory}\"], max_vcpus: 2, max_memory: 4GiB}\n"
      "  - {name: flex-4cpu, labels: [x]}\n"
      "  - {name: flex-04cpu-16gb, labels: [y]}\n"
      "  - {name: flex-4cpu-16gb-x, labels: [z]}\n");
  CHECK(config.profiles.size() == 4);
}

TEST_CASE("host.id is made from the host's name") {
  CHECK(config_of(kMinimal, "Build-07.example.org").host.id == "build-07");
  CHECK(config_of(kMinimal, "--my__host--").host.id == "my-host");
  CHECK(config_of(kMinimal, "a-very-long-host-name-indeed").host.id == "a-very-long-host-nam");
  CHECK(config_of(kMinimal, "nineteen-characters-x").host.id == "nineteen-characters");
  CHECK(config_of(kMinimal, "").host.id == "host");
  CHECK(config_of(kMinimal, "\xc3\xbc").host.id == "host");
}

TEST_CASE("a section whose keys are all commented out has its defaults") {
  const core::Config config = config_of("host:\n  # max_vms: 5\ngithub:\n" + std::string(kMinimal));
  CHECK(config == config_of(kMinimal));
}

TEST_CASE("auto stands for a measured value") {
  const std::string yaml = "host: {memory: auto, cpus: auto, disk: auto}\n" + std::string(kMinimal);
  CHECK(config_of(yaml) == config_of(kMinimal));
}

TEST_CASE("a byte order mark is no part of the document") {
  CHECK(config_of("\xef\xbb\xbf" + std::string(kMinimal)) == config_of(kMinimal));
}

TEST_CASE("profiles that differ in one label are told apart") {
  const core::Config config =
      config_of("profiles:\n- {name: a, labels: [x]}\n- {name: b, labels: [x, y]}\n");
  CHECK(config.profiles.size() == 2);
}

TEST_CASE("how jobs are looked for is read, for all scopes and for one") {
  const core::Config config = config_of(R"(
github:
  token_file: /t
  poll_interval: 2m
  quota_share: 0.25
  discovery: scale-set
  webhook: {listen: "[::]:9841", secret_file: /etc/mvrunner/webhook}
  app_deliveries: true
  scopes:
  - {organization: o, repositories: [a, "lib-*"], exclude: [lib-old], discovery: poll}
  - {enterprise: big-inc, organizations: [games], token_file: /e}
profiles:
- {name: p, labels: [x], public_repositories: true, fork_pull_requests: true}
)");
  const core::GithubSettings& github = config.github;
  CHECK(github.idle_interval == std::chrono::minutes(2));  // never less than poll_interval
  CHECK(github.quota_share == 0.25);
  CHECK(github.webhook == core::WebhookSettings{"[::]:9841", "/etc/mvrunner/webhook", ""});
  CHECK(github.app_deliveries);
  REQUIRE(github.scopes.size() == 2);
  CHECK(github.feed_of(github.scopes[0]) == core::Feed::poll);
  CHECK(github.feed_of(github.scopes[1]) == core::Feed::scale_set);
  CHECK(github.scopes[0].exclude == std::vector<std::string>{"lib-old"});
  CHECK(github.scopes[1].id() == "enterprises/big-inc");
  CHECK(github.scopes[1].organizations == std::vector<std::string>{"games"});
  CHECK(config.profiles[0].public_repositories);
  CHECK(config.profiles[0].fork_pull_requests);
}

TEST_CASE("an organization that names its repositories leaves others to a scope of their own") {
  const core::Config config = config_of(
      "github:\n  token_file: /t\n  scopes:\n  - {organization: o, repositories: [a]}\n"
      "  - repository: o/b\n" +
      std::string(kMinimal));
  CHECK(config.github.scopes.size() == 2);
}

TEST_CASE("a profile as large as the host fits") {
  const core::Config config = config_of(
      "host: {memory: 10GiB, reserve_memory: 2GiB, cpus: 3, cpu_overcommit: 1.5}\n"
      "profiles: [{name: a, labels: [x], memory: 8GiB, vcpus: 4}]\n");
  CHECK(config.profiles.size() == 1);
}

TEST_CASE("a file that is not there is one problem that names it") {
  const Loaded loaded = load("/nonexistent/mvrunner.yaml", "h");
  REQUIRE(loaded.problems.size() == 1);
  CHECK(loaded.problems[0].to_text() ==
        "/nonexistent/mvrunner.yaml: cannot read the configuration: No such file or directory; "
        "begin with a copy of the example, <prefix>/share/doc/mvrunner/examples/mvrunner.yaml");
}

TEST_CASE("a directory in place of the file is one problem") {
  const Loaded loaded = load("/", "h");
  REQUIRE(loaded.problems.size() == 1);
  CHECK(loaded.problems[0].to_text() == "/: cannot read the configuration: Is a directory");
}

}  // namespace mvr::config
