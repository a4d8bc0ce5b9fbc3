// Releases of actions/runner, as GitHub speaks of them.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "base/secret.h"
#include "base/units.h"

namespace mvr::github {

// When GitHub stops taking a runner release: its registration, and that it runs jobs.
struct ReleaseDates {
  std::optional<WallTime> registration;
  std::optional<WallTime> runtime;
  friend bool operator==(const ReleaseDates&, const ReleaseDates&) = default;
};

bool is_sha256(std::string_view text);  // 64 digits of lower-case hex

// A release of actions/runner that GitHub wants an account to run, for one kind of machine.
struct RunnerDownload {
  std::string os;            // "linux"
  std::string architecture;  // "x64", "arm64"
  std::string url;
  std::string filename;  // "actions-runner-linux-x64-2.336.0.tar.gz"
  std::string sha256;    // of that file, in lower-case hex; empty: GitHub does not tell
  Secret token;          // for the download, where it needs one; nowhere else
};

}  // namespace mvr::github
