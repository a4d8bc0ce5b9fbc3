#include <array>
#include <map>
#include <optional>

#include "base/text.h"
#include "daemon/doctor.h"
#include "sys/files.h"

namespace mvr::daemon {
namespace {

// Files of /proc and /sys below a root, without what surrounds their text.
class Files {
 public:
  explicit Files(std::string root) : root_(std::move(root)) {}
  [[nodiscard]] std::string text(const std::string& path) const {
    std::string all = sys::read_file(root_ + path).value_or("");
    while (!all.empty() && (all.back() == '\n' || all.back() == ' ')) all.pop_back();
    return all;
  }
  [[nodiscard]] std::optional<std::uint64_t> number(const std::string& path) const {
    const auto value = parse_u64(text(path));
    return value ? std::optional(*value) : std::nullopt;
  }
  [[nodiscard]] std::vector<std::string> names(const std::string& path) const {
    return sys::list_directory(root_ + path).value_or(std::vector<std::string>());
  }

 private:
  std::string root_;
};

// Major and minor of "6.1.0-39-amd64".
std::optional<std::pair<std::uint64_t, std::uint64_t>> kernel_version(std::string_view release) {
  const std::size_t dot = release.find('.');
  if (dot == std::string_view::npos) return std::nullopt;
  const std::string_view rest = release.substr(dot + 1);
  const auto major = parse_u64(release.substr(0, dot));
  const auto minor = parse_u64(rest.substr(0, rest.find_first_not_of("0123456789")));
  if (!major || !minor) return std::nullopt;
  return std::pair(*major, *minor);
}

// Firecracker's supported host kernels begin here, and what cgroups and nftables need is in it.
Finding check_kernel(const std::string& release) {
  const auto version = kernel_version(release);
  if (version && *version >= std::pair<std::uint64_t, std::uint64_t>(5, 10)) {
    return {"kernel", Verdict::ok, "Linux " + release, ""};
  }
  return {"kernel", Verdict::fail, "Linux " + release + " is too old",
          "run Linux 5.10 or later, 6.1 at best"};
}

// Hyper-threads share caches and buffers: a guest on one may observe a guest on the other.
Finding check_smt(const Files& files) {
  if (files.text("/sys/devices/system/cpu/smt/active") != "1") {
    return {"smt", Verdict::ok, "no hyper-threads share a core", ""};
  }
  return {"smt", Verdict::warn, "hyper-threads are on: VMs of different jobs may share a core",
          "boot with nosmt when jobs are not trusted alike"};
}

// Merged pages tell one guest what another has in memory.
Finding check_ksm(const Files& files) {
  const std::string run = files.text("/sys/kernel/mm/ksm/run");
  if (run.empty() || run == "0") return {"ksm", Verdict::ok, "guests share no memory pages", ""};
  return {"ksm", Verdict::warn, "the kernel merges equal memory pages of different VMs",
          "echo 2 > /sys/kernel/mm/ksm/run"};
}

Finding check_swap(const Files& files) {
  const std::string swaps = files.text("/proc/swaps");
  if (swaps.find('\n') == std::string::npos) return {"swap", Verdict::ok, "no swap", ""};
  return {"swap", Verdict::warn, "guests' memory may be written to disk and slow all VMs",
          "swapoff -a and take the lines out of /etc/fstab"};
}

Finding check_vulnerabilities(const Files& files) {
  const std::string directory = "/sys/devices/system/cpu/vulnerabilities";
  std::vector<std::string> open;
  for (const auto& name : files.names(directory)) {
    if (files.text(directory + "/" + name).starts_with("Vulnerable")) open.push_back(name);
  }
  if (open.empty()) return {"mitigations", Verdict::ok, "no known CPU vulnerability is open", ""};
  return {"mitigations", Verdict::warn, "the CPU is vulnerable to " + join(open, ", "),
          "update microcode and kernel, and boot without mitigations=off"};
}

// What all VMs together may use up. Needs per VM as measured with QEMU.
std::vector<Finding> check_limits(const Files& files, const core::Config& config) {
  struct Limit {
    const char* path;
    std::uint64_t per_vm;
    const char* what;
  };
  constexpr std::array limits{
      Limit{"/proc/sys/kernel/pid_max", 32, "process ids"},
      Limit{"/proc/sys/kernel/threads-max", 32, "threads"},
      Limit{"/proc/sys/net/netfilter/nf_conntrack_max", 1024, "tracked connections"},
  };
  std::vector<Finding> findings;
  for (const Limit& limit : limits) {
    const auto value = files.number(limit.path);
    const std::uint64_t wanted = limit.per_vm * config.host.max_vms;
    if (!value || *value >= wanted) continue;
    const std::string path = limit.path;
    std::string key = path.substr(std::string_view("/proc/sys/").size());
    for (char& c : key) c = c == '/' ? '.' : c;
    findings.push_back({"limits", Verdict::warn,
                        std::to_string(*value) + " " + limit.what + " are few for " +
                            std::to_string(config.host.max_vms) + " VMs",
                        "sysctl -w " + key + "=" + std::to_string(wanted)});
  }
  if (findings.empty()) {
    findings.push_back({"limits", Verdict::ok, "the kernel's limits allow all VMs", ""});
  }
  return findings;
}

}  // namespace

std::string_view verdict_name(Verdict verdict) {
  switch (verdict) {
    case Verdict::ok:
      return "ok";
    case Verdict::warn:
      return "warn";
    case Verdict::fail:
      return "fail";
  }
  return "";
}

std::vector<Finding> check_settings(const std::string& root, const std::string& kernel_release,
                                    const core::Config& config) {
  const Files files(root);
  std::vector<Finding> findings{check_kernel(kernel_release), check_smt(files), check_ksm(files),
                                check_swap(files), check_vulnerabilities(files)};
  for (auto& finding : check_limits(files, config)) findings.push_back(std::move(finding));
  return findings;
}

}  // namespace mvr::daemon
