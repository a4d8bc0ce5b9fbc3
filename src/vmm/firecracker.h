// Firecracker as a Backend, each VM under a jailer of its own. KVM only.
//
// The agent comes to us: whoever launches listens at spec.agent_socket before, and listens again
// and calls offer_channel() after a restart. The VMM's memory of a file is a name in its jail, so
// that spec.keep_open is not needed, and not possible: the jailer closes what it inherits.
#pragma once

#include <memory>
#include <string>

#include "vmm/machine.h"

namespace mvr::vmm {

// Finds both programs and reads their versions. Err not_found names what is missing; unsupported
// when they are too old, of two releases, or this architecture is neither x86-64 nor arm64.
Result<std::unique_ptr<Backend>> make_firecracker(const std::string& firecracker,
                                                  const std::string& jailer);

// The version of a release, by what its two programs say. Err as above.
Result<std::string> firecracker_release(const std::string& firecracker, const std::string& jailer);

}  // namespace mvr::vmm
