// The last resort for a VMM that was started but whose pid was not recorded before a crash.
#pragma once

#include "base/result.h"
#include "core/names.h"

namespace mvr::daemon {

// Sends SIGKILL to each process that is a VMM of this slot; true when there was one. What makes it
// one can be said by no other process: it runs as the slot's own user, which only root can
// become; it holds an open file of the slot's directory, into which only root can look (its
// console comes with the exec, so there is no moment without); and it was started as
// "-name guest=...". An editor, a `tail -f` or a job of the same words is none of this. The
// program's path is not asked for: it may be a wrapper.
Result<bool> kill_stray_vmm(const core::SlotNames& names);

}  // namespace mvr::daemon
