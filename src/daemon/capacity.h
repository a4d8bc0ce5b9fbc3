// What this host can give to VMs: measured, with the configuration's word over it.
#pragma once

#include <string>
#include <vector>

#include "base/result.h"
#include "core/config.h"
#include "core/world.h"

namespace mvr::daemon {

struct HostMeasures {
  Bytes memory;
  std::uint32_t cpus = 0;
  Bytes disk;  // free below state_dir, and what the scratch disks of VMs hold of it
};
// The scratch disks are those of `slots`.
Result<HostMeasures> measure_host(const core::Config& config, const std::vector<core::Slot>& slots);

// Less the reserves, CPUs times overcommit (pure).
core::Capacity capacity_of(const core::HostSettings& settings, const HostMeasures& measures);

// One line for each profile no VM of which fits: "profiles[1] \"large\": ..." (pure).
std::vector<std::string> unfit_profiles(const core::Config& config, const core::Capacity& capacity);

}  // namespace mvr::daemon
