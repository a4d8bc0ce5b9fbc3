// Console, output and own log of the runner of VMs that have ended, in <state>/logs, within a byte
// budget (history.logs_max_size).
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>

#include "base/result.h"
#include "core/config.h"
#include "core/names.h"

namespace mvr::daemon {

inline constexpr std::size_t kMaxVmName = 63;

// "<state>/logs/<vm>.console.log", ".agent.log" or ".runner.log"; `vm` must be a plain name, see
// kMaxVmName.
std::string kept_log_path(const core::Config& config, const std::string& vm,
                          const std::string& which);

class KeptLogs {
 public:
  // Moves the logs of a VM that is being removed; the oldest kept ones make room, some at once, so
  // that the directory is not looked through for each VM.
  Result<void> keep(const core::Config& config, const core::SlotNames& names,
                    const std::string& vm);

 private:
  std::optional<std::uint64_t> total_;  // bytes of all that is kept; not known at first
};

}  // namespace mvr::daemon
