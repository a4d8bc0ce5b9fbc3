// Archives of public actions, from where anybody gets them.
#pragma once

#include <string>

#include "base/action_ref.h"
#include "base/result.h"
#include "base/units.h"

namespace mvr::daemon {

// Larger ones are not kept.
inline constexpr Bytes kMostArchive = mib(128);

// Of github.com by its host for archives, of another GitHub by its own address (pure).
std::string archive_url(const std::string& github_url, const ActionRef& action);

// Writes it to `path`, which must not exist. No credential is sent. Err not_found: not everybody
// may have it, or there is none; too_large; unavailable, rate_limited, timed_out: another time it
// may be there. On any Err nobody would use what is at `path`.
Result<void> download_archive(const std::string& github_url, const ActionRef& action,
                              const std::string& path);

}  // namespace mvr::daemon
