// Network namespaces, taps, addresses; the veth pair through iproute2's `ip -batch`.
#pragma once

#include <sys/types.h>

#include <functional>
#include <string>
#include <vector>

#include "base/fd.h"
#include "base/result.h"

namespace mvr::sys {

// Opens /run/netns/<name>, making the namespace (and its mount point) when absent; lo is up.
Result<Fd> open_netns(const std::string& name);
Result<void> remove_netns(const std::string& name);  // absent is ok

// Runs `action` with this thread in the namespace and returns to the old one, always. Aborts when
// the way back is barred: a thread in the wrong namespace must not go on.
Result<void> in_netns(const Fd& netns, const std::function<Result<void>()>& action);

// A tap for one VMM process: TAP | NO_PI | VNET_HDR, not persistent: it goes with its last
// descriptor. Up, with the address set. Name below 16 bytes.
Result<Fd> create_tap(const Fd& netns, const std::string& name, const std::string& address,
                      unsigned prefix);
// Leaves a tap of create_tap() to the programs of this user, which attach to it by name: it stays
// without a descriptor until remove_tap().
Result<void> give_tap(Fd tap, uid_t uid);
// Absent is ok. Err busy while a program is attached.
Result<void> remove_tap(const Fd& netns, const std::string& name);
// Whether this namespace has the interface. Asks the kernel, not /sys: that shows the namespace of
// whoever mounted it.
bool interface_exists(const std::string& name);
Result<std::vector<std::string>> list_interfaces(const Fd& netns);

// `ip -batch -` in this namespace (or inside `netns` when not null).
Result<void> ip_batch(const Fd* netns, const std::string& commands);
Result<void> write_sysctl(const Fd* netns, const std::string& name, const std::string& value);

}  // namespace mvr::sys
