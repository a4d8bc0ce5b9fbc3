// eth0 and lo, from the words of the host.
#pragma once

#include <string_view>

#include "base/result.h"
#include "guest/words.h"

namespace mvr::guest {

// Brings lo up and, when `network` is given, eth0 with address, default route and resolver; IPv6
// is off on eth0, as the host's network has none.
Result<void> set_up_network(const BootWords& words);

// Gives eth0, which must be there, this address ("02:6d:76:00:00:01") where it has another one.
Result<void> set_mac(std::string_view mac);

}  // namespace mvr::guest
