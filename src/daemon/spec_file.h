// spec.json of a VM directory: what a restarted daemon needs to take the VM over. It is written
// before the first effect of a launch (intent) and at each phase change; it holds no secret.
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"
#include "core/survey.h"

namespace mvr::daemon {

// Raised when a reader of the older form could not make sense of the new one. From the first
// release on, older versions stay readable: an upgrade must not lose VMs.
inline constexpr int kSpecVersion = 2;

std::string encode_spec(const core::SavedVm& saved);
// Strict: another version, an unknown phase or a missing field is an Err.
Result<core::SavedVm> decode_spec(std::string_view json);

}  // namespace mvr::daemon
