// When the host should take no more VMs, though by the numbers they would fit: something else on
// it, or the VMs themselves, use more than was planned. Running VMs come first.
#pragma once

#include <optional>
#include <string>

#include "base/result.h"
#include "base/units.h"
#include "core/config.h"

namespace mvr::daemon {

struct PressureFacts {
  Bytes memory;             // MemAvailable
  Bytes disk;               // free below state_dir
  double memory_stall = 0;  // % of the last 10 s in which all tasks waited for memory; 0: no PSI
};
Result<PressureFacts> pressure_facts(const std::string& state_dir);

// Empty: none. It begins at half of a reserve, or a fifth of the time stalled, and ends only
// above three quarters of the reserve and at a twentieth, so that it does not flutter.
std::string pressure_of(const PressureFacts& facts, const core::HostSettings& settings,
                        bool before);

}  // namespace mvr::daemon
