// Becoming a machine of its own. The memory of a VM that waits for its identity may be a copy of
// another VM's: until then nothing that must be unique may be made, and nothing random asked for.
#pragma once

#include <string_view>

#include "base/result.h"
#include "channel/message.h"
#include "guest/words.h"

namespace mvr::guest {

// Mixes the host's random bytes into the kernel's and makes it begin anew from there: whatever it
// gives out afterwards depends on them.
Result<void> reseed(std::string_view seed);

// All that comes before the boot goes on: random numbers first, then clock, MAC address and what
// the kernel remembers of its drives, which may have been another VM's. Returns the words to go on
// with; of `booted`, those of the VM's own command line, the order of drives stays.
Result<BootWords> take_identity(const channel::Identity& identity, const BootWords& booted);

}  // namespace mvr::guest
