#include "vmm/firecracker.h"

#include <unistd.h>

#include <array>
#include <cstdlib>
#include <filesystem>
#include <optional>

#include "base/text.h"
#include "sys/files.h"
#include "vmm/firecracker_api.h"
#include "vmm/firecracker_config.h"
#include "vmm/jailer.h"

namespace mvr::vmm {
namespace {

// Heap and stacks of the VMM (5 MiB), what the kernel keeps for it, page cache slack.
constexpr Bytes kOwnMemory = mib(64);

#if defined(__x86_64__)
constexpr std::optional<Arch> kArch = Arch::x86_64;
#elif defined(__aarch64__)
constexpr std::optional<Arch> kArch = Arch::arm64;
#else
constexpr std::optional<Arch> kArch;
#endif

// The name that the jailer will see, and use for its directories.
Result<std::string> find_program(const std::string& name) {
  const Error missing{Errc::not_found, name + " is not installed",
                      "take a release of Firecracker: 'mvrunner firecracker install'"};
  std::vector<std::string> candidates{name};
  if (name.find('/') == std::string::npos) {
    const char* path = std::getenv("PATH");
    candidates.clear();
    for (const std::string_view directory : split(path != nullptr ? path : "/usr/bin", ':')) {
      candidates.push_back(std::string(directory) + "/" + name);
    }
  }
  for (const std::string& candidate : candidates) {
    std::error_code error;
    const auto real = std::filesystem::canonical(candidate, error);
    if (!error && ::access(real.c_str(), X_OK) == 0) return real.string();
  }
  return fail(missing);
}

Result<FirecrackerVersion> version_of(const std::string& path, std::string_view program) {
  sys::RunOptions options;
  options.argv = {path, "--version"};
  options.limit = Duration(10'000);
  TRY_ASSIGN(const std::string text, context(sys::run_ok(options), path + " --version"));
  return context(parse_firecracker_version(program, text), path);
}

Result<FirecrackerVersion> version_of(const JailPrograms& programs) {
  TRY_ASSIGN(const FirecrackerVersion version, version_of(programs.firecracker, "Firecracker"));
  TRY(check_firecracker_version(version));
  TRY_ASSIGN(const FirecrackerVersion other, version_of(programs.jailer, "Jailer"));
  if (other == version) return version;
  return fail(Errc::unsupported, "firecracker is " + version.to_text() + " but jailer " +
                                     other.to_text() + ": they must be of one release");
}

// A kernel that this version cannot read would end the VMM with a text few people understand.
Result<void> check_kernel(const std::string& path, const FirecrackerVersion& version) {
  constexpr std::size_t kSignature = 0x202;  // of the x86 boot protocol
  std::array<char, kSignature + 4> head{};
  TRY_ASSIGN(const Fd file, sys::open_read(path));
  const ssize_t got = ::pread(file.get(), head.data(), head.size(), 0);
  if (got < static_cast<ssize_t>(head.size())) return {};
  const bool is_compressed = std::string_view(&head[kSignature], 4) == "HdrS";
  if (!is_compressed || firecracker_features(version).compressed_kernel) return {};
  return fail(Error{
      Errc::unsupported,
      path + " is a compressed kernel, which Firecracker " + version.to_text() + " does not boot",
      "install one that can be unpacked, or its vmlinux"});
}

class Firecracker final : public Backend {
 public:
  Firecracker(JailPrograms programs, FirecrackerVersion version, Arch arch)
      : programs_(std::move(programs)), version_(version), arch_(arch) {}

  [[nodiscard]] std::string_view name() const override { return "firecracker"; }
  [[nodiscard]] std::string version() const override { return version_.to_text(); }
  [[nodiscard]] ChannelStyle channel_style() const override { return ChannelStyle::listen; }
  [[nodiscard]] bool opens_tap_by_name() const override { return true; }
  [[nodiscard]] bool limits_network() const override { return true; }
  [[nodiscard]] bool takes_memory() const override { return false; }
  [[nodiscard]] Bytes overhead(Accel) const override { return kOwnMemory; }

  Result<sys::Process> launch(const MachineSpec& spec) override {
    return context(launch_in_jail(spec), "launch VM " + spec.name);
  }

  // The document, without what is each VM's own.
  [[nodiscard]] Result<std::string> state_key(const MachineSpec& spec) const override {
    TRY(check_saved_states(spec, version_));
    MachineSpec shape = spec;
    shape.command_line.clear();
    if (!shape.tap_name.empty()) {
      shape.tap_name = "tap";
      shape.mac = "02:00:00:00:00:00";
    }
    TRY_ASSIGN(const std::string host, host_key(spec));
    TRY_ASSIGN(const std::string document, firecracker_config(shape, version_, arch_));
    return "firecracker " + version_.to_text() + " | " + host + " | " + document;
  }

  Result<std::unique_ptr<Monitor>> attach(sys::Loop& loop,
                                          const std::string& monitor_socket) override {
    return attach_firecracker(loop, monitor_socket, arch_);
  }

  Result<void> offer_channel(const MachineSpec& spec) override { return offer_agent_socket(spec); }

 private:
  Result<sys::Process> launch_in_jail(const MachineSpec& spec) {
    TRY_ASSIGN(const Jail jail, jail_of(spec, programs_.firecracker));
    TRY_ASSIGN(const std::string config, firecracker_config(spec, version_, arch_));
    if (spec.restore_from.empty()) TRY(check_kernel(spec.kernel, version_));
    auto process = start(spec, jail, config);
    if (!process) {
      // Best effort: the caller removes the directory, and the reason to tell is the first one.
      (void)remove_jail(jail, spec);
      (void)sys::remove_file(spec.console);
    }
    return process;
  }

  Result<sys::Process> start(const MachineSpec& spec, const Jail& jail, const std::string& config) {
    TRY(make_jail(jail, spec, config));
    TRY_ASSIGN(const Fd console, create_console(spec.console));
    sys::SpawnOptions options;
    options.argv = jailer_arguments(spec, programs_, jail);
    options.fds = {{console.get(), STDOUT_FILENO},   // the guest's console
                   {console.get(), STDERR_FILENO}};  // why it did not start
    options.cgroup_fd = spec.cgroup_fd;
    return sys::Process::spawn(options);
  }

  JailPrograms programs_;
  FirecrackerVersion version_;
  Arch arch_;
};

}  // namespace

Result<std::unique_ptr<Backend>> make_firecracker(const std::string& firecracker,
                                                  const std::string& jailer) {
  if (!kArch) return fail(Errc::unsupported, "Firecracker runs on x86-64 and arm64 only");
  JailPrograms programs;
  TRY_ASSIGN(programs.firecracker, find_program(firecracker));
  TRY_ASSIGN(programs.jailer, find_program(jailer));
  TRY_ASSIGN(const FirecrackerVersion version, version_of(programs));
  return std::make_unique<Firecracker>(std::move(programs), version, *kArch);
}

Result<std::string> firecracker_release(const std::string& firecracker, const std::string& jailer) {
  JailPrograms programs;
  TRY_ASSIGN(programs.firecracker, find_program(firecracker));
  TRY_ASSIGN(programs.jailer, find_program(jailer));
  TRY_ASSIGN(const FirecrackerVersion version, version_of(programs));
  return version.to_text();
}

}  // namespace mvr::vmm
