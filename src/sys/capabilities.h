// What a process may do beyond others (capabilities(7)).
#pragma once

#include <cstdint>

#include "base/result.h"

namespace mvr::sys {

// Gives up, for this thread and all it starts from now on, every capability that is not in `kept`
// (bits 1 << CAP_*), and can never have it again. What it does not have stays so. Err only when the
// kernel refuses; some may be given up then.
Result<void> keep_only_capabilities(std::uint64_t kept);

}  // namespace mvr::sys
