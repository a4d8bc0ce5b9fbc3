#include "vmm/firecracker_config.h"

#include <algorithm>
#include <array>
#include <set>
#include <utility>

#include <nlohmann/json.hpp>

#include "base/text.h"
#include "channel/message.h"

namespace mvr::vmm {
namespace {

using Json = nlohmann::json;

constexpr std::uint32_t kMostCpus = 32;
constexpr Bytes kLeastMemory = mib(64);
constexpr std::size_t kMostDrives = 12;  // 17 devices in all
constexpr std::size_t kMostKernelWords = 2048;
// Firecracker adds a word for each device ("virtio_mmio.device=4K@0xc0001000:5"), and pci=off.
constexpr std::size_t kWordsOfDevice = 48;
constexpr std::size_t kOtherDevices = 4;
constexpr std::size_t kMostInterface = 15;
constexpr const char* kInterface = "eth0";
constexpr std::uint32_t kGuestCid = 3;  // no two VMs share a host-wide number space

bool is_word(std::string_view text, std::size_t max) {
  return !text.empty() && text.size() <= max && std::all_of(text.begin(), text.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
  });
}

bool is_mac(std::string_view text) {
  const auto parts = split(text, ':');
  return parts.size() == 6 && std::all_of(parts.begin(), parts.end(), [](std::string_view part) {
           return part.size() == 2 && part.find_first_not_of("0123456789abcdefABCDEF") == part.npos;
         });
}

Result<void> check_size(const MachineSpec& spec) {
  if (spec.vcpus == 0 || spec.vcpus > kMostCpus) {
    return fail(Errc::invalid, std::to_string(spec.vcpus) + " CPUs: Firecracker has 1 to 32");
  }
  if (spec.smt && spec.vcpus != 1 && spec.vcpus % 2 != 0) {
    return fail(Errc::invalid, std::to_string(spec.vcpus) + " CPUs do not make pairs of threads");
  }
  if (spec.memory < kLeastMemory) {
    return fail(Errc::invalid, format_bytes(spec.memory) + " of memory: a guest needs 64MiB");
  }
  const std::uint64_t unit = spec.huge_pages == HugePages::none ? mib(1).value : mib(2).value;
  if (spec.memory.value % unit == 0) return {};
  return fail(Errc::invalid, format_bytes(spec.memory) + " of memory: Firecracker takes it in " +
                                 "steps of " + format_bytes(Bytes{unit}));
}

Result<void> check_support(const MachineSpec& spec, const FirecrackerVersion& version, Arch arch) {
  TRY(check_firecracker_version(version));
  if (spec.accel != Accel::kvm) {
    return fail(Errc::unsupported, "Firecracker needs KVM: it has no emulation");
  }
  if (spec.smt && arch == Arch::arm64) {
    return fail(Errc::unsupported, "Firecracker has no pairs of threads on arm64");
  }
  if (spec.huge_pages == HugePages::transparent &&
      !firecracker_features(version).transparent_huge_pages) {
    return fail(Errc::unsupported, "Firecracker " + version.to_text() +
                                       " has no transparent huge pages: 1.17 or newer is needed");
  }
  return {};
}

// A bucket without size or refill would be no limit at all to Firecracker.
Result<void> check_rate(const RateLimit& rate, const std::string& device) {
  for (const auto& bucket : {rate.bytes, rate.operations}) {
    if (bucket && (bucket->size == 0 || bucket->refill.count() <= 0)) {
      return fail(Errc::invalid, "the rate limit of " + device + " lets nothing pass");
    }
  }
  return {};
}

Result<void> check_drives(const MachineSpec& spec) {
  if (spec.drives.size() > kMostDrives) {
    return fail(Errc::invalid, std::to_string(spec.drives.size()) + " drives: at most " +
                                   std::to_string(kMostDrives));
  }
  std::set<std::string> seen;
  for (const Drive& drive : spec.drives) {
    if (!is_word(drive.serial, 20)) {
      return fail(Errc::invalid, "\"" + printable(drive.serial, 40) + "\" is no name of a drive");
    }
    if (!seen.insert(drive.serial).second) {
      return fail(Errc::invalid, "two drives are called " + drive.serial);
    }
    TRY(check_rate(drive.rate, "drive " + drive.serial));
  }
  return {};
}

Result<void> check_network(const MachineSpec& spec) {
  TRY(check_rate(spec.receive, "what the VM receives"));
  TRY(check_rate(spec.transmit, "what the VM sends"));
  if (spec.tap_name.empty()) return {};
  const bool is_interface = spec.tap_name.size() <= kMostInterface &&
                            std::all_of(spec.tap_name.begin(), spec.tap_name.end(), [](char c) {
                              return c > ' ' && c <= '~' && c != '/' && c != ':';
                            });
  if (!is_interface) {
    return fail(Errc::invalid, "\"" + printable(spec.tap_name, 40) + "\" is no interface's name");
  }
  if (is_mac(spec.mac)) return {};
  return fail(Errc::invalid, "\"" + printable(spec.mac, 40) + "\" is no MAC address");
}

Result<void> check_words(const std::string& words, const MachineSpec& spec) {
  // Firecracker refuses anything else, and a control character would end up in /proc/cmdline.
  const bool is_plain =
      std::all_of(words.begin(), words.end(), [](char c) { return c >= ' ' && c <= '~'; });
  if (!is_plain) {
    return fail(Errc::invalid, "the kernel command line has other than printable ASCII characters");
  }
  const std::size_t added = (spec.drives.size() + kOtherDevices) * kWordsOfDevice;
  if (words.size() + added < kMostKernelWords) return {};
  return fail(Errc::invalid, "the kernel command line has " + std::to_string(words.size()) +
                                 " characters: at most " +
                                 std::to_string(kMostKernelWords - added - 1));
}

Json bucket_json(const TokenBucket& bucket) {
  Json json{{"size", bucket.size}, {"refill_time", bucket.refill.count()}};
  if (bucket.burst != 0) json["one_time_burst"] = bucket.burst;
  return json;
}

void add_rate(Json& device, const char* name, const RateLimit& rate) {
  if (rate.bytes) device[name]["bandwidth"] = bucket_json(*rate.bytes);
  if (rate.operations) device[name]["ops"] = bucket_json(*rate.operations);
}

Json drive_json(const Drive& drive) {
  // Unsafe: a VM's disk dies with it, flushes to the host's disk would buy nothing. Sync: the other
  // engine is a preview. No drive is the root device: the initramfs mounts what there is.
  Json json{{"drive_id", drive.serial}, {"path_on_host", jail_drive(drive)},
            {"is_root_device", false},  {"is_read_only", drive.read_only},
            {"cache_type", "Unsafe"},   {"io_engine", "Sync"}};
  add_rate(json, "rate_limiter", drive.rate);
  return json;
}

Json interfaces_json(const MachineSpec& spec) {
  Json list = Json::array();
  if (spec.tap_name.empty()) return list;
  Json json{{"iface_id", kInterface}, {"host_dev_name", spec.tap_name}, {"guest_mac", spec.mac}};
  add_rate(json, "rx_rate_limiter", spec.receive);
  add_rate(json, "tx_rate_limiter", spec.transmit);
  list.push_back(std::move(json));
  return list;
}

Json machine_json(const MachineSpec& spec) {
  constexpr std::array kNames{"None", "Transparent", "2M"};
  return {{"vcpu_count", spec.vcpus},
          {"mem_size_mib", spec.memory.value / mib(1).value},
          {"smt", spec.smt},
          {"track_dirty_pages", false},
          {"huge_pages", kNames.at(static_cast<std::size_t>(spec.huge_pages))}};
}

Json balloon_json(const FirecrackerVersion& version) {
  Json json{{"amount_mib", 0}, {"deflate_on_oom", true}, {"stats_polling_interval_s", 0}};
  if (firecracker_features(version).page_reporting) json["free_page_reporting"] = true;
  return json;
}

}  // namespace

