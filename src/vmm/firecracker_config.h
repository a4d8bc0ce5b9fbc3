// What Firecracker is told about a machine: one JSON document, read with --config-file. Pure.
//
// Firecracker ignores unknown sections of that file in silence and rounds or drops some values, so
// that everything is checked here before it is written.
#pragma once

#include <compare>
#include <string>
#include <string_view>

#include "vmm/machine.h"

namespace mvr::vmm {

struct FirecrackerVersion {
  unsigned major = 0;
  unsigned minor = 0;
  unsigned patch = 0;
  [[nodiscard]] std::string to_text() const;  // "1.16.1"
  friend auto operator<=>(const FirecrackerVersion&, const FirecrackerVersion&) = default;
};
// From the first line of `program --version`: "Firecracker v1.16.1", "Jailer v1.16.1". What
// follows the patch level ("-dev") is dropped. Err protocol.
Result<FirecrackerVersion> parse_firecracker_version(std::string_view program,
                                                     std::string_view text);
// Err unsupported below 1.15, the oldest release that is maintained, and from 2.0 on.
Result<void> check_firecracker_version(const FirecrackerVersion& version);

struct FirecrackerFeatures {
  bool page_reporting = false;  // the balloon gives free pages back by itself
  bool transparent_huge_pages = false;
  bool compressed_kernel = false;  // boots a bzImage
  bool saved_states = false;       // and guests' kernels notice that they are restored
};
FirecrackerFeatures firecracker_features(const FirecrackerVersion& version);

enum class Arch { x86_64, arm64 };

// Where things are in the VM's chroot.
inline constexpr std::string_view kJailConfig = "/vm.json";
inline constexpr std::string_view kJailKernel = "/kernel";
inline constexpr std::string_view kJailInitramfs = "/initramfs";
inline constexpr std::string_view kJailRun = "/run";
inline constexpr std::string_view kJailApi = "/run/api.sock";
inline constexpr std::string_view kJailVsock = "/run/vsock.sock";
inline constexpr std::string_view kJailLog = "/run/firecracker.log";
inline constexpr std::string_view kJailMetrics = "/run/metrics.log";
// A state that is written, and one that the VM begins from: the machine and its memory.
inline constexpr std::string_view kJailSavedMachine = "/run/state.machine";
inline constexpr std::string_view kJailSavedMemory = "/run/state.memory";
inline constexpr std::string_view kJailMachine = "/state.machine";
inline constexpr std::string_view kJailMemory = "/state.memory";
// Of a drive: "/drive-<serial>".
std::string jail_drive(const Drive& drive);
// The name under which Firecracker looks for whoever takes connections of the agent.
std::string jail_agent_socket();

// The words before the caller's own. They end with mvr.drives= where there are any: Firecracker
// gives drives no serial of our choice, so that the agent tells them by their order.
std::string firecracker_boot_words(const MachineSpec& spec, Arch arch);

// Of a VM that begins from a state, and needs no document: the bodies of its calls.
std::string snapshot_create_body();
std::string snapshot_load_body(const MachineSpec& spec);

// Err unsupported: a state of such a machine cannot be saved, or not be begun from.
Result<void> check_saved_states(const MachineSpec& spec, const FirecrackerVersion& version);

// The document for a spec. Err invalid names what Firecracker would not do as asked; unsupported
// what this version or architecture cannot.
Result<std::string> firecracker_config(const MachineSpec& spec, const FirecrackerVersion& version,
                                       Arch arch);

}  // namespace mvr::vmm
