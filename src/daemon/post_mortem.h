// Why a VM ended, from what it left behind: for people, and for the circuit breaker of its profile.
#pragma once

#include <string>
#include <string_view>

#include "core/records.h"

namespace mvr::daemon {

struct Death {
  core::EndCause cause = core::EndCause::vm_died;
  std::string text;
};

// `reason`: of the VMM's monitor; `exit`: of its process; `console`: the end of the guest's. The
// guest writes its console, so this explains and decides nothing that matters to others.
Death post_mortem(std::string_view reason, std::string_view exit, std::string_view console);

// What an agent's `failed` means.
core::EndCause cause_of_failure(std::string_view what);

// The last 64 KiB of a console; empty when it cannot be read.
std::string console_tail(const std::string& path);

}  // namespace mvr::daemon
