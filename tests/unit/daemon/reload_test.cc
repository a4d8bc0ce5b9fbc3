#include "daemon/reload.h"

#include "catch.h"
#include "config/load.h"

namespace {

using namespace mvr;
using daemon::Change;
using daemon::plan_reload;

core::Config sample() {
  core::Config config = config::defaults("h");
  config.github.credentials.token_file = "/t";
  config.github.scopes = {{core::ScopeKind::repository, "a", "b", {}, "", 0, 0, {}, {}, {}, {}}};
  core::Profile small;
  small.name = "small";
  small.labels = {"mv-small"};
  config.profiles = {small};
  return config;
}

// Every key has another value than in sample().
core::Config all_different() {
  core::Config config;
  config.state_dir = "/s";
  config.run_dir = "/r";
  config.instance = "other";
  config.log_level = "debug";
  config.control_group = "ci";
  config.runner = "2.1";
  config.github.url = "https://ghe.example";
  config.github.credentials.token_env_file = "/e";
  config.github.credentials.token_credential = "c";
  config.github.credentials.app = core::AppSettings{"1", "/k", "", 0};
  config.github.poll_interval = Duration{1};
  config.github.idle_interval = Duration{2};
  config.github.quota_share = 0.5;
  config.github.feed = core::Feed::scale_set;
  config.github.webhook = {"[::1]:2", "/w", ""};
  config.github.app_deliveries = true;
  config.github.extra_labels = {"x"};
  config.host.id = "h2";
  config.host.memory = gib(1);
  config.host.cpus = 3;
  config.host.disk = gib(9);
  config.host.reserve_memory = gib(7);
  config.host.reserve_disk = gib(8);
  config.host.cpu_overcommit = 2;
  config.host.max_vms = 3;
  config.host.best_effort_limits = true;
  config.network.subnet = "192.168.0.0/24";
  config.network.resolv_conf = "/x";
  config.network.allow = {"10.0.0.0/8"};
  config.registry_mirror.enabled = true;
  config.action_cache.enabled = true;
  config.saved_states.enabled = true;
  config.vmm.backend = "qemu";
  config.vmm.accel = core::Accel::tcg;
  config.vmm.qemu_binary = "/q";
  config.vmm.firecracker_binary = "/f";
  config.vmm.jailer_binary = "/j";
  config.vmm.uid_base = 70'000;
  config.scheduling.weights = {{"a/b", 2}};
  config.web.listen = "[::1]:1";
  return config;
}

}  // namespace

TEST_CASE("an unchanged configuration reloads to itself without changes") {
  const auto plan = plan_reload(sample(), sample());
  CHECK(plan.changes.empty());
  CHECK(plan.config == sample());
}

TEST_CASE("every key is applied or needs a restart, none is forgotten") {
  const core::Config before = sample();
  core::Config wanted = all_different();
  wanted.github.url = before.github.url;
  const auto plan = plan_reload(before, wanted);
  std::vector<std::string> restart;
  for (const Change& change : plan.changes) {
    if (!change.applied) restart.push_back(change.key);
  }
  CHECK(restart ==
        std::vector<std::string>{"state_dir", "run_dir", "instance", "control_group", "host.id",
                                 "host.limits", "network.subnet", "network.resolv_conf",
                                 "registry_mirror", "vmm.backend", "vmm.accel", "vmm.qemu_binary",
                                 "vmm.firecracker_binary", "vmm.jailer_binary", "vmm.uid_base"});
  CHECK(plan.changes.size() == 44);  // all but github.url
  // What was not applied has its former value, and what was applied the wanted one.
  core::Config expected = wanted;
  expected.state_dir = before.state_dir;
  expected.run_dir = before.run_dir;
  expected.instance = before.instance;
  expected.control_group = before.control_group;
  expected.host.id = before.host.id;
  expected.host.best_effort_limits = before.host.best_effort_limits;
  expected.network.subnet = before.network.subnet;
  expected.network.resolv_conf = before.network.resolv_conf;
  expected.registry_mirror = before.registry_mirror;
  expected.vmm = before.vmm;
  CHECK(plan.config == expected);
}

TEST_CASE("another GitHub takes all of its section to the next restart") {
  const core::Config before = sample();
  core::Config wanted = sample();
  wanted.github.url = "https://ghe.example";
  wanted.github.credentials.token_file = "/other";
  wanted.github.scopes[0].max = 3;
  wanted.profiles[0].max = 2;
  const auto plan = plan_reload(before, wanted);
  CHECK(plan.changes == std::vector<Change>{{"github.url", false},
                                            {"github.token_file", false},
                                            {"github.scopes", false},
                                            {"profiles", true}});
  CHECK(plan.config.github == before.github);
  CHECK(plan.config.profiles == wanted.profiles);
}

TEST_CASE("more VMs than the network in use has room for need the restart too") {
  core::Config before = sample();
  before.network.subnet = "10.0.0.0/24";
  before.host.max_vms = 60;
  core::Config wanted = before;
  wanted.network.subnet = "10.0.0.0/16";
  wanted.host.max_vms = 64;
  CHECK(plan_reload(before, wanted).config == before);
  wanted.host.max_vms = 63;
  const auto plan = plan_reload(before, wanted);
  CHECK(plan.config.host.max_vms == 63);
  CHECK(plan.config.network.subnet == "10.0.0.0/24");
}

TEST_CASE("a change says what it takes") {
  CHECK(daemon::change_text({"profiles", true}) == "profiles: applied");
  CHECK(daemon::change_text({"network.subnet", false}) ==
        "network.subnet: needs a restart (systemctl restart mvrunner; running VMs go on)");
}
