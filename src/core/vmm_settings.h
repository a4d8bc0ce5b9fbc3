// Which VMM runs the VMs of this host, and what of a machine a profile chooses beside its size.
#pragma once

#include <cstdint>
#include <string>

#include "base/units.h"

namespace mvr::core {

enum class Accel { automatic, kvm, tcg };

struct VmmSettings {
  std::string backend = "auto";  // auto | firecracker | qemu
  Accel accel = Accel::automatic;
  std::string qemu_binary;         // program name or absolute path
  std::string firecracker_binary;  // likewise
  std::string jailer_binary;       // likewise
  std::uint32_t uid_base = 0;      // VM in slot n runs as uid and gid uid_base + n
  friend bool operator==(const VmmSettings&, const VmmSettings&) = default;
};

// States of machines saved after their boot, from which later VMs begin.
struct SavedStateSettings {
  bool enabled = false;
  Bytes max_size;  // of all
  friend bool operator==(const SavedStateSettings&, const SavedStateSettings&) = default;
};

// What one VM may use of the host's devices in a second; 0: no limit.
struct RateLimits {
  Bytes network;           // each way
  Bytes disk;              // of its writable disk, read and written together
  std::uint32_t iops = 0;  // likewise
  friend bool operator==(const RateLimits&, const RateLimits&) = default;
};

// What backs a guest's memory. `reserved`: 2 MiB pages of the host's pool (vm.nr_hugepages).
enum class HugePages { none, transparent, reserved };

struct MachineSettings {
  std::string vmm;   // as VmmSettings::backend; empty: what that says
  bool smt = false;  // the guest sees its vCPUs as pairs of threads
  HugePages huge_pages = HugePages::none;
  RateLimits rates;
  friend bool operator==(const MachineSettings&, const MachineSettings&) = default;
};

}  // namespace mvr::core
