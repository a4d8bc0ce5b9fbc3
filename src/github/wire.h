// GitHub's JSON <-> values. Pure, strict and bounded: decoders answer Err protocol (or too_large)
// to anything that is not what GitHub documents, and ignore fields we do not use.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/units.h"
#include "core/world.h"
#include "github/client.h"
#include "github/permissions.h"

namespace mvr::github {

// A workflow run, and where the code it runs comes from.
struct Run {
  std::int64_t id = 0;
  bool is_public = true;  // unless GitHub says that its repository is private
  bool is_fork = false;   // its head is in another repository, or in one that is gone
  friend bool operator==(const Run&, const Run&) = default;
};
Result<std::vector<Run>> decode_runs(std::string_view body);

// The jobs of a page that wait for a runner: status "queued" exactly, no runner yet, labelled.
// Names are made printable; a job with absurdly many or long labels is left out.
Result<std::vector<core::JobHint>> decode_waiting_jobs(std::string_view body,
                                                       const std::string& repository);

// A page of runner records (also those of others: the caller looks at the names).
Result<std::vector<RunnerRecord>> decode_runners(std::string_view body);

// "owner/name" of the repositories on a page that can have runs: not archived, not disabled.
Result<std::vector<std::string>> decode_repositories(std::string_view body);
// The same of what an App's installation sees, which is an object around the list.
Result<std::vector<std::string>> decode_installed_repositories(std::string_view body);

Result<std::vector<RunnerGroup>> decode_groups(std::string_view body);

struct JitRequest {
  std::string name;
  std::int64_t group = 1;  // 1: the default group, also of a repository
  std::vector<std::string> labels;
};
std::string encode_jit_request(const JitRequest& request);
// Err texts never hold a part of the body: it is a credential.
// `key`: the configuration's name, which runner scale sets spell in a way of their own.
Result<JitConfig> decode_jit(std::string_view body, const char* key = "encoded_jit_config");

// Is a repository public?
Result<bool> decode_repository_openness(std::string_view body);

// Where an App is installed.
struct Installation {
  std::int64_t id = 0;
  bool is_suspended = false;
  friend bool operator==(const Installation&, const Installation&) = default;
};
Result<Installation> decode_installation(std::string_view body);

// Err where a date is no time, so that none is taken for "no date".
Result<ReleaseDates> decode_release_dates(std::string_view body);

// Names are plain file names. Err texts never hold a token.
Result<std::vector<RunnerDownload>> decode_runner_downloads(std::string_view body);

// What an installation's token is and may do. Err texts never hold a part of the body.
struct AccessToken {
  Secret token;
  WallTime expires{};  // by GitHub's clock
  std::optional<Permissions> permissions;
};
Result<AccessToken> decode_access_token(std::string_view body);

// GitHub's own words in an error answer: message and details, printable, at most 400 bytes;
// empty when the body is something else.
std::string decode_error_message(std::string_view body);

// "Fri, 20 Nov 2026 10:00:00 GMT", the one form HTTP senders must use.
std::optional<WallTime> parse_http_date(std::string_view text);

}  // namespace mvr::github
