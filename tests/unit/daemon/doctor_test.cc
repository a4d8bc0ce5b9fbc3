#include "daemon/doctor.h"

#include <algorithm>
#include <cstdlib>

#include "catch.h"
#include "sys/files.h"
#include "temp_dir.h"

namespace mvr::daemon {
namespace {

// A host's /proc and /sys as files.
class HostFiles {
 public:
  HostFiles& with(const std::string& path, const std::string& text) {
    const std::string all = directory_ / "root" + path;
    REQUIRE(sys::make_directories(all.substr(0, all.rfind('/'))));
    REQUIRE(sys::write_file(all, text + "\n"));
    return *this;
  }
  // The finding of that check; the first that is not ok when there are several.
  [[nodiscard]] Finding find(const std::string& check, const std::string& release = "6.1.0") const {
    core::Config config;
    config.host.max_vms = 64;
    Finding found;
    for (const auto& one : check_settings(directory_ / "root", release, config)) {
      if (one.check == check && one.verdict >= found.verdict) found = one;
    }
    REQUIRE(found.check == check);
    CHECK(found.remedy.empty() == (found.verdict == Verdict::ok));
    return found;
  }

 private:
  test::TempDir directory_;
};

TEST_CASE("a plain host has nothing to complain of") {
  HostFiles host;
  host.with("/sys/devices/system/cpu/smt/active", "0")
      .with("/sys/kernel/mm/ksm/run", "0")
      .with("/proc/swaps", "Filename\tType\tSize\tUsed\tPriority")
      .with("/sys/devices/system/cpu/vulnerabilities/mds", "Mitigation: Clear CPU buffers")
      .with("/sys/devices/system/cpu/vulnerabilities/l1tf", "Not affected")
      .with("/proc/sys/kernel/pid_max", "4194304");
  for (const char* check : {"kernel", "smt", "ksm", "swap", "mitigations", "limits"}) {
    CAPTURE(check);
    CHECK(host.find(check).verdict == Verdict::ok);
  }
}

TEST_CASE("settings that let one guest learn of another are warned of") {
  HostFiles host;
  host.with("/sys/devices/system/cpu/smt/active", "1")
      .with("/sys/kernel/mm/ksm/run", "1")
      .with("/proc/swaps", "Filename\tType\n/dev/sda2\tpartition")
      .with("/sys/devices/system/cpu/vulnerabilities/mds", "Vulnerable: no microcode")
      .with("/sys/devices/system/cpu/vulnerabilities/meltdown", "Mitigation: PTI");
  CHECK(host.find("smt").verdict == Verdict::warn);
  CHECK(host.find("ksm").verdict == Verdict::warn);
  CHECK(host.find("swap").verdict == Verdict::warn);
  const Finding open = host.find("mitigations");
  CHECK(open.verdict == Verdict::warn);
  CHECK(open.text == "the CPU is vulnerable to mds");
}

TEST_CASE("a kernel before 5.10, or one whose version nobody can read, is too old") {
  const HostFiles host;
  CHECK(host.find("kernel", "5.10.0-30-amd64").verdict == Verdict::ok);
  CHECK(host.find("kernel", "6.1-custom").verdict == Verdict::ok);
  CHECK(host.find("kernel", "5.9.16").verdict == Verdict::fail);
  CHECK(host.find("kernel", "4.19.0").verdict == Verdict::fail);
  CHECK(host.find("kernel", "").verdict == Verdict::fail);
}

TEST_CASE("a limit too low for all VMs is named with the command that raises it") {
  HostFiles host;
  host.with("/proc/sys/net/netfilter/nf_conntrack_max", "8192");
  const Finding found = host.find("limits");
  CHECK(found.verdict == Verdict::warn);
  CHECK(found.text == "8192 tracked connections are few for 64 VMs");
  CHECK(found.remedy == "sysctl -w net.netfilter.nf_conntrack_max=65536");
}

TEST_CASE("a program that is not there is named with its package") {
  core::Config config;
  config.vmm.qemu_binary = "/nowhere/qemu";
  const auto findings = check_programs(config);
  const auto found = std::ranges::find(findings, "/nowhere/qemu is not installed", &Finding::text);
  REQUIRE(found != findings.end());
  CHECK(found->verdict == Verdict::fail);
  CHECK(found->remedy == "apt install qemu-system-x86");
}

TEST_CASE("of the two VMMs one that may be used must be there") {
  const auto wants = [](const core::Config& config, const std::string& text) {
    const auto findings = check_programs(config);
    return std::ranges::any_of(findings, [&](const Finding& one) { return one.text == text; });
  };
  core::Config config;
  config.vmm.qemu_binary = "/nowhere/qemu";
  config.vmm.firecracker_binary = config.vmm.jailer_binary = "/bin/sh";
  CHECK_FALSE(wants(config, "/nowhere/qemu is not installed"));
  config.vmm.backend = "qemu";
  CHECK(wants(config, "/nowhere/qemu is not installed"));
  config.vmm.backend = "auto";
  config.vmm.accel = core::Accel::tcg;
  CHECK(wants(config, "/nowhere/qemu is not installed"));
  config.vmm.accel = core::Accel::automatic;
  config.vmm.backend = "firecracker";
  config.vmm.jailer_binary = "/nowhere/jailer";
  CHECK(wants(config, "/bin/sh or /nowhere/jailer is not installed"));
}

TEST_CASE("docker-registry is wanted where there is a registry mirror") {
  const auto wants = [](const core::Config& config) {
    const auto findings = check_programs(config);
    return std::ranges::any_of(findings, [](const Finding& one) {
      return one.text == "docker-registry is not installed";
    });
  };
  const char* path = std::getenv("PATH");
  const std::string before = path == nullptr ? "" : path;
  ::setenv("PATH", "/nowhere", 1);
  core::Config config;
  CHECK_FALSE(wants(config));
  config.registry_mirror.enabled = true;
  CHECK(wants(config));
  ::setenv("PATH", before.c_str(), 1);
}

TEST_CASE("what a profile lacks in the stores is found once, whoever shares it") {
  const test::TempDir state;
  core::Config config;
  config.state_dir = state / "state";
  config.profiles.resize(2);
  for (auto& profile : config.profiles) {
    profile.image = "debian-12";
    profile.kernel = "default";
  }
  config.runner = "2.330.0";
  const auto findings = check_stores(config, WallTime{});
  REQUIRE(findings.size() == 3);
  for (const auto& finding : findings) CHECK(finding.verdict == Verdict::fail);
  CHECK(findings[0].check == "image");
  CHECK(findings[1].check == "kernel for VMs");
  CHECK(findings[2].check == "runner");
}

TEST_CASE("without /dev/kvm in use the finding says what that costs") {
  core::Config config;
  config.vmm.accel = core::Accel::tcg;
  const auto findings = check_kvm(config);
  REQUIRE(findings.size() == 1);
  CHECK(findings[0].verdict == Verdict::warn);
}

}  // namespace
}  // namespace mvr::daemon
