#include "github/errors.h"

#include <algorithm>

#include "base/text.h"
#include "github/clock.h"
#include "github/wire.h"

namespace mvr::github {
namespace {

using Headers = std::map<std::string, std::string>;

constexpr Duration kShortestWait{1'000};
constexpr Duration kLongestWait{3'600'000};

std::string header(const Headers& headers, const char* name) {
  const auto found = headers.find(name);
  return found == headers.end() ? std::string() : found->second;
}

Duration clamp_wait(Duration wait) { return std::clamp(wait, kShortestWait, kLongestWait); }

// Seconds as a Duration; more than an hour is as good as an hour.
Duration seconds_wait(std::uint64_t seconds) {
  return clamp_wait(
      Duration{static_cast<Duration::rep>(std::min<std::uint64_t>(seconds, 3600)) * 1000});
}

std::optional<Duration> retry_after(const Headers& headers, WallTime now) {
  const std::string text = header(headers, "retry-after");
  if (text.empty()) return std::nullopt;
  if (const auto seconds = parse_u64(text)) return seconds_wait(*seconds);
  if (const auto date = parse_http_date(text)) return clamp_wait(*date - now);
  return std::nullopt;
}

bool has_rate_limit_text(const std::string& message) {
  const std::string lower = ascii_lower(message);
  return lower.find("rate limit") != std::string::npos ||
         lower.find("abuse detection") != std::string::npos;
}

struct RateLimit {
  bool hit = false;
  std::optional<Duration> wait;
};

// 403 stands for missing permissions, too: only the headers and the text tell them apart.
RateLimit rate_limit_of(const sys::HttpResponse& response, const std::string& message,
                        WallTime now) {
  if (response.status != 403 && response.status != 429) return {};
  if (const auto wait = retry_after(response.headers, now)) return {true, wait};
  if (header(response.headers, "x-ratelimit-remaining") == "0") {
    return {true, until_reset(response.headers, now)};
  }
  return {response.status == 429 || has_rate_limit_text(message), std::nullopt};
}

struct Permission {
  std::string_view fine;     // of a fine-grained token or an App
  std::string_view classic;  // scope of a classic token
};

Permission needed_permission(Endpoint endpoint, core::ScopeKind scope) {
  const bool is_organization = scope == core::ScopeKind::organization;
  const bool is_about_runners =
      endpoint == Endpoint::list_runners || endpoint == Endpoint::list_groups ||
      endpoint == Endpoint::delete_runner || endpoint == Endpoint::generate_jit;
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

std::string denied_text(const sys::HttpResponse& response, const CallInfo& call,
                        const Authority& authority) {
  if (call.endpoint == Endpoint::create_token) {
    return "the installation of the GitHub App " + authority.app +
           " gives no tokens: was it suspended? See the GitHub Apps in the account's settings";
  }
  // "required; url=..." or "partial-results; organizations=..."
  if (!header(response.headers, "x-github-sso").empty()) {
    return "the organisation asks for single sign-on: authorise the token for it in the token "
           "settings of GitHub";
  }
  std::string text = "a permission is missing: " + needs_text(call, authority);
  const std::string accepted = header(response.headers, "x-accepted-github-permissions");
  if (!accepted.empty()) text += "; GitHub accepts: " + printable(accepted, 100);
  return text;
}

std::string not_found_text(const CallInfo& call, const Authority& authority) {
  if (call.endpoint == Endpoint::find_installation) {
    return "the GitHub App " + authority.app +
           " is not installed there: check the scope's spelling, install the App in the account, "
           "and let it see the repository";
  }
  if (call.endpoint == Endpoint::create_token) {
    return "the GitHub App " + authority.app +
           " has no such installation: check app.installation, or leave it out to have it looked "
           "up";
  }
  return "there is no such thing, or it is out of sight: check the scope's spelling; " +
         needs_text(call, authority);
}

std::string unauthorized_text(const Authority& authority, const Clocks& clocks) {
  switch (authority.kind) {
    case Authority::Kind::token:
      break;
    case Authority::Kind::app:
      if (is_clock_off(clocks.offset)) {
        return "GitHub refused the signature of the GitHub App " + authority.app +
               ", which holds for a few minutes only: " + clock_text(clocks.offset);
      }
      return "GitHub refused the signature of the GitHub App " + authority.app +
             ": check that app.id is its id and that the key in " + authority.place +
             " is still among its private keys";
    case Authority::Kind::installation:
      return "GitHub refused a fresh token of the GitHub App " + authority.app +
             ": was its installation removed or suspended?";
  }
  return "GitHub refused the token: it is wrong, expired or revoked; put a valid one into " +
         authority.place;
}

std::string invalid_text(const CallInfo& call) {
  if (call.endpoint == Endpoint::delete_runner) return "the runner runs a job; try again later";
  if (call.endpoint == Endpoint::generate_jit) {
    return "GitHub refused the runner's settings: check its labels and its runner group";
  }
  return "GitHub refused the request's parameters";
}

Error meaning(const sys::HttpResponse& response, const CallInfo& call, const Authority& authority,
              const Clocks& clocks) {
  switch (response.status) {
    case 401:
      return Error{Errc::unauthorized, unauthorized_text(authority, clocks)};
    case 403:
      return Error{Errc::denied, denied_text(response, call, authority)};
    case 404:
      return Error{Errc::not_found, not_found_text(call, authority)};
    case 409:
      return Error{Errc::exists, "the name is taken; try again with a fresh one"};
    case 410:
      return Error{Errc::unsupported,
                   "GitHub gave up the version of its API that this mvrunner uses, or Actions are "
                   "off here; update mvrunner"};
    case 422:
      return Error{call.endpoint == Endpoint::delete_runner ? Errc::busy : Errc::invalid,
                   invalid_text(call)};
    default:
      break;
  }
  if (response.status >= 500) {
    return Error{Errc::unavailable, "GitHub fails at the moment; see https://www.githubstatus.com"};
  }
  return Error{Errc::protocol, "an answer mvrunner does not expect; check the address github.url"};
}

std::string limited_text(const std::optional<Duration>& wait) {
  return "GitHub limits our requests; next try " +
         (wait ? "in " + format_duration(*wait) : std::string("after a pause")) +
         "; a longer github.poll_interval, or a token of its own, helps";
}

}  // namespace

std::optional<Duration> until_reset(const Headers& headers, WallTime now) {
  const auto reset = parse_u64(header(headers, "x-ratelimit-reset"));
  if (!reset) return std::nullopt;
  const auto now_s = std::chrono::duration_cast<std::chrono::seconds>(now.time_since_epoch());
  const auto current = static_cast<std::uint64_t>(std::max<std::int64_t>(now_s.count(), 0));
  // One second more: the clock behind Date is cut to whole seconds.
  return seconds_wait(*reset > current ? *reset - current + 1 : 1);
}

Refusal explain_refusal(const sys::HttpResponse& response, const CallInfo& call,
                        const Authority& authority, const Clocks& clocks) {
  const std::string message = decode_error_message(response.body);
  const RateLimit limit = rate_limit_of(response, message, clocks.github);
  const Error known = limit.hit ? Error{Errc::rate_limited, limited_text(limit.wait)}
                                : meaning(response, call, authority, clocks);
  std::string text = call.label + ": HTTP " + std::to_string(response.status);
  if (!message.empty()) text += " \"" + message + "\"";
  return Refusal{Error{known.code, text + ": " + known.what}, limit.wait};
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
    case Endpoint::find_installation:
      return "find_installation";
    case Endpoint::create_token:
      return "create_token";
  }
  return "";
}

std::optional<Budget> budget_of(const Headers& headers) {
  const auto limit = parse_u64(header(headers, "x-ratelimit-limit"));
  const auto remaining = parse_u64(header(headers, "x-ratelimit-remaining"));
  if (!limit || !remaining || *limit == 0) return std::nullopt;
  return Budget{*limit, *remaining};
}

unsigned stretch_for(const Budget& budget) {
  const double left = static_cast<double>(budget.remaining) / static_cast<double>(budget.limit);
  if (left < 0.03) return 4;
  return left < 0.10 ? 2 : 1;
}

}  // namespace mvr::github
