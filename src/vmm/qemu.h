// QEMU as a Backend: -M microvm over virtio-mmio, one virtio-serial port, QMP.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "vmm/machine.h"

namespace mvr::vmm {

// Finds the binary and reads its version. Err not_found with the package to install.
Result<std::unique_ptr<Backend>> make_qemu(const std::string& binary);

// The argument list for a spec (pure; tap as `tap_fd_number`). tsc_khz is used for TCG only.
std::vector<std::string> qemu_arguments(const MachineSpec& spec, const std::string& binary,
                                        int tap_fd_number, std::uint64_t tsc_khz);
// The host's time-stamp counter frequency, measured once against CLOCK_MONOTONIC_RAW (50 ms).
std::uint64_t measure_tsc_khz();

}  // namespace mvr::vmm