std::string FirecrackerVersion::to_text() const {
  return std::to_string(major) + "." + std::to_string(minor) + "." + std::to_string(patch);
}

Result<FirecrackerVersion> parse_firecracker_version(std::string_view program,
                                                     std::string_view text) {
  const std::string prefix = std::string(program) + " v";
  const auto invalid = [&] {
    return fail(Errc::protocol,
                "not the version of " + std::string(program) + ": \"" + printable(text, 80) + "\"");
  };
  if (!text.starts_with(prefix)) return invalid();
  const std::string_view line = text.substr(prefix.size());
  const auto parts = split(line.substr(0, line.find_first_not_of("0123456789.")), '.');
  if (parts.size() != 3) return invalid();
  std::array<unsigned, 3> numbers{};
  for (std::size_t i = 0; i < numbers.size(); ++i) {
    const auto number = parse_u64(parts.at(i));
    if (!number || *number > 9999) return invalid();
    numbers.at(i) = static_cast<unsigned>(*number);
  }
  return FirecrackerVersion{numbers[0], numbers[1], numbers[2]};
}

Result<void> check_firecracker_version(const FirecrackerVersion& version) {
  constexpr FirecrackerVersion kOldest{1, 15, 0};
  if (version < kOldest) {
    return fail(Errc::unsupported,
                "Firecracker " + version.to_text() + " is too old: 1.15 or newer is needed");
  }
  if (version.major == kOldest.major) return {};
  return fail(Errc::unsupported,
              "Firecracker " + version.to_text() + " is not known: 1.15 to 1.x are supported");
}

