// The release of actions/runner that GitHub wants this host's runners to be: which one it is, and
// its file.
#pragma once

#include <string>

#include "base/result.h"
#include "core/config.h"
#include "github/releases.h"
#include "image/progress.h"

namespace mvr::daemon {

// What GitHub names for the first scope, for Linux on this host's processor. Err not_found: nothing
// for it.
Result<github::RunnerDownload> named_release(const core::Config& config);

// Whether a release may be fetched from there: by https from anywhere, else only from GitHub as it
// is configured (pure).
bool may_download(const std::string& url, const std::string& github_url);

// What of the address is told: nothing that may be a credential.
std::string shown_url(const std::string& url);

// Writes the file to `path`, which must not exist, and holds it to `sha256`. Our credentials are
// not sent. On any Err there is no file that anybody would use.
Result<void> download_release(const core::Config& config, const github::RunnerDownload& release,
                              const std::string& sha256, const std::string& path,
                              const image::Bar& bar);

// Err invalid unless the file has that digest; `what` names it.
Result<void> check_sha256(const std::string& path, const std::string& sha256,
                          const std::string& what);

}  // namespace mvr::daemon
