#include "github/errors.h"

#include <algorithm>

#include "base/assert.h"
#include "base/text.h"
#include "github/catalogue.h"
#include "github/clock.h"
#include "github/wire.h"

namespace mvr::github {
namespace {

using Headers = std::map<std::string, std::string>;

constexpr Duration kShortestWait{1'000};
constexpr Duration kLongestWait{3'600'000};
constexpr std::size_t kMostPage = 2048;  // of an answer that is no message of GitHub's

Duration clamp_wait(Duration wait) { return std::clamp(wait, kShortestWait, kLongestWait); }

// Seconds as a Duration; more than an hour is as good as an hour.
Duration seconds_wait(std::uint64_t seconds) {
  return clamp_wait(
      Duration{static_cast<Duration::rep>(std::min<std::uint64_t>(seconds, 3600)) * 1000});
}

std::optional<Duration> retry_after(const Headers& headers, WallTime now) {
  const std::string text = sys::header_of(headers, "retry-after");
  if (text.empty()) return std::nullopt;
  if (const auto seconds = parse_u64(text)) return seconds_wait(*seconds);
  if (const auto date = parse_http_date(text)) return clamp_wait(*date - now);
  return std::nullopt;
}

// How long GitHub told us to wait. While budget is left, its reset says nothing about another
// limit.
std::optional<Duration> told_wait(const Headers& headers, WallTime now) {
  if (const auto wait = retry_after(headers, now)) return wait;
  if (sys::header_of(headers, "x-ratelimit-remaining") != "0") return std::nullopt;
  return until_reset(headers, now);
}

struct Permission {
  std::string_view fine;     // of a fine-grained token or an App
  std::string_view classic;  // scope of a classic token
};

Permission needed_permission(Endpoint endpoint, core::ScopeKind scope) {
  const bool is_organization = scope == core::ScopeKind::organization;
  const bool is_about_runners =
      endpoint == Endpoint::list_runners || endpoint == Endpoint::list_groups ||
      endpoint == Endpoint::delete_runner || endpoint == Endpoint::generate_jit ||
      endpoint == Endpoint::runner_release || endpoint == Endpoint::runner_downloads;
  if (scope == core::ScopeKind::enterprise && is_about_runners) {
    return {"to be a classic token: no other may manage an enterprise's runners",
            "manage_runners:enterprise"};
  }
  switch (endpoint) {
    case Endpoint::list_runs:
    case Endpoint::list_jobs:
      return {"\"Actions: read\" on the repository", "repo"};
    case Endpoint::list_repositories:
      return {"\"Metadata: read\" on the organisation's repositories", "repo"};
    case Endpoint::list_runners:
    case Endpoint::runner_release:
    case Endpoint::runner_downloads:
      if (is_organization)
        return {"\"Self-hosted runners: read\" of the organisation", "admin:org"};
      return {"\"Administration: read\" on the repository", "repo"};
    case Endpoint::find_installation:
    case Endpoint::create_token:
    case Endpoint::list_groups:
    case Endpoint::delete_runner:
    case Endpoint::generate_jit:
      break;
  }
  if (is_organization) return {"\"Self-hosted runners: write\" of the organisation", "admin:org"};
  return {"\"Administration: write\" on the repository", "repo, of one of its administrators"};
}

// "the token needs ...", "the App needs ..."
std::string needs_text(const CallInfo& call, const Authority& authority) {
  const Permission needed = needed_permission(call.endpoint, call.scope);
  if (authority.kind != Authority::Kind::token) {
    return "the GitHub App " + authority.app + " needs " + std::string(needed.fine);
  }
  return "the token needs " + std::string(needed.fine) +
         " (classic token: " + std::string(needed.classic) + ")";
}

std::string accepted_text(const Headers& headers) {
  const std::string accepted = sys::header_of(headers, "x-accepted-github-permissions");
  return accepted.empty() ? "" : "; GitHub accepts: " + printable(accepted, 100);
}

Answer answer_of(const sys::HttpResponse& response, const CallInfo& call,
                 const Authority& authority, const Clocks& clocks) {
  Answer answer;
  answer.status = response.status;
  answer.endpoint = call.endpoint;
  answer.asker = authority.kind;
  answer.scope = call.scope;
  answer.is_clock_off = is_clock_off(clocks.offset);
  answer.has_retry_after = retry_after(response.headers, clocks.github).has_value();
  answer.is_budget_used_up = sys::header_of(response.headers, "x-ratelimit-remaining") == "0";
  // "required; url=..." or "partial-results; organizations=..."
  answer.asks_for_sign_on = !sys::header_of(response.headers, "x-github-sso").empty();
  answer.text = decode_error_message(response.body);
  if (answer.text.empty()) answer.text = response.body.substr(0, kMostPage);
  return answer;
}

// GitHub's support asks for it; what is known needs no support.
std::string request_text(const sys::HttpResponse& response, const KnownAnswer& known) {
  const std::string id = printable(sys::header_of(response.headers, "x-github-request-id"), 64);
  const bool is_wanted = response.status >= 500 || known.code == Errc::protocol;
  return id.empty() || !is_wanted ? "" : "; X-GitHub-Request-Id " + id;
}

}  // namespace

std::optional<Duration> until_reset(const Headers& headers, WallTime now) {
  const auto reset = parse_u64(sys::header_of(headers, "x-ratelimit-reset"));
  if (!reset) return std::nullopt;
  const auto now_s = std::chrono::duration_cast<std::chrono::seconds>(now.time_since_epoch());
  const auto current = static_cast<std::uint64_t>(std::max<std::int64_t>(now_s.count(), 0));
  // One second more: the clock behind Date is cut to whole seconds.
  return seconds_wait(*reset > current ? *reset - current + 1 : 1);
}

Refusal explain_refusal(const sys::HttpResponse& response, const CallInfo& call,
                        const Authority& authority, const Clocks& clocks) {
  const KnownAnswer* known = find_known(answer_of(response, call, authority, clocks));
  MVR_ASSERT(known != nullptr);
  Refusal refusal;
  if (known->code == Errc::rate_limited) refusal.wait = told_wait(response.headers, clocks.github);
  const Values values{
      {"app", authority.app},
      {"place", authority.place},
      {"clock", offset_text(clocks.offset)},
      {"needs", needs_text(call, authority)},
      {"accepted", accepted_text(response.headers)},
      {"wait", refusal.wait ? "in " + format_duration(*refusal.wait) : "after a pause"}};
  std::string about = call.label + ": HTTP " + std::to_string(response.status);
  const std::string message = decode_error_message(response.body);
  if (!message.empty()) about += " \"" + message + "\"";
  refusal.error = known_error(*known, about, values);
  refusal.error.what += request_text(response, *known);
  return refusal;
}

std::string_view endpoint_name(Endpoint endpoint) {
  switch (endpoint) {
    case Endpoint::list_runs:
      return "list_runs";
    case Endpoint::list_jobs:
      return "list_jobs";
    case Endpoint::list_repositories:
      return "list_repositories";
    case Endpoint::list_runners:
      return "list_runners";
    case Endpoint::list_groups:
      return "list_groups";
    case Endpoint::delete_runner:
      return "delete_runner";
    case Endpoint::generate_jit:
      return "generate_jit";
    case Endpoint::runner_release:
      return "runner_release";
    case Endpoint::runner_downloads:
      return "runner_downloads";
    case Endpoint::find_installation:
      return "find_installation";
    case Endpoint::create_token:
      return "create_token";
  }
  return "";
}

std::optional<Budget> budget_of(const Headers& headers) {
  const auto limit = parse_u64(sys::header_of(headers, "x-ratelimit-limit"));
  const auto remaining = parse_u64(sys::header_of(headers, "x-ratelimit-remaining"));
  if (!limit || !remaining || *limit == 0) return std::nullopt;
  return Budget{*limit, *remaining};
}

unsigned stretch_for(const Budget& budget) {
  const double left = static_cast<double>(budget.remaining) / static_cast<double>(budget.limit);
  if (left < 0.03) return 4;
  return left < 0.10 ? 2 : 1;
}

}  // namespace mvr::github