FirecrackerFeatures firecracker_features(const FirecrackerVersion& version) {
  const auto since = [&](unsigned minor) { return version >= FirecrackerVersion{1, minor, 0}; };
  return {.page_reporting = since(14),
          .transparent_huge_pages = since(17),
          .compressed_kernel = since(17),
          .saved_states = since(16)};
}

std::string jail_drive(const Drive& drive) { return "/drive-" + drive.serial; }

std::string jail_agent_socket() {
  return std::string(kJailVsock) + "_" + std::to_string(channel::kVsockPort);
}

std::string firecracker_boot_words(const MachineSpec& spec, Arch arch) {
  // A reboot ends the VMM: through the keyboard controller on x86, by PSCI on arm64. A panic
  // reboots at once. The console costs nothing while it is quiet, and tells why a guest panicked.
  std::string words =
      arch == Arch::x86_64
          ? "console=ttyS0 8250.nr_uarts=1 reboot=k i8042.noaux i8042.nomux i8042.dumbkbd"
          : "console=ttyS0 keep_bootcon";
  words += " quiet panic=-1 swiotlb=noforce random.trust_cpu=on cryptomgr.notests";
  const char* before = " mvr.drives=";
  for (const Drive& drive : spec.drives) {
    words += std::exchange(before, ",") + drive.serial;
  }
  return words;
}

std::string snapshot_create_body() {
  return Json{{"snapshot_type", "Full"},
              {"snapshot_path", kJailSavedMachine},
              {"mem_file_path", kJailSavedMemory}}
      .dump();
}

std::string snapshot_load_body(const MachineSpec& spec) {
  Json body{{"snapshot_path", kJailMachine},
            {"mem_backend", {{"backend_type", "File"}, {"backend_path", kJailMemory}}},
            {"resume_vm", true}};
  if (!spec.tap_name.empty()) {
    body["network_overrides"] =
        Json::array({{{"iface_id", kInterface}, {"host_dev_name", spec.tap_name}}});
  }
  return body.dump();
}

Result<void> check_saved_states(const MachineSpec& spec, const FirecrackerVersion& version) {
  if (!firecracker_features(version).saved_states) {
    return fail(Errc::unsupported,
                "Firecracker " + version.to_text() + ": saved states need 1.16 or newer");
  }
  return check_can_be_saved(spec);
}

Result<std::string> firecracker_config(const MachineSpec& spec, const FirecrackerVersion& version,
                                       Arch arch) {
  TRY(check_support(spec, version, arch));
  TRY(check_size(spec));
  TRY(check_drives(spec));
  TRY(check_network(spec));
  std::string words = firecracker_boot_words(spec, arch);
  if (!spec.command_line.empty()) words += " " + spec.command_line;
  TRY(check_words(words, spec));
  Json drives = Json::array();
  for (const Drive& drive : spec.drives) drives.push_back(drive_json(drive));
  const Json document{
      {"boot-source",
       {{"kernel_image_path", kJailKernel}, {"initrd_path", kJailInitramfs}, {"boot_args", words}}},
      {"drives", drives},
      {"network-interfaces", interfaces_json(spec)},
      {"machine-config", machine_json(spec)},
      {"vsock", {{"guest_cid", kGuestCid}, {"uds_path", kJailVsock}}},
      {"entropy", Json::object()},
      {"balloon", balloon_json(version)},
      {"logger", {{"log_path", kJailLog}, {"level", "Info"}, {"show_level", true}}},
      {"metrics", {{"metrics_path", kJailMetrics}}}};
  return document.dump(1) + "\n";
}

}  // namespace mvr::vmm
