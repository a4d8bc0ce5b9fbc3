#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdlib>
#include <optional>

#include "base/text.h"
#include "daemon/capacity.h"
#include "daemon/doctor.h"
#include "daemon/machine_room.h"
#include "image/runner_store.h"
#include "image/store.h"
#include "sys/cgroup.h"
#include "sys/files.h"
#include "sys/host.h"
#include "sys/net.h"
#include "sys/nft.h"
#include "sys/reflink.h"

namespace mvr::daemon {
namespace {

constexpr auto kOldImage = std::chrono::days(30);
// GitHub lets no runner register that is 30 days behind the newest release.
constexpr auto kOldRunner = std::chrono::days(30);

bool is_program(const std::string& name) {
  if (name.empty()) return false;
  if (name.find('/') != std::string::npos) return ::access(name.c_str(), X_OK) == 0;
  const char* path = std::getenv("PATH");  // NOLINT(concurrency-mt-unsafe): one thread
  const std::string all = path == nullptr ? "/usr/sbin:/usr/bin:/sbin:/bin" : path;
  return std::ranges::any_of(split(all, ':'), [&](std::string_view directory) {
    return ::access((std::string(directory) + "/" + name).c_str(), X_OK) == 0;
  });
}

// A namespace of our own for trials, gone with the object.
class TrialNamespace {
 public:
  explicit TrialNamespace(const std::string& name) : name_(name), fd_(sys::open_netns(name)) {}
  TrialNamespace(const TrialNamespace&) = delete;
  TrialNamespace& operator=(const TrialNamespace&) = delete;
  ~TrialNamespace() {
    if (!fd_) return;
    fd_ = Fd();
    (void)sys::remove_netns(name_);
  }
  [[nodiscard]] const Result<Fd>& fd() const { return fd_; }

