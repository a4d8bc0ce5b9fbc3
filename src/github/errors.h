// What a refusal of GitHub means and what helps. Pure.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"
#include "base/units.h"
#include "core/config.h"
#include "sys/http.h"

namespace mvr::github {

enum class Endpoint {
  list_runs,
  list_jobs,
  list_repositories,
  list_runners,
  list_groups,
  delete_runner,
  generate_jit,
  runner_release,
  find_installation,
  create_token,
  runner_downloads,
};

std::string_view endpoint_name(Endpoint endpoint);

// What was asked, for the text of an error.
struct CallInfo {
  Endpoint endpoint = Endpoint::list_runs;
  core::ScopeKind scope = core::ScopeKind::repository;
  std::string label;  // "GET /repos/o/r/actions/runs"
};

// Who asked, for the same.
struct Authority {
  // app: an App by its own signature; installation: an App by a token it got.
  enum class Kind { token, app, installation };
  Kind kind = Kind::token;
  std::string place;  // where the operator put the token or the App's key
  std::string app;    // id of the App
};

// The two clocks when the answer came.
struct Clocks {
  WallTime github{};   // its time
  Duration offset{0};  // see clock_offset()
};

struct Refusal {
  Error error;
  // Rate limited: how long GitHub told us to wait, 1 s to 1 h; empty when it did not say.
  std::optional<Duration> wait;
};

// Of an answer that is neither 2xx nor 304. The error holds method and path, the status, GitHub's
// own message (printable, bounded), our meaning of it, and apart the remedy; of failures of GitHub
// and answers nobody knows also X-GitHub-Request-Id.
Refusal explain_refusal(const sys::HttpResponse& response, const CallInfo& call,
                        const Authority& authority, const Clocks& clocks);

// The budget an answer reports in x-ratelimit-limit and -remaining; empty when it does not.
struct Budget {
  std::uint64_t limit = 0;
  std::uint64_t remaining = 0;
  friend bool operator==(const Budget&, const Budget&) = default;
};
std::optional<Budget> budget_of(const std::map<std::string, std::string>& headers);
// How long until the budget is whole again, by x-ratelimit-reset (seconds since the epoch) and
// GitHub's clock; 1 s to 1 h.
std::optional<Duration> until_reset(const std::map<std::string, std::string>& headers,
                                    WallTime now);
// By how much to stretch polling: 1, below 10 % of the budget 2, below 3 % 4.
unsigned stretch_for(const Budget& budget);

}  // namespace mvr::github
