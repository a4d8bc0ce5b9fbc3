#include "vmm/qemu.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "base/text.h"
#include "sys/files.h"
#include "sys/unix_socket.h"
#include "vmm/qmp.h"

namespace mvr::vmm {
namespace {

constexpr Bytes kTranslationCache = mib(128);  // tb-size
constexpr Bytes kOwnMemory = mib(150);         // heap, stacks, binaries, page cache slack

// The group that /dev/kvm is open to; a VM's own user is in no group otherwise.
std::vector<gid_t> kvm_groups(const MachineSpec& spec) {
  struct stat info {};
  if (spec.accel != Accel::kvm || ::stat("/dev/kvm", &info) != 0 || info.st_gid == 0) return {};
  return {info.st_gid};
}

Result<void> check(const MachineSpec& spec) {
  if (spec.vcpus == 0) return fail(Errc::invalid, "a machine without a CPU");
  if (spec.smt && spec.vcpus % 2 != 0) {
    return fail(Errc::invalid, std::to_string(spec.vcpus) + " CPUs do not make pairs of threads");
  }
  if (spec.memory < mib(64)) {
    return fail(Errc::invalid, format_bytes(spec.memory) + " of memory: a guest needs 64MiB");
  }
  for (const std::string& path : {spec.kernel, spec.initramfs}) {
    if (!sys::exists(path)) return fail(Errc::not_found, path + " does not exist");
  }
  for (const Drive& drive : spec.drives) {
    if (!sys::exists(drive.path)) {
      return fail(Errc::not_found, "drive " + drive.serial + ": " + drive.path + " does not exist");
    }
  }
  return {};
}

class Qemu final : public Backend {
 public:
  Qemu(std::string binary, std::string version)
      : binary_(std::move(binary)), version_(std::move(version)) {}

  [[nodiscard]] std::string_view name() const override { return "qemu"; }
  [[nodiscard]] std::string version() const override { return version_; }
  [[nodiscard]] ChannelStyle channel_style() const override { return ChannelStyle::connect; }
  [[nodiscard]] bool opens_tap_by_name() const override { return false; }
  [[nodiscard]] bool limits_network() const override { return false; }
  [[nodiscard]] bool takes_memory() const override { return true; }
  // Its arguments, without what is each VM's own.
  [[nodiscard]] Result<std::string> state_key(const MachineSpec& spec) const override {
    TRY(check_can_be_saved(spec));
    MachineSpec shape = spec;
    shape.memory_fd = -1;
    for (std::string* own : {&shape.name, &shape.mac, &shape.kernel, &shape.initramfs,
                             &shape.command_line, &shape.restore_from}) {
      own->clear();
    }
    for (Drive& drive : shape.drives) drive.path.clear();
    shape.tap_fd = shape.tap_name.empty() ? -1 : QemuFds{}.tap;
    TRY_ASSIGN(const std::string host, host_key(spec));
    return "qemu " + version_ + " | " + host + " | " +
           join(qemu_arguments(shape, binary_, QemuFds{}, {0, is_amd_cpu()}), " ");
  }
  [[nodiscard]] Bytes overhead(Accel accel) const override {
    return accel == Accel::tcg ? kOwnMemory + kTranslationCache : kOwnMemory;
  }

  Result<sys::Process> launch(const MachineSpec& spec) override {
    auto process = start(spec);
    if (!process) discard_files(spec);
    return context(std::move(process), "launch VM " + spec.name);
  }

  Result<std::unique_ptr<Monitor>> attach(sys::Loop& loop,
                                          const std::string& monitor_socket) override {
    return attach_qmp(loop, monitor_socket);
  }

  Result<void> offer_channel(const MachineSpec&) override { return {}; }  // QEMU listens itself

 private:
  Result<sys::Process> start(const MachineSpec& spec) {
    TRY(check(spec));
    TRY(check_huge_pages(spec, kFreeHugePages));
    if (spec.accel == Accel::tcg && tsc_khz_ == 0) tsc_khz_ = measure_tsc_khz();
    // Listening before QEMU runs: whoever connects early waits in the backlog.
    TRY_ASSIGN(const Fd agent, sys::listen_unix(spec.agent_socket, 0600));
    TRY_ASSIGN(const Fd monitor, sys::listen_unix(spec.monitor_socket, 0600));
    TRY_ASSIGN(const Fd console, create_console(spec.console));

    const QemuFds fds;
    sys::SpawnOptions options;
    options.argv = qemu_arguments(spec, binary_, fds, {tsc_khz_, is_amd_cpu()});
    options.fds = {{agent.get(), fds.agent},
                   {monitor.get(), fds.monitor},
                   {console.get(), fds.console},
                   {console.get(), STDERR_FILENO}};  // why it did not start
    if (spec.tap_fd >= 0) options.fds.push_back({spec.tap_fd, fds.tap});
    Fd state;
    if (!spec.restore_from.empty()) {
      TRY_ASSIGN(state, sys::open_read(spec.restore_from + std::string(kQemuState)));
      options.fds.push_back({state.get(), fds.state});
    }
    if (spec.memory_fd >= 0) options.fds.push_back({spec.memory_fd, fds.memory});
    int number = fds.memory;
    for (const int kept : spec.keep_open) options.fds.push_back({kept, ++number});
    if (spec.uid != 0) {
      options.uid = spec.uid;
      options.gid = spec.uid;
      options.groups = kvm_groups(spec);
    }
    options.cgroup_fd = spec.cgroup_fd;
    options.file_size_limit = file_size_limit(spec);
    return sys::Process::spawn(options);
  }

  // Best effort: the caller removes the directory, and the reason to tell is the first one.
  static void discard_files(const MachineSpec& spec) {
    for (const std::string& path : {spec.agent_socket, spec.monitor_socket, spec.console}) {
      (void)sys::remove_file(path);
    }
  }

  std::string binary_;
  std::string version_;
  std::uint64_t tsc_khz_ = 0;  // measured at the first launch that needs it
};

// Debian 12 has 7.2, Ubuntu 22.04 has 6.2: the oldest that these arguments were made for.
Result<void> check_version(const std::string& version) {
  const auto parts = split(version, '.');
  const std::uint64_t major = parse_u64(parts.at(0)).value_or(0);
  const std::uint64_t minor = parse_u64(parts.at(1)).value_or(0);
  if (major > 6 || (major == 6 && minor >= 2)) return {};
  return fail(Errc::unsupported, "QEMU " + version + " is too old: 6.2 or newer is needed");
}

}  // namespace

Result<std::unique_ptr<Backend>> make_qemu(const std::string& binary) {
#if defined(__x86_64__)
  sys::RunOptions options;
  options.argv = {binary, "--version"};
  options.limit = Duration(10'000);
  auto output = sys::run_ok(options);
  if (!output && output.error().code == Errc::not_found) {
    return fail(Errc::not_found, binary + " is not installed: apt-get install qemu-system-x86");
  }
  TRY_ASSIGN(const std::string text, context(std::move(output), binary + " --version"));
  TRY_ASSIGN(std::string version, context(parse_qemu_version(text), binary));
  TRY(check_version(version));
  return std::make_unique<Qemu>(binary, std::move(version));
#else
  return fail(Errc::unsupported, binary + ": only x86-64 hosts are supported");
#endif
}

}  // namespace mvr::vmm
