// Why a VM ended, from what it left behind: for people, and for the circuit breaker of its profile.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "core/records.h"
#include "sys/process.h"

namespace mvr::daemon {

struct Death {
  core::EndCause cause = core::EndCause::vm_died;
  std::string text;
};

// The guest writes its console, so this explains and decides nothing that matters to others.
struct EndFacts {
  std::string_view reason;        // of the VMM's monitor; empty: it said none
  std::optional<sys::Exit> exit;  // of its process, where that is our child
  std::string_view console;       // the end of the guest's
  bool oom_killed = false;        // by the host's kernel
};
Death post_mortem(const EndFacts& facts);

// What an agent's `failed` means.
core::EndCause cause_of_failure(std::string_view what);

// The last 64 KiB of a console; empty when it cannot be read.
std::string console_tail(const std::string& path);

}  // namespace mvr::daemon
