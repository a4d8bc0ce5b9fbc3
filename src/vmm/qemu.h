// QEMU as a Backend: -M microvm over virtio-mmio, one virtio-serial port, QMP.
//
// QEMU starts with everything open that is per VM and unprivileged (its own uid): the tap, both
// listening sockets and the console are made here and inherited by number, so that its user needs
// no right to create files anywhere. It opens kernel, initramfs and drives by path.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "vmm/machine.h"

namespace mvr::vmm {

// Finds the binary and reads its version. Err not_found with the package to install; unsupported
// when it is older than what these arguments need, or the host is not x86-64.
Result<std::unique_ptr<Backend>> make_qemu(const std::string& binary);

// Descriptor numbers in the VMM process.
struct QemuFds {
  int tap = 3;  // used when the spec has a tap
  int agent = 4;
  int monitor = 5;
  int console = 6;
  int state = 7;   // used when the spec is restored from one
  int memory = 8;  // used when the spec has it
};
// What the arguments take from the host.
struct QemuHost {
  std::uint64_t tsc_khz = 0;  // for TCG only
  bool is_amd = false;
};
bool is_amd_cpu();

// The argument list for a spec (pure).
std::vector<std::string> qemu_arguments(const MachineSpec& spec, const std::string& binary,
                                        const QemuFds& fds, const QemuHost& host);
// The file of all of a machine's state but its memory in the directory it is saved to.
inline constexpr std::string_view kQemuState = "/machine";

// "7.2.22" from the output of --version.
Result<std::string> parse_qemu_version(std::string_view text);

// The frequency of the host's time-stamp counter, measured against CLOCK_MONOTONIC_RAW (50 ms);
// 0 where there is none. Good to 1e-5.
std::uint64_t measure_tsc_khz();

}  // namespace mvr::vmm
