// eth0 and lo, from the kernel command line.
#pragma once

#include "base/result.h"
#include "guest/words.h"

namespace mvr::guest {

// Brings lo up and, when `network` is given, eth0 with address, default route and resolver; IPv6
// is off on eth0, as the host's network has none.
Result<void> set_up_network(const BootWords& words);

}  // namespace mvr::guest