 private:
  std::string name_;
  Result<Fd> fd_;
};

Finding judge(std::string check, const Result<void>& done, std::string well, std::string remedy) {
  if (done) return {std::move(check), Verdict::ok, std::move(well), ""};
  return {std::move(check), Verdict::fail, done.error().what, std::move(remedy)};
}

Result<void> try_tap(const Fd& netns) {
  TRY_ASSIGN(const Fd tap, sys::create_tap(netns, "mvrtrial", "198.18.0.1", 30));
  return {};
}

Result<void> try_firewall(const Fd& netns) {
  TRY(sys::nft_apply(&netns, "table inet mvrtrial {\n set s {\n type ipv4_addr\n }\n}"));
  return sys::nft_apply(&netns, "delete table inet mvrtrial");
}

Finding check_cgroup(const core::Config& config) {
  // In the group where the daemon's will be; a name of its own, so that a daemon is not disturbed.
  auto root = sys::CgroupRoot::open(config.instance + "-trial");
  const bool may_lack = config.host.best_effort_limits;
  const Verdict verdict = may_lack ? Verdict::warn : Verdict::fail;
  const std::string effect = may_lack ? "" : ", and 'mvrunner serve' does not start so";
  if (!root) {
    return {"cgroup", verdict, root.error().what + ": VMs would run without limits" + effect,
            "mount cgroup2, or boot with systemd.unified_cgroup_hierarchy=1"};
  }
  const std::vector<std::string> missing = root->missing();
  (void)root->remove_self();
  if (missing.empty()) {
    return {"cgroup", Verdict::ok, "VMs can be limited in " + join(root->controllers(), ", "), ""};
  }
  return {"cgroup", verdict, "VMs have no limits here for " + join(missing, ", ") + effect,
          "boot with systemd.unified_cgroup_hierarchy=1, and run under the systemd unit"};
}

Finding check_disk(const core::Config& config, const HostMeasures& measures) {
  const core::Capacity capacity = capacity_of(config.host, measures);
  std::string text = format_bytes(measures.disk) + " below " + config.state_dir + ", " +
                     format_bytes(capacity.disk) + " of it for VMs";
  if (capacity.disk.value > 0) return {"disk", Verdict::ok, std::move(text), ""};
  return {"disk", Verdict::fail, std::move(text), "free space, or lower host.reserve_disk"};
}

// Scratch disks are copied sparse, so that nothing is lost where it cannot; images may be cloned.
Finding check_reflink(const core::Config& config) {
  const bool can = sys::can_clone(config.state_dir);
  return {"reflink", Verdict::ok,
          std::string("the file system of ") + config.state_dir +
              (can ? " clones files" : " does not clone files: copies take time and room"),
          ""};
}

std::optional<std::chrono::days> age_of(const image::Manifest& manifest, WallTime now) {
  const auto created = parse_iso8601(manifest.created);
  if (!created) return std::nullopt;
  return std::chrono::floor<std::chrono::days>(now - *created);
}

Finding judge_age(std::string check, const image::Manifest& manifest, WallTime now,
                  std::chrono::days most, std::string remedy) {
  const auto age = age_of(manifest, now);
  const std::string text =
      manifest.name + (age ? " is " + std::to_string(age->count()) + " days old" : " is there");
  if (!age || *age <= most) return {std::move(check), Verdict::ok, text, ""};
  return {std::move(check), Verdict::warn, text, std::move(remedy)};
}

// No distribution has Firecracker; its two programs come together.
std::vector<Finding> check_vmm(const core::VmmSettings& vmm) {
  const bool has_firecracker = is_program(vmm.firecracker_binary) && is_program(vmm.jailer_binary);
  if (vmm.backend == "firecracker" && !has_firecracker) {
    return {{"programs", Verdict::fail,
             vmm.firecracker_binary + " or " + vmm.jailer_binary + " is not installed",
             "mvrunner firecracker install, or set vmm.backend: auto"}};
  }
  const bool may_be_firecracker = vmm.backend != "qemu" && vmm.accel != core::Accel::tcg;
  if ((has_firecracker && may_be_firecracker) || is_program(vmm.qemu_binary)) return {};
  return {{"programs", Verdict::fail, vmm.qemu_binary + " is not installed",
           "apt install qemu-system-x86"}};
}

}  // namespace

std::vector<Finding> check_programs(const core::Config& config) {
  struct Program {
    std::string name;
    const char* package;
  };
  std::vector<Program> programs{Program{"dnsmasq", "dnsmasq-base"}, Program{"ip", "iproute2"},
                                Program{"mke2fs", "e2fsprogs"}, Program{"ssh", "openssh-client"},
                                Program{"ssh-keygen", "openssh-client"}};
  if (config.registry_mirror.enabled) programs.push_back({"docker-registry", "docker-registry"});
  std::vector<Finding> findings = check_vmm(vmm_programs(config));
  for (const Program& program : programs) {
    if (is_program(program.name)) continue;
    findings.push_back({"programs", Verdict::fail, program.name + " is not installed",
                        std::string("apt install ") + program.package});
  }
  if (findings.empty()) {
    findings.push_back({"programs", Verdict::ok, "all programs it starts are installed", ""});
  }
  return findings;
}

std::vector<Finding> check_kernel_objects(const core::Config& config) {
  if (::geteuid() != 0) {
    return {{"root", Verdict::fail, "network, firewall and cgroups were not tried: not root",
             "run mvrunner doctor as root"}};
  }
  std::vector<Finding> findings;
  const TrialNamespace trial(config.instance + "trial" + std::to_string(::getpid()));
  if (!trial.fd()) {
    findings.push_back({"namespace", Verdict::fail, trial.fd().error().what,
                        "run on the host itself, not in an unprivileged container"});
  } else {
    findings.push_back({"namespace", Verdict::ok, "network namespaces can be made", ""});
    findings.push_back(judge("tap", try_tap(*trial.fd()), "taps can be made",
                             "modprobe tun, and give the container /dev/net/tun"));
    findings.push_back(judge("firewall", try_firewall(*trial.fd()), "nftables works",
                             "modprobe nf_tables; a kernel without it cannot isolate VMs"));
  }
  findings.push_back(check_cgroup(config));
  return findings;
}

std::vector<Finding> check_room(const core::Config& config) {
  const auto measures = measure_host(config, {});
  if (!measures) {
    return {{"room", Verdict::fail, measures.error().what,
             "make " + config.state_dir + ", or set another state_dir"}};
  }
  const core::Capacity capacity = capacity_of(config.host, *measures);
  std::vector<Finding> findings;
  findings.push_back(
      {"memory", capacity.memory.value > 0 ? Verdict::ok : Verdict::fail,
       format_bytes(measures->memory) + ", " + format_bytes(capacity.memory) + " of it for VMs",
       capacity.memory.value > 0 ? "" : "lower host.reserve_memory"});
  findings.push_back({"cpus", Verdict::ok,
                      std::to_string(measures->cpus) + " CPUs, " + std::to_string(capacity.vcpus) +
                          " vCPUs for VMs",
                      ""});
  findings.push_back(check_disk(config, *measures));
  findings.push_back(check_reflink(config));
  for (const auto& line : unfit_profiles(config, capacity)) {
    findings.push_back({"profiles", Verdict::fail, line, "lower its size, or take a larger host"});
  }
  return findings;
}

std::vector<Finding> check_stores(const core::Config& config, WallTime now) {
  const image::ImageStore images(config.state_dir);
  const image::KernelStore kernels(config.state_dir);
  const image::RunnerStore runners(config.state_dir);
  std::vector<Finding> findings;
  std::vector<std::string> seen;  // profiles share images and kernels
  const auto once = [&](const std::string& key) {
    if (std::ranges::find(seen, key) != seen.end()) return false;
    seen.push_back(key);
    return true;
  };
  for (const auto& profile : config.profiles) {
    if (once("image " + profile.image)) {
      const auto image = images.find(profile.image);
      findings.push_back(
          image ? judge_age("image", *image, now, kOldImage,
                            "build it again: mvrunner image build -t " + profile.image + " ...")
                : Finding{"image", Verdict::fail, image.error().what,
                          "mvrunner image build -t " + profile.image + " ..."});
    }
    if (once("kernel " + profile.kernel)) {
      const auto kernel = kernels.find(profile.kernel);
      findings.push_back(kernel ? Finding{"kernel for VMs", Verdict::ok, kernel->name, ""}
                                : Finding{"kernel for VMs", Verdict::fail, kernel.error().what,
                                          "mvrunner kernel install"});
    }
  }
  if (config.runner.empty()) return findings;
  const auto runner = runners.find(config.runner);
  findings.push_back(
      runner ? judge_age("runner", *runner, now, kOldRunner,
                         "GitHub refuses old runners: mvrunner runner update")
             : Finding{"runner", Verdict::fail, runner.error().what, "mvrunner runner update"});
  return findings;
}

std::vector<Finding> check_kvm(const core::Config& config) {
  if (config.vmm.accel == core::Accel::tcg) {
    return {{"kvm", Verdict::warn, "not used: vmm.accel is tcg, many times slower",
             "set vmm.accel: auto"}};
  }
  if (!sys::exists("/dev/kvm")) {
    return {{"kvm", Verdict::fail, "/dev/kvm is missing: VMs run in software emulation",
             "enable virtualization in the firmware (or nested virtualization) and modprobe kvm"}};
  }
  auto room = MachineRoom::open_to_look(config);
  if (!room) return {{"kvm", Verdict::fail, room.error().what, "install what is missing"}};
  for (const auto& profile : config.profiles) {
    const auto kernel = (*room)->kernel(profile);
    if (!kernel) continue;  // check_stores() says why
    if (kernel->accel == vmm::Accel::kvm) {
      return {{"kvm", Verdict::ok, "guests run under it", ""}};
    }
    const bool barred = kernel->no_kvm.find("Permission denied") != std::string::npos;
    return {{"kvm", Verdict::fail, "a guest does not run under /dev/kvm: " + kernel->no_kvm,
             barred ? "chgrp kvm /dev/kvm && chmod 660 /dev/kvm: VMs run as users of their own"
                    : "if this host is a VM itself, switch nested virtualization on for it"}};
  }
  return {{"kvm", Verdict::warn, "not tried: no kernel is installed", "mvrunner kernel install"}};
}

}  // namespace mvr::daemon
