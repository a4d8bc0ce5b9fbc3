// What the probe learnt, one JSON file per key below <state>/accel.
#pragma once

#include <optional>
#include <string>

#include "vmm/probe.h"

namespace mvr::vmm {

// Everything the answer depends on, as one line.
std::string accel_key(const ProbeInput& input, const std::string& host_kernel,
                      const std::string& cpu_model);
// The "model name" of the first CPU in the text of /proc/cpuinfo; "" when there is none.
std::string cpu_model(std::string_view cpuinfo);

// Empty: nothing usable is there. `boot_id`: of the host, now.
std::optional<ProbeResult> cached_accel(const std::string& directory, const std::string& key,
                                        const std::string& boot_id);
Result<void> remember_accel(const std::string& directory, const std::string& key,
                            const std::string& boot_id, const ProbeResult& result);

}  // namespace mvr::vmm
