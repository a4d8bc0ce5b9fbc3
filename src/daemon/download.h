// A file from elsewhere, held to the digest it must have.
#pragma once

#include <string>

#include "base/result.h"
#include "base/secret.h"
#include "core/config.h"
#include "image/progress.h"

namespace mvr::daemon {

struct Download {
  std::string url;
  std::string name;    // what the file is called, for people
  std::string sha256;  // lower-case hex
  Secret token;        // where the download needs one; sent nowhere else
};

// Whether a file may be fetched from there: by https from anywhere, else only from GitHub as it is
// configured (pure).
bool may_download(const std::string& url, const std::string& github_url);

// What of the address is told: nothing that may be a credential.
std::string shown_url(const std::string& url);

// Writes the file to `path`, which must not exist. Our credentials are not sent. On any Err there
// is no file that anybody would use.
Result<void> download_file(const core::Config& config, const Download& wanted,
                           const std::string& path, const image::Bar& bar);

// Err invalid unless the file has that digest; `what` names it.
Result<void> check_sha256(const std::string& path, const std::string& sha256,
                          const std::string& what);

}  // namespace mvr::daemon
