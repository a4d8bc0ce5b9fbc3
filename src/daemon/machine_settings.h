// What a profile chooses of its VMs' machine beside their size, put into the VMM's terms.
#pragma once

#include <string>

#include "core/vmm_settings.h"
#include "sys/cgroup.h"
#include "vmm/machine.h"

namespace mvr::daemon {

// Threads, pages and rates; the disk's are those of the drive "scratch".
void apply_settings(const core::MachineSettings& settings, vmm::MachineSpec& spec);

// All of it, as one text to compare.
std::string settings_text(const core::MachineSettings& settings);

// For a VMM that was taken over by its guest: the disk rates once more, for the disk under `path`.
// They are each way there, so that they are twice as much in all.
sys::IoLimit io_limit(const core::RateLimits& rates, const std::string& path);

}  // namespace mvr::daemon
