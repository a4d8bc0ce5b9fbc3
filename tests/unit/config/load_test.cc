#include "config/load.h"

#include <chrono>

#include "catch.h"

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
  CHECK(config.github == github);
  CHECK(config.host == core::HostSettings{.id = "build7",
                                          .memory = {},
                                          .cpus = {},
                                          .disk = {},
                                          .reserve_memory = gib(1),
                                          .reserve_disk = gib(5),
                                          .cpu_overcommit = 1.0,
                                          .max_vms = 64});
  CHECK(config.network == core::NetworkSettings{"10.231.0.0/16", "/etc/resolv.conf", {}});
  CHECK(config.vmm ==
        core::VmmSettings{"auto", core::Accel::automatic, "qemu-system-x86_64", 2'000'000});
  REQUIRE(config.profiles.size() == 1);
  CHECK(config.profiles[0] == core::Profile{.name = "small",
                                            .labels = {"mvr"},
                                            .size = {gib(4), 2, gib(20)},
                                            .image = "debian-12",
                                            .kernel = "default",
                                            .max = 0,
                                            .boot_timeout = seconds(120),
                                            .listen_timeout = minutes(5),
                                            .job_timeout = hours(6),
                                            .kernel_args = ""});
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
host:
  id: rack-1
  memory: 64GiB
  cpus: 16
  disk: 1TiB
  reserve_memory: "0"
  reserve_disk: 1GiB
  cpu_overcommit: 2.5
  max_vms: 40
network:
  subnet: 192.168.128.0/24
  resolv_conf: /run/systemd/resolve/resolv.conf
  allow: [10.1.2.0/24, "10.9.9.9:443"]
vmm: {backend: qemu, accel: tcg, qemu_binary: /opt/qemu/bin/qemu, uid_base: 100000}
profiles:
  - name: big
    labels: [MVR-Big, gpu]
    vcpus: 32
    memory: 1536MiB
    disk: 100GiB
    image: ubuntu-24.04
    kernel: 6.1.0-39-cloud-amd64
    max: 2
    boot_timeout: 20s
    listen_timeout: 1m
    job_timeout: 2d
    kernel_args: mitigations=off quiet
)");
  CHECK(config.state_dir == "/srv/mvr");
  CHECK(config.run_dir == "/run/mvr2");
  CHECK(config.instance == "m2");
  CHECK(config.log_level == "debug");
  CHECK(config.control_group == "ci");
  CHECK(config.runner == "2.336.0");
  CHECK(config.github.url == "http://127.0.0.1:8080");
  CHECK(config.github.token_file.empty());
  CHECK(config.github.token_env_file == "/etc/mvrunner/env");
  CHECK(config.github.poll_interval == seconds(90));
  CHECK(config.github.extra_labels == std::vector<std::string>{"self-hosted", "x64"});
  const std::vector<core::Scope> scopes{
      {core::ScopeKind::repository, "Acme", "Web.site", {}, "", 3},
      {core::ScopeKind::organization, "tools", "", {"one", ".github"}, "Big machines", 0}};
  CHECK(config.github.scopes == scopes);
  CHECK(config.host ==
        core::HostSettings{"rack-1", gib(64), 16, gib(1024), Bytes{0}, gib(1), 2.5, 40});
  CHECK(config.network == core::NetworkSettings{"192.168.128.0/24",
                                                "/run/systemd/resolve/resolv.conf",
                                                {"10.1.2.0/24", "10.9.9.9:443"}});
  CHECK(config.vmm == core::VmmSettings{"qemu", core::Accel::tcg, "/opt/qemu/bin/qemu", 100000});
  REQUIRE(config.profiles.size() == 1);
  CHECK(config.profiles[0] == core::Profile{.name = "big",
                                            .labels = {"mvr-big", "gpu"},
                                            .size = {mib(1536), 32, gib(100)},
                                            .image = "ubuntu-24.04",
                                            .kernel = "6.1.0-39-cloud-amd64",
                                            .max = 2,
                                            .boot_timeout = seconds(20),
                                            .listen_timeout = minutes(1),
                                            .job_timeout = hours(48),
                                            .kernel_args = "mitigations=off quiet"});
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
